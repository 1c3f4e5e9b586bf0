/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query.h - the query of a scrape's URL: which part of the page is wanted.
 *
 * `namespace`, `component` and `endpoint` pick a level, `name[]` (any number of times)
 * picks families; what else is in the query is ignored. Pure functions.
 */
#ifndef QUERY_H
#define QUERY_H

#include "exposition.h"

struct query {
	struct exposition_filter filter; /* borrows from memory and names */
	struct wire_text *names;
	char *memory;
};

/*
 * Read a query, as it is behind the `?` of a URL, percent-encoded; NULL: none. 0, and
 * *ret is to be given to query_free(); or -1 with a sentence in *ret_error (static; NULL
 * when memory is out) and *ret untouched.
 */
int query_read(struct query *ret, const char *query, const char **ret_error);
void query_free(struct query *q);

/* Decode %XX (and '+' as a space) in place; what is no such code stays. The new length.
 */
size_t query_decode(char *text, bool plus);

#endif /* QUERY_H */
