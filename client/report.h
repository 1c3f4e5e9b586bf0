/* SPDX-License-Identifier: Apache-2.0 */
/*
 * report.h - what the library tells its user: a first error that waits to be asked for,
 * lines for the log callback, and updates that were dropped.
 *
 * Any thread may call anything. The callback is called without a lock held, so that it
 * may call the library.
 */
#ifndef REPORT_H
#define REPORT_H

#include <dynamo/metrics.h>
#include <pthread.h>
#include <stdbool.h>

#include "message.h"

/* Why an update was dropped; each is logged once. */
enum report_drop {
	REPORT_DROP_COUNTER,
	REPORT_DROP_HISTOGRAM,
	REPORT_DROP_MEMORY,
	REPORT_DROPS
};

struct report {
	pthread_mutex_t lock; /* of what follows, down to next_ns */
	dynm_error first;
	uint32_t lines;	  /* error lines logged so far */
	uint32_t unsaid;  /* errors since that were not */
	uint64_t next_ns; /* when there may be another line */
	void (*log)(void *arg, const char *text);
	void *log_arg;
	uint64_t dropped;	    /* relaxed */
	uint8_t seen[REPORT_DROPS]; /* relaxed; 1: to be logged, 2: logged */
};

void report_init(struct report *r, const dynm_options *opts);
void report_free(struct report *r);

/*
 * An error of the user's or the daemon's: kept if it is the first, and logged. After a
 * hundred lines there is one each minute, behind a line that says how many were left out.
 */
void report_error(struct report *r, dynm_err code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* A refusal in the words of the shared rules, or of the daemon. */
void report_refusal(struct report *r, const struct refusal *refusal);
/* A refusal of our own, if it is one: when memory is out it is ours, not the daemon's. */
void report_local(struct report *r, const struct refusal *refusal);
/* A line that is no error. */
void report_line(struct report *r, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Take the first error. */
dynm_err report_take(struct report *r, dynm_error *err);

/* On the path of updates: only counts; report_drops() logs, from the flush thread. */
void report_drop(struct report *r, enum report_drop cause);
void report_drops(struct report *r);
uint64_t report_dropped(const struct report *r);

/* The code for a reason. */
dynm_err report_code(enum reason reason);
/* Fill *err, which may be NULL, and return code. */
dynm_err report_fill(dynm_error *err, dynm_err code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif /* REPORT_H */
