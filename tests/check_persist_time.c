/* SPDX-License-Identifier: Apache-2.0 */
/* The clock and the processes of a state that was loaded. */
#include <inttypes.h>
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

START_TEST(the_clock_goes_on_over_a_restart_in_the_same_boot)
{
	uint64_t before_ms;

	house_start(&h);
	house_count(&h, 1);
	before_ms = h.talk->now_ms;
	house_kill(&h);
	h.now.monotonic_ms += 700;
	h.now.unix_ms -= 86400000; /* whatever the calendar says */
	house_start(&h);
	ck_assert_uint_eq(h.talk->now_ms, before_ms + 700);
}
END_TEST

START_TEST(the_clock_goes_on_over_a_boot_by_the_time_that_the_calendar_says)
{
	uint64_t before_ms;

	house_start(&h);
	house_count(&h, 1);
	before_ms = h.talk->now_ms;
	house_stop(&h);
	memcpy(h.now.boot, "reboot", 6);
	h.now.monotonic_ms = 1000;
	h.now.unix_ms += 90000;
	house_start(&h);
	ck_assert_uint_eq(h.talk->now_ms, before_ms + 90000);
	before_ms = h.talk->now_ms;
	house_stop(&h);
	memcpy(h.now.boot, "third!", 6);
	h.now.unix_ms -= 500000; /* a calendar that was set back stops it, no more */
	house_start(&h);
	ck_assert_uint_eq(h.talk->now_ms, before_ms);
	/* And in that boot it is the machine's clock again. */
	house_kill(&h);
	h.now.monotonic_ms += 700;
	house_start(&h);
	ck_assert_uint_eq(h.talk->now_ms, before_ms + 700);
}
END_TEST

/* The daemon runs for so long, as it says. */
static bool
has_been_up(uint64_t ms)
{
	struct strbuf status = STRBUF_EMPTY;
	char wanted[64];
	bool is;

	snprintf(wanted, sizeof(wanted), "\"uptime_ms\":%" PRIu64 ",", ms);
	apply_status(h.talk->apply, h.talk->now_ms, &status);
	is = strstr(status.at, wanted) != NULL;
	strbuf_free(&status);
	return is;
}

START_TEST(what_the_clock_gained_over_boots_is_no_time_that_the_daemon_ran)
{
	house_start(&h); /* when the machine's clock began, for its apply */
	house_count(&h, 1);
	ck_assert(has_been_up(h.talk->now_ms));
	house_stop(&h);
	memcpy(h.now.boot, "reboot", 6);
	h.now.monotonic_ms = 1000;
	house_start(&h);
	house_count(&h, 1);
	house_kill(&h);
	h.now.monotonic_ms = 3000;
	house_start(&h);
	ck_assert(has_been_up(3000));
}
END_TEST

/* A worker with a gauge, and a kill. */
static void
leave_a_gauge(void)
{
	static const struct talk_metric gauge = {
		.id = 1, .kind = MESSAGE_GAUGE, .level = "", .name = "g"
	};
	struct talk_worker *w;

	house_start(&h);
	w = talk_worker(h.talk, 100);
	talk_hello(w, "w");
	talk_define(w, &gauge, "", 0);
	talk_set(w, 0, 5);
	house_turn(&h);
	house_kill(&h);
}

static bool
shows_a_gauge(void)
{
	return strstr(talk_page(h.talk, ""), "dynamo_g 5\n") != NULL;
}

START_TEST(a_gauge_of_a_process_that_is_the_same_shows_at_once)
{
	leave_a_gauge();
	house_start(&h);
	ck_assert(shows_a_gauge());
}
END_TEST

START_TEST(a_process_of_another_namespace_is_not_asked_for)
{
	leave_a_gauge();
	h.now.pid_namespace = 2;
	house_start(&h);
	ck_assert(!shows_a_gauge());
	ck_assert_double_eq(*self_cells(h.talk->self, SELF_SESSIONS_FOLDED, 0), 0);
}
END_TEST

