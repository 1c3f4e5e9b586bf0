/* SPDX-License-Identifier: Apache-2.0 */
/* What an update does to memory, and what the sum over all threads is. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "after_fork.h"
#include "sums.h"
#include "suite.h"

#define THREADS 8
#define ROUNDS	50000

static dynm_runtime *rt;
static dynm_scope at;

static void
open_runtime(void)
{
	dynm_options o = { .address = "ipc:///nonexistent/socket", .flush_ms = 10 };

	ck_assert_int_eq(dynm_open(&rt, &o, NULL), DYNM_OK);
	at = dynm_runtime_scope(rt);
}

static void
close_runtime(void)
{
	ck_assert_int_eq(dynm_runtime_error(rt, NULL), DYNM_OK);
	dynm_close(rt);
}

static enum sums_result
read_series(const struct dynm_series *s, uint64_t value[SUMS_CELLS_MAX])
{
	enum sums_result r;

	ck_assert_ptr_nonnull(s);
	blocks_lock();
	r = sums_read(s, value);
	blocks_unlock();
	return r;
}

static double
counter(dynm_counter c)
{
	uint64_t v[SUMS_CELLS_MAX];

	ck_assert_int_eq(read_series(c.series_, v), SUMS_VALUE);
	return wire_double(v[0]);
}

/* NaN when unset. */
static double
gauge(dynm_gauge g)
{
	uint64_t v[SUMS_CELLS_MAX];

	return read_series(g.series_, v) == SUMS_VALUE ? gauge_decode(v[0]) : (double)NAN;
}

static uint64_t
dropped(void)
{
	dynm_status st;

	dynm_runtime_status(rt, &st);
	return st.dropped;
}

static void
in_threads(void *(*fn)(void *), void *arg)
{
	pthread_t t[THREADS];

	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, fn, arg), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
}

/* ---- Counters ---------------------------------------------------------- */

static void *
count(void *arg)
{
	dynm_counter c = *(dynm_counter *)arg;

	for (int i = 0; i < ROUNDS; i++) {
		dynm_counter_inc(c);
		dynm_counter_add(c, 2);
		dynm_counter_add(c, 0.25);
	}
	return NULL;
}

START_TEST(threads_count_exactly_and_leave_their_counts_behind)
{
	dynm_counter c = dynm_counter_create(at, "x_total", "");

	for (int i = 1; i <= 5; i++) {
		in_threads(count, &c);
		ck_assert_double_eq(counter(c), i * 3.25 * THREADS * ROUNDS);
	}
}
END_TEST

START_TEST(whole_numbers_stay_exact_beside_fractions)
{
	dynm_counter c = dynm_counter_create(at, "x_total", "");

	dynm_counter_add(c, 0.5);
	dynm_counter_add(c, 4503599627370496.0); /* 2^52 */
	for (int i = 0; i < 1000; i++)
		dynm_counter_inc(c);
	dynm_counter_add(c, 0.5);
	ck_assert_double_eq(counter(c), 4503599627370496.0 + 1001);
}
END_TEST

START_TEST(increments_that_are_no_counts_are_dropped_and_counted)
{
	static const double bad[] = { -1, -DBL_MIN, INFINITY, -INFINITY, NAN };
	dynm_counter c = dynm_counter_create(at, "x_total", "");

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		dynm_counter_add(c, bad[i]);
	dynm_counter_add(c, 0);
	dynm_counter_add(c, -0.0);
	ck_assert_double_eq(counter(c), 0);
	ck_assert_uint_eq(dropped(), 5);
}
END_TEST

START_TEST(a_counter_that_overflows_stays_finite)
{
	dynm_counter c = dynm_counter_create(at, "x_total", "");

	dynm_counter_add(c, DBL_MAX);
	dynm_counter_add(c, DBL_MAX);
	ck_assert_double_eq(counter(c), MESSAGE_VALUE_MAX);
}
END_TEST

START_TEST(null_handles_take_every_update)
{
	static dynm_counter c;
	static dynm_gauge g;
	static dynm_histogram h;

	dynm_counter_inc(c);
	dynm_counter_add(c, -1);
	dynm_gauge_set(g, 1);
	dynm_gauge_add(g, 1);
	dynm_gauge_inc(g);
	dynm_gauge_dec(g);
	dynm_histogram_observe(h, 1);
	dynm_histogram_observe_n(h, NAN, 1);
	ck_assert_uint_eq(dropped(), 0);
}
END_TEST

/* ---- Gauges ------------------------------------------------------------ */

