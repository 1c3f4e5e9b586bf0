/* SPDX-License-Identifier: Apache-2.0 */
#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "watch.h"

#define KINDS	  5
#define CALLS	  1000 /* in a batch */
#define SAMPLES	  16
#define STEPS	  64 /* of the histogram, in each power of two */
#define SLOTS	  (STEPS * 36)
#define BACK_S	  3 /* a call with a deadline is back so long after it at the latest */
#define SHORT_MS  50
#define OWN_ERRNO 1234

struct hot {
	pthread_t thread;
	unsigned number;
	unsigned phase; /* atomic: that it works in */
	uint64_t calls;
	int64_t ns;
	uint64_t most_ns;
	uint64_t slot[SLOTS];
	uint64_t switches, switches_before;
	struct figures figures; /* of the last phase */
};

struct load loads[LOAD_RUNTIMES_MAX];
unsigned n_loads;
struct tally *tally;

static struct hot hot[LOAD_HOT_MAX];
static unsigned n_hot;
static unsigned phase; /* atomic */
static bool stopping;  /* atomic */
static pthread_t reader, sleeper;
static int reader_pipe[2];

/* ---- One call ---------------------------------------------------------- */

static void
one(const struct load *l, unsigned kind, unsigned i)
{
	static const char *const codes[LOAD_CODES] = { "0", "1", "2", "3", "4", "5", "6",
		"7", "8", "9", "10", "11", "12", "13", "14", "15" };
	const char *code = codes[i % LOAD_CODES];

	switch (kind) {
	case 0:
		dynm_counter_inc(l->calls);
		break;
	case 1:
		dynm_counter_add(l->quarters, 0.25);
		break;
	case 2:
		dynm_gauge_set(l->depth, (double)i);
		break;
	case 3:
		dynm_histogram_observe(l->seconds, (double)(i % 32) / 16);
		break;
	default:
		dynm_counter_inc(
		    dynm_counter_vec_with(l->codes, (dynm_strings){ 1, &code }));
		break;
	}
}

/* n calls are to be made, or were. All but those of the gauge count. */
static void
add_calls(uint64_t *to, unsigned n)
{
	__atomic_fetch_add(to, n / KINDS * (KINDS - 1), __ATOMIC_RELEASE);
}

/* ---- Timing ------------------------------------------------------------ */

static unsigned
slot_of(uint64_t ns)
{
	unsigned power = 0;

	while (ns >> power >= 2 * STEPS)
		power++;
	return power * STEPS + (unsigned)(ns >> power) < SLOTS
		   ? power * STEPS + (unsigned)(ns >> power)
		   : SLOTS - 1;
}

static uint64_t
slot_ns(unsigned slot)
{
	unsigned power = slot < 2 * STEPS ? 0 : slot / STEPS - 1;

	return (uint64_t)(slot - power * STEPS) << power;
}

static uint64_t
switches(void)
{
	struct rusage usage;

	(void)getrusage(RUSAGE_THREAD, &usage);
	return (uint64_t)usage.ru_nvcsw;
}

static void
check_errno(void)
{
	if (errno != OWN_ERRNO)
		noticed("a hot call changed errno to %d", errno);
}

static void
batch(struct hot *h)
{
	const struct load *l = &loads[h->number % n_loads];
	int64_t start;

	add_calls(&tally->events, CALLS);
	errno = OWN_ERRNO;
	start = watch_ns();
	for (unsigned i = 0; i < CALLS; i++)
		one(l, i % KINDS, i);
	h->ns += watch_ns() - start;
	h->calls += CALLS;
	add_calls(&tally->done, CALLS);
	check_errno();
}

static void
samples(struct hot *h)
{
	const struct load *l = &loads[h->number % n_loads];

	add_calls(&tally->events, SAMPLES * KINDS);
	for (unsigned i = 0; i < SAMPLES * KINDS; i++) {
		int64_t start = watch_ns();
		uint64_t ns;

		one(l, i % KINDS, i);
		ns = (uint64_t)(watch_ns() - start);
		h->slot[slot_of(ns)]++;
		if (ns > h->most_ns)
			h->most_ns = ns;
	}
	add_calls(&tally->done, SAMPLES * KINDS);
}

