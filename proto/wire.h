/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire.h - bounded little-endian reader and writer, each with a sticky error.
 *
 * Read or append as often as needed and ask once: after the first error a reader
 * returns zeros and empty texts, and a writer appends nothing more.
 *
 * Neither allocates after wire_writer_init(), does I/O, or keeps what it was given:
 * a text read points into the reader's bytes. One thread at a time.
 */
#ifndef WIRE_H
#define WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Borrowed bytes, not NUL-terminated. */
struct wire_text {
	const char *at;
	size_t bytes;
};

struct wire_reader {
	const uint8_t *at;
	const uint8_t *end;
	bool failed; /* something was read past the end */
};

void wire_reader_init(struct wire_reader *r, const void *bytes, size_t n);
size_t wire_left(const struct wire_reader *r);
uint8_t wire_get_u8(struct wire_reader *r);
uint16_t wire_get_u16(struct wire_reader *r);
uint32_t wire_get_u32(struct wire_reader *r);
uint64_t wire_get_u64(struct wire_reader *r);
/* n bytes in place, or NULL. */
const uint8_t *wire_get_bytes(struct wire_reader *r, size_t n);
/* A text behind its u16 length; wire_get_long_text() behind a u32. */
struct wire_text wire_get_text(struct wire_reader *r);
struct wire_text wire_get_long_text(struct wire_reader *r);

/* The writer fills memory of its caller. */
struct wire_writer {
	uint8_t *start;
	size_t bytes; /* written so far */
	size_t room;
	bool failed; /* something did not fit: start[0..bytes) is not a message */
};

void wire_writer_init(struct wire_writer *w, void *memory, size_t room);
void wire_put_u8(struct wire_writer *w, uint8_t v);
void wire_put_u16(struct wire_writer *w, uint16_t v);
void wire_put_u32(struct wire_writer *w, uint32_t v);
void wire_put_u64(struct wire_writer *w, uint64_t v);
void wire_put_bytes(struct wire_writer *w, const void *bytes, size_t n);
/* Fails when t is longer than its length field can say. */
void wire_put_text(struct wire_writer *w, struct wire_text t);
void wire_put_long_text(struct wire_writer *w, struct wire_text t);
/* Overwrite a u32 that was put at offset. */
void wire_patch_u32(struct wire_writer *w, size_t offset, uint32_t v);

static inline struct wire_text
wire_text(const char *nul_terminated)
{
	return (struct wire_text){ nul_terminated, strlen(nul_terminated) };
}

static inline bool
wire_text_is(struct wire_text t, const char *nul_terminated)
{
	return t.bytes == strlen(nul_terminated) &&
	       (t.bytes == 0 || memcmp(t.at, nul_terminated, t.bytes) == 0);
}

static inline bool
wire_text_equal(struct wire_text a, struct wire_text b)
{
	return a.bytes == b.bytes && (a.bytes == 0 || memcmp(a.at, b.at, a.bytes) == 0);
}

/*
 * Little-endian loads and stores at any alignment: one instruction on the machines that
 * are little-endian themselves. Compilers do not see that in a loop over bytes.
 */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
static inline uint32_t
wire_load_u32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint64_t
wire_load_u64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline void
wire_store_u32(uint8_t *p, uint32_t v)
{
	memcpy(p, &v, sizeof(v));
}

static inline void
wire_store_u64(uint8_t *p, uint64_t v)
{
	memcpy(p, &v, sizeof(v));
}
#else
static inline uint32_t
wire_load_u32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
	       (uint32_t)p[3] << 24;
}

static inline uint64_t
wire_load_u64(const uint8_t *p)
{
	return (uint64_t)wire_load_u32(p) | (uint64_t)wire_load_u32(p + 4) << 32;
}

static inline void
wire_store_u32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

static inline void
wire_store_u64(uint8_t *p, uint64_t v)
{
	wire_store_u32(p, (uint32_t)v);
	wire_store_u32(p + 4, (uint32_t)(v >> 32));
}
#endif

static inline double
wire_double(uint64_t bits)
{
	double v;

	memcpy(&v, &bits, sizeof(v));
	return v;
}

static inline uint64_t
wire_bits(double v)
{
	uint64_t bits;

	memcpy(&bits, &v, sizeof(bits));
	return bits;
}

#endif /* WIRE_H */