START_TEST(a_gauge_is_unset_until_it_is_set_or_added_to)
{
	dynm_gauge g = dynm_gauge_create(at, "g", "");
	dynm_gauge zero = dynm_gauge_create(at, "zero", "");

	ck_assert(isnan(gauge(g)));
	dynm_gauge_set(g, 0);
	ck_assert_double_eq(gauge(g), 0);
	dynm_gauge_inc(zero);
	dynm_gauge_dec(zero);
	ck_assert_double_eq(gauge(zero), 0);
}
END_TEST

START_TEST(a_gauge_is_the_last_set_and_the_adds_after_it)
{
	dynm_gauge g = dynm_gauge_create(at, "g", "");

	dynm_gauge_add(g, 5);
	ck_assert_double_eq(gauge(g), 5);
	dynm_gauge_set(g, 100);
	ck_assert_double_eq(gauge(g), 100);
	dynm_gauge_add(g, -0.5);
	dynm_gauge_inc(g);
	ck_assert_double_eq(gauge(g), 100.5);
	dynm_gauge_set(g, -3);
	ck_assert_double_eq(gauge(g), -3);
}
END_TEST

static void *
move(void *arg)
{
	for (int i = 0; i < ROUNDS; i++) {
		dynm_gauge_add(*(dynm_gauge *)arg, 3);
		dynm_gauge_dec(*(dynm_gauge *)arg);
	}
	return NULL;
}

START_TEST(threads_add_to_a_gauge_exactly_before_and_after_a_set)
{
	dynm_gauge g = dynm_gauge_create(at, "g", "");

	in_threads(move, &g);
	ck_assert_double_eq(gauge(g), 2.0 * THREADS * ROUNDS);
	dynm_gauge_set(g, 7);
	in_threads(move, &g);
	ck_assert_double_eq(gauge(g), 7 + 2.0 * THREADS * ROUNDS);
}
END_TEST

static const double gauge_steps[] = { 3, -7.25, 1048576, 1048577, -2e9, 0.25, -1, 1e15 };

static void *
step_gauge(void *arg)
{
	for (size_t i = 0; i < sizeof(gauge_steps) / sizeof(double); i++)
		dynm_gauge_add(*(dynm_gauge *)arg, gauge_steps[i]);
	return NULL;
}

/* All these sums are exact. */
START_TEST(a_gauge_is_added_to_in_steps_of_any_size)
{
	dynm_gauge g = dynm_gauge_create(at, "g", "");
	double sum = 0;
	pthread_t thread;

	for (size_t i = 0; i < sizeof(gauge_steps) / sizeof(double); i++) {
		dynm_gauge_add(g, gauge_steps[i]);
		sum += gauge_steps[i];
		ck_assert_double_eq(gauge(g), sum);
	}
	for (int k = 2; k <= 3; k++) { /* two threads leave theirs behind */
		ck_assert_int_eq(pthread_create(&thread, NULL, step_gauge, &g), 0);
		pthread_join(thread, NULL);
		ck_assert_double_eq(gauge(g), k * sum);
	}
	dynm_gauge_add(g, -3 * sum);
	ck_assert_double_eq(gauge(g), 0); /* and set */
	dynm_gauge_set(g, 1.5);
	dynm_gauge_add(g, 1);
	ck_assert_double_eq(gauge(g), 2.5);
}
END_TEST

START_TEST(a_gauge_takes_any_double)
{
	static const double odd[] = { INFINITY, -INFINITY, DBL_MIN, -0.0, DBL_MAX };
	dynm_gauge g = dynm_gauge_create(at, "g", "");
	uint64_t v[SUMS_CELLS_MAX];

	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		dynm_gauge_set(g, odd[i]);
		ck_assert_uint_eq(wire_bits(gauge(g)), wire_bits(odd[i]));
	}
	/* every NaN is the one NaN, also the one whose bits would say "unset" */
	dynm_gauge_set(g, wire_double(GAUGE_UNSET));
	ck_assert_int_eq(read_series(g.series_, v), SUMS_VALUE);
	ck_assert_uint_eq(v[0] ^ GAUGE_UNSET, GAUGE_NAN);
}
END_TEST

START_TEST(a_last_gauge_carries_the_time_of_its_set)
{
	dynm_gauge g = dynm_gauge_create_merge(at, "g", "", DYNM_LAST);
	uint64_t v[SUMS_CELLS_MAX], before = (uint64_t)(dynm_now() * 1e9);

	ck_assert_int_eq(read_series(g.series_, v), SUMS_UNSET);
	dynm_gauge_set(g, 1);
	ck_assert_int_eq(read_series(g.series_, v), SUMS_VALUE);
	ck_assert_double_eq(gauge_decode(v[0]), 1);
	ck_assert_uint_ge(v[1], before - 1000);
	before = v[1];
	dynm_gauge_set(g, 1);
	ck_assert_int_eq(read_series(g.series_, v), SUMS_VALUE);
	ck_assert_uint_gt(v[1], before);
}
END_TEST

