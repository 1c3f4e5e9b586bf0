/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages in JSON: their decoder, and what the daemon makes of them.
 *
 * Input: a byte. Odd: the rest is a message, to be decoded alone. Even: up to four
 * messages with a NUL between them, for a daemon that knows some series already; bit 1:
 * its naming, bit 2: they are an administrator's commands. Each is then sent once more,
 * and to a second daemon in jansson's own form: that changes nothing there, and the same
 * here.
 */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>

#include "desk.h"
#include "json.h"

#define MESSAGES 4

/* ---- Decoding ---------------------------------------------------------------- */

static void
see_metric(const struct json_metric *j)
{
	fuzz_must(isfinite(j->value) && j->ttl_s >= 0 && j->ttl_s <= JSON_TTL_MAX_S,
	    "values are finite, times to live bounded");
	fuzz_must(j->metric.n_constant <= MESSAGE_LABELS_MAX &&
		      j->metric.n_bounds <= MESSAGE_BOUNDS_MAX && !j->metric.n_variable,
	    "labels and bounds are bounded");
	for (size_t i = 0; i < j->n_observed; i++)
		fuzz_must(isfinite(j->observed[i]), "what is observed is finite");
	for (size_t i = 0; i < j->metric.n_bounds; i++)
		fuzz_must(!isnan(message_bound(&j->metric, i)), "bounds are numbers");
	for (size_t i = 0; i < j->metric.n_constant; i++)
		fuzz_must(names_utf8(j->metric.constant_name[i]) &&
			      names_utf8(j->metric.constant_value[i]),
		    "labels are UTF-8");
	fuzz_must(
	    names_utf8(j->metric.name) && names_utf8(j->metric.help), "names are UTF-8");
}

static void
try_decoding(const struct fuzz_input *in)
{
	struct json_batch *b = NULL;
	struct refusal r = { 0 };
	enum reason reason = json_batch_new(&b, in->at, in->bytes, &r);

	fuzz_must(reason == r.reason, "a reason comes with its sentence");
	if (reason != REASON_NONE) {
		fuzz_must(
		    r.text[0] && desk_is_line(wire_text(r.text)), "a sentence is a line");
		return;
	}
	for (size_t i = 0; i < json_batch_count(b); i++) {
		struct json_metric j;
		struct refusal why = { 0 };

		if (json_batch_metric(b, i, &j, &why) == REASON_NONE)
			see_metric(&j);
		else
			fuzz_must(why.reason != REASON_NONE &&
				      desk_is_line(wire_text(why.text)),
			    "a sentence is a line");
	}
	json_batch_free(b);
}

/* ---- A daemon ----------------------------------------------------------------- */

/* What it knows before. */
static const char known[] =
    "{\"namespace\":\"n\",\"metrics\":["
    "{\"name\":\"c\",\"type\":\"counter\",\"help\":\"C\",\"labels\":{\"l\":\"1\"},"
    "\"inc\":1},"
    "{\"name\":\"g\",\"type\":\"gauge\",\"merge\":\"max\",\"labels\":{\"l\":\"1\"},"
    "\"set\":2},"
    "{\"name\":\"h\",\"type\":\"histogram\",\"buckets\":[0.5,1],\"observe\":[0.25,3]}]}";

struct scene {
	struct desk *desk;
	struct apply_peer peer;
	bool admin;
};

static struct scene
scene_new(uint8_t which)
{
	struct scene s = { .desk = desk_new(which & 2), .peer = desk_peer(0) };

	desk_json(s.desk, &s.peer, known, sizeof(known) - 1);
	s.peer.uid = which & 4 ? 0 : s.peer.uid;
	s.admin = which & 4;
	desk_page(s.desk);
	return s;
}

