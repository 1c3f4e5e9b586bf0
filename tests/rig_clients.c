/* SPDX-License-Identifier: Apache-2.0 */
/* The clients' half of rig.h: workers and HTTP. */
#include "rig.h"

#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWER_ROOM (8 << 20)
#define FDS_MAX	    4096

/* ---- Workers ----------------------------------------------------------- */

static void
set_time_out(int fd)
{
	struct timeval tv = { .tv_sec = RIG_SECONDS };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
}

/*
 * Requests of a process must have different ids, or the daemon takes one for another that
 * comes again. Those of a connection are numbered, and answered in that order.
 */
static struct {
	uint32_t first; /* different for each connection */
	uint16_t sent, received;
} requests[FDS_MAX];

static void
number_requests(int fd)
{
	static uint32_t connections;

	ck_assert_int_lt(fd, FDS_MAX);
	requests[fd].first = ++connections << 16;
	requests[fd].sent = requests[fd].received = 0;
}

uint32_t
rig_request_id(int fd)
{
	return requests[fd].first + requests[fd].sent;
}

void
rig_note_sent(int fd)
{
	requests[fd].sent++;
}

int
rig_connect(const struct rig *r)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	set_time_out(fd);
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", r->socket);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	number_requests(fd);
	return fd;
}

void
rig_write(int fd, const void *bytes, size_t n)
{
	const char *p = bytes;

	while (n > 0) {
		ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		ck_assert_msg(sent > 0, "send: %s", strerror(errno));
		p += sent;
		n -= (size_t)sent;
	}
}

static void
read_exactly(int fd, void *out, size_t n)
{
	char *p = out;

	while (n > 0) {
		ssize_t got = recv(fd, p, n, 0);

		if (got < 0 && errno == EINTR)
			continue;
		ck_assert_msg(got > 0, "recv: %s", got ? strerror(errno) : "end");
		p += got;
		n -= (size_t)got;
	}
}

int
rig_open(const struct rig *r, enum sp_protocol protocol)
{
	uint8_t ours[SP_HEADER_BYTES], theirs[SP_HEADER_BYTES];
	int fd = rig_connect(r);

	sp_put_header(ours, protocol);
	rig_write(fd, ours, sizeof(ours));
	read_exactly(fd, theirs, sizeof(theirs));
	ck_assert_int_eq(sp_get_header(theirs), protocol == SP_REQ ? SP_REP : SP_PULL);
	return fd;
}

static void
put_backtrace(uint8_t *out, size_t words, uint32_t id)
{
	for (size_t i = 0; i + 1 < words; i++)
		sp_put_request_id(out + 4 * i, (uint32_t)(0x01020300 + i));
	for (size_t i = 0; i + 1 < words; i++)
		out[4 * i] &= 0x7f;
	if (words)
		sp_put_request_id(out + 4 * (words - 1), id);
}

void
rig_send(int fd, size_t words, const void *payload, size_t n)
{
	uint8_t head[SP_FRAME_BYTES + 4 * 16];
	uint8_t *frame;

	ck_assert_uint_le(words, 16);
	sp_put_frame(head, 4 * words + n);
	put_backtrace(head + SP_FRAME_BYTES, words, rig_request_id(fd));
	if (words > 0 && words <= SP_BACKTRACE_WORDS)
		rig_note_sent(fd);
	frame = malloc(SP_FRAME_BYTES + 4 * words + n);
	memcpy(frame, head, SP_FRAME_BYTES + 4 * words);
	memcpy(frame + SP_FRAME_BYTES + 4 * words, payload, n);
	rig_write(fd, frame, SP_FRAME_BYTES + 4 * words + n);
	free(frame);
}

void
rig_send_text(int fd, size_t words, const char *payload)
{
	rig_send(fd, words, payload, strlen(payload));
}