/* ---- Histograms -------------------------------------------------------- */

static double
bucket(dynm_histogram h, size_t i)
{
	uint64_t v[SUMS_CELLS_MAX];

	ck_assert_int_eq(read_series(h.series_, v), SUMS_VALUE);
	return wire_double(v[i]);
}

START_TEST(a_value_that_equals_a_bound_is_in_its_bucket)
{
	dynm_histogram h =
	    dynm_histogram_create(at, "h", "", DYNM_BUCKETS(-1, 0, 0.1, 1, 10));
	static const double values[] = { -2, -1, -0.5, -0.0, 0, 0.1, 0.100001, 10, 10.5,
		1e290 };
	static const double expected[] = { 2, 3, 1, 1, 1, 2 };

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		dynm_histogram_observe(h, values[i]);
	for (size_t i = 0; i < 6; i++)
		ck_assert_double_eq(bucket(h, i), expected[i]);
	ck_assert_double_eq(
	    bucket(h, 6), -2 - 1 - 0.5 + 0.1 + 0.100001 + 10 + 10.5 + 1e290);
}
END_TEST

/* The table that starts the search against a search from the start. */
static void
compare_buckets(const double *bound, size_t n, const char *name)
{
	dynm_histogram h =
	    dynm_histogram_create(at, name, "", (dynm_buckets){ n, bound });
	double expected[SUMS_CELLS_MAX] = { 0 };

	for (int i = 0; i < 20000; i++) {
		double v = (drand48() - 0.3) * pow(10, drand48() * 40 - 20);
		size_t b = 0;

		if (i % 3 == 0)
			v = bound[(size_t)i % n];
		if (i % 3 == 1)
			v = nextafter(bound[(size_t)i % n], i % 2 ? INFINITY : -INFINITY);
		while (b < n && v > bound[b])
			b++;
		expected[b]++;
		dynm_histogram_observe(h, v);
	}
	for (size_t b = 0; b <= n; b++)
		ck_assert_double_eq(bucket(h, b), expected[b]);
}

START_TEST(the_bucket_table_agrees_with_a_plain_search)
{
	double even[SERIES_BOUNDS_MAX], wide[60], one = 0;

	srand48(1);
	for (int i = 0; i < SERIES_BOUNDS_MAX; i++)
		even[i] = 1000 + i * 1e-9;
	for (int i = 0; i < 30; i++)
		wide[i] = -pow(10, 300 - i * 20);
	for (int i = 30; i < 60; i++)
		wide[i] = pow(10, (i - 30) * 20 - 290);
	compare_buckets(even, SERIES_BOUNDS_MAX, "even");
	compare_buckets(wide, 60, "wide");
	compare_buckets(&one, 1, "one");
}
END_TEST

START_TEST(observations_that_are_no_numbers_are_dropped_and_counted)
{
	dynm_histogram h = dynm_histogram_create(at, "h", "", DYNM_BUCKETS_DEFAULT);

	dynm_histogram_observe(h, NAN);
	dynm_histogram_observe(h, INFINITY);
	dynm_histogram_observe_n(h, -INFINITY, 3);
	dynm_histogram_observe_n(h, 1, 0);
	ck_assert_uint_eq(dropped(), 3);
	for (size_t i = 0; i < 13; i++)
		ck_assert_double_eq(bucket(h, i), 0);
}
END_TEST

static int stop;

static void *
observe(void *arg)
{
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
		dynm_histogram_observe_n(*(dynm_histogram *)arg, 2, 3);
	return NULL;
}

