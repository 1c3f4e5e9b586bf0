/* SPDX-License-Identifier: Apache-2.0 */
/* The state of a life as a file, and what it shows. */
#include <check.h>
#include <string.h>

#include "life.h"

/* ---- Files ------------------------------------------------------------------------- */

static int
put(void *arg, const void *bytes, size_t n)
{
	strbuf_add(arg, bytes, n);
	return 0;
}

struct journal_head
life_head(const struct talk *t)
{
	return (struct journal_head){ .store = TALK_STORE,
		.generation = 2,
		.first = 1,
		.secret = { 1, 2, 3 },
		.boot = { 4, 5 },
		.pid_namespace = 6,
		.offset_ms = -7,
		.clock_ms = t->now_ms,
		.unix_ms = TALK_UNIX_MS + t->now_ms };
}

void
life_save(struct talk *t, struct strbuf *file)
{
	struct snapshot_sink sink = { put, file };
	struct journal_head head = life_head(t);

	ck_assert_int_eq(snapshot_write(t->apply, &head, &sink), 0);
	ck_assert(!file->failed);
}

struct talk *
life_load(const struct strbuf *file, const struct naming *naming)
{
	struct talk *t = talk_new(NULL, NULL);
	struct journal_head head;
	char why[SNAPSHOT_TEXT];
	uint64_t dropped;

	if (naming)
		ck_assert(registry_set_naming(t->registry, naming));
	ck_assert_int_eq(
	    snapshot_read(t->apply, file->at, file->bytes, &head, &dropped, why),
	    SNAPSHOT_OK);
	ck_assert(naming != NULL || (dropped == 0 && why[0] == '\0'));
	t->now_ms = head.clock_ms;
	return t;
}

/* Cut what is between two words out of a text. */
static void
cut(char *text, const char *from, const char *to)
{
	char *at = strstr(text, from), *end = at ? strstr(at, to) : NULL;

	if (end)
		memmove(at, end, strlen(end) + 1);
}

static void
show(struct talk *t, bool refused, struct strbuf *ret)
{
	struct strbuf status = STRBUF_EMPTY;

	strbuf_adds(ret, talk_page(t, ""));
	apply_status(t->apply, t->now_ms, &status);
	ck_assert(!status.failed);
	cut(status.at, "\"totals\"", "\"workers\"");
	cut(status.at, "\"folded_total\"", "\"remembered\"");
	cut(status.at, "\"resent_total\"", "\"client_dropped_total\"");
	for (char *at = status.at; (at = strstr(at, "\"connected\":")) != NULL; at++)
		cut(at, "\"connected\"", ",");
	for (char *at = status.at; !refused && (at = strstr(at, "\"last\":")); at++)
		cut(at, "\"refused\"", "\"library\"");
	strbuf_adds(ret, status.at);
	strbuf_free(&status);
	ck_assert(!ret->failed);
}

void
life_show(struct talk *t, struct strbuf *ret)
{
	show(t, true, ret);
}

static void
same(struct talk *a, struct talk *b, bool refused, const char *when)
{
	struct strbuf x = STRBUF_EMPTY, y = STRBUF_EMPTY;
	size_t i = 0;

	show(a, refused, &x);
	show(b, refused, &y);
	while (x.at[i] && x.at[i] == y.at[i])
		i++;
	ck_assert_msg(x.at[i] == y.at[i], "%s: %.300s\n---\n%.300s", when,
	    x.at + (i > 60 ? i - 60 : 0), y.at + (i > 60 ? i - 60 : 0));
	strbuf_free(&x);
	strbuf_free(&y);
}

void
life_same(struct talk *a, struct talk *b, const char *when)
{
	same(a, b, true, when);
}

void
life_same_but_refused(struct talk *a, struct talk *b, const char *when)
{
	same(a, b, false, when);
}
