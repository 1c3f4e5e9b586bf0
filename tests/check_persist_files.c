/* SPDX-License-Identifier: Apache-2.0 */
/* Which files are used at a start, and which are not. */
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

static void
must_have_set_aside(double n)
{
	ck_assert_double_eq(*self_cells(h.talk->self, SELF_STATE_SET_ASIDE, 0), n);
}

static struct sim_file *
file(enum disk_place place, const char *name)
{
	struct sim_file *f = sim_disk_file(h.disk, place, name);

	ck_assert_msg(f != NULL, "there is no %s", name);
	return f;
}

/* A file of the test's. */
static void
put_file(enum disk_place place, const char *name, const void *bytes, size_t n)
{
	const struct disk *d = &h.disk->ops;
	int f;

	ck_assert_int_eq(d->create(d->arg, place, name, &f), 0);
	ck_assert_int_eq(d->write(d->arg, f, bytes, n), 0);
	d->close(d->arg, f);
}

/* A copy of a file as it is now, to be put somewhere later. */
struct copy {
	uint8_t at[65536];
	size_t n;
};

static void
copy_file(enum disk_place place, const char *name, struct copy *ret)
{
	struct sim_file *f = file(place, name);

	ck_assert_uint_lt(f->bytes, sizeof(ret->at));
	memcpy(ret->at, f->at, f->bytes);
	ret->n = f->bytes;
}

static void
rename_file(enum disk_place place, const char *from, const char *to)
{
	const struct disk *d = &h.disk->ops;

	ck_assert_int_eq(d->rename(d->arg, place, from, to), 0);
}

/* ---- The snapshot and the journals ------------------------------------- */

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
	file(DISK_RUNTIME, "journal.1")->bytes -= 5;
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
		bytes[n] = file(DISK_RUNTIME, "journal.1")->bytes;
		house_count(&h, 1);
	}
	house_kill(&h);
	f = file(DISK_RUNTIME, "journal.1");
	f->at[bytes[3] + 12] ^= 1;
	h.counted = 3;
	house_start(&h);
	house_is_exact(&h);
}
END_TEST