START_TEST(a_histogram_is_read_whole_while_it_is_written)
{
	dynm_histogram h = dynm_histogram_create(at, "h", "", DYNM_BUCKETS(1, 2, 3));
	uint64_t v[SUMS_CELLS_MAX], whole = 0;
	pthread_t t[2];

	stop = 0;
	for (int i = 0; i < 2; i++)
		pthread_create(&t[i], NULL, observe, &h);
	for (int i = 0; i < 20000 || whole < 100; i++) {
		if (read_series(h.series_, v) == SUMS_TORN)
			continue;
		whole++;
		ck_assert_double_eq(wire_double(v[4]), 2 * wire_double(v[1]));
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	ck_assert_int_eq(read_series(h.series_, v), SUMS_VALUE);
	ck_assert_double_eq(wire_double(v[4]), 2 * wire_double(v[1]));
}
END_TEST

/* ---- Marks ------------------------------------------------------------- */

static bool
is_marked(const struct dynm_series *s)
{
	uint32_t from = 0, block;
	bool marked = false;

	blocks_lock();
	blocks_sweep();
	while (blocks_next_marked(&from, &block)) {
		marked = marked || block == series_slab(s)->block;
		blocks_unmark(block);
	}
	blocks_unlock();
	return marked;
}

START_TEST(every_update_marks_its_block_once)
{
	dynm_counter c = dynm_counter_create(at, "c_total", "");
	dynm_gauge g = dynm_gauge_create(at, "g", "");
	double bounds[SERIES_BOUNDS_MAX];
	dynm_histogram h;

	for (int i = 0; i < SERIES_BOUNDS_MAX; i++)
		bounds[i] = i;
	h = dynm_histogram_create(
	    at, "h", "", (dynm_buckets){ SERIES_BOUNDS_MAX, bounds });
	for (int i = 0; i < 3; i++) {
		ck_assert(!is_marked(c.series_));
		dynm_counter_inc(c);
		ck_assert(is_marked(c.series_));
		dynm_counter_add(c, 0.1);
		ck_assert(is_marked(c.series_));
		dynm_gauge_add(g, 1);
		ck_assert(is_marked(g.series_));
		dynm_gauge_set(g, 1);
		ck_assert(is_marked(g.series_));
		dynm_gauge_add(g, 1);
		ck_assert(is_marked(g.series_));
		dynm_histogram_observe(h, 500); /* far from its first block */
		ck_assert(is_marked(h.series_));
		ck_assert(!is_marked(h.series_));
	}
}
END_TEST

static void *
once(void *arg)
{
	dynm_counter_inc(*(dynm_counter *)arg);
	return NULL;
}

START_TEST(a_thread_that_ends_marks_what_it_leaves)
{
	dynm_counter c = dynm_counter_create(at, "c_total", "");
	pthread_t t;

	pthread_create(&t, NULL, once, &c);
	pthread_join(t, NULL);
	ck_assert(is_marked(c.series_));
	ck_assert_double_eq(counter(c), 1);
}
END_TEST

START_TEST(arrays_of_ended_threads_are_used_again)
{
	dynm_counter c = dynm_counter_create(at, "c_total", "");
	size_t arrays = 0;
	pthread_t t;

	for (int i = 0; i < 200; i++) {
		pthread_create(&t, NULL, once, &c);
		pthread_join(t, NULL);
	}
	blocks_lock();
	for (const struct cells *a = blocks_first(); a; a = a->next)
		arrays++;
	blocks_unlock();
	ck_assert_uint_le(arrays, 4);
	ck_assert_double_eq(counter(c), 200);
}
END_TEST

/* ---- Fork -------------------------------------------------------------- */

/* Check's messages do not leave a forked child, so it says by its exit status. */
static void
in_child(int (*fn)(dynm_counter, dynm_gauge, dynm_histogram), dynm_counter c,
    dynm_gauge g, dynm_histogram h)
{
	int status;
	pid_t pid = fork_safely();

	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		_exit(fn(c, g, h));
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}

static int
starts_anew(dynm_counter c, dynm_gauge g, dynm_histogram h)
{
	if (counter(c) != 0 || !isnan(gauge(g)) || bucket(h, 1) != 0)
		return 1;
	dynm_counter_inc(c);
	dynm_gauge_add(g, 2);
	dynm_histogram_observe(h, 0.007);
	if (counter(c) != 1 || gauge(g) != 2 || bucket(h, 1) != 1)
		return 2;
	dynm_gauge_set(g, 3);
	return gauge(g) == 3 ? 0 : 3;
}

static int
forks_again(dynm_counter c, dynm_gauge g, dynm_histogram h)
{
	int status, r = starts_anew(c, g, h);
	pid_t pid = fork_safely();

	if (pid == 0)
		_exit(starts_anew(c, g, h));
	if (waitpid(pid, &status, 0) != pid || status != 0)
		return 10;
	return r;
}

START_TEST(a_child_starts_at_zero_and_unset_with_the_same_handles)
{
	dynm_counter c = dynm_counter_create(at, "c_total", "");
	dynm_gauge g = dynm_gauge_create(at, "g", "");
	dynm_histogram h = dynm_histogram_create(at, "h", "", DYNM_BUCKETS_DEFAULT);

	dynm_counter_add(c, 7);
	dynm_gauge_set(g, 9);
	dynm_histogram_observe(h, 0.007);
	in_threads(once, &c);
	in_child(starts_anew, c, g, h);
	in_child(forks_again, c, g, h);
	ck_assert_double_eq(counter(c), 7 + THREADS);
	ck_assert_double_eq(gauge(g), 9);
	ck_assert_double_eq(bucket(h, 1), 1);
}
END_TEST

/* No handler runs in this one: what the kernel wipes is all there is. */
START_TEST(a_raw_clone_has_none_of_the_values)
{
	dynm_counter c = dynm_counter_create(at, "c_total", "");
	dynm_gauge g = dynm_gauge_create(at, "g", "");
	int status;
	pid_t pid;

	dynm_counter_add(c, 7);
	dynm_gauge_set(g, 9);
	in_threads(once, &c);
	pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (pid == 0)
		_exit(counter(c) == 0 && isnan(gauge(g)) ? 0 : 1);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}
END_TEST

/* ---- Cells ------------------------------------------------------------- */

START_TEST(cells_of_a_closed_runtime_are_empty_for_the_next)
{
	uint32_t block = 0;

	for (int i = 0; i < 5; i++) {
		dynm_counter c = dynm_counter_create(at, "c_total", "");
		dynm_gauge g = dynm_gauge_create_merge(at, "g", "", DYNM_LAST);
		uint64_t v[SUMS_CELLS_MAX];

		ck_assert(block == 0 || block == series_slab(c.series_)->block);
		block = series_slab(c.series_)->block;
		ck_assert_double_eq(counter(c), 0);
		ck_assert_int_eq(read_series(g.series_, v), SUMS_UNSET);
		dynm_counter_inc(c);
		dynm_gauge_set(g, 1);
		in_threads(once, &c);
		close_runtime();
		open_runtime();
	}
}
END_TEST

START_TEST(histograms_lie_apart_and_whole)
{
	double bounds[SERIES_BOUNDS_MAX];
	dynm_histogram h[40];
	char name[16];

	for (int i = 0; i < SERIES_BOUNDS_MAX; i++)
		bounds[i] = i;
	for (size_t i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "h%zu", i);
		h[i] = dynm_histogram_create(
		    at, name, "", (dynm_buckets){ 1 + i * 3, bounds });
		dynm_histogram_observe_n(h[i], 1e9, i + 1);
		dynm_histogram_observe(h[i], -1);
	}
	for (size_t i = 0; i < 40; i++) {
		ck_assert_double_eq(bucket(h[i], 0), 1);
		ck_assert_double_eq(bucket(h[i], 1 + i * 3), (double)i + 1);
		ck_assert_double_eq(bucket(h[i], 2 + i * 3), 1e9 * (double)(i + 1) - 1);
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("client_cells");
	TCase *t = tcase_create("cells");

	tcase_add_checked_fixture(t, open_runtime, close_runtime);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, threads_count_exactly_and_leave_their_counts_behind);
	tcase_add_test(t, whole_numbers_stay_exact_beside_fractions);
	tcase_add_test(t, increments_that_are_no_counts_are_dropped_and_counted);
	tcase_add_test(t, a_counter_that_overflows_stays_finite);
	tcase_add_test(t, null_handles_take_every_update);
	tcase_add_test(t, a_gauge_is_unset_until_it_is_set_or_added_to);
	tcase_add_test(t, a_gauge_is_the_last_set_and_the_adds_after_it);
	tcase_add_test(t, threads_add_to_a_gauge_exactly_before_and_after_a_set);
	tcase_add_test(t, a_gauge_is_added_to_in_steps_of_any_size);
	tcase_add_test(t, a_gauge_takes_any_double);
	tcase_add_test(t, a_last_gauge_carries_the_time_of_its_set);
	tcase_add_test(t, a_value_that_equals_a_bound_is_in_its_bucket);
	tcase_add_test(t, the_bucket_table_agrees_with_a_plain_search);
	tcase_add_test(t, observations_that_are_no_numbers_are_dropped_and_counted);
	tcase_add_test(t, a_histogram_is_read_whole_while_it_is_written);
	tcase_add_test(t, every_update_marks_its_block_once);
	tcase_add_test(t, a_thread_that_ends_marks_what_it_leaves);
	tcase_add_test(t, arrays_of_ended_threads_are_used_again);
	tcase_add_test(t, a_child_starts_at_zero_and_unset_with_the_same_handles);
	tcase_add_test(t, a_raw_clone_has_none_of_the_values);
	tcase_add_test(t, cells_of_a_closed_runtime_are_empty_for_the_next);
	tcase_add_test(t, histograms_lie_apart_and_whole);
	suite_add_tcase(s, t);
	return suite_run(s);
}
