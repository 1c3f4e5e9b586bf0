/* SPDX-License-Identifier: Apache-2.0 */
/* tail: messages as the daemon gets them, and what it makes of them. */
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "ask.h"
#include "ctl.h"

#define POLL_MS 100

/* ---- A line ----------------------------------------------------------------- */

/* Of the host's clock: when what was age_ms ago happened. */
static void
print_time(FILE *out, int64_t age_ms)
{
	struct timespec now;
	struct tm tm;
	int64_t at_ms;
	time_t seconds;

	clock_gettime(CLOCK_REALTIME, &now);
	at_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 - age_ms;
	seconds = (time_t)(at_ms / 1000);
	if (localtime_r(&seconds, &tm))
		fprintf(out, "%02d:%02d:%02d.%03d ", tm.tm_hour, tm.tm_min, tm.tm_sec,
		    (int)(at_ms % 1000));
}

static void
print_texts(FILE *out, const char *before, const json_t *message, const char *key)
{
	const char *text = ask_text(message, key);

	if (*text) {
		fputs(before, out);
		ctl_print(out, wire_text(text));
	}
}

static void
print_number(FILE *out, const char *before, const json_t *message, const char *key)
{
	if (json_object_get(message, key))
		fprintf(out, "%s%" PRId64, before, ask_number(message, key));
}

void
ctl_print_message(FILE *out, const json_t *message)
{
	int64_t refused = ask_number(message, "refused");

	print_number(out, "pid ", message, "pid");
	print_number(out, " uid ", message, "uid");
	print_texts(out, " '", message, "worker");
	fputs(*ask_text(message, "worker") ? "'" : "", out);
	print_texts(out, " ", message, "type");
	print_number(out, " n=", message, "n");
	print_number(out, " count=", message, "count");
	print_number(out, " bytes=", message, "bytes");
	print_texts(out, " ", message, "json");
	print_texts(out, " -> ", message, "answer");
	if (refused > 0) {
		fprintf(out, "%s refused", *ask_text(message, "answer") ? "," : " ->");
		if (refused > 1)
			fprintf(out, " (the first of %" PRId64 ")", refused);
		print_texts(out, ": ", message, "reason");
		print_texts(out, ": ", message, "text");
	}
	fputc('\n', out);
}

/* ---- Polling ---------------------------------------------------------------- */

struct tail {
	const struct ctl_options *o;
	uint64_t printed;
	int64_t next; /* the number to ask after; -1: none yet */
};

static bool
is_done(const struct tail *t)
{
	return ferror(stdout) || (t->o->count > 0 && t->printed == t->o->count);
}

static void
print_messages(struct tail *t, const json_t *answer)
{
	const json_t *messages = json_object_get(answer, "messages");
	int64_t missed = ask_number(answer, "missed");

	if (missed > 0)
		fprintf(stderr,
		    "dynamo-metricsctl: %" PRId64 " messages came too fast to be shown\n",
		    missed);
	for (size_t i = 0; i < json_array_size(messages) && !is_done(t); i++) {
		const json_t *one = json_array_get(messages, i);

		if (t->o->json) {
			json_dumpf(one, stdout, JSON_COMPACT);
			putchar('\n');
		} else {
			print_time(stdout,
			    ask_number(answer, "now_ms") - ask_number(one, "at_ms"));
			ctl_print_message(stdout, one);
		}
		t->printed++;
	}
}

static enum ctl_exit
poll_once(struct tail *t, struct connection *c, bool *ret_more, struct ctl_error *error)
{
	json_t *command = json_pack("{s:s}", "command", "tail"), *answer = NULL;
	enum ctl_exit code;

	if (t->next >= 0)
		json_object_set_new(command, "after", json_integer(t->next));
	code = ask_admin(c, command, &answer, NULL, error);
	if (code != CTL_OK)
		return code;
	if (ask_number(answer, "next") < t->next)
		fputs("dynamo-metricsctl: the daemon was started again\n", stderr);
	t->next = ask_number(answer, "next");
	print_messages(t, answer);
	*ret_more = json_is_true(json_object_get(answer, "more"));
	json_decref(answer);
	return CTL_OK;
}

enum ctl_exit
ctl_tail(const struct ctl_options *o, int argc, char **argv, struct ctl_error *error)
{
	static const struct timespec pause = { .tv_nsec = POLL_MS * 1000000L };
	struct tail t = { .o = o, .next = -1 };
	struct connection *c = NULL;
	bool more = false;
	enum ctl_exit code;

	if (argc > 0)
		return ctl_fail(
		    error, CTL_USAGE, "tail takes no argument, not '%s'", argv[0]);
	setvbuf(stdout, NULL, _IOLBF, 0);
	code = request_open(o, &c, error);
	while (code == CTL_OK && !is_done(&t)) {
		code = poll_once(&t, c, &more, error);
		if (code == CTL_OK && !more && !is_done(&t))
			nanosleep(&pause, NULL);
	}
	request_close(c);
	return code;
}
