/* SPDX-License-Identifier: Apache-2.0 */
#include "http_parts.h"
#include "http_encoding.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#define TEXT_TYPE "text/plain; charset=utf-8"
#define ALL_METHODS \
	(EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD | EVHTTP_REQ_PUT | \
	    EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS | EVHTTP_REQ_TRACE | \
	    EVHTTP_REQ_CONNECT | EVHTTP_REQ_PATCH)

/* ---- Answers ----------------------------------------------------------- */

void
http_header(struct evhttp_request *r, const char *name, const char *value)
{
	evhttp_add_header(evhttp_request_get_output_headers(r), name, value);
}

/* Who asks again needs another connection, and finds the next daemon. After a request
 * that others would read otherwise, nothing that came on this one can be trusted. */
static void
say_last(const struct http *h, const struct exchange *x)
{
	if (h->stopped || x->last)
		http_header(x->request, "Connection", "close");
}

void
http_stop_reading(struct evhttp_request *r)
{
	struct evhttp_connection *c = evhttp_request_get_connection(r);

	if (c)
		bufferevent_disable(evhttp_connection_get_bufferevent(c), EV_READ);
}

void
http_count(struct http *h, const struct exchange *x)
{
	double seconds = (double)(turn_clock_ns() - x->began_ns) * 1e-9;

	self_add(h->self, SELF_HTTP_REQUESTS, x->path, self_http_code(x->code), 1);
	self_observe(h->self, SELF_HTTP_REQUEST_DURATION, x->path, 0, seconds);
	self_observe(h->self, SELF_HTTP_RESPONSE_SIZE, x->path, 0, (double)x->bytes);
}

static void
on_answered(struct evhttp_request *r, void *arg)
{
	(void)r;
	http_guard_answered(arg);
}

void
http_answer(struct http *h, struct exchange *x, int code, const char *phrase,
    const char *type, const char *text, const char *more_name, const char *more_value)
{
	struct evhttp_request *r = x->request;
	struct evbuffer *body = evbuffer_new();
	char length[32];

	if (body == NULL) {
		evhttp_connection_free(evhttp_request_get_connection(r));
		return;
	}
	http_header(r, "Content-Type", type);
	say_last(h, x);
	if (more_name)
		http_header(r, more_name, more_value);
	snprintf(length, sizeof(length), "%zu", strlen(text));
	http_header(r, "Content-Length", length);
	/* evhttp would send the body of a HEAD's answer, and be out of step from there.
	 */
	if (evhttp_request_get_command(r) != EVHTTP_REQ_HEAD) {
		evbuffer_add(body, text, strlen(text));
		x->bytes = strlen(text);
	}
	x->code = code;
	http_count(h, x);
	evhttp_request_set_on_complete_cb(r, on_answered, x->guarded);
	http_guard_sent(x->guarded);
	evhttp_send_reply(r, code, phrase, body);
	http_stop_reading(r);
	evbuffer_free(body);
}

/* ---- Routes ------------------------------------------------------------ */

static void
answer_no_memory(struct http *h, struct exchange *x)
{
	http_answer(h, x, 503, "Service Unavailable", TEXT_TYPE, "memory is out\n",
	    "Retry-After", "1");
}

static void
answer_root(struct http *h, struct exchange *x)
{
	char text[512];

	snprintf(text, sizeof(text),
	    "dynamo-metricsd\n\n"
	    "/metrics  all metrics, for Prometheus; ?namespace=&component=&endpoint= "
	    "picks a level, name[]= a metric\n"
	    "%s  whether it is ready\n"
	    "%s  whether it runs\n",
	    h->options.health_path, h->options.live_path);
	http_answer(h, x, 200, "OK", TEXT_TYPE, text, NULL, NULL);
}

static void
answer_status(struct http *h, struct exchange *x, bool ready, bool problems)
{
	struct strbuf text = STRBUF_EMPTY;

	health_print(
	    &h->options.health, h->apply, ready, problems, turn_clock_ns(), &text);
	if (text.failed)
		http_answer(h, x, 500, "Internal Server Error", TEXT_TYPE,
		    "memory is out\n", NULL, NULL);
	else
		http_answer(h, x, ready ? 200 : 503, ready ? "OK" : "Service Unavailable",
		    HEALTH_CONTENT_TYPE, text.at, NULL, NULL);
	strbuf_free(&text);
}

static void
answer_health(struct http *h, struct exchange *x)
{
	answer_status(h, x, health_is_ready(&h->options.health, h->apply), true);
}

static void
answer_live(struct http *h, struct exchange *x)
{
	answer_status(h, x, true, false);
}

void
http_page_headers(const struct http *h, const struct exchange *x)
{
	http_header(x->request, "Content-Type", EXPOSITION_CONTENT_TYPE);
	say_last(h, x);
	if (h->options.gzip)
		http_header(x->request, "Vary", "Accept-Encoding");
	if (x->gzip)
		http_header(x->request, "Content-Encoding", "gzip");
}

