/* SPDX-License-Identifier: Apache-2.0 */
/* Random lives, of which some is in a file and what came after it in a journal. */
#include <stdio.h>
#include <stdlib.h>

#include "apply_parts.h"
#include "life.h"
#include "suite.h"

#define LIVES 150

static char when[80];

static const char *
at(uint64_t seed, const char *what)
{
	snprintf(when, sizeof(when), "seed %llu, %s", (unsigned long long)seed, what);
	return when;
}

/* The records of one generation, behind its head. */
static void
replay(struct talk *t, const struct strbuf *journal)
{
	struct journal_reader r = { .bytes = (const uint8_t *)journal->at,
		.n = journal->bytes };
	struct journal_record record;
	struct refusal why = { 0 };

	apply_replay_begin(t->apply);
	while (journal_next(&r, &record))
		ck_assert_msg(
		    apply_replay(t->apply, &record, &why) == REASON_NONE, "%s", why.text);
	ck_assert_uint_eq(r.good, r.n);
	apply_replay_end(t->apply);
}

static void
begin_journal(const struct talk *t, struct strbuf *ret)
{
	struct journal_head head = life_head(t);

	strbuf_reset(ret);
	journal_put_head(ret, &head);
}

static void
take_records(struct journal *j, struct strbuf *to)
{
	size_t n;
	const void *bytes = journal_bytes(j, &n);

	ck_assert(!journal_failed(j));
	strbuf_add(to, bytes, n);
	journal_clear(j);
}

/* Both daemons come to the same, and go on to the same. */
static void
must_go_on_alike(struct life *life, struct talk *other, uint64_t seed)
{
	struct life again;

	other->now_ms = life->talk->now_ms;
	again = life_in(life, other);
	life_connect(life);
	life_connect(&again);
	life_same_but_refused(life->talk, other, at(seed, "replayed"));
	life_steps(life, 100);
	life_steps(&again, 100);
	life_same_but_refused(life->talk, other, at(seed, "later"));
	ck_assert_msg(life->answers == again.answers, "%s", at(seed, "the answers"));
}

/* A life in generations, each begun with a file at some moment. */
static void
live(uint64_t seed, unsigned generations, unsigned steps)
{
	struct talk *t = talk_new(NULL, NULL), *other;
	struct life life = life_new(t, seed);
	struct strbuf file = STRBUF_EMPTY, journal = STRBUF_EMPTY;
	struct journal *records = journal_new();

	t->apply->effects.journal = records;
	begin_journal(t, &journal);
	for (unsigned i = 0; i < generations; i++) {
		strbuf_reset(&file);
		life_save(t, &file);
		begin_journal(t, &journal);
		life_steps(&life, steps);
		take_records(records, &journal);
	}
	if (generations == 0) {
		life_save(t, &file);
		life_steps(&life, steps);
		take_records(records, &journal);
	}
	other = life_load(&file, NULL);
	replay(other, &journal);
	ck_assert_uint_eq(apply_replay_dropped(other->apply), 0);
	t->apply->effects.journal = NULL;
	must_go_on_alike(&life, other, seed);
	strbuf_free(&file);
	strbuf_free(&journal);
	talk_free(other);
	talk_free(t);
	journal_free(records);
}

START_TEST(a_journal_alone_comes_to_the_same)
{
	for (uint64_t seed = 0; seed < LIVES; seed++)
		live(seed, 0, 20 + 3 * (unsigned)seed);
}
END_TEST

START_TEST(a_file_and_the_journal_behind_it_come_to_the_same)
{
	for (uint64_t seed = 0; seed < LIVES; seed++)
		live(seed, 1 + seed % 4, 20 + 3 * (unsigned)seed);
}
END_TEST

/* ---- Under another configuration ------------------------------------------------ */

static char *constants[] = { (char *)"z", (char *)"1", (char *)"y", (char *)"2", NULL };

/* What does not fit is left out; all the rest is replayed, to the end. */
START_TEST(a_journal_is_replayed_under_another_naming_too)
{
	static const struct naming namings[] = { { .component = true },
		{ .labels = constants }, { true, constants } };

	for (uint64_t seed = 0; seed < LIVES; seed++) {
		struct talk *t = talk_new(NULL, NULL), *other;
		struct life life = life_new(t, seed), again;
		struct strbuf file = STRBUF_EMPTY, journal = STRBUF_EMPTY;
		struct journal *records = journal_new();

		life_steps(&life, 200 + 3 * (unsigned)seed);
		life_save(t, &file);
		begin_journal(t, &journal);
		t->apply->effects.journal = records;
		life_steps(&life, 300);
		take_records(records, &journal);
		other = life_load(&file, &namings[seed % 3]);
		replay(other, &journal);
		other->now_ms = t->now_ms;
		again = life_in(&life, other);
		life_connect(&again);
		life_steps(&again, 100);
		/* And it is a state that can be saved. */
		strbuf_reset(&file);
		life_save(other, &file);
		talk_free(t);
		t = life_load(&file, &namings[seed % 3]);
		t->now_ms = other->now_ms;
		life_same(other, t, at(seed, "saved again"));
		strbuf_free(&file);
		strbuf_free(&journal);
		talk_free(other);
		talk_free(t);
		journal_free(records);
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("snapshot_journal");
	TCase *all = tcase_create("all");

	tcase_set_timeout(all, 120);
	tcase_add_test(all, a_journal_alone_comes_to_the_same);
	tcase_add_test(all, a_file_and_the_journal_behind_it_come_to_the_same);
	tcase_add_test(all, a_journal_is_replayed_under_another_naming_too);
	suite_add_tcase(suite, all);
	return suite_run(suite);
}
