/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server_parts.h - what server.c (the parts, and how they are put together) and
 * server_run.c (the loop and its end) share. Nobody else includes it.
 */
#ifndef SERVER_PARTS_H
#define SERVER_PARTS_H

#include <event2/event.h>

#include "doors.h"
#include "http.h"
#include "ingest.h"
#include "options.h"
#include "server.h"
#include "service.h"
#include "state.h"

enum stopping { STOPPING_NOT, STOPPING_IN_ORDER, STOPPING_AT_ONCE };

enum { SIGNALS = 4 };

struct server {
	struct config *config;
	const struct config_source *source;
	struct log *log;
	struct turn turn;
	struct event_base *base;
	struct self_metrics *self;
	struct registry *registry;
	struct apply *apply;
	struct state *state;
	struct service service;
	struct doors doors;
	struct ingest *ingest;
	struct http *http;   /* NULL: disabled */
	struct event *lease; /* when something is due */
	uint64_t lease_ms;   /* what it is set to */
	struct event *signal[SIGNALS];
	enum stopping stopping;
	bool reload_wanted;
	uint64_t started_ns;
};

/* What is configured, as far as there are descriptors for it. */
void server_ingest_options(const struct config *c, struct ingest_options *o);
void server_http_options(const struct config *c, struct http_options *o);

#endif /* SERVER_PARTS_H */
