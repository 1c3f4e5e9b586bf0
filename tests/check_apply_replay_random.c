/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A daemon that is killed again and again, and begins anew with what it recorded, against
 * one that lives on: thousands of requests at random, and not a bit of difference.
 */
#include <stdio.h>

#include "suite.h"
#include "twins.h"

#define SEEDS		8
#define STEPS		3000
#define RESTART_ONE_IN	40
#define SNAPSHOT_ONE_IN 70

/* ---- Chance ------------------------------------------------------------- */

static uint64_t state;

static uint32_t
below(uint32_t n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)((state >> 16) % n);
}

/* A step, drawn once for both. */
struct step {
	uint32_t n; /* how many came before */
	uint32_t worker;
	uint32_t pick[6];
	char text[512];
};

/* ---- What workers do ------------------------------------------------------ */

static const double bounds[] = { 1, 2 };
static const struct talk_metric metrics[] = {
	{ 0, MESSAGE_COUNTER, MESSAGE_SUM, "", "c", "Help", NULL, "l", 0, NULL },
	{ 1, MESSAGE_COUNTER, MESSAGE_SUM, "ns/co/ep", "c", "", "z=\\\"\n", NULL, 0,
	    NULL },
	{ 2, MESSAGE_GAUGE, MESSAGE_SUM, "ns", "sum", "", NULL, "l", 0, NULL },
	{ 3, MESSAGE_GAUGE, MESSAGE_EACH, "ns", "each", "", NULL, "l", 0, NULL },
	{ 4, MESSAGE_GAUGE, MESSAGE_LAST, "", "last", "", NULL, NULL, 0, NULL },
	{ 5, MESSAGE_HISTOGRAM, MESSAGE_SUM, "ns/co", "h", "", NULL, "l", 2, bounds },
	{ 6, MESSAGE_GAUGE, MESSAGE_MAX, "", "c", "", NULL, NULL, 0, NULL }, /* a type */
	{ 7, MESSAGE_COUNTER, MESSAGE_SUM, "", "h_count", "", NULL, NULL, 0, NULL },
};

static struct talk_worker *
worker(const struct twin *x, const struct step *s)
{
	return x->w[s->worker];
}

/* Cells of a metric's children lie apart, but for one in sixteen. */
static uint32_t
cell_of(const struct step *s)
{
	uint32_t cell = s->pick[0] % 8 * 16 + s->pick[1] % 3 * 5;

	return s->pick[2] % 16 ? cell : s->pick[3] % 60;
}

static void
hello(struct twin *x, void *arg)
{
	static const char *const wish[] = { NULL, "a", "b", "a-2" };
	const struct step *s = arg;
	struct talk_worker *w = worker(x, s);

	switch (talk_hello(w, wish[s->pick[0] % 4])) {
	case MESSAGE_FOLDED:
	case MESSAGE_EXPIRED:
	case MESSAGE_STALE:
		memcpy(w->sid, &s->n, sizeof(s->n));
		w->has_ticket = false;
		break;
	default:
		break;
	}
}

static void
another_process(struct twin *x, void *arg)
{
	const struct step *s = arg;
	struct talk_worker *w = worker(x, s);

	talk_disconnect(w, s->pick[0] % 2);
	memcpy(w->sid, &s->n, sizeof(s->n));
	w->has_ticket = false;
	w->peer.process_start += 1;
	hello(x, arg);
}

static void
define(struct twin *x, void *arg)
{
	static const char *const values[] = { "x", "y", "\\q\"\n" };
	const struct step *s = arg;
	const struct talk_metric *m = &metrics[s->pick[0] % 8];

	talk_define(
	    worker(x, s), m, m->variable ? values[s->pick[1] % 3] : "", cell_of(s));
}

/* Counters rise with the steps; one in eight does not. */
static void
update(struct twin *x, void *arg)
{
	const struct step *s = arg;
	double v = s->pick[4] % 8 ? s->n + 0.1 : s->pick[5] % 100;
	double values[4] = { v, v, v, v * 1.7 };
	uint32_t metric = s->pick[0] % 8, n = metric == 5 ? 4 : metric == 4 ? 2 : 1;

	talk_update(worker(x, s), cell_of(s), n, values);
}

static void
dropped(struct twin *x, void *arg)
{
	const struct step *s = arg;

	talk_set(worker(x, s), MESSAGE_CELL_DROPPED, s->n);
}

