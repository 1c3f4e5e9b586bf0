/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The library without memory: each allocation refused in turn. What is called fails as
 * the header says, or does without; nothing else does, and nothing is lost that was
 * counted.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "after_fork.h"
#include "failing.h"
#include "responder.h"
#include "runtime.h"
#include "suite.h"

/* It takes the thread of a forked child for one of its parent's. */
#ifdef __SANITIZE_THREAD__
#define TSAN true
#else
#define TSAN false
#endif

#define PATIENT_MS 60000
#define ROUNDS_MAX \
	400 /* of a loop: a call with more allocations than this is not sane \
	     */

static struct responder d;
static uint32_t no_memory_lines, refusal_lines;
static pthread_mutex_t line_lock = PTHREAD_MUTEX_INITIALIZER;

static void
log_line(void *arg, const char *text)
{
	bool memory = strstr(text, "memory") != NULL;

	(void)arg;
	pthread_mutex_lock(&line_lock);
	no_memory_lines += memory;
	refusal_lines += strstr(text, "refuses") != NULL;
	pthread_mutex_unlock(&line_lock);
}

static void
set_up(void)
{
	responder_start(&d);
}

static void
tear_down(void)
{
	responder_stop(&d);
}

static dynm_options
options(void)
{
	return (dynm_options){
		.address = d.address, .worker = "w", .flush_ms = 10, .log = log_line
	};
}

static dynm_runtime *
open_one(void)
{
	dynm_options o = options();
	dynm_runtime *rt;

	ck_assert_int_eq(dynm_open(&rt, &o, NULL), DYNM_OK);
	return rt;
}

/* ---- Opening ----------------------------------------------------------- */

#define OPEN_ALLOCATIONS 12 /* more than there are */

/* Each in a process of its own: the first open of a process has more to do. */
START_TEST(a_runtime_opens_or_says_that_there_is_no_memory)
{
	dynm_options o = options();
	dynm_runtime *rt = (dynm_runtime *)&d;
	dynm_error err;
	dynm_err code;
	bool refused;

	failing_after((size_t)_i);
	code = dynm_open(&rt, &o, &err);
	refused = failing_end();
	ck_assert_int_eq(code, err.code);
	ck_assert(refused || _i > 0);
	ck_assert(!refused || _i < OPEN_ALLOCATIONS - 1);
	if (code != DYNM_OK) {
		ck_assert(refused);
		ck_assert_int_eq(code, DYNM_ENOMEM);
		ck_assert_ptr_nonnull(strstr(err.text, "emory"));
		ck_assert_ptr_null(rt);
		rt = open_one();
	}
	dynm_counter_inc(dynm_counter_create(dynm_runtime_scope(rt), "c_total", ""));
	ck_assert_int_eq(dynm_flush(rt, PATIENT_MS), DYNM_OK);
	ck_assert_double_eq(responder_value(&d, "c_total", 0), 1);
	ck_assert_int_eq(dynm_runtime_error(rt, NULL), DYNM_OK);
	dynm_close(rt);
}
END_TEST

/* ---- Creating, updating, removing -------------------------------------- */

/*
 * A program's life: scopes, metrics of every kind, children, updates, removals. Each call
 * is checked on its own: a null handle goes with exactly one error, DYNM_ENOMEM. done is
 * how many updates by one were made through handles that exist.
 */
struct life {
	dynm_runtime *rt;
	dynm_scope at;
	dynm_scope labelled;
	dynm_counter_vec counters;
	dynm_gauge_vec gauges;
	dynm_histogram_vec histograms;
	double done;
	uint32_t failed;
	char help[1001];
};

static void
judge(struct life *l, bool made)
{
	dynm_err code = dynm_runtime_error(l->rt, NULL);

	ck_assert_int_eq(code, made ? DYNM_OK : DYNM_ENOMEM);
	l->failed += !made;
}

static void
make_scopes(struct life *l)
{
	dynm_namespace ns = dynm_runtime_namespace(l->rt, "ns");
	dynm_component component;
	dynm_endpoint endpoint;

	judge(l, ns.scope.node_ != NULL);
	component = dynm_namespace_component(ns, "component");
	endpoint = dynm_component_endpoint(component, "endpoint");
	if (ns.scope.node_)
		judge(l, endpoint.scope.node_ != NULL);
	l->at = endpoint.scope.node_ ? endpoint.scope : dynm_runtime_scope(l->rt);
	l->labelled = dynm_scope_label(l->at, "gpu", "0");
	judge(l, l->labelled.node_ != NULL);
}

