/* SPDX-License-Identifier: Apache-2.0 */
/* Files that cannot be used at a start. */
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

static void
rename_file(enum disk_place place, const char *from, const char *to)
{
	const struct disk *d = &h.disk->ops;

	ck_assert_int_eq(d->rename(d->arg, place, from, to), 0);
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

	house_leave_a_state(&h);
	f = house_file(&h, DISK_STATE, "snapshot");
	f->at[f->bytes / 2] ^= 0x10;
	must_begin_anew("snapshot.bad-1");
}
END_TEST

START_TEST(a_snapshot_that_was_cut_is_set_aside)
{
	house_leave_a_state(&h);
	house_file(&h, DISK_STATE, "snapshot")->bytes -= 1;
	must_begin_anew("snapshot.bad-1");
}
END_TEST

START_TEST(a_file_of_somebody_else_is_set_aside)
{
	house_leave_a_state(&h);
	house_put(&h, DISK_STATE, "snapshot", "hello world, this is no snapshot", 32);
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
	house_put(&h, place, name, bytes, n);
	journal_free(j);
	strbuf_free(&text);
}

START_TEST(a_snapshot_of_a_newer_release_is_set_aside_as_such)
{
	house_leave_a_state(&h);
	make_newer(DISK_STATE, "snapshot", JOURNAL_TYPE);
	must_begin_anew("snapshot.newer-1");
}
END_TEST

START_TEST(a_journal_of_a_newer_release_is_set_aside_as_such)
{
	house_leave_a_state(&h);
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
	house_leave_a_state(&h);
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
	house_file(&h, DISK_STATE, "snapshot")->at[30] ^= 1;
	must_begin_anew("snapshot.bad-1");
}
END_TEST

START_TEST(a_second_damage_has_a_name_of_its_own)
{
	house_leave_a_state(&h);
	house_file(&h, DISK_STATE, "snapshot")->at[30] ^= 1;
	h.counted = 0;
	house_leave_a_state(&h);
	house_file(&h, DISK_STATE, "snapshot")->at[30] ^= 1;
	house_start(&h);
	ck_assert(house_has(&h, DISK_STATE, "snapshot.bad-1"));
	ck_assert(house_has(&h, DISK_STATE, "snapshot.bad-2"));
}
END_TEST

START_TEST(journals_of_another_state_are_set_aside)
{
	struct house_copy snapshot, journal;

	house_leave_a_state(&h);
	house_copy(&h, DISK_STATE, "snapshot", &snapshot);
	sim_disk_wipe(h.disk, DISK_STATE);
	sim_disk_wipe(h.disk, DISK_RUNTIME);
	h.counted = 0;
	house_leave_a_state(&h);
	house_copy(&h, DISK_RUNTIME, "journal.2", &journal);
	/* The first state again, with the runtime folder of the second. */
	house_put(&h, DISK_STATE, "snapshot", snapshot.at, snapshot.n);
	house_start(&h);
	ck_assert_double_eq(house_total(&h), 1);
	ck_assert(house_has(&h, DISK_RUNTIME, "journal.2.bad-1"));
	ck_assert(house_logged(&h, "it belongs to another state"));
	house_kill(&h);
	/* An old one, too, that the snapshot would have. */
	house_put(&h, DISK_RUNTIME, "journal.1", journal.at, journal.n);
	house_start(&h);
	ck_assert(house_has(&h, DISK_RUNTIME, "journal.1.bad-1"));
}
END_TEST

START_TEST(of_the_journals_that_the_snapshot_has_only_those_are_removed)
{
	struct house_copy journal;

	house_leave_a_state(&h);
	house_copy(&h, DISK_RUNTIME, "journal.2", &journal);
	house_start(&h);
	house_snapshot(&h);
	house_snapshot(&h);
	house_kill(&h);
	/* The state's own, under its name; nothing; and what is neither. */
	house_put(&h, DISK_RUNTIME, "journal.2", journal.at, journal.n);
	house_put(&h, DISK_RUNTIME, "journal.1", "", 0);
	house_start(&h);
	house_is_exact(&h);
	must_have_set_aside(0);
	ck_assert(!house_has(&h, DISK_RUNTIME, "journal.1"));
	ck_assert(!house_has(&h, DISK_RUNTIME, "journal.2"));
	house_kill(&h);
	house_put(&h, DISK_RUNTIME, "journal.1", journal.at, journal.n);
	house_put(&h, DISK_RUNTIME, "journal.2", "hello, this is no journal at all", 32);
	house_start(&h);
	house_is_exact(&h);
	must_have_set_aside(2);
	ck_assert(house_has(&h, DISK_RUNTIME, "journal.1.bad-1"));
	ck_assert(house_has(&h, DISK_RUNTIME, "journal.2.bad-1"));
}
END_TEST

