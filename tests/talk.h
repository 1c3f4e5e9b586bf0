/* SPDX-License-Identifier: Apache-2.0 */
/*
 * talk.h - a daemon without sockets or clocks, and workers that talk to it by calls.
 *
 * Everything aborts the test when memory is out. What a function returns lives until the
 * next call for the same talk.
 */
#ifndef TALK_H
#define TALK_H

#include "apply.h"
#include "exposition.h"

struct talk_worker;

struct talk {
	struct log *log;
	struct strbuf logged; /* every line, ended by a newline */
	struct registry *registry;
	struct self_metrics *self;
	struct apply *apply;
	uint64_t now_ms;
	struct strbuf reply;
	struct strbuf page;
	struct message m; /* the last binary reply, decoded */
	uint64_t next_connection;
	struct talk_worker *workers;
};

#define TALK_STORE   0x1122334455667788U
#define TALK_UNIX_MS 1700000000000U /* what the calendar shows at now_ms 0 */

/* Defaults, but for what limits and options say (either may be NULL). */
struct talk *talk_new(
    const struct registry_limits *limits, const struct apply_options *options);
void talk_free(struct talk *t);

struct talk_worker {
	struct talk_worker *next;
	struct talk *talk;
	struct apply_peer peer;
	uint8_t sid[MESSAGE_SID_BYTES];
	bool has_ticket;
	struct message_ticket ticket;
	uint64_t n; /* the sequence used last */
	uint8_t sent[65536];
	size_t sent_bytes; /* the last request */
};

/* A worker of that pid and of uid 1000 that has not said HELLO; it is the talk's. */
struct talk_worker *talk_worker(struct talk *t, pid_t pid);
/* Send bytes; the reply is decoded into talk->m. Returns its type. */
enum message_type talk_send(struct talk_worker *w, const void *bytes, size_t n);
/* Send the last request again, as it was. */
enum message_type talk_again(struct talk_worker *w);
enum message_type talk_hello(struct talk_worker *w, const char *wish);

/* A metric with the level and labels as texts: "ns/comp/ep", "a=1,b=2". */
struct talk_metric {
	uint32_t id;
	enum message_kind kind;
	enum message_merge merge;
	const char *level;
	const char *name;
	const char *help;
	const char *constant; /* NULL: none */
	const char *variable; /* "a,b" */
	size_t n_bounds;
	const double *bounds;
};

/* One DEFINE with one metric and, unless values is NULL, a child "1,2" of it at cell. */
enum message_type talk_define(struct talk_worker *w, const struct talk_metric *metric,
    const char *values, uint32_t cell);
enum message_type talk_child(
    struct talk_worker *w, uint32_t metric, const char *values, uint32_t cell);
/* The reason of the first refused item of the last ACK, or REASON_NONE. */
enum reason talk_refused(struct talk *t);
/* count values from cell on. */
enum message_type talk_update(
    struct talk_worker *w, uint32_t cell, size_t count, const double *values);
enum message_type talk_set(struct talk_worker *w, uint32_t cell, double value);
enum message_type talk_remove(struct talk_worker *w, uint32_t cell);
enum message_type talk_ping(struct talk_worker *w);
enum message_type talk_bye(struct talk_worker *w);
void talk_disconnect(struct talk_worker *w, bool process_gone);
/* JSON of a process of uid 1000 that has no request id, and its reply as text. */
const char *talk_json(struct talk *t, const char *json);
/* The same of somebody. */
const char *talk_json_of(struct talk *t, const struct apply_peer *from, const char *json);

/* The page of a level ("" for everything), without the self-metrics. */
const char *talk_page(struct talk *t, const char *level);

struct message_level talk_level(const char *path);

#endif /* TALK_H */