static uint64_t
percentile_999(const struct hot *h)
{
	uint64_t all = 0, below = 0;
	unsigned s;

	for (s = 0; s < SLOTS; s++)
		all += h->slot[s];
	for (s = 0; s < SLOTS - 1 && below + h->slot[s] < all - all / 1000; s++)
		below += h->slot[s];
	return slot_ns(s);
}

/* What this phase was, and a new one. */
static void
next_phase(struct hot *h, unsigned to)
{
	h->figures.calls_per_s = h->ns ? (double)h->calls * 1e9 / (double)h->ns : 0;
	h->figures.p999_ns = percentile_999(h);
	h->figures.most_ns = h->most_ns;
	h->switches = switches();
	h->figures.switches = h->switches - h->switches_before;
	h->switches_before = h->switches;
	h->calls = h->most_ns = 0;
	h->ns = 0;
	memset(h->slot, 0, sizeof(h->slot));
	__atomic_store_n(&h->phase, to, __ATOMIC_RELEASE);
}

static void *
hot_main(void *arg)
{
	struct hot *h = arg;
	unsigned now;

	watch_thread("hot");
	batch(h); /* the first call takes memory, and may wait for it */
	next_phase(h, 0);
	while (!__atomic_load_n(&stopping, __ATOMIC_ACQUIRE)) {
		batch(h);
		samples(h);
		now = __atomic_load_n(&phase, __ATOMIC_ACQUIRE);
		if (now != h->phase)
			next_phase(h, now);
	}
	return NULL;
}

void
load_mark(struct figures *ret)
{
	unsigned to = __atomic_add_fetch(&phase, 1, __ATOMIC_ACQ_REL);

	memset(ret, 0, sizeof(*ret));
	for (unsigned i = 0; i < n_hot; i++) {
		const struct figures *f = &hot[i].figures;

		while (__atomic_load_n(&hot[i].phase, __ATOMIC_ACQUIRE) != to)
			usleep(100);
		ret->calls_per_s += f->calls_per_s / n_hot;
		if (f->p999_ns > ret->p999_ns)
			ret->p999_ns = f->p999_ns;
		if (f->most_ns > ret->most_ns)
			ret->most_ns = f->most_ns;
		ret->switches += f->switches;
	}
}

/* ---- System calls of its own ------------------------------------------- */

/* Where a standard descriptor is closed, it stays so. */
static void
make_pipe(void)
{
	int low[2];

	if (pipe2(low, O_CLOEXEC) != 0)
		_exit(97);
	for (int i = 0; i < 2; i++) {
		reader_pipe[i] = fcntl(low[i], F_DUPFD_CLOEXEC, 3);
		close(low[i]);
	}
}

static void *
reader_main(void *arg)
{
	char c;
	ssize_t n;

	(void)arg;
	watch_thread("reader");
	while ((n = read(reader_pipe[0], &c, 1)) < 0 && errno == EINTR)
		if (!watch_allows_signals())
			noticed("read() was interrupted");
	return NULL;
}

static void *
sleeper_main(void *arg)
{
	(void)arg;
	watch_thread("sleeper");
	while (!__atomic_load_n(&stopping, __ATOMIC_ACQUIRE))
		if (poll(NULL, 0, 5) != 0 && !watch_allows_signals())
			noticed("poll() was interrupted");
	return NULL;
}

/* ---- Begin and end ----------------------------------------------------- */

void
load_tally(const char *file)
{
	int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	tally = MAP_FAILED;
	if (fd >= 0 && ftruncate(fd, sizeof(*tally)) == 0)
		tally =
		    mmap(NULL, sizeof(*tally), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd >= 0)
		close(fd);
	if (tally == MAP_FAILED)
		_exit(99);
}

void
load_open(const char *address, uint32_t flush_ms)
{
	dynm_options options = { .address = address, .flush_ms = flush_ms };
	struct load *l = &loads[n_loads];
	dynm_error err;

	if (n_loads == LOAD_RUNTIMES_MAX)
		return;
	if (dynm_open(&l->rt, &options, &err) != DYNM_OK) {
		noticed("dynm_open: %s", err.text);
		return;
	}
	n_loads++;
	l->scope =
	    dynm_namespace_component(dynm_runtime_namespace(l->rt, "sacred"), "app")
		.scope;
	l->calls = dynm_counter_create(l->scope, "calls_total", "");
	l->quarters = dynm_counter_create(l->scope, "quarters_total", "");
	l->depth = dynm_gauge_create(l->scope, "depth", "");
	l->seconds = dynm_histogram_create(l->scope, "seconds", "", DYNM_BUCKETS_DEFAULT);
	l->codes =
	    dynm_counter_vec_create(l->scope, "codes_total", "", DYNM_LABELS("code"));
	l->acts = dynm_counter_vec_create(l->scope, "acts_total", "", DYNM_LABELS("act"));
	if (dynm_runtime_error(l->rt, &err) != DYNM_OK)
		noticed("creating metrics: %s", err.text);
}

