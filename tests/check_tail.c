/* SPDX-License-Identifier: Apache-2.0 */
/* The ring of what tail shows: its numbers, its end, and what is missed. */
#include <stdio.h>

#include "suite.h"
#include "tail.h"

static struct tail t;
static struct strbuf read;
static uint64_t missed;

static void
setup(void)
{
	t = (struct tail){ 0 };
	read = STRBUF_EMPTY;
}

static void
teardown(void)
{
	tail_free(&t);
	strbuf_free(&read);
}

/* A message, as apply reports it. */
static void
message(const char *line, uint64_t now_ms)
{
	if (tail_wants(&t))
		tail_add(&t, line, now_ms);
	else
		t.n++;
}

/* The lines after a number; *ret_next is the number of the last. */
static const char *
lines_after(uint64_t after, size_t room, uint64_t *ret_next)
{
	strbuf_reset(&read);
	strbuf_adds(&read, "");
	*ret_next = tail_read(&t, after, room, &read, &missed);
	return read.at;
}

START_TEST(nothing_is_kept_until_somebody_asks)
{
	uint64_t next;

	message("a", 0);
	ck_assert(!tail_wants(&t));
	ck_assert(tail_ask(&t, 0));
	ck_assert(tail_wants(&t));
	message("b", 1);
	message("c", 2);
	ck_assert_str_eq(lines_after(1, 100, &next), "b,c");
	ck_assert_uint_eq(next, 3);
	ck_assert_uint_eq(missed, 0);
	ck_assert_str_eq(lines_after(2, 100, &next), "c");
	ck_assert_str_eq(lines_after(3, 100, &next), "");
	ck_assert_uint_eq(next, 3);
}
END_TEST

START_TEST(what_came_before_the_question_counts_as_missed)
{
	uint64_t next;

	message("a", 0);
	message("b", 0);
	tail_ask(&t, 0);
	message("c", 0);
	ck_assert_str_eq(lines_after(0, 100, &next), "c");
	ck_assert_uint_eq(missed, 2);
}
END_TEST

START_TEST(it_ends_when_nobody_has_asked_for_a_while)
{
	tail_ask(&t, 1000);
	message("a", 1000 + TAIL_KEPT_MS);
	ck_assert(tail_wants(&t));
	tail_ask(&t, 2000);
	message("b", 2000 + TAIL_KEPT_MS);
	ck_assert(tail_wants(&t));
	message("c", 2001 + TAIL_KEPT_MS);
	ck_assert(!tail_wants(&t));
	ck_assert_uint_eq(t.n, 3);
	/* Whoever comes back is told what was lost in between. */
	message("d", 9000);
	tail_ask(&t, 9000);
	message("e", 9000);
	{
		uint64_t next;

		ck_assert_str_eq(lines_after(2, 100, &next), "e");
		ck_assert_uint_eq(missed, 2);
		ck_assert_uint_eq(next, 5);
	}
}
END_TEST

START_TEST(the_oldest_leave_when_it_is_full)
{
	uint64_t next;
	char line[16];

	tail_ask(&t, 0);
	for (int i = 1; i <= TAIL_LINES + 3; i++) {
		snprintf(line, sizeof(line), "%d", i);
		message(line, 0);
	}
	lines_after(0, SIZE_MAX, &next);
	ck_assert_uint_eq(missed, 3);
	ck_assert_uint_eq(next, TAIL_LINES + 3);
	ck_assert_int_eq(strncmp(read.at, "4,5,6,", 6), 0);
}
END_TEST

START_TEST(what_does_not_fit_comes_the_next_time)
{
	uint64_t next;

	tail_ask(&t, 0);
	message("aaaa", 0);
	message("bbbb", 0);
	message("cccc", 0);
	ck_assert_str_eq(lines_after(0, 10, &next), "aaaa,bbbb");
	ck_assert_uint_eq(next, 2);
	ck_assert_str_eq(lines_after(next, 10, &next), "cccc");
	ck_assert_uint_eq(next, 3);
}
END_TEST

START_TEST(a_line_that_can_never_fit_is_missed)
{
	uint64_t next;

	tail_ask(&t, 0);
	message("aaaaaaaaaaaaaaaa", 0);
	message("b", 0);
	message(NULL, 0);
	message("c", 0);
	ck_assert_str_eq(lines_after(0, 10, &next), "b,c");
	ck_assert_uint_eq(next, 4);
	ck_assert_uint_eq(missed, 2);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("tail");
	TCase *c = tcase_create("tail");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, nothing_is_kept_until_somebody_asks);
	tcase_add_test(c, what_came_before_the_question_counts_as_missed);
	tcase_add_test(c, it_ends_when_nobody_has_asked_for_a_while);
	tcase_add_test(c, the_oldest_leave_when_it_is_full);
	tcase_add_test(c, what_does_not_fit_comes_the_next_time);
	tcase_add_test(c, a_line_that_can_never_fit_is_missed);
	suite_add_tcase(s, c);
	return s;
}

int
main(void)
{
	return suite_run(suite());
}
