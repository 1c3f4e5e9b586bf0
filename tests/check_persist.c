/* SPDX-License-Identifier: Apache-2.0 */
/* What is kept over the end of a daemon, with a disk in memory. */
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

/* ---- In order ---------------------------------------------------------- */

START_TEST(a_kill_takes_nothing_that_was_acknowledged)
{
	house_start(&h);
	for (int i = 0; i < 5; i++) {
		house_count(&h, 0.1);
		house_kill(&h);
		house_start(&h);
		house_is_exact(&h);
	}
	ck_assert(!house_has(&h, DISK_STATE, "snapshot"));
}
END_TEST

START_TEST(a_page_after_a_kill_is_that_before_it_to_the_last_bit)
{
	static const double bounds[] = { 0.1, 1 };
	static const struct talk_metric counter = {
		.id = 1, .kind = MESSAGE_COUNTER, .level = "ns", .name = "a_total"
	};
	static const struct talk_metric histogram = { .id = 2,
		.kind = MESSAGE_HISTOGRAM,
		.level = "ns/comp",
		.name = "b",
		.n_bounds = 2,
		.bounds = bounds };
	static const double first[] = { 0.1 + 0.2, 3, 4, 5, 1e-300 };
	char before[8192];
	struct talk_worker *w;

	h.options.snapshot_ms = 1000;
	house_start(&h);
	w = talk_worker(h.talk, 100);
	ck_assert_int_eq(talk_hello(w, "w"), MESSAGE_NEW);
	ck_assert_int_eq(talk_define(w, &counter, "", 0), MESSAGE_ACK);
	ck_assert_int_eq(talk_define(w, &histogram, "", 1), MESSAGE_ACK);
	ck_assert_int_eq(talk_update(w, 0, 1, first), MESSAGE_ACK);
	ck_assert_int_eq(talk_update(w, 1, 4, first + 1), MESSAGE_ACK);
	house_snapshot(&h);
	ck_assert_int_eq(talk_set(w, 0, 7.3), MESSAGE_ACK);
	house_count(&h, 0.1);
	snprintf(before, sizeof(before), "%s", talk_page(h.talk, ""));
	house_kill(&h);
	house_start(&h);
	ck_assert_str_eq(talk_page(h.talk, ""), before);
}
END_TEST

START_TEST(a_worker_comes_back_to_its_session_after_a_kill)
{
	static const struct talk_metric counter = {
		.id = 1, .kind = MESSAGE_COUNTER, .level = "", .name = "c"
	};
	struct talk_worker old, *w;

	house_start(&h);
	w = talk_worker(h.talk, 100);
	talk_hello(w, "w");
	talk_define(w, &counter, "", 0);
	talk_set(w, 0, 5);
	house_turn(&h);
	old = *w;
	house_kill(&h);
	house_start(&h);
	w = talk_worker(h.talk, 100);
	memcpy(w->sid, old.sid, sizeof(w->sid));
	w->has_ticket = true;
	w->ticket = old.ticket;
	w->n = old.n;
	ck_assert_int_eq(talk_hello(w, "w"), MESSAGE_LIVE);
	ck_assert_uint_eq(h.talk->m.last, old.n);
	ck_assert_int_eq(talk_set(w, 0, 6), MESSAGE_ACK);
	ck_assert_double_eq(house_total(&h), 6);
}
END_TEST

START_TEST(after_a_stop_in_order_there_is_a_snapshot_and_nothing_else)
{
	house_start(&h);
	house_count(&h, 1);
	ck_assert_int_eq(house_stop(&h), 0);
	ck_assert_uint_eq(house_files(&h, DISK_STATE, ""), 1);
	ck_assert(house_has(&h, DISK_STATE, "snapshot"));
	ck_assert_uint_eq(house_files(&h, DISK_RUNTIME, ""), 0);
	house_start(&h);
	house_is_exact(&h);
	ck_assert(house_has(&h, DISK_RUNTIME, "journal.2"));
}
END_TEST

