/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counters in a row are read and sent at once. It has to come out as if it were done one
 * by one, whatever they have counted.
 */
#include <float.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "session_parts.h"
#include "suite.h"
#include "sums.h"

#define CELLS 200
#define CASES 30000

static uint64_t random_state = 1;

static uint64_t
any(uint64_t n)
{
	random_state = random_state * 6364136223846793005U + 1442695040888963407U;
	return (random_state >> 33) % n;
}

/* ---- Sent --------------------------------------------------------------- */

struct two {
	struct session *run, *one;
	uint8_t run_bytes[8192], one_bytes[8192];
};

static struct session *
new_session(void)
{
	struct session *s = session_init(calloc(1, session_map_bytes(CELLS)), CELLS);

	ck_assert_ptr_nonnull(s);
	return s;
}

static double
any_count(void)
{
	static const double counts[] = { 0, 1, 2, 0.1, 1e15, 9007199254740993.0, 1e300,
		DBL_MAX };

	return any(3) ? (double)any(100) : counts[any(8)];
}

/* A cell as earlier flushes and sessions have left it; one in so many was not. */
static void
any_cell(struct two *t, uint32_t cell, uint64_t again_one_in)
{
	double acked = any_count(), base = any(4) ? 0 : any_count();
	uint8_t flags = any(again_one_in) ? 0 : AGAIN;

	if (any(10) == 0)
		flags |= USED;
	t->run->acked[cell] = t->one->acked[cell] = wire_bits(acked);
	t->run->base[cell] = t->one->base[cell] = base;
	t->run->flags[cell] = t->one->flags[cell] = flags;
}

/* Mostly what the daemon has, or more; less only as rounding may do it. */
static uint64_t
any_value(const struct session *s, uint32_t cell, uint64_t less_one_in)
{
	double has = wire_double(s->acked[cell]) + s->base[cell];

	if (any(less_one_in) == 0)
		return wire_bits(has * (1 - DBL_EPSILON));
	if (any(2))
		has += any_count();
	return wire_bits(has <= DBL_MAX ? has : DBL_MAX);
}

static void
begin(struct two *t, size_t room, uint32_t update_max)
{
	wire_writer_init(&t->run->w, t->run_bytes, room);
	wire_writer_init(&t->one->w, t->one_bytes, room);
	t->run->put_children = t->one->put_children = (uint32_t)any(3);
	t->run->put_records = t->one->put_records = t->run->put_children;
	t->run->update_max = t->one->update_max = update_max;
}

static void
put_singly(struct session *s, uint32_t cell, uint32_t n, const uint64_t *value)
{
	for (uint32_t i = 0; i < n; i++)
		if (!session_put(s, cell + i, MESSAGE_COUNTER, 1, value + i))
			return;
}

static void
must_agree(const struct two *t)
{
	ck_assert_uint_eq(t->run->w.bytes, t->one->w.bytes);
	ck_assert_mem_eq(t->run_bytes, t->one_bytes, t->one->w.bytes);
	ck_assert_uint_eq(t->run->put_children, t->one->put_children);
	ck_assert_uint_eq(t->run->put_records, t->one->put_records);
}

START_TEST(a_run_of_counters_is_sent_as_they_are_one_by_one)
{
	struct two t = { new_session(), new_session(), { 0 }, { 0 } };
	uint64_t value[SESSION_RUN_MAX];
	unsigned at_once = 0;

	for (unsigned k = 0; k < CASES; k++) {
		uint32_t n = 1 + (uint32_t)any(SESSION_RUN_MAX);
		uint32_t cell = (uint32_t)any(CELLS - SESSION_RUN_MAX);
		uint64_t rare = any(2) ? 1000 : 20;

		for (uint32_t i = 0; i < n; i++) {
			any_cell(&t, cell + i, rare);
			value[i] = any_value(t.run, cell + i, rare);
		}
		begin(&t, any(4) ? sizeof(t.run_bytes) : any(n * 12 + 24),
		    any(4) ? UINT32_MAX : 2 + (uint32_t)any(n + 3));
		put_singly(t.one, cell, n, value);
		if (session_put_run(t.run, cell, n, value)) {
			at_once++;
		} else { /* and nothing of it was put */
			ck_assert_uint_eq(t.run->w.bytes, 0);
			put_singly(t.run, cell, n, value);
		}
		must_agree(&t);
	}
	ck_assert_uint_gt(at_once, CASES / 8);
	ck_assert_uint_lt(at_once, CASES);
	free(t.run);
	free(t.one);
}
END_TEST

START_TEST(a_run_without_news_is_nothing_and_one_of_all_is_all)
{
	struct two t = { new_session(), new_session(), { 0 }, { 0 } };
	uint64_t value[SESSION_RUN_MAX];

	for (uint32_t n = 1; n <= SESSION_RUN_MAX; n++) {
		for (uint32_t i = 0; i < n; i++)
			value[i] = t.run->acked[i] = wire_bits(n + i);
		begin(&t, sizeof(t.run_bytes), UINT32_MAX);
		t.run->put_children = 0;
		ck_assert(session_put_run(t.run, 0, n, value));
		ck_assert_uint_eq(t.run->w.bytes, 0);
		for (uint32_t i = 0; i < n; i++)
			value[i] = wire_bits(n + i + 1);
		ck_assert(session_put_run(t.run, 0, n, value));
		ck_assert_uint_eq(t.run->w.bytes, n * MESSAGE_RECORD_BYTES);
		ck_assert_uint_eq(t.run->put_children, n);
	}
	free(t.run);
	free(t.one);
}
END_TEST

