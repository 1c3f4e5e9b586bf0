/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker.c - a worker that counts a known sequence, and writes beside it how far it is.
 *
 *	worker FILE PLACE FD
 *
 * FILE is shared with the driver and outlives us, however we are killed: truth.py says
 * what is in it. PLACE is the label of what we count. FD is the reading end of a pipe:
 * at its end (the driver is gone) we leave.
 *
 * Threads count in turns; each turn adds 1 to counters, 0.1 to others, and observes the
 * next of five values. A thread writes `begun` before its turn and `done` behind it. What
 * was done before a flush that succeeded is written as `acked`.
 *
 * The main thread counts on a child of its own, takes it away after a while and goes on
 * with the next: so cells come to be another child's.
 */
#include <dynamo/metrics.h>
#include <err.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "after_fork.h"

#define THREADS	      3
#define BURST	      40    /* turns between two rests */
#define REST_US	      2000  /* of a thread */
#define TURNS	      20000 /* of a thread; another one goes on */
#define WAKE_MS	      8	    /* how often we look for what is asked, at least */
#define FLUSH_MS      15    /* of the library's own flushes */
#define FLUSH_WAIT_MS 60
#define CHILD_TIMES   7 /* counts on one child */

/* What the driver asks one worker for; the number in the bits above is another one each
 * time. */
enum ask { ASK_FORK = 1, ASK_LEAVE = 2 };

/* What the main thread counted on one child. */
struct child {
	uint64_t begun, done, acked;
};

/* A process that counts. */
struct slot {
	uint64_t pid;
	uint64_t place;
	uint64_t asked;	   /* number << 8 | enum ask, by the driver */
	uint64_t answered; /* the last of these that is done */
	uint64_t obeyed;   /* the last order that is done */
	uint64_t failed;   /* flushes that were not in time */
	uint64_t n_child;  /* the number of the child at hand */
	uint64_t spare;
	uint64_t begun[THREADS], done[THREADS], acked[THREADS];
	struct child child[2]; /* by n_child % 2 */
	uint64_t padding[32 - 8 - 3 * THREADS - 6];
};

/* The file. */
struct truth {
	uint64_t next;	/* the first slot that nobody has taken */
	uint64_t order; /* to all; odd: rest and flush, even: count */
	uint64_t padding[30];
	struct slot slot[];
};

static struct truth *truth;
static uint64_t slots;
static int driver; /* the pipe */

/* ---- This process ------------------------------------------------ */

static dynm_runtime *runtime;
static struct {
	dynm_counter ones, tenths, all, all_tenths;
	dynm_histogram seconds;
	dynm_gauge who, alive, lowest, highest, latest;
} metrics;
static struct slot *self;
static dynm_counter_vec children;
static dynm_counter child;
static uint64_t resting; /* the order by which the threads rest, or 0 */
static uint64_t rests[THREADS];
static unsigned random_state;

static uint64_t
load(const uint64_t *at)
{
	return __atomic_load_n(at, __ATOMIC_SEQ_CST);
}

static void
store(uint64_t *at, uint64_t value)
{
	__atomic_store_n(at, value, __ATOMIC_SEQ_CST);
}

