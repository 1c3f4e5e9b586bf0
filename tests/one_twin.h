/* SPDX-License-Identifier: Apache-2.0 */
/*
 * one_twin.h - for the suites to which one daemon that records is enough. Included by a
 * test program once.
 */
#ifndef ONE_TWIN_H
#define ONE_TWIN_H

#include "json_talk.h"
#include "twins.h"

static struct twins t;
static struct twin *x; /* one of the two is enough */
static struct talk *fresh;

static void
setup(void)
{
	twins_init(&t);
	twins_open(&t);
	x = &t.dies;
	fresh = NULL;
}

static void
teardown(void)
{
	if (fresh)
		talk_free(fresh);
	twins_close(&t);
}

static const struct talk_metric gauge = {
	.kind = MESSAGE_GAUGE, .merge = MESSAGE_EACH, .level = "", .name = "g"
};
static const struct talk_metric counter = {
	.id = 1, .kind = MESSAGE_COUNTER, .level = "", .name = "c"
};

#endif /* ONE_TWIN_H */