START_TEST(without_a_path_nothing_is_written_or_kept)
{
	h.options.state_path = "";
	h.options.journal = false;
	house_start(&h);
	house_count(&h, 1);
	house_pass(&h, 10 * h.options.snapshot_ms);
	ck_assert_uint_eq(persist_due_ms(h.persist, h.talk->now_ms), UINT64_MAX);
	ck_assert_str_eq(house_problems(&h), "[]");
	ck_assert_int_eq(house_stop(&h), 0);
	ck_assert_uint_eq(h.calls, 0);
	house_start(&h);
	ck_assert_double_eq(house_total(&h), 0);
}
END_TEST

START_TEST(without_a_journal_there_are_snapshots_alone)
{
	h.options.journal = false;
	house_start(&h);
	house_count(&h, 1);
	house_snapshot(&h);
	house_count(&h, 1);
	ck_assert_uint_eq(house_files(&h, DISK_RUNTIME, ""), 0);
	house_kill(&h);
	house_start(&h);
	ck_assert_double_eq(house_total(&h), 1);
	house_count(&h, 1);
	ck_assert_int_eq(house_stop(&h), 0);
	house_start(&h);
	ck_assert_double_eq(house_total(&h), 2);
}
END_TEST

START_TEST(a_journal_of_before_counts_when_there_is_none_any_more)
{
	house_start(&h);
	house_count(&h, 1);
	house_kill(&h);
	h.options.journal = false;
	house_start(&h);
	house_is_exact(&h);
	house_count(&h, 1);
	house_snapshot(&h);
	ck_assert_uint_eq(house_files(&h, DISK_RUNTIME, ""), 0);
	house_kill(&h);
	h.options.journal = true;
	house_start(&h);
	house_is_exact(&h);
}
END_TEST

/* ---- Snapshots --------------------------------------------------------- */

START_TEST(a_snapshot_is_taken_every_so_often)
{
	house_start(&h);
	house_count(&h, 1);
	ck_assert_uint_eq(persist_due_ms(h.persist, h.talk->now_ms), 60000);
	house_pass(&h, 59999);
	ck_assert_uint_eq(h.called[HOUSE_SPAWN], 0);
	ck_assert_uint_eq(persist_due_ms(h.persist, h.talk->now_ms), 1);
	h.child_waits = true;
	house_pass(&h, 1);
	ck_assert_uint_eq(h.called[HOUSE_SPAWN], 1);
	ck_assert_uint_eq(persist_due_ms(h.persist, h.talk->now_ms), UINT64_MAX);
	ck_assert(!house_figures(&h).has_snapshot);
	house_child(&h, true);
	house_pass(&h, 250);
	ck_assert(house_figures(&h).has_snapshot);
	ck_assert_uint_eq(house_figures(&h).snapshot_age_ms, 250);
	ck_assert_uint_eq(house_figures(&h).snapshot_duration_ms, 250);
	ck_assert_uint_eq(house_figures(&h).snapshot_bytes,
	    sim_disk_file(h.disk, DISK_STATE, "snapshot")->bytes);
	ck_assert_uint_eq(persist_due_ms(h.persist, h.talk->now_ms), 60000 - 250);
	ck_assert(house_has(&h, DISK_RUNTIME, "journal.2"));
	ck_assert(!house_has(&h, DISK_RUNTIME, "journal.1"));
	ck_assert_uint_eq(house_files(&h, DISK_STATE, ""), 1);
}
END_TEST

START_TEST(a_snapshot_of_before_a_restart_has_its_age)
{
	house_start(&h);
	house_count(&h, 1);
	house_snapshot(&h);
	house_pass(&h, 1000);
	house_kill(&h);
	h.now.monotonic_ms += 2000;
	h.now.unix_ms += 2000;
	house_start(&h);
	ck_assert_uint_eq(house_figures(&h).snapshot_age_ms, 3000);
	ck_assert(!house_figures(&h).has_duration);
	ck_assert_uint_eq(persist_due_ms(h.persist, h.talk->now_ms), 57000);
}
END_TEST