static void
take_away(struct twin *x, void *arg)
{
	talk_remove(worker(x, arg), cell_of(arg));
}

static void
again(struct twin *x, void *arg)
{
	if (worker(x, arg)->sent_bytes)
		talk_again(worker(x, arg));
}

static void
ping(struct twin *x, void *arg)
{
	talk_ping(worker(x, arg));
}

static void
bye(struct twin *x, void *arg)
{
	talk_bye(worker(x, arg));
}

static void
disconnect(struct twin *x, void *arg)
{
	const struct step *s = arg;

	talk_disconnect(worker(x, s), s->pick[0] % 4 == 0);
}

/* ---- What others do, and time ------------------------------------------------ */

static void
say_metric(char *text, size_t room, const struct step *s)
{
	static const char *const name[] = { "c", "sum", "each", "last", "h", "j", "k" };
	static const char *const type[] = { "counter", "gauge", "gauge", "gauge",
		"histogram", "counter", "gauge" };
	static const char *const merge[] = { "", "", ",\"merge\":\"each\"",
		",\"merge\":\"last\"", "", "", "" };
	static const char *const labels[] = { "", ",\"labels\":{\"l\":\"x\"}}",
		",\"labels\":{\"l\":\"\\\\q\\\"\\n\"}" };
	uint32_t i = s->pick[1] % 7;
	char act[64];

	if (s->pick[3] % 8 == 0)
		snprintf(act, sizeof(act), ",\"remove\":true");
	else if (type[i][0] == 'c')
		snprintf(act, sizeof(act), ",\"inc\":%u.1", s->pick[2] % 9);
	else if (type[i][0] == 'h')
		snprintf(act, sizeof(act), ",\"buckets\":[1,2],\"observe\":[0.3,%u]",
		    s->pick[2] % 5);
	else if (s->pick[3] % 2)
		snprintf(act, sizeof(act), ",\"add\":%u.7", s->pick[2] % 9);
	else
		snprintf(act, sizeof(act), ",\"set\":%u,\"ttl_s\":%u", s->pick[2] % 9,
		    s->pick[3] % 3 * 7);
	snprintf(text, room, "{\"name\":\"%s\",\"type\":\"%s\"%s%s%s}", name[i], type[i],
	    merge[i], labels[s->pick[4] % 3], act);
}

static void
say_json(struct step *s)
{
	char one[200], two[200], id[32] = "";
	struct step other = *s;

	other.pick[1] = s->pick[5];
	other.pick[2]++;
	say_metric(one, sizeof(one), s);
	say_metric(two, sizeof(two), &other);
	if (s->pick[0] % 4 == 0)
		snprintf(id, sizeof(id), "\"id\":\"%u\",", s->pick[2] % 4);
	snprintf(s->text, sizeof(s->text), "{%s%s\"metrics\":[%s,%s]}", id,
	    s->pick[4] % 2 ? "\"namespace\":\"ns\"," : "", one, two);
}

static void
json(struct twin *x, void *arg)
{
	const struct step *s = arg;
	struct apply_peer peer = { .connection = 9,
		.pid = 55,
		.uid = 1000 + s->pick[0] % 2,
		.process_start = 3,
		.has_request = s->pick[0] % 3 == 0,
		.request = 0x80000000U + s->pick[2] % 16 };

	talk_json_of(x->talk, &peer, s->text);
}

/* The last message once more, to the byte. */
static struct step said;

static void
json_again(struct twin *x, void *arg)
{
	(void)arg;
	if (said.n)
		json(x, &said);
}

#define REMOVE "{\"command\":\"remove\",\"name\":"

static void
admin(struct twin *x, void *arg)
{
	static const char *const what[] = {
		REMOVE "\"c\",\"labels\":{\"l\":\"x\"}}",
		REMOVE "\"each\",\"labels\":{\"worker_id\":\"a\"}}",
		REMOVE "\"last\"}",
		REMOVE "\"h\",\"namespace\":\"ns\"}",
		REMOVE "\"sum\",\"dry_run\":true}",
		REMOVE "\"dynamo_j\"}",
	};
	const struct step *s = arg;

	twin_admin(x, what[s->pick[0] % 6]);
}

static void
pass(struct twin *x, void *arg)
{
	static const uint32_t ms[] = { 1, 40, 700, 1990, 2100, 6000, 15001, 21000 };
	const struct step *s = arg;

	x->talk->now_ms += ms[s->pick[0] % 8];
	apply_tick(x->talk->apply, x->talk->now_ms);
}

