/* SPDX-License-Identifier: Apache-2.0 */
#include "journal.h"

#include <stdlib.h>

#include <isa-l/crc.h>

static const char magic[8] = "DYNMSTAT";

#define KEPT_BYTES (4U << 20) /* of memory, from one turn to the next */

#define HEAD_MIN_BYTES (sizeof(magic) + 4)
#define HEAD_BYTES \
	(HEAD_MIN_BYTES + 3 * 8 + JOURNAL_SECRET_BYTES + JOURNAL_BOOT_BYTES + 4 * 8)

struct journal {
	struct strbuf records;
	size_t whole; /* bytes of those that were ended */
};

/* isa-l takes an int, and leaves the usual inversions to its caller. */
static uint32_t
checksum(const uint8_t *bytes, size_t n)
{
	const size_t most = 1U << 30;
	uint32_t crc = 0xffffffffU;

	while (n > 0) {
		const size_t now = n < most ? n : most;

		crc = crc32_iscsi((unsigned char *)(uintptr_t)bytes, (int)now, crc);
		bytes += now;
		n -= now;
	}
	return ~crc;
}

/* Length and checksum of a record whose type and body are there already. */
static void
seal_frame(uint8_t *frame, size_t body_bytes)
{
	wire_store_u32(frame, (uint32_t)body_bytes);
	wire_store_u32(
	    frame + 4, checksum(frame + JOURNAL_FRAME_BYTES - 1, body_bytes + 1));
}

/* ---- Writing ------------------------------------------------------------- */

struct journal *
journal_new(void)
{
	return calloc(1, sizeof(struct journal));
}

void
journal_free(struct journal *j)
{
	if (j == NULL)
		return;
	strbuf_free(&j->records);
	free(j);
}

static void
put_frame(struct strbuf *out, uint8_t type)
{
	uint8_t frame[JOURNAL_FRAME_BYTES] = { 0 };

	frame[JOURNAL_FRAME_BYTES - 1] = type;
	strbuf_add(out, frame, sizeof(frame));
}

void
journal_begin(struct journal *j, uint8_t type)
{
	put_frame(&j->records, type);
}

void
journal_put_u8(struct journal *j, uint8_t v)
{
	strbuf_add(&j->records, &v, sizeof(v));
}

void
journal_put_u32(struct journal *j, uint32_t v)
{
	uint8_t bytes[4];

	wire_store_u32(bytes, v);
	strbuf_add(&j->records, bytes, sizeof(bytes));
}

void
journal_put_u64(struct journal *j, uint64_t v)
{
	uint8_t bytes[8];

	wire_store_u64(bytes, v);
	strbuf_add(&j->records, bytes, sizeof(bytes));
}

void
journal_put_bytes(struct journal *j, const void *bytes, size_t n)
{
	strbuf_add(&j->records, bytes, n);
}

void
journal_put_text(struct journal *j, struct wire_text t)
{
	journal_put_u32(j, (uint32_t)t.bytes);
	journal_put_bytes(j, t.at, t.bytes);
}

void
journal_end(struct journal *j)
{
	const size_t n = j->records.bytes - j->whole;

	if (j->records.failed)
		return;
	if (n - JOURNAL_FRAME_BYTES > JOURNAL_RECORD_MOST) {
		j->records.failed = true;
		return;
	}
	seal_frame((uint8_t *)j->records.at + j->whole, n - JOURNAL_FRAME_BYTES);
	j->whole = j->records.bytes;
}

void
journal_cut(struct journal *j, size_t bytes)
{
	if (!j->records.failed)
		j->records.bytes = j->whole = bytes;
}

void
journal_add(struct journal *j, uint8_t type, const void *body, size_t n)
{
	journal_begin(j, type);
	journal_put_bytes(j, body, n);
	journal_end(j);
}

const void *
journal_bytes(const struct journal *j, size_t *ret_n)
{
	*ret_n = j->whole;
	return j->records.at;
}

bool
journal_failed(const struct journal *j)
{
	return j->records.failed;
}

void
journal_fail(struct journal *j)
{
	j->records.failed = true;
}

void
journal_clear(struct journal *j)
{
	if (j->records.room > KEPT_BYTES)
		strbuf_free(&j->records);
	strbuf_reset(&j->records);
	j->whole = 0;
}

/* A record of n bytes, of which room is there. */
static void
put_record(struct strbuf *out, uint8_t type, const void *body, size_t n)
{
	const size_t at = out->bytes;

	put_frame(out, type);
	strbuf_add(out, body, n);
	if (!out->failed)
		seal_frame((uint8_t *)out->at + at, n);
}