START_TEST(a_long_journal_brings_a_snapshot_early)
{
	h.options.journal_bytes = 4096;
	house_start(&h);
	for (int i = 0; i < 100; i++)
		house_count(&h, 1);
	ck_assert_uint_ge(h.called[HOUSE_SPAWN], 2);
	ck_assert_uint_lt(house_figures(&h).journal_bytes, 3 * 4096);
	house_kill(&h);
	house_start(&h);
	house_is_exact(&h);
}
END_TEST

START_TEST(journals_of_many_short_runs_bring_a_snapshot_early)
{
	h.options.journal_bytes = 4096;
	for (int i = 0; i < 60; i++) {
		house_start(&h);
		house_is_exact(&h);
		house_count(&h, 1);
		house_turn(&h);
		ck_assert_uint_lt(house_figures(&h).journal_bytes, 3 * 4096);
		house_kill(&h);
	}
	ck_assert(house_has(&h, DISK_STATE, "snapshot"));
}
END_TEST

START_TEST(an_empty_journal_needs_no_next_one)
{
	house_start(&h);
	house_snapshot(&h);
	house_snapshot(&h);
	ck_assert_uint_eq(house_figures(&h).generation, 1);
	house_count(&h, 1);
	house_snapshot(&h);
	ck_assert_uint_eq(house_figures(&h).generation, 2);
	house_kill(&h);
	house_start(&h);
	house_is_exact(&h);
}
END_TEST

START_TEST(a_snapshot_that_fails_is_tried_again_and_nothing_is_lost)
{
	house_start(&h);
	house_count(&h, 1);
	h.child_fails = true;
	house_snapshot(&h);
	house_must_have_problem(&h, "no snapshot in /state: ");
	ck_assert(!house_figures(&h).degraded);
	ck_assert_uint_eq(house_figures(&h).snapshot_failures, 1);
	ck_assert_uint_eq(house_files(&h, DISK_STATE, ""), 0);
	house_count(&h, 1);
	house_kill(&h);
	house_start(&h);
	house_is_exact(&h);
	house_count(&h, 1);
	h.child_fails = false;
	house_snapshot(&h);
	ck_assert_str_eq(house_problems(&h), "[]");
	ck_assert_uint_eq(house_files(&h, DISK_RUNTIME, ""), 1);
	house_kill(&h);
	house_start(&h);
	house_is_exact(&h);
}
END_TEST

START_TEST(a_snapshot_that_fails_every_hour_is_tried_every_minute)
{
	h.options.snapshot_ms = 3600000;
	house_start(&h);
	h.child_fails = true;
	house_snapshot(&h);
	ck_assert_uint_eq(persist_due_ms(h.persist, h.talk->now_ms), 60000);
	house_pass(&h, 60000);
	ck_assert_uint_eq(h.called[HOUSE_SPAWN], 2);
	h.child_fails = false;
	house_turn(&h);
	house_pass(&h, 60000);
	house_turn(&h);
	ck_assert_uint_eq(persist_due_ms(h.persist, h.talk->now_ms), 3600000);
}
END_TEST

START_TEST(a_failing_snapshot_is_logged_once)
{
	const char *line;

	h.error_of[HOUSE_SPAWN] = EAGAIN;
	house_start(&h);
	for (int i = 0; i < 10; i++)
		house_snapshot(&h);
	house_must_have_problem(&h, "no process can be started to write it");
	line = strstr(h.talk->logged.at, "no process can be started");
	ck_assert_ptr_nonnull(line);
	ck_assert_ptr_null(strstr(line + 1, "no process can be started"));
	ck_assert_uint_eq(house_figures(&h).snapshot_failures, 10);
	h.error_of[HOUSE_SPAWN] = 0;
	house_snapshot(&h);
	ck_assert(house_logged(&h, "persist: well again"));
}
END_TEST

START_TEST(a_child_that_does_not_end_is_a_problem_and_ends_with_the_daemon)
{
	h.child_waits = true;
	house_start(&h);
	house_count(&h, 1);
	house_pass(&h, 60000);
	house_pass(&h, 60000);
	ck_assert_str_eq(house_problems(&h), "[]");
	house_pass(&h, 15000);
	house_must_have_problem(&h, "has taken 75 s so far");
	house_count(&h, 1);
	ck_assert_uint_eq(h.called[HOUSE_SPAWN], 1);
	ck_assert_int_eq(house_stop(&h), 0);
	ck_assert(!sim_disk_child(h.disk, true));
	ck_assert_uint_eq(house_files(&h, DISK_STATE, ""), 1);
	house_start(&h);
	house_is_exact(&h);
}
END_TEST

