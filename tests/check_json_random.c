/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON, two workers, an administrator and time, at random, beside a model of a few lines:
 * after each step the page is what the model says.
 */
#include <stdio.h>
#include <stdlib.h>

#include "json_talk.h"
#include "suite.h"

enum { SERIES = 6, WORKERS = 2, STEPS = 3000, GAUGE_CELL = 100 };

struct counter {
	bool is_there;
	double total;
	bool defined[WORKERS];
	double old[WORKERS];
};

struct gauge {
	bool set; /* by JSON */
	double value;
	uint64_t end_ms; /* 0: never */
	bool defined[WORKERS];
	bool set_by[WORKERS];
	double value_of[WORKERS];
};

static struct talk *t;
static struct talk_worker *worker[WORKERS];
static struct counter counters[SERIES];
static struct gauge gauges[SERIES];
static uint32_t seed;

static const struct talk_metric counter_metric = {
	.kind = MESSAGE_COUNTER, .level = "n", .name = "c", .variable = "i"
};
static const struct talk_metric gauge_metric = {
	.id = 1, .kind = MESSAGE_GAUGE, .level = "n", .name = "g", .variable = "i"
};

static uint32_t
random_below(uint32_t n)
{
	seed = seed * 1103515245 + 12345;
	return (seed >> 12) % n;
}

static void
json(const char *name, uint32_t i, const char *more)
{
	char message[256];

	snprintf(message, sizeof(message),
	    "{\"namespace\":\"n\",\"metrics\":[{\"name\":\"%s\",\"labels\":{\"i\":\"%u\"}"
	    ","
	    "%s}]}",
	    name, i, more);
	must_be_done(t, message);
}

static void
remove_all(const char *name, uint32_t i)
{
	char text[16];
	struct wire_text label = wire_text("i"), value;
	struct registry_removal what = { .name = wire_text(name),
		.n = 1,
		.label_name = &label,
		.label_value = &value };
	struct registry_removed removed;

	snprintf(text, sizeof(text), "%u", i);
	value = wire_text(text);
	registry_remove_matching(t->registry, &what, NULL, &removed);
}

static void
start_worker(uint32_t w)
{
	worker[w] = talk_worker(t, (pid_t)(100 + w));
	talk_hello(worker[w], NULL);
	talk_define(worker[w], &counter_metric, NULL, 0);
	talk_define(worker[w], &gauge_metric, NULL, 0);
}

static void
define(uint32_t w, uint32_t metric, uint32_t i, uint32_t cell)
{
	char value[16];

	snprintf(value, sizeof(value), "%u", i);
	ck_assert_int_eq(talk_child(worker[w], metric, value, cell), MESSAGE_ACK);
	ck_assert_int_eq(talk_refused(t), REASON_NONE);
}

/* ---- Counters --------------------------------------------------------- */

static bool
is_live(const bool defined[WORKERS])
{
	return defined[0] || defined[1];
}

static void
count_by_json(struct counter *c, uint32_t i)
{
	json("c", i, "\"type\":\"counter\",\"inc\":3");
	c->is_there = true;
	c->total += 3;
}

static void
remove_counter_by_json(struct counter *c, uint32_t i)
{
	json("c", i, "\"remove\":true");
	if (!is_live(c->defined))
		*c = (struct counter){ 0 };
}

static void
remove_counter_by_admin(struct counter *c, uint32_t i)
{
	remove_all("dynamo_c", i);
	c->total = 0;
	c->is_there = is_live(c->defined);
}

static void
count_by_worker(struct counter *c, uint32_t i, uint32_t w)
{
	if (!c->defined[w]) {
		define(w, 0, i, i);
		c->is_there = c->defined[w] = true;
		c->old[w] = 0;
	}
	c->old[w] += 5;
	c->total += 5;
	ck_assert_int_eq(talk_set(worker[w], i, c->old[w]), MESSAGE_ACK);
}

static void
remove_counter_of_worker(struct counter *c, uint32_t i, uint32_t w)
{
	if (!c->defined[w])
		return;
	talk_remove(worker[w], i);
	c->defined[w] = false;
	if (!is_live(c->defined))
		*c = (struct counter){ 0 };
}

static void
step_counter(uint32_t i, uint32_t w)
{
	struct counter *c = &counters[i];

	switch (random_below(8)) {
	case 0:
		remove_counter_by_json(c, i);
		return;
	case 1:
		remove_counter_by_admin(c, i);
		return;
	case 2:
	case 3:
		remove_counter_of_worker(c, i, w);
		return;
	case 4:
		count_by_json(c, i);
		return;
	default:
		count_by_worker(c, i, w);
		return;
	}
}

/* ---- Gauges ----------------------------------------------------------- */

