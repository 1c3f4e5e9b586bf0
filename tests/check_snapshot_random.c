/* SPDX-License-Identifier: Apache-2.0 */
/* Random lives: what was saved and read again is what it was, and goes on as it would. */
#include <stdio.h>
#include <stdlib.h>

#include "life.h"
#include "suite.h"

#define LIVES 200

static char when[80];

static const char *
at(uint64_t seed, const char *what)
{
	snprintf(when, sizeof(when), "seed %llu, %s", (unsigned long long)seed, what);
	return when;
}

static void
must_be_the_same_file(const struct strbuf *a, const struct strbuf *b, uint64_t seed)
{
	ck_assert_msg(a->bytes == b->bytes && memcmp(a->at, b->at, a->bytes) == 0, "%s",
	    at(seed, "the file differs"));
}

/* One life is lived, saved, and goes on in two daemons. */
static void
live(uint64_t seed, unsigned steps)
{
	struct talk *t = talk_new(NULL, NULL), *other;
	struct life life = life_new(t, seed), again;
	struct strbuf file = STRBUF_EMPTY, second = STRBUF_EMPTY;

	life_steps(&life, steps);
	life_save(t, &file);
	other = life_load(&file, NULL);
	life_same(t, other, at(seed, "loaded"));
	life_save(other, &second);
	must_be_the_same_file(&file, &second, seed);

	again = life_in(&life, other);
	life_connect(&life);
	life_connect(&again);
	for (unsigned i = 0; i < 6; i++) {
		life_steps(&life, 50);
		life_steps(&again, 50);
		life_same(t, other, at(seed, "later"));
		ck_assert_msg(
		    life.answers == again.answers, "%s", at(seed, "the answers"));
	}
	strbuf_free(&file);
	strbuf_free(&second);
	talk_free(other);
	talk_free(t);
}

START_TEST(a_life_goes_on_from_its_file_as_if_nothing_had_been)
{
	for (uint64_t seed = 0; seed < LIVES; seed++)
		live(seed, 20 + (unsigned)seed * 3);
}
END_TEST

START_TEST(a_long_life_does_too)
{
	live(1000, 20000);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("snapshot_random");
	TCase *all = tcase_create("all");

	tcase_set_timeout(all, 120);
	tcase_add_test(all, a_life_goes_on_from_its_file_as_if_nothing_had_been);
	tcase_add_test(all, a_long_life_does_too);
	suite_add_tcase(suite, all);
	return suite_run(suite);
}
