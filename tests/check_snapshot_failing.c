/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A snapshot is read whole or not at all when memory is out, and writing one changes
 * nothing and ends at the first thing that cannot be had.
 */
#include <errno.h>

#include "apply_parts.h"
#include "failing.h"
#include "life.h"
#include "suite.h"

START_TEST(a_state_without_memory_is_said_to_be)
{
	struct talk *writer = talk_new(NULL, NULL);
	struct life life = life_new(writer, 11);
	struct strbuf file = STRBUF_EMPTY;
	unsigned refused = 0;

	life_steps(&life, 700);
	life_save(writer, &file);
	talk_free(writer);
	for (size_t n = 0; failing_more(n); n++) {
		struct talk *t = talk_new(NULL, NULL);
		char why[SNAPSHOT_TEXT] = "";
		enum snapshot_verdict verdict;
		struct journal_head head;

		failing_after(n);
		verdict = snapshot_read(t->apply, file.at, file.bytes, &head, NULL, why);
		refused += failing_end();
		ck_assert(verdict == SNAPSHOT_OK ||
			  (verdict == SNAPSHOT_MEMORY && why[0] != '\0'));
		talk_free(t);
	}
	ck_assert_uint_gt(refused, 100);
	strbuf_free(&file);
}
END_TEST

struct stubborn {
	int error;
	unsigned taken; /* pieces before it fails */
	char bytes[65536];
	size_t n;
};

static int
put(void *arg, const void *bytes, size_t n)
{
	struct stubborn *s = arg;

	if (s->n + n <= sizeof(s->bytes))
		memcpy(s->bytes + s->n, bytes, n);
	s->n += n;
	ck_assert_msg(s->error == 0 || s->taken < UINT32_MAX, "it was asked again");
	if (s->error && s->taken-- == 0)
		return s->error;
	return 0;
}

START_TEST(writing_without_memory_is_ENOMEM_and_changes_nothing)
{
	struct talk *t = talk_new(NULL, NULL);
	struct life life = life_new(t, 11);
	struct strbuf before = STRBUF_EMPTY, after = STRBUF_EMPTY;
	static struct stubborn file;
	struct snapshot_sink sink = { put, &file };
	struct journal_head head;
	unsigned refused = 0;

	life_steps(&life, 700);
	head = life_head(t);
	life_save(t, &before);
	for (size_t n = 0; failing_more(n); n++) {
		int error;

		file.n = 0;
		failing_after(n);
		error = snapshot_write(t->apply, &head, &sink);
		refused += failing_end();
		ck_assert(error == 0 || error == ENOMEM);
		if (error)
			continue;
		ck_assert_uint_eq(file.n, before.bytes);
		ck_assert_int_eq(memcmp(file.bytes, before.at, file.n), 0);
	}
	ck_assert_uint_gt(refused, 8);
	life_save(t, &after);
	ck_assert_uint_eq(before.bytes, after.bytes);
	ck_assert_int_eq(memcmp(before.at, after.at, after.bytes), 0);
	strbuf_free(&before);
	strbuf_free(&after);
	talk_free(t);
}
END_TEST

START_TEST(what_the_file_says_ends_the_writing)
{
	struct talk *t = talk_new(NULL, NULL);
	struct life life = life_new(t, 2);
	struct journal_head head = life_head(t);

	life_steps(&life, 3000);
	for (unsigned i = 0; i < 3; i++) {
		struct stubborn s = { .error = ENOSPC, .taken = i };
		struct snapshot_sink sink = { put, &s };

		ck_assert_int_eq(snapshot_write(t->apply, &head, &sink), ENOSPC);
		ck_assert_uint_eq(s.taken, UINT32_MAX);
	}
	talk_free(t);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("snapshot_failing");
	TCase *all = tcase_create("all");

	tcase_set_timeout(all, 600);
	tcase_add_test(all, a_state_without_memory_is_said_to_be);
	tcase_add_test(all, writing_without_memory_is_ENOMEM_and_changes_nothing);
	tcase_add_test(all, what_the_file_says_ends_the_writing);
	suite_add_tcase(suite, all);
	return suite_run(suite);
}
