/* SPDX-License-Identifier: Apache-2.0 */
#include "service.h"

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "socket_file.h"
#include "turn.h"

#define SAY_MS	   1000
#define USEC_OF_MS 1000
#define TEXT_BYTES 512

/* ---- Sockets ----------------------------------------------------------- */

static bool
is_listening(int fd, int family)
{
	return sd_is_socket(fd, family, SOCK_STREAM, 1) > 0;
}

static bool
fits_ingest(int fd)
{
	char path[SOCKET_FILE_PATH];

	return is_listening(fd, AF_UNIX) && socket_file_path(fd, path);
}

static bool
fits_http(int fd)
{
	return is_listening(fd, AF_INET) || is_listening(fd, AF_INET6) || fits_ingest(fd);
}

static const struct known {
	const char *name;
	bool (*fits)(int fd);
	const char *sort; /* what fits */
	size_t offset;	  /* in struct service_sockets */
} known[] = {
	{ "ingest", fits_ingest, "a Unix socket at a path",
	    offsetof(struct service_sockets, ingest) },
	{ "http", fits_http, "a TCP socket, or a Unix socket at a path",
	    offsetof(struct service_sockets, http) },
};
enum { KNOWN = sizeof(known) / sizeof(known[0]) };

static int *
place_of(struct service_sockets *s, const struct known *k)
{
	return (int *)(void *)((char *)s + k->offset);
}

static const struct known *
find(const char *name)
{
	for (size_t i = 0; i < KNOWN; i++)
		if (strcmp(known[i].name, name) == 0)
			return &known[i];
	return NULL;
}

/* 0, or -1 with a sentence. */
static int
take(struct service_sockets *s, int fd, const char *name, char *error, size_t room)
{
	const struct known *k = find(name);

	if (k == NULL)
		snprintf(error, room,
		    "the service manager passed a socket named \"%.100s\", and only "
		    "ingest and http are known: set FileDescriptorName= in its .socket "
		    "unit to one of them",
		    name);
	else if (*place_of(s, k) >= 0)
		snprintf(error, room,
		    "the service manager passed two sockets named %s, and one is "
		    "needed: leave one ListenStream= to that name "
		    "(FileDescriptorName=)",
		    k->name);
	else if (!k->fits(fd))
		snprintf(error, room,
		    "the socket named %s that the service manager passed is not %s that "
		    "listens for streams: see ListenStream= and Accept=no of its .socket "
		    "unit",
		    k->name, k->sort);
	else {
		fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
		*place_of(s, k) = fd;
		return 0;
	}
	return -1;
}

int
service_take_sockets(struct service_sockets *ret, char *error, size_t error_room)
{
	struct service_sockets s = { -1, -1 };
	char **names = NULL;
	int n = sd_listen_fds_with_names(1, &names);
	int rc = 0;

	if (n < 0) {
		snprintf(error, error_room,
		    "what the environment says of passed sockets cannot be used "
		    "(LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES): %s",
		    strerror(-n));
		return -1;
	}
	for (int i = 0; i < n && rc == 0; i++)
		rc = take(&s, SD_LISTEN_FDS_START + i, names[i], error, error_room);
	for (int i = 0; i < n; i++) {
		if (rc != 0)
			close(SD_LISTEN_FDS_START + i);
		free(names[i]);
	}
	free(names);
	if (rc == 0)
		*ret = s;
	return rc;
}

/* ---- Telling ----------------------------------------------------------- */

/* A socket that is connected to the manager's, or -1. Nothing is sent with it: it tells
 * whether there is room. */
static int
connect_to(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	size_t n = strlen(path);
	int fd;

	if (n >= sizeof(a.sun_path))
		return -1;
	memcpy(a.sun_path, path, n);
	if (path[0] == '@')
		a.sun_path[0] = '\0';
	n += offsetof(struct sockaddr_un, sun_path) + (path[0] != '@');
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&a, (socklen_t)n) != 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

