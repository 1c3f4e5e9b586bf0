/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of the state as releases wrote them, in tests/golden-state/: each release reads
 * what those before it wrote. With DYNM_WRITE=1 files that are missing are written, and
 * what they come to is written anew: that is for a release with another format, or with
 * another page or STATUS.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "apply_parts.h"
#include "life.h"
#include "suite.h"

#define FOLDER	 "tests/golden-state/1/"
#define SNAPSHOT FOLDER "snapshot"
#define JOURNAL	 FOLDER "journal"
#define SHOWN	 FOLDER "shown"

/* ---- Files ------------------------------------------------------------------- */

static void
read_file(const char *path, struct strbuf *ret)
{
	char bytes[65536];
	FILE *f = fopen(path, "rb");
	size_t n;

	ck_assert_msg(f != NULL, "no %s: run this in the top folder", path);
	while ((n = fread(bytes, 1, sizeof(bytes), f)) > 0)
		strbuf_add(ret, bytes, n);
	fclose(f);
	strbuf_add(ret, "", 0);
}

static void
write_file(const char *path, const struct strbuf *what)
{
	FILE *f = fopen(path, "wb");

	ck_assert_msg(f != NULL, "%s cannot be written", path);
	ck_assert_uint_eq(fwrite(what->at, 1, what->bytes, f), what->bytes);
	ck_assert_int_eq(fclose(f), 0);
}

static enum apply_life
same(void *arg, pid_t pid, uint64_t start)
{
	(void)arg;
	(void)start;
	return pid % 2 ? APPLY_LIFE_SAME : APPLY_LIFE_UNKNOWN;
}

/* What a life alone does not have: a name that goes to a successor, a gauge whose time is
 * over, another boot of the machine. */
static void
live_through_more(struct life *life)
{
	struct talk *t = life->talk;
	struct talk_worker *first = talk_worker(t, 200), *second = talk_worker(t, 201);

	talk_hello(first, "same");
	talk_disconnect(first, false);
	talk_hello(second, "same");
	talk_json(t, "{\"metrics\":[{\"name\":\"brief\",\"type\":\"gauge\",\"set\":1,"
		     "\"ttl_s\":1}]}");
	t->now_ms += 1500;
	apply_tick(t->apply, t->now_ms);
	for (size_t i = 0; i < LIFE_WORKERS; i++)
		talk_disconnect(life->worker[i], false);
	apply_recovered(t->apply, true, same, NULL, t->now_ms);
	life_connect(life);
	life_steps(life, 200);
}

/* A state, and what came after it. */
static void
write_state(void)
{
	struct talk *t = talk_new(NULL, NULL);
	struct life life = life_new(t, 4004);
	struct strbuf file = STRBUF_EMPTY, journal = STRBUF_EMPTY;
	struct journal *records = journal_new();
	struct journal_head head;
	const void *bytes;
	size_t n;

	life_steps(&life, 1000);
	life_save(t, &file);
	head = life_head(t);
	journal_put_head(&journal, &head);
	t->apply->effects.journal = records;
	life_steps(&life, 400);
	live_through_more(&life);
	bytes = journal_bytes(records, &n);
	strbuf_add(&journal, bytes, n);
	journal_put_seal(&journal);
	write_file(SNAPSHOT, &file);
	write_file(JOURNAL, &journal);
	strbuf_free(&file);
	strbuf_free(&journal);
	talk_free(t);
	journal_free(records);
}

/* ---- What they come to ---------------------------------------------------------- */

static void
replay(struct talk *t, const struct strbuf *journal)
{
	struct journal_reader r = { .bytes = (const uint8_t *)journal->at,
		.n = journal->bytes };
	struct journal_record record;
	struct refusal why = { 0 };
	uint64_t unix_ms;

	apply_replay_begin(t->apply);
	while (journal_next(&r, &record))
		ck_assert_msg(
		    apply_replay(t->apply, &record, &why) == REASON_NONE, "%s", why.text);
	ck_assert_uint_eq(r.good, r.n);
	ck_assert_uint_eq(apply_replay_dropped(t->apply), 0);
	apply_replay_end(t->apply);
	apply_last_time(t->apply, &t->now_ms, &unix_ms);
	apply_recovered(t->apply, false, same, NULL, t->now_ms);
}

/* The pages and STATUS of what both files say. */
static void
show_all(struct strbuf *ret)
{
	struct strbuf file = STRBUF_EMPTY, journal = STRBUF_EMPTY;
	struct talk *t;

	read_file(SNAPSHOT, &file);
	read_file(JOURNAL, &journal);
	t = life_load(&file, NULL);
	life_show(t, ret);
	strbuf_adds(ret, "\n\n");
	replay(t, &journal);
	life_show(t, ret);
	strbuf_addc(ret, '\n');
	talk_free(t);
	strbuf_free(&file);
	strbuf_free(&journal);
}

START_TEST(files_of_format_1_come_to_what_they_came_to)
{
	struct strbuf shown = STRBUF_EMPTY, was = STRBUF_EMPTY;

	if (getenv("DYNM_WRITE") && access(SNAPSHOT, F_OK) != 0)
		write_state();
	show_all(&shown);
	if (getenv("DYNM_WRITE"))
		write_file(SHOWN, &shown);
	read_file(SHOWN, &was);
	ck_assert_str_eq(shown.at, was.at);
	ck_assert_uint_gt(shown.bytes, 4000);
	strbuf_free(&shown);
	strbuf_free(&was);
}
END_TEST

/* Else it is another format, and has to say so. */
START_TEST(format_1_is_written_as_it_was)
{
	struct strbuf file = STRBUF_EMPTY, again = STRBUF_EMPTY;
	struct talk *t;

	ck_assert_int_eq(JOURNAL_FORMAT, 1);
	read_file(SNAPSHOT, &file);
	t = life_load(&file, NULL);
	life_save(t, &again);
	ck_assert_uint_eq(file.bytes, again.bytes);
	ck_assert_int_eq(memcmp(file.at, again.at, file.bytes), 0);
	talk_free(t);
	strbuf_free(&file);
	strbuf_free(&again);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("snapshot_golden");
	TCase *all = tcase_create("all");

	tcase_add_test(all, files_of_format_1_come_to_what_they_came_to);
	tcase_add_test(all, format_1_is_written_as_it_was);
	suite_add_tcase(suite, all);
	return suite_run(suite);
}
