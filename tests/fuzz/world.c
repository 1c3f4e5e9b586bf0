/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's life. */
#include "world.h"

#include <stdlib.h>

#include "apply_parts.h"
#include "exposition.h"
#include "snapshot.h"

static uint64_t
unix_ms(void *arg)
{
	const struct world *w = arg;

	return WORLD_UNIX_MS + w->now_ms;
}

static void
begin(struct world *w)
{
	struct apply_options *o = &w->options;

	w->journal = journal_new();
	w->registry = registry_new(&w->limits, NULL);
	w->self = self_metrics_new();
	fuzz_must(w->journal && w->registry && w->self, "memory is there");
	fuzz_must(registry_set_naming(
		      w->registry, &(struct naming){ .component = w->component }),
	    "a naming is taken");
	o->journal = w->journal;
	o->unix_ms = unix_ms;
	o->refresh_arg = w;
	o->store = WORLD_STORE;
	o->epoch++;
	o->version = "0.1.0";
	w->apply = apply_new(o, w->registry, w->self, NULL);
	fuzz_must(w->apply != NULL, "memory is there");
}

static void
end(struct world *w)
{
	apply_free(w->apply);
	self_metrics_free(w->self);
	registry_free(w->registry);
	journal_free(w->journal);
}

void
world_open(struct world *w)
{
	w->now_ms = 1000000;
	begin(w);
}

void
world_close(struct world *w)
{
	end(w);
	strbuf_free(&w->reply);
	strbuf_free(&w->snapshot);
	strbuf_free(&w->file);
	for (int i = 0; i < 2; i++) {
		strbuf_free(&w->text[i]);
		fuzz_page_free(&w->page[i]);
	}
	free(w->before.cell);
	free(w->before.series);
	free(w->before.total);
	free(w->before.moved);
}

/* ---- What it records ----------------------------------------------------- */

void
world_write(struct world *w)
{
	size_t n;
	const void *bytes = journal_bytes(w->journal, &n);

	fuzz_must(
	    !journal_failed(w->journal), "there is nothing that cannot be recorded");
	strbuf_add(&w->file, bytes, n);
	journal_clear(w->journal);
	fuzz_must(!w->file.failed, "memory is there");
}

static int
put(void *arg, const void *bytes, size_t n)
{
	strbuf_add(arg, bytes, n);
	return 0;
}

static void
save(const struct world *w, struct strbuf *ret)
{
	struct snapshot_sink sink = { put, ret };
	struct journal_head head = { .store = WORLD_STORE,
		.generation = 2,
		.clock_ms = w->now_ms,
		.unix_ms = WORLD_UNIX_MS + w->now_ms };

	strbuf_reset(ret);
	fuzz_must(snapshot_write(w->apply, &head, &sink) == 0 && !ret->failed,
	    "a snapshot can be written");
}

static void
load(struct world *w)
{
	struct journal_head head;
	char why[SNAPSHOT_TEXT] = "";

	if (w->snapshot.bytes == 0)
		return;
	fuzz_must(snapshot_read(w->apply, w->snapshot.at, w->snapshot.bytes, &head, NULL,
		      why) == SNAPSHOT_OK,
	    "a snapshot is read: %s", why);
}

void
world_snapshot(struct world *w)
{
	struct world fresh = *w;
	struct strbuf again = STRBUF_EMPTY;

	world_write(w);
	save(w, &w->snapshot);
	strbuf_reset(&w->file);
	/* Read and written again it is the same. */
	fresh.snapshot = w->snapshot;
	begin(&fresh);
	load(&fresh);
	save(&fresh, &again);
	fuzz_must(again.bytes == w->snapshot.bytes &&
		      memcmp(again.at, w->snapshot.at, again.bytes) == 0,
	    "a snapshot that was read is written as it was");
	end(&fresh);
	strbuf_free(&again);
}

/* ---- Begun anew ----------------------------------------------------------- */

