/* SPDX-License-Identifier: Apache-2.0 */
/*
 * self_metrics.h - the daemon's metrics about itself, declared as data.
 *
 * self_metrics.c holds one table: name, kind, help, labels and their values. Counting is
 * adding to a cell of it. Their names are the same under every naming, and no worker can
 * take them. One thread.
 */
#ifndef SELF_METRICS_H
#define SELF_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "message.h"

/* Ordered by name, as the exposition is. */
enum self_metric {
	SELF_BUFFERED_BYTES, /* label `socket` */
	SELF_BUILD_INFO,
	SELF_CLIENT_DROPPED_UPDATES,
	SELF_CONFIG_RELOADS,
	SELF_CONNECTIONS,
	SELF_CONNECTIONS_CLOSED, /* labels `socket` and `cause`: an enum self_closed */
	SELF_DEGRADED,
	SELF_FAMILIES_REPLACED,
	SELF_JOURNAL_BYTES,
	SELF_JOURNAL_FAILURES,
	SELF_LOOP_TURN,
	SELF_MESSAGES,
	SELF_RECEIVED_BYTES,
	SELF_REFUSED,
	SELF_RESENT,
	SELF_SERIES,
	SELF_SERIES_REMOVED, /* label `cause`: an enum registry_cause */
	SELF_SESSIONS_FOLDED,
	SELF_SESSIONS_REMEMBERED,
	SELF_SNAPSHOT_AGE,
	SELF_SNAPSHOT_BYTES,
	SELF_SNAPSHOT_DURATION,
	SELF_SNAPSHOT_FAILURES,
	SELF_STATE_DROPPED,
	SELF_STATE_SET_ASIDE,
	SELF_WORKERS,
	SELF_HTTP_REQUEST_DURATION,
	SELF_HTTP_REQUESTS,
	SELF_HTTP_RESPONSE_SIZE,
	SELF_UPTIME,
	SELF_PROCESS_CPU,
	SELF_PROCESS_MAX_FDS,
	SELF_PROCESS_OPEN_FDS,
	SELF_PROCESS_RESIDENT,
	SELF_PROCESS_START_TIME,
	SELF_PROCESS_VIRTUAL,
	SELF_END
};

/* The values of label `socket`. */
enum self_socket { SELF_SOCKET_INGEST, SELF_SOCKET_HTTP };

/* The values of label `cause` of SELF_CONNECTIONS_CLOSED: why the daemon closed a
 * connection that its peer would have kept, or took none. */
enum self_closed {
	SELF_CLOSED_FULL,	 /* no room, and none to be made: the new one is closed */
	SELF_CLOSED_SHARE,	 /* its user has its share of all connections */
	SELF_CLOSED_IDLE,	 /* it made room for a new one */
	SELF_CLOSED_LATE,	 /* what it began was not whole in time */
	SELF_CLOSED_PROTOCOL,	 /* what it sent is none of the protocol */
	SELF_CLOSED_SLOW,	 /* it did not take its answer in time */
	SELF_CLOSED_BUFFERED,	 /* all buffers together are full */
	SELF_CLOSED_MEMORY,	 /* memory is out */
	SELF_CLOSED_DESCRIPTORS, /* descriptors are out */
	SELF_CLOSED_END
};

/* The values of label `format` of SELF_MESSAGES. */
enum self_format { SELF_BINARY, SELF_JSON };

/* The values of label `result` of SELF_CONFIG_RELOADS. */
enum self_reload { SELF_RELOAD_OK, SELF_RELOAD_FAILED };

/* The values of label `path` of SELF_HTTP_*: a known route or `other`. */
enum self_path {
	SELF_PATH_ROOT,
	SELF_PATH_METRICS,
	SELF_PATH_HEALTH,
	SELF_PATH_LIVE,
	SELF_PATH_OTHER,
	SELF_PATHS
};

/* A row of the table. */
struct self_row {
	const char *name; /* in full */
	enum message_kind kind;
	const char *help;
	const char *constant[2]; /* a constant label, name and value, or NULLs */
	const char *label[2];	 /* label names, NULL from the first that is not there */
	const char *const *value[2]; /* NULL-terminated lists of their values */
	const double *bounds;	     /* histograms: ascending, ended by INFINITY */
	bool sparse; /* a series is left out until something was counted */
};

extern const struct self_row self_table[SELF_END];

struct self_metrics;

struct self_metrics *self_metrics_new(void);
void self_metrics_free(struct self_metrics *s);

/*
 * a and b pick the label values: positions in the row's lists, 0 where the row has no
 * such label. A counter is added to, a gauge is set, a histogram observes.
 */
void self_add(struct self_metrics *s, enum self_metric m, size_t a, size_t b, double n);
void self_set(struct self_metrics *s, enum self_metric m, size_t a, size_t b, double v);
void self_observe(
    struct self_metrics *s, enum self_metric m, size_t a, size_t b, double v);

/* Count a connection that was closed. */
void self_closed(struct self_metrics *s, enum self_socket socket, enum self_closed cause);

/* Count a refusal. */
void self_refused(struct self_metrics *s, enum reason reason);

/* How many series a row has, and one of them: its cells (1, or buckets and sum as a
 * histogram's child has them), or NULL if it is sparse and untouched. */
size_t self_series(enum self_metric m);
const double *self_cells(const struct self_metrics *s, enum self_metric m, size_t series);
/* The number of bounds of a histogram row. */
size_t self_bounds(enum self_metric m);

/* The position of an HTTP status among the values of label `code`. */
size_t self_http_code(int status);

/* True if a worker's name behind that prefix would be a self-metric's, or a sample's of
 * one. */
bool self_metrics_owns(const char *prefix, struct wire_text name);

/* True if a self-metric has a label of that name. */
bool self_metrics_has_label(struct wire_text name);

#endif /* SELF_METRICS_H */
