/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server.h - the daemon as a whole: its parts, its loop, its end.
 *
 * A turn of the loop: requests are read and applied, the replies go out, the pages get
 * their next slices, leases are looked at. One thread.
 */
#ifndef SERVER_H
#define SERVER_H

#include <stdint.h>

#include "config.h"
#include "log.h"

#define SERVER_ERROR_TEXT 512

struct server;

/*
 * Listen at both addresses. config, which was loaded from source, changes when it is
 * reloaded; all three outlive the server. NULL with a sentence in error (of
 * SERVER_ERROR_TEXT bytes), and nothing is left behind.
 */
struct server *server_new(struct config *config, const struct config_source *source,
    struct log *log, char error[SERVER_ERROR_TEXT]);

/*
 * Let SIGTERM, SIGINT and SIGHUP wait: before server_new(), so that one that comes early
 * does not end the process. server_run() takes them, and lets them wait again at its end.
 * And from then on SIGXFSZ is ignored: a file that may not grow is a write that failed.
 * SIGPIPE too: who reads the log may be gone. SIGCHLD is at its default, whoever started
 * the process, and server_run() buries all its children: process 1 is given orphans.
 */
void server_hold_signals(void);

/*
 * Serve until SIGTERM or SIGINT: then listen no more, answer what was read, and return;
 * at the second one, at once. SIGHUP reloads the configuration. Signals are the
 * process's, so this is for programs that are nothing but a daemon. 0, or -1 when the
 * loop failed or memory is out.
 */
int server_run(struct server *s);

/* Close everything and remove the socket and the port file, if they are still ours. */
void server_free(struct server *s);

/* The bound port of HTTP; 0: there is no HTTP. */
uint16_t server_port(const struct server *s);

/* Let the process open as many descriptors as the configuration may come to need, and log
 * if it cannot. Before server_new(). */
void server_want_fds(const struct config *config, struct log *log);

#endif /* SERVER_H */
