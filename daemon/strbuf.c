/* SPDX-License-Identifier: Apache-2.0 */
#include "strbuf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "decimal.h"

#define LONGEST (SIZE_MAX / 4) /* so that sizes never overflow */

void
strbuf_free(struct strbuf *s)
{
	free(s->at);
	*s = STRBUF_EMPTY;
}

void
strbuf_reset(struct strbuf *s)
{
	s->bytes = 0;
	s->failed = false;
}

bool
strbuf_grow(struct strbuf *s, size_t n)
{
	size_t room = s->room ? s->room : n < 256 ? 256 : n + 1;
	char *at;

	if (s->failed || n > LONGEST) {
		s->failed = true;
		return false;
	}
	while (room <= s->bytes + n)
		room *= 2;
	at = realloc(s->at, room);
	if (at == NULL) {
		s->failed = true;
		return false;
	}
	s->at = at;
	s->room = room;
	return true;
}

void
strbuf_add(struct strbuf *s, const void *bytes, size_t n)
{
	if (!strbuf_reserve(s, n))
		return;
	if (n)
		memcpy(s->at + s->bytes, bytes, n);
	s->bytes += n;
	s->at[s->bytes] = '\0';
}

void
strbuf_adds(struct strbuf *s, const char *text)
{
	strbuf_add(s, text, strlen(text));
}

void
strbuf_addc(struct strbuf *s, char c)
{
	strbuf_add(s, &c, 1);
}

void
strbuf_addf(struct strbuf *s, const char *format, ...)
{
	va_list arguments;
	int n;

	va_start(arguments, format);
	n = vsnprintf(NULL, 0, format, arguments);
	va_end(arguments);
	if (n < 0 || !strbuf_reserve(s, (size_t)n))
		return;
	va_start(arguments, format);
	vsnprintf(s->at + s->bytes, (size_t)n + 1, format, arguments);
	va_end(arguments);
	s->bytes += (size_t)n;
}

/* U+0080 to U+009F, which terminals obey as they do escapes: c2 80 to c2 9f. */
static bool
is_c1(const unsigned char *p, size_t left)
{
	return left > 1 && p[0] == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f;
}

void
strbuf_add_json(struct strbuf *s, struct wire_text text)
{
	strbuf_addc(s, '"');
	for (size_t i = 0; i < text.bytes; i++) {
		const unsigned char *p = (const unsigned char *)text.at + i;

		if (*p == '"' || *p == '\\')
			strbuf_addc(s, '\\');
		if (is_c1(p, text.bytes - i))
			strbuf_addf(s, "\\u%04x", (unsigned)text.at[++i] & 0xff);
		else if (*p < 0x20 || *p == 0x7f)
			strbuf_addf(s, "\\u%04x", (unsigned)*p);
		else
			strbuf_addc(s, (char)*p);
	}
	strbuf_addc(s, '"');
}

void
strbuf_add_value(struct strbuf *s, double v)
{
	char text[DECIMAL_BYTES];

	strbuf_add(s, text, decimal_format(text, v));
}
