/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines: levels, one line whatever is in it, and floods that stay short. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "suite.h"

struct lines {
	size_t n;
	char last[2048];
};

static void
keep(void *arg, const char *line)
{
	struct lines *lines = arg;

	lines->n++;
	snprintf(lines->last, sizeof(lines->last), "%s", line);
}

START_TEST(a_line_has_its_level_in_front)
{
	struct lines lines = { 0 };
	struct log *l = log_new(LOG_LEVEL_DEBUG, keep, &lines);

	log_line(l, LOG_LEVEL_ERROR, "file: not read: %s", "no");
	ck_assert_str_eq(lines.last, "error: file: not read: no");
	log_line(l, LOG_LEVEL_WARNING, "a");
	ck_assert_str_eq(lines.last, "warning: a");
	log_line(l, LOG_LEVEL_INFO, "b");
	ck_assert_str_eq(lines.last, "info: b");
	log_line(l, LOG_LEVEL_DEBUG, "c");
	ck_assert_str_eq(lines.last, "debug: c");
	log_free(l);
}
END_TEST

START_TEST(a_line_for_the_journal_has_its_priority_in_front)
{
	struct lines lines = { 0 };
	struct log *l = log_new(LOG_LEVEL_DEBUG, keep, &lines);

	log_for_journal(l);
	log_line(l, LOG_LEVEL_ERROR, "file: not read: %s", "no\n<0>");
	ck_assert_str_eq(lines.last, "<3>error: file: not read: no?<0>");
	log_line(l, LOG_LEVEL_WARNING, "a");
	ck_assert_str_eq(lines.last, "<4>warning: a");
	log_line(l, LOG_LEVEL_INFO, "b");
	ck_assert_str_eq(lines.last, "<6>info: b");
	log_line(l, LOG_LEVEL_DEBUG, "c");
	ck_assert_str_eq(lines.last, "<7>debug: c");
	log_free(l);
}
END_TEST

START_TEST(the_journal_is_known_by_its_file)
{
	struct stat found;
	char stream[64];
	int ends[2];
	int others[2];

	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_int_eq(pipe(others), 0);
	ck_assert_int_eq(fstat(ends[1], &found), 0);
	snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)found.st_dev,
	    (uintmax_t)found.st_ino);
	ck_assert(log_is_journal(stream, ends[1]));
	ck_assert(!log_is_journal(stream, others[1]));
	ck_assert(!log_is_journal(stream, -1));
	ck_assert(!log_is_journal(NULL, ends[1]));
	ck_assert(!log_is_journal("", ends[1]));
	ck_assert(!log_is_journal("8", ends[1]));
	for (int i = 0; i < 2; i++) {
		close(ends[i]);
		close(others[i]);
	}
}
END_TEST

START_TEST(a_line_below_the_level_is_not_written)
{
	struct lines lines = { 0 };
	struct log *l = log_new(LOG_LEVEL_WARNING, keep, &lines);

	log_line(l, LOG_LEVEL_INFO, "no");
	ck_assert(!log_wants(l, LOG_LEVEL_INFO));
	ck_assert_uint_eq(lines.n, 0);
	log_set_level(l, LOG_LEVEL_INFO);
	ck_assert(log_wants(l, LOG_LEVEL_INFO));
	log_line(l, LOG_LEVEL_INFO, "yes");
	ck_assert_uint_eq(lines.n, 1);
	log_free(l);
}
END_TEST

START_TEST(no_log_is_a_log_that_writes_nothing)
{
	ck_assert(!log_wants(NULL, LOG_LEVEL_ERROR));
	log_line(NULL, LOG_LEVEL_ERROR, "lost");
	log_limited(NULL, LOG_LEVEL_ERROR, 1, 0, "lost");
	log_free(NULL);
}
END_TEST

START_TEST(a_line_stays_one_line)
{
	struct lines lines = { 0 };
	struct log *l = log_new(LOG_LEVEL_INFO, keep, &lines);

	log_line(l, LOG_LEVEL_INFO, "name %s",
	    "a\nerror: b\r\x1b[31mc\x7f\xc3\xa4\xc2\x9b\xc2\xa0");
	ck_assert_str_eq(lines.last, "info: name a?error: b??[31mc?\xc3\xa4??\xc2\xa0");
	log_free(l);
}
END_TEST

START_TEST(a_long_line_is_cut)
{
	struct lines lines = { 0 };
	struct log *l = log_new(LOG_LEVEL_INFO, keep, &lines);
	char text[5000];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	log_line(l, LOG_LEVEL_INFO, "%s", text);
	ck_assert_uint_eq(strlen(lines.last), 1023);
	log_limited(l, LOG_LEVEL_INFO, 1, 0, "short");
	log_limited(l, LOG_LEVEL_INFO, 1, 1, "left out");
	log_limited(l, LOG_LEVEL_INFO, 1, 2000, "%s", text);
	ck_assert_uint_lt(strlen(lines.last), 1024);
	ck_assert_ptr_nonnull(strstr(lines.last, "xxx (1 more like it left out)"));
	log_free(l);
}
END_TEST