void
journal_put_head_of(struct strbuf *out, uint8_t type, const struct journal_head *h)
{
	uint8_t body[HEAD_BYTES];
	struct wire_writer w;

	wire_writer_init(&w, body, sizeof(body));
	wire_put_bytes(&w, magic, sizeof(magic));
	wire_put_u32(&w, JOURNAL_FORMAT);
	wire_put_u64(&w, h->store);
	wire_put_u64(&w, h->generation);
	wire_put_u64(&w, h->first);
	wire_put_bytes(&w, h->secret, sizeof(h->secret));
	wire_put_bytes(&w, h->boot, sizeof(h->boot));
	wire_put_u64(&w, h->pid_namespace);
	wire_put_u64(&w, (uint64_t)h->offset_ms);
	wire_put_u64(&w, h->clock_ms);
	wire_put_u64(&w, h->unix_ms);
	put_record(out, type, body, w.bytes);
}

void
journal_put_head(struct strbuf *out, const struct journal_head *h)
{
	journal_put_head_of(out, JOURNAL_HEAD, h);
}

void
journal_put_seal(struct strbuf *out)
{
	put_record(out, JOURNAL_SEAL, NULL, 0);
}

/* ---- Reading ------------------------------------------------------------- */

bool
journal_next(struct journal_reader *r, struct journal_record *ret)
{
	const size_t left = r->n - r->good;
	const uint8_t *at;
	uint32_t body_bytes;

	if (left < JOURNAL_FRAME_BYTES)
		return false;
	at = r->bytes + r->good;
	body_bytes = wire_load_u32(at);
	if (body_bytes > JOURNAL_RECORD_MOST || body_bytes > left - JOURNAL_FRAME_BYTES)
		return false;
	if (wire_load_u32(at + 4) !=
	    checksum(at + JOURNAL_FRAME_BYTES - 1, (size_t)body_bytes + 1))
		return false;
	*ret = (struct journal_record){ .type = at[JOURNAL_FRAME_BYTES - 1],
		.body = at + JOURNAL_FRAME_BYTES,
		.bytes = body_bytes };
	r->good += JOURNAL_FRAME_BYTES + (size_t)body_bytes;
	return true;
}

bool
journal_skim(struct journal_reader *r)
{
	while (r->n - r->good >= JOURNAL_FRAME_BYTES) {
		const uint8_t *at = r->bytes + r->good;
		const uint32_t body_bytes = wire_load_u32(at);

		/* No record has the type 0: what a file never wrote is no record. */
		if (body_bytes > JOURNAL_RECORD_MOST || at[JOURNAL_FRAME_BYTES - 1] == 0)
			return false;
		if (r->n - r->good - JOURNAL_FRAME_BYTES < body_bytes)
			return true;
		r->good += JOURNAL_FRAME_BYTES + (size_t)body_bytes;
	}
	return true;
}

static void
get_bytes(struct wire_reader *r, void *ret, size_t n)
{
	const uint8_t *bytes = wire_get_bytes(r, n);

	if (bytes != NULL)
		memcpy(ret, bytes, n);
}

static struct journal_head
get_fields(struct wire_reader *r)
{
	struct journal_head h = { .format = JOURNAL_FORMAT };

	h.store = wire_get_u64(r);
	h.generation = wire_get_u64(r);
	h.first = wire_get_u64(r);
	get_bytes(r, h.secret, sizeof(h.secret));
	get_bytes(r, h.boot, sizeof(h.boot));
	h.pid_namespace = wire_get_u64(r);
	h.offset_ms = (int64_t)wire_get_u64(r);
	h.clock_ms = wire_get_u64(r);
	h.unix_ms = wire_get_u64(r);
	return h;
}

/* True unless it has what no clock says. */
static bool
has_times(const struct journal_head *h)
{
	const int64_t most = (int64_t)JOURNAL_MS_MOST;

	return h->clock_ms <= JOURNAL_MS_MOST && h->unix_ms <= JOURNAL_MS_MOST &&
	       h->offset_ms <= most && h->offset_ms >= -most;
}

enum journal_verdict
journal_get_head_of(
    const struct journal_record *record, uint8_t type, struct journal_head *ret)
{
	struct journal_head head;
	struct wire_reader r;
	uint32_t format;

	if (record->type != type || record->bytes < HEAD_MIN_BYTES ||
	    memcmp(record->body, magic, sizeof(magic)) != 0)
		return JOURNAL_FOREIGN;
	wire_reader_init(&r, record->body + sizeof(magic), record->bytes - sizeof(magic));
	format = wire_get_u32(&r);
	if (format != JOURNAL_FORMAT) {
		ret->format = format;
		return format < JOURNAL_FORMAT ? JOURNAL_OLDER : JOURNAL_NEWER;
	}
	if (record->bytes != HEAD_BYTES)
		return JOURNAL_DAMAGED;
	head = get_fields(&r);
	if (head.generation == 0 || head.generation > INT64_MAX ||
	    head.first > head.generation || !has_times(&head))
		return JOURNAL_DAMAGED;
	*ret = head;
	return JOURNAL_OK;
}

enum journal_verdict
journal_get_head(const struct journal_record *record, struct journal_head *ret)
{
	return journal_get_head_of(record, JOURNAL_HEAD, ret);
}
