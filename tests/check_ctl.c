/* SPDX-License-Identifier: Apache-2.0 */
/* What dynamo-metricsctl prints, without a daemon. */
#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>
#include <unistd.h>

#include "commands.h"
#include "input.h"
#include "level.h"
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
"2 workers; so far 7 were folded, 5 of them are remembered; lease 15.0 s\n"
"3 connections; so far: 1234567 messages, 4 of them sent again, 8 things refused, "
"2 updates dropped by workers\n"
"state in /var/lib/x: snapshot 12.3 s ago, 3.5 MiB, in 40 ms; journal 9, 2.0 KiB\n"
"\n"
"WORKER     PID   UID  STATE            AGE    IDLE  UPDATED  SERIES  REFUSED  LIBRARY\n"
"decode-0  4711  1000  connected  1 h 2 min  512 ms    9.5 s      12        1  0.1.0\n"
"é            ?     0  gone       1 min 1 s  59.9 s    never  100000        0  \n";
/* clang-format on */

START_TEST(status_is_a_table)
{
	char *text = status(
	    "{\"version\":\"0.1.0\",\"epoch\":\"ab\",\"uptime_ms\":93784005,"
	    "\"lease_ms\":15000,\"families\":3,\"series\":{\"counter\":2,"
	    "\"gauge\":1,\"histogram\":4},\"folded_total\":7,\"remembered\":5,"
	    "\"resent_total\":4,\"refused_total\":8,\"client_dropped_total\":2,"
	    "\"totals\":{\"connections\":3,\"messages\":1234567},"
	    "\"state\":{\"path\":\"/var/lib/x\",\"journal\":true,\"degraded\":false,"
	    "\"snapshot_age_s\":12.345,\"snapshot_duration_s\":0.04,"
	    "\"snapshot_bytes\":3670016,\"snapshot_failures\":0,"
	    "\"journal_bytes\":2048,\"generation\":9,\"problems\":[]},\"workers\":["
	    "{\"name\":\"decode-0\",\"pid\":4711,\"uid\":1000,"
	    "\"connected\":true,\"age_ms\":3723000,\"idle_ms\":512,"
	    "\"updated_ms\":9512,\"series\":12,\"last\":9,\"refused\":1,\"library\":\"0."
	    "1.0\"},"
	    "{\"name\":\"\xc3\xa9\",\"pid\":0,\"uid\":0,\"connected\":false,"
	    "\"age_ms\":61000,\"idle_ms\":59900,\"series\":100000,"
	    "\"last\":9,\"refused\":0,\"library\":\"\"}]}",
	    CTL_OK);

	ck_assert_str_eq(text, table);
	free(text);
}
END_TEST

/* A member `state` of STATUS, and the lines for it. */
static const char *const states[][2] = {
	{ "{\"path\":\"\"}", "state: nothing is kept over a restart\n" },
	{ "{\"path\":\"/s\",\"journal\":true,\"snapshot_age_s\":null,"
	  "\"journal_bytes\":100,\"generation\":1}",
	    "state in /s: no snapshot yet; journal 1, 100 bytes\n" },
	{ "{\"path\":\"/s\",\"journal\":true,\"snapshot_age_s\":0.5,"
	  "\"snapshot_duration_s\":null,\"snapshot_bytes\":7,\"journal_bytes\":100,"
	  "\"generation\":2}",
	    "state in /s: snapshot 500 ms ago, 7 bytes; journal 2, 100 bytes\n" },
	{ "{\"path\":\"/s\",\"journal\":false,\"snapshot_age_s\":90,"
	  "\"snapshot_duration_s\":1.5,\"snapshot_bytes\":1073741824}",
	    "state in /s: snapshot 1 min 30 s ago, 1.0 GiB, in 1.5 s; no journal\n" },
	{ "{\"path\":\"/s\",\"journal\":true,\"degraded\":true,\"snapshot_age_s\":90,"
	  "\"snapshot_duration_s\":0,\"snapshot_bytes\":1024,\"snapshot_failures\":3,"
	  "\"problems\":[\"the disk\\u001b is full\",\"and\",7]}",
	    "state in /s: snapshot 1 min 30 s ago, 1.0 KiB, in 0 ms, 3 failed; degraded\n"
	    "problem: the disk? is full\nproblem: and\nproblem: ?\n" },
	{ "[]", "dropped by workers\n\n" },
};

