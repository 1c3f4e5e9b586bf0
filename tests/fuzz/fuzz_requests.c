/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The door that HTTP is: the real server, at a socket, and a client that sends anything
 * in any pieces, and reads its answers. Each answer is one; there are no more of them
 * than there were requests; a page that came whole parses; and when the client leaves,
 * nothing of it stays.
 *
 * Input: a byte of options, then requests: see request(). What is sent is made of words
 * that mean something and of bytes of the input. With option 1, the rest is sent as it
 * is, and answers are not paired with requests.
 */
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "desk.h"
#include "http.h"

enum { REQUESTS = 6, PIECES = 24, TURNS = 400, ROOM = 1 << 16 };

/* What accept4() is to give once; at file scope, as it has no argument for it. */
static int coming = -1;

/* In place of the C library's: the listener is readable all the time. */
int
accept4(int fd, __SOCKADDR_ARG to, socklen_t *bytes, int flags)
{
	struct sockaddr *address = to.__sockaddr__;
	int given = coming;

	(void)fd;
	(void)flags;
	coming = -1;
	errno = EAGAIN;
	if (address && *bytes >= sizeof(sa_family_t)) {
		address->sa_family = AF_UNIX;
		*bytes = sizeof(sa_family_t);
	}
	return given;
}

/* ---- The server ---------------------------------------------------------------- */

struct door {
	struct event_base *base;
	struct desk *desk;
	struct turn turn;
	struct http *http;
	int client; /* its end of the connection */
	struct strbuf sent, got;
	size_t requests; /* 0: not known */
	bool head[REQUESTS];
};

static const char series[] =
    "{\"namespace\":\"n\",\"metrics\":["
    "{\"name\":\"c\",\"type\":\"counter\",\"help\":\"C\",\"labels\":{\"l\":\"1\"},"
    "\"inc\":1},"
    "{\"name\":\"h\",\"type\":\"histogram\",\"buckets\":[0.5,1],\"observe\":[0.25,3]}]}";

static struct event_base *
new_base(void)
{
	struct event_config *config = event_config_new();
	struct event_base *base;

	/* Each readiness is asked for anew, without a system call for each change. */
	event_config_avoid_method(config, "epoll");
	base = event_base_new_with_config(config);
	event_config_free(config);
	return base;
}

static void
open_door(struct door *d, uint8_t options)
{
	struct http_options o = { .listen = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC),
		.connections = 2,
		.scrapes = 2,
		.request_ms = 60000,
		.header_bytes = 1024,
		.body_bytes = 64,
		.buffered_bytes = 1 << 20,
		.gzip = options & 2,
		.health_path = "/health",
		.live_path = "/live" };
	struct apply_peer peer = desk_peer(0);
	int pair[2];

	d->base = new_base();
	d->desk = desk_new(options & 4);
	desk_json(d->desk, &peer, series, sizeof(series) - 1);
	fuzz_must(
	    d->base && socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0,
	    "there is a socket");
	d->client = pair[0];
	coming = pair[1];
	d->http = http_new(&o, d->base, &d->turn, d->desk->registry, d->desk->apply,
	    d->desk->self, d->desk->log);
	fuzz_must(d->http != NULL, "there is a server");
}

/* Read what there is. False: it has ended. */
static bool
read_answers(struct door *d)
{
	static char room[ROOM];
	ssize_t n;

	while ((n = recv(d->client, room, sizeof(room), MSG_DONTWAIT)) > 0)
		strbuf_add(&d->got, room, (size_t)n);
	return n < 0 && (errno == EAGAIN || errno == EINTR);
}

