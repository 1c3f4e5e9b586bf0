/* SPDX-License-Identifier: Apache-2.0 */
/* What series share: groups, and the places of families. */
#include <stdlib.h>

#include "failing.h"
#include "groups.h"
#include "suite.h"

static struct family first = { .number = 1 }, second = { .number = 2 };

START_TEST(series_of_one_family_schema_and_owner_share_a_group)
{
	struct groups g;
	uint32_t group, other[3];

	groups_init(&g);
	group = groups_take(&g, &first, 5, 1);
	ck_assert_uint_ne(group, 0);
	other[0] = groups_take(&g, &second, 5, 1);
	other[1] = groups_take(&g, &first, 6, 1);
	other[2] = groups_take(&g, &first, 5, 2);
	for (size_t i = 0; i < 3; i++) {
		ck_assert_uint_ne(other[i], 0);
		ck_assert_uint_ne(other[i], group);
		for (size_t k = 0; k < i; k++)
			ck_assert_uint_ne(other[i], other[k]);
	}
	ck_assert_uint_eq(groups_take(&g, &first, 5, 1), group);
	ck_assert_uint_eq(groups_at(&g, group)->n_series, 2);
	ck_assert_ptr_eq(groups_at(&g, group)->family, &first);
	ck_assert_uint_eq(groups_at(&g, group)->schema, 5);
	ck_assert_uint_eq(groups_at(&g, group)->owner, 1);
	groups_free(&g);
}
END_TEST

START_TEST(a_group_ends_with_its_last_series)
{
	struct groups g;
	uint32_t group;

	groups_init(&g);
	group = groups_take(&g, &first, 5, 1);
	groups_take(&g, &first, 5, 1);
	groups_release(&g, group);
	ck_assert_uint_eq(groups_at(&g, group)->n_series, 1);
	groups_release(&g, group);
	ck_assert_uint_eq(g.items.live, 0);
	/* its number is another's now */
	ck_assert_uint_eq(groups_take(&g, &second, 7, 3), group);
	ck_assert_uint_ne(groups_take(&g, &first, 5, 1), group);
	ck_assert_uint_eq(g.items.live, 2);
	groups_free(&g);
}
END_TEST

START_TEST(a_group_that_there_is_no_memory_for_leaves_nothing)
{
	for (size_t n = 0; failing_more(n); n++) {
		struct groups g;
		uint32_t group;

		groups_init(&g);
		failing_after(n);
		group = groups_take(&g, &first, 5, 1);
		if (failing_end())
			ck_assert_uint_eq(group, 0);
		ck_assert_uint_eq(g.items.live, group != 0);
		ck_assert_uint_ne(groups_take(&g, &first, 5, 1), 0);
		ck_assert_uint_eq(g.items.live, 1);
		groups_free(&g);
	}
}
END_TEST

/* ---- Places ------------------------------------------------------------ */

static struct family *
family_of(struct families *f, uint32_t members)
{
	static const struct message_metric m = { .kind = MESSAGE_COUNTER,
		.name = { "c", 1 } };
	struct family *family = family_new(f, &m);
	uint32_t position;

	ck_assert_ptr_nonnull(family);
	family_add(f, family);
	for (uint32_t i = 0; i < members; i++) {
		ck_assert(family_add_member(family, i + 1, &position));
		ck_assert_uint_eq(position, i);
	}
	return family;
}

START_TEST(a_family_that_lost_no_member_keeps_no_births)
{
	struct families f = { 0 };
	struct family *family = family_of(&f, 1000);

	ck_assert_ptr_null(family->born);
	for (uint32_t i = 0; i < 1000; i++)
		ck_assert(!family_is_younger(family, i, family->births));
	families_free(&f);
}
END_TEST

START_TEST(who_comes_to_a_hole_is_younger_than_a_walk_that_had_begun)
{
	struct families f = { 0 };
	struct family *family = family_of(&f, 10);
	uint32_t before = family->births, between, position;

	family_remove_member(family, 3);
	family_remove_member(family, 7);
	ck_assert(family_add_member(family, 20, &position));
	ck_assert_uint_eq(position, 7);
	between = family->births;
	ck_assert(family_add_member(family, 21, &position));
	ck_assert_uint_eq(position, 3);
	ck_assert(family_is_younger(family, 7, before));
	ck_assert(family_is_younger(family, 3, before));
	ck_assert(!family_is_younger(family, 7, between));
	ck_assert(family_is_younger(family, 3, between));
	for (uint32_t i = 0; i < 10; i++)
		ck_assert(!family_is_younger(family, i, family->births));
	/* births are kept where the family grows, and of those that come behind none */
	for (uint32_t i = 30; i < 60; i++)
		ck_assert(family_add_member(family, i, &position));
	ck_assert_uint_eq(position, 39);
	ck_assert(!family_is_younger(family, 2, before));
	ck_assert(family_is_younger(family, 3, between));
	families_free(&f);
}
END_TEST

START_TEST(births_begin_again_after_four_billion)
{
	struct families f = { 0 };
	struct family *family = family_of(&f, 10);
	uint32_t before, position;

	family->births = UINT32_MAX - 1;
	for (uint32_t i = 0; i < 5; i++) {
		before = family->births;
		family_remove_member(family, i);
		ck_assert(family_add_member(family, 20, &position));
		ck_assert(family_is_younger(family, i, before));
		ck_assert(!family_is_younger(family, i, family->births));
	}
	families_free(&f);
}
END_TEST

START_TEST(a_hole_without_memory_for_births_stays_one)
{
	struct families f = { 0 };
	struct family *family = family_of(&f, 10);
	uint32_t position;

	family_remove_member(family, 4);
	failing_after(0);
	ck_assert(!family_add_member(family, 20, &position));
	ck_assert(failing_end());
	ck_assert(family_is_hole(family, 4));
	ck_assert_uint_eq(family->n_series, 9);
	ck_assert(family_add_member(family, 20, &position));
	ck_assert_uint_eq(position, 4);
	families_free(&f);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("groups");
	TCase *c = tcase_create("groups");

	suite_add_tcase(s, c);
	tcase_add_test(c, series_of_one_family_schema_and_owner_share_a_group);
	tcase_add_test(c, a_group_ends_with_its_last_series);
	tcase_add_test(c, a_group_that_there_is_no_memory_for_leaves_nothing);
	tcase_add_test(c, a_family_that_lost_no_member_keeps_no_births);
	tcase_add_test(c, who_comes_to_a_hole_is_younger_than_a_walk_that_had_begun);
	tcase_add_test(c, births_begin_again_after_four_billion);
	tcase_add_test(c, a_hole_without_memory_for_births_stays_one);
	return suite_run(s);
}
