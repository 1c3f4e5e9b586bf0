/* SPDX-License-Identifier: Apache-2.0 */
/* Folders that cannot be used, and writes that fail. */
#include <errno.h>
#include <stdio.h>

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

/* ---- Folders ----------------------------------------------------------- */

START_TEST(a_folder_that_another_daemon_has_ends_the_start)
{
	h.error_of[HOUSE_OPEN] = EWOULDBLOCK;
	ck_assert_int_eq(house_try(&h), -1);
	ck_assert_str_eq(h.started,
	    "another dynamo-metricsd has the folder /state: stop it, or give this one "
	    "another folder (DYN_METRICSD_STATE)");
}
END_TEST

START_TEST(a_folder_that_cannot_be_used_is_a_problem_until_it_can)
{
	h.error_of[HOUSE_OPEN] = EACCES;
	house_start(&h);
	house_must_have_problem(&h, "no snapshot in /state: Permission denied");
	house_must_have_problem(
	    &h, "the journal cannot be made in /runtime: Permission denied");
	ck_assert(house_figures(&h).degraded);
	house_count(&h, 1);
	house_is_exact(&h);
	house_snapshot(&h);
	ck_assert(house_figures(&h).degraded);
	h.error_of[HOUSE_OPEN] = 0;
	house_snapshot(&h);
	ck_assert_str_eq(house_problems(&h), "[]");
	ck_assert(!house_figures(&h).degraded);
	house_count(&h, 1);
	house_kill(&h);
	house_start(&h);
	house_is_exact(&h);
}
END_TEST

START_TEST(a_folder_that_another_daemon_has_later_is_a_problem_that_says_so)
{
	h.error_of[HOUSE_OPEN] = EACCES;
	house_start(&h);
	h.error_of[HOUSE_OPEN] = EWOULDBLOCK;
	house_snapshot(&h);
	house_must_have_problem(
	    &h, "no snapshot in /state: another dynamo-metricsd has the folder");
	h.error_of[HOUSE_OPEN] = 0;
	h.error_in[DISK_RUNTIME] = EWOULDBLOCK;
	house_snapshot(&h);
	house_must_have_problem(&h, "the journal cannot be made in /runtime: another "
				    "dynamo-metricsd has the folder");
}
END_TEST

START_TEST(a_state_in_a_folder_that_is_there_too_late_is_set_aside)
{
	house_leave_a_state(&h);
	h.error_of[HOUSE_OPEN] = ENOENT;
	h.counted = 0;
	house_start(&h);
	ck_assert_double_eq(house_total(&h), 0);
	house_count(&h, 1);
	h.error_of[HOUSE_OPEN] = 0;
	house_snapshot(&h);
	ck_assert(house_has(&h, DISK_STATE, "snapshot.bad-1"));
	ck_assert(house_has(&h, DISK_RUNTIME, "journal.2.bad-1"));
	house_kill(&h);
	house_start(&h);
	house_is_exact(&h);
}
END_TEST

/* ---- Writes that fail -------------------------------------------------- */

START_TEST(c18_a_full_disk_costs_what_comes_after_it_and_nothing_else)
{
	size_t bytes;

	house_start(&h);
	house_count(&h, 1);
	bytes = house_file(&h, DISK_RUNTIME, "journal.1")->bytes;
	h.error_of[HOUSE_WRITE] = ENOSPC;
	house_count(&h, 1);
	ck_assert(house_figures(&h).degraded);
	house_must_have_problem(
	    &h, "the journal cannot be written in /runtime: No space left");
	ck_assert_uint_eq(house_file(&h, DISK_RUNTIME, "journal.1")->bytes, bytes);
	/* Room again: nothing follows what is missing. */
	h.error_of[HOUSE_WRITE] = 0;
	house_count(&h, 1);
	ck_assert_uint_eq(house_file(&h, DISK_RUNTIME, "journal.1")->bytes, bytes);
	house_is_exact(&h);
	ck_assert_double_eq(*self_cells(h.talk->self, SELF_JOURNAL_FAILURES, 0), 1);
	house_kill(&h);
	house_start(&h);
	ck_assert_double_eq(house_total(&h), 1);
	ck_assert(!house_figures(&h).degraded);
}
END_TEST

