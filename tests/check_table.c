/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "table.h"
#include "texts.h"
#include "suite.h"

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
	tcase_add_test(c, items_of_a_slab_never_move_and_numbers_are_used_again);
	tcase_add_test(c, a_text_is_kept_once_escaped_and_goes_with_its_last_holder);
	tcase_add_test(c, different_bytes_hash_differently_also_in_the_last_ones);
	return suite_run(s);
}
