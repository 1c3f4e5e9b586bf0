/* SPDX-License-Identifier: Apache-2.0 */
/* Every way in which a session ends, at the daemon: a table. */
#include "row_talk.h"

/* Another connection of the first one's session. */
static void
impersonate(struct talk_worker *w)
{
	memcpy(w->sid, first->sid, sizeof(w->sid));
	w->has_ticket = true;
	w->ticket = first->ticket;
}

static void
connect_again(struct talk_worker *w)
{
	impersonate(w);
	ck_assert_int_eq(talk_hello(w, NULL), MESSAGE_LIVE);
}

static uint64_t
folded(void)
{
	return (uint64_t)self_cells(t->self, SELF_SESSIONS_FOLDED, 0)[0];
}

/*
 *	s	live, gauges show
 *	h	live, gauges are hidden
 *	r	folded and remembered
 *	f	folded and forgotten
 */
static const struct {
	const char *what;
	unsigned connections, closed;
	bool gone; /* the process, as the last one closes */
	uint64_t after_ms;
	char outcome;
} ends[] = {
	{ "bound and silent", 1, 0, false, LEASE_MS - 1, 's' },
	{ "bound and silent for the lease", 1, 0, false, LEASE_MS, 'r' },
	{ "closed", 1, 1, false, 0, 's' },
	{ "closed, before the grace", 1, 1, false, GRACE_MS - 1, 's' },
	{ "closed for the grace", 1, 1, false, GRACE_MS, 'h' },
	{ "closed, before the lease", 1, 1, false, LEASE_MS - 1, 'h' },
	{ "closed for the lease", 1, 1, false, LEASE_MS, 'r' },
	{ "gone", 1, 1, true, 0, 'f' },
	{ "one of two closed, for the grace", 2, 1, false, GRACE_MS, 's' },
	{ "one of two closed, its process gone", 2, 1, true, 0, 's' },
	{ "the same, for the grace", 2, 1, true, GRACE_MS, 's' },
	{ "the same, for the lease", 2, 1, true, LEASE_MS, 'r' },
	{ "both closed", 2, 2, false, GRACE_MS, 'h' },
	{ "both closed, gone", 2, 2, true, 0, 'f' },
};

static void
check_end(char outcome)
{
	bool live = outcome == 's' || outcome == 'h';
	struct talk_worker *back = talk_worker(t, 100);
	const char *page = talk_page(t, "");

	ck_assert_ptr_nonnull(strstr(page, "dynamo_c 5\n"));
	ck_assert_int_eq(strstr(page, "dynamo_g") != NULL, outcome == 's');
	ck_assert_uint_eq(folded(), !live);
	ck_assert_uint_eq(recorded(), live ? 0 : JOURNAL_FOLD);
	impersonate(back);
	ck_assert_int_eq(talk_hello(back, NULL), live		  ? MESSAGE_LIVE
						 : outcome == 'r' ? MESSAGE_FOLDED
								  : MESSAGE_EXPIRED);
	ck_assert_uint_eq(t->m.last, outcome == 'f' ? 0 : 4);
	ck_assert_int_eq(strstr(talk_page(t, ""), "dynamo_g") != NULL, live);
}

START_TEST(every_end_of_a_session_is_as_its_row_says)
{
	ck_assert_int_eq(talk_hello(first, NULL), MESSAGE_NEW);
	if (ends[_i].connections > 1)
		connect_again(second);
	talk_define(first, &counter, "", 0);
	talk_define(first, &gauge, "", 1);
	talk_set(first, 0, 5);
	talk_set(first, 1, 2);
	journal_clear(journal);
	if (ends[_i].closed > 1)
		talk_disconnect(second, false);
	if (ends[_i].closed > 0)
		talk_disconnect(first, ends[_i].gone);
	pass(ends[_i].after_ms);
	check_end(ends[_i].outcome);
}
END_TEST

START_TEST(the_end_of_a_device_is_not_that_of_the_workers_behind_it)
{
	first->peer.direct = false;
	ck_assert_int_eq(talk_hello(first, NULL), MESSAGE_NEW);
	talk_disconnect(first, true);
	pass(LEASE_MS - 1);
	ck_assert_uint_eq(folded(), 0);
	impersonate(second);
	ck_assert_int_eq(talk_hello(second, NULL), MESSAGE_LIVE);
	talk_disconnect(second, false);
	pass(LEASE_MS);
	ck_assert_int_eq(talk_hello(second, NULL), MESSAGE_FOLDED);
}
END_TEST

START_TEST(a_session_that_is_back_is_not_folded_by_its_old_silence)
{
	ck_assert_int_eq(talk_hello(first, NULL), MESSAGE_NEW);
	talk_disconnect(first, false);
	pass(LEASE_MS - 1);
	connect_again(second);
	pass(LEASE_MS - 1);
	ck_assert_int_eq(talk_ping(second), MESSAGE_ACK);
	pass(LEASE_MS - 1);
	ck_assert_int_eq(talk_ping(second), MESSAGE_ACK);
	ck_assert_uint_eq(folded(), 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("apply_ends");
	TCase *tc = tcase_create("ends");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_loop_test(tc, every_end_of_a_session_is_as_its_row_says, 0,
	    sizeof(ends) / sizeof(ends[0]));
	tcase_add_test(tc, the_end_of_a_device_is_not_that_of_the_workers_behind_it);
	tcase_add_test(tc, a_session_that_is_back_is_not_folded_by_its_old_silence);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
