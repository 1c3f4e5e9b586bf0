/* SPDX-License-Identifier: Apache-2.0 */
#include "desk.h"

#include <stdlib.h>

#define SLICE 256 /* of a page, in bytes */

static struct registry_limits
small_limits(void)
{
	struct registry_limits l = REGISTRY_DEFAULT_LIMITS;

	l.names = (struct names_limits){ .name_bytes = 60,
		.help_bytes = 40,
		.labels = 6,
		.label_bytes = 40,
		.buckets = 10 };
	l.families = 8;
	l.series = 40;
	l.series_per_family = 20;
	l.series_per_worker = 24;
	l.series_per_uid = 32;
	return l;
}

bool
desk_is_line(struct wire_text text)
{
	for (size_t i = 0; i < text.bytes; i++)
		if ((unsigned char)text.at[i] < ' ' || text.at[i] == 127)
			return false;
	return names_utf8(text);
}

static void
see_line(void *arg, const char *line)
{
	(void)arg;
	fuzz_must(desk_is_line(wire_text(line)), "a line of the log is one: %s", line);
}

static uint64_t
unix_ms(void *arg)
{
	return 1700000000000 + ((const struct desk *)arg)->now_ms;
}

static const char *const cluster[] = { "cluster", "a \"b\"\n", NULL };

struct desk *
desk_new(bool component)
{
	struct apply_options options = { .store = 1,
		.epoch = 2,
		.lease_ms = 15000,
		.grace_ms = 2000,
		.message_bytes = 65536,
		.json_bytes = 8192,
		.folded_memory = 4,
		.dedupe_ms = 600000,
		.dedupe_keys = 4,
		.retain_s = 60,
		.workers = 3,
		.unix_ms = unix_ms,
		.version = "1" };
	struct registry_limits limits = small_limits();
	struct naming naming = { component, (char **)(uintptr_t)cluster };
	struct desk *d = calloc(1, sizeof(*d));

	fuzz_must(d != NULL, "memory is there");
	d->now_ms = 1000000;
	options.refresh_arg = d;
	d->log = log_new(LOG_LEVEL_DEBUG, see_line, NULL);
	d->registry = registry_new(&limits, d->log);
	d->self = self_metrics_new();
	fuzz_must(d->log && d->registry && d->self, "memory is there");
	fuzz_must(!component || registry_set_naming(d->registry, &naming), "a naming");
	d->apply = apply_new(&options, d->registry, d->self, d->log);
	fuzz_must(d->apply != NULL, "memory is there");
	return d;
}

void
desk_free(struct desk *d)
{
	apply_free(d->apply);
	self_metrics_free(d->self);
	registry_free(d->registry);
	log_free(d->log);
	strbuf_free(&d->reply);
	strbuf_free(&d->page);
	strbuf_free(&d->last);
	fuzz_page_free(&d->samples);
	free(d);
}

struct apply_peer
desk_peer(uint32_t i)
{
	return (struct apply_peer){ .connection = i + 1,
		.pid = (pid_t)(100 + i),
		.uid = 1000 + i,
		.process_start = 5,
		.direct = true,
		.has_request = true,
		.request = i };
}

/* ---- Requests ---------------------------------------------------------------- */

static void
ask(struct desk *d, struct apply_peer *peer, const void *payload, size_t bytes)
{
	/* Of exactly that length, so that a read past it is seen. */
	uint8_t *copy = malloc(bytes ? bytes : 1);

	fuzz_must(copy != NULL, "memory is there");
	if (bytes)
		memcpy(copy, payload, bytes);
	strbuf_reset(&d->reply);
	apply_request(d->apply, peer, copy, bytes, d->now_ms, &d->reply);
	free(copy);
	fuzz_must(!d->reply.failed && d->reply.bytes > 0, "each request is answered");
}

static void
see_refused_items(struct message *m)
{
	struct wire_reader items = m->refused;
	struct message_refused item;

	for (uint32_t i = 0; i < m->count; i++) {
		message_next_refused(&items, &item);
		fuzz_must(item.reason > REASON_NONE && item.reason < REASON_END &&
			      desk_is_line(item.text),
		    "an item is refused for a reason, in one line");
	}
}

enum message_type
desk_request(struct desk *d, struct apply_peer *peer, const void *payload, size_t bytes)
{
	struct message *m = &d->answer;

	ask(d, peer, payload, bytes);
	/* Only a request in JSON is answered in JSON. */
	if (d->reply.at[0] == '{') {
		fuzz_must(!message_is_binary(payload, bytes), "binary begets binary");
		*m = (struct message){ 0 };
		return 0;
	}
	fuzz_must(message_decode(m, d->reply.at, d->reply.bytes, NULL) == REASON_NONE &&
		      m->type >= MESSAGE_NEW,
	    "an answer is one");
	if (m->type == MESSAGE_REFUSED || m->type == MESSAGE_ERROR)
		fuzz_must(m->reason > REASON_NONE && m->reason < REASON_END &&
			      desk_is_line(m->text),
		    "a request is refused for a reason, in one line");
	if (m->type == MESSAGE_ACK)
		see_refused_items(m);
	return m->type;
}

void
desk_json(struct desk *d, struct apply_peer *peer, const void *payload, size_t bytes)
{
	ask(d, peer, payload, bytes);
}

bool
desk_page(struct desk *d)
{
	struct exposition *e = exposition_new(d->registry, NULL, NULL);
	struct strbuf last = d->last;

	fuzz_must(e != NULL, "memory is there");
	d->last = d->page;
	d->page = last;
	strbuf_reset(&d->page);
	while (exposition_slice(e, &d->page, SLICE))
		;
	exposition_free(e);
	fuzz_must(!d->page.failed, "memory is there");
	fuzz_page_read(&d->samples, d->page.at, d->page.bytes);
	return d->page.bytes != d->last.bytes ||
	       (d->page.bytes && memcmp(d->page.at, d->last.at, d->page.bytes) != 0);
}
