/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a scraper says: the query of its URL, and the encodings that it takes. Each is
 * read here once more, in another and simpler way, and must come to the same.
 *
 * Input: a byte that says which of the two, then its text; headers are parted by \n.
 */
#include <stdlib.h>
#include <strings.h>

#include "fuzz.h"
#include "http_encoding.h"
#include "query.h"

/* ---- The query --------------------------------------------------------------- */

static int
digit(char c)
{
	static const char digits[] = "0123456789abcdef0123456789ABCDEF";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)((at - digits) % 16) : -1;
}

/* The next byte of an encoded text; *at moves behind it. */
static char
next_byte(const char **at)
{
	const char *p = (*at)++;

	if (*p == '+')
		return ' ';
	if (*p != '%' || digit(p[1]) < 0 || digit(p[2]) < 0)
		return *p;
	*at += 2;
	return (char)(16 * digit(p[1]) + digit(p[2]));
}

static struct wire_text
decoded(const char *from, const char *end, char *room)
{
	struct wire_text t = { room, 0 };

	while (from < end)
		room[t.bytes++] = next_byte(&from);
	return t;
}

/* What a query is to come to. room: of texts. */
struct model {
	struct wire_text level[MESSAGE_LEVELS_MAX];
	size_t names;
	char *room;
};

static void
must_be_name(const struct query *q, size_t i, struct wire_text value)
{
	fuzz_must(i < q->filter.n_names, "each name[] is a name of the filter");
	fuzz_must(wire_text_equal(q->filter.names[i], value),
	    "names are in their order, decoded");
}

/* One parameter, which ends at its & or at the end of all. q: what was read; NULL: it was
 * refused. */
static const char *
parameter(struct model *m, const struct query *q, const char *from)
{
	static const char *const keys[] = { "namespace", "component", "endpoint" };
	const char *end = from + strcspn(from, "&");
	const char *sign = memchr(from, '=', (size_t)(end - from));
	struct wire_text key = decoded(from, sign ? sign : end, m->room);
	struct wire_text value = decoded(sign ? sign + 1 : end, end, m->room + key.bytes);

	m->room += key.bytes + value.bytes;
	if (wire_text_is(key, "name[]") && q)
		must_be_name(q, m->names, value);
	m->names += wire_text_is(key, "name[]");
	for (size_t i = 0; i < 3; i++)
		if (wire_text_is(key, keys[i]))
			m->level[i] = value;
	return *end ? end + 1 : NULL;
}

static void
try_query(const char *text)
{
	const char *error = NULL;
	struct query q;
	bool taken = query_read(&q, text, &error) == 0;
	char *room = malloc(strlen(text) + 1);
	struct model m = { .room = room };
	size_t depth = 0;

	fuzz_must(room != NULL, "memory is there");
	for (const char *at = text; at;)
		at = parameter(&m, taken ? &q : NULL, at);
	while (depth < 3 && m.level[depth].bytes)
		depth++;
	for (size_t i = depth; i < 3; i++)
		fuzz_must(!taken || m.level[i].bytes == 0, "a level has those above it");
	if (taken) {
		fuzz_must(q.filter.n_names == m.names, "no other name is in the filter");
		fuzz_must(
		    q.filter.level.depth == depth, "the level is as deep as asked for");
		for (size_t i = 0; i < depth; i++)
			fuzz_must(wire_text_equal(q.filter.level.name[i], m.level[i]),
			    "the level is what was asked for");
		query_free(&q);
	} else {
		fuzz_must(error && strchr(error, '\n') == error + strlen(error) - 1,
		    "a refusal is one line");
		fuzz_must(depth < 3 && (m.level[1].bytes || m.level[2].bytes),
		    "only a level without those above it is refused");
	}
	free(room);
}

/* A path: it gets no longer, and what is no code stays. */
static void
try_path(const char *text)
{
	char *in_place = strdup(text);
	size_t n, most = strlen(text);

	fuzz_must(in_place != NULL, "memory is there");
	n = query_decode(in_place, false);
	fuzz_must(n <= most, "a decoded path is no longer");
	fuzz_must(
	    strchr(text, '%') || strcmp(in_place, text) == 0, "the rest of it stays");
	free(in_place);
}

/* ---- The encodings ------------------------------------------------------------ */

