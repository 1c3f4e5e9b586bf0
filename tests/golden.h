/* SPDX-License-Identifier: Apache-2.0 */
/*
 * golden.h - the frames in hex of proto/PROTOCOL.md, as test data.
 *
 * A frame stands in a block that starts with ```frame NAME; each line has bytes in hex
 * and then a remark behind #. Tests run in the top folder of the source.
 */
#ifndef GOLDEN_H
#define GOLDEN_H

#include "message.h"

#define GOLDEN_ROOM 4096

/* Fixtures: read the page, and forget it. The page is at file scope because Check's
 * fixtures take no argument. */
void golden_open(void);
void golden_close(void);

/* The whole page, NUL-terminated. */
const char *golden_page(void);
/* How many frames the page has. */
size_t golden_frames(void);
/* A frame: its length. Fails the test if there is none of that name, or if it is no hex.
 */
size_t golden_frame(const char *name, uint8_t ret[GOLDEN_ROOM]);

/* Decode from memory of exactly n bytes, so that a sanitizer sees a read past it, and
 * walk what was decoded. */
enum reason golden_decode(const uint8_t *bytes, size_t n, struct refusal *r);

/* The messages of the page as message.c writes them, ended by a NULL name. */
struct golden {
	const char *name;
	void (*put)(struct wire_writer *w);
};
extern const struct golden goldens[];
#define GOLDENS 25
/* And these are the frames that are not messages: SP's. */
#define GOLDENS_SP 6

/* The ticket in all of them. */
extern const struct message_ticket golden_ticket;

#endif /* GOLDEN_H */
