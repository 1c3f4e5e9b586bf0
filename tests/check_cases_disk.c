/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cases of check_cases.c that have to do with the journal, the snapshot and the end
 * of the daemon. Where it may be killed at any call, it is killed at each in turn.
 */
#include "sim_script.h"
#include "suite.h"

#define CALLS 40 /* more than a turn with a snapshot in it makes */

static void
setup(void)
{
	script_begin(1);
	s->disk->orphans = true;
}

/* ---- Helpers ---------------------------------------------------------------- */

static void
start_again(void)
{
	ck_assert_msg(sim_daemon_start(s->daemon), "%s", s->failed);
	ck_assert(s->daemon->up);
	script_well();
}

static void
kill_and_start(void)
{
	sim_daemon_kill(s->daemon);
	start_again();
}

/* The child of a snapshot is there, and has written nothing. */
static void
fork_child(void)
{
	script_pass(SIM_SNAPSHOT_MS);
	ck_assert(s->disk->child[0].pid);
}

static void
end_children(void)
{
	while (sim_disk_child(s->disk, true))
		;
}

static void
take_snapshot(void)
{
	fork_child();
	end_children();
	script_turn();
	ck_assert_ptr_nonnull(sim_disk_file(s->disk, DISK_STATE, "snapshot"));
}

/* A message that was just sent, known by its id or by its request. */
static struct sim_sender *
sender(bool by_id)
{
	struct sim_sender *from = &s->sender[0];

	if (from->conn && !from->conn->served)
		sim_hang_up(s, from->conn);
	sim_json_send(s, from, by_id);
	return from;
}

/* ---- Replies, pages and the journal ------------------------------------------ */

START_TEST(c4_that_a_session_was_folded_outlives_the_daemon)
{
	script_ready(w);
	script_count(w, SIM_WHOLE, 4);
	sim_give_up(w);
	script_pass(SIM_LEASE_MS);
	if (_i)
		take_snapshot();
	kill_and_start();
	script_hello_gets(w, MESSAGE_FOLDED);
	script_settled(SIM_LINE_WHOLE, 4);
}
END_TEST

START_TEST(c5_a_repeated_request_is_not_acknowledged_before_the_first_is_written)
{
	struct sim_conn *other;

	script_ready(w);
	sim_count(w, SIM_WHOLE, 1);
	script_send(w);
	script_read(w);
	other = sim_connect(s, w->process);
	script_again(w, other);
	ck_assert(sim_serve(s->daemon, other));
	ck_assert_uint_eq(w->conn->replies.n + other->replies.n, 0);
	kill_and_start();
	ck_assert_uint_eq(w->conn->replies.n + other->replies.n, 0);
	script_settled(SIM_LINE_WHOLE, 1);
}
END_TEST

START_TEST(c6_what_a_page_has_shown_is_there_after_the_daemon_was_killed)
{
	double total = 0;

	for (uint32_t call = 1; call <= CALLS; call++) {
		script_ready(w);
		sim_count(w, SIM_WHOLE, 1);
		script_send(w);
		script_read(w);
		s->disk->fuse = call;
		sim_turn(s->daemon);
		if (s->daemon->up)
			total = wire_double(s->line[SIM_LINE_WHOLE].seen);
		s->disk->fuse = 0;
		if (s->daemon->up)
			sim_daemon_kill(s->daemon);
		start_again(); /* the world sees that no line went down */
		ck_assert(s->line[SIM_LINE_WHOLE].total >= total);
	}
	script_settled(SIM_LINE_WHOLE, CALLS);
}
END_TEST

/* ---- Snapshots ---------------------------------------------------------------- */

START_TEST(c8_what_comes_while_a_snapshot_is_written_is_in_the_journal_behind_it)
{
	script_ready(w);
	fork_child();
	script_count(w, SIM_WHOLE, 2);
	end_children();
	script_turn();
	kill_and_start();
	script_total(SIM_LINE_WHOLE, 2);
	script_settled(SIM_LINE_WHOLE, 2);
}
END_TEST

