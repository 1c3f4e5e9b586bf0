/* SPDX-License-Identifier: Apache-2.0 */
#include "life.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))
#define CELLS	    40

static uint32_t
any(struct life *l, uint32_t below)
{
	uint64_t z = l->random += 0x9e3779b97f4a7c15U;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9U;
	z = (z ^ z >> 27) * 0x94d049bb133111ebU;
	return (uint32_t)((z ^ z >> 31) >> 32) % below;
}

/* ---- Workers --------------------------------------------------------------- */

static const double bounds[] = { 0.1, 1, 1e9 };
static const double other_bounds[] = { 0.1, 2 };

/* Some of one name and several shapes, places or labels. */
static const struct talk_metric shapes[] = {
	{ .kind = MESSAGE_COUNTER, .level = "", .name = "plain_total", .help = "Plain" },
	{ .kind = MESSAGE_COUNTER,
	    .level = "ns",
	    .name = "c",
	    .help = "C\\ and\nmore",
	    .variable = "a,b" },
	{ .kind = MESSAGE_COUNTER,
	    .level = "ns/my-comp/ep",
	    .name = "c",
	    .help = "another",
	    .constant = "z=1,a=",
	    .variable = "b" },
	{ .kind = MESSAGE_COUNTER,
	    .level = "ns/my_comp",
	    .name = "c",
	    .variable = "b,a" },
	{ .kind = MESSAGE_HISTOGRAM,
	    .level = "ns",
	    .name = "h",
	    .help = "H",
	    .variable = "b",
	    .n_bounds = COUNT(bounds),
	    .bounds = bounds },
	{ .kind = MESSAGE_HISTOGRAM,
	    .level = "ns",
	    .name = "h",
	    .help = "H",
	    .variable = "b",
	    .n_bounds = COUNT(other_bounds),
	    .bounds = other_bounds },
	{ .kind = MESSAGE_COUNTER, .level = "", .name = "h_count" },
	{ .kind = MESSAGE_HISTOGRAM,
	    .level = "ns/c",
	    .name = "latency",
	    .variable = "b",
	    .n_bounds = COUNT(bounds),
	    .bounds = bounds },
	{ .kind = MESSAGE_GAUGE,
	    .merge = MESSAGE_SUM,
	    .level = "n\"s\\/\xc3\xa9",
	    .name = "g_sum",
	    .variable = "a" },
	{ .kind = MESSAGE_GAUGE, .merge = MESSAGE_MIN, .level = "ns", .name = "g_min" },
	{ .kind = MESSAGE_GAUGE,
	    .merge = MESSAGE_MAX,
	    .level = "ns",
	    .name = "g_max",
	    .variable = "a" },
	{ .kind = MESSAGE_GAUGE,
	    .merge = MESSAGE_LAST,
	    .level = "ns",
	    .name = "g_last",
	    .variable = "a" },
	{ .kind = MESSAGE_GAUGE,
	    .merge = MESSAGE_EACH,
	    .level = "ns/c",
	    .name = "g_each",
	    .constant = "k=v",
	    .variable = "a,y" },
	{ .kind = MESSAGE_GAUGE, .merge = MESSAGE_SUM, .level = "ns", .name = "c" },
};

static const char *const values[] = { "1", "", "x\"y", "a\\b", "l\nm", "\xe2\x82\xac",
	"longer than the others are" };

static uint32_t
metric_id(struct life *l, uint32_t shape)
{
	return shape + (uint32_t)COUNT(shapes) * any(l, 2);
}

/* A child's values, as many as its metric has label names. */
static const char *
some_values(struct life *l, const struct talk_metric *m, char text[200])
{
	const char *first = values[any(l, COUNT(values))];
	const char *second = values[any(l, COUNT(values))];

	if (m->variable == NULL)
		strcpy(text, "");
	else if (strchr(m->variable, ','))
		snprintf(text, 200, "%s,%s", first, second);
	else
		snprintf(text, 200, "%s", first[0] ? first : "e");
	return text;
}

static void
define(struct life *l, struct talk_worker *w)
{
	uint32_t shape = any(l, COUNT(shapes));
	struct talk_metric metric = shapes[shape];
	char text[200];

	metric.id = metric_id(l, shape);
	some_values(l, &metric, text);
	talk_define(w, &metric, text, any(l, CELLS));
}

