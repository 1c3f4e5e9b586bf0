/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The whole daemon but for its sockets: sessions, messages in JSON, an administrator,
 * time, reloads and restarts, in whatever order. What must hold is in audit.h and
 * world.h.
 *
 * Input: a byte of choices for the world, then operations: a byte, and what it asks for.
 * From 0x80 on it is for play_sim.c.
 */
#include <stdio.h>
#include <stdlib.h>

#include "apply_parts.h"
#include "play.h"
#include "play_sim.h"

#define OPS 96 /* of one input */

/* ---- What else happens ----------------------------------------------------------------
 */

static void
admin(struct play *p)
{
	static const char *const what[] = {
		"\"name\":\"c\",\"labels\":{\"l\":\"x\"}}",
		"\"name\":\"each\",\"labels\":{\"worker_id\":\"a\"}}",
		"\"name\":\"last\"}",
		"\"name\":\"h\",\"namespace\":\"ns\"}",
		"\"name\":\"sum\",\"dry_run\":true}",
		"\"name\":\"dynamo_jc\"}",
		"\"name\":\"c\",\"namespace\":\"ns\"}",
	};
	struct someone *from = play_anyone(p);
	struct wire_writer out = play_writer(from);
	char text[120];

	snprintf(text, sizeof(text), "{\"command\":\"remove\",%s",
	    what[play_any(p, PLAY_COUNT(what))]);
	message_put_admin(&out, wire_text(text));
	play_send_writer(p, from, &out);
	p->scrape_is_lowered = true;
}

static void
pass(struct play *p)
{
	static const uint32_t ms[] = { 1, 40, 700, 1990, 2100, 6000, 15001, 21000 };
	uint32_t how = play_any(p, 16);

	p->w.now_ms += ms[how % 8];
	if (how >= 8)
		apply_due_ms(p->w.apply, p->w.now_ms);
	world_before(&p->w);
	apply_tick(p->w.apply, p->w.now_ms);
	world_after(&p->w, WORLD_WORKERS, 0, 0);
}

static void
reload(struct play *p)
{
	struct world *w = &p->w;
	uint32_t how = play_any(p, 256);

	w->limits.series = how & 1 ? 30 : 6;
	w->limits.series_per_family = how & 2 ? 6 : 3;
	w->limits.series_per_worker = how & 4 ? 8 : 2;
	w->limits.uid_percent = how & 8 ? 100 : 50;
	w->limits.names.label_bytes = how & 16 ? 1024 : 6;
	w->options.dedupe_keys = how & 32 ? 1000 : 2;
	w->options.workers = how & 64 ? 0 : 3;
	w->options.retain_s = how & 128 ? 20 : 0;
	registry_set_limits(w->registry, &w->limits);
	apply_set_options(w->apply, &w->options);
}

static void
end_scrape(struct play *p)
{
	exposition_free(p->scrape);
	p->scrape = NULL;
	strbuf_reset(&p->scraped);
}

static uint64_t
removed(const struct play *p)
{
	uint64_t n = registry_replaced(p->w.registry);

	for (int i = 0; i < REGISTRY_CAUSES; i++)
		n += registry_removed(p->w.registry, (enum registry_cause)i);
	return n;
}

/* A page that is made while other things happen. */
static void
scrape(struct play *p)
{
	uint32_t most = 1 + play_any(p, 256);

	if (p->scrape == NULL) {
		world_page(&p->w);
		strbuf_reset(&p->scraped_from_text);
		strbuf_add(&p->scraped_from_text, p->w.text[p->w.last].at,
		    p->w.text[p->w.last].bytes);
		fuzz_page_read(&p->scraped_from, p->scraped_from_text.at,
		    p->scraped_from_text.bytes);
		p->scrape = exposition_new(p->w.registry, NULL, NULL);
		fuzz_must(p->scrape != NULL, "memory is there");
		p->scrape_removed = removed(p);
		p->scrape_is_lowered = false;
	}
	if (exposition_slice(p->scrape, &p->scraped, most))
		return;
	fuzz_page_read(
	    &p->scraped_page, p->scraped.at ? p->scraped.at : "", p->scraped.bytes);
	if (!p->scrape_is_lowered && removed(p) == p->scrape_removed)
		world_compare_pages(&p->scraped_from, &p->scraped_page);
	end_scrape(p);
}