START_TEST(c9_what_a_snapshot_has_is_not_replayed_wherever_the_daemon_dies)
{
	double sent = 0;

	for (uint32_t call = 1; call <= CALLS; call++) {
		struct sim_sender *from;

		s->sender[0].plain = true;
		from = sender(false);
		sent += from->amount;
		while (sim_serve(s->daemon, from->conn))
			;
		script_turn();
		ck_assert(sim_json_answer(s, from) && from->amount == 0);
		fork_child();
		end_children();
		s->disk->fuse = call;
		sim_turn(s->daemon); /* the child's file takes its place */
		s->disk->fuse = 0;
		if (s->daemon->up)
			sim_daemon_kill(s->daemon);
		start_again();
		script_total(SIM_LINE_JSON, sent);
	}
}
END_TEST

START_TEST(c10_what_is_not_written_yet_is_not_in_a_snapshot_and_in_a_journal)
{
	for (uint32_t call = 1; call <= CALLS; call++) {
		struct sim_sender *from = sender(false);

		while (sim_serve(s->daemon, from->conn))
			;
		s->mono_ms += SIM_SNAPSHOT_MS;
		s->calendar_ms += SIM_SNAPSHOT_MS;
		s->disk->fuse = call;
		sim_turn(s->daemon); /* writes it, and begins a snapshot */
		s->disk->fuse = 0;
		end_children();
		if (s->daemon->up)
			sim_turn(s->daemon);
		if (s->daemon->up) {
			script_count(w, SIM_WHOLE, 1); /* behind it in the journal */
			sim_daemon_kill(s->daemon);
		}
		start_again();
		ck_assert_msg(sim_settle(s), "%s", s->failed);
		script_total(SIM_LINE_JSON, s->json_sent);
	}
}
END_TEST

START_TEST(c11_the_child_of_a_daemon_that_was_killed_replaces_no_newer_snapshot)
{
	script_ready(w);
	script_count(w, SIM_WHOLE, 1);
	fork_child();
	kill_and_start();
	script_count(w, SIM_WHOLE, 1);
	s->mono_ms += SIM_SNAPSHOT_MS;
	s->calendar_ms += SIM_SNAPSHOT_MS;
	script_turn();
	ck_assert(s->disk->child[0].orphan && s->disk->child[1].pid);
	if (_i) { /* the old one's child ends last */
		struct sim_child_process old = s->disk->child[0];

		s->disk->child[0] = s->disk->child[1];
		s->disk->child[1] = old;
	}
	end_children();
	script_turn();
	script_count(w, SIM_WHOLE, 1);
	kill_and_start();
	script_total(SIM_LINE_WHOLE, 3);
	script_settled(SIM_LINE_WHOLE, 3);
}
END_TEST

/* ---- Journals that end badly --------------------------------------------------- */

START_TEST(c12_what_is_written_behind_a_torn_record_is_found)
{
	for (uint32_t i = 1; i <= 20; i++) {
		script_ready(w);
		sim_count(w, SIM_WHOLE, 1);
		script_send(w);
		script_read(w);
		s->disk->fuse = 1; /* a part of the record, of a length by chance */
		sim_turn(s->daemon);
		ck_assert(!s->daemon->up);
		start_again();
		script_count(w, SIM_WHOLE, 1);
		kill_and_start();
		script_total(SIM_LINE_WHOLE, 2 * i);
	}
}
END_TEST

START_TEST(c13_a_journal_without_its_end_is_the_last_that_is_replayed)
{
	struct sim_file *first;
	char name[40];
	unsigned g = 0;

	script_ready(w);
	do
		snprintf(name, sizeof(name), "journal.%u", ++g);
	while (!sim_disk_file(s->disk, DISK_RUNTIME, name));
	script_count(w, SIM_WHOLE, 1);
	fork_child(); /* journal.g is sealed, the next is begun */
	script_count(w, SIM_WHOLE, 1);
	sim_daemon_kill(s->daemon);
	sim_disk_wipe(s->disk, DISK_STATE); /* nothing came of the snapshot */
	first = sim_disk_file(s->disk, DISK_RUNTIME, name);
	ck_assert_ptr_nonnull(first);
	first->bytes -= 3;
	s->loose = true; /* not synced when the machine went down */
	sim_unseen(s);
	start_again();
	script_total(SIM_LINE_WHOLE, 1);
	script_settled(SIM_LINE_WHOLE, 2);
}
END_TEST

/* ---- Differences ----------------------------------------------------------------- */

