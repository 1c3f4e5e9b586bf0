/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A start with whatever files are there: a snapshot, and up to three journals behind it.
 * What is loaded is a state like any other, and is loaded again as it was saved.
 *
 * Input: a byte of choices, a u16 length of the snapshot, the snapshot, the journals: a
 * record of the type of a head begins the next one. Mostly lengths and checksums are made
 * right before they are read, see repair.h.
 */
#include <stdio.h>
#include <stdlib.h>

#include "apply_parts.h"
#include "exposition.h"
#include "fuzz.h"
#include "audit.h"
#include "persist.h"
#include "persist_parts.h"
#include "repair.h"
#include "shelf.h"
#include "snapshot.h"

#define NOW_MS	 5000000
#define UNIX_MS	 1700000000000U
#define STORE	 0x1122334455667788U
#define JOURNALS 3

enum {
	RAW = 1,
	COMPONENT = 2,
	OTHER_BOOT = 4,
	NO_SNAPSHOT = 8,
	STRANGERS = 16,
	DIRECT = 32
};

/* A daemon, from files to files. */
struct house {
	struct registry *registry;
	struct self_metrics *self;
	struct journal *journal;
	struct apply *apply;
	struct persist *persist;
	struct strbuf page;
	struct fuzz_page read;
};

static uint64_t
unix_ms(void *arg)
{
	(void)arg;
	return UNIX_MS + NOW_MS;
}

static void
open_house(struct house *h, uint8_t how)
{
	struct apply_options o = { .store = 1,
		.epoch = 7,
		.lease_ms = 15000,
		.grace_ms = 2000,
		.message_bytes = 1 << 20,
		.json_bytes = 65536,
		.dedupe_ms = 600000,
		.dedupe_keys = 1000,
		.version = "0.1.0",
		.unix_ms = unix_ms };

	*h = (struct house){ .registry = registry_new(&REGISTRY_DEFAULT_LIMITS, NULL),
		.self = self_metrics_new(),
		.journal = journal_new() };
	fuzz_must(h->registry && h->self && h->journal, "memory is there");
	registry_set_naming(
	    h->registry, &(struct naming){ .component = (how & COMPONENT) != 0 });
	o.journal = h->journal;
	h->apply = apply_new(&o, h->registry, h->self, NULL);
	fuzz_must(h->apply != NULL, "memory is there");
}

static void
close_house(struct house *h)
{
	persist_free(h->persist);
	apply_free(h->apply);
	self_metrics_free(h->self);
	registry_free(h->registry);
	journal_free(h->journal);
	strbuf_free(&h->page);
	fuzz_page_free(&h->read);
}

static enum apply_life
life(void *arg, pid_t pid, uint64_t start)
{
	(void)arg;
	(void)start;
	if (pid % 3 == 0)
		return pid ? APPLY_LIFE_GONE : APPLY_LIFE_UNKNOWN;
	return pid % 3 == 1 ? APPLY_LIFE_SAME : APPLY_LIFE_UNKNOWN;
}

static uint64_t
start_house(struct house *h, struct shelf *shelf, uint8_t how)
{
	struct persist_options p = { .state_path = "state",
		.hold_ms = 5000,
		.runtime_path = "runtime",
		.journal = true,
		.fsync = PERSIST_FSYNC_SNAPSHOT,
		.journal_bytes = 1 << 20,
		.snapshot_ms = 60000,
		.unix_ms = unix_ms };
	struct persist_now now = { .pid_namespace = how & STRANGERS ? 2 : 1,
		.monotonic_ms = NOW_MS,
		.unix_ms = UNIX_MS + NOW_MS,
		.store = STORE + 1,
		.boot = { how & OTHER_BOOT ? 2 : 1 },
		.life = life };
	char error[PERSIST_ERROR_TEXT] = "";
	int64_t offset_ms = 0;

	h->persist = persist_new(&p, &shelf->ops, h->apply, h->journal, h->self, NULL);
	fuzz_must(h->persist != NULL, "memory is there");
	fuzz_must(persist_recover(h->persist, &now, &offset_ms, error) == 0,
	    "it starts: %s", error);
	return (uint64_t)(NOW_MS + offset_ms);
}

/* ---- What is there then ------------------------------------------------------- */

static void
look(struct house *h)
{
	struct exposition *e = exposition_new(h->registry, NULL, NULL);
	struct audit found = audit_look(h->apply, true);

	fuzz_must(e != NULL, "memory is there");
	strbuf_reset(&h->page);
	while (exposition_slice(e, &h->page, 4096))
		;
	exposition_free(e);
	fuzz_must(!h->page.failed, "memory is there");
	/* No daemon writes down two workers of one name, which would show gauges twice,
	 * nor more than a number holds. */
	if (found.namesakes == 0 && isfinite(found.counted + found.observed))
		fuzz_page_read(&h->read, h->page.at ? h->page.at : "", h->page.bytes);
}

static int
put(void *arg, const void *bytes, size_t n)
{
	strbuf_add(arg, bytes, n);
	return 0;
}

/* All of it but for when and by whom it is saved. */
static void
save(const struct house *h, struct strbuf *ret)
{
	struct snapshot_sink sink = { put, ret };
	struct journal_head head = {
		.store = STORE, .generation = 1, .clock_ms = NOW_MS
	};

	fuzz_must(snapshot_write(h->apply, &head, &sink) == 0 && !ret->failed,
	    "a snapshot can be written");
}