/* True if the message is refused as a whole, or all of its metrics are. */
static bool
see_answer(const struct scene *s, size_t metrics)
{
	const struct strbuf *reply = &s->desk->reply;
	json_t *answer =
	    json_loadb(reply->at, reply->bytes, JSON_REJECT_DUPLICATES, NULL);
	json_t *errors = json_object_get(answer, "errors");
	json_t *error;
	size_t i, n = json_array_size(errors);
	bool whole = false;

	fuzz_must(json_is_boolean(json_object_get(answer, "ok")), "an answer says ok");
	json_array_foreach(errors, i, error)
	{
		struct wire_text text = { json_string_value(
					      json_object_get(error, "text")),
			json_string_length(json_object_get(error, "text")) };

		fuzz_must(text.bytes > 0 && desk_is_line(text), "a sentence is a line");
		whole = whole || json_object_get(error, "index") == NULL;
	}
	fuzz_must(json_is_true(json_object_get(answer, "ok")) == (n == 0),
	    "all is well, or there is an error");
	json_decref(answer);
	return whole || (n > 0 && n == metrics);
}

static void
send_admin(struct scene *s, const char *text, size_t n)
{
	static uint8_t room[8192];
	struct wire_writer w;
	enum message_type answer;

	wire_writer_init(&w, room, sizeof(room));
	message_put_admin(&w, (struct wire_text){ text, n });
	if (w.failed)
		return;
	answer = desk_request(s->desk, &s->peer, room, w.bytes);
	fuzz_must(!desk_page(s->desk) || answer != MESSAGE_ERROR,
	    "what is refused changes nothing");
}

/* Sends it, and reads the page. metrics: of the message, 0 for one that cannot be read.
 */
static void
send(struct scene *s, const char *text, size_t n, size_t metrics)
{
	bool refused;

	desk_json(s->desk, &s->peer, text, n);
	if (s->desk->reply.at[0] != '{')
		refused = true; /* it is taken for a binary one */
	else
		refused = see_answer(s, metrics);
	fuzz_must(!desk_page(s->desk) || !refused, "what is refused changes nothing");
}

static bool
is_budget(const struct scene *s)
{
	return strstr(s->desk->reply.at, "times its") != NULL;
}

/* A message for both; plain is it in its own form, NULL: it has none. */
static void
send_both(struct scene *s, struct scene *other, struct wire_text text, const char *plain,
    size_t metrics)
{
	s->peer.request++;
	other->peer.request++;
	send(s, text.at, text.bytes, metrics);
	if (plain) {
		send(other, plain, strlen(plain), metrics);
		fuzz_must(is_budget(s) || is_budget(other) ||
			      strcmp(s->desk->reply.at, other->desk->reply.at) == 0,
		    "its form is nothing to the answer: %s, %s", s->desk->reply.at,
		    other->desk->reply.at);
	}
	desk_json(s->desk, &s->peer, text.at, text.bytes);
	fuzz_must(!desk_page(s->desk), "what comes again changes nothing");
}

static void
try_one(struct scene *s, struct scene *other, struct wire_text text)
{
	json_t *read = json_loadb(
	    text.at, text.bytes, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, NULL);
	size_t metrics = json_array_size(json_object_get(read, "metrics"));
	char *plain = read ? json_dumps(read, JSON_COMPACT) : NULL;

	if (s->admin)
		send_admin(s, text.at, text.bytes);
	else
		send_both(s, other, text, plain, metrics);
	if (!s->admin && plain && !is_budget(s) && !is_budget(other))
		fuzz_must(strcmp(s->desk->page.at, other->desk->page.at) == 0,
		    "its form is nothing to the page");
	free(plain);
	json_decref(read);
}

static void
try_daemon(struct fuzz_input *in, uint8_t which)
{
	struct scene s = scene_new(which);
	struct scene other = scene_new(which);

	for (int i = 0; i < MESSAGES && in->bytes > 0; i++) {
		const void *end = memchr(in->at, 0, in->bytes);
		struct wire_text text = fuzz_bytes(
		    in, end ? (size_t)((const uint8_t *)end - in->at) : in->bytes);

		fuzz_u8(in);
		try_one(&s, &other, text);
	}
	desk_free(s.desk);
	desk_free(other.desk);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct fuzz_input in = fuzz_begin(bytes, n);
	uint8_t which = fuzz_u8(&in);

	if (which & 1)
		try_decoding(&in);
	else
		try_daemon(&in, which);
	return 0;
}