START_TEST(c18_the_next_snapshot_ends_it)
{
	house_start(&h);
	house_count(&h, 1);
	h.error_of[HOUSE_WRITE] = EIO;
	house_count(&h, 1);
	h.error_of[HOUSE_WRITE] = 0;
	house_snapshot(&h);
	ck_assert(!house_figures(&h).degraded);
	ck_assert_str_eq(house_problems(&h), "[]");
	house_count(&h, 1);
	house_kill(&h);
	house_start(&h);
	house_is_exact(&h);
}
END_TEST

START_TEST(c18_until_the_snapshot_is_whole_the_next_journal_is_not_used)
{
	house_start(&h);
	house_count(&h, 1);
	h.error_of[HOUSE_WRITE] = EIO;
	house_count(&h, 1);
	h.error_of[HOUSE_WRITE] = 0;
	h.child_waits = true;
	house_pass(&h, 60000);
	ck_assert(house_has(&h, DISK_RUNTIME, "journal.2"));
	ck_assert(house_figures(&h).degraded);
	house_count(&h, 1);
	house_kill(&h);
	house_start(&h);
	/* A prefix of what was counted, and never what stands behind the hole alone. */
	ck_assert_double_eq(house_total(&h), 1);
	ck_assert(house_has(&h, DISK_RUNTIME, "journal.2.bad-1"));
}
END_TEST

START_TEST(c18_a_second_failure_while_the_snapshot_is_written_is_not_ended_by_it)
{
	house_start(&h);
	house_count(&h, 1);
	h.child_waits = true;
	house_pass(&h, 60000);
	h.error_of[HOUSE_WRITE] = EIO;
	house_count(&h, 1);
	h.error_of[HOUSE_WRITE] = 0;
	house_child(&h, true);
	house_turn(&h);
	ck_assert(house_figures(&h).has_snapshot);
	ck_assert(house_figures(&h).degraded);
	h.child_waits = false;
	house_snapshot(&h);
	ck_assert(!house_figures(&h).degraded);
	house_count(&h, 1);
	house_kill(&h);
	house_start(&h);
	house_is_exact(&h);
}
END_TEST

START_TEST(a_runtime_folder_without_room_for_a_journal_does_not_keep_a_snapshot_away)
{
	house_start(&h);
	house_count(&h, 1);
	h.error_in[DISK_RUNTIME] = ENOSPC;
	house_snapshot(&h);
	ck_assert(house_has(&h, DISK_STATE, "snapshot"));
	ck_assert(house_figures(&h).degraded);
	house_kill(&h);
	h.error_in[DISK_RUNTIME] = 0;
	house_start(&h);
	house_is_exact(&h);
}
END_TEST

START_TEST(a_write_that_cannot_be_forced_to_the_disk_is_one_that_failed)
{
	h.options.fsync = PERSIST_FSYNC_ALWAYS;
	house_start(&h);
	house_count(&h, 1);
	h.error_of[HOUSE_SYNC] = EIO;
	house_count(&h, 1);
	ck_assert(house_figures(&h).degraded);
	house_must_have_problem(&h, "Input/output error");
	house_snapshot(&h);
	ck_assert(house_figures(&h).degraded);
	h.error_of[HOUSE_SYNC] = 0;
	house_snapshot(&h);
	ck_assert(!house_figures(&h).degraded);
	house_kill(&h);
	house_start(&h);
	house_is_exact(&h);
}
END_TEST

