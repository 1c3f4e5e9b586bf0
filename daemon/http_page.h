/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_page.h - a page as slices in evbuffers, plain or packed into one gzip member.
 *
 * A slice goes out by reference, and the memory that it was rendered into comes back when
 * evhttp has sent it, or has given up: the next slice finds it warm. One thread.
 */
#ifndef HTTP_PAGE_H
#define HTTP_PAGE_H

#include "exposition.h"

struct evbuffer;

/* Of a slice, about: with its frame it is less than the window of 128 KiB with which a
 * client on Linux begins, so that it is taken at once. Smaller and larger ones take
 * longer.
 */
#define HTTP_PAGE_SLICE_BYTES (112 << 10)

/* The memory of slices, for all pages: one is kept for the next slice, whichever page it
 * is of. */
struct http_page_room;

/* NULL when memory is out. */
struct http_page_room *http_page_room_new(void);
/* Bytes that pages hold: of slices that evbuffers have, and of what packs. */
size_t http_page_room_bytes(const struct http_page_room *room);
/* What evbuffers still hold stays until they let go of it. NULL is fine. */
void http_page_room_free(struct http_page_room *room);

/* What a page holds at most, about, while a slice of it is sent. */
#define HTTP_PAGE_BYTES (1 << 20)

struct http_page;

/* Everything handed in outlives it, but the filter, which may be NULL. NULL when memory
 * is out. It holds next to nothing before its first slice. */
struct http_page *http_page_new(struct http_page_room *room,
    const struct registry *registry, const struct self_metrics *self,
    const struct exposition_filter *filter, bool gzip);
void http_page_free(struct http_page *p);

/* Append the next slice; packed, it has what several slices of text become. False when
 * memory is out, and nothing was appended. *ret_more: there are others. */
bool http_page_slice(struct http_page *p, struct evbuffer *out, bool *ret_more);

#endif /* HTTP_PAGE_H */
