/* SPDX-License-Identifier: Apache-2.0 */
#include "server_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "figures.h"
#include "process.h"

#define LOAD_MS 300000 /* the most that loading what was kept takes */

#ifndef DYNAMO_METRICS_VERSION
#define DYNAMO_METRICS_VERSION "unknown"
#endif

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

static void
put_problems(void *arg, struct strbuf *out)
{
	struct server *s = arg;
	struct strbuf others = STRBUF_EMPTY;

	state_problems(s->state, &others);
	if (others.failed)
		out->failed = true;
	else
		doors_problems(&s->doors, &others, out);
	strbuf_free(&others);
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
		s->state = state_new(s->config, s->base, &s->turn, s->log);
	return s->state ? 0 : -1;
}

void
server_ingest_options(const struct config *c, struct ingest_options *o)
{
	options_ingest(c, o);
	o->descriptors = options_room(c, process_want_fds(0)).ingest;
}

void
server_http_options(const struct config *c, struct http_options *o)
{
	uint32_t most = options_room(c, process_want_fds(0)).http;

	options_http(c, o);
	if (o->connections > most)
		o->connections = most;
}

static int
open_ingest(struct server *s, char *error)
{
	struct ingest_options options;

	server_ingest_options(s->config, &options);
	options.listen =
	    doors_open_ingest(&s->doors, s->config, error, SERVER_ERROR_TEXT);
	if (options.listen < 0)
		return -1;
	s->ingest = ingest_new(&options, s->base, &s->turn, s->apply, s->self, s->log);
	return s->ingest ? 0 : -1;
}

static int
open_http(struct server *s, char *error)
{
	struct http_options options = { .health = { .started_ns = s->started_ns,
					    .problems = put_problems,
					    .problems_arg = s } };

	if (doors_open_http(
		&s->doors, s->config, &options.listen, error, SERVER_ERROR_TEXT) != 0)
		return -1;
	if (options.listen < 0)
		return 0;
	server_http_options(s->config, &options);
	s->http =
	    http_new(&options, s->base, &s->turn, s->registry, s->apply, s->self, s->log);
	return s->http ? 0 : -1;
}

static void
say_started(const struct server *s)
{
	const struct doors *d = &s->doors;
	bool is_port = d->port != 0;

	log_line(s->log, LOG_LEVEL_INFO,
	    "server: started: dynamo-metricsd " DYNAMO_METRICS_VERSION
	    ", workers at %s, %s%s",
	    d->ingest, is_port ? d->http : d->status, is_port ? "/metrics" : "");
}

static int
load(struct server *s, char *error)
{
	service_is_loading(&s->service, LOAD_MS);
	return state_load(s->state, s->apply, s->self, error);
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
	s->doors = DOORS_NONE;
	s->started_ns = turn_clock_ns();
	service_begin(&s->service);
	if (doors_take_passed(&s->doors, config, source, log, error, SERVER_ERROR_TEXT) !=
		0 ||
	    make_loop(s) != 0 || make_registry(s) != 0 || open_ingest(s, error) != 0 ||
	    open_http(s, error) != 0 || load(s, error) != 0) {
		server_free(s);
		return NULL;
	}
	turn_end(&s->turn);
	say_started(s);
	return s;
}

void
server_free(struct server *s)
{
	if (s == NULL)
		return;
	http_free(s->http);
	ingest_free(s->ingest);
	doors_close(&s->doors);
	service_end(&s->service);
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
	return s->doors.port;
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
