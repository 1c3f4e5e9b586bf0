/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon_page.c - the daemon, but for its page: that is a file's ($BENCH_PAGE), read
 * beforehand, and sent by the very code that sends a page which is rendered. What remains
 * of a scrape's time is the floor: nothing is rendered.
 */
#include <event2/buffer.h>

#include "bench.h"
#include "http_page.h"

struct http_page_room {
	char *page;
	size_t bytes;
};

struct http_page {
	const struct http_page_room *room;
	size_t sent;
};

struct http_page_room *
http_page_room_new(void)
{
	struct http_page_room *room = calloc(1, sizeof(*room));
	const char *path = getenv("BENCH_PAGE");
	FILE *file = path ? fopen(path, "rb") : NULL;

	if (room == NULL || file == NULL || fseek(file, 0, SEEK_END) != 0)
		exit(1);
	room->bytes = (size_t)ftell(file);
	room->page = malloc(room->bytes + 1);
	rewind(file);
	if (room->page == NULL || fread(room->page, 1, room->bytes, file) != room->bytes)
		exit(1);
	fclose(file);
	return room;
}

void
http_page_room_free(struct http_page_room *room)
{
	if (room)
		free(room->page);
	free(room);
}

size_t
http_page_room_bytes(const struct http_page_room *room)
{
	(void)room;
	return 0;
}

struct http_page *
http_page_new(struct http_page_room *room, const struct registry *registry,
    const struct self_metrics *self, const struct exposition_filter *filter, bool gzip)
{
	struct http_page *p = calloc(1, sizeof(*p));

	(void)registry;
	(void)self;
	(void)filter;
	(void)gzip;
	if (p)
		p->room = room;
	return p;
}

void
http_page_free(struct http_page *p)
{
	free(p);
}

bool
http_page_slice(struct http_page *p, struct evbuffer *out, bool *ret_more)
{
	size_t rest = p->room->bytes - p->sent;
	size_t n = rest < HTTP_PAGE_SLICE_BYTES ? rest : HTTP_PAGE_SLICE_BYTES;

	if (evbuffer_add_reference(out, p->room->page + p->sent, n, NULL, NULL) != 0)
		return false;
	p->sent += n;
	*ret_more = p->sent < p->room->bytes;
	return true;
}
