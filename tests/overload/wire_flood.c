/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire_flood SOCKET FIRST WORKERS SERIES - one process that is many workers, each with a
 * connection and a session of its own. They count at the rate that the standard input
 * says (crowd.h), whatever the daemon does; each sends what its counters are now as soon
 * as its last report is acknowledged, as the library does. So what is late is not lost,
 * but comes with the next.
 *
 * One worker in twenty is quiet: it counted once, and only says that it lives, each third
 * of its lease.
 *
 * What is told, beside what crowd.h says ("done" are acknowledged reports): "counts", how
 * far each one counted. Each of its series, and its part of the one that all share, says
 * so.
 */
#include <err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "figures.h"
#include "raw.h"
#include "sp.h"

#define QUIET_ONE_IN 20
#define EVENTS	     64
#define WAIT_MS_MAX  1000

enum { ALL, OWN }; /* the metrics */

struct worker {
	struct raw raw;
	int number;
	double phase; /* of a count: not all count at the same moment */
	uint64_t count, base, reported, done;
	bool is_quiet, waiting, is_ping;
	double sent_s;
};

static struct {
	const char *path;
	int first, workers, epoll;
	uint32_t series;
	double rate, since_s;
	bool settling;
	struct worker *worker;
	struct figures latency;
	char line[80];
	size_t line_bytes;
} flood;

/* ---- A worker ---------------------------------------------------------- */

static void
define(struct worker *w)
{
	struct wire_writer out = raw_writer(&w->raw);
	size_t begun = message_begin_define(&out, w->raw.ticket, ++w->raw.n);
	struct message_metric m = { .kind = MESSAGE_COUNTER,
		.level = { 1, { wire_text("overload") } },
		.help = wire_text("") };
	struct message_child c = { .metric = ALL };
	char number[16], series[16];

	m.id = ALL;
	m.name = wire_text("flood_all_total");
	message_put_metric(&out, &m);
	message_put_child(&out, &c);
	m.id = OWN;
	m.name = wire_text("flood_own_total");
	m.n_variable = 2;
	m.variable_name[0] = wire_text("worker");
	m.variable_name[1] = wire_text("series");
	message_put_metric(&out, &m);
	snprintf(number, sizeof(number), "%d", w->number);
	for (uint32_t i = 0; i < flood.series; i++) {
		snprintf(series, sizeof(series), "%u", i);
		c = (struct message_child){ .metric = OWN,
			.cell = 1 + i,
			.n_values = 2,
			.value = { wire_text(number), wire_text(series) } };
		message_put_child(&out, &c);
	}
	message_end(&out, begun, 3 + flood.series);
	raw_send(&w->raw, &out);
	raw_ack(&w->raw, true);
}

static void
begin(struct worker *w, int i)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = w };

	w->number = flood.first + i;
	w->is_quiet = w->number % QUIET_ONE_IN == QUIET_ONE_IN - 1;
	w->phase = (double)(w->number * 7919 % 1000) / 1000;
	w->count = 1;
	raw_connect(&w->raw, flood.path, SP_REQ, 512 + 48 * (size_t)flood.series);
	raw_hello(&w->raw);
	define(w);
	w->sent_s = figures_now_s();
	if (epoll_ctl(flood.epoll, EPOLL_CTL_ADD, w->raw.fd, &event) != 0)
		err(1, "epoll");
}

static void
report(struct worker *w)
{
	struct wire_writer out = raw_writer(&w->raw);
	size_t begun = message_begin_update(&out, w->raw.ticket, ++w->raw.n);
	uint64_t bits = wire_bits((double)w->count);

	for (uint32_t i = 0; i <= flood.series; i++)
		message_put_record(&out, i, bits);
	message_end(&out, begun, 1 + flood.series);
	raw_send(&w->raw, &out);
	w->reported = w->count;
}

/* Count, and send what there is to send. Returns when there is more to do. */
static double
tick(struct worker *w, double now_s)
{
	double ping_s = w->sent_s + w->raw.lease_ms / 3000.0;
	double counts = 0;

	if (!w->is_quiet && flood.rate > 0) {
		counts = (now_s - flood.since_s) * flood.rate + w->phase;
		w->count = w->base + (uint64_t)counts;
	}
	if (w->waiting)
		return INFINITY;
	if (!w->is_quiet && flood.rate < 0)
		w->count++;
	if (w->count == w->reported && now_s < ping_s) {
		if (counts > 0)
			return now_s + (1 - (counts - floor(counts))) / flood.rate;
		return ping_s;
	}
	w->is_ping = w->count == w->reported;
	if (w->is_ping)
		raw_ping(&w->raw);
	else
		report(w);
	w->waiting = true;
	w->sent_s = now_s;
	return INFINITY;
}

