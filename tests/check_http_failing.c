/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP part when memory is out: every allocation of it is refused in turn, that of an
 * accept, of a short answer, of a page, plain and packed. (evhttp's are not: it follows
 * null pointers then.) Who asks gets a whole right answer, a refusal or the end of the
 * connection, and the next one is served. */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#include "failing.h"
#include "http.h"
#include "suite.h"
#include "talk.h"

#define SERIES	   6000
#define PER_BATCH  250
#define ROOM	   (4 << 20) /* for a page */
#define MOST_TURNS 20000     /* nothing waits for longer than the pause after an accept */

#define LEVEL "\"namespace\":\"a\",\"component\":\"b\",\"metrics\":"
#define ONE   "{\"name\":\"one\",\"type\":\"counter\",\"inc\":7"
#define MANY  "{\"name\":\"n\",\"type\":\"counter\",\"inc\":1,\"labels\":{\"l\":"
#define HOST  " HTTP/1.1\r\nHost: h\r\n"
#define END   "\r\n"

static struct {
	struct talk *t;
	struct event_base *base;
	struct turn now;
	struct http *h;
	struct sockaddr_in address;
	int descriptors; /* before it all */
} r;

static int
count_descriptors(void)
{
	DIR *folder = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(folder))
		n++;
	closedir(folder);
	return n;
}

static void
make_series(void)
{
	static char json[65536];

	for (int i = 0; i < SERIES;) {
		int n = sprintf(json, "{" LEVEL "[" ONE "}");

		for (int end = i + PER_BATCH; i < end; i++)
			n += sprintf(json + n, "," MANY "\"%d-%lx-%lx-%lx-%lx-%lx\"}}", i,
			    random(), random(), random(), random(), random());
		sprintf(json + n, "]}");
		ck_assert_str_eq(talk_json(r.t, json), "{\"ok\":true}");
	}
}

static struct http *
new_http(void)
{
	struct http_options o = { .connections = 100,
		.scrapes = 10,
		.request_ms = 60000,
		.header_bytes = 8192,
		.body_bytes = 1024,
		.buffered_bytes = 64 << 20,
		.gzip = true,
		.health_path = "/health",
		.live_path = "/live",
		.health.starting_ready = true };
	socklen_t bytes = sizeof(r.address);

	r.address = (struct sockaddr_in){ .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	o.listen = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(o.listen, (struct sockaddr *)&r.address, bytes), 0);
	ck_assert_int_eq(getsockname(o.listen, (struct sockaddr *)&r.address, &bytes), 0);
	ck_assert_int_eq(listen(o.listen, 100), 0);
	return http_new(
	    &o, r.base, &r.now, r.t->registry, r.t->apply, r.t->self, r.t->log);
}

static void
set_up(void)
{
	signal(SIGPIPE, SIG_IGN); /* as the daemon has it */
	r.descriptors = count_descriptors();
	r.t = talk_new(NULL, NULL);
	r.base = event_base_new();
	r.h = new_http();
	ck_assert_ptr_nonnull(r.h);
}

static void
tear_down(void)
{
	http_free(r.h);
	event_base_free(r.base);
	talk_free(r.t);
	ck_assert_int_eq(count_descriptors(), r.descriptors);
}

/* None waits for long. */
static void
turn(void)
{
	struct timeval ms = { .tv_usec = 1000 };

	event_base_loopexit(r.base, &ms);
	event_base_loop(r.base, EVLOOP_ONCE);
	http_turn(r.h);
	turn_end(&r.now);
}

struct answer {
	int code;
	char *text; /* of a page, what is the same each time */
};

