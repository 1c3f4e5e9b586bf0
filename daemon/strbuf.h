/* SPDX-License-Identifier: Apache-2.0 */
/*
 * strbuf.h - a growing text with a sticky error: append as often as needed, ask once.
 */
#ifndef STRBUF_H
#define STRBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "wire.h"

struct strbuf {
	char *at; /* NUL-terminated once something was appended */
	size_t bytes;
	size_t room;
	bool failed; /* memory ran out: the text is incomplete */
};

#define STRBUF_EMPTY ((struct strbuf){ 0 })

/* Release the memory; the strbuf is empty again. */
void strbuf_free(struct strbuf *s);
/* Forget the text and the error, keep the memory. */
void strbuf_reset(struct strbuf *s);
/* Make room for n more bytes and a NUL. False, with failed set, if memory is out. */
bool strbuf_grow(struct strbuf *s, size_t n);
static inline bool
strbuf_reserve(struct strbuf *s, size_t n)
{
	if (!s->failed && n < s->room && s->bytes < s->room - n)
		return true;
	return strbuf_grow(s, n);
}

void strbuf_add(struct strbuf *s, const void *bytes, size_t n);
void strbuf_adds(struct strbuf *s, const char *text);
void strbuf_addc(struct strbuf *s, char c);
void strbuf_addf(struct strbuf *s, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* text, which is UTF-8, as a JSON string with its quotes. */
void strbuf_add_json(struct strbuf *s, struct wire_text text);

/* A value as Prometheus text has it: decimal.h. */
void strbuf_add_value(struct strbuf *s, double v);

#endif /* STRBUF_H */