START_TEST(the_state_has_a_line_and_each_problem_too)
{
	char json[500], *text;

	snprintf(json, sizeof(json), "{\"state\":%s}", states[_i][0]);
	text = status(json, CTL_OK);
	ck_assert_msg(
	    strstr(text, states[_i][1]) != NULL, "%s\nin\n%s", states[_i][1], text);
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

/* ---- Messages one after another --------------------------------------------- */

static const struct {
	const char *text;
	const char *messages[4]; /* NULL: no more */
} inputs[] = {
	{ "", { NULL } },
	{ " \n\t", { NULL } },
	{ "{}", { "{}" } },
	{ " {} \n", { "{}" } },
	{ "{}{}", { "{}", "{}" } },
	{ "{}\n{\"a\":1}\n", { "{}", "{\"a\":1}" } },
	{ "{\"a\":\n {\"b\":[1,\n{}]}\n}\n{}",
	    { "{\"a\":\n {\"b\":[1,\n{}]}\n}", "{}" } },
	/* Braces and quotes in strings are not the message's. */
	{ "{\"}\":\"{\\\"}\"} {}", { "{\"}\":\"{\\\"}\"}", "{}" } },
	{ "{\"\\\\\":1}{}", { "{\"\\\\\":1}", "{}" } },
	/* What has an error ends with its line, and does not take the next with it. */
	{ "{\"a\":[}\n{}\n", { "{\"a\":[}", "{}" } },
	{ "{\"a\n{}", { "{\"a", "{}" } },
	{ "{\"a\":[\n{}\n", { "{\"a\":[", "{}" } },
	{ "{\"a\":[1\n{}\n{\n", { "{\"a\":[1", "{}", "{" } },
	{ "{\"a\":1", { "{\"a\":1" } },
	/* But in an array an object may begin a line. */
	{ "{\"a\":[\n{}\n]}", { "{\"a\":[\n{}\n]}" } },
	{ "{\"a\":[{}\n,\n{}]}", { "{\"a\":[{}\n,\n{}]}" } },
};

static void
check_input(struct input *in, const char *const *messages)
{
	struct ctl_error error = { "" };
	struct wire_text t;
	size_t i = 0;

	for (;; i++) {
		ck_assert_int_eq(input_next(in, &t, &error), CTL_OK);
		if (t.at == NULL)
			break;
		ck_assert_uint_lt(i, 4);
		ck_assert_msg(messages[i] && wire_text_is(t, messages[i]),
		    "message %zu is '%.*s'", i + 1, (int)t.bytes, t.at);
		ck_assert_int_eq(input_has_more(in), messages[i + 1] != NULL);
	}
	ck_assert(i == 4 || messages[i] == NULL);
	input_close(in);
}

START_TEST(messages_one_after_another_are_taken_apart)
{
	struct ctl_error error = { "" };
	struct input *in;

	ck_assert_int_eq(input_open(inputs[_i].text, &in, &error), CTL_OK);
	check_input(in, inputs[_i].messages);
}
END_TEST

/* A named pipe on standard input, so that it comes in as small pieces as can be. */
START_TEST(a_message_may_come_byte_by_byte)
{
	static const char text[] = "{\"a\":\"}\\\"\"}\n{\"b\":[1,{}]}{}";
	static const char *const ends[] = { "{\"a\":\"}\\\"\"}", "{\"b\":[1,{}]}", "{}" };
	struct ctl_error error = { "" };
	struct wire_text t;
	struct input *in;
	int ends_of_pipe[2];
	size_t at = 0;
	char name[32];

	ck_assert_int_eq(pipe(ends_of_pipe), 0);
	snprintf(name, sizeof(name), "@/dev/fd/%d", ends_of_pipe[0]);
	ck_assert_int_eq(input_open(name, &in, &error), CTL_OK);
	for (size_t i = 0; i < 3; i++) {
		/* Up to its last byte and no further: it is there without waiting. */
		size_t end =
		    (size_t)(strstr(text + at, ends[i]) - text) + strlen(ends[i]);

		for (; at < end; at++)
			ck_assert_int_eq(write(ends_of_pipe[1], text + at, 1), 1);
		ck_assert_int_eq(input_next(in, &t, &error), CTL_OK);
		ck_assert(wire_text_is(t, ends[i]));
	}
	close(ends_of_pipe[1]);
	ck_assert_int_eq(input_next(in, &t, &error), CTL_OK);
	ck_assert_ptr_null(t.at);
	input_close(in);
	close(ends_of_pipe[0]);
}
END_TEST

/* And not only at the end of everything, when nothing else can come. */
START_TEST(an_error_holds_up_no_message_behind_it)
{
	static const char text[] = "{\"a\":[}\n{\"b\n{} {";
	static const char *const messages[] = { "{\"a\":[}", "{\"b", "{}" };
	struct ctl_error error = { "" };
	struct wire_text t;
	struct input *in;
	int ends_of_pipe[2];
	char name[32];

	ck_assert_int_eq(pipe(ends_of_pipe), 0);
	snprintf(name, sizeof(name), "@/dev/fd/%d", ends_of_pipe[0]);
	ck_assert_int_eq(input_open(name, &in, &error), CTL_OK);
	ck_assert_int_eq(
	    write(ends_of_pipe[1], text, sizeof(text) - 1), sizeof(text) - 1);
	for (size_t i = 0; i < 3; i++) {
		ck_assert_int_eq(input_next(in, &t, &error), CTL_OK);
		ck_assert_msg(wire_text_is(t, messages[i]), "message %zu is '%.*s'", i,
		    (int)t.bytes, t.at);
	}
	input_close(in);
	close(ends_of_pipe[0]);
	close(ends_of_pipe[1]);
}
END_TEST

START_TEST(what_is_no_message_is_told)
{
	static const char *const texts[] = { "hello", "[]", "{} x", "\"{}\"", ",{}" };

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct ctl_error error = { "" };
		struct wire_text t = { "", 0 };
		struct input *in;
		enum ctl_exit code = CTL_OK;

		ck_assert_int_eq(input_open(texts[i], &in, &error), CTL_OK);
		while (code == CTL_OK && t.at)
			code = input_next(in, &t, &error);
		ck_assert_int_eq(code, CTL_USAGE);
		ck_assert_ptr_nonnull(strstr(error.text, "starts with '{'"));
		input_close(in);
	}
}
END_TEST