static struct wire_text
trimmed(struct wire_text t)
{
	while (t.bytes && (*t.at == ' ' || *t.at == '\t')) {
		t.at++;
		t.bytes--;
	}
	while (t.bytes && (t.at[t.bytes - 1] == ' ' || t.at[t.bytes - 1] == '\t'))
		t.bytes--;
	return t;
}

/* What stands before a sign, and what behind it; false if the sign is not there. */
static bool
part(struct wire_text t, char sign, struct wire_text *ret_before,
    struct wire_text *ret_rest)
{
	const char *at = t.bytes ? memchr(t.at, sign, t.bytes) : NULL;

	*ret_before = (struct wire_text){ t.at, at ? (size_t)(at - t.at) : t.bytes };
	*ret_rest = at ? (struct wire_text){ at + 1, t.bytes - ret_before->bytes - 1 }
		       : (struct wire_text){ NULL, 0 };
	return at != NULL;
}

/* 0 to 1 in thousandths, or -1. */
static int
weight_of(struct wire_text t)
{
	int weight = 0;

	if (t.bytes == 0 || t.bytes > 5 || (t.at[0] != '0' && t.at[0] != '1') ||
	    (t.bytes > 1 && t.at[1] != '.'))
		return -1;
	for (size_t i = 0; i < 5; i++) {
		char c = i < t.bytes ? t.at[i] : '0';

		if (i == 1)
			continue;
		if (c < '0' || c > '9')
			return -1;
		weight = 10 * weight + c - '0';
	}
	return weight <= 1000 ? weight : -1;
}

static bool
is_token(struct wire_text t)
{
	for (size_t i = 0; i < t.bytes; i++)
		if (t.at[i] <= ' ' || t.at[i] > '~' ||
		    strchr("\"(),/:;<=>?@[\\]{}", t.at[i]))
			return false;
	return t.bytes > 0;
}

static bool
named(struct wire_text t, const char *word)
{
	return t.bytes == strlen(word) && strncasecmp(t.at, word, t.bytes) == 0;
}

static void
element(struct http_encoding *e, struct wire_text t)
{
	struct wire_text name, parameter, rest;
	int weight = 1000;

	if (trimmed(t).bytes == 0 || e->wrong)
		return;
	if (part(trimmed(t), ';', &name, &parameter)) {
		parameter = trimmed(parameter);
		weight = parameter.bytes >= 2 && (parameter.at[0] | 0x20) == 'q' &&
				 parameter.at[1] == '='
			     ? weight_of((struct wire_text){
				   parameter.at + 2, parameter.bytes - 2 })
			     : -1;
	}
	rest = trimmed(name);
	e->wrong = weight < 0 || !is_token(rest);
	if (e->wrong)
		return;
	if (named(rest, "gzip") || named(rest, "x-gzip"))
		e->gzip = weight;
	if (named(rest, "identity"))
		e->identity = weight;
	if (named(rest, "*"))
		e->any = weight;
}

static void
try_encodings(char *text)
{
	struct http_encoding theirs = HTTP_ENCODING_NONE;
	struct http_encoding ours = HTTP_ENCODING_NONE;
	char *header;
	bool gzip;

	while ((header = strsep(&text, "\n")) != NULL) {
		struct wire_text rest = wire_text(header);
		struct wire_text one;

		http_encoding_read(&theirs, header);
		while (part(rest, ',', &one, &rest))
			element(&ours, one);
		element(&ours, one);
	}
	fuzz_must(theirs.wrong == ours.wrong, "both readers understand it, or neither");
	fuzz_must(theirs.wrong || (theirs.gzip == ours.gzip && theirs.any == ours.any &&
				      theirs.identity == ours.identity),
	    "both come to the same weights");
	gzip = ours.gzip > 0 || (ours.gzip < 0 && ours.any > 0);
	if ((ours.gzip >= 0 ? ours.gzip : ours.any) < ours.identity)
		gzip = false;
	fuzz_must(http_encoding_is_gzip(&theirs) == (gzip && !ours.wrong),
	    "gzip is chosen where it is liked");
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct fuzz_input in = fuzz_begin(bytes, n);
	bool encodings = fuzz_u8(&in) & 1;
	char *text = strndup((const char *)in.at, in.bytes);

	fuzz_must(text != NULL, "memory is there");
	if (encodings) {
		try_encodings(text);
	} else {
		try_query(text);
		try_path(text);
	}
	free(text);
	return 0;
}
