/* SPDX-License-Identifier: Apache-2.0 */
#include "strbuf.h"
#include "suite.h"

START_TEST(text_grows_and_stays_whole)
{
	struct strbuf s = STRBUF_EMPTY;

	for (int i = 0; i < 10000; i++)
		strbuf_addf(&s, "%d,", i);
	strbuf_adds(&s, "end");
	ck_assert(!s.failed);
	ck_assert_uint_eq(strlen(s.at), s.bytes);
	ck_assert_ptr_nonnull(strstr(s.at, "9998,9999,end"));
	strbuf_reset(&s);
	strbuf_addc(&s, 'x');
	ck_assert_str_eq(s.at, "x");
	strbuf_free(&s);
	ck_assert_ptr_null(s.at);
}
END_TEST

START_TEST(an_impossible_length_fails_and_stays_failed)
{
	struct strbuf s = STRBUF_EMPTY;

	strbuf_adds(&s, "kept");
	ck_assert(!strbuf_reserve(&s, SIZE_MAX / 2));
	strbuf_adds(&s, "lost");
	ck_assert(s.failed);
	ck_assert_str_eq(s.at, "kept");
	strbuf_free(&s);
}
END_TEST

START_TEST(json_strings_are_escaped)
{
	struct strbuf s = STRBUF_EMPTY;

	strbuf_add_json(&s, wire_text("a\"b\\c\n\x01\xc3\xa9"));
	ck_assert_str_eq(s.at, "\"a\\\"b\\\\c\\u000a\\u0001\xc3\xa9\"");
	strbuf_free(&s);
}
END_TEST

START_TEST(what_drives_a_terminal_is_escaped_in_json)
{
	struct strbuf s = STRBUF_EMPTY;

	strbuf_add_json(&s, wire_text("\x1b[2J\x7f\xc2\x80\xc2\x9b\xc2\xa0\xc2"));
	ck_assert_str_eq(s.at, "\"\\u001b[2J\\u007f\\u0080\\u009b\xc2\xa0\xc2\"");
	strbuf_free(&s);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("strbuf");
	TCase *c = tcase_create("strbuf");

	suite_add_tcase(s, c);
	tcase_add_test(c, text_grows_and_stays_whole);
	tcase_add_test(c, an_impossible_length_fails_and_stays_failed);
	tcase_add_test(c, json_strings_are_escaped);
	tcase_add_test(c, what_drives_a_terminal_is_escaped_in_json);
	return suite_run(s);
}
