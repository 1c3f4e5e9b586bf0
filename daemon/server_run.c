/* SPDX-License-Identifier: Apache-2.0 */
/* The loop of a server, what it does on signals, and how it ends. */
#include "server_parts.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

/* At the end: the most that clients have to take something of their answers, and to take
 * all (others wait for the next daemon); and to ask what they are about to ask. */
#define STOP_MS	  2000
#define ANSWER_MS 5000
#define EXPECT_MS 500
#define SAVE_MS	  300000 /* the most that the last snapshot takes */

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
	log_set_level(s->log, (enum log_level)c->log.level);
	server_want_fds(c, s->log);
	server_ingest_options(c, &ingest);
	server_http_options(c, &http);
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
	bool good;

	service_is_reloading(&s->service);
	good = config_reload(s->config, s->source, &changed, &waiting, &e) == 0;

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
	service_has_reloaded(&s->service);
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
	service_is_stopping(&s->service);
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

/* Ours, or a stranger that this process has to bury. */
static void
on_child_end(int number, short what, void *arg)
{
	struct server *s = arg;

	(void)number;
	(void)what;
	turn_ms(&s->turn);
	state_bury(s->state);
}

static const struct {
	int number;
	event_callback_fn handler;
} handlers[SIGNALS] = { { SIGTERM, on_stop_signal }, { SIGINT, on_stop_signal },
	{ SIGHUP, on_hangup }, { SIGCHLD, on_child_end } };

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
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
	hold_signals(SIG_BLOCK);
}