static void
make_single(struct life *l, int i)
{
	dynm_histogram h;
	dynm_counter c;
	dynm_gauge g;
	char name[32];

	snprintf(name, sizeof(name), "c%d_total", i);
	c = dynm_counter_create(l->at, name, l->help);
	judge(l, c.series_ != NULL);
	dynm_counter_inc(c);
	l->done += c.series_ != NULL;
	snprintf(name, sizeof(name), "g%d", i);
	g = dynm_gauge_create_merge(l->at, name, l->help, DYNM_LAST);
	judge(l, g.series_ != NULL);
	dynm_gauge_set(g, i);
	snprintf(name, sizeof(name), "h%d", i);
	h = dynm_histogram_create(l->at, name, l->help, DYNM_BUCKETS(1, 2, 3));
	judge(l, h.series_ != NULL);
	dynm_histogram_observe(h, 1.5);
}

static void
make_vecs(struct life *l)
{
	l->counters =
	    dynm_counter_vec_create(l->at, "cv_total", l->help, DYNM_LABELS("a", "b"));
	judge(l, l->counters.family_ != NULL);
	l->gauges =
	    dynm_gauge_vec_create_merge(l->at, "gv", l->help, DYNM_LABELS("a"), DYNM_MAX);
	judge(l, l->gauges.family_ != NULL);
	l->histograms = dynm_histogram_vec_create(
	    l->at, "hv", l->help, DYNM_LABELS("a"), DYNM_BUCKETS_DEFAULT);
	judge(l, l->histograms.family_ != NULL);
}

static void
make_children(struct life *l, int i)
{
	char value[400];
	dynm_counter c;

	memset(value, 'x', sizeof(value));
	snprintf(value + sizeof(value) - 16, 16, "%d", i);
	c = dynm_with(l->counters, "constant", value);
	if (l->counters.family_)
		judge(l, c.series_ != NULL);
	dynm_counter_inc(c);
	l->done += c.series_ != NULL;
	if (l->gauges.family_)
		judge(l, dynm_with(l->gauges, value).series_ != NULL);
	if (l->histograms.family_)
		judge(l, dynm_with(l->histograms, value).series_ != NULL);
	if (i % 3 != 0)
		return;
	dynm_remove(l->gauges, value);
	(void)dynm_runtime_error(l->rt, NULL); /* judged in a test of its own */
}

static void
live(struct life *l)
{
	memset(l->help, 'h', sizeof(l->help) - 1);
	l->done = l->failed = 0;
	make_scopes(l);
	for (int i = 0; i < 8; i++)
		make_single(l, i);
	make_vecs(l);
	for (int i = 0; i < 40; i++)
		make_children(l, i);
}

/* The counts of all counters that the daemon has. */
static double
counted(void)
{
	double sum = 0;

	pthread_mutex_lock(&d.lock);
	for (size_t s = 0; s < d.sessions; s++)
		for (size_t k = 0; k < d.session[s].children; k++)
			if (d.session[s].child[k].kind == MESSAGE_COUNTER &&
			    d.session[s].child[k].there)
				sum += wire_double(
				    d.session[s].cell[d.session[s].child[k].cell]);
	pthread_mutex_unlock(&d.lock);
	return sum;
}

/* A life with the n-th allocation refused; then one more, without. False: none was. */
static bool
live_with(size_t n, unsigned how)
{
	struct life first = { .rt = open_one() }, second = { .rt = first.rt };
	dynm_status st;
	bool refused;

	failing_arm(n, how);
	live(&first);
	refused = failing_end();
	ck_assert(refused || first.failed == 0);
	live(&second);
	ck_assert_uint_eq(second.failed, 0);
	ck_assert_int_eq(dynm_flush(first.rt, PATIENT_MS), DYNM_OK);
	dynm_runtime_status(first.rt, &st);
	ck_assert_uint_eq(st.refused, 0);
	ck_assert_double_eq(counted() + (double)st.dropped, first.done + second.done);
	dynm_close(first.rt);
	pthread_mutex_lock(&line_lock);
	ck_assert(first.failed == 0 || no_memory_lines > 0);
	ck_assert_uint_eq(refusal_lines, 0);
	pthread_mutex_unlock(&line_lock);
	responder_lose(&d);
	return refused;
}

