/* SPDX-License-Identifier: Apache-2.0 */
#include "http_page.h"

#include <event2/buffer.h>
#include <stdlib.h>

#include "gzip.h"

#define SERIES_ROOM (32 << 10) /* the series that ends a slice */
#define SLICE_ROOM  (HTTP_PAGE_SLICE_BYTES + SERIES_ROOM)

/* Text is packed in pieces; a slice ends when it is worth sending, or after a few. */
#define PIECE_BYTES  (256 << 10)
#define PIECES_MOST  4
#define PACKED_BYTES (16 << 10)

/* Memory for one slice. It is spare, or rendered into, or an evbuffer has it. */
struct slice {
	struct http_page_room *room;
	struct strbuf text;
};

struct http_page_room {
	struct slice *spare;
	uint32_t slices; /* which are not free */
	size_t bytes;	 /* of slices that are not spare, and of what packs */
	bool closed;	 /* nobody asks for more: the last slice frees the room */
};

struct http_page {
	struct http_page_room *room;
	struct exposition *text;
	bool packed;
	struct gzip *gzip; /* NULL: the page is plain, or has not begun */
	size_t gzip_bytes; /* of it, as counted */
};

/* ---- Room -------------------------------------------------------------- */

struct http_page_room *
http_page_room_new(void)
{
	return calloc(1, sizeof(struct http_page_room));
}

static void
slice_free(struct slice *s)
{
	strbuf_free(&s->text);
	s->room->slices--;
	free(s);
}

void
http_page_room_free(struct http_page_room *room)
{
	if (room == NULL)
		return;
	if (room->spare)
		slice_free(room->spare);
	room->spare = NULL;
	room->closed = true;
	if (room->slices == 0)
		free(room);
}

/* NULL when memory is out. */
static struct slice *
slice_take(struct http_page_room *room)
{
	struct slice *s = room->spare;

	room->spare = NULL;
	if (s)
		return s;
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return NULL;
	s->room = room;
	room->slices++;
	return s;
}

/* One that an unusual series made larger does not stay. */
static void
slice_give_back(struct slice *s)
{
	struct http_page_room *room = s->room;

	if (room->spare == NULL && !room->closed && s->text.room <= 2 * SLICE_ROOM) {
		room->spare = s;
		return;
	}
	slice_free(s);
	if (room->closed && room->slices == 0)
		free(room);
}

static void
on_sent(const void *bytes, size_t n, void *arg)
{
	struct slice *s = arg;

	(void)bytes;
	(void)n;
	s->room->bytes -= s->text.room;
	slice_give_back(s);
}

size_t
http_page_room_bytes(const struct http_page_room *room)
{
	return room->bytes;
}

/* ---- Pages ------------------------------------------------------------- */

struct http_page *
http_page_new(struct http_page_room *room, const struct registry *registry,
    const struct self_metrics *self, const struct exposition_filter *filter, bool gzip)
{
	struct http_page *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->room = room;
	p->packed = gzip;
	p->text = exposition_new(registry, self, filter);
	if (p->text == NULL) {
		free(p);
		return NULL;
	}
	return p;
}

void
http_page_free(struct http_page *p)
{
	if (p == NULL)
		return;
	exposition_free(p->text);
	p->room->bytes -= p->gzip_bytes;
	gzip_free(p->gzip);
	free(p);
}

/* True while there is more; out fails when memory is out. */
static bool
slice_text(struct http_page *p, struct strbuf *out, size_t bytes)
{
	strbuf_reserve(out, bytes + SERIES_ROOM);
	return exposition_slice(p->text, out, bytes);
}

static bool
slice_packed(struct http_page *p, struct strbuf *out)
{
	bool more = true;

	if (p->gzip == NULL)
		p->gzip = gzip_new();
	if (p->gzip == NULL) {
		out->failed = true;
		return false;
	}
	for (int i = 0; more && i < PIECES_MOST && out->bytes < PACKED_BYTES; i++) {
		size_t had = gzip_text(p->gzip)->bytes;

		more = slice_text(p, gzip_text(p->gzip), PIECE_BYTES);
		if (more && gzip_text(p->gzip)->bytes == had)
			break;
		if (!gzip_pack(p->gzip, !more, out))
			return false;
	}
	p->room->bytes -= p->gzip_bytes;
	p->gzip_bytes = gzip_bytes(p->gzip);
	p->room->bytes += p->gzip_bytes;
	return more;
}

bool
http_page_slice(struct http_page *p, struct evbuffer *out, bool *ret_more)
{
	struct slice *s = slice_take(p->room);
	bool more;

	if (s == NULL)
		return false;
	strbuf_reset(&s->text);
	more = p->packed ? slice_packed(p, &s->text)
			 : slice_text(p, &s->text, HTTP_PAGE_SLICE_BYTES);
	if (s->text.failed)
		goto fail;
	if (s->text.bytes == 0)
		slice_give_back(s);
	else if (evbuffer_add_reference(out, s->text.at, s->text.bytes, on_sent, s) != 0)
		goto fail;
	else
		p->room->bytes += s->text.room;
	*ret_more = more;
	return true;
fail:
	slice_give_back(s);
	return false;
}
