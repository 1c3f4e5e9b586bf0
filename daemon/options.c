/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#define OTHER_FDS 64 /* files, the loop, both listeners, what libraries open */

struct registry_limits
options_limits(const struct config *c)
{
	return (struct registry_limits){
		.names = config_names_limits(c),
		.families = (uint32_t)c->limits.families,
		.series = (uint32_t)c->limits.series,
		.series_per_family = (uint32_t)c->limits.series_per_family,
		.series_per_worker = (uint32_t)c->limits.series_per_worker,
		.series_per_uid = (uint32_t)c->limits.series_per_uid,
		.uid_percent = (uint32_t)c->limits.uid_percent,
	};
}

struct naming
options_naming(const struct config *c)
{
	return (struct naming){ .component = c->naming == CONFIG_NAMING_COMPONENT,
		.labels = c->labels };
}

void
options_apply(const struct config *c, struct apply_options *o)
{
	o->lease_ms = (uint32_t)c->ingest.lease_ms;
	o->grace_ms = (uint32_t)c->ingest.grace_ms;
	o->message_bytes = (uint32_t)c->ingest.message_bytes;
	o->json_bytes = (uint32_t)c->ingest.json_bytes;
	o->dedupe_ms = (uint32_t)c->ingest.dedupe_ms;
	o->dedupe_keys = (uint32_t)c->ingest.dedupe_keys;
	o->retain_s = (uint64_t)c->state.retain_s;
	o->workers = (uint32_t)c->limits.workers;
	o->folded_memory = (uint32_t)c->limits.folded;
}

void
options_ingest(const struct config *c, struct ingest_options *o)
{
	o->connections = (uint32_t)c->ingest.connections;
	o->uid_percent = (uint32_t)c->limits.uid_percent;
	o->handshake_ms = (uint32_t)c->ingest.handshake_ms;
	o->idle_ms = (uint32_t)c->ingest.idle_ms;
	o->frame_ms = (uint32_t)c->ingest.frame_ms;
	o->message_bytes = (uint32_t)c->ingest.message_bytes;
	o->queue_bytes = (uint32_t)c->ingest.queue_bytes;
	o->buffered_bytes = (uint64_t)c->ingest.buffered_bytes;
}

void
options_http(const struct config *c, struct http_options *o)
{
	o->connections = (uint32_t)c->http.connections;
	o->scrapes = (uint32_t)c->http.scrapes;
	o->request_ms = (uint32_t)c->http.request_ms;
	o->header_bytes = (uint32_t)c->http.header_bytes;
	o->body_bytes = (uint32_t)c->http.body_bytes;
	o->buffered_bytes = (uint64_t)c->http.buffered_bytes;
	o->gzip = c->http.gzip;
	o->health_path = c->http.health_path;
	o->live_path = c->http.live_path;
	o->health.starting_ready = c->http.starting_ready;
	o->health.endpoints = c->http.endpoints;
}

uint64_t
options_fds(const struct config *c)
{
	/* A worker takes two: its socket, and one that tells of its death. */
	return 2 * (uint64_t)c->ingest.connections + (uint64_t)c->http.connections +
	       OTHER_FDS;
}

struct options_room
options_room(const struct config *c, uint64_t fds)
{
	struct options_room room = { (uint32_t)c->ingest.connections,
		(uint32_t)c->http.connections };
	uint64_t others = fds / 2 < OTHER_FDS ? fds / 2 : OTHER_FDS;
	uint64_t left = fds - others;
	uint64_t http;

	if (fds >= options_fds(c))
		return room;
	http = left * room.http / (2 * (uint64_t)room.ingest + room.http);
	room.http = http > 0 ? (uint32_t)http : 1;
	room.ingest = left > room.http + 2 ? (uint32_t)(left - room.http) / 2 : 1;
	return room;
}
