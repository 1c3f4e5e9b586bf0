/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gzip.h - a text as one gzip member, made piece by piece.
 *
 * Append a piece to gzip_text(), pack it, send what was appended, and so on. The encoder
 * is made for pages of samples (deflate_match.h says how) and takes any bytes. It keeps
 * the last 32 KiB of the text, and no state but its own. One thread.
 */
#ifndef GZIP_H
#define GZIP_H

#include "strbuf.h"

struct gzip;

/* NULL when memory is out. */
struct gzip *gzip_new(void);
void gzip_free(struct gzip *g);

/* Append the next piece here, leave alone what is there. Best are 256 KiB at a time. */
struct strbuf *gzip_text(struct gzip *g);
/* Bytes of memory that it has. */
size_t gzip_bytes(const struct gzip *g);

/*
 * Append to out what the text packs to; a last few bits wait for the next piece. last: it
 * ends with this piece, which may be empty; nothing comes after it. False, with
 * out->failed set, when memory was out for the text or is for out.
 */
bool gzip_pack(struct gzip *g, bool last, struct strbuf *out);

#endif /* GZIP_H */