static void
make_metrics(const char *place)
{
	static const double bounds[] = { 0.15, 0.25, 0.35, 0.45 };
	dynm_namespace ns = dynm_runtime_namespace(runtime, "chaos");
	dynm_scope at = dynm_scope_label(ns.scope, "place", place);
	dynm_error error;

	metrics.ones = dynm_counter_create(at, "ones_total", "Turns.");
	metrics.tenths = dynm_counter_create(at, "tenths_total", "A tenth a turn.");
	metrics.seconds = dynm_histogram_create(
	    at, "turn_seconds", "0.1 to 0.5, in turns.", (dynm_buckets){ 4, bounds });
	metrics.all = dynm_counter_create(ns.scope, "all_total", "Turns of all.");
	metrics.all_tenths =
	    dynm_counter_create(ns.scope, "all_tenths_total", "A tenth a turn of all.");
	children = dynm_counter_vec_create(ns.scope, "child_total",
	    "What main threads count.", DYNM_LABELS("slot", "child"));
	metrics.who = dynm_gauge_create_merge(ns.scope, "who", "Slots.", DYNM_EACH);
	metrics.alive = dynm_gauge_create(ns.scope, "alive", "How many.");
	metrics.lowest = dynm_gauge_create_merge(ns.scope, "lowest", "", DYNM_MIN);
	metrics.highest = dynm_gauge_create_merge(ns.scope, "highest", "", DYNM_MAX);
	metrics.latest = dynm_gauge_create_merge(ns.scope, "latest", "", DYNM_LAST);
	if (dynm_runtime_error(runtime, &error) != DYNM_OK)
		errx(1, "%s", error.text);
}

static void
set_gauges(void)
{
	double number = (double)(self - truth->slot);

	dynm_gauge_set(metrics.who, number);
	dynm_gauge_set(metrics.alive, 1);
	dynm_gauge_set(metrics.lowest, number);
	dynm_gauge_set(metrics.highest, number);
	dynm_gauge_set(metrics.latest, number);
}

/* ---- Children that come and go ----------------------------------- */

static void
with_child(uint64_t n, dynm_counter *ret_made)
{
	char slot[24], number[24];

	snprintf(slot, sizeof(slot), "%td", self - truth->slot);
	snprintf(number, sizeof(number), "%ju", (uintmax_t)n);
	if (ret_made)
		*ret_made = dynm_with(children, slot, number);
	else
		dynm_remove(children, slot, number);
}

static void
make_child(void)
{
	with_child(self->n_child, &child);
}

/* Whenever we are killed, what n_child says is true. */
static void
remove_child(void)
{
	uint64_t n = self->n_child;

	self->child[(n + 1) % 2] = (struct child){ 0, 0, 0 };
	store(&self->n_child, n + 1);
	with_child(n, NULL);
}

static void
count_child(void)
{
	struct child *c = &self->child[self->n_child % 2];

	store(&c->begun, c->done + 1);
	dynm_counter_inc(child);
	store(&c->done, c->done + 1);
	if (c->done >= CHILD_TIMES) {
		remove_child();
		make_child();
	}
}

/* ---- Threads that count ------------------------------------------ */

static void
take_turn(int i)
{
	uint64_t turn = self->done[i];

	store(&self->begun[i], turn + 1);
	dynm_counter_inc(metrics.ones);
	dynm_counter_add(metrics.tenths, 0.1);
	dynm_histogram_observe(metrics.seconds, 0.1 * (double)(1 + turn % 5));
	dynm_counter_inc(metrics.all);
	dynm_counter_add(metrics.all_tenths, 0.1);
	store(&self->done[i], turn + 1);
}

static void *count(void *arg);

static bool
start_thread(int i)
{
	pthread_attr_t attr;
	pthread_t thread;
	int error;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	error = pthread_create(&thread, &attr, count, (void *)(intptr_t)i);
	pthread_attr_destroy(&attr);
	return error == 0;
}

static void *
count(void *arg)
{
	int i = (int)(intptr_t)arg;

	for (uint64_t n = 1;; n++) {
		uint64_t order = load(&resting);

		store(&rests[i], order);
		if (order == 0)
			take_turn(i);
		if (order != 0 || n % BURST == 0)
			usleep(REST_US);
		if (order == 0 && n % TURNS == 0 && start_thread(i))
			return NULL;
	}
}

static void
start_counting(void)
{
	store(&resting, 0);
	for (int i = 0; i < THREADS; i++) {
		store(&rests[i], 0);
		if (!start_thread(i))
			errx(1, "no thread can be started");
	}
}