START_TEST(c13_a_journal_without_its_end_is_followed_by_none)
{
	struct copy first;

	h.child_fails = true;
	house_start(&h);
	house_count(&h, 1);
	copy_file(DISK_RUNTIME, "journal.1", &first);
	house_count(&h, 1);
	house_snapshot(&h);
	house_count(&h, 1);
	house_kill(&h);
	/* Its tail did not come to the disk, and the next journal did. */
	put_file(DISK_RUNTIME, "journal.1", first.at, first.n);
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
	put_file(DISK_RUNTIME, "journal.2", "", 0);
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

/* ---- Files that cannot be used ----------------------------------------- */

/* A state with a snapshot and a journal after it, of a daemon that was killed. */
static void
leave_a_state(void)
{
	house_start(&h);
	house_count(&h, 1);
	house_snapshot(&h);
	house_count(&h, 1);
	house_kill(&h);
}

/* A new state begins, goes on, and is found again. */
static void
must_begin_anew(const char *aside)
{
	house_start(&h);
	ck_assert_double_eq(house_total(&h), 0);
	ck_assert_msg(
	    house_has(&h, DISK_STATE, aside), "no %s: %s", aside, h.talk->logged.at);
	ck_assert(house_logged(&h, "it is set aside as "));
	must_have_set_aside(2);
	h.counted = 0;
	house_count(&h, 1);
	house_snapshot(&h);
	house_count(&h, 1);
	house_kill(&h);
	house_start(&h);
	house_is_exact(&h);
	ck_assert(house_has(&h, DISK_STATE, aside));
}

START_TEST(a_damaged_snapshot_is_set_aside_with_its_journals)
{
	struct sim_file *f;

	leave_a_state();
	f = file(DISK_STATE, "snapshot");
	f->at[f->bytes / 2] ^= 0x10;
	must_begin_anew("snapshot.bad-1");
}
END_TEST

START_TEST(a_snapshot_that_was_cut_is_set_aside)
{
	leave_a_state();
	file(DISK_STATE, "snapshot")->bytes -= 1;
	must_begin_anew("snapshot.bad-1");
}
END_TEST

START_TEST(a_file_of_somebody_else_is_set_aside)
{
	leave_a_state();
	put_file(DISK_STATE, "snapshot", "hello world, this is no snapshot", 32);
	must_begin_anew("snapshot.bad-1");
}
END_TEST

/* The head of a file with another format, as a newer release would write it. */
static void
make_newer(enum disk_place place, const char *name, uint8_t type)
{
	struct journal_head head = { .store = 1, .generation = 1, .first = 1 };
	struct strbuf text = STRBUF_EMPTY;
	struct journal *j = journal_new();
	const void *bytes;
	size_t n;
	uint8_t body[512];

	journal_put_head_of(&text, type, &head);
	n = text.bytes - JOURNAL_FRAME_BYTES;
	memcpy(body, text.at + JOURNAL_FRAME_BYTES, n);
	wire_store_u32(body + 8, JOURNAL_FORMAT + 1);
	journal_add(j, type, body, n);
	bytes = journal_bytes(j, &n);
	put_file(place, name, bytes, n);
	journal_free(j);
	strbuf_free(&text);
}

START_TEST(a_snapshot_of_a_newer_release_is_set_aside_as_such)
{
	leave_a_state();
	make_newer(DISK_STATE, "snapshot", JOURNAL_TYPE);
	must_begin_anew("snapshot.newer-1");
}
END_TEST

START_TEST(a_journal_of_a_newer_release_is_set_aside_as_such)
{
	leave_a_state();
	make_newer(DISK_RUNTIME, "journal.2", JOURNAL_HEAD);
	h.counted = 1;
	house_start(&h);
	house_is_exact(&h);
	ck_assert(house_has(&h, DISK_RUNTIME, "journal.2.newer-1"));
	house_count(&h, 1);
	house_kill(&h);
	house_start(&h);
	house_is_exact(&h);
}
END_TEST

START_TEST(what_is_no_file_is_set_aside)
{
	leave_a_state();
	h.error_of[HOUSE_READ] = EINVAL;
	house_start(&h);
	ck_assert(house_has(&h, DISK_STATE, "snapshot.bad-1"));
	ck_assert(house_logged(&h, "/state/snapshot: it is no file"));
}
END_TEST

START_TEST(a_journal_that_began_after_a_snapshot_is_nothing_without_it)
{
	h.options.journal = false;
	house_start(&h);
	house_count(&h, 1);
	house_snapshot(&h);
	house_kill(&h);
	h.options.journal = true;
	house_start(&h);
	house_count(&h, 1);
	house_kill(&h);
	file(DISK_STATE, "snapshot")->at[30] ^= 1;
	must_begin_anew("snapshot.bad-1");
}
END_TEST

START_TEST(a_second_damage_has_a_name_of_its_own)
{
	leave_a_state();
	file(DISK_STATE, "snapshot")->at[30] ^= 1;
	h.counted = 0;
	leave_a_state();
	file(DISK_STATE, "snapshot")->at[30] ^= 1;
	house_start(&h);
	ck_assert(house_has(&h, DISK_STATE, "snapshot.bad-1"));
	ck_assert(house_has(&h, DISK_STATE, "snapshot.bad-2"));
}
END_TEST

START_TEST(journals_of_another_state_are_set_aside)
{
	struct copy snapshot, journal;

	leave_a_state();
	copy_file(DISK_STATE, "snapshot", &snapshot);
	sim_disk_wipe(h.disk, DISK_STATE);
	sim_disk_wipe(h.disk, DISK_RUNTIME);
	h.counted = 0;
	leave_a_state();
	copy_file(DISK_RUNTIME, "journal.2", &journal);
	/* The first state again, with the runtime folder of the second. */
	put_file(DISK_STATE, "snapshot", snapshot.at, snapshot.n);
	house_start(&h);
	ck_assert_double_eq(house_total(&h), 1);
	ck_assert(house_has(&h, DISK_RUNTIME, "journal.2.bad-1"));
	ck_assert(house_logged(&h, "it belongs to another state"));
	house_kill(&h);
	/* An old one, too, that the snapshot would have. */
	put_file(DISK_RUNTIME, "journal.1", journal.at, journal.n);
	house_start(&h);
	ck_assert(house_has(&h, DISK_RUNTIME, "journal.1.bad-1"));
}
END_TEST

START_TEST(a_journal_under_another_name_is_not_used)
{
	house_start(&h);
	house_count(&h, 1);
	house_kill(&h);
	rename_file(DISK_RUNTIME, "journal.1", "journal.5");
	house_start(&h);
	ck_assert_double_eq(house_total(&h), 0);
	ck_assert(house_has(&h, DISK_RUNTIME, "journal.5.bad-1"));
}
END_TEST

START_TEST(other_files_are_left_alone)
{
	static const char *const names[] = { "journal.", "journal.01", "journal.1x",
		"journal.-1", "journal", "http.port", "journal.0",
		"journal.99999999999999999999999", "snapshot.old" };

	house_start(&h);
	house_count(&h, 1);
	house_kill(&h);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		put_file(DISK_RUNTIME, names[i], "x", 1);
	put_file(DISK_STATE, "snapshot.old", "x", 1);
	house_start(&h);
	house_is_exact(&h);
	must_have_set_aside(0);
	ck_assert_int_eq(house_stop(&h), 0);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		ck_assert(house_has(&h, DISK_RUNTIME, names[i]));
	ck_assert(house_has(&h, DISK_STATE, "snapshot.old"));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("persist_files");
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
	tcase_add_test(c, a_damaged_snapshot_is_set_aside_with_its_journals);
	tcase_add_test(c, a_snapshot_that_was_cut_is_set_aside);
	tcase_add_test(c, a_file_of_somebody_else_is_set_aside);
	tcase_add_test(c, a_snapshot_of_a_newer_release_is_set_aside_as_such);
	tcase_add_test(c, a_journal_of_a_newer_release_is_set_aside_as_such);
	tcase_add_test(c, what_is_no_file_is_set_aside);
	tcase_add_test(c, a_journal_that_began_after_a_snapshot_is_nothing_without_it);
	tcase_add_test(c, a_second_damage_has_a_name_of_its_own);
	tcase_add_test(c, journals_of_another_state_are_set_aside);
	tcase_add_test(c, a_journal_under_another_name_is_not_used);
	tcase_add_test(c, other_files_are_left_alone);
	suite_add_tcase(suite, c);
	return suite_run(suite);
}
