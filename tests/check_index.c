/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "index.h"
#include "failing.h"
#include "suite.h"
#include "table.h"

/* Numbers are their own keys. How many were hashed is counted, as that is what a step
 * takes its time for: in a large registry each is a walk through memory. */
static uint32_t hashed;

static uint64_t
good_hash(const void *owner, uint32_t number)
{
	(void)owner;
	hashed++;
	return table_hash(&number, sizeof(number));
}

/* Many collide. */
static uint64_t
poor_hash(const void *owner, uint32_t number)
{
	(void)owner;
	return number / 16;
}

static uint64_t
no_hash(const void *owner, uint32_t number)
{
	(void)owner;
	(void)number;
	return 0;
}

static bool
same_number(const void *owner, uint32_t number, const void *key)
{
	(void)owner;
	return number == *(const uint32_t *)key;
}

static const struct index_keys good = { good_hash, same_number, NULL };
static const struct index_keys poor = { poor_hash, same_number, NULL };
static const struct index_keys none = { no_hash, same_number, NULL };

static uint32_t
find(const struct index *x, uint32_t number)
{
	return index_find(x, x->keys->hash(NULL, number), &number);
}

static bool
add(struct index *x, uint32_t number)
{
	return index_add(x, x->keys->hash(NULL, number), number);
}

static void
add_all(struct index *x, uint32_t from, uint32_t to)
{
	for (uint32_t i = from; i <= to; i++)
		ck_assert(add(x, i));
}

static void
must_have(const struct index *x, uint32_t from, uint32_t to)
{
	for (uint32_t i = from; i <= to; i++)
		ck_assert_uint_eq(find(x, i), i);
}

static const struct index_keys *const all_keys[] = { &good, &poor, &none };

START_TEST(an_index_finds_what_was_added_and_not_what_was_removed)
{
	struct index x;

	index_init(&x, all_keys[_i], NULL);
	ck_assert_uint_eq(find(&x, 1), 0);
	index_remove(&x, 0, 1);
	add_all(&x, 1, 3000);
	/* every third, in an order that opens holes everywhere */
	for (uint32_t i = 3000; i >= 3; i -= 3)
		index_remove(&x, x.keys->hash(NULL, i), i);
	for (uint32_t i = 1; i <= 3000; i++)
		ck_assert_uint_eq(find(&x, i), i % 3 ? i : 0);
	ck_assert_uint_eq(x.used, 2000);
	index_remove(&x, x.keys->hash(NULL, 3), 3);
	ck_assert_uint_eq(x.used, 2000);
	for (uint32_t i = 3; i <= 3000; i += 3)
		ck_assert(add(&x, i));
	must_have(&x, 1, 3000);
	index_free(&x);
}
END_TEST

START_TEST(no_step_of_an_index_takes_long_however_much_it_has)
{
	struct index x;
	uint32_t before, most = 0, added = 0;

	index_init(&x, &good, NULL);
	hashed = 0;
	for (uint32_t i = 1; i <= 300000; i++) {
		before = hashed;
		added += add(&x, i);
		most = hashed - before > most ? hashed - before : most;
	}
	ck_assert_uint_eq(added, 300000);
	ck_assert_uint_le(most, 3 * INDEX_PART);
	/* and all together take no more than about one more of each */
	ck_assert_uint_le(hashed, 3 * x.used);
	must_have(&x, 1, 300000);
	index_free(&x);
}
END_TEST

static size_t
bytes_of(const struct index *x)
{
	size_t bytes = x->room * sizeof(*x->part);

	for (uint32_t i = 0; i < x->n_parts; i++)
		bytes += x->part[i].room * (sizeof(uint32_t) + sizeof(uint16_t));
	return bytes;
}

START_TEST(an_index_takes_eight_bytes_of_each_number_at_the_most)
{
	struct index x;

	index_init(&x, &good, NULL);
	for (uint32_t i = 1; i <= 200000; i++) {
		ck_assert(add(&x, i));
		if (i % 1000 == 0 && i >= 10000)
			ck_assert_uint_le(bytes_of(&x), 8 * i);
	}
	index_free(&x);
}
END_TEST

START_TEST(an_index_with_room_is_not_split_until_it_is_full)
{
	struct index x;
	uint32_t parts;

	index_init(&x, &good, NULL);
	add_all(&x, 1, 100);
	ck_assert(index_reserve(&x, 50000));
	parts = x.n_parts;
	hashed = 0;
	add_all(&x, 101, 50100);
	ck_assert_uint_eq(hashed, 50000);
	ck_assert_uint_eq(x.n_parts, parts);
	must_have(&x, 1, 50100);
	ck_assert(index_reserve(&x, 0));
	ck_assert_uint_eq(x.n_parts, parts);
	ck_assert(!index_reserve(&x, UINT32_MAX));
	ck_assert_uint_le(bytes_of(&x), 8 * x.used);
	index_free(&x);
}
END_TEST

START_TEST(a_walk_over_an_index_meets_each_number_once)
{
	struct index_cursor at = { 0 };
	struct index x;
	uint8_t *seen = calloc(5001, 1);
	uint32_t n = 0;

	index_init(&x, &poor, NULL);
	ck_assert_uint_eq(index_next(&x, &at), 0);
	add_all(&x, 1, 5000);
	at = (struct index_cursor){ 0 };
	for (uint32_t i; (i = index_next(&x, &at)) != 0; n++)
		ck_assert_uint_eq(seen[i]++, 0);
	ck_assert_uint_eq(n, 5000);
	ck_assert_uint_eq(index_next(&x, &at), 0);
	index_free(&x);
	free(seen);
}
END_TEST

START_TEST(an_index_without_memory_keeps_what_it_has)
{
	struct index x;

	index_init(&x, &good, NULL);
	for (uint32_t i = 1; i <= 5000; i++) {
		bool added;

		failing_arm(i % 4, FAILING_REST);
		added = add(&x, i);
		failing_end();
		if (!added)
			ck_assert(add(&x, i));
		ck_assert_uint_eq(x.used, i);
	}
	must_have(&x, 1, 5000);
	index_free(&x);
}
END_TEST

START_TEST(room_that_cannot_be_made_is_said_and_nothing_is_lost)
{
	struct index x;

	index_init(&x, &good, NULL);
	add_all(&x, 1, 2000);
	for (size_t n = 0; failing_more(n); n++) {
		bool made;

		failing_after(n);
		made = index_reserve(&x, 20000);
		ck_assert(made == !failing_end());
		must_have(&x, 1, 2000);
	}
	index_free(&x);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("index");
	TCase *c = tcase_create("index");

	suite_add_tcase(s, c);
	tcase_add_loop_test(
	    c, an_index_finds_what_was_added_and_not_what_was_removed, 0, 3);
	tcase_add_test(c, no_step_of_an_index_takes_long_however_much_it_has);
	tcase_add_test(c, an_index_takes_eight_bytes_of_each_number_at_the_most);
	tcase_add_test(c, an_index_with_room_is_not_split_until_it_is_full);
	tcase_add_test(c, a_walk_over_an_index_meets_each_number_once);
	tcase_add_test(c, an_index_without_memory_keeps_what_it_has);
	tcase_add_test(c, room_that_cannot_be_made_is_said_and_nothing_is_lost);
	return suite_run(s);
}
