/* SPDX-License-Identifier: Apache-2.0 */
/*
 * texts.h - texts kept once, escaped as Prometheus prints them, and counted: who takes
 * a string releases it. Numbers start at 1. One thread.
 */
#ifndef TEXTS_H
#define TEXTS_H

#include "arena.h"
#include "index.h"
#include "strbuf.h"

struct texts {
	struct arena items; /* of struct string */
	struct index index;
	struct strbuf scratch;
};

/* Append text with \ and newline escaped, and " too between quotes (label values). */
void texts_escape(struct strbuf *out, struct wire_text text, bool quotes);

void texts_init(struct texts *s);
void texts_free(struct texts *s);
/* The number of text, escaped; 0 when memory is out. */
uint32_t texts_take(struct texts *s, struct wire_text text);
/* One more holder; returns number. */
uint32_t texts_hold(struct texts *s, uint32_t number);
/* 0 is fine. */
void texts_release(struct texts *s, uint32_t number);
/* The text is about to be taken: ask memory for its place. */
void texts_ask(const struct texts *s, struct wire_text text);
/* The number if the text is there, without taking it; 0 if it is not, or memory is out.
 */
uint32_t texts_find(struct texts *s, struct wire_text text);

/* One of them, for texts.c and who asks for many at once. */
struct string {
	uint32_t refs;
	uint32_t bytes;
	char at[];
};

static inline struct string *
texts_string(const struct texts *s, uint32_t number)
{
	return arena_at(&s->items, number);
}

/* Escaped, and followed by a NUL; valid as long as somebody holds it. */
static inline struct wire_text
texts_text(const struct texts *s, uint32_t number)
{
	const struct string *string = texts_string(s, number);

	return (struct wire_text){ string->at, string->bytes };
}

#endif /* TEXTS_H */