START_TEST(c16_a_message_in_json_that_is_sent_again_after_a_kill_is_counted_once)
{
	struct sim_sender *from = sender(_i & 1);

	while (sim_serve(s->daemon, from->conn))
		;
	script_turn();
	sim_hang_up(s, from->conn); /* the answer is lost */
	if (_i & 2)
		take_snapshot();
	kill_and_start();
	sim_json_again(s, from);
	while (sim_serve(s->daemon, from->conn))
		;
	script_turn();
	ck_assert(sim_json_answer(s, from) && from->amount == 0);
	script_settled(SIM_LINE_JSON, s->json_sent);
}
END_TEST

/* ---- A full disk ------------------------------------------------------------------ */

static void
fill_disk(bool full)
{
	s->disk->failing[DISK_STATE] = s->disk->failing[DISK_RUNTIME] = full;
}

START_TEST(c18_a_daemon_that_forgot_what_it_acknowledged_is_filled_again_and_not_twice)
{
	struct sim_conn *late;

	script_ready(w);
	script_count(w, SIM_WHOLE, 1);
	fill_disk(true);
	script_count(w, SIM_WHOLE, 1);
	ck_assert(s->daemon->degraded);
	kill_and_start();
	fill_disk(false);
	sim_give_up(w);
	script_hello_gets(w, MESSAGE_LIVE); /* k below what was acknowledged */
	while (!sim_is_quiet(w) && w->session->flight != MESSAGE_UPDATE) {
		script_send(w);
		if (w->session->flight != MESSAGE_UPDATE)
			script_exchange(w);
	}
	late = w->conn; /* the refill, unread */
	sim_give_up(w);
	while (sim_serve(s->daemon, late))
		;
	script_turn();
	script_pass(SIM_LEASE_MS);
	script_hello_gets(w, MESSAGE_FOLDED);
	script_settled(SIM_LINE_WHOLE, 2);
}
END_TEST

/* Two are counted and acknowledged; one is left when the daemon is back. */
static void
forget_one_of_two(void)
{
	script_ready(w);
	script_count(w, SIM_WHOLE, 1);
	fill_disk(true);
	script_count(w, SIM_WHOLE, 1);
	kill_and_start();
	fill_disk(false);
	sim_give_up(w);
	script_total(SIM_LINE_WHOLE, 1);
}

START_TEST(c18_a_fold_before_the_daemon_is_filled_again_doubles_nothing)
{
	forget_one_of_two();
	script_hello_gets(w, MESSAGE_LIVE);
	script_pass(SIM_LEASE_MS);
	sim_give_up(w);
	script_hello_gets(w, MESSAGE_FOLDED);
	script_settled(SIM_LINE_WHOLE, 1); /* the other is lost with the disk */
}
END_TEST

START_TEST(c18_what_was_in_flight_stays_so_when_the_daemon_forgot_what_came_before_it)
{
	struct sim_conn *late;

	script_ready(w);
	script_count(w, SIM_WHOLE, 1);
	fill_disk(true);
	script_count(w, SIM_WHOLE, 1);
	sim_count(w, SIM_WHOLE, 1);
	script_send(w);
	kill_and_start();
	fill_disk(false);
	sim_give_up(w);
	script_hello_gets(w, MESSAGE_LIVE);
	ck_assert_int_eq(w->session->flight, MESSAGE_UPDATE);
	script_send(w);
	late = w->conn; /* unread */
	sim_give_up(w);
	sim_count(w, SIM_WHOLE, 1);
	script_hello_gets(w, MESSAGE_LIVE);
	script_send(w);
	while (sim_serve(s->daemon, late))
		;
	script_exchange(w);
	script_settled(SIM_LINE_WHOLE, 4);
}
END_TEST

START_TEST(c18_workers_that_came_while_the_disk_was_full_send_all_again)
{
	fill_disk(true);
	script_ready(w);
	script_ready(v);
	ck_assert(s->daemon->degraded);
	script_count(w, SIM_WHOLE, 1);
	script_count(v, SIM_WHOLE, 2);
	kill_and_start();
	fill_disk(false);
	sim_give_up(w);
	sim_give_up(v);
	script_hello_gets(v, MESSAGE_NEW); /* with the number that was w's */
	ck_assert_uint_eq(v->session->ticket.serial, w->session->ticket.serial);
	script_hello_gets(w, MESSAGE_NEW);
	script_settled(SIM_LINE_WHOLE, 3);
}
END_TEST