static int
take_signals(struct server *s)
{
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

static struct service_figures
figures_of(const struct server *s)
{
	return (
	    struct service_figures){ apply_workers(s->apply), apply_series(s->apply) };
}

/* Milliseconds until something is due; UINT64_MAX: nothing is. */
static uint64_t
next_due_ms(struct server *s, uint64_t now_ms)
{
	const uint64_t due_ms[] = {
		apply_due_ms(s->apply, now_ms), log_due_ms(s->log, now_ms),
		state_due_ms(s->state, now_ms), service_due_ms(&s->service, now_ms),
		s->stopping == STOPPING_NOT ? doors_due_ms(&s->doors, now_ms) : UINT64_MAX
	};
	uint64_t next_ms = UINT64_MAX;

	for (size_t i = 0; i < sizeof(due_ms) / sizeof(due_ms[0]); i++)
		if (due_ms[i] < next_ms)
			next_ms = due_ms[i];
	return next_ms;
}

/* A timer that is set and earlier is left as it is: it only wakes the loop once more. */
static void
set_lease_timer(struct server *s)
{
	uint64_t now_ms = turn_ms(&s->turn);
	uint64_t ms = next_due_ms(s, now_ms);
	struct timeval tv;

	if (ms == UINT64_MAX ||
	    (event_pending(s->lease, EV_TIMEOUT, NULL) && s->lease_ms <= now_ms + ms))
		return;
	s->lease_ms = now_ms + ms;
	/* A millisecond more: the clock of a turn is cut down to whole ones. */
	ms = ms < UINT32_MAX ? ms + 1 : UINT32_MAX;
	tv = (struct timeval){ (time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000) };
	event_add(s->lease, &tv);
}

static void
look_at_doors(struct server *s)
{
	int listen = doors_look(&s->doors, turn_ms(&s->turn), s->log);

	if (listen >= 0)
		ingest_listen_at(s->ingest, listen);
}

/* Wait, unless flags say otherwise, and take one turn. 0, or -1 when the loop failed. */
static int
take_turn(struct server *s, int flags)
{
	struct service_figures figures;

	if (event_base_loop(s->base, flags) < 0) {
		log_line(
		    s->log, LOG_LEVEL_ERROR, "server: loop failed: %s", strerror(errno));
		return -1;
	}
	/* Once, however many SIGHUPs came, and never when it is about to end. */
	if (s->reload_wanted && s->stopping == STOPPING_NOT)
		reload(s);
	s->reload_wanted = false;
	ingest_turn(s->ingest);
	if (s->stopping == STOPPING_NOT)
		look_at_doors(s);
	apply_tick(s->apply, turn_ms(&s->turn));
	/* Neither a reply nor a page may tell of what a kill would take back. */
	state_turn(s->state);
	ingest_release(s->ingest);
	ingest_hold(s->ingest, s->stopping == STOPPING_NOT && state_is_behind(s->state));
	if (s->http)
		http_turn(s->http);
	log_catch_up(s->log, turn_ms(&s->turn), false);
	figures = figures_of(s);
	service_turn(&s->service, &figures, turn_ms(&s->turn));
	set_lease_timer(s);
	self_observe(s->self, SELF_LOOP_TURN, 0, 0, turn_end(&s->turn));
	return 0;
}

/* How long it has been stopping, and when something of a page was last taken. */
struct patience {
	uint64_t began_ms;
	uint64_t moved_ms;
	uint64_t taken;
};

/* Milliseconds until all that is to be answered is given up; 0: nothing is. */
static uint64_t
left_ms(const struct server *s, struct patience *p, uint64_t now_ms)
{
	uint64_t taken = s->http ? http_taken(s->http) : 0;
	uint64_t end_ms = 0;

	if (taken != p->taken)
		p->moved_ms = now_ms;
	p->taken = taken;
	if (ingest_has_replies(s->ingest) || (s->http && http_is_answering(s->http))) {
		end_ms = p->moved_ms + STOP_MS;
		if (end_ms > p->began_ms + ANSWER_MS)
			end_ms = p->began_ms + ANSWER_MS;
	} else if (s->http && http_is_expecting(s->http)) {
		end_ms = p->began_ms + EXPECT_MS;
	}
	return s->stopping != STOPPING_AT_ONCE && now_ms < end_ms ? end_ms - now_ms : 0;
}

/* Whoever waits at a socket that was passed is the next daemon's; at one of our own,
 * there is nobody else to answer. */
static void
close_doors(struct server *s, bool passed)
{
	if (s->http && s->doors.is_passed_http == passed)
		http_stop(s->http);
	if (s->doors.is_passed_ingest == passed)
		ingest_accept_no_more(s->ingest);
}

/* What came before the end is read and answered, if the clients take it in time. */
static int
stop_in_order(struct server *s)
{
	uint64_t began_ms = turn_ms(&s->turn);
	struct patience patience = { .began_ms = began_ms, .moved_ms = began_ms };
	uint64_t ms;

	close_doors(s, true);
	/* A turn that gets long ends before all that came was read. */
	do
		if (take_turn(s, EVLOOP_ONCE | EVLOOP_NONBLOCK) != 0)
			return -1;
	while ((event_base_got_break(s->base) || ingest_is_behind(s->ingest)) &&
	       turn_ms(&s->turn) - began_ms < STOP_MS);
	close_doors(s, false);
	ingest_stop(s->ingest);
	/* Short answers of HTTP are written in one turn more. */
	if (take_turn(s, EVLOOP_ONCE | EVLOOP_NONBLOCK) != 0)
		return -1;
	while ((ms = left_ms(s, &patience, turn_ms(&s->turn))) > 0) {
		struct timeval tv = { (time_t)(ms / 1000),
			(suseconds_t)(ms % 1000 * 1000) };

		event_base_loopexit(s->base, &tv);
		if (take_turn(s, EVLOOP_ONCE) != 0)
			return -1;
	}
	/* Writing the last snapshot takes a while: nobody is to ask here meanwhile. */
	http_free(s->http);
	s->http = NULL;
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
	struct service_figures figures = figures_of(s);
	int rc = -1;

	s->lease = evtimer_new(s->base, on_lease, s);
	if (s->lease && take_signals(s) == 0) {
		hold_signals(SIG_UNBLOCK);
		service_is_ready(
		    &s->service, s->doors.status, &figures, turn_ms(&s->turn));
		set_lease_timer(s);
		turn_end(&s->turn);
		rc = serve(s);
		hold_signals(SIG_BLOCK);
	}
	if (rc != 0)
		return -1;
	log_catch_up(s->log, turn_ms(&s->turn), true);
	service_is_saving(&s->service, SAVE_MS);
	state_stop(s->state);
	log_line(s->log, LOG_LEVEL_INFO, "server: stopped");
	return 0;
}