/* A header may come more than once. */
static bool
takes_gzip(struct evhttp_request *r)
{
	struct http_encoding e = HTTP_ENCODING_NONE;
	const struct evkeyval *header = evhttp_request_get_input_headers(r)->tqh_first;

	for (; header; header = header->next.tqe_next)
		if (strcasecmp(header->key, "Accept-Encoding") == 0)
			http_encoding_read(&e, header->value);
	return http_encoding_is_gzip(&e);
}

static void
answer_metrics(struct http *h, struct exchange *x)
{
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(x->request);
	const char *error;
	struct query query;

	if (query_read(&query, evhttp_uri_get_query(uri), &error) != 0) {
		if (error)
			http_answer(
			    h, x, 400, "Bad Request", TEXT_TYPE, error, NULL, NULL);
		else
			answer_no_memory(h, x);
		return;
	}
	x->gzip = h->options.gzip && takes_gzip(x->request);
	if (evhttp_request_get_command(x->request) == EVHTTP_REQ_HEAD) {
		/* The length is not known before the page is rendered. */
		http_page_headers(h, x);
		x->code = 200;
		http_count(h, x);
		evhttp_request_set_on_complete_cb(x->request, on_answered, x->guarded);
		http_guard_sent(x->guarded);
		evhttp_send_reply(x->request, 200, "OK", NULL);
		http_stop_reading(x->request);
	} else {
		h->scrape_began = true;
		scrape_begin(h, x, &query);
	}
	query_free(&query);
}

static void
answer_other(struct http *h, struct exchange *x)
{
	http_answer(h, x, 404, "Not Found", TEXT_TYPE, "Route not found", NULL, NULL);
}

static const struct {
	void (*answer)(struct http *h, struct exchange *x);
} routes[SELF_PATHS] = {
	[SELF_PATH_ROOT] = { answer_root },
	[SELF_PATH_METRICS] = { answer_metrics },
	[SELF_PATH_HEALTH] = { answer_health },
	[SELF_PATH_LIVE] = { answer_live },
	[SELF_PATH_OTHER] = { answer_other },
};

/* False when memory is out. */
static bool
route_of(const struct http *h, struct evhttp_request *r, enum self_path *ret)
{
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(r);
	const char *encoded = uri ? evhttp_uri_get_path(uri) : NULL;
	const char *known[SELF_PATHS] = { [SELF_PATH_ROOT] = "/",
		[SELF_PATH_METRICS] = "/metrics",
		[SELF_PATH_HEALTH] = h->options.health_path,
		[SELF_PATH_LIVE] = h->options.live_path };
	char *path = encoded ? strdup(encoded) : NULL;
	bool has_memory = path || encoded == NULL;
	size_t found = SELF_PATH_OTHER;

	if (path && query_decode(path, false) == strlen(path))
		for (size_t i = 0; i < SELF_PATH_OTHER; i++)
			if (strcmp(path, known[i]) == 0)
				found = i;
	free(path);
	*ret = (enum self_path)found;
	return has_memory;
}

/* A token, as RFC 9110 has it; so a name with a space before its colon is none. */
static bool
is_token(const char *text)
{
	static const char others[] = "!#$%&'*+-.^_`|~";
	const char *c = text;

	while ((*c >= '0' && *c <= '9') || ((*c | 0x20) >= 'a' && (*c | 0x20) <= 'z') ||
	       (*c && strchr(others, *c)))
		c++;
	return c > text && *c == '\0';
}

/*
 * A body, and all that says how long one is, or asks for another protocol: nobody needs
 * it here, and two who read it may not agree on where the request ends.
 */
static bool
is_odd(struct evhttp_request *r)
{
	static const char *const odd[] = { "Content-Length", "Transfer-Encoding",
		"Trailer", "TE", "Expect", "Upgrade" };
	const struct evkeyval *header = evhttp_request_get_input_headers(r)->tqh_first;
	unsigned hosts = 0;

	for (; header; header = header->next.tqe_next) {
		if (!is_token(header->key))
			return true;
		hosts += strcasecmp(header->key, "Host") == 0;
		for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
			if (strcasecmp(header->key, odd[i]) == 0)
				return true;
	}
	return hosts > 1;
}

/* evhttp says in its answer whatever version it was asked in. True if that was none. */
static bool
set_version(struct evhttp_request *r)
{
	bool odd = r->major != 1 || r->minor > 1;

	if (odd)
		r->major = r->minor = 1;
	return odd;
}