START_TEST(a_call_without_memory_fails_alone_and_works_the_next_time)
{
	size_t n = 0;

	for (; failing_more(n); n++) {
		ck_assert_uint_lt(n, ROUNDS_MAX);
		(void)live_with(n, FAILING_ONE);
	}
	ck_assert_uint_gt(n, 40);
}
END_TEST

START_TEST(a_program_that_gets_no_more_memory_goes_on)
{
	for (size_t n = 0; failing_more(n); n++)
		(void)live_with(n, FAILING_REST);
}
END_TEST

START_TEST(a_child_that_cannot_be_removed_for_lack_of_memory_stays)
{
	dynm_runtime *rt = open_one();
	dynm_counter_vec vec = dynm_counter_vec_create(
	    dynm_runtime_scope(rt), "v_total", "", DYNM_LABELS("i"));
	dynm_counter c = dynm_with(vec, "a");
	dynm_error err;

	dynm_counter_inc(c);
	failing_after(0);
	dynm_remove(vec, "a");
	ck_assert(failing_end());
	ck_assert_int_eq(dynm_runtime_error(rt, &err), DYNM_ENOMEM);
	ck_assert_ptr_nonnull(strstr(err.text, "'v_total'"));
	dynm_counter_inc(c);
	ck_assert_int_eq(dynm_flush(rt, PATIENT_MS), DYNM_OK);
	ck_assert_double_eq(responder_value(&d, "v_total{a}", 0), 2);
	dynm_remove(vec, "a");
	ck_assert_int_eq(dynm_flush(rt, PATIENT_MS), DYNM_OK);
	ck_assert_double_eq(responder_value(&d, "v_total{a}", 0), -1);
	ck_assert_int_eq(dynm_runtime_error(rt, NULL), DYNM_OK);
	dynm_close(rt);
}
END_TEST

/* A child that fails is tried again and again: that alone must not use up memory. */
START_TEST(failing_again_and_again_takes_no_memory)
{
	dynm_runtime *rt = open_one();
	dynm_counter_vec vec = dynm_counter_vec_create(
	    dynm_runtime_scope(rt), "v_total", "", DYNM_LABELS("i"));
	uint32_t end;

	ck_assert_ptr_nonnull(dynm_with(vec, "first").series_);
	end = rt->store.wire_end;
	/* cells have run out */
	rt->store.wire_end = SERIES_WIRE_MAX;
	failing_arm(1000000, FAILING_ONE);
	for (int i = 0; i < 10000; i++)
		ck_assert_ptr_null(dynm_with(vec, "another").series_);
	(void)failing_end();
	ck_assert_uint_le(failing_asked(), 1);
	rt->store.wire_end = end;
	ck_assert_ptr_nonnull(dynm_with(vec, "another").series_);
	dynm_close(rt);
}
END_TEST

static uint32_t
make_many(dynm_counter_vec vec)
{
	char value[1001];
	uint32_t made = 0;

	memset(value, 'x', sizeof(value));
	value[1000] = '\0';
	for (int i = 0; i < 1000; i++) {
		value[snprintf(value, 16, "%d", i)] = 'x';
		made += dynm_with(vec, value).series_ != NULL;
	}
	return made;
}

/* Nor cells, which are few; whichever allocation is the first that is refused. */
START_TEST(failing_again_and_again_takes_no_cells)
{
	dynm_runtime *rt = open_one();
	dynm_counter_vec vec = dynm_counter_vec_create(
	    dynm_runtime_scope(rt), "v_total", "", DYNM_LABELS("i"));
	uint32_t made;

	failing_arm((size_t)_i, FAILING_REST);
	made = make_many(vec);
	ck_assert(failing_end());
	ck_assert_uint_lt(made, 1000);
	ck_assert_uint_eq(rt->store.wire_end, made);
	ck_assert_uint_eq(rt->store.n_series, made);
	ck_assert_uint_eq(make_many(vec), 1000);
	ck_assert_uint_eq(rt->store.wire_end, 1000);
	dynm_close(rt);
}
END_TEST

/* ---- Threads ----------------------------------------------------------- */

#define THREADS_MAX 8

