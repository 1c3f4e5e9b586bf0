/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire_get.c PORT PATH total|first|bytes [HEADER...] - read a page from 127.0.0.1 to its
 * end, and print how long it took, or after how long its first byte was there (in ms,
 * from before the connection is made), or how many bytes came, with headers. The bytes
 * are read and dropped.
 */
#include <arpa/inet.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"

#define READ_BYTES (256 << 10)
#define TIMEOUT_S  60

static int
request(int port, const char *path, char **header)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)port) };
	struct timeval tv = { .tv_sec = TIMEOUT_S };
	char text[2048];
	size_t n = (size_t)snprintf(text, sizeof(text),
	    "GET %s HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n", path);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (; *header; header++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s\r\n", *header);
	n += (size_t)snprintf(text + n, sizeof(text) - n, "\r\n");
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	if (connect(fd, (struct sockaddr *)&at, sizeof(at)) != 0 ||
	    send(fd, text, n, MSG_NOSIGNAL) != (ssize_t)n)
		return -1;
	return fd;
}

/* A whole page: 200, and what ends a chunked one. */
static bool
is_whole(const char *start, size_t n, const char *end)
{
	static const char ok[] = "HTTP/1.1 200 ", last[] = "0\r\n\r\n";

	return n > 64 && memcmp(start, ok, sizeof(ok) - 1) == 0 &&
	       (strstr(start, "chunked") == NULL || strcmp(end, last) == 0);
}

int
main(int argc, char **argv)
{
	static char buffer[READ_BYTES], start[512], end[6];
	double began_s, first_s = 0, bytes = 0;
	ssize_t n;
	int fd;

	if (argc < 4)
		return 2;
	began_s = bench_now_s();
	fd = request(atoi(argv[1]), argv[2], argv + 4);
	while (fd >= 0 && (n = recv(fd, buffer, sizeof(buffer), 0)) > 0) {
		size_t kept = (size_t)n < 5 ? (size_t)n : 5;

		if (bytes == 0) {
			first_s = bench_now_s();
			memcpy(start, buffer, (size_t)n < 511 ? (size_t)n : 511);
		}
		bytes += (double)n;
		memmove(end, end + kept, 5 - kept);
		memcpy(end + 5 - kept, buffer + n - kept, kept);
	}
	if (fd < 0 || n < 0 || !is_whole(start, (size_t)bytes, end)) {
		fprintf(stderr, "no page: %.200s\n", start);
		return 1;
	}
	close(fd);
	switch (argv[3][0]) {
	case 't':
		return bench_print((bench_now_s() - began_s) * 1e3);
	case 'f':
		return bench_print((first_s - began_s) * 1e3);
	default:
		return bench_print(bytes);
	}
}
