/* SPDX-License-Identifier: Apache-2.0 */
/* What dynamo-metricsctl prints, without a daemon. */
#include <stdio.h>
#include <stdlib.h>

#include "ctl.h"
#include "suite.h"

static char *
status(const char *json, enum ctl_exit expected)
{
	struct ctl_error error = { "" };
	char *text = NULL;
	size_t bytes = 0;
	FILE *out = open_memstream(&text, &bytes);

	ck_assert_ptr_nonnull(out);
	ck_assert_int_eq(ctl_print_status(out, wire_text(json), &error), expected);
	ck_assert_int_eq(error.text[0] != '\0', expected != CTL_OK);
	fclose(out);
	return text;
}

/* clang-format off */
static const char table[] =
"dynamo-metricsd 0.1.0, up 1 d 2 h, epoch ab\n"
"3 families; series: 2 counters, 1 gauges, 4 histograms\n"
"2 workers, 5 folded sessions remembered; lease 15.0 s\n"
"\n"
"WORKER     PID   UID  STATE            AGE    IDLE  SERIES  REFUSED  LIBRARY\n"
"decode-0  4711  1000  connected  1 h 2 min  512 ms      12        1  0.1.0\n"
"é            ?     0  gone       1 min 1 s  59.9 s  100000        0  \n";
/* clang-format on */

START_TEST(status_is_a_table)
{
	char *text =
	    status("{\"version\":\"0.1.0\",\"epoch\":\"ab\",\"uptime_ms\":93784005,"
		   "\"lease_ms\":15000,\"families\":3,\"series\":{\"counter\":2,"
		   "\"gauge\":1,\"histogram\":4},\"folded\":5,\"workers\":["
		   "{\"name\":\"decode-0\",\"pid\":4711,\"uid\":1000,"
		   "\"connected\":true,\"age_ms\":3723000,\"idle_ms\":512,"
		   "\"series\":12,\"last\":9,\"refused\":1,\"library\":\"0.1.0\"},"
		   "{\"name\":\"\xc3\xa9\",\"pid\":0,\"uid\":0,\"connected\":false,"
		   "\"age_ms\":61000,\"idle_ms\":59900,\"series\":100000,"
		   "\"last\":9,\"refused\":0,\"library\":\"\"}]}",
		CTL_OK);

	ck_assert_str_eq(text, table);
	free(text);
}
END_TEST

START_TEST(a_worker_cannot_move_the_cursor_of_a_terminal)
{
	char *text =
	    status("{\"workers\":[{\"name\":\"a\\u001b[2J\\nb\\u009bc\"}]}", CTL_OK);

	ck_assert_ptr_nonnull(strstr(text, "\na?[2J?b?c "));
	ck_assert_ptr_null(strchr(text, '\x1b'));
	free(text);
}
END_TEST

START_TEST(fields_that_are_missing_do_not_matter)
{
	static const char *const texts[] = { "{}", "{\"workers\":[]}",
		"{\"workers\":[{}]}", "{\"workers\":{}}", "{\"workers\":[1]}",
		"{\"version\":1,\"series\":[]}",
		"{\"workers\":[{\"name\":null,\"pid\":\"x\"}]}" };

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		free(status(texts[i], CTL_OK));
}
END_TEST

START_TEST(what_is_no_status_is_told)
{
	free(status("", CTL_UNREACHABLE));
	free(status("[]", CTL_UNREACHABLE));
	free(status("{", CTL_UNREACHABLE));
}
END_TEST

START_TEST(control_characters_are_not_printed)
{
	char *text = NULL;
	size_t bytes = 0;
	FILE *out = open_memstream(&text, &bytes);

	ck_assert_ptr_nonnull(out);
	ctl_print(out, wire_text("a\tb\x7f \xc2\x9b[1m \xc2\xa0\xc3\xa9 \xc2"));
	fclose(out);
	ck_assert_str_eq(text, "a?b? ?[1m \xc2\xa0\xc3\xa9 \xc2");
	free(text);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("ctl");
	TCase *t = tcase_create("ctl");

	tcase_add_test(t, status_is_a_table);
	tcase_add_test(t, a_worker_cannot_move_the_cursor_of_a_terminal);
	tcase_add_test(t, fields_that_are_missing_do_not_matter);
	tcase_add_test(t, what_is_no_status_is_told);
	tcase_add_test(t, control_characters_are_not_printed);
	suite_add_tcase(s, t);
	return s;
}

int
main(void)
{
	return suite_run(suite());
}