static void
snapshot(struct play *p)
{
	world_snapshot(&p->w);
}

static void
restart(struct play *p)
{
	uint32_t how = play_any(p, 8), cut = how == 6 ? play_any(p, 2048) : UINT32_MAX;

	end_scrape(p);
	world_write(&p->w);
	for (int i = 0; i < PLAY_PEERS; i++)
		apply_disconnect(p->w.apply, &p->who[i].peer, false, p->w.now_ms);
	journal_clear(p->w.journal);
	if (how == 6)
		p->json_known = false;
	world_restart(&p->w, cut, p->w.component ^ (how == 7));
}

/* ---- All
 * --------------------------------------------------------------------------------- */

static void
open_world(struct play *p, uint32_t how)
{
	struct world *w = &p->w;

	w->limits = REGISTRY_DEFAULT_LIMITS;
	w->options = (struct apply_options){ .lease_ms = 15000,
		.grace_ms = 2000,
		.message_bytes = 1 << 20,
		.json_bytes = 65536,
		.folded_memory = how & 1 ? 3 : 0,
		.dedupe_ms = how & 2 ? 30000 : 600000,
		.dedupe_keys = how & 4 ? 4 : 1000,
		.retain_s = how & 8 ? 20 : 0,
		.workers = how & 16 ? 3 : 0 };
	if (how & 16) {
		w->limits.families = 8;
		w->limits.series = 10;
		w->limits.series_per_family = 4;
		w->limits.series_per_worker = 6;
		w->limits.series_per_uid = 7;
		w->limits.uid_percent = 60;
		w->limits.names.label_bytes = 8;
	}
	w->component = how & 32;
	p->whole = how & 64;
	world_open(w);
	for (uint32_t i = 0; i < PLAY_PEERS; i++) {
		p->who[i].peer = (struct apply_peer){ .connection = i,
			.pid = (pid_t)(i < 3 ? 100 + i : 0),
			.uid = i < 2	? 1000
			       : i == 4 ? 0
					: 1000 + i,
			.process_start = 7000 + i,
			.direct = i != 3 };
		play_new_session(p, &p->who[i]);
	}
}

static void
close_world(struct play *p)
{
	world_page(&p->w);
	end_scrape(p);
	for (int i = 0; i < PLAY_PEERS; i++)
		apply_disconnect(p->w.apply, &p->who[i].peer, false, p->w.now_ms);
	world_close(&p->w);
	strbuf_free(&p->scraped);
	strbuf_free(&p->scraped_from_text);
	fuzz_page_free(&p->scraped_page);
	fuzz_page_free(&p->scraped_from);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	static void (*const ops[])(struct play *) = { play_hello, play_hello, play_define,
		play_define, play_define, play_update, play_update, play_update,
		play_update, play_remove, play_ask, play_again, play_disconnect,
		play_json, play_json, play_json_again, play_json_wild, admin, pass, pass,
		reload, scrape, scrape, snapshot, restart, play_wild, play_expose };
	struct fuzz_input in = fuzz_begin(bytes, n);
	uint32_t how = fuzz_u8(&in), left = OPS;
	struct play *p;

	if (how >= 0x80) {
		play_sim(&in);
		return 0;
	}
	p = calloc(1, sizeof(*p));
	fuzz_must(p != NULL, "memory is there");
	p->in = in;
	open_world(p, how);
	while (p->in.bytes > 0 && left-- > 0)
		ops[play_any(p, PLAY_COUNT(ops))](p);
	close_world(p);
	free(p);
	return 0;
}