START_TEST(one_that_cannot_be_read_is_not_removed)
{
	struct house_copy journal;

	house_leave_a_state(&h);
	house_copy(&h, DISK_RUNTIME, "journal.2", &journal);
	house_start(&h);
	ck_assert_int_eq(house_stop(&h), 0);
	house_put(&h, DISK_RUNTIME, "journal.2", journal.at, journal.n);
	h.unreadable = EIO;
	house_start(&h);
	house_is_exact(&h);
	ck_assert(house_has(&h, DISK_RUNTIME, "journal.2.bad-1"));
	ck_assert(house_logged(&h, "journal.2: Input/output error: it is set aside"));
}
END_TEST

static const int passing[] = { EMFILE, ENFILE, ENOMEM };

/* It says nothing of the files. */
START_TEST(without_descriptors_or_memory_a_start_fails_and_nothing_is_set_aside)
{
	house_leave_a_state(&h);
	h.error_of[_i < 3 ? HOUSE_READ : HOUSE_LIST] = passing[_i % 3];
	ck_assert_int_ne(house_try(&h), 0);
	ck_assert_msg(strstr(h.started, passing[_i % 3] == ENOMEM
					    ? "memory is out"
					    : "cannot be read: Too many open files"),
	    "%s", h.started);
	h.error_of[HOUSE_READ] = h.error_of[HOUSE_LIST] = 0;
	house_start(&h);
	house_is_exact(&h);
	must_have_set_aside(0);
}
END_TEST

START_TEST(a_file_that_somebody_else_put_there_is_said_to_be_theirs)
{
	house_leave_a_state(&h);
	h.error_of[HOUSE_READ] = EPERM;
	house_start(&h);
	ck_assert(house_logged(&h, "snapshot: it is another user's: it is set aside"));
}
END_TEST

START_TEST(a_record_that_does_not_fit_ends_a_journal_and_a_copy_is_kept)
{
	static const uint8_t nobody[9] = { 200 };
	struct house_copy journal;
	struct journal *j = journal_new();
	const void *record;
	size_t n;

	house_start(&h);
	house_count(&h, 1);
	house_kill(&h);
	journal_add(j, JOURNAL_FOLD, nobody, sizeof(nobody));
	record = journal_bytes(j, &n);
	house_copy(&h, DISK_RUNTIME, "journal.1", &journal);
	memcpy(journal.at + journal.n, record, n);
	journal.n += n;
	journal_free(j);
	house_put(&h, DISK_RUNTIME, "journal.1", journal.at, journal.n);
	house_start(&h);
	house_is_exact(&h);
	must_have_set_aside(1);
	ck_assert_uint_eq(
	    house_file(&h, DISK_RUNTIME, "journal.1.bad-1")->bytes, journal.n);
	ck_assert(house_logged(&h, "journal.1: a record of the type 9, after "));
	ck_assert(house_logged(&h, "a copy is set aside as journal.1.bad-1"));
	ck_assert(!house_logged(&h, "the rest is no whole record"));
	house_count(&h, 1);
	house_kill(&h);
	house_start(&h);
	house_is_exact(&h);
	must_have_set_aside(0);
}
END_TEST

START_TEST(a_head_with_generations_that_cannot_be_is_damaged)
{
	static const struct journal_head heads[] = { { .store = 1 },
		{ .store = 1, .generation = 1ULL << 63 },
		{ .store = 1, .generation = UINT64_MAX },
		{ .store = 1, .generation = 2, .first = 3 },
		{ .store = 1, .generation = 2, .first = 1, .clock_ms = 1ULL << 49 },
		{ .store = 1, .generation = 2, .first = 1, .unix_ms = UINT64_MAX },
		{ .store = 1, .generation = 2, .first = 1, .offset_ms = INT64_MAX },
		{ .store = 1, .generation = 2, .first = 1, .offset_ms = INT64_MIN } };

	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
		struct strbuf text = STRBUF_EMPTY;
		char aside[64];

		journal_put_head_of(&text, JOURNAL_TYPE, &heads[i]);
		house_put(&h, DISK_STATE, "snapshot", text.at, text.bytes);
		strbuf_reset(&text);
		journal_put_head(&text, &heads[i]);
		house_put(&h, DISK_RUNTIME, "journal.2", text.at, text.bytes);
		strbuf_free(&text);
		house_start(&h);
		must_have_set_aside(2);
		snprintf(aside, sizeof(aside), "snapshot.bad-%zu", i + 1);
		ck_assert(house_has(&h, DISK_STATE, aside));
		ck_assert(house_logged(&h, "journal.2: its head is damaged"));
		house_kill(&h);
		sim_disk_wipe(h.disk, DISK_RUNTIME);
	}
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