size_t
rig_receive(int fd, size_t words, void *payload, size_t room)
{
	uint8_t head[SP_FRAME_BYTES], sent[4 * 16], received[4 * 16];
	uint64_t bytes;
	char *whole;

	read_exactly(fd, head, sizeof(head));
	ck_assert_int_eq(sp_get_frame(head, &bytes), 0);
	ck_assert_uint_ge(bytes, 4 * words);
	read_exactly(fd, received, 4 * words);
	put_backtrace(sent, words, requests[fd].first + requests[fd].received++);
	ck_assert_mem_eq(sent, received, 4 * words);
	bytes -= 4 * words;
	whole = malloc(bytes + 1);
	read_exactly(fd, whole, bytes);
	memcpy(payload, whole, bytes < room ? bytes : room);
	free(whole);
	return bytes;
}

void
rig_receive_ok(int fd, size_t words)
{
	char text[512] = "";
	size_t n = rig_receive(fd, words, text, sizeof(text) - 1);

	text[n < sizeof(text) ? n : sizeof(text) - 1] = '\0';
	ck_assert_str_eq(text, "{\"ok\":true}");
}

size_t
rig_join_chunks(char *body)
{
	char *out = body;
	char *in = body;

	for (;;) {
		char *end;
		size_t n = strtoul(in, &end, 16);

		ck_assert_int_eq(strncmp(end, "\r\n", 2), 0);
		if (n == 0)
			break;
		ck_assert_uint_lt(n, 256 << 10);
		memmove(out, end + 2, n);
		out += n;
		in = end + 2 + n;
		ck_assert_int_eq(strncmp(in, "\r\n", 2), 0);
		in += 2;
	}
	*out = '\0';
	return (size_t)(out - body);
}

void
rig_receive_end(int fd)
{
	char byte;
	ssize_t n = recv(fd, &byte, 1, 0);

	ck_assert_msg(n == 0 || (n < 0 && errno == ECONNRESET),
	    "%zd bytes instead of the end: %s", n, strerror(errno));
}

void
rig_count(const struct rig *r, const char *counter, int n)
{
	char json[256];
	int fd = rig_open(r, SP_REQ);

	snprintf(json, sizeof(json),
	    "{\"metrics\":[{\"name\":\"%s\",\"type\":\"counter\",\"inc\":%d}]}", counter,
	    n);
	rig_send_text(fd, 1, json);
	rig_receive_ok(fd, 1);
	close(fd);
}

/* ---- HTTP -------------------------------------------------------------- */

int
rig_http(const struct rig *r)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(r->port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	set_time_out(fd);
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

size_t
rig_read_all(int fd, char *out, size_t room)
{
	size_t n = 0;
	ssize_t got;

	while (n + 1 < room && (got = recv(fd, out + n, room - 1 - n, 0)) != 0) {
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && errno == ECONNRESET)
			break;
		ck_assert_msg(got > 0, "recv: %s", strerror(errno));
		n += (size_t)got;
	}
	out[n] = '\0';
	return n;
}

char *
rig_request(const struct rig *r, const char *request)
{
	char *answer = malloc(ANSWER_ROOM);
	int fd = rig_http(r);

	ck_assert_ptr_nonnull(answer);
	rig_write(fd, request, strlen(request));
	rig_read_all(fd, answer, ANSWER_ROOM);
	close(fd);
	return answer;
}

char *
rig_get(const struct rig *r, const char *path)
{
	char request[1024];

	snprintf(request, sizeof(request),
	    "GET %s HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n", path);
	return rig_request(r, request);
}

double
rig_sample(const struct rig *r, const char *sample)
{
	char *page = rig_request(r, "GET /metrics HTTP/1.0\r\n\r\n");
	char start[256];
	double value = -1;
	char *at;

	snprintf(start, sizeof(start), "\n%s ", sample);
	at = strstr(page, start);
	if (at)
		value = strtod(at + strlen(start), NULL);
	free(page);
	return value;
}

void
rig_wait_sample(const struct rig *r, const char *sample, double value)
{
	uint64_t began_ms = 0;
	double now = rig_sample(r, sample);

	while (!(now >= value && now <= value)) {
		char what[300];

		snprintf(
		    what, sizeof(what), "%s is %g, now it is %g", sample, value, now);
		rig_again(&began_ms, what);
		now = rig_sample(r, sample);
	}
}
