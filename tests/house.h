/* SPDX-License-Identifier: Apache-2.0 */
/*
 * house.h - a daemon without sockets or clocks that keeps its state on a disk in memory.
 * It may be killed, and started again; each call to the disk may be made to fail.
 *
 * Everything aborts the test when memory is out.
 */
#ifndef HOUSE_H
#define HOUSE_H

#include <check.h>

#include "persist.h"
#include "sim_disk.h"
#include "talk.h"

/* The calls that may fail, and that are counted. */
enum house_call {
	HOUSE_OPEN,
	HOUSE_LIST,
	HOUSE_READ,
	HOUSE_CREATE,
	HOUSE_OPEN_AT,
	HOUSE_WRITE,
	HOUSE_CUT,
	HOUSE_SYNC,
	HOUSE_RENAME,
	HOUSE_REMOVE,
	HOUSE_SYNC_FOLDER,
	HOUSE_SPAWN,
	HOUSE_CALLS
};

struct house {
	uint64_t random;
	struct sim_disk *disk;
	struct disk ops;
	uint32_t calls; /* since it was made */
	uint32_t called[HOUSE_CALLS];
	uint32_t fail_at;	   /* that call fails; 0: none */
	uint32_t fail_calls;	   /* and so many in all */
	int error;		   /* with this */
	int error_of[HOUSE_CALLS]; /* all of a kind fail with this; 0: they do not */
	int error_in[DISK_PLACES]; /* all that change that folder */
	int unreadable;		   /* journals are, with this error */
	bool child_waits;	   /* children do not end by themselves */
	bool child_fails;

	struct persist_options options;
	struct persist_now now;
	struct talk *talk; /* NULL: it does not run */
	struct journal *journal;
	struct persist *persist;
	char started[PERSIST_ERROR_TEXT]; /* why it did not start */
	unsigned last_id;
	double counted; /* and acknowledged */
};

void house_make(struct house *h);
void house_free(struct house *h);

/* 0, or -1 with h->started filled. */
int house_try(struct house *h);
/* The same; before() is called when all is there, and nothing has been loaded. */
int house_try_after(struct house *h, void (*before)(void *arg), void *arg);
/* It must start. */
void house_start(struct house *h);
/* kill -9. */
void house_kill(struct house *h);
/* SIGTERM: what persist_stop() gave. */
int house_stop(struct house *h);

/* The end of a turn. */
void house_turn(struct house *h);
/* Time passes, and a turn ends. */
void house_pass(struct house *h, uint64_t ms);
/* A snapshot is due, is written, and takes its place. */
void house_snapshot(struct house *h);
/* A child goes on to its end. */
void house_child(struct house *h, bool well);

/* A counter moves by n, which is acknowledged, and the turn ends. */
void house_count(struct house *h, double n);
/* What is counted; 0: the counter is not there. */
double house_total(struct house *h);
/* It must be all that was acknowledged. */
void house_is_exact(struct house *h);

/* A state with a snapshot and a journal after it, of a daemon that was killed. */
void house_leave_a_state(struct house *h);

/* A file, which must be there. */
struct sim_file *house_file(struct house *h, enum disk_place place, const char *name);
/* A file of the test's. */
void house_put(struct house *h, enum disk_place place, const char *name,
    const void *bytes, size_t n);
/* A copy of a file as it is now, to be put somewhere later. */
struct house_copy {
	uint8_t at[65536];
	size_t n;
};
void house_copy(
    struct house *h, enum disk_place place, const char *name, struct house_copy *ret);

bool house_has(struct house *h, enum disk_place place, const char *name);
/* Files whose names start so. */
unsigned house_files(struct house *h, enum disk_place place, const char *start);
struct persist_figures house_figures(struct house *h);
/* Problems as JSON, until the next call. */
const char *house_problems(struct house *h);
/* One of them has this text in it. */
void house_must_have_problem(struct house *h, const char *text);
bool house_logged(struct house *h, const char *text);

#endif /* HOUSE_H */