START_TEST(a_message_without_an_end_is_not_read_for_ever)
{
	struct ctl_error error = { "" };
	struct wire_text t;
	struct input *in;
	char *text = malloc(INPUT_MESSAGE_BYTES + 2);

	ck_assert_ptr_nonnull(text);
	memset(text, ' ', INPUT_MESSAGE_BYTES + 1);
	text[0] = '{';
	text[INPUT_MESSAGE_BYTES - 1] = '}';
	text[INPUT_MESSAGE_BYTES] = '\0';
	ck_assert_int_eq(input_open(text, &in, &error), CTL_OK);
	ck_assert_int_eq(input_next(in, &t, &error), CTL_OK);
	ck_assert_uint_eq(t.bytes, INPUT_MESSAGE_BYTES);
	input_close(in);
	text[INPUT_MESSAGE_BYTES - 1] = ' ';
	text[INPUT_MESSAGE_BYTES] = ' ';
	text[INPUT_MESSAGE_BYTES + 1] = '\0';
	ck_assert_int_eq(input_open(text, &in, &error), CTL_OK);
	ck_assert_int_eq(input_next(in, &t, &error), CTL_USAGE);
	ck_assert_ptr_nonnull(strstr(error.text, "longer than any message"));
	input_close(in);
	free(text);
}
END_TEST

/* ---- Commands and levels ------------------------------------------------------ */

START_TEST(a_mistyped_command_is_told_the_nearest)
{
	static const char *const words[][2] = { { "sned", "send" }, { "staus", "status" },
		{ "loglevel", "log-level" }, { "log_level", "log-level" },
		{ "tial", "tail" }, { "export", "expose" }, { "rm", NULL },
		{ "delete", NULL }, { "", NULL }, { "x", NULL },
		{ "a-command-of-more-than-thirty-two-bytes", NULL } };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		struct ctl_error error = { "" };
		const struct command *c = NULL;
		char meant[64];

		ck_assert_int_eq(command_find(words[i][0], &c, &error), CTL_USAGE);
		ck_assert_ptr_null(c);
		snprintf(
		    meant, sizeof(meant), "mean '%s'?", words[i][1] ? words[i][1] : "");
		ck_assert_msg(
		    (strstr(error.text, meant) != NULL) == (words[i][1] != NULL), "%s",
		    error.text);
	}
}
END_TEST