START_TEST(many_are_set_aside_under_names_of_their_own_with_a_few_words)
{
	enum { FIRST = 100, MANY = 60 };
	struct house_copy before;
	char name[64];
	unsigned lines = 0;

	for (int i = FIRST; i < FIRST + MANY; i++) {
		snprintf(name, sizeof(name), "journal.%d", i);
		house_put(&h, DISK_RUNTIME, name, "x", 1);
	}
	house_put(&h, DISK_RUNTIME, "journal.120.bad-3", "before", 6);
	house_start(&h);
	must_have_set_aside(MANY);
	ck_assert_uint_eq(house_files(&h, DISK_RUNTIME, "journal.1"), MANY + 2);
	house_copy(&h, DISK_RUNTIME, "journal.120.bad-3", &before);
	ck_assert_mem_eq(before.at, "before", 6);
	ck_assert(house_has(&h, DISK_RUNTIME, "journal.159.bad-4"));
	for (const char *at = h.talk->logged.at; (at = strstr(at, "is set aside")); at++)
		lines++;
	ck_assert_uint_le(lines, 20);
	ck_assert(house_logged(&h, "others are only counted from now on"));
}
END_TEST

START_TEST(other_files_are_left_alone)
{
	static const char *const names[] = { "journal.", "journal.01", "journal.1x",
		"journal.-1", "journal", "http.port", "journal.0",
		"journal.99999999999999999999999", "snapshot.old" };
	static const char *const others[] = { "tmp.aB3dE5fG7h", "tmp.", "tmp.1", "tmp.1.",
		"tmp.1.2.3", "tmp.01.5", "tmp.1.2 ", "tmp.x.1" };

	house_start(&h);
	house_count(&h, 1);
	house_kill(&h);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		house_put(&h, DISK_RUNTIME, names[i], "x", 1);
	house_put(&h, DISK_STATE, "snapshot.old", "x", 1);
	/* mktemp makes such; those that are ours have two numbers. */
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		house_put(&h, DISK_STATE, others[i], "x", 1);
	house_put(&h, DISK_STATE, "tmp.3.1234", "x", 1);
	house_start(&h);
	house_is_exact(&h);
	must_have_set_aside(0);
	ck_assert_int_eq(house_stop(&h), 0);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		ck_assert(house_has(&h, DISK_RUNTIME, names[i]));
	ck_assert(house_has(&h, DISK_STATE, "snapshot.old"));
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		ck_assert_msg(house_has(&h, DISK_STATE, others[i]), "%s", others[i]);
	ck_assert(!house_has(&h, DISK_STATE, "tmp.3.1234"));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("persist_files");
	TCase *c = tcase_create("all");

	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, a_damaged_snapshot_is_set_aside_with_its_journals);
	tcase_add_test(c, a_snapshot_that_was_cut_is_set_aside);
	tcase_add_test(c, a_file_of_somebody_else_is_set_aside);
	tcase_add_test(c, a_snapshot_of_a_newer_release_is_set_aside_as_such);
	tcase_add_test(c, a_journal_of_a_newer_release_is_set_aside_as_such);
	tcase_add_test(c, what_is_no_file_is_set_aside);
	tcase_add_test(c, a_journal_that_began_after_a_snapshot_is_nothing_without_it);
	tcase_add_test(c, a_second_damage_has_a_name_of_its_own);
	tcase_add_test(c, journals_of_another_state_are_set_aside);
	tcase_add_test(c, of_the_journals_that_the_snapshot_has_only_those_are_removed);
	tcase_add_test(c, one_that_cannot_be_read_is_not_removed);
	tcase_add_loop_test(c,
	    without_descriptors_or_memory_a_start_fails_and_nothing_is_set_aside, 0, 6);
	tcase_add_test(c, a_file_that_somebody_else_put_there_is_said_to_be_theirs);
	tcase_add_test(c, a_record_that_does_not_fit_ends_a_journal_and_a_copy_is_kept);
	tcase_add_test(c, a_head_with_generations_that_cannot_be_is_damaged);
	tcase_add_test(c, a_journal_under_another_name_is_not_used);
	tcase_add_test(c, many_are_set_aside_under_names_of_their_own_with_a_few_words);
	tcase_add_test(c, other_files_are_left_alone);
	suite_add_tcase(suite, c);
	return suite_run(suite);
}