void
service_begin(struct service *s)
{
	const char *socket = getenv("NOTIFY_SOCKET");
	uint64_t usec = 0;

	*s = (struct service){ .manager = -1 };
	if (socket && socket[0] != '\0')
		s->manager = connect_to(socket);
	s->listens = s->manager >= 0;
	if (s->listens && sd_watchdog_enabled(0, &usec) > 0)
		s->feed_ms = usec / 2 > USEC_OF_MS ? usec / 2 / USEC_OF_MS : 1;
}

void
service_end(struct service *s)
{
	if (s->manager >= 0)
		close(s->manager);
	s->manager = -1;
}

/* A manager that is stuck takes no more at some time, and sd_notify() would wait for it:
 * it is told nothing then. True if there was somebody who took it. */
__attribute__((format(printf, 2, 3))) static bool
tell(const struct service *s, const char *format, ...)
{
	struct pollfd room = { .fd = s->manager, .events = POLLOUT };
	char text[TEXT_BYTES];
	va_list arguments;

	if (!s->listens || poll(&room, 1, 0) == 0)
		return false;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	return sd_notify(0, text) > 0;
}

/* ---- A life ------------------------------------------------------------ */

void
service_is_loading(const struct service *s, uint64_t may_take_ms)
{
	tell(s, "STATUS=loading what was kept\nEXTEND_TIMEOUT_USEC=%" PRIu64,
	    may_take_ms * USEC_OF_MS);
}

/* How it is. It is ready with the first of it. */
static void
say(struct service *s, const struct service_figures *now, uint64_t now_ms)
{
	if (tell(s, "%sSTATUS=%s, %" PRIu64 " workers, %" PRIu64 " series",
		s->is_ready ? "" : "READY=1\n", s->doors, now->workers, now->series)) {
		s->is_ready = true;
		s->said = *now;
	}
	s->said_ms = now_ms;
}

void
service_is_ready(struct service *s, const char *doors, const struct service_figures *now,
    uint64_t now_ms)
{
	s->doors = doors;
	s->fed_ms = now_ms;
	say(s, now, now_ms);
	s->changed = s->listens && !s->is_ready;
}

void
service_is_reloading(const struct service *s)
{
	tell(s, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, turn_clock_ns() / 1000);
}

void
service_has_reloaded(const struct service *s)
{
	tell(s, "READY=1");
}

void
service_is_stopping(const struct service *s)
{
	tell(s, "STOPPING=1\nSTATUS=answering what came before the end");
}

void
service_is_saving(const struct service *s, uint64_t may_take_ms)
{
	tell(s, "STATUS=writing the last snapshot\nEXTEND_TIMEOUT_USEC=%" PRIu64,
	    may_take_ms * USEC_OF_MS);
}

/* ---- Turns ------------------------------------------------------------- */

static uint64_t
left_ms(uint64_t since_ms, uint64_t every_ms, uint64_t now_ms)
{
	uint64_t passed_ms = now_ms - since_ms;

	return passed_ms < every_ms ? every_ms - passed_ms : 0;
}

static bool
is_news(const struct service *s, const struct service_figures *now)
{
	return !s->is_ready || now->workers != s->said.workers ||
	       now->series != s->said.series;
}

void
service_turn(struct service *s, const struct service_figures *now, uint64_t now_ms)
{
	if (!s->listens)
		return;
	if (s->feed_ms && left_ms(s->fed_ms, s->feed_ms, now_ms) == 0) {
		s->fed_ms = now_ms;
		/* Not as late as the next one: that would be the end. */
		if (!tell(s, "WATCHDOG=1"))
			s->fed_ms -= s->feed_ms - s->feed_ms / 8 - 1;
	}
	if (is_news(s, now) && left_ms(s->said_ms, SAY_MS, now_ms) == 0)
		say(s, now, now_ms);
	s->changed = is_news(s, now);
}

uint64_t
service_due_ms(const struct service *s, uint64_t now_ms)
{
	uint64_t feed = s->feed_ms ? left_ms(s->fed_ms, s->feed_ms, now_ms) : UINT64_MAX;
	uint64_t talk = s->changed ? left_ms(s->said_ms, SAY_MS, now_ms) : UINT64_MAX;

	return feed < talk ? feed : talk;
}
