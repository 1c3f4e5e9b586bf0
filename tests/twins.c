/* SPDX-License-Identifier: Apache-2.0 */
#include "twins.h"

#include <check.h>
#include <stdlib.h>

#include "apply_parts.h"
#include "registry_parts.h"
#include "snapshot.h"

static uint64_t
unix_ms(void *arg)
{
	const struct twin *x = arg;

	return TALK_UNIX_MS + x->talk->now_ms;
}

static void
init(struct twin *x)
{
	*x = (struct twin){ .limits = REGISTRY_DEFAULT_LIMITS,
		.options = { .store = TALK_STORE,
		    .epoch = 7,
		    .lease_ms = 15000,
		    .grace_ms = 2000,
		    .message_bytes = 1 << 20,
		    .json_bytes = 65536,
		    .dedupe_ms = 600000,
		    .dedupe_keys = 1000000,
		    .dedupe_secret = "fifteen letters",
		    .unix_ms = unix_ms,
		    .refresh_arg = x,
		    .version = "0.1.0" } };
}

void
twins_init(struct twins *t)
{
	init(&t->lives);
	init(&t->dies);
}

static void
set_naming(struct talk *t, bool component)
{
	ck_assert(
	    registry_set_naming(t->registry, &(struct naming){ .component = component }));
}

static void
begin(struct twin *x)
{
	x->journal = journal_new();
	ck_assert_ptr_nonnull(x->journal);
	x->options.journal = x->journal;
	x->talk = talk_new(&x->limits, &x->options);
	set_naming(x->talk, x->component);
	for (int i = 0; i < TWIN_WORKERS; i++) {
		x->w[i] = talk_worker(x->talk, 100 + i);
		x->w[i]->peer.process_start = 7000 + (uint64_t)i;
	}
	x->root = talk_worker(x->talk, 1);
	x->root->peer.uid = 0;
	x->root->peer.direct = true;
}

void
twins_open(struct twins *t)
{
	begin(&t->lives);
	begin(&t->dies);
}

static void
end(struct twin *x)
{
	talk_free(x->talk);
	journal_free(x->journal);
	strbuf_free(&x->file);
	strbuf_free(&x->snapshot);
}

void
twins_close(struct twins *t)
{
	end(&t->lives);
	end(&t->dies);
}

/* ---- The same? ------------------------------------------------------------- */

/* Where a part of a status begins. */
static const char *
from(const struct strbuf *text, const char *word)
{
	const char *at = strstr(text->at, word);

	ck_assert_msg(at != NULL, "no %s in %s", word, text->at);
	return at;
}

/* Refused updates are not recorded: how many there were is counted anew. */
static void
blank_refused(struct strbuf *status)
{
	static const char word[] = "\"refused\":";
	char *at = status->at;

	while ((at = strstr(at, word)) != NULL)
		for (at += strlen(word); *at >= '0' && *at <= '9';)
			memmove(at, at + 1, strlen(at));
}

static void
same_status(const struct twins *t, const char *what)
{
	static const char *const words[] = {
		"\"families\":", "\"series\":", "\"remembered\":"
	};
	struct strbuf a = STRBUF_EMPTY, b = STRBUF_EMPTY;

	apply_status(t->lives.talk->apply, t->lives.talk->now_ms, &a);
	apply_status(t->dies.talk->apply, t->dies.talk->now_ms, &b);
	blank_refused(&a);
	blank_refused(&b);
	ck_assert_msg(strcmp(from(&a, "\"workers\":["), from(&b, "\"workers\":[")) == 0,
	    "%s:\n%s\n%s", what, a.at, b.at);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		const char *x = from(&a, words[i]), *y = from(&b, words[i]);

		ck_assert_msg(
		    strncmp(x, y,
			strcspn(x, "}]") < strcspn(x, ",") ? strcspn(x, "}]")
							   : strcspn(x, ",")) == 0,
		    "%s:\n%s\n%s", what, a.at, b.at);
	}
	strbuf_free(&a);
	strbuf_free(&b);
}

void
twins_same(const struct twins *t, const char *what)
{
	const char *a = talk_page(t->lives.talk, ""), *b = talk_page(t->dies.talk, "");

	ck_assert_msg(strcmp(a, b) == 0, "%s: one shows\n%s\nthe other\n%s", what, a, b);
	same_status(t, what);
}

void
twins_do(
    struct twins *t, const char *what, void (*act)(struct twin *x, void *arg), void *arg)
{
	const struct strbuf *a, *b;

	strbuf_reset(&t->lives.talk->reply);
	strbuf_reset(&t->dies.talk->reply);
	act(&t->lives, arg);
	act(&t->dies, arg);
	twin_write(&t->dies);
	a = &t->lives.talk->reply;
	b = &t->dies.talk->reply;
	ck_assert_msg(a->bytes == b->bytes &&
			  (a->bytes == 0 || memcmp(a->at, b->at, a->bytes) == 0),
	    "%s: answered with %zu bytes of type %d, and with %zu of type %d", what,
	    a->bytes, t->lives.talk->m.type, b->bytes, t->dies.talk->m.type);
	twins_same(t, what);
}

/* ---- A restart --------------------------------------------------------------- */