static void
unpack(char *body, size_t *bytes)
{
	static char text[ROOM];
	z_stream z = { .next_in = (uint8_t *)body, .avail_in = (unsigned)*bytes };

	ck_assert_int_eq(inflateInit2(&z, 15 + 16), Z_OK);
	z.next_out = (uint8_t *)text;
	z.avail_out = ROOM - 1;
	ck_assert_int_eq(inflate(&z, Z_FINISH), Z_STREAM_END);
	ck_assert_uint_eq(z.avail_in, 0);
	*bytes = z.total_out;
	memcpy(body, text, *bytes);
	inflateEnd(&z);
}

/* What is the same each time: no figures of the daemon itself. */
static char *
same_part(const char *body)
{
	const char *page = strstr(body, "# TYPE dynamo_n ");
	const char *from = page ? page : body;
	const char *to = strstr(from, page ? "dynamo_system_" : "\"uptime\"");

	ck_assert(page == NULL || (to && strstr(to, "\nprocess_max_fds ")));
	return strndup(from, to ? (size_t)(to - from) : strlen(from));
}

/* The chunks at `at` into body; where they end, NULL: they do not. */
static const char *
join(const char *at, const char *end, char *body, size_t *ret_bytes)
{
	for (size_t n = 1; n > 0;) {
		const char *line = memmem(at, (size_t)(end - at), "\r\n", 2);

		n = line ? strtoul(at, NULL, 16) : 0;
		if (line == NULL || (size_t)(end - line) < n + 4)
			return NULL;
		memcpy(body + *ret_bytes, line + 2, n);
		*ret_bytes += n;
		at = line + 2 + n + 2;
		ck_assert(memcmp(at - 2, "\r\n", 2) == 0);
	}
	return at;
}

static const char *
find(const char *at, const char *end, const char *text)
{
	return memmem(at, (size_t)(end - at), text, strlen(text));
}

/* Where the answer at `at` ends; NULL: it is not there whole. Each says where that is. */
static const char *
take(const char *at, const char *end, bool head, struct answer *ret)
{
	static char body[ROOM];
	const char *more = find(at, end, "\r\n\r\n"), *length;
	size_t bytes = 0;

	if (more == NULL)
		return NULL;
	more += 4;
	length = find(at, more, "\r\nContent-Length: ");
	if (!head && length) {
		bytes = strtoul(length + 18, NULL, 10);
		if ((size_t)(end - more) < bytes)
			return NULL;
		memcpy(body, more, bytes);
		more += bytes;
	} else if (!head) {
		ck_assert(find(at, more, "\r\nTransfer-Encoding: chunked\r\n"));
		more = join(more, end, body, &bytes);
	}
	if (more && bytes > 0 && find(at, more, "\r\nContent-Encoding: gzip\r\n"))
		unpack(body, &bytes);
	body[bytes] = '\0';
	if (more)
		*ret = (struct answer){ atoi(at + 9), same_part(body) };
	return more;
}

static const struct ask {
	const char *text;
	size_t answers;
	int code;
	bool head;
	const char *part; /* of the first answer */
} asks[] = {
	{ "GET /live" HOST END, 1, 200, false, "{\"status\":\"ready\"" },
	{ "GET /health" HOST END, 1, 200, false, "{\"status\":\"ready\"" },
	{ "GET /metrics" HOST END, 1, 200, false, "} 168\n" },
	{ "GET /metrics" HOST "Accept-Encoding: gzip\r\n" END, 1, 200, false, "} 168\n" },
	{ "GET /metrics?name[]=dynamo_one&namespace=a&component=b" HOST END, 1, 200,
	    false, "} 168\n" },
	{ "HEAD /metrics" HOST END, 1, 200, true, "" },
	{ "HEAD /live" HOST END, 1, 200, true, "" },
	{ "GET /metrics?component=b" HOST END, 1, 400, false, "component= needs" },
	{ "GET /live" HOST END "GET /metrics?name[]=dynamo_one" HOST END, 2, 200, false,
	    "{\"status\":\"ready\"" },
};

/* Ask on a new connection, until all is answered or it is closed. How many answers came
 * whole; they are the caller's. */