START_TEST(c18_what_is_for_a_cells_child_does_not_go_to_the_one_that_had_it_before)
{
	script_ready(w);
	sim_define(w, SIM_OWN_A);
	script_count(w, SIM_OWN_A, 1);
	fill_disk(true);
	sim_remove(w, SIM_OWN_A);
	script_quiet(w);
	sim_define(w, _i ? SIM_OWN_A : SIM_SHARED); /* in the same cell */
	script_quiet(w);
	sim_count(w, _i ? SIM_OWN_A : SIM_SHARED, _i ? 0.5 : 1000);
	script_send(w);
	kill_and_start(); /* that has the first one again */
	fill_disk(false);
	sim_give_up(w);
	script_hello_gets(w, MESSAGE_LIVE);
	ck_assert(!w->session->has_ticket);
	script_settled(SIM_LINE_OWN + 2 * (int)w->process, 1);
}
END_TEST

START_TEST(c18_a_late_update_on_a_connection_without_hello_is_refused)
{
	struct sim_conn *late;

	script_ready(w);
	sim_count(w, SIM_WHOLE, 1);
	script_send(w);
	late = sim_connect(s, w->process);
	script_again(w, late);
	ck_assert(sim_serve(s->daemon, late));
	script_turn();
	ck_assert_int_eq(late->replies.first->data[5], MESSAGE_UNBOUND);
	script_total(SIM_LINE_WHOLE, 0);
	script_settled(SIM_LINE_WHOLE, 1);
}
END_TEST

START_TEST(c18_a_full_disk_that_has_room_again_keeps_everything_from_then_on)
{
	script_ready(w);
	fill_disk(true);
	script_count(w, SIM_WHOLE, 3);
	ck_assert(s->daemon->degraded);
	fill_disk(false);
	for (int i = 0; i < 4; i++) {
		script_pass(SIM_SNAPSHOT_MS / 2);
		end_children();
		script_turn();
	}
	ck_assert(!s->daemon->degraded);
	kill_and_start();
	script_total(SIM_LINE_WHOLE, 3);
	script_settled(SIM_LINE_WHOLE, 3);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("cases of the disk");
	TCase *c = tcase_create("cases");

	tcase_add_checked_fixture(c, setup, script_end);
	tcase_add_loop_test(c, c4_that_a_session_was_folded_outlives_the_daemon, 0, 2);
	tcase_add_test(
	    c, c5_a_repeated_request_is_not_acknowledged_before_the_first_is_written);
	tcase_add_test(c, c6_what_a_page_has_shown_is_there_after_the_daemon_was_killed);
	tcase_add_test(
	    c, c8_what_comes_while_a_snapshot_is_written_is_in_the_journal_behind_it);
	tcase_add_test(
	    c, c9_what_a_snapshot_has_is_not_replayed_wherever_the_daemon_dies);
	tcase_add_test(
	    c, c10_what_is_not_written_yet_is_not_in_a_snapshot_and_in_a_journal);
	tcase_add_loop_test(c,
	    c11_the_child_of_a_daemon_that_was_killed_replaces_no_newer_snapshot, 0, 2);
	tcase_add_test(c, c12_what_is_written_behind_a_torn_record_is_found);
	tcase_add_test(c, c13_a_journal_without_its_end_is_the_last_that_is_replayed);
	tcase_add_loop_test(c,
	    c16_a_message_in_json_that_is_sent_again_after_a_kill_is_counted_once, 0, 4);
	tcase_add_test(c,
	    c18_a_daemon_that_forgot_what_it_acknowledged_is_filled_again_and_not_twice);
	tcase_add_test(c, c18_a_fold_before_the_daemon_is_filled_again_doubles_nothing);
	tcase_add_test(c,
	    c18_what_was_in_flight_stays_so_when_the_daemon_forgot_what_came_before_it);
	tcase_add_test(c, c18_workers_that_came_while_the_disk_was_full_send_all_again);
	tcase_add_loop_test(c,
	    c18_what_is_for_a_cells_child_does_not_go_to_the_one_that_had_it_before, 0,
	    2);
	tcase_add_test(c, c18_a_late_update_on_a_connection_without_hello_is_refused);
	tcase_add_test(
	    c, c18_a_full_disk_that_has_room_again_keeps_everything_from_then_on);
	suite_add_tcase(suite, c);
	return suite_run(suite);
}