START_TEST(lines_of_one_cause_are_limited_and_counted)
{
	struct lines lines = { 0 };
	struct log *l = log_new(LOG_LEVEL_INFO, keep, &lines);

	for (uint64_t now_ms = 0; now_ms < 1000; now_ms++)
		log_limited(l, LOG_LEVEL_INFO, 7, now_ms, "flood");
	ck_assert_uint_eq(lines.n, 1);
	log_limited(l, LOG_LEVEL_INFO, 7, 1000, "flood");
	ck_assert_uint_eq(lines.n, 2);
	ck_assert_str_eq(lines.last, "info: flood (999 more like it left out)");
	log_limited(l, LOG_LEVEL_INFO, 8, 1000, "another cause");
	ck_assert_str_eq(lines.last, "info: another cause");
	log_limited(l, LOG_LEVEL_INFO, 7, 2500, "flood");
	ck_assert_str_eq(lines.last, "info: flood");
	log_free(l);
}
END_TEST

START_TEST(what_is_of_interest_one_by_one_has_more_lines)
{
	struct lines lines = { 0 };
	struct log *l = log_new(LOG_LEVEL_INFO, keep, &lines);

	log_often(NULL, LOG_LEVEL_ERROR, 1, 0, "lost");
	log_often(l, LOG_LEVEL_DEBUG, 1, 0, "lost");
	for (uint64_t now_ms = 0; now_ms < 100; now_ms++)
		log_often(l, LOG_LEVEL_INFO, 9, now_ms, "worker %d", (int)now_ms);
	ck_assert_uint_eq(lines.n, LOG_OFTEN);
	ck_assert_str_eq(lines.last, "info: worker 19");
	log_often(l, LOG_LEVEL_INFO, 9, 1000, "worker 100");
	ck_assert_str_eq(lines.last, "info: worker 100 (80 more like it left out)");
	log_often(l, LOG_LEVEL_INFO, 9, 1001, "worker 101");
	ck_assert_str_eq(lines.last, "info: worker 101");
	log_catch_up(l, 5000, false);
	ck_assert_uint_eq(lines.n, LOG_OFTEN + 2);
	log_free(l);
}
END_TEST

START_TEST(the_end_of_a_flood_is_said)
{
	struct lines lines = { 0 };
	struct log *l = log_new(LOG_LEVEL_INFO, keep, &lines);

	log_catch_up(NULL, 0, true);
	log_catch_up(l, 0, true);
	ck_assert_uint_eq(log_due_ms(NULL, 0), UINT64_MAX);
	ck_assert_uint_eq(log_due_ms(l, 0), UINT64_MAX);
	for (uint64_t now_ms = 0; now_ms < 10; now_ms++)
		log_limited(l, LOG_LEVEL_WARNING, 7, now_ms, "flood %d", (int)now_ms);
	log_limited(l, LOG_LEVEL_INFO, 8, 5, "a line of its own");
	log_catch_up(l, 999, false);
	ck_assert_uint_eq(lines.n, 2);
	ck_assert_uint_eq(log_due_ms(l, 400), 600);
	ck_assert_uint_eq(log_due_ms(l, 1001), 0);
	log_catch_up(l, 1000, false);
	ck_assert_uint_eq(log_due_ms(l, 1000), UINT64_MAX);
	ck_assert_uint_eq(lines.n, 3);
	ck_assert_str_eq(lines.last, "warning: log: left out: 9 more like \"flood 0\"");
	log_catch_up(l, 5000, true);
	ck_assert_uint_eq(lines.n, 3);
	/* The next one is not said to follow others. */
	log_limited(l, LOG_LEVEL_INFO, 7, 5000, "flood");
	ck_assert_str_eq(lines.last, "info: flood");
	log_limited(l, LOG_LEVEL_INFO, 7, 5001, "flood");
	log_catch_up(l, 5002, true);
	ck_assert_str_eq(lines.last, "info: log: left out: 1 more like \"flood\"");
	log_free(l);
}
END_TEST

START_TEST(words_and_levels_belong_together)
{
	for (int i = LOG_LEVEL_ERROR; i <= LOG_LEVEL_DEBUG; i++)
		ck_assert_int_eq(log_level_of(log_level_word((enum log_level)i)), i);
	ck_assert_int_eq(log_level_of("loud"), -1);
	ck_assert_int_eq(log_level_of(""), -1);
}
END_TEST

START_TEST(without_a_function_it_writes_to_standard_error)
{
	struct log *l = log_new(LOG_LEVEL_INFO, NULL, NULL);
	char text[64] = "";
	int before = dup(STDERR_FILENO);
	int ends[2];

	ck_assert_int_eq(pipe(ends), 0);
	dup2(ends[1], STDERR_FILENO);
	log_line(l, LOG_LEVEL_INFO, "here");
	dup2(before, STDERR_FILENO);
	ck_assert_int_eq(read(ends[0], text, sizeof(text) - 1), 11);
	ck_assert_str_eq(text, "info: here\n");
	close(before);
	close(ends[0]);
	close(ends[1]);
	log_free(l);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("log");
	TCase *t = tcase_create("log");

	tcase_add_test(t, a_line_has_its_level_in_front);
	tcase_add_test(t, a_line_for_the_journal_has_its_priority_in_front);
	tcase_add_test(t, the_journal_is_known_by_its_file);
	tcase_add_test(t, a_line_below_the_level_is_not_written);
	tcase_add_test(t, no_log_is_a_log_that_writes_nothing);
	tcase_add_test(t, a_line_stays_one_line);
	tcase_add_test(t, a_long_line_is_cut);
	tcase_add_test(t, lines_of_one_cause_are_limited_and_counted);
	tcase_add_test(t, what_is_of_interest_one_by_one_has_more_lines);
	tcase_add_test(t, the_end_of_a_flood_is_said);
	tcase_add_test(t, words_and_levels_belong_together);
	tcase_add_test(t, without_a_function_it_writes_to_standard_error);
	suite_add_tcase(s, t);
	return suite_run(s);
}
