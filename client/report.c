/* SPDX-License-Identifier: Apache-2.0 */
#include "report.h"

#include <stdarg.h>
#include <stdio.h>

#include "ticks.h"

#define LINES_MAX     100
#define LINE_PAUSE_NS (60ULL * NS_PER_S) /* after so many */

static const char *const descriptions[] = {
	[DYNM_OK] = "no error",
	[DYNM_EINVAL] = "a name, label or bucket list breaks the rules",
	[DYNM_EEXIST] = "the name is taken by a metric of another shape",
	[DYNM_ELIMIT] = "over a limit of number or length",
	[DYNM_ENOMEM] = "no memory",
	[DYNM_EAGAIN] = "the daemon did not take it in time",
	[DYNM_ESYS] = "the transport or the system failed",
};

static const char *const drops[REPORT_DROPS] = {
	[REPORT_DROP_COUNTER] =
	    "a counter was given a number that is negative, infinite or "
	    "NaN: such increments are dropped",
	[REPORT_DROP_HISTOGRAM] =
	    "a histogram was given a value that is infinite or NaN: "
	    "such observations are dropped",
	[REPORT_DROP_MEMORY] = "no memory for the values of a thread: its updates are "
			       "dropped until there is some",
};

/* Reasons that are not in the table are DYNM_EINVAL. */
static const dynm_err codes[REASON_END] = {
	[REASON_NONE] = DYNM_OK,
	[REASON_VERSION] = DYNM_ESYS,
	[REASON_MESSAGE] = DYNM_ESYS,
	[REASON_SESSION] = DYNM_ESYS,
	[REASON_OWNER] = DYNM_ESYS,
	[REASON_TYPE] = DYNM_EEXIST,
	[REASON_BOUNDS] = DYNM_EEXIST,
	[REASON_MERGE] = DYNM_EEXIST,
	[REASON_COLLISION] = DYNM_EEXIST,
	[REASON_LENGTH] = DYNM_ELIMIT,
	[REASON_LIMIT] = DYNM_ELIMIT,
	[REASON_MEMORY] = DYNM_ELIMIT,
};

DYNM_API const char *
dynm_strerror(dynm_err code)
{
	if ((size_t)code >= sizeof(descriptions) / sizeof(descriptions[0]))
		return "an unknown error";
	return descriptions[code];
}

dynm_err
report_code(enum reason reason)
{
	dynm_err code = (size_t)reason < REASON_END ? codes[reason] : DYNM_EINVAL;

	return code == DYNM_OK && reason != REASON_NONE ? DYNM_EINVAL : code;
}

static void fill(dynm_error *err, dynm_err code, const char *format, va_list ap)
    __attribute__((format(printf, 3, 0)));

static void
fill(dynm_error *err, dynm_err code, const char *format, va_list ap)
{
	err->code = code;
	(void)vsnprintf(err->text, sizeof(err->text), format, ap);
}

dynm_err
report_fill(dynm_error *err, dynm_err code, const char *format, ...)
{
	va_list ap;

	if (err) {
		va_start(ap, format);
		fill(err, code, format, ap);
		va_end(ap);
	}
	return code;
}

void
report_init(struct report *r, const dynm_options *opts)
{
	memset(r, 0, sizeof(*r));
	pthread_mutex_init(&r->lock, NULL);
	r->log = opts ? opts->log : NULL;
	r->log_arg = opts ? opts->log_arg : NULL;
}

void
report_free(struct report *r)
{
	pthread_mutex_destroy(&r->lock);
}

static void
log_text(struct report *r, const char *text)
{
	if (r->log)
		r->log(r->log_arg, text);
}

/* Whether an error gets a line now, and how many did not since the last one. */
static bool
take_line(struct report *r, uint32_t *ret_unsaid)
{
	uint64_t now = r->lines < LINES_MAX ? 0 : ticks_ns();

	*ret_unsaid = r->unsaid;
	if (r->lines >= LINES_MAX && now < r->next_ns) {
		r->unsaid++;
		return false;
	}
	if (r->lines < LINES_MAX)
		r->lines++;
	else
		r->next_ns = now + LINE_PAUSE_NS;
	r->unsaid = 0;
	return true;
}

static void
keep(struct report *r, const dynm_error *e)
{
	uint32_t unsaid;
	bool say;

	pthread_mutex_lock(&r->lock);
	if (r->first.code == DYNM_OK)
		r->first = *e;
	say = take_line(r, &unsaid);
	pthread_mutex_unlock(&r->lock);
	if (!say)
		return;
	if (unsaid > 0)
		report_line(r, "%u errors were not logged", unsaid);
	log_text(r, e->text);
}

void
report_error(struct report *r, dynm_err code, const char *format, ...)
{
	dynm_error e;
	va_list ap;

	va_start(ap, format);
	fill(&e, code, format, ap);
	va_end(ap);
	keep(r, &e);
}

void
report_refusal(struct report *r, const struct refusal *refusal)
{
	report_error(r, report_code(refusal->reason), "%s", refusal->text);
}

void
report_local(struct report *report, const struct refusal *r)
{
	if (r->reason == REASON_MEMORY)
		report_error(report, DYNM_ENOMEM, "%s", r->text);
	else if (r->reason != REASON_NONE)
		report_refusal(report, r);
}

void
report_line(struct report *r, const char *format, ...)
{
	dynm_error line;
	va_list ap;

	va_start(ap, format);
	fill(&line, DYNM_OK, format, ap);
	va_end(ap);
	log_text(r, line.text);
}

dynm_err
report_take(struct report *r, dynm_error *err)
{
	dynm_error first;

	pthread_mutex_lock(&r->lock);
	first = r->first;
	memset(&r->first, 0, sizeof(r->first));
	pthread_mutex_unlock(&r->lock);
	if (err)
		*err = first;
	return first.code;
}

void
report_drop(struct report *r, enum report_drop cause)
{
	uint8_t unseen = 0;

	__atomic_fetch_add(&r->dropped, 1, __ATOMIC_RELAXED);
	__atomic_compare_exchange_n(
	    &r->seen[cause], &unseen, 1, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

uint64_t
report_dropped(const struct report *r)
{
	return __atomic_load_n(&r->dropped, __ATOMIC_RELAXED);
}

void
report_drops(struct report *r)
{
	for (int i = 0; i < REPORT_DROPS; i++) {
		uint8_t seen = 1;

		if (__atomic_compare_exchange_n(
			&r->seen[i], &seen, 2, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
			log_text(r, drops[i]);
	}
}
