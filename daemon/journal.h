/* SPDX-License-Identifier: Apache-2.0 */
/*
 * journal.h - records, as the files of the state are made of them: each with its length,
 * its type and a checksum.
 *
 *	u32	bytes of the body
 *	u32	CRC-32C of the type and the body
 *	u8	type
 *		body
 *
 * All numbers are little-endian. A journal begins with a JOURNAL_HEAD; one that was ended
 * in order ends with a JOURNAL_SEAL. Between them stands what changed the state, one
 * record for each effect, in order; what a body holds is said in effect.h. The
 * snapshot is framed alike, with types of its own.
 *
 * Pure: no socket, file or clock. One thread.
 */
#ifndef JOURNAL_H
#define JOURNAL_H

#include "strbuf.h"

/* The framing and the head's first 12 bytes never change; all else goes with it. */
#define JOURNAL_FORMAT	     1
#define JOURNAL_FRAME_BYTES  9
#define JOURNAL_SECRET_BYTES 16
#define JOURNAL_BOOT_BYTES   16
#define JOURNAL_START_BYTES  256	  /* the first record has not more */
#define JOURNAL_RECORD_MOST  (128U << 20) /* twice the longest message */
#define JOURNAL_MS_MOST	     (1ULL << 48) /* of a time, and of what clocks differ by */

enum journal_type {
	JOURNAL_HEAD = 1,
	JOURNAL_SEAL,
	JOURNAL_TIME,	/* what follows happened then */
	JOURNAL_REG,	/* a new session */
	JOURNAL_NAME,	/* a session has another name, or none */
	JOURNAL_DEFINE, /* DEFINE, UPDATE, REMOVE, JSON, ADMIN: requests as they came */
	JOURNAL_UPDATE,
	JOURNAL_REMOVE,
	JOURNAL_FOLD, /* a session ended */
	JOURNAL_JSON,
	JOURNAL_ADMIN,
	JOURNAL_GONE,	    /* a series that time took away */
	JOURNAL_BOOT,	    /* from here on it is another boot of the machine */
	JOURNAL_TYPE = 0x40 /* from here on: the snapshot's */
};

/* How a file of the state begins. */
struct journal_head {
	uint32_t format;     /* JOURNAL_FORMAT, whatever is here when it is put */
	uint64_t store;	     /* identity of the state */
	uint64_t generation; /* of this file; in a snapshot: of the first journal that is
			      * to be replayed after it */
	uint64_t first;	     /* the generation that the store began with, empty */
	uint8_t secret[JOURNAL_SECRET_BYTES]; /* of repeats.h */
	uint8_t boot[JOURNAL_BOOT_BYTES];     /* of the machine, then; 0: unknown */
	uint64_t pid_namespace;		      /* of the daemon, then; 0: unknown */
	int64_t offset_ms; /* the state's clock less the monotonic one, in that boot */
	uint64_t clock_ms; /* the state's clock when the file was begun */
	uint64_t unix_ms;  /* milliseconds since 1970, at that moment */
};

/* ---- Writing ------------------------------------------------------------- */

/* Records on their way to a file, such as those of the turn under way. */
struct journal;

/* NULL when memory is out. */
struct journal *journal_new(void);
void journal_free(struct journal *j);

/*
 * One record: begin it, put its body, end it. Numbers are put as wire.h has them, a text
 * behind its u32 length. When memory is out, nothing more is put until journal_clear(),
 * and what is there is not to be written.
 */
void journal_begin(struct journal *j, uint8_t type);
void journal_put_u8(struct journal *j, uint8_t v);
void journal_put_u32(struct journal *j, uint32_t v);
void journal_put_u64(struct journal *j, uint64_t v);
void journal_put_bytes(struct journal *j, const void *bytes, size_t n);
void journal_put_text(struct journal *j, struct wire_text t);
void journal_end(struct journal *j);
/* Forget what is behind so many bytes, which whole records make: a record under way, too.
 */
void journal_cut(struct journal *j, size_t bytes);
/* A record whose body is there already. */
void journal_add(struct journal *j, uint8_t type, const void *body, size_t n);

/* The whole records so far; valid until the next change. */
const void *journal_bytes(const struct journal *j, size_t *ret_n);
bool journal_failed(const struct journal *j);
/* Something cannot be recorded: as when memory is out. */
void journal_fail(struct journal *j);
/* Forget the records and the failure. */
void journal_clear(struct journal *j);

/* Whole records appended to out, which fails when memory is out. */
void journal_put_head(struct strbuf *out, const struct journal_head *h);
/* The head of another kind of file. */
void journal_put_head_of(struct strbuf *out, uint8_t type, const struct journal_head *h);
void journal_put_seal(struct strbuf *out);

/* ---- Reading ------------------------------------------------------------- */

struct journal_record {
	uint8_t type;
	const uint8_t *body; /* within the reader's bytes */
	size_t bytes;
};

struct journal_reader {
	const uint8_t *bytes;
	size_t n;
	size_t good; /* where the last good record ended; 0 at first */
};

/* False: the end, or (good < n) a record that is torn or damaged. */
bool journal_next(struct journal_reader *r, struct journal_record *ret);
/* Pass over the records that are there whole, by their lengths alone. False when what
 * stands there cannot be a record, however much more of the file there is. */
bool journal_skim(struct journal_reader *r);

enum journal_verdict {
	JOURNAL_OK,
	JOURNAL_FOREIGN, /* no head of such a file */
	JOURNAL_OLDER,	 /* another format; ret->format says which */
	JOURNAL_NEWER,
	JOURNAL_DAMAGED
};

/* ret is touched for OK, and its format for OLDER and NEWER. */
enum journal_verdict journal_get_head(
    const struct journal_record *record, struct journal_head *ret);
enum journal_verdict journal_get_head_of(
    const struct journal_record *record, uint8_t type, struct journal_head *ret);

#endif /* JOURNAL_H */
