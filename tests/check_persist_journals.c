/* SPDX-License-Identifier: Apache-2.0 */
/* The snapshot and its journals, whenever a daemon is killed. */
#include <errno.h>

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

static void
must_have_set_aside(double n)
{
	ck_assert_double_eq(*self_cells(h.talk->self, SELF_STATE_SET_ASIDE, 0), n);
}

START_TEST(c8_what_is_acknowledged_while_a_snapshot_is_written_is_in_the_next_journal)
{
	house_start(&h);
	house_count(&h, 1);
	h.child_waits = true;
	house_pass(&h, 60000);
	house_count(&h, 1);
	house_count(&h, 1);
	house_child(&h, true);
	house_turn(&h);
	ck_assert(house_has(&h, DISK_STATE, "snapshot"));
	house_kill(&h);
	house_start(&h);
	house_is_exact(&h);
}
END_TEST

START_TEST(c8_a_kill_before_the_snapshot_is_whole_loses_nothing)
{
	house_start(&h);
	house_count(&h, 1);
	h.child_waits = true;
	house_pass(&h, 60000);
	house_count(&h, 1);
	house_kill(&h);
	ck_assert_uint_eq(house_files(&h, DISK_RUNTIME, "journal."), 2);
	house_start(&h);
	house_is_exact(&h);
}
END_TEST

START_TEST(c9_a_kill_between_a_new_name_and_the_end_of_old_journals_doubles_nothing)
{
	house_start(&h);
	house_count(&h, 1);
	h.error_of[HOUSE_REMOVE] = EIO;
	house_snapshot(&h);
	ck_assert(house_has(&h, DISK_STATE, "snapshot"));
	ck_assert(house_has(&h, DISK_RUNTIME, "journal.1"));
	house_kill(&h);
	h.error_of[HOUSE_REMOVE] = 0;
	house_start(&h);
	house_is_exact(&h);
	ck_assert(!house_has(&h, DISK_RUNTIME, "journal.1"));
}
END_TEST

START_TEST(c10_a_snapshot_has_no_record_that_its_journal_has_too)
{
	char message[] =
	    "{\"metrics\":[{\"name\":\"c\",\"type\":\"counter\",\"inc\":1}]}";

	house_start(&h);
	/* Applied in the very turn that begins the snapshot. */
	h.talk->now_ms += 60000;
	talk_json(h.talk, message);
	house_turn(&h);
	house_turn(&h);
	ck_assert(house_has(&h, DISK_STATE, "snapshot"));
	house_kill(&h);
	house_start(&h);
	ck_assert_double_eq(house_total(&h), 1);
}
END_TEST

START_TEST(c11_what_an_orphan_writes_never_takes_a_place)
{
	h.disk->orphans = true;
	h.child_waits = true;
	house_start(&h);
	house_count(&h, 1);
	house_pass(&h, 60000);
	house_kill(&h);
	house_start(&h);
	house_count(&h, 1);
	/* It ends while the next daemon runs. */
	while (sim_disk_child(h.disk, true))
		;
	house_kill(&h);
	ck_assert(!house_has(&h, DISK_STATE, "snapshot"));
	ck_assert_uint_eq(house_files(&h, DISK_STATE, "tmp."), 1);
	house_start(&h);
	house_is_exact(&h);
	ck_assert_uint_eq(house_files(&h, DISK_STATE, "tmp."), 0);
}
END_TEST

START_TEST(c12_a_torn_tail_is_cut_before_anything_follows_it)
{
	house_start(&h);
	house_count(&h, 1);
	house_count(&h, 1);
	house_kill(&h);
	/* As if the last one had been torn, and not acknowledged. */
	house_file(&h, DISK_RUNTIME, "journal.1")->bytes -= 5;
	h.counted = 1;
	house_start(&h);
	house_is_exact(&h);
	ck_assert(house_logged(&h, "journal.1: cut after "));
	house_count(&h, 1);
	house_kill(&h);
	house_start(&h);
	house_is_exact(&h);
	must_have_set_aside(0);
}
END_TEST

START_TEST(c12_a_changed_byte_ends_a_journal_there)
{
	struct sim_file *f;
	size_t bytes[6];
	size_t n;

	for (n = 0; n < 6; n++) {
		if (n == 0)
			house_start(&h);
		bytes[n] = house_file(&h, DISK_RUNTIME, "journal.1")->bytes;
		house_count(&h, 1);
	}
	house_kill(&h);
	f = house_file(&h, DISK_RUNTIME, "journal.1");
	f->at[bytes[3] + 12] ^= 1;
	h.counted = 3;
	house_start(&h);
	house_is_exact(&h);
}
END_TEST

