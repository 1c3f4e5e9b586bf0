/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire_scrape PORT FIRST SCRAPERS - processes that scrape, each from a new connection;
 * every other one takes gzip. An answer that is not 200, or does not end, has failed.
 */
#include <arpa/inet.h>
#include <err.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "crowd.h"

#define READ_BYTES 65536
#define HEAD_BYTES 1024
#define TAIL_BYTES 7 /* an empty chunk, and the end of the one before */

static struct sockaddr_in daemon_at = { .sin_family = AF_INET };

static void
begin(struct member *self)
{
	(void)self;
}

/* The answer so far: its head, and its last bytes. */
struct answer {
	char head[HEAD_BYTES + 1];
	char tail[TAIL_BYTES];
	size_t bytes;
};

static void
take(struct answer *a, const char *at, size_t n)
{
	size_t new = n < TAIL_BYTES ? n : TAIL_BYTES;

	if (a->bytes < HEAD_BYTES)
		memcpy(a->head + a->bytes, at,
		    n < HEAD_BYTES - a->bytes ? n : HEAD_BYTES - a->bytes);
	memmove(a->tail, a->tail + new, TAIL_BYTES - new);
	memcpy(a->tail + TAIL_BYTES - new, at + n - new, new);
	a->bytes += n;
}

/* A small page has its length in its head; a large one comes in chunks, the last empty.
 */
static bool
is_whole(const struct answer *a)
{
	static const char length[] = "\r\nContent-Length: ";
	const char *end = strstr(a->head, "\r\n\r\n");
	const char *said = strstr(a->head, length);

	if (strncmp(a->head, "HTTP/1.1 200 ", 13) != 0 || end == NULL)
		return false;
	if (said && said < end)
		return a->bytes == (size_t)(end + 4 - a->head) +
				       strtoul(said + strlen(length), NULL, 10);
	return memcmp(a->tail, "\r\n0\r\n\r\n", TAIL_BYTES) == 0;
}

static bool
read_page(int fd)
{
	static char buffer[READ_BYTES];
	struct answer answer = { .bytes = 0 };
	ssize_t n;

	while ((n = recv(fd, buffer, sizeof(buffer), 0)) > 0)
		take(&answer, buffer, (size_t)n);
	return n == 0 && is_whole(&answer);
}

static void
turn(struct member *self)
{
	char request[128];
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int n = snprintf(request, sizeof(request),
	    "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s\r\n",
	    self->number % 2 ? "Accept-Encoding: gzip\r\n" : "");

	if (fd < 0)
		err(1, "socket");
	if (connect(fd, (struct sockaddr *)&daemon_at, sizeof(daemon_at)) != 0 ||
	    send(fd, request, (size_t)n, MSG_NOSIGNAL) != n || !read_page(fd))
		__atomic_fetch_add(&self->failed, 1, __ATOMIC_SEQ_CST);
	close(fd);
}

int
main(int argc, char **argv)
{
	struct crowd crowd = { .begin = begin, .turn = turn };

	if (argc != 4)
		errx(2, "wire_scrape PORT FIRST SCRAPERS");
	daemon_at.sin_port = htons((uint16_t)atoi(argv[1]));
	daemon_at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	crowd.first = atoi(argv[2]);
	crowd.members = atoi(argv[3]);
	return crowd_run(&crowd);
}
