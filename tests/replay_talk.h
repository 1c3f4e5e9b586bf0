/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay_talk.h - what the suites of replays have in common: twins, one metric of each
 * kind, and how a twin is told of them. Included by a test program once.
 */
#ifndef REPLAY_TALK_H
#define REPLAY_TALK_H

#include "json_talk.h"
#include "twins.h"

static struct twins t;

static void
setup(void)
{
	twins_init(&t);
}

static void
teardown(void)
{
	twins_close(&t);
}

static const double bounds[] = { 0.5, 1 };
static const struct talk_metric counter = {
	.kind = MESSAGE_COUNTER, .level = "", .name = "c", .variable = "l"
};
static const struct talk_metric each = {
	.id = 1, .kind = MESSAGE_GAUGE, .merge = MESSAGE_EACH, .level = "n", .name = "g"
};
static const struct talk_metric last = {
	.id = 2, .kind = MESSAGE_GAUGE, .merge = MESSAGE_LAST, .level = "", .name = "last"
};
static const struct talk_metric histogram = { .id = 3,
	.kind = MESSAGE_HISTOGRAM,
	.level = "n/c/e",
	.name = "h",
	.help = "Back\\slash",
	.constant = "z=\"\n",
	.n_bounds = 2,
	.bounds = bounds };

static void
pass(struct twin *x, uint64_t ms)
{
	x->talk->now_ms += ms;
	apply_tick(x->talk->apply, x->talk->now_ms);
}

static void
send(struct twin *x, const char *message)
{
	talk_json(x->talk, message);
}

static void
comes(struct twin *x, void *arg)
{
	(void)arg;
	talk_hello(x->w[0], "a");
}

static void
defines(struct twin *x, void *arg)
{
	comes(x, arg);
	talk_define(x->w[0], &counter, "\\q\"\n", 0);
	talk_define(x->w[0], &each, "", 1);
	talk_define(x->w[0], &last, "", 2);
	talk_define(x->w[0], &histogram, "", 4);
}

static void
counts(struct twin *x, void *arg)
{
	defines(x, arg);
	talk_set(x->w[0], 0, 0.1);
	talk_set(x->w[0], 0, 0.1 + 0.2);
	talk_set(x->w[0], 1, -0.0);
	talk_update(x->w[0], 2, 2, (double[]){ 5, 1e-300 });
	talk_update(x->w[0], 4, 4, (double[]){ 1, 2, 3, 1.1 });
	talk_set(x->w[0], MESSAGE_CELL_DROPPED, 3);
}

static void
is_sent_in_json(struct twin *x, void *arg)
{
	(void)arg;
	send(x, METRICS(INC "," SET("2")));
	send(x,
	    METRICS("{\"name\":\"h\",\"type\":\"histogram\",\"buckets\":[1],\"observe\":["
		    "0.1,0.2]},{\"name\":\"d\",\"type\":\"counter\",\"help\":\"x\"}"));
	send(x, "{\"namespace\":\"n\",\"metrics\":[{\"name\":\"g\",\"type\":\"gauge\","
		"\"merge\":\"last\",\"labels\":{\"l\":\"\\\\ \\\" \\n\"},\"set\":1}]}");
	send(x, METRICS("{\"name\":\"g\",\"type\":\"gauge\",\"add\":0.1}"));
}

#endif /* REPLAY_TALK_H */