static void
more(struct life *l, struct talk_worker *w)
{
	uint32_t shape = any(l, COUNT(shapes)), id = metric_id(l, shape);
	char text[200];

	some_values(l, &shapes[shape], text);
	talk_child(w, id, text, any(l, CELLS));
}

static uint64_t
some_bits(struct life *l)
{
	static const uint64_t special[] = { 0x8000000000000000U, 0x7ff8000000000001U,
		0x7ff0000000000123U, 0xfff0000000000000U, REGISTRY_UNSET, 0 };
	double v = (double)l->n + (double)any(l, 1000) / 7;

	return any(l, 8) ? wire_bits(v) : special[any(l, COUNT(special))];
}

static void
update(struct life *l, struct talk_worker *w)
{
	uint8_t bytes[512];
	struct wire_writer out;
	uint32_t n = 1 + any(l, 5), cell = any(l, CELLS);
	size_t begun;

	wire_writer_init(&out, bytes, sizeof(bytes));
	begun = message_begin_update(&out, w->ticket, ++w->n);
	for (uint32_t i = 0; i < n; i++) {
		uint64_t bits = some_bits(l);

		message_put_record(&out, cell + i, bits);
	}
	if (any(l, 4) == 0) {
		message_put_record(&out, MESSAGE_CELL_DROPPED, wire_bits((double)l->n));
		n++;
	}
	message_end(&out, begun, n);
	ck_assert(!out.failed);
	talk_send(w, bytes, out.bytes);
}

/* Values that will mostly be taken: one cell. */
static void
set(struct life *l, struct talk_worker *w)
{
	talk_set(w, any(l, CELLS), (double)l->n + (double)any(l, 1000) / 7);
}

static void
leave(struct life *l, struct talk_worker *w)
{
	if (any(l, 3) == 0)
		talk_bye(w);
	talk_disconnect(w, any(l, 3) == 0);
}

static void
hello(struct life *l, struct talk_worker *w)
{
	static const char *const wish[] = { "", "w", "w", "v" };

	if (talk_hello(w, wish[any(l, COUNT(wish))]) == MESSAGE_NEW)
		return;
	/* Folded, or forgotten: another session. */
	if (l->talk->m.type != MESSAGE_LIVE) {
		w->has_ticket = false;
		w->sid[8]++;
		talk_hello(w, "again");
	}
}

static void
worker_step(struct life *l)
{
	struct talk_worker *w = l->worker[any(l, LIFE_WORKERS)];
	uint32_t what = any(l, 64);

	if (w->peer.bindings == NULL || what == 0)
		hello(l, w);
	else if (what < 14)
		define(l, w);
	else if (what < 24)
		more(l, w);
	else if (what < 34)
		update(l, w);
	else if (what < 58)
		set(l, w);
	else if (what < 61)
		talk_remove(w, any(l, CELLS));
	else if (what < 63)
		talk_ping(w);
	else
		leave(l, w);
}

/* ---- Everybody else ------------------------------------------------------------ */

/* A form with a small number for each '#'. */
static void
fill_in(struct life *l, const char *form, char *out)
{
	for (; *form; form++)
		*out++ = *form == '#' ? (char)('1' + any(l, 3)) : *form;
	*out = '\0';
}

static void
json_step(struct life *l)
{
	static const char *const forms[] = {
		"{'name':'j#','type':'counter','inc':#.1,'labels':{'a':'#'}}",
		"{'name':'jg#','type':'gauge','set':#.3}",
		"{'name':'jg#','type':'gauge','add':#.7}",
		"{'name':'jl#','type':'gauge','merge':'last','set':#,'ttl_s':#1}",
		"{'name':'je#','type':'gauge','merge':'each','set':#}",
		"{'name':'jh#','type':'histogram','buckets':[1,2.5],'observe':[#,2]}",
		("{'name':'g_last','type':'gauge','merge':'last','set':#,"
		 "'labels':{'a':'#'}}"),
		"{'name':'g_sum','type':'gauge','add':0.#}",
		"{'name':'j#','remove':true,'labels':{'a':'#'}}",
		"{'name':'jg#','remove':true}",
		"{'name':'c','type':'counter','inc':0.#,'labels':{'a':'1','b':'x'}}",
		"{'name':'1#','type':'counter','inc':0.#}",
	};
	char one[300], id[40] = "", json[600];
	struct apply_peer peer = { .pid = 70, .uid = 1000 + any(l, 3) };

	fill_in(l, forms[any(l, COUNT(forms))], one);
	if (any(l, 2))
		snprintf(id, sizeof(id), "'id':'%u',", any(l, 200));
	snprintf(json, sizeof(json),
	    "{%s'namespace':'ns','metrics':[%s,{'name':'jt','type':'counter',"
	    "'inc':0.1}]}",
	    id, one);
	for (char *c = json; *c; c++)
		*c = *c == '\'' ? '"' : *c;
	talk_json_of(l->talk, &peer, json);
}