static size_t
ask(const struct ask *a, struct answer *ret)
{
	static char got[ROOM];
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	size_t n = 0, bytes = strlen(a->text);
	const char *at = got, *end = got, *next;
	ssize_t some = 1;

	ck_assert_int_eq(
	    connect(fd, (struct sockaddr *)&r.address, sizeof(r.address)), 0);
	ck_assert_int_eq(send(fd, a->text, bytes, MSG_NOSIGNAL), (ssize_t)bytes);
	for (int i = 0; n < a->answers && (some > 0 || errno == EAGAIN); i++) {
		ck_assert_int_lt(i, MOST_TURNS);
		turn();
		errno = 0;
		some =
		    recv(fd, got + (end - got), (size_t)(got + ROOM - end), MSG_DONTWAIT);
		end += some > 0 ? some : 0;
		for (; n < a->answers && (next = take(at, end, a->head, &ret[n])); n++)
			at = next;
	}
	if (n == a->answers)
		ck_assert_ptr_eq(at, end);
	close(fd);
	return n;
}

/* Nothing of what was asked is left. */
static void
settle(void)
{
	const double *bytes =
	    self_cells(r.t->self, SELF_BUFFERED_BYTES, SELF_SOCKET_HTTP);

	for (int i = 0; i < 3 || http_is_answering(r.h) || *bytes != 0; i++) {
		ck_assert_int_lt(i, MOST_TURNS);
		turn();
	}
}

/* The same as when all was well; with may_fail, a refusal is right, too, and what did not
 * come whole. How many came that were right. */
static size_t
check(const struct ask *a, const struct answer *well, bool may_fail)
{
	struct answer got[2];
	size_t n = ask(a, got), right = 0;

	settle();
	ck_assert(may_fail || n == a->answers);
	for (size_t i = 0; i < n; i++) {
		bool same =
		    got[i].code == well[i].code && strcmp(got[i].text, well[i].text) == 0;
		bool refused = (got[i].code == 500 || got[i].code == 503) &&
			       (a->head || strcmp(got[i].text, "memory is out\n") == 0);

		ck_assert_msg(same || (may_fail && refused), "%.20s: %d: %.200s", a->text,
		    got[i].code, got[i].text);
		right += same;
		free(got[i].text);
	}
	return right;
}

/* With memory that comes back, and with memory that stays out. */
START_TEST(one_that_asks_is_answered_right_refused_or_cut_off)
{
	const struct ask *a = &asks[_i / 2];
	unsigned how = _i % 2 ? FAILING_REST : FAILING_ONE;
	struct answer well[2] = { 0 };
	size_t refused = 0, failed = 0;

	make_series();
	ck_assert_uint_eq(ask(a, well), a->answers);
	ck_assert_int_eq(well[0].code, a->code);
	ck_assert_ptr_nonnull(strstr(well[0].text, a->part));
	settle();
	for (size_t n = 0; failing_more(n); n++) {
		failing_arm(n, how);
		failed += check(a, well, true) < a->answers;
		refused += failing_end();
		check(a, well, false);
	}
	ck_assert_uint_ge(refused, 3); /* two of them those of the connection */
	ck_assert_uint_gt(failed, 0);
	free(well[0].text);
	free(well[1].text);
}
END_TEST

START_TEST(it_starts_whole_or_not_at_all)
{
	for (size_t n = 0; failing_more(n); n++) {
		http_free(r.h);
		failing_after(n);
		r.h = new_http();
		ck_assert(failing_end() == (r.h == NULL));
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("http_failing");
	TCase *c = tcase_create("all");
	int n = (int)(sizeof(asks) / sizeof(asks[0]));

	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_set_timeout(c, 60);
	tcase_add_loop_test(
	    c, one_that_asks_is_answered_right_refused_or_cut_off, 0, 2 * n);
	tcase_add_test(c, it_starts_whole_or_not_at_all);
	suite_add_tcase(suite, c);
	return suite_run(suite);
}
