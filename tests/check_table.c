/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "table.h"
#include "texts.h"
#include "suite.h"

/* An index of numbers whose keys are themselves, hashed so that many collide. */
static uint64_t
poor_hash(const void *owner, uint32_t number)
{
	(void)owner;
	return number / 16;
}

static bool
same_number(const void *owner, uint32_t number, const void *key)
{
	(void)owner;
	return number == *(const uint32_t *)key;
}

static const struct index_keys keys = { poor_hash, same_number };

static uint32_t
find(const struct index *x, uint32_t number)
{
	return index_find(x, poor_hash(NULL, number), &number);
}

START_TEST(an_index_finds_what_was_added_and_not_what_was_removed)
{
	struct index x;

	index_init(&x, &keys, NULL);
	ck_assert_uint_eq(find(&x, 1), 0);
	for (uint32_t i = 1; i <= 3000; i++)
		ck_assert(index_add(&x, poor_hash(NULL, i), i));
	/* every third, in an order that opens holes everywhere */
	for (uint32_t i = 3000; i >= 3; i -= 3)
		index_remove(&x, poor_hash(NULL, i), i);
	for (uint32_t i = 1; i <= 3000; i++)
		ck_assert_uint_eq(find(&x, i), i % 3 ? i : 0);
	ck_assert_uint_eq(x.used, 2000);
	index_free(&x);
}
END_TEST

START_TEST(an_index_with_room_keeps_what_it_has_and_does_not_move)
{
	const uint32_t *slots;
	struct index x;

	index_init(&x, &keys, NULL);
	for (uint32_t i = 1; i <= 100; i++)
		ck_assert(index_add(&x, poor_hash(NULL, i), i));
	ck_assert(index_reserve(&x, 3000));
	slots = x.slot;
	for (uint32_t i = 101; i <= 3100; i++)
		ck_assert(index_add(&x, poor_hash(NULL, i), i));
	ck_assert_ptr_eq(slots, x.slot);
	for (uint32_t i = 1; i <= 3100; i++)
		ck_assert_uint_eq(find(&x, i), i);
	ck_assert(index_reserve(&x, 0));
	ck_assert_ptr_eq(slots, x.slot);
	ck_assert(!index_reserve(&x, UINT32_MAX));
	index_free(&x);
}
END_TEST

START_TEST(items_of_a_slab_never_move_and_numbers_are_used_again)
{
	struct slab s;
	uint32_t first, last = 0;
	uint64_t *item;

	slab_init(&s, sizeof(*item));
	first = slab_new(&s);
	item = slab_at(&s, first);
	*item = 7;
	for (int i = 0; i < 3 * SLAB_CHUNK_ITEMS; i++)
		last = slab_new(&s);
	ck_assert_ptr_eq(slab_at(&s, first), item);
	ck_assert_uint_eq(*item, 7);
	slab_release(&s, last);
	slab_release(&s, first);
	ck_assert_uint_eq(slab_new(&s), first);
	ck_assert_uint_eq(*item, 0);
	ck_assert_uint_eq(slab_new(&s), last);
	ck_assert_uint_eq(s.live, 3 * SLAB_CHUNK_ITEMS + 1);
	slab_free(&s);
}
END_TEST

START_TEST(a_text_is_kept_once_escaped_and_goes_with_its_last_holder)
{
	struct texts t;
	uint32_t a, b;

	texts_init(&t);
	a = texts_take(&t, wire_text("say \"hi\"\\\n"));
	b = texts_take(&t, wire_text("say \"hi\"\\\n"));
	ck_assert_uint_eq(a, b);
	ck_assert_str_eq(texts_text(&t, a).at, "say \\\"hi\\\"\\\\\\n");
	ck_assert_uint_ne(texts_take(&t, wire_text("")), 0);
	texts_release(&t, a);
	ck_assert_uint_eq(texts_find(&t, wire_text("say \"hi\"\\\n")), a);
	texts_release(&t, b);
	ck_assert_uint_eq(texts_find(&t, wire_text("say \"hi\"\\\n")), 0);
	texts_free(&t);
}
END_TEST

START_TEST(different_bytes_hash_differently_also_in_the_last_ones)
{
	char bytes[32] = { 0 };
	uint64_t hash[33];

	for (size_t n = 0; n <= sizeof(bytes); n++)
		hash[n] = table_hash(bytes, n);
	for (size_t n = 1; n <= sizeof(bytes); n++)
		ck_assert(hash[n] != hash[n - 1]);
	for (size_t i = 0; i < sizeof(bytes); i++) {
		bytes[i] = 1;
		ck_assert(table_hash(bytes, sizeof(bytes)) != hash[32]);
		bytes[i] = 0;
	}
	ck_assert(table_hash(bytes, sizeof(bytes)) == hash[32]);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("table");
	TCase *c = tcase_create("table");

	suite_add_tcase(s, c);
	tcase_add_test(c, an_index_finds_what_was_added_and_not_what_was_removed);
	tcase_add_test(c, an_index_with_room_keeps_what_it_has_and_does_not_move);
	tcase_add_test(c, items_of_a_slab_never_move_and_numbers_are_used_again);
	tcase_add_test(c, a_text_is_kept_once_escaped_and_goes_with_its_last_holder);
	tcase_add_test(c, different_bytes_hash_differently_also_in_the_last_ones);
	return suite_run(s);
}