static void
on_request(struct evhttp_request *r, void *arg)
{
	struct http *h = arg;
	struct evhttp_connection *c = evhttp_request_get_connection(r);
	struct event_base *base = evhttp_connection_get_base(c);
	struct exchange x = { .request = r, .began_ns = turn_clock_ns() };
	enum evhttp_cmd_type method = evhttp_request_get_command(r);
	bool has_route;

	turn_ms(h->turn);
	x.guarded = http_guard_request(h->guard, evhttp_connection_get_bufferevent(c));
	x.last = http_guard_is_odd(x.guarded) || is_odd(r) || set_version(r);
	has_route = route_of(h, r, &x.path);
	if (method != EVHTTP_REQ_GET && method != EVHTTP_REQ_HEAD)
		http_answer(h, &x, 405, "Method Not Allowed", TEXT_TYPE,
		    "only GET and HEAD are served\n", "Allow", "GET, HEAD");
	else if (!has_route)
		answer_no_memory(h, &x);
	else
		routes[x.path].answer(h, &x);
	/* Others come before the next request of a client that does not wait for answers.
	 */
	if (turn_busy_ns(h->turn) > TURN_LONG_NS)
		event_base_loopbreak(base);
}

/* ---- The whole --------------------------------------------------------- */

/* Bounds that evhttp has. */
static void
set_bounds(struct http *h)
{
	uint32_t ms = h->options.request_ms;
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	evhttp_set_timeout_tv(h->server, &tv);
	evhttp_set_max_headers_size(h->server, h->options.header_bytes);
	evhttp_set_max_body_size(h->server, h->options.body_bytes);
}

static struct http_guard_options
guard_options(const struct http *h)
{
	/* More than a head or a body that is just short enough. */
	return (struct http_guard_options){ .connections = h->options.connections,
		.request_ms = h->options.request_ms,
		.read_bytes = h->options.header_bytes + h->options.body_bytes + 1024 };
}

/* 0, or -1 when memory is out. */
static int
set_up(struct http *h, struct event_base *base)
{
	struct http_guard_options guard = guard_options(h);
	struct evconnlistener *listener;

	h->server = evhttp_new(base);
	listener = evconnlistener_new(base, NULL, NULL,
	    LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, h->options.listen);
	if (listener == NULL)
		close(h->options.listen);
	if (listener && (h->server == NULL || !evhttp_bind_listener(h->server, listener)))
		evconnlistener_free(listener);
	else if (listener && h->server)
		h->guard =
		    http_guard_new(h->server, listener, &guard, h->turn, h->self, h->log);
	if (h->guard == NULL || scrapes_new(h, base) != 0)
		return -1;
	set_bounds(h);
	evhttp_set_allowed_methods(h->server, ALL_METHODS);
	evhttp_set_gencb(h->server, on_request, h);
	return 0;
}

struct http *
http_new(const struct http_options *options, struct event_base *base, struct turn *turn,
    const struct registry *registry, struct apply *apply, struct self_metrics *self,
    struct log *log)
{
	struct http *h = calloc(1, sizeof(*h));
	struct http_page_room *room = http_page_room_new();

	if (h == NULL || room == NULL) {
		http_page_room_free(room);
		free(h);
		close(options->listen);
		return NULL;
	}
	h->options = *options;
	h->turn = turn;
	h->registry = registry;
	h->apply = apply;
	h->self = self;
	h->log = log;
	h->room = room;
	if (set_up(h, base) != 0) {
		http_free(h);
		return NULL;
	}
	return h;
}

void
http_free(struct http *h)
{
	if (h == NULL)
		return;
	scrapes_free(h);
	if (h->server)
		evhttp_free(h->server);
	http_guard_free(h->guard);
	http_page_room_free(h->room);
	free(h);
}

void
http_turn(struct http *h)
{
	http_guard_turn(h->guard);
	self_set(h->self, SELF_BUFFERED_BYTES, SELF_SOCKET_HTTP, 0,
	    (double)http_page_room_bytes(h->room));
	if (!scrapes_are_there(h))
		return;
	if (h->scrape_began)
		apply_refresh(h->apply);
	h->scrape_began = false;
	scrape_turn(h);
}

void
http_set_options(struct http *h, const struct http_options *options)
{
	struct http_guard_options guard;

	h->options.connections = options->connections;
	h->options.scrapes = options->scrapes;
	h->options.request_ms = options->request_ms;
	h->options.header_bytes = options->header_bytes;
	h->options.body_bytes = options->body_bytes;
	h->options.buffered_bytes = options->buffered_bytes;
	h->options.gzip = options->gzip;
	set_bounds(h);
	guard = guard_options(h);
	http_guard_set(h->guard, &guard);
}

void
http_stop(struct http *h)
{
	h->stopped = true;
	http_guard_stop(h->guard);
}

bool
http_is_answering(const struct http *h)
{
	return scrapes_are_there(h) || http_guard_is_answering(h->guard);
}

uint64_t
http_taken(const struct http *h)
{
	return h->taken;
}

bool
http_is_expecting(const struct http *h)
{
	return http_guard_is_expecting(h->guard);
}
