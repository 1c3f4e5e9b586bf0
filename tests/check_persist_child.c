/* SPDX-License-Identifier: Apache-2.0 */
/* The process that writes a snapshot waits for orders, and requests wait for it. */
#include "house.h"
#include "suite.h"

static struct house h;

static void
set_up(void)
{
	house_make(&h);
}

static void
tear_down(void)
{
	house_free(&h);
}

/* As the real one does, a child waits for orders when its image is written; here it is.
 */
static void
have_an_image_written(void)
{
	h.disk->waiting = h.child_waits = true;
	house_start(&h);
	house_count(&h, 1);
	house_pass(&h, 60000);
	house_child(&h, true);
	ck_assert(!house_has(&h, DISK_STATE, "snapshot"));
	house_turn(&h);
	ck_assert(house_has(&h, DISK_STATE, "snapshot"));
}

START_TEST(journals_stay_until_the_snapshot_is_certain_to_be_found)
{
	have_an_image_written();
	house_turn(&h);
	ck_assert(house_has(&h, DISK_RUNTIME, "journal.1"));
	ck_assert(!house_figures(&h).has_snapshot);
	house_child(&h, true);
	house_turn(&h);
	ck_assert(!house_has(&h, DISK_RUNTIME, "journal.1"));
	ck_assert(house_figures(&h).has_snapshot);
	/* It has yet to end. */
	ck_assert_uint_eq(persist_due_ms(h.persist, h.talk->now_ms), UINT64_MAX);
	house_child(&h, true);
	house_turn(&h);
	ck_assert_uint_eq(persist_due_ms(h.persist, h.talk->now_ms), 60000);
	house_kill(&h);
	house_start(&h);
	house_is_exact(&h);
}
END_TEST

START_TEST(a_snapshot_that_is_not_certain_to_be_found_has_failed)
{
	have_an_image_written();
	house_child(&h, false);
	house_turn(&h);
	house_must_have_problem(&h, "cannot take its place: it failed");
	ck_assert_uint_eq(house_figures(&h).snapshot_failures, 1);
	ck_assert(house_has(&h, DISK_RUNTIME, "journal.1"));
	house_count(&h, 1);
	house_kill(&h);
	house_start(&h);
	house_is_exact(&h);
}
END_TEST

START_TEST(where_nothing_is_forced_to_the_disk_a_snapshot_counts_at_once)
{
	h.options.fsync = PERSIST_FSYNC_NEVER;
	have_an_image_written();
	ck_assert(house_figures(&h).has_snapshot);
	ck_assert(!house_has(&h, DISK_RUNTIME, "journal.1"));
	ck_assert_uint_eq(h.called[HOUSE_SYNC_FOLDER], 0);
}
END_TEST

/* Count until requests had better wait. */
static void
count_until_behind(void)
{
	h.options.journal_bytes = 4096;
	h.options.most_bytes = 4 * 4096;
	h.child_waits = true;
	house_start(&h);
	while (!persist_is_behind(h.persist, h.talk->now_ms)) {
		ck_assert_uint_le(house_figures(&h).journal_bytes, 2 * 4096);
		house_count(&h, 1);
		house_pass(&h, 1);
	}
	ck_assert_uint_gt(house_figures(&h).journal_bytes, 2 * 4096);
	ck_assert_uint_eq(h.called[HOUSE_SPAWN], 1);
}

START_TEST(requests_wait_for_a_snapshot_when_journals_get_long_and_not_for_ever)
{
	count_until_behind();
	ck_assert_uint_le(persist_due_ms(h.persist, h.talk->now_ms), 5000);
	house_pass(&h, 5000);
	ck_assert(!persist_is_behind(h.persist, h.talk->now_ms));
	ck_assert_uint_eq(persist_due_ms(h.persist, h.talk->now_ms), UINT64_MAX);
	house_child(&h, true);
	house_turn(&h);
	ck_assert_str_eq(house_problems(&h), "[]");
	house_kill(&h);
	house_start(&h);
	house_is_exact(&h);
}
END_TEST

START_TEST(requests_wait_no_more_when_the_snapshot_is_there)
{
	count_until_behind();
	house_child(&h, true);
	house_turn(&h);
	ck_assert(!persist_is_behind(h.persist, h.talk->now_ms));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("persist_child");
	TCase *c = tcase_create("all");

	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, journals_stay_until_the_snapshot_is_certain_to_be_found);
	tcase_add_test(c, a_snapshot_that_is_not_certain_to_be_found_has_failed);
	tcase_add_test(c, where_nothing_is_forced_to_the_disk_a_snapshot_counts_at_once);
	tcase_add_test(
	    c, requests_wait_for_a_snapshot_when_journals_get_long_and_not_for_ever);
	tcase_add_test(c, requests_wait_no_more_when_the_snapshot_is_there);
	suite_add_tcase(suite, c);
	return suite_run(suite);
}