/* ---- The test ------------------------------------------------------------------ */

static const struct deed {
	const char *name;
	void (*act)(struct twin *x, void *arg);
	uint32_t weight;
} deeds[] = {
	{ "hello", hello, 20 },
	{ "another process", another_process, 3 },
	{ "define", define, 30 },
	{ "update", update, 60 },
	{ "dropped", dropped, 2 },
	{ "remove", take_away, 8 },
	{ "again", again, 8 },
	{ "ping", ping, 3 },
	{ "bye", bye, 2 },
	{ "disconnect", disconnect, 6 },
	{ "json", json, 30 },
	{ "json again", json_again, 8 },
	{ "admin", admin, 3 },
	{ "time", pass, 12 },
};

static const struct deed *
draw(struct step *s, uint32_t n)
{
	const struct deed *deed = deeds;
	uint32_t sum = 0, at;

	for (size_t i = 0; i < sizeof(deeds) / sizeof(deeds[0]); i++)
		sum += deeds[i].weight;
	for (at = below(sum); at >= deed->weight; deed++)
		at -= deed->weight;
	*s = (struct step){ .n = n, .worker = below(TWIN_WORKERS) };
	for (size_t i = 0; i < sizeof(s->pick) / sizeof(s->pick[0]); i++)
		s->pick[i] = below(1000);
	say_json(s);
	return deed;
}

static void
narrow(struct twin *x)
{
	x->options.folded_memory = 3;
	x->options.dedupe_ms = 30000;
	x->options.dedupe_keys = 12;
	x->options.retain_s = 20;
	x->options.workers = 6;
	x->limits.series = 30;
	x->limits.series_per_family = 6;
	x->limits.series_per_worker = 8;
	x->limits.names.label_bytes = 3;
}

/* Each kind of effect happened. */
static void
all_kinds(const struct twin *x, const char *what)
{
	struct journal_reader r = { (const uint8_t *)x->file.at, x->file.bytes, 0 };
	struct journal_record record;
	uint32_t seen[JOURNAL_TYPE] = { 0 };

	while (journal_next(&r, &record))
		seen[record.type]++;
	for (uint32_t type = JOURNAL_TIME; type <= JOURNAL_GONE; type++)
		ck_assert_msg(seen[type] > 0, "%s: no record of type %u", what, type);
}

static void
play(uint64_t seed, uint32_t steps, bool component, bool snapshots)
{
	struct twins t;
	char what[64];

	state = seed * 0x9e3779b97f4a7c15U + 1;
	said = (struct step){ 0 };
	twins_init(&t);
	narrow(&t.lives);
	narrow(&t.dies);
	/* Series of one search for what to drop leave in the order of their numbers,
	 * which are others after a snapshot: so may be the order of lines from then on.
	 */
	if (snapshots)
		t.lives.options.retain_s = t.dies.options.retain_s = 0;
	t.lives.component = t.dies.component = component;
	twins_open(&t);
	for (uint32_t n = 1; n <= steps; n++) {
		struct step s;
		const struct deed *deed = draw(&s, n);

		snprintf(what, sizeof(what), "seed %u, step %u, %s", (unsigned)seed, n,
		    deed->name);
		twins_do(&t, what, deed->act, &s);
		if (deed->act == json)
			said = s;
		if (snapshots && below(SNAPSHOT_ONE_IN) == 0)
			twins_snapshot(&t);
		if (below(RESTART_ONE_IN) == 0)
			twins_restart(&t);
	}
	if (!snapshots)
		all_kinds(&t.dies, what);
	twins_close(&t);
}

START_TEST(a_daemon_that_is_killed_at_random_is_as_one_that_lives_on)
{
	play((uint64_t)_i + 1, STEPS, _i % 2, false);
}
END_TEST

START_TEST(a_daemon_with_snapshots_that_is_killed_at_random_is_as_one_that_lives_on)
{
	play((uint64_t)_i + 101, STEPS, _i % 2, true);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("apply_replay_random");
	TCase *c = tcase_create("random");

	tcase_set_timeout(c, 60);
	tcase_add_loop_test(
	    c, a_daemon_that_is_killed_at_random_is_as_one_that_lives_on, 0, SEEDS);
	tcase_add_loop_test(c,
	    a_daemon_with_snapshots_that_is_killed_at_random_is_as_one_that_lives_on, 0,
	    SEEDS);
	suite_add_tcase(suite, c);
	return suite_run(suite);
}