START_TEST(a_stop_that_cannot_write_its_snapshot_leaves_the_journal)
{
	house_start(&h);
	house_count(&h, 1);
	h.error_in[DISK_STATE] = EROFS;
	ck_assert_int_eq(house_stop(&h), -1);
	h.error_in[DISK_STATE] = 0;
	house_start(&h);
	house_is_exact(&h);
}
END_TEST

static const struct {
	enum persist_fsync fsync;
	bool in_a_turn, in_a_snapshot;
} fsyncs[] = { { PERSIST_FSYNC_NEVER, false, false },
	{ PERSIST_FSYNC_SNAPSHOT, false, true }, { PERSIST_FSYNC_ALWAYS, true, true } };

START_TEST(files_are_forced_to_the_disk_as_often_as_is_configured)
{
	uint32_t before;

	h.options.fsync = fsyncs[_i].fsync;
	house_start(&h);
	before = h.called[HOUSE_SYNC];
	house_count(&h, 1);
	ck_assert_int_eq(h.called[HOUSE_SYNC] > before, fsyncs[_i].in_a_turn);
	before = h.called[HOUSE_SYNC];
	house_snapshot(&h);
	ck_assert_int_eq(h.called[HOUSE_SYNC] > before, fsyncs[_i].in_a_snapshot);
	ck_assert_int_eq(h.called[HOUSE_SYNC_FOLDER] > 0, fsyncs[_i].in_a_snapshot);
	ck_assert(house_figures(&h).has_snapshot);
}
END_TEST

START_TEST(a_reload_moves_the_next_snapshot)
{
	struct persist_options other = h.options;

	house_start(&h);
	house_count(&h, 1);
	other.snapshot_ms = 1000;
	persist_set_options(h.persist, &other);
	ck_assert_uint_eq(persist_due_ms(h.persist, h.talk->now_ms), 1000);
	house_pass(&h, 1000);
	ck_assert_uint_eq(h.called[HOUSE_SPAWN], 1);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("persist");
	TCase *c = tcase_create("all");

	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, a_kill_takes_nothing_that_was_acknowledged);
	tcase_add_test(c, a_page_after_a_kill_is_that_before_it_to_the_last_bit);
	tcase_add_test(c, a_worker_comes_back_to_its_session_after_a_kill);
	tcase_add_test(c, after_a_stop_in_order_there_is_a_snapshot_and_nothing_else);
	tcase_add_test(c, without_a_path_nothing_is_written_or_kept);
	tcase_add_test(c, without_a_journal_there_are_snapshots_alone);
	tcase_add_test(c, a_journal_of_before_counts_when_there_is_none_any_more);
	tcase_add_test(c, a_snapshot_is_taken_every_so_often);
	tcase_add_test(c, a_snapshot_of_before_a_restart_has_its_age);
	tcase_add_test(c, a_long_journal_brings_a_snapshot_early);
	tcase_add_test(c, journals_of_many_short_runs_bring_a_snapshot_early);
	tcase_add_test(c, an_empty_journal_needs_no_next_one);
	tcase_add_test(c, a_snapshot_that_fails_is_tried_again_and_nothing_is_lost);
	tcase_add_test(c, a_snapshot_that_fails_every_hour_is_tried_every_minute);
	tcase_add_test(c, a_failing_snapshot_is_logged_once);
	tcase_add_test(
	    c, a_child_that_does_not_end_is_a_problem_and_ends_with_the_daemon);
	tcase_add_test(c, a_stop_that_cannot_write_its_snapshot_leaves_the_journal);
	tcase_add_loop_test(
	    c, files_are_forced_to_the_disk_as_often_as_is_configured, 0, 3);
	tcase_add_test(c, a_reload_moves_the_next_snapshot);
	suite_add_tcase(suite, c);
	return suite_run(suite);
}
