/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flood.c - the attacker that is as fast as the machine.
 *
 *	flood repeat WHERE PROTOCOL CONNECTIONS MS READ FILE
 *		on each connection the bytes of FILE, again and again, for so long; READ
 *1: what is answered is read, 0: it is not flood visit WHERE PROTOCOL TIMES FILE connect,
 *send the bytes of FILE, leave; so often. With FILE "" nothing is sent
 *
 * WHERE: the path of a socket, or a port of 127.0.0.1. PROTOCOL: what the SP header says
 *that we are (48: REQ, 80: PUSH), 0: there is no header. FILE is read whole. A connection
 *that is closed is made again. Prints: rounds, bytes, connections that were closed.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_MAX 4096
#define HEADER_BYTES	8

static const char *where;
static uint8_t header[HEADER_BYTES] = { 0, 'S', 'P', 0 };
static size_t header_bytes;
static struct {
	uint8_t *at;
	size_t bytes;
} text;			   /* the bytes of FILE, many times over if they are few */
static size_t round_bytes; /* FILE's */
static bool is_request;	   /* FILE is one request, whole */

static struct {
	uint64_t rounds, bytes, closed;
} done;

static uint64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void
read_file(const char *path, size_t least_bytes)
{
	FILE *file = *path ? fopen(path, "rb") : NULL;
	size_t bytes = 0, room = 64 << 20;

	text.at = malloc(room);
	if ((*path && file == NULL) || text.at == NULL)
		err(1, "%s", path);
	if (file)
		bytes = fread(text.at, 1, room / 2, file);
	round_bytes = bytes;
	is_request =
	    bytes > 13 && text.at[0] == 1 && (text.at[9] & 0x80) && header[5] == 0x30 &&
	    text.at[5] == 0 &&
	    9 + ((size_t)text.at[6] << 16 | (size_t)text.at[7] << 8 | text.at[8]) ==
		bytes;
	while (bytes > 0 && bytes < least_bytes) {
		memcpy(text.at + bytes, text.at, round_bytes);
		bytes += round_bytes;
	}
	text.bytes = bytes;
	if (file)
		fclose(file);
}

/* Connected, or -1: nobody is there, or too many are. */
static int
connect_there(bool blocking)
{
	struct sockaddr_un path = { .sun_family = AF_UNIX };
	struct sockaddr_in port = { .sin_family = AF_INET };
	struct timeval patience = { .tv_sec = 1 }; /* the backlog may be full for long */
	bool local = *where == '/';
	int fd = socket(local ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), failed;

	if (fd < 0)
		return -1;
	snprintf(path.sun_path, sizeof(path.sun_path), "%s", where);
	port.sin_port = htons((uint16_t)atoi(where));
	port.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	failed = local ? connect(fd, (struct sockaddr *)&path, sizeof(path))
		       : connect(fd, (struct sockaddr *)&port, sizeof(port));
	if (failed ||
	    (header_bytes && send(fd, header, header_bytes, MSG_NOSIGNAL) < 0)) {
		close(fd);
		return -1;
	}
	if (!blocking)
		fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

/* ---- repeat -------------------------------------------------------- */

static struct pollfd polled[CONNECTIONS_MAX];
static uint64_t sent[CONNECTIONS_MAX];
static uint32_t request;

/* Requests, if that is what the text has, get numbers that were not there yet. */
static void
number_requests(void)
{
	for (uint8_t *at = text.at + 9; is_request && at < text.at + text.bytes;
	     at += round_bytes) {
		request++;
		at[0] = (uint8_t)(0x80 | request >> 24);
		at[1] = (uint8_t)(request >> 16);
		at[2] = (uint8_t)(request >> 8);
		at[3] = (uint8_t)request;
	}
}

static void
count(size_t i)
{
	done.bytes += sent[i];
	done.rounds += sent[i] / round_bytes;
	sent[i] = 0;
}

static void
reopen(size_t i)
{
	if (polled[i].fd >= 0) {
		close(polled[i].fd);
		done.closed++;
	}
	polled[i].fd = connect_there(false);
	count(i);
}

/* False when the connection is gone. */
static bool
serve(size_t i, bool reads)
{
	static uint8_t junk[1 << 18];
	size_t at;
	ssize_t n;

	if (reads && (polled[i].revents & POLLIN)) {
		n = recv(polled[i].fd, junk, sizeof(junk), 0);
		if (n == 0 || (n < 0 && errno != EAGAIN))
			return false;
	}
	if (polled[i].revents & (POLLERR | POLLHUP))
		return false;
	if (!(polled[i].revents & POLLOUT))
		return true;
	at = sent[i] % text.bytes;
	if (at % round_bytes == 0)
		number_requests();
	n = send(polled[i].fd, text.at + at, text.bytes - at, MSG_NOSIGNAL);
	if (n < 0)
		return errno == EAGAIN;
	sent[i] += (uint64_t)n;
	return true;
}

static void
repeat(size_t connections, uint64_t ms, bool reads)
{
	uint64_t end = now_ms() + ms;

	for (size_t i = 0; i < connections; i++) {
		polled[i] = (struct pollfd){ .fd = -1,
			.events = (short)(POLLOUT | (reads ? POLLIN : 0)) };
		reopen(i);
	}
	while (now_ms() < end) {
		poll(polled, connections, 50);
		for (size_t i = 0; i < connections; i++)
			if (polled[i].fd < 0 || (polled[i].revents && !serve(i, reads)))
				reopen(i);
	}
	for (size_t i = 0; i < connections; i++)
		count(i);
}

/* ---- visit --------------------------------------------------------- */

static void
visit(uint64_t times)
{
	for (uint64_t i = 0; i < times; i++) {
		int fd = connect_there(true);

		if (fd < 0) {
			done.closed++;
			continue;
		}
		if (text.bytes > 0 && send(fd, text.at, text.bytes, MSG_NOSIGNAL) < 0)
			done.closed++;
		close(fd);
		done.bytes += text.bytes;
		done.rounds++;
	}
}

int
main(int argc, char **argv)
{
	bool repeats = argc == 8 && strcmp(argv[1], "repeat") == 0;
	uint64_t times;

	if (!repeats && !(argc == 6 && strcmp(argv[1], "visit") == 0))
		errx(2, "see the first lines of flood.c");
	where = argv[2];
	header[5] = (uint8_t)atoi(argv[3]);
	header_bytes = header[5] ? HEADER_BYTES : 0;
	times = strtoull(argv[4], NULL, 10);
	read_file(argv[argc - 1], repeats ? 1 << 16 : 0);
	if (repeats && (times == 0 || times > CONNECTIONS_MAX || text.bytes == 0))
		errx(2, "1 to %d connections, and something to send", CONNECTIONS_MAX);
	if (repeats)
		repeat((size_t)times, strtoull(argv[5], NULL, 10), *argv[6] == '1');
	else
		visit(times);
	printf("%llu %llu %llu\n", (unsigned long long)done.rounds,
	    (unsigned long long)done.bytes, (unsigned long long)done.closed);
	return 0;
}
