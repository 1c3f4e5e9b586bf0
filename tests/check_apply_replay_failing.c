/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recording and replaying when memory is out: every allocation is refused in turn. Either
 * the journal says that it failed, or it has what happened; either a replay says so, or
 * it comes to the same.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "apply_parts.h"
#include "failing.h"
#include "json_talk.h"
#include "suite.h"
#include "twins.h"

static struct twins t;
static struct twin *x;

static void
setup(void)
{
	json_set_alloc_funcs(failing_malloc, failing_free);
	twins_init(&t);
	x = &t.dies;
	x->options.retain_s = 20;
}

static const double bounds[] = { 1 };
static const struct talk_metric counter = {
	.kind = MESSAGE_COUNTER, .level = "n/c", .name = "c", .variable = "l"
};
static const struct talk_metric each = {
	.id = 1, .kind = MESSAGE_GAUGE, .merge = MESSAGE_EACH, .level = "", .name = "g"
};
static const struct talk_metric histogram = { .id = 2,
	.kind = MESSAGE_HISTOGRAM,
	.level = "",
	.name = "h",
	.n_bounds = 1,
	.bounds = bounds };

/* ---- A request at a time ---------------------------------------------------- */

static void
none(void)
{
}

static void
hello(void)
{
	talk_hello(x->w[0], "a");
}

static void
define(void)
{
	talk_define(x->w[0], &counter, "x\"", 0);
}

static void
defined(void)
{
	hello();
	define();
	talk_define(x->w[0], &each, "", 1);
	talk_define(x->w[0], &histogram, "", 2);
}

static void
update(void)
{
	talk_update(x->w[0], 0, 5, (double[]){ 1, 2, 3, 4, 5 });
}

static void
updated(void)
{
	defined();
	update();
}

static void
take_away(void)
{
	talk_remove(x->w[0], 0);
}

static void
bye(void)
{
	talk_bye(x->w[0]);
}

static void
left(void)
{
	updated();
	talk_disconnect(x->w[0], false);
}

static void
successor(void)
{
	talk_hello(x->w[1], "a");
}

static void
succeeded(void)
{
	left();
	successor();
}

static void
json(void)
{
	struct apply_peer peer = { .uid = 1000 };

	strbuf_reset(&x->talk->reply);
	apply_request(x->talk->apply, &peer, x->talk->page.at, x->talk->page.bytes,
	    x->talk->now_ms, &x->talk->reply);
}

/* The message is put where it needs no memory later. */
static void
say(const char *text)
{
	strbuf_reset(&x->talk->page);
	strbuf_adds(&x->talk->page, text);
}

static void
said(void)
{
	updated();
	say("{\"id\":\"a\",\"metrics\":[" INC ",{\"name\":\"2\",\"type\":\"gauge\"},"
	    "{\"name\":\"k\",\"type\":\"gauge\",\"merge\":\"each\",\"set\":1,\"ttl_s\":5,"
	    "\"labels\":{\"l\":\"\\\\\\n\"}}]}");
}

static void
expiring(void)
{
	said();
	json();
	bye();
}

static void
time_passes(void)
{
	x->talk->now_ms += 30000;
	apply_tick(x->talk->apply, x->talk->now_ms);
}

static void
remove_by_root(void)
{
	twin_admin(
	    x, "{\"command\":\"remove\",\"name\":\"c\",\"labels\":{\"l\":\"x\\\"\"}}");
}

static const struct row {
	const char *name;
	void (*before)(void);
	void (*act)(void);
} rows[] = {
	{ "HELLO", none, hello },
	{ "DEFINE", hello, define },
	{ "UPDATE", defined, update },
	{ "REMOVE", updated, take_away },
	{ "BYE", updated, bye },
	{ "a successor", left, successor },
	{ "back after a successor", succeeded, hello },
	{ "JSON", said, json },
	{ "what time takes away", expiring, time_passes },
	{ "ADMIN", updated, remove_by_root },
};

/* The page of x's file, replayed, with everybody's gauges. */
static enum apply_life
same(void *arg, pid_t pid, uint64_t start)
{
	(void)arg;
	(void)pid;
	(void)start;
	return APPLY_LIFE_SAME;
}

static void
check_file(const char *what, size_t n)
{
	struct refusal why = { 0 };
	struct talk *fresh = twin_empty(x);

	ck_assert_msg(twin_replay(x, fresh, &why) == REASON_NONE,
	    "%s, allocation %zu: %s", what, n, why.text);
	apply_recovered(x->talk->apply, false, same, NULL, x->talk->now_ms);
	apply_recovered(fresh->apply, false, same, NULL, fresh->now_ms);
	ck_assert_msg(strcmp(talk_page(x->talk, ""), talk_page(fresh, "")) == 0,
	    "%s, allocation %zu: is\n%s\nbut was recorded as\n%s", what, n,
	    x->talk->page.at, fresh->page.at);
	talk_free(fresh);
}

/* The journal is as small as it can be, so that it grows with what is recorded; or it has
 * its memory already, so that what fails is what is recorded. */
START_TEST(without_memory_what_happened_is_recorded_or_the_journal_failed)
{
	const struct row *row = &rows[_i / 2];
	bool grown = _i % 2;
	static const char much[4096];

	for (size_t n = 0; failing_more(n); n++) {
		twins_open(&t);
		row->before();
		twin_write(x);
		if (grown) {
			journal_add(x->journal, JOURNAL_UPDATE, much, sizeof(much));
			journal_clear(x->journal);
		} else {
			journal_free(x->journal);
			x->journal = journal_new();
			x->talk->apply->effects.journal = x->journal;
		}
		strbuf_reserve(&x->talk->reply, 1 << 20);
		failing_after(n);
		row->act();
		failing_end();
		if (!journal_failed(x->journal)) {
			twin_write(x);
			check_file(row->name, n);
		}
		twins_close(&t);
	}
}
END_TEST

START_TEST(a_replay_without_memory_says_so_or_comes_to_the_same)
{
	struct refusal why = { 0 };

	twins_open(&t);
	succeeded();
	hello();
	said();
	json();
	remove_by_root();
	time_passes();
	bye();
	twin_write(x);
	for (size_t n = 0; failing_more(n); n++) {
		struct talk *fresh = twin_empty(x);
		enum reason reason;

		failing_after(n);
		reason = twin_replay(x, fresh, &why);
		if (!failing_end())
			ck_assert_int_eq(reason, REASON_NONE);
		if (reason == REASON_NONE)
			ck_assert_str_eq(talk_page(x->talk, ""), talk_page(fresh, ""));
		else
			ck_assert_int_eq(reason, REASON_MEMORY);
		talk_free(fresh);
	}
	twins_close(&t);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("apply_replay_failing");
	TCase *c = tcase_create("memory");

	tcase_add_checked_fixture(c, setup, NULL);
	tcase_add_loop_test(c,
	    without_memory_what_happened_is_recorded_or_the_journal_failed, 0,
	    2 * (int)(sizeof(rows) / sizeof(rows[0])));
	ADD(a_replay_without_memory_says_so_or_comes_to_the_same);
	suite_add_tcase(suite, c);
	return suite_run(suite);
}
