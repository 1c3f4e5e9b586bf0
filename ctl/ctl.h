/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ctl.h - what the commands of dynamo-metricsctl share: options, exit codes, errors.
 *
 * A command returns its exit code. What went wrong is a sentence in the caller's error;
 * main() prints it to standard error.
 */
#ifndef CTL_H
#define CTL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "wire.h"

#define CTL_DEFAULT_ADDRESS "ipc:///run/dynamo-metricsd/ingest.ipc"

enum ctl_exit {
	CTL_OK = 0,
	CTL_REFUSED = 1,    /* the daemon said no */
	CTL_USAGE = 2,	    /* the command line is wrong */
	CTL_UNREACHABLE = 3 /* no daemon, or no answer in time */
};

struct ctl_options {
	const char *address; /* any nanomsg URL */
	int timeout_ms;
	const char *file;  /* of --file, or NULL */
	bool json;	   /* --json */
	const char *level; /* of --level, or NULL */
	bool dry_run;	   /* --dry-run */
	uint64_t count;	   /* of --count; 0: no end */
};

struct ctl_error {
	char text[512];
};

/* Fill error with a sentence; returns code. */
enum ctl_exit ctl_fail(struct ctl_error *error, enum ctl_exit code, const char *format,
    ...) __attribute__((format(printf, 3, 4)));

/* What a daemon said, for a terminal: control characters as '?'. */
void ctl_print(FILE *out, struct wire_text text);

/* ---- Commands: argv holds what follows the command ----------------------- */

typedef enum ctl_exit ctl_run(
    const struct ctl_options *o, int argc, char **argv, struct ctl_error *error);

ctl_run ctl_send, ctl_expose, ctl_status, ctl_remove, ctl_log_level, ctl_tail, ctl_bridge;

/* ---- What they print ------------------------------------------------------ */

/* The table for people that a STATUS reply comes to. CTL_UNREACHABLE if it is no such
 * reply. */
enum ctl_exit ctl_print_status(FILE *out, struct wire_text json, struct ctl_error *error);
/* The line for people of a message that tail shows. */
struct json_t;
void ctl_print_message(FILE *out, const struct json_t *message);

#endif /* CTL_H */
