/* SPDX-License-Identifier: Apache-2.0 */
#include "session.h"

#include "cells.h"
#include "session_parts.h"

#define MARGIN_BYTES 64 /* of the daemon's message limit that are never used */

/* ---- Memory ------------------------------------------------------------ */

static size_t
rounded(size_t bytes)
{
	return (bytes + 63) & ~(size_t)63;
}

size_t
session_map_bytes(uint32_t cells)
{
	return rounded(sizeof(struct session)) + SESSION_MESSAGE_BYTES +
	       cells * (sizeof(uint64_t) + sizeof(double) + 1);
}

struct session *
session_init(void *map, uint32_t cells)
{
	struct session *s = map;
	uint8_t *at = (uint8_t *)map + rounded(sizeof(*s));

	s->lease_ms = SESSION_LEASE_MS;
	s->message_bytes = SESSION_MESSAGE_BYTES;
	s->update_max = UINT32_MAX;
	s->define_max = SESSION_DEFINE_ITEMS;
	s->bytes = at;
	s->acked = (uint64_t *)(void *)(at + SESSION_MESSAGE_BYTES);
	s->base = (double *)(void *)(s->acked + cells);
	s->flags = (uint8_t *)(s->base + cells);
	return s;
}

void
session_defines(struct session *s, uint32_t cell, uint32_t n, enum message_kind kind)
{
	for (uint32_t i = cell; i < cell + n; i++) {
		if (s->flags[i] & USED)
			s->reuses = true;
		s->flags[i] &= AGAIN;
		if (kind == MESSAGE_GAUGE)
			s->flags[i] |= i == cell ? GAUGE : GAUGE | TIME;
	}
	if (s->cells_end < cell + n)
		s->cells_end = cell + n;
}

void
session_forgets(struct session *s, uint32_t cell, uint32_t n)
{
	for (uint32_t i = cell; i < cell + n; i++) {
		s->acked[i] = 0;
		s->base[i] = 0;
		s->flags[i] = USED;
	}
}

/*
 * Between two sessions nothing is acknowledged: while cells are numbered anew, acked
 * holds their new numbers. Numbers only become smaller, in order, so base moves in its
 * place.
 */
void
session_keeps(struct session *s, uint32_t cell, uint32_t n)
{
	for (uint32_t i = cell; i < cell + n; i++)
		s->flags[i] = KEPT;
}

uint32_t
session_renumber(struct session *s, uint32_t end)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < end; i++)
		if (s->flags[i] & KEPT) {
			s->base[kept] = s->base[i];
			s->acked[i] = kept++;
		}
	for (uint32_t i = kept; i < end; i++)
		s->base[i] = 0;
	return kept;
}

uint32_t
session_renumbered(const struct session *s, uint32_t cell)
{
	return (uint32_t)s->acked[cell];
}

void
session_renumber_end(struct session *s, uint32_t end)
{
	for (uint32_t i = 0; i < end; i++) {
		s->acked[i] = 0;
		s->flags[i] = 0;
	}
}

/* ---- Values ------------------------------------------------------------ */

/*
 * The report of a value, as its bits. Counters and buckets never go below what the daemon
 * has, whatever rounding did. That is never below 0, and doubles from 0 up are in the
 * order of their bits, those below 0 before them: the comparison needs no doubles.
 */
static inline uint64_t
counted(uint64_t acked, double base, uint64_t value)
{
	uint64_t report = wire_bits(wire_double(value) - base);

	return (int64_t)report > (int64_t)acked ? report : acked;
}

static bool
is_dirty(const struct session *s, uint32_t cell, enum message_kind kind, uint32_t n,
    const uint64_t *value)
{
	uint32_t counts = kind == MESSAGE_HISTOGRAM ? n - 1 : n;

	for (uint32_t i = 0; i < counts; i++) {
		uint32_t c = cell + i;
		bool again = s->flags[c] & AGAIN;

		if (kind == MESSAGE_GAUGE) {
			if (value[i] != s->acked[c] || (again && value[i] != 0))
				return true;
		} else {
			uint64_t report = counted(s->acked[c], s->base[c], value[i]);

			if (report != s->acked[c] || (again && report != 0))
				return true;
		}
	}
	return false; /* a sum cannot move without a bucket */
}

bool
session_is_clean(const struct session *s, uint32_t cell, enum message_kind kind,
    uint32_t n, const uint64_t *value)
{
	return !is_dirty(s, cell, kind, n, value);
}

bool
session_is_suspect(const struct session *s, uint32_t cell)
{
	return s->flags[cell] & SUSPECT;
}

