/* SPDX-License-Identifier: Apache-2.0 */
/*
 * persist.h - the state outlives the process: snapshots, and a journal of what came
 * after.
 *
 * A turn's records are written with one call before any reply or page of that turn
 * leaves. Journals are numbered by generation; each begins with a head and ends, if it
 * ended in order, with a seal. A snapshot says with which generation the journals after
 * it begin: the one under way is sealed, the next is opened, and a forked child writes
 * the image of that moment to a file of its own. When it is whole, the parent gives it
 * its name and removes the journals before it.
 *
 * When a write fails, the daemon goes on and answers, and the state is `degraded`: the
 * journal is cut back to its last good record and gets no more. A snapshot is tried once
 * a minute (state.snapshot_ms if that is shorter); one that succeeds ends it.
 *
 * Knows no file but through struct disk, and no clock: the times handed in are those of
 * the state's clock in milliseconds. One thread.
 */
#ifndef PERSIST_H
#define PERSIST_H

#include "apply.h"
#include "disk.h"
#include "journal.h"

enum persist_fsync {
	PERSIST_FSYNC_NEVER,
	PERSIST_FSYNC_SNAPSHOT, /* when a snapshot is taken */
	PERSIST_FSYNC_ALWAYS	/* and with each turn */
};

struct persist_options {
	const char *state_path;	  /* for sentences; "": nothing is kept */
	const char *runtime_path; /* for sentences */
	bool journal;		  /* false: snapshots alone */
	enum persist_fsync fsync;
	uint64_t journal_bytes; /* a snapshot is taken early when a journal is longer */
	uint64_t most_bytes;	/* of all journals while no snapshot can be written: more
				 * is a write that failed; 0: any number. Of those that
				 * a snapshot has, none counts */
	uint32_t snapshot_ms;
	uint32_t hold_ms; /* requests wait no longer for a snapshot */
	/* A child was started, whose descriptor is to wake the loop when it is readable;
	 * -1: it is about to be closed. May be NULL. */
	void (*watch)(void *arg, int descriptor);
	uint64_t (*unix_ms)(void *arg); /* milliseconds since 1970 */
	void *arg;			/* of both */
};

/* The moment of a start. */
struct persist_now {
	uint8_t boot[16];	/* identity of this boot of the machine; 0: unknown */
	uint64_t pid_namespace; /* identity of the namespace of process numbers */
	uint64_t monotonic_ms;	/* CLOCK_MONOTONIC */
	uint64_t unix_ms;
	uint64_t store;	    /* random: the store, if it is a new one */
	uint8_t secret[16]; /* random: its secret */
	/* What is known of a process of the saved state; asked only when the boot and, in
	 * all files, the namespace are the same. */
	enum apply_life (*life)(void *arg, pid_t pid, uint64_t start);
	void *life_arg;
};

struct persist_figures {
	bool degraded;
	bool has_snapshot; /* else the next two are 0 */
	uint64_t snapshot_age_ms;
	uint64_t snapshot_bytes;
	bool has_duration;	       /* false until this daemon has taken one */
	uint64_t snapshot_duration_ms; /* of the last one */
	uint64_t snapshot_failures;
	uint64_t journal_bytes; /* of all generations that are there */
	uint64_t generation;
};

struct persist;

/*
 * Everything handed in outlives it. journal is where apply records; NULL if nothing is to
 * be journalled. NULL when memory is out.
 */
struct persist *persist_new(const struct persist_options *options,
    const struct disk *disk, struct apply *apply, struct journal *journal,
    struct self_metrics *self, struct log *log);
/* Kills a child that is under way; writes nothing. */
void persist_free(struct persist *p);

/*
 * Load what was kept into apply, which is empty, and open the next journal. What cannot
 * be used is set aside under another name, logged and counted, and the start goes on.
 * *ret_offset_ms: the state's clock is CLOCK_MONOTONIC plus this. 0; or -1 with a
 * sentence in error, when memory is out or another daemon has one of the folders.
 */
#define PERSIST_ERROR_TEXT 512
int persist_recover(struct persist *p, const struct persist_now *now,
    int64_t *ret_offset_ms, char error[PERSIST_ERROR_TEXT]);

/*
 * The end of a turn: write its records, take note of a child that ended, begin a snapshot
 * that is due. After it, and not before, replies and pages may leave.
 */
void persist_turn(struct persist *p, uint64_t now_ms);
/* The descriptor that was given to watch() is readable: the next persist_turn() looks. */
void persist_wake(struct persist *p);
/* Milliseconds until persist_turn() has something to do by itself; UINT64_MAX: nothing.
 */
uint64_t persist_due_ms(const struct persist *p, uint64_t now_ms);

/* True while requests had better wait: a snapshot is under way that frees the journals,
 * and half of what they may take is used up. For seconds at most. */
bool persist_is_behind(const struct persist *p, uint64_t now_ms);

/* Take fsync, journal_bytes and snapshot_ms anew. */
void persist_set_options(struct persist *p, const struct persist_options *options);

/*
 * The last snapshot, written by this process; a child that is under way is killed first.
 * 0; or -1, logged, and then the journal has what the snapshot lacks. Nothing may be
 * applied after it.
 */
int persist_stop(struct persist *p, uint64_t now_ms);

/* What is wrong, as a JSON array of sentences; [] when all is well. */
void persist_problems(const struct persist *p, uint64_t now_ms, struct strbuf *out);
void persist_figures(
    const struct persist *p, uint64_t now_ms, struct persist_figures *ret);

#endif /* PERSIST_H */
