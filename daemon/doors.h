/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doors.h - the two sockets that the daemon listens on, that of workers and that of HTTP,
 * and the file that says HTTP's port.
 *
 * Each is made as the configuration says, or the service manager has made it and passes
 * it on. A socket that was passed is the manager's: its file is neither changed nor
 * removed, and whoever waits there is served by the next daemon. One thread.
 */
#ifndef DOORS_H
#define DOORS_H

#include "config.h"
#include "http_socket.h"
#include "log.h"
#include "service.h"
#include "socket_file.h"
#include "strbuf.h"

struct doors {
	struct service_sockets passed; /* until they are taken */
	bool is_passed_ingest;
	bool is_passed_http;
	struct socket_file ingest_file; /* made here */
	struct socket_file http_file;
	struct port_file port_file;
	uint16_t port;	  /* of HTTP; 0: no HTTP, or none over TCP */
	char ingest[128]; /* "ipc:///run/x.ipc" */
	char http[300];	  /* "http://127.0.0.1:8081", "unix:/run/x.sock" or "" */
	dev_t dev;	  /* of the file of the ingest socket; ino 0: it is not known */
	ino_t ino;
	uint64_t looked_ms;
	char problem[400]; /* "": workers can connect */
	char status[320];  /* "HTTP port 8081", "HTTP at unix:/run/x.sock" ... */
};

#define DOORS_NONE \
	((struct doors){ .passed = { -1, -1 }, \
	    .ingest_file = SOCKET_FILE_NONE, \
	    .http_file = SOCKET_FILE_NONE })

/*
 * Before anything that depends on where workers connect: take what was passed into *d,
 * which is DOORS_NONE, tell the configuration, and log what of it is not used because of
 * that. 0, or -1 with a sentence in error; either way *d is to be closed.
 */
int doors_take_passed(struct doors *d, struct config *config,
    const struct config_source *source, struct log *log, char *error, size_t error_room);

/* A listening socket, the caller's from now on; or -1 with a sentence in error. */
int doors_open_ingest(
    struct doors *d, const struct config *config, char *error, size_t error_room);
/* The same; without HTTP *ret is -1. 0, or -1 with a sentence in error. */
int doors_open_http(struct doors *d, const struct config *config, int *ret, char *error,
    size_t error_room);

/*
 * Once in a while: whether who connects still finds the ingest socket. -1; or a listening
 * socket, the caller's, in place of the one that was removed. What cannot be mended here
 * is d->problem, and is logged.
 */
int doors_look(struct doors *d, uint64_t now_ms, struct log *log);
/* Milliseconds until that is to be asked though nothing else happens. */
uint64_t doors_due_ms(const struct doors *d, uint64_t now_ms);
/* Problems as a JSON array: d's, and those that are in the array others. */
void doors_problems(
    const struct doors *d, const struct strbuf *others, struct strbuf *out);

/* Remove the files that were made, if they are still ours. */
void doors_close(struct doors *d);

#endif /* DOORS_H */
