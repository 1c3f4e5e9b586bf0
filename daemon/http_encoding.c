/* SPDX-License-Identifier: Apache-2.0 */
#include "http_encoding.h"

#include <string.h>
#include <strings.h>

#define WHOLE 1000 /* the weight of what is liked best */

static const char *
skip_blanks(const char *at)
{
	return at + strspn(at, " \t");
}

/* The bytes of a token. */
static size_t
token_bytes(const char *at)
{
	return strspn(at, "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
			  "abcdefghijklmnopqrstuvwxyz");
}

static bool
is(const char *at, size_t n, const char *word)
{
	return strlen(word) == n && strncasecmp(at, word, n) == 0;
}

/* 0 to 1 with three digits behind the point at most. NULL if it is not. */
static const char *
read_weight(const char *at, int *ret)
{
	int weight = 0;
	int unit = WHOLE / 10;

	if (*at != '0' && *at != '1')
		return NULL;
	weight = *at++ == '1' ? WHOLE : 0;
	if (*at == '.')
		for (at++; unit > 0 && *at >= '0' && *at <= '9'; unit /= 10)
			weight += (*at++ - '0') * unit;
	if (weight > WHOLE)
		return NULL;
	*ret = weight;
	return at;
}

/* What follows a name: nothing, or ;q= and a weight. NULL if it is something else. */
static const char *
read_parameter(const char *at, int *ret)
{
	at = skip_blanks(at);
	*ret = WHOLE;
	if (*at != ';')
		return at;
	at = skip_blanks(at + 1);
	if ((*at != 'q' && *at != 'Q') || at[1] != '=')
		return NULL;
	at = read_weight(at + 2, ret);
	return at ? skip_blanks(at) : NULL;
}

/* One name with its weight. NULL if it cannot be read. */
static const char *
read_one(struct http_encoding *e, const char *at)
{
	const char *name = at;
	size_t n = token_bytes(name);
	int weight;

	if (n == 0)
		return NULL;
	at = read_parameter(name + n, &weight);
	if (at == NULL || (*at != ',' && *at != '\0'))
		return NULL;
	if (is(name, n, "gzip") || is(name, n, "x-gzip"))
		e->gzip = weight;
	else if (is(name, n, "identity"))
		e->identity = weight;
	else if (is(name, n, "*"))
		e->any = weight;
	return at;
}

void
http_encoding_read(struct http_encoding *e, const char *value)
{
	const char *at = skip_blanks(value);

	while (*at && !e->wrong) {
		if (*at == ',') {
			at = skip_blanks(at + 1);
			continue;
		}
		at = read_one(e, at);
		if (at == NULL) {
			e->wrong = true;
			return;
		}
	}
}

bool
http_encoding_is_gzip(const struct http_encoding *e)
{
	int gzip = e->gzip >= 0 ? e->gzip : e->any;

	return !e->wrong && gzip > 0 && gzip >= e->identity;
}