static dynm_counter thread_counter;
static pthread_barrier_t all_ended;

/* It stays until all have counted: the array of a thread that ended is used again. */
static void *
count_without_memory(void *arg)
{
	size_t *state = arg; /* n + 2; then 1 if the n-th was refused, else 0 */
	bool refused;

	failing_after(*state - 2);
	dynm_counter_inc(thread_counter);
	refused = failing_end();
	for (int i = 1; i < 5000; i++)
		dynm_counter_inc(thread_counter);
	__atomic_store_n(state, refused ? 1 : 0, __ATOMIC_RELEASE);
	pthread_barrier_wait(&all_ended);
	return NULL;
}

START_TEST(updates_of_a_thread_without_memory_are_dropped_counted_and_told)
{
	dynm_runtime *rt = open_one();
	double made = 5000 * THREADS_MAX;
	size_t state[THREADS_MAX];
	pthread_t t[THREADS_MAX];
	dynm_status st;

	thread_counter = dynm_counter_create(dynm_runtime_scope(rt), "threads_total", "");
	pthread_barrier_init(&all_ended, NULL, THREADS_MAX);
	for (size_t n = 0; n < THREADS_MAX; n++) {
		uint64_t began = 0;

		state[n] = n + 2;
		ck_assert_int_eq(
		    pthread_create(&t[n], NULL, count_without_memory, &state[n]), 0);
		while (responder_again(&began, "thread") &&
		       __atomic_load_n(&state[n], __ATOMIC_ACQUIRE) > 1)
			;
	}
	for (size_t n = 0; n < THREADS_MAX; n++)
		pthread_join(t[n], NULL);
	pthread_barrier_destroy(&all_ended);
	ck_assert_uint_eq(state[0], 1);
	ck_assert_uint_eq(state[1], 1); /* both the list's item and the array */
	ck_assert_uint_eq(state[THREADS_MAX - 1], 0);
	ck_assert_int_eq(dynm_flush(rt, PATIENT_MS), DYNM_OK);
	dynm_runtime_status(rt, &st);
	ck_assert_uint_gt(st.dropped, 0);
	ck_assert_uint_lt(st.dropped, 5000);
	ck_assert_double_eq(
	    responder_value(&d, "threads_total", 0), made - (double)st.dropped);
	pthread_mutex_lock(&line_lock);
	ck_assert_uint_eq(no_memory_lines, 1);
	pthread_mutex_unlock(&line_lock);
	dynm_close(rt);
}
END_TEST

/* ---- The flush thread -------------------------------------------------- */

START_TEST(a_flush_says_that_no_thread_can_be_started)
{
	dynm_runtime *rt = open_one(), *other = open_one();
	dynm_counter c;
	dynm_error err;
	size_t n;

	/* The last that the first create asks for is the thread. */
	failing_arm(SIZE_MAX, FAILING_ONE);
	(void)dynm_counter_create(dynm_runtime_scope(other), "late_total", "");
	n = failing_asked();
	(void)failing_end();
	dynm_close(other);
	failing_arm(n - 1, FAILING_REST);
	c = dynm_counter_create(dynm_runtime_scope(rt), "late_total", "");
	ck_assert_ptr_nonnull(c.series_);
	ck_assert_int_eq(dynm_flush(rt, PATIENT_MS), DYNM_ESYS);
	ck_assert(failing_end());
	ck_assert_int_eq(dynm_runtime_error(rt, &err), DYNM_ESYS);
	ck_assert_ptr_nonnull(strstr(err.text, "thread"));
	dynm_counter_inc(c);
	ck_assert_int_eq(dynm_flush(rt, PATIENT_MS), DYNM_OK);
	ck_assert_double_eq(responder_value(&d, "late_total", 0), 1);
	dynm_close(rt);
}
END_TEST