static uint64_t
record(const struct session *s, uint32_t cell, enum message_kind kind, bool sum,
    uint64_t value)
{
	if (kind == MESSAGE_GAUGE)
		return s->flags[cell] & TIME ? value : value ^ GAUGE_UNSET;
	if (sum)
		return wire_bits(wire_double(value) - s->base[cell]);
	return counted(s->acked[cell], s->base[cell], value);
}

bool
session_put(struct session *s, uint32_t cell, enum message_kind kind, uint32_t n,
    const uint64_t *value)
{
	if (!is_dirty(s, cell, kind, n, value))
		return true;
	if (s->put_children >= s->update_max ||
	    s->w.room - s->w.bytes < (size_t)n * MESSAGE_RECORD_BYTES)
		return false;
	for (uint32_t i = 0; i < n; i++) {
		bool sum = kind == MESSAGE_HISTOGRAM && i == n - 1;

		message_put_record(
		    &s->w, cell + i, record(s, cell + i, kind, sum, value[i]));
	}
	s->put_children++;
	s->put_records += n;
	return true;
}

/* Some of n cells have this flag. */
static bool
any_flag(const uint8_t *flags, uint32_t n, uint8_t flag)
{
	uint8_t any = 0;
	uint64_t eight = 0, word;

	for (; n >= 8; n -= 8, flags += 8) {
		memcpy(&word, flags, sizeof(word));
		eight |= word;
	}
	for (uint32_t i = 0; i < n; i++)
		any |= flags[i];
	return (any & flag) || (eight & flag * 0x0101010101010101U);
}

/* Two at once: see sums.c. */
typedef double pair __attribute__((vector_size(16)));
typedef int64_t pair_bits __attribute__((vector_size(16)));

/* A bit for each of two that is true. */
static inline uint32_t
which(pair_bits both)
{
#ifdef __SSE2__
	return (uint32_t)__builtin_ia32_movmskpd((pair)both);
#else
	return (uint32_t)((both[0] & 1) | (both[1] & 2));
#endif
}

/* The reports of n counters, an even number, and which of them are above what is
 * acknowledged; false if one is below, as counted() would not let it. */
static bool
compare_run(const struct session *s, uint32_t cell, uint32_t n, const uint64_t *value,
    double *ret_report, uint32_t *ret_above)
{
	pair_bits below = { 0, 0 };
	uint32_t above = 0;

	for (uint32_t i = 0; i < n; i += 2) {
		pair report, base, acked;

		memcpy(&report, value + i, sizeof(report));
		memcpy(&base, s->base + cell + i, sizeof(base));
		memcpy(&acked, s->acked + cell + i, sizeof(acked));
		report -= base;
		below |= report < acked;
		above |= which(report > acked) << i;
		memcpy(ret_report + i, &report, sizeof(report));
	}
	*ret_above = above;
	return !(below[0] | below[1]);
}

static inline uint8_t *
put_counter(uint8_t *at, uint32_t cell, double report)
{
	wire_store_u32(at, cell);
	wire_store_u64(at + 4, wire_bits(report));
	return at + MESSAGE_RECORD_BYTES;
}

/* The records of those of n counters that have their bit in which; behind the last. */
static uint8_t *
put_counters(uint8_t *at, uint32_t cell, uint32_t n, const double *report, uint32_t which)
{
	if (which == (uint32_t)((1ULL << n) - 1)) {
		for (uint32_t i = 0; i < n; i++)
			at = put_counter(at, cell + i, report[i]);
		return at;
	}
	for (; which != 0; which &= which - 1) {
		uint32_t i = (uint32_t)__builtin_ctz(which);

		at = put_counter(at, cell + i, report[i]);
	}
	return at;
}

bool
session_put_run(struct session *s, uint32_t cell, uint32_t n, const uint64_t *value)
{
	double report[SESSION_RUN_MAX];
	uint32_t even = n & ~1U, above, put;

	if (s->w.room - s->w.bytes < (size_t)n * MESSAGE_RECORD_BYTES ||
	    s->update_max - s->put_children < n || any_flag(s->flags + cell, n, AGAIN) ||
	    !compare_run(s, cell, even, value, report, &above))
		return false;
	if (above != 0) {
		uint8_t *begin = s->w.start + s->w.bytes;
		uint8_t *end = put_counters(begin, cell, even, report, above);

		put = (uint32_t)((size_t)(end - begin) / MESSAGE_RECORD_BYTES);
		s->w.bytes += (size_t)(end - begin);
		s->put_children += put;
		s->put_records += put;
	}
	/* The last of an odd number. There is room for it. */
	return n == even || session_put(s, cell + even, MESSAGE_COUNTER, 1, value + even);
}

static void
put_dropped(struct session *s, uint64_t dropped)
{
	double report = (double)dropped - s->dropped.base;

	if (!(report > s->dropped.acked) && !(s->dropped.again && report > 0))
		return;
	message_put_record(&s->w, MESSAGE_CELL_DROPPED, wire_bits(report));
	s->put_records++;
}

