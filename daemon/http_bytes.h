/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_bytes.h - a look at the bytes of requests before evhttp reads them.
 *
 * evhttp is lenient: it takes a bare line feed for the end of a line, ends a header at a
 * NUL, joins folded lines. A proxy in front may read the same bytes otherwise, and the
 * two would not agree on where a request ends. Whoever sent such bytes is answered, and
 * nothing that comes after them is. No state but its own, no I/O.
 */
#ifndef HTTP_BYTES_H
#define HTTP_BYTES_H

#include <stdbool.h>
#include <stddef.h>

struct evbuffer;

struct http_bytes {
	unsigned char last; /* byte that was read; 0: none yet */
	bool odd;	    /* something came that is read in more than one way */
};

/* Read the last n bytes of input. */
void http_bytes_read(struct http_bytes *b, struct evbuffer *input, size_t n);

#endif /* HTTP_BYTES_H */