static void
admin_step(struct life *l)
{
	static const char *const forms[] = {
		"{\"command\":\"remove\",\"name\":\"c\",\"labels\":{\"b\":\"1\"}}",
		"{\"command\":\"remove\",\"name\":\"g_sum\"}",
		"{\"command\":\"remove\",\"name\":\"h\",\"namespace\":\"ns\"}",
		("{\"command\":\"remove\",\"name\":\"g_each\","
		 "\"labels\":{\"worker_id\":\"w\"}}"),
		"{\"command\":\"remove\",\"name\":\"jg1\"}",
	};
	struct apply_peer root = { .pid = 1, .uid = 0, .direct = true };
	uint8_t bytes[400];
	struct wire_writer w;

	wire_writer_init(&w, bytes, sizeof(bytes));
	message_put_admin(&w, wire_text(forms[any(l, COUNT(forms))]));
	strbuf_reset(&l->talk->reply);
	apply_request(
	    l->talk->apply, &root, bytes, w.bytes, l->talk->now_ms, &l->talk->reply);
}

static void
time_step(struct life *l)
{
	static const uint32_t ms[] = { 1, 20, 300, 2100, 5000, 16000 };

	/* Mostly too short for anybody to be taken for dead. */
	l->talk->now_ms += any(l, 12) ? ms[any(l, 3)] : ms[any(l, COUNT(ms))];
	apply_tick(l->talk->apply, l->talk->now_ms);
}

static void
note_answer(struct life *l)
{
	const struct strbuf *reply = &l->talk->reply;

	for (size_t i = 0; i < reply->bytes; i++)
		l->answers = (l->answers ^ (uint8_t)reply->at[i]) * 0x100000001b3U;
}

void
life_step(struct life *l)
{
	uint32_t what = any(l, 40);

	l->n++;
	strbuf_reset(&l->talk->reply);
	if (what < 32)
		worker_step(l);
	else if (what < 37)
		json_step(l);
	else if (what < 39)
		time_step(l);
	else
		admin_step(l);
	note_answer(l);
}

void
life_steps(struct life *l, unsigned n)
{
	while (n-- > 0)
		life_step(l);
}

/* ---- All ------------------------------------------------------------------------- */

struct life
life_new(struct talk *talk, uint64_t seed)
{
	struct life l = { .talk = talk, .random = seed * 0x2545f4914f6cdd1dU + 1 };

	for (unsigned i = 0; i < LIFE_WORKERS; i++) {
		l.worker[i] = talk_worker(talk, (pid_t)(100 + i));
		l.worker[i]->peer.uid = 1000 + i % 2;
	}
	return l;
}

struct life
life_in(const struct life *life, struct talk *talk)
{
	struct life l = *life;

	l.talk = talk;
	for (unsigned i = 0; i < LIFE_WORKERS; i++) {
		const struct talk_worker *from = life->worker[i];
		struct talk_worker *w = talk_worker(talk, from->peer.pid);

		w->peer.uid = from->peer.uid;
		memcpy(w->sid, from->sid, sizeof(w->sid));
		w->has_ticket = from->has_ticket;
		w->ticket = from->ticket;
		w->n = from->n;
		l.worker[i] = w;
	}
	return l;
}

static enum apply_life
unknown(void *arg, pid_t pid, uint64_t start)
{
	(void)arg;
	(void)pid;
	(void)start;
	return APPLY_LIFE_UNKNOWN;
}

void
life_connect(struct life *l)
{
	for (unsigned i = 0; i < LIFE_WORKERS; i++)
		talk_disconnect(l->worker[i], false);
	apply_recovered(l->talk->apply, false, unknown, NULL, l->talk->now_ms);
	for (unsigned i = 0; i < LIFE_WORKERS; i++)
		if (l->worker[i]->has_ticket)
			talk_hello(l->worker[i], "w");
}
