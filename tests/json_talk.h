/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_talk.h - messages in JSON to a talk.h daemon, and what they must come to.
 */
#ifndef JSON_TALK_H
#define JSON_TALK_H

#include <check.h>
#include <stdio.h>
#include <string.h>

#include "talk.h"

#define JSON_OK	     "{\"ok\":true}"
#define METRICS(...) "{\"metrics\":[" __VA_ARGS__ "]}"
#define INC	     "{\"name\":\"c\",\"type\":\"counter\",\"inc\":1}"
#define SET(more)    "{\"name\":\"g\",\"type\":\"gauge\",\"set\":" more "}"

/* A test, or one with rows, for the TCase c. */
#define ADD(test) tcase_add_test(c, test)
#define ADD_ROWS(test, rows) \
	tcase_add_loop_test(c, test, 0, (int)(sizeof(rows) / sizeof((rows)[0])))

/* What INC and SET report of, when a worker defines it. */
static const struct talk_metric json_counter = {
	.kind = MESSAGE_COUNTER, .level = "", .name = "c"
};
static const struct talk_metric json_gauge = {
	.id = 1, .kind = MESSAGE_GAUGE, .level = "", .name = "g"
};

static inline void
must_be_done(struct talk *t, const char *json)
{
	const char *reply = talk_json(t, json);

	ck_assert_msg(strcmp(reply, JSON_OK) == 0, "%s: %s", json, reply);
}

static inline void
must_be_done_for(struct talk *t, const struct apply_peer *peer, const char *json)
{
	const char *reply = talk_json_of(t, peer, json);

	ck_assert_msg(strcmp(reply, JSON_OK) == 0, "%s: %s", json, reply);
}

/* A message of one metric. */
static inline void
send_json(struct talk *t, const char *metric)
{
	char message[512];

	snprintf(message, sizeof(message), "{\"metrics\":[%s]}", metric);
	must_be_done(t, message);
}

/* The counter name with the label k is to count n; place is empty, or the fields of a
 * level. */
static inline void
count_at(struct talk *t, const char *place, const char *name, const char *k, double n)
{
	char message[512];

	snprintf(message, sizeof(message),
	    "{%s\"metrics\":[{\"name\":\"%s\",\"type\":\"counter\",\"labels\":{\"k\":"
	    "\"%s\"},\"inc\":%g}]}",
	    place, name, k, n);
	must_be_done(t, message);
}

/* Refused with an answer that has these words. */
static inline void
must_be_refused(struct talk *t, const char *json, const char *words)
{
	const char *reply = talk_json(t, json);

	ck_assert_msg(strncmp(reply, "{\"ok\":false,\"errors\":[{", 23) == 0, "%s: %s",
	    json, reply);
	ck_assert_msg(strstr(reply, words) != NULL, "%s: %s", json, reply);
}

static inline bool
page_has(struct talk *t, const char *text)
{
	return strstr(talk_page(t, ""), text) != NULL;
}

static inline void
pass_ms(struct talk *t, uint64_t ms)
{
	t->now_ms += ms;
	apply_tick(t->apply, t->now_ms);
}

/* Series that left for a cause. */
static inline double
left_by(struct talk *t, enum registry_cause cause)
{
	apply_refresh(t->apply);
	return self_cells(t->self, SELF_SERIES_REMOVED, cause)[0];
}

#endif /* JSON_TALK_H */
