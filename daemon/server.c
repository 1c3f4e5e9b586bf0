/* SPDX-License-Identifier: Apache-2.0 */
#include "server.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "figures.h"
#include "http.h"
#include "http_socket.h"
#include "ingest.h"
#include "options.h"
#include "process.h"
#include "sp.h"
#include "socket_file.h"
#include "state.h"

#define STOP_MS 2000 /* the most that answering takes when it stops */
#define HELD_MS 500  /* the most that a killed daemon still holds its socket */

#ifndef DYNAMO_METRICS_VERSION
#define DYNAMO_METRICS_VERSION "unknown"
#endif

enum stopping { STOPPING_NOT, STOPPING_IN_ORDER, STOPPING_AT_ONCE };

enum { SIGNALS = 3 };

struct server {
	struct config *config;
	const struct config_source *source;
	struct log *log;
	struct turn turn;
	struct event_base *base;
	struct self_metrics *self;
	struct registry *registry;
	struct apply *apply;
	struct state *state;
	struct socket_file socket;
	struct ingest *ingest;
	struct http *http; /* NULL: disabled */
	uint16_t port;
	struct port_file port_file;
	struct event *lease; /* when apply or the log has something to do */
	uint64_t lease_ms;   /* what it is set to */
	struct event *signal[SIGNALS];
	enum stopping stopping;
	bool reload_wanted;
	uint64_t stop_ms; /* when stopping in order is given up */
	uint64_t started_ns;
};

/* ---- Reloading --------------------------------------------------------- */

/* All options are handed on: each part takes those that can change while it runs. */
static void
take_config(struct server *s)
{
	const struct config *c = s->config;
	struct registry_limits limits = options_limits(c);
	struct apply_options apply = { 0 };
	struct ingest_options ingest = { 0 };
	struct http_options http = { 0 };

	options_apply(c, &apply);
	options_ingest(c, &ingest);
	options_http(c, &http);
	log_set_level(s->log, (enum log_level)c->log.level);
	server_want_fds(c, s->log);
	registry_set_limits(s->registry, &limits);
	apply_set_options(s->apply, &apply);
	ingest_set_options(s->ingest, &ingest);
	state_set_options(s->state);
	if (s->http)
		http_set_options(s->http, &http);
}

static void
reload(struct server *s)
{
	struct strbuf changed = STRBUF_EMPTY, waiting = STRBUF_EMPTY;
	struct config_error e;
	bool good = config_reload(s->config, s->source, &changed, &waiting, &e) == 0;

	if (good)
		take_config(s);
	self_add(s->self, SELF_CONFIG_RELOADS, good ? SELF_RELOAD_OK : SELF_RELOAD_FAILED,
	    0, 1);
	if (good)
		log_line(s->log, LOG_LEVEL_INFO,
		    "server: SIGHUP: configuration read again: %s%s",
		    changed.bytes ? "changed: " : "nothing changes",
		    changed.bytes ? changed.at : "");
	else
		log_line(s->log, LOG_LEVEL_ERROR,
		    "server: SIGHUP: the configuration stays as it was: %s", e.text);
	if (good && waiting.bytes)
		log_line(s->log, LOG_LEVEL_WARNING,
		    "server: SIGHUP: changed, but needs a restart: %s", waiting.at);
	strbuf_free(&changed);
	strbuf_free(&waiting);
}

/* ---- Stopping ---------------------------------------------------------- */

static void
stop(struct server *s, const char *why)
{
	if (s->stopping == STOPPING_AT_ONCE)
		return;
	s->stopping = s->stopping == STOPPING_NOT ? STOPPING_IN_ORDER : STOPPING_AT_ONCE;
	log_line(s->log, LOG_LEVEL_INFO, "server: stopping%s: %s",
	    s->stopping == STOPPING_AT_ONCE ? " at once" : "", why);
}

static void
on_stop_signal(int number, short what, void *arg)
{
	struct server *s = arg;

	(void)what;
	turn_ms(&s->turn);
	stop(s, number == SIGTERM ? "SIGTERM" : "SIGINT");
}

static void
on_hangup(int number, short what, void *arg)
{
	struct server *s = arg;

	(void)number;
	(void)what;
	turn_ms(&s->turn);
	s->reload_wanted = true;
}

static const struct {
	int number;
	event_callback_fn handler;
} handlers[SIGNALS] = { { SIGTERM, on_stop_signal }, { SIGINT, on_stop_signal },
	{ SIGHUP, on_hangup } };

/* SIG_BLOCK: the signals of a server wait; SIG_UNBLOCK: they do not. */
static void
hold_signals(int how)
{
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < SIGNALS; i++)
		sigaddset(&set, handlers[i].number);
	sigprocmask(how, &set, NULL);
}

void
server_hold_signals(void)
{
	signal(SIGXFSZ, SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
	hold_signals(SIG_BLOCK);
}

static int
take_signals(struct server *s)
{
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < SIGNALS; i++) {
		s->signal[i] =
		    evsignal_new(s->base, handlers[i].number, handlers[i].handler, s);
		if (s->signal[i] == NULL || event_add(s->signal[i], NULL) != 0)
			return -1;
	}
	return 0;
}

