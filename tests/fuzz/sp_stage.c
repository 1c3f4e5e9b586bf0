/* SPDX-License-Identifier: Apache-2.0 */
#include "sp_stage.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define EVENTS 32

struct event {
	int fd;
	short what;
	event_callback_fn call;
	void *arg;
	bool added, active;
	uint64_t due_ns; /* of a timer; 0: it is none */
};

struct peer peers[PEERS];
bool playing;
uint64_t clock_ns, tick_ns;
static struct event *events[EVENTS];

/* ---- Processes, sockets and clocks  ------------------------------------------
 */

int
process_peer_of(int fd, struct process_peer *ret)
{
	*ret = (struct process_peer){ .pid = 9, .uid = 1, .start = 3, .pidfd = -1 };
	if (fd == FD + 1)
		ret->pidfd = PIDFD;
	return 0;
}

void
process_peer_close(struct process_peer *p)
{
	p->pidfd = -1;
}

bool
process_peer_is_gone(const struct process_peer *p)
{
	return p->pidfd >= 0 && peers[1].dead;
}

ssize_t
recv(int fd, void *room, size_t most, int flags)
{
	struct peer *p = &peers[fd - FD];
	size_t n = p->arrived - p->read;

	(void)flags;
	if (n == 0 && p->ended)
		return 0;
	errno = EAGAIN;
	if (n == 0)
		return -1;
	n = n < most ? n : most;
	memcpy(room, p->sends.at + p->read, n);
	p->read += n;
	return (ssize_t)n;
}

ssize_t
send(int fd, const void *bytes, size_t n, int flags)
{
	struct peer *p = &peers[fd - FD];

	(void)flags;
	errno = p->ended ? EPIPE : EAGAIN;
	if (p->ended || p->window == 0)
		return -1;
	n = n < p->window ? n : p->window;
	fuzz_must(p->got + n <= p->released, "nothing leaves before it may");
	fuzz_must(memcmp(bytes, p->answers.at + p->got, n) == 0, "it gets its answers");
	p->got += n;
	p->window -= n;
	return (ssize_t)n;
}

int
ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	int rc = 0;

	va_start(arguments, request);
	if (fd >= FD)
		*va_arg(arguments, int *) =
		    (int)(peers[fd - FD].arrived - peers[fd - FD].read);
	else
		rc = (int)syscall(SYS_ioctl, fd, request, va_arg(arguments, void *));
	va_end(arguments);
	return rc;
}

int
close(int fd)
{
	return fd >= FD ? 0 : (int)syscall(SYS_close, fd);
}

int
clock_gettime(clockid_t id, struct timespec *ret)
{
	/* libFuzzer's own clock is another one. */
	if (!playing || id != CLOCK_MONOTONIC)
		return (int)syscall(SYS_clock_gettime, id, ret);
	clock_ns += tick_ns;
	ret->tv_sec = (time_t)(clock_ns / 1000000000);
	ret->tv_nsec = (long)(clock_ns % 1000000000);
	return 0;
}

/* ---- libevent  -----------------------------------------------------------------
 */

struct event *
event_new(struct event_base *base, int fd, short what, event_callback_fn call, void *arg)
{
	struct event *e = calloc(1, sizeof(*e));
	size_t i = 0;

	(void)base;
	while (i < EVENTS && events[i])
		i++;
	fuzz_must(e != NULL && i < EVENTS, "there is room for an event");
	*e = (struct event){ .fd = fd, .what = what, .call = call, .arg = arg };
	events[i] = e;
	return e;
}

int
event_add(struct event *e, const struct timeval *tv)
{
	e->added = true;
	e->due_ns = tv ? clock_ns + (uint64_t)tv->tv_sec * 1000000000 +
			     (uint64_t)tv->tv_usec * 1000
		       : 0;
	return 0;
}

int
event_del(struct event *e)
{
	e->added = e->active = false;
	return 0;
}

void
event_free(struct event *e)
{
	for (size_t i = 0; i < EVENTS; i++)
		if (events[i] == e)
			events[i] = NULL;
	free(e);
}

void
event_active(struct event *e, int what, short calls)
{
	(void)what;
	(void)calls;
	e->active = true;
}

int
event_pending(const struct event *e, short what, struct timeval *tv)
{
	(void)tv;
	return e->added ? e->what & what : 0;
}

int
event_base_loopbreak(struct event_base *base)
{
	(void)base;
	return 0;
}

static bool
is_due(const struct event *e)
{
	const struct peer *p =
	    e->fd >= FD && e->fd < FD + PEERS ? &peers[e->fd - FD] : NULL;

	if (e->active)
		return true;
	if (!e->added)
		return false;
	if (e->due_ns)
		return e->due_ns <= clock_ns;
	if (e->fd == PIDFD)
		return peers[1].dead;
	if (p && (e->what & EV_READ))
		return p->ended || p->read < p->arrived;
	return p && (p->ended || p->window > 0);
}

bool
stage_events(void)
{
	bool any = false;

	for (size_t i = 0; i < EVENTS; i++) {
		struct event *e = events[i];

		if (e == NULL || !is_due(e))
			continue;
		any = true;
		e->active = false;
		if (!(e->what & EV_PERSIST))
			e->added = false;
		e->call(e->fd, e->what, e->arg);
	}
	return any;
}