/* A turn of the server's loop. False: it has closed the connection. */
static bool
turn_once(struct door *d)
{
	event_base_loop(d->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	http_turn(d->http);
	turn_end(&d->turn);
	return read_answers(d);
}

/* Let the server do what it can. */
static void
settle(struct door *d)
{
	int quiet = 0;

	for (int i = 0; quiet < 2; i++) {
		size_t before = d->got.bytes;

		fuzz_must(i < TURNS, "an answer has an end");
		if (!turn_once(d))
			return;
		/* A turn that was long ended before all that came was read. */
		if (d->got.bytes != before || event_base_got_break(d->base))
			quiet = 0;
		else
			quiet++;
	}
}

/* ---- The client ------------------------------------------------------------------ */

static void
word(struct strbuf *out, struct fuzz_input *in, const char *const *words, uint32_t n)
{
	uint8_t which = fuzz_u8(in);
	struct wire_text raw;

	if (which < 224) {
		strbuf_adds(out, words[which % n]);
		return;
	}
	/* Bytes that end nothing. */
	raw = fuzz_bytes(in, which - 224U);
	for (size_t i = 0; i < raw.bytes; i++)
		strbuf_addc(out, strchr("\r\n ", raw.at[i]) ? 'x' : raw.at[i]);
}

static void
header(struct strbuf *out, struct fuzz_input *in)
{
	static const char *const names[] = { "Accept-Encoding", "Accept", "Host",
		"Connection", "Expect", "X-A", "Content-Type", "Accept-Encoding",
		"If-None-Match", "Range" };
	static const char *const values[] = { "gzip", "gzip;q=0.5, identity;q=0.4",
		"*;q=0", "close", "keep-alive", "100-continue", "a", "localhost", "",
		"x-gzip,,deflate" };

	word(out, in, names, 10);
	strbuf_adds(out, ": ");
	word(out, in, values, 10);
	strbuf_adds(out, "\r\n");
}

/* A request without a body: its method, its target, its version, its headers. */
static void
request(struct door *d, struct fuzz_input *in)
{
	static const char *const methods[] = { "GET", "HEAD", "GET", "POST", "PUT",
		"DELETE", "OPTIONS", "TRACE", "PATCH" };
	static const char *const targets[] = { "/metrics", "/", "/live", "/health",
		"/metrics?namespace=n", "/metrics?name[]=dynamo_c",
		"/metrics?component=x", "/x", "//metrics", "/%6detrics", "/metrics/",
		"http://a/metrics", "*", "/metrics?%00" };
	static const char *const versions[] = { "HTTP/1.1", "HTTP/1.0", "HTTP/1.1",
		"HTTP/9.9" };
	struct strbuf *out = &d->sent;
	uint8_t which = fuzz_u8(in);

	d->head[d->requests++] = which % 9 == 1;
	strbuf_adds(out, methods[which % 9]);
	strbuf_addc(out, ' ');
	word(out, in, targets, 14);
	strbuf_addc(out, ' ');
	strbuf_adds(out, versions[which / 9 % 4]);
	strbuf_adds(out, "\r\n");
	for (uint32_t i = fuzz_below(in, 5); i > 0; i--)
		header(out, in);
	strbuf_adds(out, "\r\n");
}

/* It sends what it has, in pieces of a length that the input says. */
static void
send_all(struct door *d, size_t piece)
{
	size_t n;

	if (piece < d->sent.bytes / PIECES)
		piece = d->sent.bytes / PIECES;
	for (size_t at = 0; at < d->sent.bytes; at += n) {
		n = d->sent.bytes - at < piece ? d->sent.bytes - at : piece;
		if (send(d->client, d->sent.at + at, n, MSG_NOSIGNAL) != (ssize_t)n ||
		    !turn_once(d))
			break;
	}
	settle(d);
}

/* ---- What came --------------------------------------------------------------------- */

struct answer {
	const char *at, *end;
	int code;
	long length; /* -1: it does not say */
	bool chunked, packed, last;
	struct strbuf body;
};

/* A line without its end; NULL: there is none any more. */
static const char *
next_line(struct answer *a, size_t *ret_bytes)
{
	const char *line = a->at;
	const char *end = memchr(line, '\n', (size_t)(a->end - line));

	if (end == NULL)
		return NULL;
	fuzz_must(end > line && end[-1] == '\r', "a line has its end");
	*ret_bytes = (size_t)(end - 1 - line);
	a->at = end + 1;
	return line;
}

static bool
is_header(const char *line, size_t n, const char *name, char value[40])
{
	size_t k = strlen(name);

	if (n < k || strncmp(line, name, k) != 0)
		return false;
	snprintf(value, 40, "%.*s", (int)(n - k), line + k);
	return true;
}

/* Status and headers. False: they have not all come. */
static bool
read_head(struct answer *a)
{
	size_t n;
	const char *line = next_line(a, &n);
	char value[40];

	if (line == NULL) {
		n = (size_t)(a->end - a->at) < 7 ? (size_t)(a->end - a->at) : 7;
		fuzz_must(memcmp(a->at, "HTTP/1.", n) == 0, "an answer begins as one");
		return false;
	}
	fuzz_must(n > 12 && strncmp(line, "HTTP/1.", 7) == 0, "an answer begins as one");
	a->code = atoi(line + 9);
	a->length = -1;
	a->chunked = a->packed = a->last = false;
	fuzz_must(a->code >= 100 && a->code < 600, "it has a code");
	while ((line = next_line(a, &n)) != NULL && n > 0) {
		fuzz_must(
		    desk_is_line((struct wire_text){ line, n }) && memchr(line, ':', n),
		    "a header is one");
		if (is_header(line, n, "Content-Length: ", value))
			a->length = atol(value);
		if (is_header(line, n, "Transfer-Encoding: ", value))
			a->chunked = strcmp(value, "chunked") == 0;
		a->packed |= is_header(line, n, "Content-Encoding: ", value);
		if (is_header(line, n, "Connection: ", value))
			a->last = strcmp(value, "close") == 0;
	}
	return line != NULL;
}

static bool
take_body(struct answer *a, size_t n)
{
	if ((size_t)(a->end - a->at) < n)
		return false;
	strbuf_add(&a->body, a->at, n);
	a->at += n;
	return true;
}

/* False: it has not all come. */
static bool
read_chunks(struct answer *a)
{
	size_t n, bytes = 1;

	while (bytes > 0) {
		const char *line = next_line(a, &n);
		char *end;

		if (line == NULL)
			return false;
		bytes = strtoul(line, &end, 16);
		fuzz_must(end > line && *end == '\r', "a chunk has a length");
		if (bytes > 0 && !take_body(a, bytes))
			return false;
		if (next_line(a, &n) == NULL)
			return false;
		fuzz_must(n == 0, "a chunk has its end");
	}
	return true;
}

static bool
read_body(struct answer *a, bool head)
{
	/* What evhttp says itself of a bad request is the last, and has its text also for
	 * HEAD; where there is no length, it ends with the connection. */
	bool open = a->length < 0 ? a->last || !head : a->last && head && a->code >= 400;

	if (a->chunked)
		return head || read_chunks(a);
	if (open && a->code >= 200)
		return take_body(a, (size_t)(a->end - a->at));
	return head || a->length < 0 || take_body(a, (size_t)a->length);
}

static void
see_page(struct fuzz_page *page, const struct answer *a)
{
	static const char start[] = "# HELP ";

	if (a->code == 200 && !a->packed && a->body.bytes > sizeof(start) &&
	    memcmp(a->body.at, start, sizeof(start) - 1) == 0)
		fuzz_page_read(page, a->body.at, a->body.bytes);
}

static void
see_answers(struct door *d)
{
	struct answer a = { .at = d->got.bytes ? d->got.at : "" };
	struct fuzz_page page = { 0 };
	size_t n = 0;

	a.end = a.at + d->got.bytes;
	while (a.at < a.end && read_head(&a)) {
		/* 100 Continue is an answer before the answer. */
		bool head = n < d->requests && d->head[n];

		n += a.code >= 200;
		strbuf_reset(&a.body);
		if (!read_body(&a, head))
			break;
		see_page(&page, &a);
	}
	fuzz_must(n <= d->requests, "there are no more answers than requests");
	fuzz_must(n > 0, "a request is answered");
	fuzz_page_free(&page);
	strbuf_free(&a.body);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct fuzz_input in = fuzz_begin(bytes, n);
	uint8_t options = fuzz_u8(&in);
	struct door d = { .client = -1 };

	open_door(&d, options);
	if (options & 1)
		strbuf_add(&d.sent, in.at, in.bytes);
	else
		do
			request(&d, &in);
		while (in.bytes > 0 && d.requests < REQUESTS);
	/* A few bytes at once, all of them, or what is between. */
	send_all(&d, options & 8 ? SIZE_MAX : 1 + options / 16 * 7U);
	if (d.requests)
		see_answers(&d);
	shutdown(d.client, SHUT_RDWR);
	for (int i = 0; i < 4; i++)
		turn_once(&d);
	close(d.client);
	fuzz_must(!http_is_answering(d.http), "who has left is answered no more");
	http_free(d.http);
	desk_free(d.desk);
	event_base_free(d.base);
	strbuf_free(&d.sent);
	strbuf_free(&d.got);
	return 0;
}
