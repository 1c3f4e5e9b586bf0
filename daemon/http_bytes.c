/* SPDX-License-Identifier: Apache-2.0 */
#include "http_bytes.h"

#include <event2/buffer.h>

#define PARTS 8 /* that an evbuffer is looked at in */

/* Whether c, after last, is odd in the head of a request. */
static bool
is_odd(unsigned char last, unsigned char c)
{
	if (last == '\r' || c == '\n')
		return last != '\r' || c != '\n';
	if (last == '\n' && (c == ' ' || c == '\t'))
		return true;
	return (c < ' ' && c != '\t' && c != '\r') || c == 0x7f;
}

static void
read_part(struct http_bytes *b, const unsigned char *at, size_t n)
{
	unsigned char last = b->last;

	for (size_t i = 0; i < n && !b->odd; i++) {
		b->odd = is_odd(last, at[i]);
		last = at[i];
	}
	b->last = last;
}

void
http_bytes_read(struct http_bytes *b, struct evbuffer *input, size_t n)
{
	struct evbuffer_iovec part[PARTS];
	struct evbuffer_ptr at;

	while (n > 0 && !b->odd) {
		int parts, i;

		if (evbuffer_ptr_set(input, &at, evbuffer_get_length(input) - n,
			EVBUFFER_PTR_SET) != 0) {
			b->odd = true;
			return;
		}
		parts = evbuffer_peek(input, (ev_ssize_t)n, &at, part, PARTS);
		for (i = 0; i < parts && i < PARTS && n > 0; i++) {
			size_t bytes = part[i].iov_len < n ? part[i].iov_len : n;

			read_part(b, part[i].iov_base, bytes);
			n -= bytes;
		}
		if (i == 0)
			b->odd = true;
	}
}
