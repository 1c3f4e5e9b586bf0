/* SPDX-License-Identifier: Apache-2.0 */
/*
 * service.h - the service manager, which is systemd or speaks like it: the sockets that
 * it passes, and what it is told (that the daemon is ready, reloads, stops, how it is,
 * and that its loop turns).
 *
 * What it wants is in the environment of the process (LISTEN_*, NOTIFY_SOCKET,
 * WATCHDOG_*). Without a manager that hears nothing is sent, and nothing is ever due. One
 * that is stuck is not waited for: what it does not take is left out, or told later. One
 * thread.
 */
#ifndef SERVICE_H
#define SERVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Listening stream sockets that do not block; -1: it was not passed. */
struct service_sockets {
	int ingest; /* a Unix socket at a path */
	int http;   /* TCP, or a Unix socket at a path */
};

/*
 * Take the sockets that were passed under these two names; the environment says nothing
 * of them afterwards. 0, and they are the caller's; or -1 with a sentence in error when
 * anything else was passed.
 */
int service_take_sockets(struct service_sockets *ret, char *error, size_t error_room);

/* What the manager shows of the daemon. */
struct service_figures {
	uint64_t workers;
	uint64_t series;
};

struct service {
	bool listens;	   /* there is somebody to be told */
	int manager;	   /* a socket that tells whether it takes more; -1: nobody */
	bool is_ready;	   /* and it was told so */
	uint64_t feed_ms;  /* how often the watchdog wants something; 0: never */
	uint64_t fed_ms;   /* when it last got it */
	const char *doors; /* what STATUS starts with; borrowed */
	struct service_figures said;
	uint64_t said_ms;
	bool changed; /* since it was said */
};

/* Look who listens. */
void service_begin(struct service *s);
void service_end(struct service *s);

/* In the order of a life. What takes long is said before it, with the time it may take:
 * neither a time-out of the manager nor its watchdog ends it before. */
void service_is_loading(const struct service *s, uint64_t may_take_ms);
void service_is_ready(struct service *s, const char *doors,
    const struct service_figures *now, uint64_t now_ms);
void service_is_reloading(const struct service *s);
void service_has_reloaded(const struct service *s);
void service_is_stopping(const struct service *s);
void service_is_saving(const struct service *s, uint64_t may_take_ms);

/*
 * The end of a turn, once it is ready: the loop is not stuck. The figures are told when
 * they have changed, once a second at most.
 */
void service_turn(struct service *s, const struct service_figures *now, uint64_t now_ms);
/* Milliseconds until service_turn() has something to say; UINT64_MAX: nothing. */
uint64_t service_due_ms(const struct service *s, uint64_t now_ms);

#endif /* SERVICE_H */
