/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The flush thread itself; what other threads ask of it is in orders.c.
 */
#include "flush_parts.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "program.h"
#include "ticks.h"

#define PAUSE_FIRST_MS 10
#define PAUSE_MAX_MS   1000
#define TORN_NS	       (1 * NS_PER_MS)
#define UNUSED_NS      (10 * NS_PER_S)
#define REPLY_BYTES    ((1U << 20) + (1U << 16)) /* the longest reply, unless a page is */
#define REPLY_MAX      (64U << 20)

#ifndef DYNAMO_METRICS_VERSION
#define DYNAMO_METRICS_VERSION "unknown"
#endif

/* Of all runtimes: a process has one set of threads, whoever started them. */
static unsigned threads; /* atomic */

static void
set_connected(struct flush *f, bool connected)
{
	pthread_mutex_lock(&f->lock);
	f->connected = connected;
	if (connected)
		memcpy(f->given, f->session->worker, sizeof(f->given));
	if (!connected && f->expose == EXPOSE_SENT)
		f->expose = EXPOSE_WANTED;
	pthread_mutex_unlock(&f->lock);
}

/* ---- The connection ---------------------------------------------------- */

/* Jitter, so that a thousand workers do not come back at the same moment. */
static uint32_t
next_pause_ms(struct flush *f)
{
	uint32_t pause = f->pause_ms;

	f->random = f->random * 6364136223846793005U + 1442695040888963407U;
	f->pause_ms = pause * 2 < PAUSE_MAX_MS ? pause * 2 : PAUSE_MAX_MS;
	return pause / 2 + (uint32_t)(f->random >> 33) % (pause / 2 + 1);
}

static void
disconnect(struct flush *f, bool at_once)
{
	transport_close(&f->transport);
	session_lost(f->session);
	set_connected(f, false);
	f->passing = f->final = false;
	f->retry_ns = ticks_ns();
	if (at_once && f->credit)
		f->credit = false;
	else
		f->retry_ns += next_pause_ms(f) * NS_PER_MS;
}

static void
say_trouble(struct flush *f)
{
	const struct refusal *trouble = &f->session->trouble;

	if (trouble->reason == REASON_NONE)
		return;
	if (trouble->reason == REASON_VERSION)
		f->pause_ms = PAUSE_MAX_MS;
	if (strcmp(f->trouble, trouble->text) == 0)
		return; /* said before */
	memcpy(f->trouble, trouble->text, sizeof(f->trouble));
	report_error(f->report, report_code(trouble->reason), "%s", trouble->text);
}

static void
random_bytes(struct flush *f, uint8_t out[MESSAGE_SID_BYTES])
{
	uint64_t rest[2] = { ticks_ns() ^ (uint64_t)getpid() << 32, f->random };

	if (getrandom(out, MESSAGE_SID_BYTES, GRND_NONBLOCK) != MESSAGE_SID_BYTES)
		memcpy(out, rest,
		    MESSAGE_SID_BYTES); /* early at boot: good enough to differ */
}