static void
set_by_json(struct gauge *g, uint32_t i, double value, uint32_t ttl_ds)
{
	char more[96];
	int n = snprintf(more, sizeof(more), "\"type\":\"gauge\",\"set\":%g", value);

	if (ttl_ds)
		snprintf(more + n, sizeof(more) - (size_t)n, ",\"ttl_s\":%u.%u",
		    ttl_ds / 10, ttl_ds % 10);
	json("g", i, more);
	g->set = true;
	g->value = value;
	g->end_ms = ttl_ds ? t->now_ms + 100 * ttl_ds : 0;
}

static void
add_by_json(struct gauge *g, uint32_t i)
{
	json("g", i, "\"type\":\"gauge\",\"add\":7");
	if (!g->set)
		g->end_ms = 0;
	g->value = g->set ? g->value + 7 : 7;
	g->set = true;
}

static void
remove_gauge_by_admin(struct gauge *g, uint32_t i)
{
	remove_all("g", i);
	g->set = g->set_by[0] = g->set_by[1] = false;
}

static void
set_by_worker(struct gauge *g, uint32_t i, uint32_t w)
{
	if (!g->defined[w])
		define(w, 1, i, GAUGE_CELL + i);
	g->defined[w] = g->set_by[w] = true;
	g->value_of[w] = random_below(100);
	ck_assert_int_eq(
	    talk_set(worker[w], GAUGE_CELL + i, g->value_of[w]), MESSAGE_ACK);
}

static void
remove_gauge_of_worker(struct gauge *g, uint32_t i, uint32_t w)
{
	if (g->defined[w])
		talk_remove(worker[w], GAUGE_CELL + i);
	g->defined[w] = g->set_by[w] = false;
}

static void
step_gauge(uint32_t i, uint32_t w)
{
	struct gauge *g = &gauges[i];

	switch (random_below(8)) {
	case 0:
		json("g", i, "\"remove\":true");
		g->set = false;
		return;
	case 1:
		remove_gauge_by_admin(g, i);
		return;
	case 2:
		remove_gauge_of_worker(g, i, w);
		return;
	case 3:
		add_by_json(g, i);
		return;
	case 4:
		set_by_json(g, i, random_below(100), 0);
		return;
	case 5:
		set_by_json(g, i, random_below(100), 1 + random_below(40));
		return;
	default:
		set_by_worker(g, i, w);
		return;
	}
}

/* ---- Everybody -------------------------------------------------------- */

static void
end_worker(uint32_t w)
{
	talk_bye(worker[w]);
	start_worker(w);
	for (uint32_t i = 0; i < SERIES; i++)
		counters[i].defined[w] = gauges[i].defined[w] = gauges[i].set_by[w] =
		    false;
}

static void
step_time(void)
{
	pass_ms(t, 100 * (uint64_t)(1 + random_below(10)));
	for (uint32_t i = 0; i < SERIES; i++)
		if (gauges[i].end_ms && gauges[i].end_ms <= t->now_ms)
			gauges[i].set = false;
	talk_ping(worker[0]);
	talk_ping(worker[1]);
}

static void
check_line(const char *page, char name, uint32_t i, bool is_there, double value)
{
	char start[64], line[96];

	snprintf(start, sizeof(start), "dynamo_%c{namespace=\"n\",i=\"%u\"} ", name, i);
	snprintf(line, sizeof(line), "%s%g\n", start, value);
	if (is_there)
		ck_assert_msg(strstr(page, line) != NULL, "no %s in %s", line, page);
	else
		ck_assert_msg(strstr(page, start) == NULL, "%s in %s", start, page);
}

static void
check_page(void)
{
	const char *page = talk_page(t, "");

	for (uint32_t i = 0; i < SERIES; i++) {
		const struct gauge *g = &gauges[i];
		double sum = g->set ? g->value : 0;

		for (uint32_t w = 0; w < WORKERS; w++)
			sum += g->set_by[w] ? g->value_of[w] : 0;
		check_line(page, 'g', i, g->set || g->set_by[0] || g->set_by[1], sum);
		check_line(page, 'c', i, counters[i].is_there, counters[i].total);
	}
}

START_TEST(the_page_is_what_the_model_says)
{
	seed = (uint32_t)_i * 7919 + 1;
	t = talk_new(NULL, NULL);
	log_set_level(t->log, LOG_LEVEL_ERROR);
	memset(counters, 0, sizeof(counters));
	memset(gauges, 0, sizeof(gauges));
	start_worker(0);
	start_worker(1);
	for (int step = 0; step < STEPS; step++) {
		uint32_t i = random_below(SERIES), w = random_below(WORKERS);

		switch (random_below(50)) {
		case 0:
			end_worker(w);
			break;
		case 1:
		case 2:
		case 3:
			step_time();
			break;
		default:
			(random_below(2) ? step_counter : step_gauge)(i, w);
			break;
		}
		check_page();
	}
	talk_free(t);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("json_random");
	TCase *c = tcase_create("json_random");

	suite_add_tcase(s, c);
	tcase_add_loop_test(c, the_page_is_what_the_model_says, 0, 20);
	return suite_run(s);
}