void
session_lost(struct session *s)
{
	s->state = SESSION_OFF;
}

/* ---- Requests ---------------------------------------------------------- */

static void
out(struct session *s, const struct wire_writer *w)
{
	s->out = w->start;
	s->out_bytes = w->bytes;
}

void
session_hello(struct session *s, const uint8_t random[MESSAGE_SID_BYTES],
    const char *worker, const char *version)
{
	struct message m;
	struct wire_writer w;

	if (!s->has_sid)
		memcpy(s->sid, random, sizeof(s->sid));
	s->has_sid = true;
	memset(&m, 0, sizeof(m));
	m.type = MESSAGE_HELLO;
	memcpy(m.sid, s->sid, sizeof(m.sid));
	m.has_ticket = s->has_ticket;
	m.ticket = s->ticket;
	if (!s->has_ticket)
		memset(&m.ticket, 0, sizeof(m.ticket));
	m.worker = wire_text(worker);
	m.version = wire_text(version);
	wire_writer_init(&w, s->request, sizeof(s->request));
	message_put_hello(&w, &m);
	out(s, &w);
	s->state = SESSION_HELLO;
}

static size_t
room(const struct session *s, size_t most)
{
	size_t daemons = s->message_bytes - MARGIN_BYTES;

	return daemons < most ? daemons : most;
}

static bool
take_off(struct session *s, struct wire_writer *w, enum message_type type, size_t begun,
    uint32_t count)
{
	if (count == 0 || w->failed)
		return false;
	message_end(w, begun, count);
	s->flight = type;
	s->flight_n = s->n_acked + 1;
	s->flight_bytes = w->bytes;
	return true;
}

static bool
build_define(struct session *s, const struct session_source *source)
{
	struct wire_writer w;
	size_t begun;

	wire_writer_init(&w, s->bytes, room(s, SESSION_DEFINE_BYTES));
	begun = message_begin_define(&w, s->ticket, s->n_acked + 1);
	s->defined_last = true;
	s->reuses = false;
	return take_off(
	    s, &w, MESSAGE_DEFINE, begun, source->define(source->arg, &w, s->define_max));
}

static bool
build_update(struct session *s, uint64_t dropped, const struct session_source *source)
{
	size_t begun;

	wire_writer_init(&s->w, s->bytes, room(s, SESSION_MESSAGE_BYTES));
	begun = message_begin_update(&s->w, s->ticket, s->n_acked + 1);
	s->put_children = 0;
	s->put_records = 0;
	s->defined_last = false;
	put_dropped(s, dropped);
	source->update(source->arg, s);
	return take_off(s, &s->w, MESSAGE_UPDATE, begun, s->put_records);
}

static bool
build_remove(struct session *s, const struct session_source *source)
{
	struct wire_writer w;
	size_t begun;

	wire_writer_init(&w, s->bytes, room(s, SESSION_DEFINE_BYTES));
	begun = message_begin_remove(&w, s->ticket, s->n_acked + 1);
	return take_off(s, &w, MESSAGE_REMOVE, begun,
	    source->remove(source->arg, &w, SESSION_DEFINE_ITEMS));
}

/* DEFINE and UPDATE in turns, so that neither waits for all of the other. */
static bool
build(struct session *s, const struct session_wish *wish,
    const struct session_source *source)
{
	if (wish->update && s->defined_last && build_update(s, wish->dropped, source))
		return true;
	if (build_define(s, source))
		return true;
	return wish->update &&
	       (build_update(s, wish->dropped, source) || build_remove(s, source));
}

static bool
build_small(struct session *s, const struct session_wish *wish)
{
	struct wire_writer w;

	wire_writer_init(&w, s->request, sizeof(s->request));
	if (wish->expose) {
		message_put_expose(&w, wish->expose);
		s->asked = MESSAGE_EXPOSE;
	} else if (wish->bye) {
		message_put_bye(&w, s->ticket);
		s->asked = MESSAGE_BYE;
	} else if (wish->ping) {
		message_put_ping(&w, s->ticket);
		s->asked = MESSAGE_PING;
	} else {
		return false;
	}
	out(s, &w);
	s->state = SESSION_WAIT;
	return true;
}

bool
session_next(struct session *s, const struct session_wish *wish,
    const struct session_source *source)
{
	if (s->state != SESSION_READY)
		return false;
	if (!s->flight && !build(s, wish, source))
		return build_small(s, wish);
	s->out = s->bytes;
	s->out_bytes = s->flight_bytes;
	s->asked = s->flight;
	s->state = SESSION_WAIT;
	return true;
}
