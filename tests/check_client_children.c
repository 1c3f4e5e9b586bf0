/* SPDX-License-Identifier: Apache-2.0 */
/* Children by their label values: told apart, found again, also while the table grows. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "children.h"
#include "runtime.h"
#include "suite.h"

#define LENGTHS 50 /* of values, in bytes */
#define MANY	20000
#define FEW	500
#define READERS 2

static dynm_runtime *rt;
static dynm_counter_vec vec;

static void
open_runtime(void)
{
	dynm_options o = { .address = "ipc:///nonexistent/socket" };

	ck_assert_int_eq(dynm_open(&rt, &o, NULL), DYNM_OK);
	vec = dynm_counter_vec_create(
	    dynm_runtime_scope(rt), "v_total", "", DYNM_LABELS("a", "b"));
}

static void
close_runtime(void)
{
	ck_assert_int_eq(dynm_runtime_error(rt, NULL), DYNM_OK);
	dynm_close(rt);
}

/* A text in memory that ends with it, so that the sanitizer sees what is read behind. */
static char *
text_of(size_t bytes, size_t other)
{
	char *s = malloc(bytes + 1);

	ck_assert_ptr_nonnull(s);
	memset(s, 'x', bytes);
	s[bytes] = '\0';
	if (other < bytes)
		s[other] = 'y';
	return s;
}

static struct dynm_series *
with(size_t bytes, size_t other, bool second)
{
	char *s = text_of(bytes, other);
	dynm_counter c = second ? dynm_with(vec, "b", s) : dynm_with(vec, s, "b");

	free(s);
	ck_assert_ptr_nonnull(c.series_);
	return c.series_;
}

START_TEST(values_of_all_lengths_are_told_apart_by_each_byte)
{
	for (size_t bytes = 0; bytes < LENGTHS; bytes++) {
		for (size_t other = 0; other <= bytes; other++) {
			struct dynm_series *s = with(bytes, other, false);
			uint32_t n = rt->store.n_series;

			ck_assert_ptr_eq(with(bytes, other, false), s);
			ck_assert_uint_eq(rt->store.n_series, n);
			ck_assert_ptr_ne(with(bytes, other, true), s);
		}
	}
	ck_assert_uint_eq(rt->store.n_series, LENGTHS * (LENGTHS + 1));
}
END_TEST

START_TEST(where_one_value_ends_and_the_next_begins_counts)
{
	struct dynm_series *s[5] = { dynm_with(vec, "ab", "cd").series_,
		dynm_with(vec, "abc", "d").series_, dynm_with(vec, "a", "bcd").series_,
		dynm_with(vec, "abcd", "").series_, dynm_with(vec, "", "abcd").series_ };

	for (int i = 0; i < 5; i++)
		for (int k = 0; k < i; k++)
			ck_assert_ptr_ne(s[i], s[k]);
}
END_TEST

/* Equal hashes are rare; equal ones in a slot, with ten bits of one, are not. */
START_TEST(children_that_share_all_bits_of_a_slot_are_told_apart)
{
	static struct dynm_series *s[MANY];
	unsigned shared = 0;
	struct child_table *t;
	char text[48];

	for (int i = 0; i < MANY; i++) {
		snprintf(text, sizeof(text), "a value of some length %d", 10000 + i);
		s[i] = dynm_with(vec, text, "").series_;
	}
	t = vec.family_->table;
	for (uint32_t i = 0; i < t->mask; i++)
		shared += t->slot[i] && t->slot[i + 1] &&
			  t->slot[i] >> CHILD_ID_BITS == t->slot[i + 1] >> CHILD_ID_BITS;
	ck_assert_uint_gt(shared, 0);
	for (int i = 0; i < MANY; i++) {
		snprintf(text, sizeof(text), "a value of some length %d", 10000 + i);
		ck_assert_ptr_eq(dynm_with(vec, text, "").series_, s[i]);
	}
	ck_assert_uint_eq(rt->store.n_series, MANY);
}
END_TEST

/* Whoever is still in a table that was left finds free slots there. */
START_TEST(a_table_that_was_left_gives_its_memory_back)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE) / sizeof(uint32_t), used = 0;
	struct child_table *left;
	char text[16];

	for (int i = 0; i < MANY; i++) {
		snprintf(text, sizeof(text), "%d", i);
		(void)dynm_with(vec, text, "");
	}
	left = vec.family_->table->older;
	ck_assert_uint_gt(left->mask, page);
	for (size_t i = page; i <= left->mask; i++)
		used += left->slot[i] != 0;
	ck_assert_uint_eq(used, 0);
	ck_assert_uint_gt(left->used, 0);
}
END_TEST

static struct dynm_series *known[FEW];
static atomic_bool over;
static atomic_uint rounds;

static void *
look_up(void *arg)
{
	char text[16];
	bool fine = true;

	(void)arg;
	while (!atomic_load(&over) && fine) {
		for (int i = 0; i < FEW; i++) {
			snprintf(text, sizeof(text), "%d", i);
			fine = fine && dynm_with(vec, text, "known").series_ == known[i];
		}
		atomic_fetch_add(&rounds, 1);
	}
	return fine ? NULL : vec.family_;
}

START_TEST(children_are_found_while_the_table_grows)
{
	pthread_t reader[READERS];
	char text[16];
	void *wrong;

	for (int i = 0; i < FEW; i++) {
		snprintf(text, sizeof(text), "%d", i);
		known[i] = dynm_with(vec, text, "known").series_;
	}
	for (int i = 0; i < READERS; i++)
		ck_assert_int_eq(pthread_create(&reader[i], NULL, look_up, NULL), 0);
	for (int i = 0; i < MANY; i++) {
		snprintf(text, sizeof(text), "%d", i);
		(void)dynm_with(vec, text, "new");
		while (i % 1000 == 0 && atomic_load(&rounds) < (unsigned)i / 1000)
			;
	}
	atomic_store(&over, true);
	for (int i = 0; i < READERS; i++) {
		pthread_join(reader[i], &wrong);
		ck_assert_ptr_null(wrong);
	}
	ck_assert_uint_eq(rt->store.n_series, FEW + MANY);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("client_children");
	TCase *t = tcase_create("children");

	tcase_add_checked_fixture(t, open_runtime, close_runtime);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, values_of_all_lengths_are_told_apart_by_each_byte);
	tcase_add_test(t, where_one_value_ends_and_the_next_begins_counts);
	tcase_add_test(t, children_that_share_all_bits_of_a_slot_are_told_apart);
	tcase_add_test(t, a_table_that_was_left_gives_its_memory_back);
	tcase_add_test(t, children_are_found_while_the_table_grows);
	suite_add_tcase(s, t);
	return suite_run(s);
}
