/* SPDX-License-Identifier: Apache-2.0 */
#include "lines.h"

#include <math.h>
#include <stdlib.h>

#include "decimal.h"

/* Pieces that all lines share are copied in blocks: as much may be read and written
 * behind a piece, and is written again by what follows it. */
#define BLOCK 32

#define BUCKET "_bucket"

/* Half a block, in a register. */
typedef uint8_t half __attribute__((vector_size(BLOCK / 2)));

static inline void
put_block(char *at, const char *from)
{
	half a, b;

	/* Read first: at may be less than a block behind from. */
	memcpy(&a, from, sizeof(a));
	memcpy(&b, from + sizeof(a), sizeof(b));
	memcpy(at, &a, sizeof(a));
	memcpy(at + sizeof(a), &b, sizeof(b));
}

/* n bytes, with room for a block behind both. */
static inline char *
put_shared(char *at, const char *from, size_t n)
{
	for (size_t i = 0; i < n; i += BLOCK)
		put_block(at + i, from + i);
	return at + n;
}

/* n bytes, and not one more is read: two copies that overlap, by size. */
static inline char *
put_text(char *at, const char *from, size_t n)
{
	if (n > 32) {
		memcpy(at, from, n);
	} else if (n >= 16) {
		memcpy(at, from, 16);
		memcpy(at + n - 16, from + n - 16, 16);
	} else if (n >= 8) {
		memcpy(at, from, 8);
		memcpy(at + n - 8, from + n - 8, 8);
	} else if (n >= 4) {
		memcpy(at, from, 4);
		memcpy(at + n - 4, from + n - 4, 4);
	} else {
		for (size_t i = 0; i < n; i++)
			at[i] = from[i];
	}
	return at + n;
}

/* ---- What lines share -------------------------------------------------- */

void
lines_free(struct lines *l)
{
	strbuf_free(&l->shared);
	strbuf_free(&l->le);
	free(l->le_end);
	*l = (struct lines){ 0 };
}

/* The le of each bucket: formatted once, not for each line. */
static bool
make_buckets(struct lines *l)
{
	uint32_t n = l->n_bounds + 1;
	char text[DECIMAL_BYTES];

	if (l->le_room < n) {
		uint32_t *end = realloc(l->le_end, n * sizeof(*end));

		if (end == NULL)
			return false;
		l->le_end = end;
		l->le_room = n;
	}
	strbuf_reset(&l->le);
	for (uint32_t i = 0; i < n; i++) {
		decimal_format(text, i < l->n_bounds ? l->bounds[i] : (double)INFINITY);
		strbuf_adds(&l->le, ",le=\"");
		strbuf_adds(&l->le, text);
		strbuf_adds(&l->le, "\"} ");
		l->le_end[i] = (uint32_t)l->le.bytes;
	}
	return strbuf_reserve(&l->le, BLOCK);
}

void
lines_begin(struct lines *l, struct strbuf *out, struct wire_text name,
    const double *bounds, uint32_t n_bounds)
{
	l->out = out;
	l->name = name;
	l->schema = NULL;
	l->histogram = bounds != NULL;
	l->bounds = bounds;
	l->n_bounds = n_bounds;
	if (l->histogram && !make_buckets(l))
		out->failed = true;
}

void
lines_head(struct lines *l, const char *help, enum message_kind kind)
{
	struct strbuf *out = l->out;

	if (help[0] != '\0') {
		strbuf_adds(out, "# HELP ");
		strbuf_add(out, l->name.at, l->name.bytes);
		strbuf_addc(out, ' ');
		strbuf_adds(out, help);
		strbuf_addc(out, '\n');
	}
	strbuf_adds(out, "# TYPE ");
	strbuf_add(out, l->name.at, l->name.bytes);
	strbuf_addc(out, ' ');
	strbuf_adds(out, message_kind_word(kind));
	strbuf_addc(out, '\n');
}

static void
begin_shared(struct lines *l)
{
	strbuf_reset(&l->shared);
	strbuf_add(&l->shared, l->name.at, l->name.bytes);
	if (l->histogram)
		strbuf_adds(&l->shared, BUCKET);
}

/* The last piece of n + 1 is there. */
static void
end_shared(struct lines *l, uint32_t n)
{
	if (!l->histogram)
		strbuf_adds(&l->shared, l->open ? "} " : " ");
	l->n = n;
	l->end[n] = (uint32_t)l->shared.bytes;
	if (!strbuf_reserve(&l->shared, BLOCK))
		l->out->failed = true;
}

