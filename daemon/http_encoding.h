/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_encoding.h - what a client says of the encodings that it takes: Accept-Encoding,
 * as RFC 9110, section 12.5.3, has it. No state, no I/O.
 */
#ifndef HTTP_ENCODING_H
#define HTTP_ENCODING_H

#include <stdbool.h>

/* Weights in thousandths; -1: not named. */
struct http_encoding {
	int gzip;
	int identity;
	int any; /* other */
	bool wrong;
};

#define HTTP_ENCODING_NONE ((struct http_encoding){ -1, -1, -1, false })

/* Read one header, of which there may be several. */
void http_encoding_read(struct http_encoding *e, const char *value);

/*
 * Whether to answer with gzip: it is taken (by name, as x-gzip, or by *), and nothing
 * says that identity is liked better. A client that says nothing, or what cannot be read,
 * gets identity; so does one that takes neither: a page that it may not like is better
 * than none.
 */
bool http_encoding_is_gzip(const struct http_encoding *e);

#endif /* HTTP_ENCODING_H */