/* The driver is gone, or the wait is over. */
static void
wait_ms(int ms)
{
	struct pollfd fd = { .fd = driver, .events = POLLIN };

	if (poll(&fd, 1, ms) > 0)
		_exit(0);
}

/* Behind it nobody is in the middle of a turn. */
static void
rest_by(uint64_t order)
{
	store(&resting, order);
	for (int i = 0; i < THREADS; i++)
		while (load(&rests[i]) != order)
			wait_ms(1);
}

/* ---- What the driver wants --------------------------------------- */

static bool
flush(int wait)
{
	uint64_t done[THREADS];
	struct child *c = &self->child[self->n_child % 2];
	bool taken;

	for (int i = 0; i < THREADS; i++)
		done[i] = load(&self->done[i]);
	taken = dynm_flush(runtime, wait) == DYNM_OK;
	for (int i = 0; taken && i < THREADS; i++)
		store(&self->acked[i], done[i]);
	if (taken)
		store(&c->acked, c->done);
	else
		store(&self->failed, self->failed + 1);
	return taken;
}

static struct slot *
take_slot(uint64_t place)
{
	uint64_t i = __atomic_fetch_add(&truth->next, 1, __ATOMIC_SEQ_CST);

	if (i >= slots)
		errx(1, "no slot is left");
	truth->slot[i].place = place;
	return &truth->slot[i];
}

/* It counts on with our handles, from zero; but for our child. */
static void
fork_one(void)
{
	struct slot *slot = take_slot(self->place);
	pid_t pid;

	remove_child();
	pid = fork_safely();
	if (pid < 0)
		err(1, "fork");
	store(&slot->pid, (uint64_t)(pid ? pid : getpid()));
	if (pid == 0)
		self = slot;
	make_child();
	if (pid > 0)
		return;
	random_state = (unsigned)getpid();
	set_gauges();
	start_counting();
}

static void
do_asked(uint64_t asked)
{
	struct slot *before = self;

	if ((asked & 0xff) == ASK_FORK)
		fork_one();
	if ((asked & 0xff) == ASK_LEAVE) {
		rest_by(UINT64_MAX);
		dynm_close(runtime);
		_exit(0);
	}
	if (self == before)
		store(&self->answered, asked);
}

static void
obey(uint64_t order)
{
	if (order % 2 == 1) {
		rest_by(order);
		set_gauges();
		while (!flush(FLUSH_WAIT_MS))
			wait_ms(0);
	} else {
		store(&resting, 0);
	}
	store(&self->obeyed, order);
}

static void
serve(void)
{
	for (;;) {
		uint64_t order = load(&truth->order), asked = load(&self->asked);

		if (asked != self->answered)
			do_asked(asked);
		else if (order != self->obeyed)
			obey(order);
		else if (order % 2 == 0 && rand_r(&random_state) % 2 == 0)
			flush(FLUSH_WAIT_MS);
		else if (order % 2 == 0)
			count_child();
		wait_ms(1 + rand_r(&random_state) % WAKE_MS);
	}
}

static void
map_truth(const char *path)
{
	struct stat st;
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) != 0)
		err(1, "%s", path);
	slots = ((uint64_t)st.st_size - sizeof(*truth)) / sizeof(struct slot);
	truth = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (truth == MAP_FAILED)
		err(1, "%s", path);
	close(fd);
}

int
main(int argc, char **argv)
{
	dynm_options options = { .flush_ms = FLUSH_MS };
	dynm_error error;

	if (argc != 4)
		errx(2, "worker FILE PLACE FD");
	map_truth(argv[1]);
	driver = atoi(argv[3]);
	self = take_slot((uint64_t)atoi(argv[2]));
	random_state = (unsigned)getpid();
	if (dynm_open(&runtime, &options, &error) != DYNM_OK)
		errx(1, "%s", error.text);
	make_metrics(argv[2]);
	set_gauges();
	make_child();
	store(&self->pid, (uint64_t)getpid());
	start_counting();
	serve();
}