START_TEST(nor_at_the_second_start_there)
{
	h.options.snapshot_ms = 1000; /* before its lease runs out */
	leave_a_gauge();
	h.now.pid_namespace = 2;
	house_start(&h);
	house_kill(&h);
	house_start(&h);
	ck_assert(!shows_a_gauge());
	/* Nor when a snapshot has it. */
	house_snapshot(&h);
	house_kill(&h);
	ck_assert(!house_has(&h, DISK_RUNTIME, "journal.1"));
	house_start(&h);
	ck_assert(!shows_a_gauge());
	apply_refresh(h.talk->apply);
	ck_assert_double_eq(*self_cells(h.talk->self, SELF_WORKERS, 0), 1);
}
END_TEST

START_TEST(in_a_boot_that_is_unknown_nobody_is_dead_or_known_to_live)
{
	uint64_t before_ms;

	leave_a_gauge();
	memset(h.now.boot, 0, sizeof(h.now.boot));
	h.now.monotonic_ms += 700;
	h.now.unix_ms += 90000;
	for (int i = 0; i < 2; i++) { /* the second is after a start of the same kind */
		house_start(&h);
		/* The machine's clock may have gone on. */
		ck_assert_uint_eq(h.talk->now_ms, h.now.monotonic_ms);
		ck_assert(!shows_a_gauge());
		apply_refresh(h.talk->apply);
		ck_assert_double_eq(*self_cells(h.talk->self, SELF_WORKERS, 0), 1);
		house_kill(&h);
	}
	memcpy(h.now.boot, "boot", 4);
	house_start(&h);
	ck_assert(!shows_a_gauge());
	apply_refresh(h.talk->apply);
	ck_assert_double_eq(*self_cells(h.talk->self, SELF_WORKERS, 0), 1);
	before_ms = h.talk->now_ms;
	house_kill(&h);
	/* And here it cannot have. */
	memset(h.now.boot, 0, sizeof(h.now.boot));
	h.now.monotonic_ms = 1000;
	h.now.unix_ms += 90000;
	house_start(&h);
	ck_assert_uint_eq(h.talk->now_ms, before_ms + 90000);
}
END_TEST

START_TEST(a_process_of_another_boot_is_dead)
{
	leave_a_gauge();
	memcpy(h.now.boot, "reboot", 6);
	house_start(&h);
	ck_assert(!shows_a_gauge());
	apply_refresh(h.talk->apply);
	ck_assert_double_eq(*self_cells(h.talk->self, SELF_WORKERS, 0), 0);
}
END_TEST

START_TEST(and_stays_dead_when_the_daemon_is_killed_before_its_first_turn)
{
	leave_a_gauge();
	memcpy(h.now.boot, "reboot", 6);
	house_start(&h);
	house_kill(&h);
	house_start(&h);
	ck_assert(!shows_a_gauge());
	apply_refresh(h.talk->apply);
	ck_assert_double_eq(*self_cells(h.talk->self, SELF_WORKERS, 0), 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("persist_time");
	TCase *c = tcase_create("all");

	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, the_clock_goes_on_over_a_restart_in_the_same_boot);
	tcase_add_test(
	    c, the_clock_goes_on_over_a_boot_by_the_time_that_the_calendar_says);
	tcase_add_test(c, a_gauge_of_a_process_that_is_the_same_shows_at_once);
	tcase_add_test(c, a_process_of_another_namespace_is_not_asked_for);
	tcase_add_test(c, nor_at_the_second_start_there);
	tcase_add_test(c, in_a_boot_that_is_unknown_nobody_is_dead_or_known_to_live);
	tcase_add_test(c, a_process_of_another_boot_is_dead);
	tcase_add_test(c, and_stays_dead_when_the_daemon_is_killed_before_its_first_turn);
	tcase_add_test(
	    c, what_the_clock_gained_over_boots_is_no_time_that_the_daemon_ran);
	suite_add_tcase(suite, c);
	return suite_run(suite);
}