static void
same(const struct house *a, const struct house *b, const char *what)
{
	struct strbuf x = STRBUF_EMPTY, y = STRBUF_EMPTY;

	fuzz_must(a->page.bytes == b->page.bytes &&
		      (a->page.bytes == 0 ||
			  memcmp(a->page.at, b->page.at, a->page.bytes) == 0),
	    "%s: the page is the same:\n%s---\n%s", what, a->page.bytes ? a->page.at : "",
	    b->page.bytes ? b->page.at : "");
	save(a, &x);
	save(b, &y);
	fuzz_must(x.bytes == y.bytes && memcmp(x.at, y.at, x.bytes) == 0,
	    "%s: what is kept is the same", what);
	strbuf_free(&x);
	strbuf_free(&y);
}

/* ---- The snapshot alone --------------------------------------------------------- */

static void
read_alone(const struct strbuf *file, uint8_t how)
{
	struct house h, again;
	struct journal_head head;
	char why[SNAPSHOT_TEXT] = "";
	uint64_t dropped = 0, digest;
	struct strbuf saved = STRBUF_EMPTY;
	enum snapshot_verdict verdict;

	open_house(&h, how);
	open_house(&again, how);
	digest = audit_look(h.apply, true).digest;
	verdict = snapshot_read(h.apply, file->at, file->bytes, &head, &dropped, why);
	look(&h);
	if (verdict == SNAPSHOT_OK) {
		save(&h, &saved);
		fuzz_must(snapshot_read(again.apply, saved.at, saved.bytes, &head,
			      &dropped, why) == SNAPSHOT_OK,
		    "what was read can be saved, and read: %s", why);
		fuzz_must(dropped == 0, "nothing more is left out: %s", why);
		look(&again);
		same(&h, &again, "read, saved, and read");
	} else {
		fuzz_must(
		    verdict != SNAPSHOT_MEMORY && why[0] != '\0', "it is said why not");
		fuzz_must(audit_look(h.apply, true).digest == digest && h.page.bytes == 0,
		    "nothing of what is damaged is there");
	}
	strbuf_free(&saved);
	close_house(&h);
	close_house(&again);
}

/* ---- All files -------------------------------------------------------------------- */

/* The journals behind each other, each begun by a head. */
static void
put_journals(struct shelf *shelf, const struct strbuf *text, uint64_t generation)
{
	struct journal_reader r = { (const uint8_t *)text->at, text->bytes, 0 };
	struct strbuf head = STRBUF_EMPTY;
	struct journal_head h = { .store = STORE,
		.generation = generation,
		.first = 1,
		.boot = { 1 },
		.pid_namespace = 1,
		.clock_ms = 1000000,
		.unix_ms = UNIX_MS };
	struct journal_record record;
	size_t from = 0, before = 0;
	char name[PERSIST_NAME_BYTES];

	for (int n = 0; n < JOURNALS && from < text->bytes; n++) {
		bool more = false;

		while (journal_next(&r, &record)) {
			more = record.type == JOURNAL_HEAD && before > from;
			if (more)
				break;
			before = r.good;
		}
		strbuf_reset(&head);
		h.generation = generation + (uint64_t)n;
		journal_put_head(&head, &h);
		if (text->bytes - from > 8 && text->at[from + 8] == JOURNAL_HEAD)
			strbuf_reset(&head);
		strbuf_add(&head, text->at + from, (more ? before : text->bytes) - from);
		persist_journal_name(h.generation, name);
		shelf_put(shelf, DISK_RUNTIME, name, head.at, head.bytes);
		from = more ? before : text->bytes;
		before = r.good;
	}
	strbuf_free(&head);
}

static void
start_all(const struct strbuf *snapshot, const struct strbuf *journals, uint8_t how)
{
	struct shelf shelf;
	struct house h, again;
	uint64_t now_ms;

	shelf_init(&shelf);
	if (snapshot->bytes > 0)
		shelf_put(
		    &shelf, DISK_STATE, PERSIST_SNAPSHOT, snapshot->at, snapshot->bytes);
	put_journals(&shelf, journals, snapshot->bytes > 0 ? 2 : 1);
	open_house(&h, how);
	now_ms = start_house(&h, &shelf, how);
	look(&h);
	if (how & NO_SNAPSHOT)
		persist_turn(h.persist, now_ms);
	else
		persist_stop(h.persist, now_ms);
	open_house(&again, how);
	start_house(&again, &shelf, how);
	look(&again);
	/* Files of the year 10,000 may be the last that can be written. */
	if (now_ms < JOURNAL_MS_MOST / 2)
		same(&h, &again, "started again");
	close_house(&again);
	close_house(&h);
	shelf_free(&shelf);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct fuzz_input in = fuzz_begin(bytes, n);
	uint8_t how = fuzz_u8(&in);
	uint16_t length = fuzz_u16(&in);
	struct wire_text first = fuzz_bytes(&in, length);
	struct strbuf snapshot = STRBUF_EMPTY, journals = STRBUF_EMPTY;

	if (how & RAW) {
		strbuf_add(&snapshot, first.at, first.bytes);
		strbuf_add(&journals, in.at, in.bytes);
	} else {
		if (first.bytes > 0)
			repair(first.at, first.bytes, true, &snapshot);
		repair(in.at, in.bytes, false, &journals);
	}
	if (how & DIRECT)
		read_alone(&snapshot, how);
	else
		start_all(&snapshot, &journals, how);
	strbuf_free(&snapshot);
	strbuf_free(&journals);
	return 0;
}
