/* SPDX-License-Identifier: Apache-2.0 */
#include "wire.h"

void
wire_reader_init(struct wire_reader *r, const void *bytes, size_t n)
{
	static const uint8_t nothing[1];

	r->at = n ? bytes : nothing;
	r->end = r->at + n;
	r->failed = false;
}

size_t
wire_left(const struct wire_reader *r)
{
	return r->failed ? 0 : (size_t)(r->end - r->at);
}

const uint8_t *
wire_get_bytes(struct wire_reader *r, size_t n)
{
	const uint8_t *p = r->at;

	if (r->failed || n > (size_t)(r->end - r->at)) {
		r->failed = true;
		return NULL;
	}
	r->at += n;
	return p;
}

uint8_t
wire_get_u8(struct wire_reader *r)
{
	const uint8_t *p = wire_get_bytes(r, 1);

	return p ? p[0] : 0;
}

uint16_t
wire_get_u16(struct wire_reader *r)
{
	const uint8_t *p = wire_get_bytes(r, 2);

	return p ? (uint16_t)(p[0] | p[1] << 8) : 0;
}

uint32_t
wire_get_u32(struct wire_reader *r)
{
	const uint8_t *p = wire_get_bytes(r, 4);

	return p ? wire_load_u32(p) : 0;
}

uint64_t
wire_get_u64(struct wire_reader *r)
{
	const uint8_t *p = wire_get_bytes(r, 8);

	return p ? wire_load_u64(p) : 0;
}

static struct wire_text
get_text_of(struct wire_reader *r, size_t bytes)
{
	const uint8_t *p = wire_get_bytes(r, bytes);

	return p ? (struct wire_text){ (const char *)p, bytes }
		 : (struct wire_text){ "", 0 };
}

struct wire_text
wire_get_text(struct wire_reader *r)
{
	return get_text_of(r, wire_get_u16(r));
}

struct wire_text
wire_get_long_text(struct wire_reader *r)
{
	return get_text_of(r, wire_get_u32(r));
}

void
wire_writer_init(struct wire_writer *w, void *memory, size_t room)
{
	w->start = memory;
	w->bytes = 0;
	w->room = room;
	w->failed = false;
}

void
wire_put_bytes(struct wire_writer *w, const void *bytes, size_t n)
{
	if (w->failed || n > w->room - w->bytes) {
		w->failed = true;
		return;
	}
	if (n)
		memcpy(w->start + w->bytes, bytes, n);
	w->bytes += n;
}

void
wire_put_u8(struct wire_writer *w, uint8_t v)
{
	wire_put_bytes(w, &v, 1);
}

void
wire_put_u16(struct wire_writer *w, uint16_t v)
{
	wire_put_bytes(w, (uint8_t[]){ (uint8_t)v, (uint8_t)(v >> 8) }, 2);
}

void
wire_put_u32(struct wire_writer *w, uint32_t v)
{
	uint8_t b[4];

	wire_store_u32(b, v);
	wire_put_bytes(w, b, sizeof(b));
}

void
wire_put_u64(struct wire_writer *w, uint64_t v)
{
	uint8_t b[8];

	wire_store_u64(b, v);
	wire_put_bytes(w, b, sizeof(b));
}

void
wire_put_text(struct wire_writer *w, struct wire_text t)
{
	if (t.bytes > UINT16_MAX) {
		w->failed = true;
		return;
	}
	wire_put_u16(w, (uint16_t)t.bytes);
	wire_put_bytes(w, t.at, t.bytes);
}

void
wire_put_long_text(struct wire_writer *w, struct wire_text t)
{
	if (t.bytes > UINT32_MAX) {
		w->failed = true;
		return;
	}
	wire_put_u32(w, (uint32_t)t.bytes);
	wire_put_bytes(w, t.at, t.bytes);
}

void
wire_patch_u32(struct wire_writer *w, size_t offset, uint32_t v)
{
	if (!w->failed && offset + 4 <= w->bytes)
		wire_store_u32(w->start + offset, v);
}