/* Everything that the thread that sends does, with its allocations refused in turn. */
static void
send_with(size_t n, unsigned how)
{
	dynm_runtime *rt = open_one();
	dynm_scope at = dynm_runtime_scope(rt);
	dynm_counter_vec vec =
	    dynm_counter_vec_create(at, "v_total", "", DYNM_LABELS("i"));
	dynm_counter c = dynm_counter_create(at, "c_total", "");
	char *text = NULL;
	dynm_err code;

	(void)dynm_with(vec, "a");
	(void)dynm_with(vec, "b");
	dynm_counter_inc(c);
	failing_arm(n, how | FAILING_THREADS);
	(void)dynm_flush(rt, how & FAILING_REST ? 100 : PATIENT_MS);
	dynm_remove(vec, "a");
	(void)dynm_runtime_error(rt, NULL);
	dynm_counter_inc(c);
	code = dynm_expose(at, how & FAILING_REST ? 100 : PATIENT_MS, &text);
	ck_assert_int_eq(code == DYNM_OK, text != NULL);
	ck_assert(code == DYNM_OK || code == DYNM_ENOMEM || code == DYNM_EAGAIN);
	free(text);
	(void)failing_end();
	dynm_counter_inc(c);
	ck_assert_int_eq(dynm_flush(rt, PATIENT_MS), DYNM_OK);
	ck_assert_double_eq(responder_value(&d, "c_total", 0), 3);
	ck_assert_int_eq(dynm_expose(at, PATIENT_MS, &text), DYNM_OK);
	ck_assert_str_eq(text, "a page\n");
	free(text);
	dynm_close(rt);
	responder_lose(&d);
}

START_TEST(the_flush_thread_loses_nothing_without_memory)
{
	for (size_t n = 0; failing_more(n); n++) {
		ck_assert_uint_lt(n, ROUNDS_MAX);
		send_with(n, FAILING_ONE);
	}
	for (size_t n = 0; failing_more(n); n++)
		send_with(n, FAILING_REST);
}
END_TEST

/* ---- fork() ------------------------------------------------------------ */

static int
child_main(dynm_runtime *rt, dynm_counter c, size_t n)
{
	bool refused;

	failing_arm(n, FAILING_ONE);
	dynm_counter_inc(c);
	refused = failing_end();
	for (int i = 1; i < 5000; i++)
		dynm_counter_inc(c);
	if (dynm_flush(rt, PATIENT_MS) != DYNM_OK)
		return 2;
	dynm_close(rt);
	return refused;
}

START_TEST(a_forked_child_without_memory_starts_later)
{
	dynm_runtime *rt = open_one();
	dynm_counter c = dynm_counter_create(dynm_runtime_scope(rt), "c_total", "");
	bool refused = true;

	dynm_counter_inc(c);
	ck_assert_int_eq(dynm_flush(rt, PATIENT_MS), DYNM_OK);
	for (size_t n = 0; refused; n++) {
		double before = responder_value(&d, "c_total", 0), dropped;
		pid_t child = fork_safely();
		int status;

		if (child == 0)
			_exit(child_main(rt, c, n));
		ck_assert_int_eq(waitpid(child, &status, 0), child);
		ck_assert(WIFEXITED(status) && WEXITSTATUS(status) <= 1);
		refused = WEXITSTATUS(status);
		dropped = before + 5000 - responder_value(&d, "c_total", 0);
		/* only the updates before memory was there again, if any */
		ck_assert(dropped == 0 || (refused && dropped > 0 && dropped < 2000));
		ck_assert_uint_lt(n, ROUNDS_MAX);
	}
	dynm_close(rt);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("client_memory");
	TCase *memory = tcase_create("memory");

	tcase_add_checked_fixture(memory, set_up, tear_down);
	tcase_set_timeout(memory, 120);
	tcase_add_loop_test(
	    memory, a_runtime_opens_or_says_that_there_is_no_memory, 0, OPEN_ALLOCATIONS);
	tcase_add_test(memory, a_call_without_memory_fails_alone_and_works_the_next_time);
	tcase_add_test(memory, a_program_that_gets_no_more_memory_goes_on);
	tcase_add_test(memory, a_child_that_cannot_be_removed_for_lack_of_memory_stays);
	tcase_add_test(memory, failing_again_and_again_takes_no_memory);
	tcase_add_loop_test(memory, failing_again_and_again_takes_no_cells, 0, 20);
	tcase_add_test(memory, a_flush_says_that_no_thread_can_be_started);
	tcase_add_test(
	    memory, updates_of_a_thread_without_memory_are_dropped_counted_and_told);
	tcase_add_test(memory, the_flush_thread_loses_nothing_without_memory);
	if (!TSAN)
		tcase_add_test(memory, a_forked_child_without_memory_starts_later);
	suite_add_tcase(s, memory);
	return suite_run(s);
}