/* ---- The loop ---------------------------------------------------------- */

static void
on_lease(int fd, short what, void *arg)
{
	struct server *s = arg;

	(void)fd;
	(void)what;
	turn_ms(&s->turn); /* what is due is done at the end of the turn */
}

/* A timer that is set and earlier is left as it is: it only wakes the loop once more. */
static void
set_lease_timer(struct server *s)
{
	uint64_t now_ms = turn_ms(&s->turn);
	uint64_t log_ms = log_due_ms(s->log, now_ms);
	uint64_t state_ms = state_due_ms(s->state, now_ms);
	uint64_t ms = apply_due_ms(s->apply, now_ms);
	struct timeval tv;

	if (log_ms < ms)
		ms = log_ms;
	if (state_ms < ms)
		ms = state_ms;
	if (ms == UINT64_MAX ||
	    (event_pending(s->lease, EV_TIMEOUT, NULL) && s->lease_ms <= now_ms + ms))
		return;
	s->lease_ms = now_ms + ms;
	/* A millisecond more: the clock of a turn is cut down to whole ones. */
	ms = ms < UINT32_MAX ? ms + 1 : UINT32_MAX;
	tv = (struct timeval){ (time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000) };
	event_add(s->lease, &tv);
}

/* Wait, unless flags say otherwise, and take one turn. 0, or -1 when the loop failed. */
static int
take_turn(struct server *s, int flags)
{
	if (event_base_loop(s->base, flags) < 0) {
		log_line(
		    s->log, LOG_LEVEL_ERROR, "server: loop failed: %s", strerror(errno));
		return -1;
	}
	/* Once, however many SIGHUPs came, and never when it is about to end. */
	if (s->reload_wanted && s->stopping == STOPPING_NOT)
		reload(s);
	s->reload_wanted = false;
	apply_tick(s->apply, turn_ms(&s->turn));
	/* Neither a reply nor a page may tell of what a kill would take back. */
	state_turn(s->state);
	ingest_release(s->ingest);
	ingest_hold(s->ingest, s->stopping == STOPPING_NOT && state_is_behind(s->state));
	if (s->http)
		http_turn(s->http);
	log_catch_up(s->log, turn_ms(&s->turn), false);
	set_lease_timer(s);
	self_observe(s->self, SELF_LOOP_TURN, 0, 0, turn_end(&s->turn));
	return 0;
}

static bool
is_answering(const struct server *s)
{
	return ingest_has_replies(s->ingest) || (s->http && http_is_answering(s->http));
}

/* What came before the end is read and answered, if the clients take it in time. */
static int
stop_in_order(struct server *s)
{
	uint64_t end_ms = turn_ms(&s->turn) + STOP_MS;
	struct timeval tv = { .tv_sec = STOP_MS / 1000 };

	if (s->http)
		http_stop(s->http);
	/* A turn that gets long ends before all that came was read. */
	do
		if (take_turn(s, EVLOOP_ONCE | EVLOOP_NONBLOCK) != 0)
			return -1;
	while (event_base_got_break(s->base) && turn_ms(&s->turn) < end_ms);
	ingest_stop(s->ingest);
	/* Short answers of HTTP are written in one turn more. */
	if (take_turn(s, EVLOOP_ONCE | EVLOOP_NONBLOCK) != 0)
		return -1;
	while (is_answering(s) && s->stopping != STOPPING_AT_ONCE &&
	       turn_ms(&s->turn) < end_ms) {
		event_base_loopexit(s->base, &tv);
		if (take_turn(s, EVLOOP_ONCE) != 0)
			return -1;
	}
	return 0;
}

static int
serve(struct server *s)
{
	while (s->stopping == STOPPING_NOT)
		if (take_turn(s, EVLOOP_ONCE) != 0)
			return -1;
	return stop_in_order(s);
}

int
server_run(struct server *s)
{
	int rc = take_signals(s);

	if (rc == 0) {
		hold_signals(SIG_UNBLOCK);
		rc = serve(s);
		hold_signals(SIG_BLOCK);
	}
	if (rc != 0)
		return -1;
	log_catch_up(s->log, turn_ms(&s->turn), true);
	state_stop(s->state);
	log_line(s->log, LOG_LEVEL_INFO, "server: stopped");
	return 0;
}

/* ---- The parts --------------------------------------------------------- */

/* What only the server knows. */
static void
refresh_figures(void *arg)
{
	struct server *s = arg;

	state_refresh(s->state);
	figures_set(s->self, s->started_ns);
}

static void
put_state(void *arg, struct strbuf *out)
{
	struct server *s = arg;

	state_status(s->state, out);
}

static uint64_t
unix_ms(void *arg)
{
	(void)arg;
	return turn_unix_ms();
}