/* ---- Read --------------------------------------------------------------- */

#define COUNTERS 27 /* an odd number */

static dynm_runtime *rt;
static dynm_counter counter[COUNTERS];

static void
open_counters(void)
{
	dynm_options o = { .address = "ipc:///nonexistent/socket", .flush_ms = 10 };
	dynm_counter_vec vec;
	char text[16];

	ck_assert_int_eq(dynm_open(&rt, &o, NULL), DYNM_OK);
	vec = dynm_counter_vec_create(
	    dynm_runtime_scope(rt), "v_total", "", DYNM_LABELS("i"));
	for (int i = 0; i < COUNTERS; i++) {
		snprintf(text, sizeof(text), "%d", i);
		counter[i] = dynm_with(vec, text);
		ck_assert_ptr_nonnull(counter[i].series_);
	}
}

static void
close_counters(void)
{
	dynm_close(rt);
}

static void
must_read_alike(void)
{
	uint64_t value[SUMS_RUN_MAX], one[SUMS_CELLS_MAX];

	for (uint32_t n = 1; n <= COUNTERS; n++) {
		blocks_lock();
		sums_read_run(series_own_cell(counter[0].series_), n, value);
		blocks_unlock();
		for (uint32_t i = 0; i < n; i++) {
			blocks_lock();
			ck_assert_int_eq(sums_read(counter[i].series_, one), SUMS_VALUE);
			blocks_unlock();
			ck_assert_uint_eq(value[i], one[0]);
		}
	}
}

static double
value_of(int i)
{
	uint64_t value[SUMS_RUN_MAX];

	blocks_lock();
	sums_read_run(series_own_cell(counter[0].series_), COUNTERS, value);
	blocks_unlock();
	return wire_double(value[i]);
}

static void
count_anything(uint64_t large_one_in)
{
	static const double large[] = { 4503599627370495.0, 4503599627370496.0,
		9007199254740991.0, 9007199254740993.0, 1e18, 1e300, DBL_MAX };

	for (int i = 0; i < COUNTERS; i++) {
		dynm_counter_add(counter[i], (double)any(1000));
		if (any(3) == 0)
			dynm_counter_add(counter[i], (double)any(1000) / 7);
		if (any(large_one_in) == 0)
			dynm_counter_add(counter[i], large[any(7)]);
	}
}

START_TEST(a_run_of_counters_is_read_as_they_are_one_by_one)
{
	must_read_alike();
	ck_assert_double_eq(value_of(3), 0);
	for (int k = 0; k < 200; k++) {
		count_anything(k < 100 ? 1000000 : 200);
		must_read_alike();
	}
	dynm_counter_add(counter[4], DBL_MAX);
	dynm_counter_add(counter[4], DBL_MAX);
	must_read_alike();
	ck_assert_double_eq(value_of(4), MESSAGE_VALUE_MAX);
}
END_TEST

/* Whole numbers that are no double's mantissa: as many as there are, they are rounded
 * once. */
START_TEST(whole_numbers_of_any_size_are_read_right)
{
	static const double step[] = { 4503599627370495.0, 1, 1, 9007199254740990.0 };
	double exact = 0;

	for (int k = 0; k < 4; k++) {
		dynm_counter_add(counter[7], step[k]);
		exact += step[k];
		ck_assert_double_eq(value_of(7), exact);
		must_read_alike();
	}
	ck_assert_double_eq(value_of(6), 0);
}
END_TEST

static void *
count_and_end(void *arg)
{
	(void)arg;
	count_anything(50);
	return NULL;
}

static void *
count_and_stay(void *arg)
{
	count_anything(50);
	pthread_barrier_wait(arg);
	pthread_barrier_wait(arg);
	return NULL;
}

START_TEST(a_run_is_the_sum_of_all_threads)
{
	pthread_barrier_t turn;
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, count_and_end, NULL), 0);
	pthread_join(thread, NULL);
	must_read_alike();
	ck_assert_int_eq(pthread_barrier_init(&turn, NULL, 2), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, count_and_stay, &turn), 0);
	pthread_barrier_wait(&turn);
	must_read_alike();
	count_anything(50);
	must_read_alike();
	pthread_barrier_wait(&turn);
	pthread_join(thread, NULL);
	pthread_barrier_destroy(&turn);
	must_read_alike();
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("client_run");
	TCase *sent = tcase_create("sent"), *read = tcase_create("read");

	tcase_set_timeout(sent, 60);
	tcase_add_test(sent, a_run_of_counters_is_sent_as_they_are_one_by_one);
	tcase_add_test(sent, a_run_without_news_is_nothing_and_one_of_all_is_all);
	suite_add_tcase(s, sent);
	tcase_add_checked_fixture(read, open_counters, close_counters);
	tcase_add_test(read, a_run_of_counters_is_read_as_they_are_one_by_one);
	tcase_add_test(read, whole_numbers_of_any_size_are_read_right);
	tcase_add_test(read, a_run_is_the_sum_of_all_threads);
	suite_add_tcase(s, read);
	return suite_run(s);
}
