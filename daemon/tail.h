/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tail.h - the last messages, each a line of text, kept while somebody reads them.
 *
 * Messages are numbered from 1, whether they are kept or not, so that a reader can be
 * told how many it missed. Nothing is kept until somebody asks, and again from some
 * seconds after the last question on. The time is handed in. One thread.
 */
#ifndef TAIL_H
#define TAIL_H

#include "strbuf.h"

#define TAIL_LINES   2048 /* the most that are kept */
#define TAIL_KEPT_MS 5000 /* after the last question */

struct tail {
	uint64_t n;	   /* the number of the last message */
	uint64_t first;	   /* the number of the oldest line that may be kept */
	uint64_t until_ms; /* nobody has asked since then */
	char **line;	   /* by number, modulo TAIL_LINES; NULL: nobody asks */
};

void tail_free(struct tail *t);

/* Somebody asks: what comes from now on is kept. False when memory is out. */
bool tail_ask(struct tail *t, uint64_t now_ms);
/* True if the next message is to be kept. */
static inline bool tail_wants(const struct tail *t);
/* One more message that is to be kept: its line, which is copied; NULL counts as missed.
 * Who has nothing to keep adds 1 to n alone. */
void tail_add(struct tail *t, const char *line, uint64_t now_ms);

/*
 * Append the lines of the messages after a number to out, with commas between them, as
 * long as they fit into room bytes. Returns the number of the last one, and how many
 * before it are not kept any more.
 */
uint64_t tail_read(const struct tail *t, uint64_t after, size_t room, struct strbuf *out,
    uint64_t *ret_missed);

static inline bool
tail_wants(const struct tail *t)
{
	return t->line != NULL;
}

#endif /* TAIL_H */
