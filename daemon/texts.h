/* SPDX-License-Identifier: Apache-2.0 */
/*
 * texts.h - texts kept once, escaped as Prometheus prints them, and counted: who takes
 * a string releases it. Numbers start at 1. One thread.
 */
#ifndef TEXTS_H
#define TEXTS_H

#include "strbuf.h"
#include "table.h"

struct texts {
	struct slab items; /* of struct string * */
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
/* The number if the text is there, without taking it; 0 if it is not, or memory is out.
 */
uint32_t texts_find(struct texts *s, struct wire_text text);
/* Escaped, and followed by a NUL; valid as long as somebody holds it. */
struct wire_text texts_text(const struct texts *s, uint32_t number);

#endif /* TEXTS_H */