/* The parts that know no socket. 0, or -1 when memory is out. */
static int
make_registry(struct server *s)
{
	struct registry_limits limits = options_limits(s->config);
	struct naming naming = options_naming(s->config);
	struct apply_options options = {
		.started_ms = s->started_ns / 1000000U,
		.admin_uid = geteuid(),
		.version = DYNAMO_METRICS_VERSION,
		.refresh = refresh_figures,
		.unix_ms = unix_ms,
		.state_status = put_state,
		.refresh_arg = s,
		.journal = state_journal(s->state),
	};

	if (getrandom(&options.epoch, sizeof(options.epoch), 0) !=
	    (ssize_t)sizeof(options.epoch))
		return -1;
	s->self = self_metrics_new();
	s->registry = registry_new(&limits, s->log);
	if (s->self == NULL || s->registry == NULL ||
	    !registry_set_naming(s->registry, &naming))
		return -1;
	options_apply(s->config, &options);
	s->apply = apply_new(&options, s->registry, s->self, s->log);
	return s->apply ? 0 : -1;
}

static int
make_loop(struct server *s)
{
	s->base = event_base_new();
	if (s->base)
		s->lease = evtimer_new(s->base, on_lease, s);
	if (s->lease)
		s->state = state_new(s->config, s->base, &s->turn, s->log);
	return s->state ? 0 : -1;
}

static int
open_ingest(struct server *s, char *error)
{
	const struct config *c = s->config;
	const char *path = sp_ipc_path(c->ingest.address);
	struct ingest_options options;

	socket_file_wait(path, HELD_MS);
	if (socket_file_open(&s->socket, path, error, SERVER_ERROR_TEXT) != 0)
		return -1;
	options_ingest(c, &options);
	options.listen = socket_file_take(&s->socket);
	s->ingest = ingest_new(&options, s->base, &s->turn, s->apply, s->self, s->log);
	return s->ingest ? 0 : -1;
}

static int
write_port_file(struct server *s, char *error)
{
	char *path = config_port_file(s->config);
	int rc = -1;

	if (path)
		rc = port_file_write(
		    &s->port_file, path, s->port, error, SERVER_ERROR_TEXT);
	free(path);
	return rc;
}

static int
open_http(struct server *s, char *error)
{
	const struct config *c = s->config;
	struct http_options options = { .health = { .started_ns = s->started_ns,
					    .problems = state_problems,
					    .problems_arg = s->state } };

	if (!c->http.enabled || c->http.port < 0)
		return 0;
	options.listen = http_socket_listen(
	    c->http.host, (uint16_t)c->http.port, &s->port, error, SERVER_ERROR_TEXT);
	if (options.listen < 0)
		return -1;
	options_http(c, &options);
	s->http =
	    http_new(&options, s->base, &s->turn, s->registry, s->apply, s->self, s->log);
	return s->http ? write_port_file(s, error) : -1;
}

static void
say_started(const struct server *s)
{
	char url[300] = "HTTP disabled";

	if (s->http)
		http_socket_url(s->config->http.host, s->port, url, sizeof(url));
	log_line(s->log, LOG_LEVEL_INFO,
	    "server: started: dynamo-metricsd " DYNAMO_METRICS_VERSION
	    ", workers at %s, %s%s",
	    s->config->ingest.address, url, s->http ? "/metrics" : "");
}

struct server *
server_new(struct config *config, const struct config_source *source, struct log *log,
    char error[SERVER_ERROR_TEXT])
{
	struct server *s = calloc(1, sizeof(*s));

	snprintf(error, SERVER_ERROR_TEXT, "memory is out");
	if (s == NULL)
		return NULL;
	s->config = config;
	s->source = source;
	s->log = log;
	s->socket = SOCKET_FILE_NONE;
	s->started_ns = turn_clock_ns();
	if (make_loop(s) != 0 || make_registry(s) != 0 || open_ingest(s, error) != 0 ||
	    open_http(s, error) != 0 ||
	    state_load(s->state, s->apply, s->self, error) != 0) {
		server_free(s);
		return NULL;
	}
	set_lease_timer(s);
	turn_end(&s->turn);
	say_started(s);
	return s;
}

void
server_free(struct server *s)
{
	if (s == NULL)
		return;
	port_file_remove(&s->port_file);
	http_free(s->http);
	ingest_free(s->ingest);
	socket_file_close(&s->socket);
	for (size_t i = 0; i < SIGNALS; i++)
		if (s->signal[i])
			event_free(s->signal[i]);
	if (s->lease)
		event_free(s->lease);
	state_free(s->state);
	if (s->base)
		event_base_free(s->base);
	apply_free(s->apply);
	registry_free(s->registry);
	self_metrics_free(s->self);
	free(s);
}

uint16_t
server_port(const struct server *s)
{
	return s->port;
}

void
server_want_fds(const struct config *config, struct log *log)
{
	uint64_t wanted = options_fds(config);
	uint64_t got = process_want_fds(wanted);

	if (got < wanted)
		log_line(log, LOG_LEVEL_WARNING,
		    "server: few descriptors: %llu can be opened, and %llu would be "
		    "needed for ingest.connections and http.connections: raise "
		    "LimitNOFILE, or ulimit -n",
		    (unsigned long long)got, (unsigned long long)wanted);
}