static bool
replay(struct world *w, size_t n)
{
	struct journal_reader r = { (const uint8_t *)w->file.at, n, 0 };
	struct journal_record record;
	struct refusal why = { 0 };

	load(w);
	apply_replay_begin(w->apply);
	while (journal_next(&r, &record))
		fuzz_must(apply_replay(w->apply, &record, &why) == REASON_NONE,
		    "what was recorded fits: %s", why.text);
	fuzz_must(r.good <= n && (n < w->file.bytes || r.good == n),
	    "what was recorded is whole");
	w->file.bytes = r.good;
	apply_replay_end(w->apply);
	return apply_replay_dropped(w->apply) == 0;
}

static struct session *
find(const struct apply *a, uint64_t serial)
{
	for (struct session *s = a->sessions.first; s; s = s->next)
		if (sessions_record(&a->sessions, s->record)->serial == serial)
			return s;
	return NULL;
}

/* Whose gauges one shows, the other is to show. */
static void
show_as(const struct apply *a, const struct apply *shown)
{
	for (struct session *s = a->sessions.first; s; s = s->next) {
		const struct record *record = sessions_record(&a->sessions, s->record);
		const struct session *same = find(shown, record->serial);

		fuzz_must(same != NULL && strcmp(same->name, s->name) == 0,
		    "the session %llu is there again, as it was",
		    (unsigned long long)record->serial);
		fuzz_must(
		    sessions_record(&shown->sessions, same->record)->last == record->last,
		    "its last request is known");
		s->column->hidden = same->column->hidden;
	}
	fuzz_must(a->sessions.n_live == shown->sessions.n_live &&
		      a->sessions.n_folded <= shown->sessions.n_folded &&
		      a->sessions.next_serial == shown->sessions.next_serial,
	    "sessions are those that were");
}

static enum apply_life
life(void *arg, pid_t pid, uint64_t start)
{
	(void)arg;
	(void)start;
	return pid % 2 ? APPLY_LIFE_SAME : APPLY_LIFE_UNKNOWN;
}

static void
same_page(struct world *w, struct world *other)
{
	const struct fuzz_page *a, *b;

	world_page(w);
	world_page(other);
	a = &w->page[w->last];
	b = &other->page[other->last];
	fuzz_must(a->n == b->n, "%zu samples are there again, of %zu", b->n, a->n);
	for (size_t i = 0; i < a->n; i++)
		fuzz_must(
		    wire_text_equal(a->sample[i].series, b->sample[i].series) &&
			wire_bits(a->sample[i].value) == wire_bits(b->sample[i].value),
		    "%.*s is %.17g again, and not %.17g", (int)a->sample[i].series.bytes,
		    a->sample[i].series.at, a->sample[i].value, b->sample[i].value);
}

void
world_restart(struct world *w, size_t journal_bytes, bool component)
{
	struct world fresh = *w;
	bool whole;

	world_write(w);
	fresh.file = w->file;
	whole = journal_bytes >= w->file.bytes && component == w->component;
	if (journal_bytes > w->file.bytes)
		journal_bytes = w->file.bytes;
	fresh.component = component;
	memset(fresh.page, 0, sizeof(fresh.page));
	memset(fresh.text, 0, sizeof(fresh.text));
	begin(&fresh);
	if (!replay(&fresh, journal_bytes) || !whole) {
		w->is_lowered = true;
	} else {
		show_as(fresh.apply, w->apply);
		same_page(w, &fresh);
	}
	for (int i = 0; i < 2; i++) {
		strbuf_free(&fresh.text[i]);
		fuzz_page_free(&fresh.page[i]);
		fresh.text[i] = w->text[i];
		fresh.page[i] = w->page[i];
	}
	fresh.last = w->last;
	fresh.is_lowered = w->is_lowered;
	end(w);
	*w = fresh;
	w->options.refresh_arg = w;
	w->apply->options.refresh_arg = w;
	w->apply->effects.arg = w;
	apply_recovered(w->apply, false, life, NULL, w->now_ms);
}