static void
hear(struct worker *w)
{
	if (!raw_ack(&w->raw, false))
		return;
	if (!w->waiting)
		errx(1, "a reply that nobody asked for");
	w->waiting = false;
	if (w->is_ping)
		return;
	w->done++;
	figures_add(&flood.latency, figures_now_s() - w->sent_s);
}

/* ---- All --------------------------------------------------------------- */

static void
tell(void)
{
	for (int i = 0; i < flood.workers; i++)
		printf("%s%ju", i > 0 ? "," : "{\"done\":[",
		    (uintmax_t)flood.worker[i].done);
	for (int i = 0; i < flood.workers; i++)
		printf("%s%ju", i > 0 ? "," : "],\"counts\":[",
		    (uintmax_t)flood.worker[i].count);
	fputs("],\"failed\":0,\"latency\":", stdout);
	figures_print(&flood.latency, stdout);
	puts("}");
	fflush(stdout);
}

static bool
is_settled(void)
{
	for (int i = 0; i < flood.workers; i++)
		if (flood.worker[i].waiting ||
		    flood.worker[i].count != flood.worker[i].reported)
			return false;
	return true;
}

static void
set_rate(double rate)
{
	for (int i = 0; i < flood.workers; i++)
		flood.worker[i].base = flood.worker[i].count;
	flood.rate = rate;
	flood.since_s = figures_now_s();
}

static void
obey(const char *line)
{
	if (strncmp(line, "rate ", 5) == 0)
		set_rate(atof(line + 5));
	else if (strcmp(line, "take") == 0)
		tell();
	else if (strcmp(line, "settle") == 0)
		flood.settling = true;
	else
		errx(2, "what is %s?", line);
	if (flood.settling)
		set_rate(0);
}

/* What the driver says. False at its end. */
static bool
listen_to_driver(void)
{
	char *end;
	ssize_t n = read(STDIN_FILENO, flood.line + flood.line_bytes,
	    sizeof(flood.line) - 1 - flood.line_bytes);

	if (n <= 0)
		return false;
	flood.line_bytes += (size_t)n;
	flood.line[flood.line_bytes] = '\0';
	while ((end = strchr(flood.line, '\n')) != NULL) {
		*end = '\0';
		obey(flood.line);
		flood.line_bytes -= (size_t)(end + 1 - flood.line);
		memmove(flood.line, end + 1, flood.line_bytes + 1);
	}
	return true;
}

/* Wait until then, at most, and hear what has come. False at the end. */
static bool
wait_for_replies(double until_s)
{
	struct epoll_event events[EVENTS];
	double ms = ceil(1e3 * (until_s - figures_now_s()));
	int n = epoll_wait(flood.epoll, events, EVENTS,
	    ms <= 0	       ? 0
	    : ms > WAIT_MS_MAX ? WAIT_MS_MAX
			       : (int)ms);

	for (int i = 0; i < n; i++) {
		if (events[i].data.ptr == NULL && !listen_to_driver())
			return false;
		if (events[i].data.ptr != NULL)
			hear(events[i].data.ptr);
	}
	return true;
}

static void
start(void)
{
	struct epoll_event event = { .events = EPOLLIN };

	flood.epoll = epoll_create1(EPOLL_CLOEXEC);
	flood.worker = calloc((size_t)flood.workers, sizeof(*flood.worker));
	if (flood.epoll < 0 || flood.worker == NULL ||
	    epoll_ctl(flood.epoll, EPOLL_CTL_ADD, STDIN_FILENO, &event) != 0)
		err(1, "set-up");
	for (int i = 0; i < flood.workers; i++)
		begin(&flood.worker[i], i);
	tell();
}

int
main(int argc, char **argv)
{
	double until_s = 0;

	if (argc != 5)
		errx(2, "wire_flood SOCKET FIRST WORKERS SERIES");
	flood.path = argv[1];
	flood.first = atoi(argv[2]);
	flood.workers = atoi(argv[3]);
	flood.series = (uint32_t)atoi(argv[4]);
	start();
	while (wait_for_replies(until_s)) {
		double now_s = figures_now_s();

		until_s = now_s + WAIT_MS_MAX / 1e3;
		for (int i = 0; i < flood.workers; i++)
			until_s = fmin(until_s, tick(&flood.worker[i], now_s));
		if (flood.settling && is_settled()) {
			flood.settling = false;
			tell();
		}
	}
	return 0;
}