static int
open_event(struct flush *f)
{
	int error = 0;

	pthread_mutex_lock(&f->lock);
	if (f->event_fd < 0)
		f->event_fd = program_keep_off(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	if (f->event_fd < 0)
		error = errno;
	pthread_mutex_unlock(&f->lock);
	return error;
}

static void
send_request(struct flush *f)
{
	transport_send(&f->transport, f->session->out, f->session->out_bytes);
	f->sent_ns = ticks_ns();
}

static void
connect_now(struct flush *f)
{
	uint8_t random[MESSAGE_SID_BYTES];
	int error = open_event(f);

	if (error == 0)
		error = transport_open(&f->transport, f->path);
	if (error != 0) {
		if (!f->outage)
			report_line(f->report,
			    "no connection to %.90s: %s; updates are kept", f->path,
			    strerror(error));
		f->outage = true;
		disconnect(f, false);
		return;
	}
	f->transport.reply_max = REPLY_BYTES;
	random_bytes(f, random);
	session_hello(f->session, random, f->worker, DYNAMO_METRICS_VERSION);
	send_request(f);
}

/* ---- The conversation -------------------------------------------------- */

static uint64_t
ping_at(const struct flush *f)
{
	return f->sent_ns + flush_lease_ns(f) / 3;
}

static bool
want_expose(struct flush *f)
{
	bool wanted;

	pthread_mutex_lock(&f->lock);
	wanted = f->expose == EXPOSE_WANTED;
	if (wanted)
		f->expose = EXPOSE_SENT;
	pthread_mutex_unlock(&f->lock);
	return wanted;
}

/* READY: send what there is. False when there is nothing. */
static bool
ask(struct flush *f, uint64_t now)
{
	/* A PING goes along with a wake-up that happens anyway, if one comes in time. */
	uint64_t slack = f->interval_ns < flush_lease_ns(f) / 6 ? f->interval_ns : 0;
	struct session_wish wish = { .update = f->passing,
		.dropped = report_dropped(f->report) };

	if (f->passing && !flush_refresh_pass(f, now))
		return false;
	if (session_next(f->session, &wish, &f->collect.source)) {
		send_request(f);
		return true;
	}
	if (f->passing && collect_is_done(&f->collect))
		flush_end_pass(f);
	if (f->passing) /* what waited for a removal may be next */
		return collect_is_defining(&f->collect);
	if (!f->final && flush_pass_is_due(f, now))
		return flush_begin_pass(f, now);
	wish.update = false; /* the pass may have ended above */
	wish.ping = now + slack >= ping_at(f);
	wish.bye = f->final;
	if (!wish.bye && want_expose(f))
		wish.expose = &f->expose_level;
	if (!session_next(f->session, &wish, &f->collect.source))
		return false;
	if (wish.expose)
		f->transport.reply_max = f->session->message_bytes < REPLY_MAX
					     ? f->session->message_bytes + REPLY_BYTES
					     : REPLY_MAX;
	send_request(f);
	return true;
}

static void
answer_expose(struct flush *f)
{
	const struct session *s = f->session;
	char *text = NULL;

	if (s->text.at)
		text = strndup(s->text.at, s->text.bytes);
	f->transport.reply_max = REPLY_BYTES;
	pthread_mutex_lock(&f->lock);
	if (f->expose == EXPOSE_SENT) {
		f->expose = EXPOSE_DONE;
		f->expose_code = s->text.at ? (text ? DYNM_OK : DYNM_ENOMEM)
					    : report_code(s->trouble.reason);
		f->expose_text = text;
		text = NULL;
	}
	pthread_cond_broadcast(&f->done);
	pthread_mutex_unlock(&f->lock);
	free(text);
}

static void
welcome(struct flush *f)
{
	set_connected(f, true);
	f->credit = true;
	f->passing = false;
	f->next_pass_ns = 0;
	f->ask_again_ns = ticks_ns() + flush_lease_ns(f) / 3;
	if (f->outage)
		report_line(f->report, "connected to %.120s", f->path);
	f->outage = false;
}

/* False when the connection is gone. */
static bool
take_reply(struct flush *f)
{
	enum session_state before = f->session->state;
	enum message_type asked = f->session->asked;
	enum session_verdict verdict;
	size_t bytes;
	const uint8_t *payload = transport_reply(&f->transport, &bytes);

	verdict = session_reply(f->session, payload, bytes, &f->collect.source);
	say_trouble(f);
	if (before == SESSION_WAIT && asked == MESSAGE_BYE)
		f->over = true;
	if (verdict != SESSION_OK) {
		disconnect(f, verdict == SESSION_AGAIN);
		return false;
	}
	if (before == SESSION_HELLO) {
		welcome(f);
		return true;
	}
	if (asked == MESSAGE_EXPOSE)
		answer_expose(f);
	f->pause_ms = PAUSE_FIRST_MS;
	f->trouble[0] = '\0';
	pthread_mutex_lock(&f->lock);
	/* A heartbeat's may have waited for us. */
	f->acked_ns = asked == MESSAGE_PING ? f->sent_ns : ticks_ns();
	pthread_mutex_unlock(&f->lock);
	return true;
}

static bool
is_past_close(struct flush *f, uint64_t now)
{
	bool past;

	pthread_mutex_lock(&f->lock);
	past = f->closing && (now >= f->close_ns || !flush_is_used(f));
	pthread_mutex_unlock(&f->lock);
	return past;
}

/* Until nothing can be done without waiting. */
static void
converse(struct flush *f)
{
	while (!f->over && f->transport.fd >= 0) {
		uint64_t now = ticks_ns();
		bool more = f->session->state == SESSION_READY && ask(f, now);

		if (!flush_is_self(f))
			return;
		switch (transport_pump(&f->transport)) {
		case TRANSPORT_REPLY:
			more = take_reply(f);
			break;
		case TRANSPORT_BROKEN:
			disconnect(f, false);
			return;
		case TRANSPORT_NOTHING:
			break;
		}
		if (!more)
			return;
		f->over = f->over || is_past_close(f, now);
	}
}

static uint64_t
look_at(const struct flush *f)
{
	return f->looked_ns + (flush_is_used(f) ? f->interval_ns : UNUSED_NS);
}

/*
 * A process goes on as long as it has a thread: ours must not be the last. So when the
 * program's have all ended, this runtime is closed as by dynm_close().
 */
static void
look_around(struct flush *f, uint64_t now)
{
	if (now < look_at(f))
		return;
	f->looked_ns = now;
	if (program_has_ended(__atomic_load_n(&threads, __ATOMIC_RELAXED)))
		flush_order_close(f);
}

static void
turn(struct flush *f)
{
	uint64_t now = ticks_ns();

	report_drops(f->report);
	look_around(f, now);
	f->over = f->over || is_past_close(f, now);
	if (f->over || !flush_is_used(f))
		return;
	if (f->transport.fd >= 0 && f->session->state != SESSION_READY &&
	    now >= f->sent_ns + flush_lease_ns(f))
		disconnect(f, false);
	if (f->transport.fd < 0 && now >= f->retry_ns)
		connect_now(f);
	if (collect_is_torn(&f->collect))
		collect_torn(&f->collect);
	converse(f);
}

/* ---- Waiting ----------------------------------------------------------- */

static uint64_t
earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/*
 * True when all that is to come before the next pass is the answer to a heartbeat: then
 * it is read by the way, when the pass wakes us, and an idle worker wakes up but once an
 * interval. Should the daemon leave, that is seen at once all the same.
 */
static bool
is_idle(struct flush *f)
{
	const struct session *s = f->session;
	bool asked;

	if (f->transport.fd < 0 || s->state != SESSION_WAIT || s->asked != MESSAGE_PING ||
	    transport_wants_to_write(&f->transport) || f->next_pass_ns > ping_at(f) ||
	    f->next_pass_ns <= ticks_ns())
		return false;
	pthread_mutex_lock(&f->lock);
	asked = f->ordered > f->passed || f->closing || f->expose == EXPOSE_WANTED;
	pthread_mutex_unlock(&f->lock);
	return !asked;
}

static uint64_t
deadline(struct flush *f, bool idle)
{
	uint64_t at = UINT64_MAX;

	pthread_mutex_lock(&f->lock);
	if (f->closing)
		at = f->close_ns;
	pthread_mutex_unlock(&f->lock);
	if (!flush_is_used(f))
		return earlier(at, look_at(f));
	if (f->transport.fd < 0)
		return earlier(at, f->retry_ns);
	if (idle)
		return earlier(at, f->next_pass_ns);
	if (f->session->state != SESSION_READY)
		return earlier(at, f->sent_ns + flush_lease_ns(f));
	if (collect_is_torn(&f->collect))
		return earlier(at, ticks_ns() + TORN_NS);
	return earlier(at, earlier(f->next_pass_ns, ping_at(f)));
}

static void
poll_until(struct flush *f, uint64_t at, bool idle)
{
	struct pollfd fds[2] = { { .fd = f->transport.fd, .events = idle ? 0 : POLLIN },
		{ .fd = f->event_fd, .events = POLLIN } };
	uint64_t now = ticks_ns(), left = at > now ? at - now : 0;
	struct timespec timeout = { (time_t)(left / NS_PER_S), (long)(left % NS_PER_S) };
	uint64_t count;

	if (transport_wants_to_write(&f->transport))
		fds[0].events |= POLLOUT;
	if (idle) /* nobody looks */
		f->transport.may_read = true;
	if (ppoll(fds, 2, at == UINT64_MAX ? NULL : &timeout, NULL) <= 0)
		return;
	if (fds[0].revents)
		f->transport.may_read = true;
	if (fds[1].revents)
		(void)!read(f->event_fd, &count, sizeof(count));
}

static void
rest(struct flush *f)
{
	bool idle = is_idle(f);
	uint64_t at = deadline(f, idle);
	struct timespec until = { (time_t)(at / NS_PER_S), (long)(at % NS_PER_S) };
	bool poll_now;

	pthread_mutex_lock(&f->lock);
	poll_now = !f->woken && f->transport.fd >= 0;
	if (!f->woken && !poll_now) {
		/* Spurious wake-ups only cost a turn. */
		if (at == UINT64_MAX)
			pthread_cond_wait(&f->wake, &f->lock);
		else
			pthread_cond_timedwait(&f->wake, &f->lock, &until);
	}
	f->woken = false;
	pthread_mutex_unlock(&f->lock);
	if (poll_now)
		poll_until(f, at, idle);
	else /* nobody has looked */
		f->transport.may_read = true;
}

static void *
flush_main(void *arg)
{
	struct flush *f = arg;
	bool forked;

	pthread_mutex_lock(&f->lock); /* until flush_start() has said that we run */
	forked = f->forked;
	f->forked = false;
	pthread_mutex_unlock(&f->lock);
	__atomic_fetch_add(&threads, 1, __ATOMIC_RELAXED);
	if (forked) /* what fork() has wiped, if this kernel does */
		(void)madvise(f->map, session_map_bytes(SERIES_WIRE_MAX), MADV_DONTNEED);
	f->session = session_init(f->map, SERIES_WIRE_MAX);
	collect_begin(&f->collect, f->store, f->session, forked);
	f->credit = true;
	f->pause_ms = PAUSE_FIRST_MS;
	f->retry_ns = 0;
	f->over = f->passing = f->final = false;
	while (flush_is_self(f) && !f->over) {
		turn(f);
		if (flush_is_self(f) && !f->over)
			rest(f);
	}
	if (!flush_is_self(f)) /* a child that was forked in the callback */
		return NULL;
	transport_close(&f->transport);
	set_connected(f, false);
	__atomic_fetch_sub(&threads, 1, __ATOMIC_RELAXED);
	return NULL;
}

void
flush_forget_threads(void)
{
	__atomic_store_n(&threads, 0, __ATOMIC_RELAXED);
}

int
flush_start(struct flush *f)
{
	sigset_t all, old;
	int error = 0;

	if (flush_is_running(f))
		return 0;
	sigfillset(&all);
	pthread_mutex_lock(&f->lock);
	if (!f->running && !f->closing) {
		pthread_sigmask(SIG_SETMASK, &all, &old);
		error = pthread_create(&f->thread, NULL, flush_main, f);
		pthread_sigmask(SIG_SETMASK, &old, NULL);
		__atomic_store_n(&f->running, error == 0, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&f->lock);
	return error;
}
