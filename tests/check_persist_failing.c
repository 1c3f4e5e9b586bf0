/* SPDX-License-Identifier: Apache-2.0 */
/* Every call to the disk fails in turn, every one is the last of its process, and every
 * piece of memory is refused. */
#include <errno.h>

#include "failing.h"
#include "house.h"
#include "suite.h"

static struct house h;

/* Steps of 0.5 add up exactly. */
#define STEP 0.5

static void
count_some(void)
{
	for (int i = 0; i < 3; i++)
		house_count(&h, STEP);
}

/* A life with all that happens in one: counts, snapshots, a child that takes its time, a
 * failed one. */
static void
live(void)
{
	count_some();
	house_snapshot(&h);
	count_some();
	h.child_waits = true;
	house_pass(&h, 60000);
	count_some();
	h.child_waits = false;
	house_turn(&h);
	house_turn(&h);
	count_some();
	h.child_fails = true;
	house_snapshot(&h);
	h.child_fails = false;
	count_some();
	house_snapshot(&h);
	count_some();
}

/* A state that a start has something to do with: two journals, the last torn. */
static void
leave_a_state(void)
{
	house_make(&h);
	house_start(&h);
	count_some();
	house_snapshot(&h);
	count_some();
	h.child_fails = true;
	house_snapshot(&h);
	h.child_fails = false;
	count_some();
	house_kill(&h);
}

static const int errors[] = { ENOSPC, EIO };

/* What a kill leaves is not more than what was counted, and all of it if the daemon said
 * that all is well. */
static void
kill_and_compare(bool degraded)
{
	house_kill(&h);
	house_start(&h);
	if (degraded)
		ck_assert_double_le(house_total(&h), h.counted);
	else
		house_is_exact(&h);
	/* And it goes on from there. */
	h.counted = house_total(&h);
	house_snapshot(&h);
	count_some();
	house_kill(&h);
	house_start(&h);
	house_is_exact(&h);
}

/* One life in which calls fail from fail_at on. False when there is no such call. */
static bool
fails_at(uint32_t fail_at, uint32_t calls, int error)
{
	bool reached, degraded;

	leave_a_state();
	h.calls = 0;
	h.fail_at = fail_at;
	h.fail_calls = calls;
	h.error = error;
	house_start(&h);
	h.counted = house_total(&h);
	live();
	house_is_exact(&h);
	reached = h.calls >= fail_at;
	degraded = house_figures(&h).degraded;
	h.fail_at = 0;
	kill_and_compare(degraded);
	house_free(&h);
	return reached;
}

START_TEST(a_call_that_fails_ends_nothing)
{
	uint32_t n = 1;

	while (fails_at(n, 1, errors[_i]))
		n++;
	ck_assert_uint_gt(n, 80);
}
END_TEST

START_TEST(a_disk_that_fails_from_some_call_on_ends_nothing)
{
	uint32_t n = 1;

	while (fails_at(n, UINT32_MAX, errors[_i]))
		n++;
	ck_assert_uint_gt(n, 80);
}
END_TEST

START_TEST(a_disk_that_fails_for_a_while_is_well_in_the_end)
{
	for (uint32_t n = 1; n < 60; n++) {
		leave_a_state();
		h.calls = 0;
		h.fail_at = n;
		h.fail_calls = 12;
		house_start(&h);
		h.counted = house_total(&h);
		live();
		h.fail_at = 0;
		house_snapshot(&h);
		house_snapshot(&h);
		ck_assert_msg(!house_figures(&h).degraded, "call %u", n);
		ck_assert_str_eq(house_problems(&h), "[]");
		kill_and_compare(false);
		house_free(&h);
	}
}
END_TEST

/* The process dies at that call; false when it did not come to it. What was acknowledged
 * before it is there. */
static bool
dies_at(uint32_t call)
{
	double acknowledged;
	bool died;

	leave_a_state();
	h.disk->fuse = call;
	/* The dead count nothing: what is counted after the call is not compared. */
	h.disk->dead = false;
	if (house_try(&h) != 0)
		ck_abort_msg("%s", h.started);
	acknowledged = h.counted;
	for (int i = 0; i < 8 && !h.disk->dead; i++) {
		acknowledged = h.counted;
		if (i == 2 || i == 5)
			house_pass(&h, 60000);
		else
			house_count(&h, STEP);
	}
	died = h.disk->dead;
	if (!died)
		acknowledged = h.counted;
	house_kill(&h);
	house_start(&h);
	/* The one under way may be there or not. */
	ck_assert_msg(house_total(&h) == acknowledged ||
			  (died && house_total(&h) == acknowledged + STEP),
	    "call %u: %g instead of %g", call, house_total(&h), acknowledged);
	house_free(&h);
	return died;
}

START_TEST(a_kill_at_any_call_takes_nothing_that_was_acknowledged)
{
	uint32_t n = 1;

	while (dies_at(n))
		n++;
	ck_assert_uint_gt(n, 30);
}
END_TEST

/* A record that memory had no room for is a write that failed. */
START_TEST(a_turn_without_memory_is_not_in_the_journal_and_said_so)
{
	const struct disk *d;
	size_t refusals = 0;

	for (size_t n = 0; failing_more(n); n++) {
		bool refused;

		house_make(&h);
		house_start(&h);
		count_some();
		d = &h.ops;
		ck_assert_ptr_nonnull(d);
		failing_after(n);
		persist_turn(h.persist, h.talk->now_ms);
		h.talk->now_ms += 60000;
		h.now.monotonic_ms += 60000;
		persist_turn(h.persist, h.talk->now_ms);
		refused = failing_end();
		refusals += refused;
		house_child(&h, true);
		house_turn(&h);
		house_is_exact(&h);
		kill_and_compare(house_figures(&h).degraded);
		house_free(&h);
	}
	ck_assert_uint_gt(refusals, 0);
}
END_TEST

static void
refuse_memory(void *arg)
{
	failing_after(*(size_t *)arg);
}

START_TEST(a_start_without_memory_fails_and_changes_nothing)
{
	size_t refusals = 0;

	for (size_t n = 0; failing_more(n); n++) {
		bool refused;
		int rc;

		leave_a_state();
		rc = house_try_after(&h, refuse_memory, &n);
		refused = failing_end();
		refusals += refused;
		if (rc != 0) {
			ck_assert(refused);
			ck_assert_str_eq(h.started, "memory is out");
		} else {
			house_kill(&h);
		}
		house_start(&h);
		house_is_exact(&h);
		house_free(&h);
	}
	ck_assert_uint_gt(refusals, 10);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("persist_failing");
	TCase *c = tcase_create("all");

	tcase_set_timeout(c, 60);
	tcase_add_loop_test(c, a_call_that_fails_ends_nothing, 0, 2);
	tcase_add_loop_test(c, a_disk_that_fails_from_some_call_on_ends_nothing, 0, 2);
	tcase_add_test(c, a_disk_that_fails_for_a_while_is_well_in_the_end);
	tcase_add_test(c, a_kill_at_any_call_takes_nothing_that_was_acknowledged);
	tcase_add_test(c, a_turn_without_memory_is_not_in_the_journal_and_said_so);
	tcase_add_test(c, a_start_without_memory_fails_and_changes_nothing);
	suite_add_tcase(suite, c);
	return suite_run(suite);
}
