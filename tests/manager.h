/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manager.h - a service manager, as a daemon of rig.h sees it: it passes sockets, and
 * hears what it is told.
 */
#ifndef MANAGER_H
#define MANAGER_H

#include <stdbool.h>
#include <stdint.h>

#include "rig.h"

#define MANAGER_SOCKETS_MAX 4
#define MANAGER_TEXT	    512

struct manager {
	char path[96]; /* where it listens */
	int hears;
	int socket[MANAGER_SOCKETS_MAX]; /* to be passed, and closed by whoever made them
					  */
	char names[64];			 /* of them, ":" between; "": none are told */
	int sockets;
	const char *count;	/* instead of LISTEN_FDS; NULL: how many there are */
	bool passes_to_another; /* LISTEN_PID is another process */
	uint64_t watchdog_us;	/* 0: there is no watchdog */
	bool watches_another;	/* WATCHDOG_PID is another process */
};

/* In the folder of a rig. */
void manager_make(struct manager *m, const struct rig *r);
void manager_remove(struct manager *m);
void manager_pass(struct manager *m, int socket, const char *name);
/* A daemon that it starts. */
struct rig_setting manager_setting(struct manager *m);
/* Take what it says into the environment of this process. */
void manager_prepare(void *manager);
/* Take what any has said out of it. */
void manager_forget(void);

/* The next thing that it hears; the text lives until the next call. */
const char *manager_hear(const struct manager *m);
/* Hear until something starts with a text; the watchdog's may come between. */
const char *manager_hear_until(const struct manager *m, const char *start);
/* False if nothing is there to be heard. */
bool manager_hears(const struct manager *m);

#endif /* MANAGER_H */