void
twin_write(struct twin *x)
{
	size_t n;
	const void *bytes = journal_bytes(x->journal, &n);

	ck_assert(!journal_failed(x->journal));
	strbuf_add(&x->file, bytes, n);
	ck_assert(!x->file.failed);
	journal_clear(x->journal);
}

struct talk *
twin_empty(struct twin *x)
{
	struct apply_options options = x->options;
	struct talk *t;

	options.journal = NULL;
	t = talk_new(&x->limits, &options);
	set_naming(t, x->component);
	t->now_ms = x->talk->now_ms;
	return t;
}

static int
put(void *arg, const void *bytes, size_t n)
{
	strbuf_add(arg, bytes, n);
	return 0;
}

void
twins_snapshot(struct twins *t)
{
	struct twin *x = &t->dies;
	struct snapshot_sink sink = { put, &x->snapshot };
	struct journal_head head = { .store = x->options.store,
		.generation = 2,
		.clock_ms = x->talk->now_ms,
		.unix_ms = TALK_UNIX_MS + x->talk->now_ms };

	twin_write(x);
	strbuf_reset(&x->snapshot);
	strbuf_reset(&x->file);
	ck_assert_int_eq(snapshot_write(x->talk->apply, &head, &sink), 0);
	ck_assert(!x->snapshot.failed);
}

static void
load(const struct twin *x, struct talk *into)
{
	struct journal_head head;
	char why[SNAPSHOT_TEXT] = "";

	if (x->snapshot.bytes == 0)
		return;
	ck_assert_msg(snapshot_read(into->apply, x->snapshot.at, x->snapshot.bytes, &head,
			  NULL, why) == SNAPSHOT_OK,
	    "%s", why);
	ck_assert_str_eq(why, "");
}

enum reason
twin_replay(const struct twin *x, struct talk *into, struct refusal *why)
{
	struct journal_reader r = { (const uint8_t *)x->file.at, x->file.bytes, 0 };
	struct journal_record record;
	enum reason reason = REASON_NONE;

	load(x, into);
	apply_replay_begin(into->apply);
	while (reason == REASON_NONE && journal_next(&r, &record))
		reason = apply_replay(into->apply, &record, why);
	apply_replay_end(into->apply);
	if (reason == REASON_NONE)
		ck_assert_uint_eq(r.good, x->file.bytes);
	return reason;
}

/* Whose gauges one shows, the other is to show. */
static enum apply_life
life(void *arg, pid_t pid, uint64_t start)
{
	const struct apply *a = arg;

	for (const struct session *s = a->sessions.first; s; s = s->next)
		if (s->pid == pid && s->start == start && !s->column->hidden)
			return APPLY_LIFE_SAME;
	return APPLY_LIFE_UNKNOWN;
}

/* The same process with another connection to that daemon. */
static struct talk_worker *
connect_again(struct talk *t, const struct talk_worker *w)
{
	struct talk_worker *again = talk_worker(t, w->peer.pid);

	again->peer = w->peer;
	again->peer.bindings = NULL;
	memcpy(again->sid, w->sid, sizeof(w->sid));
	again->has_ticket = w->has_ticket;
	again->ticket = w->ticket;
	again->n = w->n;
	memcpy(again->sent, w->sent, sizeof(w->sent));
	again->sent_bytes = w->sent_bytes;
	return again;
}

/* The effect of its end on the one that lives: all its connections broke, and what it was
 * looking for with time is looked for from the beginning. */
static void
drop_connections(struct twin *x)
{
	x->talk->registry->sweep = (struct sweep){ 0 };
	for (int i = 0; i < TWIN_WORKERS; i++)
		talk_disconnect(x->w[i], false);
	apply_recovered(x->talk->apply, false, life, x->talk->apply, x->talk->now_ms);
}

void
twins_restart(struct twins *t)
{
	struct twin *x = &t->dies;
	struct refusal why = { 0 };
	struct journal *before = x->journal;
	struct talk *fresh;
	enum reason reason;

	drop_connections(&t->lives);
	twin_write(x);
	x->journal = x->options.journal = journal_new();
	fresh = talk_new(&x->limits, &x->options);
	set_naming(fresh, x->component);
	fresh->now_ms = x->talk->now_ms;
	reason = twin_replay(x, fresh, &why);
	ck_assert_msg(reason == REASON_NONE, "not replayed: %s", why.text);
	ck_assert_uint_eq(apply_replay_dropped(fresh->apply), 0);
	ck_assert_str_eq(fresh->logged.at, "");
	for (int i = 0; i < TWIN_WORKERS; i++)
		x->w[i] = connect_again(fresh, x->w[i]);
	x->root = connect_again(fresh, x->root);
	/* What it would have recorded at its end, it did not live to write. */
	talk_free(x->talk);
	journal_free(before);
	x->talk = fresh;
	apply_recovered(fresh->apply, false, life, t->lives.talk->apply, fresh->now_ms);
	twins_same(t, "started again");
}

enum message_type
twin_admin(struct twin *x, const char *json)
{
	uint8_t bytes[1024];
	struct wire_writer out;

	wire_writer_init(&out, bytes, sizeof(bytes));
	message_put_admin(&out, wire_text(json));
	ck_assert(!out.failed);
	return talk_send(x->root, bytes, out.bytes);
}