START_TEST(c13_a_journal_without_its_end_is_followed_by_none)
{
	struct house_copy first;

	h.child_fails = true;
	house_start(&h);
	house_count(&h, 1);
	house_copy(&h, DISK_RUNTIME, "journal.1", &first);
	house_count(&h, 1);
	house_snapshot(&h);
	house_count(&h, 1);
	house_kill(&h);
	/* Its tail did not come to the disk, and the next journal did. */
	house_put(&h, DISK_RUNTIME, "journal.1", first.at, first.n);
	h.counted = 1;
	house_start(&h);
	house_is_exact(&h);
	must_have_set_aside(1);
	ck_assert(house_has(&h, DISK_RUNTIME, "journal.2.bad-1"));
	house_count(&h, 1);
	house_kill(&h);
	house_start(&h);
	house_is_exact(&h);
}
END_TEST

START_TEST(a_journal_that_is_missing_ends_what_is_used)
{
	const struct disk *d = &h.disk->ops;

	h.child_fails = true;
	house_start(&h);
	house_count(&h, 1);
	house_snapshot(&h);
	house_count(&h, 1);
	house_snapshot(&h);
	house_count(&h, 1);
	house_kill(&h);
	ck_assert_int_eq(d->remove(d->arg, DISK_RUNTIME, "journal.2"), 0);
	h.counted = 1;
	house_start(&h);
	house_is_exact(&h);
	ck_assert(house_has(&h, DISK_RUNTIME, "journal.3.bad-1"));
}
END_TEST

START_TEST(an_empty_journal_is_as_none)
{
	house_start(&h);
	house_count(&h, 1);
	house_kill(&h);
	house_start(&h);
	house_kill(&h);
	house_put(&h, DISK_RUNTIME, "journal.2", "", 0);
	house_start(&h);
	house_is_exact(&h);
	must_have_set_aside(0);
	house_count(&h, 1);
	house_kill(&h);
	house_start(&h);
	house_is_exact(&h);
}
END_TEST

START_TEST(without_the_runtime_folder_there_is_the_snapshot)
{
	house_start(&h);
	house_count(&h, 1);
	house_snapshot(&h);
	house_count(&h, 1);
	house_kill(&h);
	sim_disk_wipe(h.disk, DISK_RUNTIME);
	h.counted = 1;
	house_start(&h);
	house_is_exact(&h);
	must_have_set_aside(0);
	house_count(&h, 1);
	house_kill(&h);
	house_start(&h);
	house_is_exact(&h);
}
END_TEST

START_TEST(without_the_state_folder_a_new_state_begins)
{
	house_start(&h);
	house_count(&h, 1);
	house_snapshot(&h);
	house_count(&h, 1);
	house_kill(&h);
	sim_disk_wipe(h.disk, DISK_STATE);
	house_start(&h);
	ck_assert_double_eq(house_total(&h), 0);
	must_have_set_aside(1);
	ck_assert(house_has(&h, DISK_RUNTIME, "journal.2.bad-1"));
	h.counted = 0;
	house_count(&h, 1);
	house_kill(&h);
	house_start(&h);
	house_is_exact(&h);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("persist_journals");
	TCase *c = tcase_create("all");

	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c,
	    c8_what_is_acknowledged_while_a_snapshot_is_written_is_in_the_next_journal);
	tcase_add_test(c, c8_a_kill_before_the_snapshot_is_whole_loses_nothing);
	tcase_add_test(
	    c, c9_a_kill_between_a_new_name_and_the_end_of_old_journals_doubles_nothing);
	tcase_add_test(c, c10_a_snapshot_has_no_record_that_its_journal_has_too);
	tcase_add_test(c, c11_what_an_orphan_writes_never_takes_a_place);
	tcase_add_test(c, c12_a_torn_tail_is_cut_before_anything_follows_it);
	tcase_add_test(c, c12_a_changed_byte_ends_a_journal_there);
	tcase_add_test(c, c13_a_journal_without_its_end_is_followed_by_none);
	tcase_add_test(c, a_journal_that_is_missing_ends_what_is_used);
	tcase_add_test(c, an_empty_journal_is_as_none);
	tcase_add_test(c, without_the_runtime_folder_there_is_the_snapshot);
	tcase_add_test(c, without_the_state_folder_a_new_state_begins);
	suite_add_tcase(suite, c);
	return suite_run(suite);
}