START_TEST(journals_do_not_grow_without_end_while_no_snapshot_can_be_written)
{
	h.options.journal_bytes = 4096;
	h.options.most_bytes = 3 * 4096;
	h.child_fails = true;
	house_start(&h);
	for (int i = 0; i < 200; i++)
		house_count(&h, 1);
	ck_assert_uint_le(house_figures(&h).journal_bytes, 3 * 4096);
	ck_assert(house_figures(&h).degraded);
	house_must_have_problem(&h, "the most that they may take (state.journal_bytes)");
	house_is_exact(&h);
	h.child_fails = false;
	house_snapshot(&h);
	ck_assert(!house_figures(&h).degraded);
	ck_assert_uint_lt(house_figures(&h).journal_bytes, 4096);
	house_count(&h, 1);
	house_kill(&h);
	house_start(&h);
	house_is_exact(&h);
}
END_TEST

START_TEST(journals_that_cannot_be_removed_bring_no_snapshot_in_each_turn)
{
	h.options.journal_bytes = 4096;
	h.options.most_bytes = 3 * 4096;
	h.error_of[HOUSE_REMOVE] = EPERM;
	house_start(&h);
	for (int i = 0; i < 400; i++)
		house_count(&h, 1);
	ck_assert_uint_gt(house_figures(&h).journal_bytes, 4 * 4096);
	ck_assert_uint_ge(h.called[HOUSE_SPAWN], 4);
	ck_assert_uint_le(h.called[HOUSE_SPAWN], house_figures(&h).journal_bytes / 4096);
	ck_assert(!house_figures(&h).degraded);
	ck_assert(house_logged(
	    &h, "/runtime/journal.1 cannot be removed: Operation not permitted"));
	h.error_of[HOUSE_REMOVE] = 0;
	house_snapshot(&h);
	ck_assert_uint_lt(house_figures(&h).journal_bytes, 4096);
	house_kill(&h);
	house_start(&h);
	house_is_exact(&h);
}
END_TEST

START_TEST(a_start_that_cannot_end_the_last_journal_is_degraded)
{
	house_start(&h);
	house_count(&h, 1);
	house_kill(&h);
	h.error_of[HOUSE_OPEN_AT] = EROFS;
	house_start(&h);
	house_is_exact(&h);
	ck_assert(house_figures(&h).degraded);
	house_must_have_problem(
	    &h, "/runtime/journal.1 cannot be ended: Read-only file system");
	house_count(&h, 1);
	house_snapshot(&h);
	ck_assert(!house_figures(&h).degraded);
	house_kill(&h);
	house_start(&h);
	house_is_exact(&h);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("persist_degraded");
	TCase *c = tcase_create("all");

	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, a_folder_that_another_daemon_has_ends_the_start);
	tcase_add_test(c, a_folder_that_cannot_be_used_is_a_problem_until_it_can);
	tcase_add_test(
	    c, a_folder_that_another_daemon_has_later_is_a_problem_that_says_so);
	tcase_add_test(c, journals_that_cannot_be_removed_bring_no_snapshot_in_each_turn);
	tcase_add_test(c, a_state_in_a_folder_that_is_there_too_late_is_set_aside);
	tcase_add_test(c, c18_a_full_disk_costs_what_comes_after_it_and_nothing_else);
	tcase_add_test(c, c18_the_next_snapshot_ends_it);
	tcase_add_test(c, c18_until_the_snapshot_is_whole_the_next_journal_is_not_used);
	tcase_add_test(
	    c, c18_a_second_failure_while_the_snapshot_is_written_is_not_ended_by_it);
	tcase_add_test(
	    c, a_runtime_folder_without_room_for_a_journal_does_not_keep_a_snapshot_away);
	tcase_add_test(c, a_write_that_cannot_be_forced_to_the_disk_is_one_that_failed);
	tcase_add_test(
	    c, journals_do_not_grow_without_end_while_no_snapshot_can_be_written);
	tcase_add_test(c, a_start_that_cannot_end_the_last_journal_is_degraded);
	suite_add_tcase(suite, c);
	return suite_run(suite);
}
