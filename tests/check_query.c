/* SPDX-License-Identifier: Apache-2.0 */
/* The query of a scrape's URL: what it picks, what is ignored, what is refused. */
#include <stdio.h>

#include "failing.h"
#include "query.h"
#include "suite.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

static const struct {
	const char *raw;
	const char *plain, *spaced; /* spaced: '+' is a space */
} codes[] = {
	{ "", "", "" },
	{ "abc", "abc", "abc" },
	{ "a+b", "a+b", "a b" },
	{ "a%20b", "a b", "a b" },
	{ "%2b", "+", "+" },
	{ "%C3%a9", "é", "é" },
	{ "100%", "100%", "100%" },
	{ "%2", "%2", "%2" },
	{ "%zz%4", "%zz%4", "%zz%4" },
	{ "%%41", "%A", "%A" },
	{ "%2541", "%41", "%41" },
};

START_TEST(codes_are_decoded_once_and_what_is_none_stays)
{
	char text[32];

	strcpy(text, codes[_i].raw);
	ck_assert_uint_eq(query_decode(text, false), strlen(codes[_i].plain));
	ck_assert_str_eq(text, codes[_i].plain);
	strcpy(text, codes[_i].raw);
	ck_assert_uint_eq(query_decode(text, true), strlen(codes[_i].spaced));
	ck_assert_str_eq(text, codes[_i].spaced);
}
END_TEST

START_TEST(a_nul_is_decoded_into_the_text_and_not_its_end)
{
	char text[] = "a%00b";

	ck_assert_uint_eq(query_decode(text, false), 3);
	ck_assert_mem_eq(text, "a\0b", 4);
}
END_TEST

/* What is picked: the level's names, then the families' names. */
static const struct good {
	const char *query, *picked;
} good[] = {
	{ NULL, "" },
	{ "", "" },
	{ "&&&", "" },
	{ "namespace=n", "/n" },
	{ "namespace=n&component=c&endpoint=e", "/n/c/e" },
	{ "endpoint=e&component=c&namespace=n", "/n/c/e" },
	{ "namespace=my%2Dmodel&component=a+b", "/my-model/a b" },
	{ "namespace=a&namespace=b", "/b" },
	{ "namespace=", "" },
	{ "namespace", "" },
	{ "namespace=a%26b%3Dc", "/a&b=c" },
	{ "namespace=a=b", "/a=b" },
	{ "name[]=x", " x" },
	{ "name%5B%5D=x&name[]=y", " x y" },
	{ "name[]=", " " },
	{ "name=x&Namespace=n&other=%", "" },
	{ "name[]%00=x&namespace%00y=n&%00=z", "" },
	{ "name[]=x&namespace=n&name[]=y", "/n x y" },
};

START_TEST(levels_and_names_are_picked_and_the_rest_is_ignored)
{
	struct strbuf picked = STRBUF_EMPTY;
	struct query q;
	const char *error = NULL;

	ck_assert_int_eq(query_read(&q, good[_i].query, &error), 0);
	strbuf_adds(&picked, "");
	for (size_t i = 0; i < q.filter.level.depth; i++)
		strbuf_addf(&picked, "/%.*s", (int)q.filter.level.name[i].bytes,
		    q.filter.level.name[i].at);
	for (size_t i = 0; i < q.filter.n_names; i++)
		strbuf_addf(
		    &picked, " %.*s", (int)q.filter.names[i].bytes, q.filter.names[i].at);
	ck_assert_str_eq(picked.at, good[_i].picked);
	strbuf_free(&picked);
	query_free(&q);
}
END_TEST

static const struct bad {
	const char *query, *sentence;
} bad[] = {
	{ "component=c", "component= needs namespace= beside it\n" },
	{ "namespace=&component=c", "component= needs namespace= beside it\n" },
	{ "endpoint=e", "endpoint= needs namespace= and component= beside it\n" },
	{ "namespace=n&endpoint=e",
	    "endpoint= needs namespace= and component= beside it\n" },
};

START_TEST(a_level_without_what_is_above_it_is_refused)
{
	struct query q = { .memory = NULL };
	const char *error = NULL;

	ck_assert_int_eq(query_read(&q, bad[_i].query, &error), -1);
	ck_assert_str_eq(error, bad[_i].sentence);
	ck_assert_ptr_null(q.memory);
}
END_TEST

START_TEST(a_query_without_memory_is_refused_and_leaves_nothing)
{
	size_t n = 0;

	for (; failing_more(n); n++) {
		struct query q = { .memory = NULL };
		const char *error = "";
		int failed;

		failing_after(n);
		failed = query_read(&q, "namespace=n&name[]=x", &error);
		ck_assert_int_eq(failed, failing_end() ? -1 : 0);
		ck_assert((error == NULL) == (failed != 0));
		query_free(&q);
	}
	ck_assert_uint_eq(n, 3);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("query");
	TCase *c = tcase_create("query");

	suite_add_tcase(s, c);
	tcase_add_loop_test(
	    c, codes_are_decoded_once_and_what_is_none_stays, 0, (int)COUNT(codes));
	tcase_add_test(c, a_nul_is_decoded_into_the_text_and_not_its_end);
	tcase_add_loop_test(
	    c, levels_and_names_are_picked_and_the_rest_is_ignored, 0, (int)COUNT(good));
	tcase_add_loop_test(
	    c, a_level_without_what_is_above_it_is_refused, 0, (int)COUNT(bad));
	tcase_add_test(c, a_query_without_memory_is_refused_and_leaves_nothing);
	return suite_run(s);
}