static void
share_schema(struct lines *l, const struct labels_schema *s)
{
	begin_shared(l);
	l->open = s->literal[s->n + 1] > 0;
	for (uint32_t i = 0; i <= s->n && l->open; i++) {
		strbuf_add(&l->shared, s->text + s->literal[i],
		    s->literal[i + 1] - s->literal[i]);
		l->end[i] = (uint32_t)l->shared.bytes;
	}
	l->schema = s;
	end_shared(l, s->n);
}

void
lines_schema(struct lines *l, const struct labels_schema *schema)
{
	if (l->schema != schema)
		share_schema(l, schema);
}

void
lines_labels(struct lines *l, struct wire_text labels)
{
	begin_shared(l);
	strbuf_add(&l->shared, labels.at, labels.bytes);
	l->open = labels.bytes > 0;
	l->schema = NULL;
	end_shared(l, 0);
}

/* ---- Lines ------------------------------------------------------------- */

/* The bytes of a line up to what differs in its kind: le, or the value. */
static inline size_t
start_bytes(const struct lines *l, const struct wire_text *value)
{
	size_t bytes = l->shared.bytes;

	for (uint32_t i = 0; i < l->n; i++)
		bytes += value[i].bytes;
	return bytes;
}

static inline char *
put_start(const struct lines *l, char *at, const struct wire_text *value)
{
	const char *shared = l->shared.at;
	uint32_t from = 0;

	for (uint32_t i = 0; i < l->n; i++) {
		at = put_shared(at, shared + from, l->end[i] - from);
		at = put_text(at, value[i].at, value[i].bytes);
		from = l->end[i];
	}
	return put_shared(at, shared + from, l->end[l->n] - from);
}

static inline char *
put_value(char *at, double v)
{
	at += decimal_format(at, v);
	*at++ = '\n';
	return at;
}

static inline void
end_lines(struct lines *l, char *at)
{
	*at = '\0';
	l->out->bytes = (size_t)(at - l->out->at);
}

void
lines_add(struct lines *l, const struct wire_text *value, double v)
{
	size_t most = start_bytes(l, value) + DECIMAL_BYTES + BLOCK;
	char *at;

	if (!strbuf_reserve(l->out, most))
		return;
	at = put_start(l, l->out->at + l->out->bytes, value);
	end_lines(l, put_value(at, v));
}

/* A line without le; labels are those of the child's first line. */
static char *
put_other(const struct lines *l, char *at, const char *suffix, struct wire_text labels,
    double v)
{
	at = put_text(at, l->name.at, l->name.bytes);
	at = put_text(at, suffix, strlen(suffix));
	at = put_shared(at, labels.at, labels.bytes);
	if (l->open)
		*at++ = '}';
	*at++ = ' ';
	return put_value(at, v);
}

/* The first line starts at first, and has start bytes before its le: so have the others,
 * and get them from there. */
static char *
put_buckets(const struct lines *l, char *first, size_t start, const double *cells,
    double *ret_count)
{
	char *at = first;
	uint32_t from = 0;

	*ret_count = 0;
	for (uint32_t i = 0; i <= l->n_bounds; i++) {
		char *le = at == first ? at + start : put_shared(at, first, start);

		at = put_shared(le, l->le.at + from, l->le_end[i] - from);
		if (!l->open)
			*le = '{';
		from = l->le_end[i];
		*ret_count += cells[i];
		at = put_value(at, *ret_count);
	}
	return at;
}

void
lines_add_histogram(struct lines *l, const struct wire_text *value, const double *cells)
{
	size_t start = start_bytes(l, value), named = l->name.bytes + sizeof(BUCKET) - 1;
	size_t lines = l->n_bounds + 3;
	struct wire_text labels;
	char *first, *at;
	double count;

	if (!strbuf_reserve(
		l->out, l->le.bytes + lines * (start + DECIMAL_BYTES) + BLOCK))
		return;
	first = l->out->at + l->out->bytes;
	put_start(l, first, value);
	at = put_buckets(l, first, start, cells, &count);
	labels = (struct wire_text){ first + named, start - named };
	at = put_other(l, at, "_sum", labels, cells[l->n_bounds + 1]);
	at = put_other(l, at, "_count", labels, count);
	end_lines(l, at);
}