static void
begin_thread(pthread_t *thread, void *(*run)(void *), void *arg)
{
	if (pthread_create(thread, NULL, run, arg) != 0)
		_exit(98);
}

void
load_start(unsigned threads)
{
	make_pipe();
	begin_thread(&reader, reader_main, NULL);
	begin_thread(&sleeper, sleeper_main, NULL);
	for (n_hot = 0; n_hot < threads && n_hot < LOAD_HOT_MAX; n_hot++) {
		hot[n_hot].number = n_hot;
		begin_thread(&hot[n_hot].thread, hot_main, &hot[n_hot]);
	}
}

void
load_stop(void)
{
	if (n_hot == 0)
		return;
	__atomic_store_n(&stopping, true, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < n_hot; i++)
		pthread_join(hot[i].thread, NULL);
	n_hot = 0;
	pthread_join(sleeper, NULL);
	if (write(reader_pipe[1], "", 1) != 1)
		noticed("the pipe to the reader is broken: %s", strerror(errno));
	pthread_join(reader, NULL);
	close(reader_pipe[0]);
	close(reader_pipe[1]);
	for (unsigned i = 0; i < n_loads; i++)
		dynm_gauge_set(loads[i].depth, (double)(1000 + i));
}

double
load_depth(void)
{
	double sum = 0;

	for (unsigned i = 0; i < n_loads; i++)
		sum += 1000 + i;
	return sum;
}

static void
check_back(const char *what, int64_t start, int deadline_ms)
{
	int64_t took_ms = (watch_ns() - start) / 1000000;

	if (took_ms > deadline_ms + BACK_S * 1000)
		noticed("%s took %lld ms", what, (long long)took_ms);
}

void
load_close(void)
{
	while (n_loads > 0) {
		int64_t start = watch_ns();

		dynm_close(loads[--n_loads].rt);
		check_back("dynm_close()", start, 0);
	}
}

/* ---- For the acts ------------------------------------------------------ */

void
load_extra(const char *act, unsigned n)
{
	dynm_counter c = dynm_counter_vec_with(loads[0].acts, (dynm_strings){ 1, &act });

	__atomic_fetch_add(&tally->extra, n, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < n; i++)
		dynm_counter_inc(c);
}

dynm_err
load_flush(unsigned i, int timeout_ms)
{
	int64_t start = watch_ns();
	dynm_err err = dynm_flush(loads[i].rt, timeout_ms);

	check_back("dynm_flush()", start, timeout_ms);
	return err;
}

/* A runtime's whole life. */
static void
short_life(void)
{
	dynm_options options = { .flush_ms = SHORT_MS };
	int64_t start = watch_ns();
	dynm_runtime *rt;

	if (dynm_open(&rt, &options, NULL) != DYNM_OK) {
		noticed("dynm_open() fails");
		return;
	}
	dynm_counter_inc(
	    dynm_counter_create(dynm_runtime_scope(rt), "short_lives_total", ""));
	check_back("dynm_open()", start, 0);
	start = watch_ns();
	dynm_close(rt);
	check_back("dynm_close()", start, SHORT_MS);
}

void
load_cold(void)
{
	int64_t start = watch_ns();
	dynm_status status;
	char *text = NULL;

	dynm_runtime_status(loads[0].rt, &status);
	(void)dynm_runtime_error(loads[0].rt, NULL);
	(void)dynm_gauge_create(loads[0].scope, "depth", "");
	(void)dynm_flush(loads[0].rt, 0);
	check_back("status, error, create, flush(0)", start, 0);
	(void)load_flush(0, SHORT_MS);
	start = watch_ns();
	if (dynm_expose(loads[0].scope, SHORT_MS, &text) == DYNM_OK)
		free(text);
	check_back("dynm_expose()", start, SHORT_MS);
	short_life();
}