START_TEST(a_level_is_a_path_or_its_names)
{
	char *names[] = { (char *)"a/b", (char *)"c", (char *)"d", (char *)"e" };
	struct message_level level = { 0 };
	struct ctl_error error = { "" };

	ck_assert_int_eq(level_from_path("a/b", &level, &error), CTL_OK);
	ck_assert_uint_eq(level.depth, 2);
	ck_assert(wire_text_is(level.name[1], "b"));
	level.depth = 0;
	ck_assert_int_eq(level_from_names(2, names, &level, &error), CTL_OK);
	ck_assert_uint_eq(level.depth, 2);
	ck_assert(wire_text_is(level.name[0], "a/b"));
	level.depth = 0;
	ck_assert_int_eq(level_from_names(4, names, &level, &error), CTL_USAGE);
	level.depth = 0;
	ck_assert_int_eq(level_from_path("a//c", &level, &error), CTL_USAGE);
	level.depth = 0;
	ck_assert_int_eq(level_from_path("a/b/c/d", &level, &error), CTL_USAGE);
	ck_assert_ptr_nonnull(strstr(error.text, "more than three parts"));
}
END_TEST

/* ---- tail --------------------------------------------------------------------- */

static const char *const told[][2] = {
	{ "{\"pid\":4711,\"uid\":1000,\"worker\":\"decode-0\",\"type\":\"UPDATE\",\"n\":"
	  "4,"
	  "\"count\":7,\"bytes\":120,\"answer\":\"ACK\"}",
	    "pid 4711 uid 1000 'decode-0' UPDATE n=4 count=7 bytes=120 -> ACK\n" },
	{ "{\"pid\":1,\"uid\":0,\"type\":\"DEFINE\",\"bytes\":9,\"answer\":\"ACK\","
	  "\"refused\":2,\"reason\":\"type\",\"text\":\"it is a gauge\"}",
	    "pid 1 uid 0 DEFINE bytes=9 -> ACK, refused (the first of 2): type: it is a "
	    "gauge\n" },
	{ "{\"pid\":1,\"uid\":0,\"type\":\"JSON\",\"bytes\":9,\"json\":\"{\\\"a\\n\","
	  "\"refused\":1,\"reason\":\"json\",\"text\":\"line 1\\u009b\"}",
	    "pid 1 uid 0 JSON bytes=9 {\"a? -> refused: json: line 1?\n" },
	{ "{}", "\n" },
	{ "{\"worker\":1,\"refused\":\"x\",\"pid\":null}", "pid 0\n" },
};

START_TEST(a_message_is_a_line)
{
	char *text = NULL;
	size_t bytes = 0;
	FILE *out = open_memstream(&text, &bytes);
	json_t *message = json_loads(told[_i][0], 0, NULL);

	ck_assert(out && message);
	ctl_print_message(out, message);
	fclose(out);
	ck_assert_str_eq(text, told[_i][1]);
	free(text);
	json_decref(message);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("ctl");
	TCase *t = tcase_create("ctl");

	tcase_add_test(t, status_is_a_table);
	tcase_add_loop_test(t, the_state_has_a_line_and_each_problem_too, 0,
	    sizeof(states) / sizeof(states[0]));
	tcase_add_test(t, a_worker_cannot_move_the_cursor_of_a_terminal);
	tcase_add_test(t, fields_that_are_missing_do_not_matter);
	tcase_add_test(t, what_is_no_status_is_told);
	tcase_add_test(t, control_characters_are_not_printed);
	tcase_add_loop_test(t, messages_one_after_another_are_taken_apart, 0,
	    sizeof(inputs) / sizeof(inputs[0]));
	tcase_add_test(t, a_message_may_come_byte_by_byte);
	tcase_add_test(t, an_error_holds_up_no_message_behind_it);
	tcase_add_test(t, what_is_no_message_is_told);
	tcase_add_test(t, a_message_without_an_end_is_not_read_for_ever);
	tcase_add_test(t, a_mistyped_command_is_told_the_nearest);
	tcase_add_test(t, a_level_is_a_path_or_its_names);
	tcase_add_loop_test(t, a_message_is_a_line, 0, sizeof(told) / sizeof(told[0]));
	suite_add_tcase(s, t);
	return s;
}

int
main(void)
{
	return suite_run(suite());
}
