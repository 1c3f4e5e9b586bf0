/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rig.h - a real daemon in a process of its own, and the bytes that clients send it.
 *
 * Everything fails the test when it does not work within RIG_SECONDS.
 */
#ifndef RIG_H
#define RIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "sp.h"

#define RIG_SECONDS 20

struct rig {
	char folder[64]; /* a new one, of this rig alone; the runtime folder too */
	char socket[96]; /* of workers, in it */
	char log[96];	 /* what the daemon logs, a file in it */
	char state[96];	 /* the state folder, in it */
	pid_t pid;	 /* of the daemon */
	uint16_t port;	 /* of HTTP */
};

struct rig_setting {
	const char *file;		/* configuration as JSON, or NULL */
	const char *const *environment; /* "NAME=value" texts, NULL-terminated, or NULL */
	unsigned open_files;		/* RLIMIT_NOFILE of the daemon; 0: as it is */
	void (*prepare)(void *arg);	/* in the daemon's process, before it; or NULL */
	void *prepare_arg;
};

/* A folder without a daemon yet. */
void rig_make(struct rig *r);
/* Start it (setting may be NULL), as a child of the test. */
void rig_launch(struct rig *r, const struct rig_setting *setting);
/* Start it and wait until it serves. */
void rig_serve(struct rig *r, const struct rig_setting *setting);
/* The same, but it is to fail: returns its sentence, which lives until the next call. */
const char *rig_fail(struct rig *r, const struct rig_setting *setting);
/* Both: rig_make() and rig_serve(). */
void rig_start(struct rig *r, const struct rig_setting *setting);
/* Wait for the daemon's end, which must be in order and without a leak. */
void rig_wait_ended(struct rig *r);
/* SIGTERM, rig_wait_ended(), and rig_remove(). */
void rig_stop(struct rig *r);
/* Remove the folder, in which nothing must be left but the log, the state and the named
 * file. */
void rig_remove(struct rig *r, const char *also);

/* A file in its folder. */
void rig_path(const struct rig *r, const char *name, char *out, size_t room);
/* The mode of a file, which must be there. */
unsigned rig_mode(const char *path);

/* Reload: a configuration as JSON, which must be right. Once for each daemon. */
void rig_reload(const struct rig *r, const char *text);

/* Wait until the log has a text. */
void rig_wait_logged(const struct rig *r, const char *text);
bool rig_has_logged(const struct rig *r, const char *text);
/* Descriptors that the daemon has open. */
size_t rig_open_files(const struct rig *r);
double rig_cpu_seconds(const struct rig *r);
/* 0 where it says nothing: under sanitizers and valgrind. */
size_t rig_resident_bytes(const struct rig *r);

/* True once in a while until RIG_SECONDS have passed; fails the test then. Start with 0.
 */
bool rig_again(uint64_t *began_ms, const char *what);
void rig_pause_ms(unsigned ms);
uint64_t rig_now_ms(void);

/* ---- Workers ----------------------------------------------------------- */

/* A connection that has not said anything. */
int rig_connect(const struct rig *r);
/* A connection with its SP headers exchanged. */
int rig_open(const struct rig *r, enum sp_protocol protocol);
void rig_write(int fd, const void *bytes, size_t n);
/* The next request id of a connection, for a frame made by hand; and it was sent. */
uint32_t rig_request_id(int fd);
void rig_note_sent(int fd);
/* A frame: a backtrace of some words (the last has the top bit) and a payload. */
void rig_send(int fd, size_t words, const void *payload, size_t n);
void rig_send_text(int fd, size_t words, const char *payload);
/* The next frame: its backtrace must be that of rig_send(). Returns the length of the
 * payload, of which at most room bytes are kept. */
size_t rig_receive(int fd, size_t words, void *payload, size_t room);
/* The next frame must be {"ok":true}. */
void rig_receive_ok(int fd, size_t words);
/* The daemon must close, without another byte. */
void rig_receive_end(int fd);
/* Send and receive, on a connection of its own: a counter at no level moves by n. */
void rig_count(const struct rig *r, const char *counter, int n);

/* ---- HTTP -------------------------------------------------------------- */

/* A connection to the HTTP port. */
int rig_http(const struct rig *r);
/* Read until the end, or until room is full: NUL-terminated. Returns the length. */
size_t rig_read_all(int fd, char *out, size_t room);
/* One request on a connection of its own; the whole answer, to be freed. */
char *rig_request(const struct rig *r, const char *request);
/* GET of a path; the whole answer, to be freed. */
char *rig_get(const struct rig *r, const char *path);
/* The value of a sample of the page, as a text up to the end of its line; -1: not there.
 */
double rig_sample(const struct rig *r, const char *sample);
void rig_wait_sample(const struct rig *r, const char *sample, double value);

/* Take the chunks of an HTTP answer apart, in place, and end them with NUL. Each must be
 * shorter than 256 KiB. Returns the bytes of the whole. */
size_t rig_join_chunks(char *body);

/* ---- Files ------------------------------------------------------------- */

bool rig_exists(const char *path);
void rig_write_file(const char *path, const char *text);
/* A Unix socket of a type bound to path, not listening; the caller closes it. */
int rig_bind_unix(const char *path, int type);

#define rig_check_says(text, part) \
	ck_assert_msg(strstr(text, part) != NULL, "no \"%s\" in: %s", part, text)

#endif /* RIG_H */
