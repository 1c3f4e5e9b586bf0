/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sessions.h - who reports: live sessions with their columns, and the memory of folded
 * ones.
 *
 * A session is LIVE from its HELLO until it is folded. A folded one is remembered as
 * (id, serial, last sequence), so that a worker taken for dead goes on from exactly what
 * was counted. A connection may carry several sessions (through devices), a session may
 * have several connections. The time is handed in. One thread.
 */
#ifndef SESSIONS_H
#define SESSIONS_H

#include <sys/types.h>

#include "effect.h"
#include "owners.h"
#include "registry.h"
#include "self_metrics.h"

/* What is known of a session id for good: 56 bytes. */
struct record {
	uint8_t sid[MESSAGE_SID_BYTES];
	uint64_t serial; /* 0: the record is free */
	uint64_t last;	 /* the sequence that was applied last */
	uid_t uid;
	uint32_t next_folded, previous_folded; /* the younger and the older one */
	uint32_t next_of_uid;		       /* the younger one of its uid */
	struct session *live;		       /* NULL: folded */
};

struct session {
	struct session *next, *previous; /* of all live ones */
	uint32_t record;
	struct column *column;
	uint32_t owner;			   /* of sessions.owners */
	char name[NAMES_WORKER_BYTES + 1]; /* "" while a successor has it */
	char wish[NAMES_WORKER_BYTES + 1];
	char library[32];
	pid_t pid;	   /* 0: not visible */
	uint64_t start;	   /* of the process, in clock ticks since boot; 0: unknown */
	uint32_t bound;	   /* connections */
	uint32_t lease_ms; /* as its worker was told at the last HELLO */
	uint64_t born_ms;
	uint64_t touched_ms; /* the last request */
	uint64_t updated_ms; /* the last UPDATE that was applied; 0: none */
	uint64_t unbound_ms; /* when the last connection went, if none is bound */
	uint64_t refused;    /* items and requests */
};

/* The folded sessions of a uid, the oldest first. */
struct folded {
	uid_t uid;
	uint32_t first, last;
	uint32_t n;
};

/* A session that a connection said HELLO for. */
struct apply_binding {
	struct apply_binding *next;
	uint32_t record;
	uint64_t serial;
	bool direct; /* its process is the worker, and no device before it */
};

struct sessions {
	struct registry *registry;
	struct self_metrics *self;
	struct log *log;
	struct effects *effects; /* what happens here is recorded there */
	uint32_t lease_ms;
	uint32_t grace_ms;
	uint32_t folded_most;
	uint64_t next_serial;
	struct slab records;
	struct index by_sid;
	struct index by_serial;
	struct session *first; /* live */
	uint32_t n_live;
	struct owners owners;		    /* of live ones */
	uint32_t folded_first, folded_last; /* the oldest and the youngest */
	uint32_t n_folded;
	struct folded *folded; /* of each uid that had a session */
	uint32_t n_lists;
	uint64_t due_ms; /* nothing runs out before */
	bool had_worker; /* see apply_had_worker() */
};

void sessions_init(struct sessions *s, struct registry *registry,
    struct self_metrics *self, struct log *log, struct effects *effects);
/* The lease of sessions that are bound from now on, the grace of all. */
void sessions_set_times(struct sessions *s, uint32_t lease_ms, uint32_t grace_ms);
/* Folds nothing: the registry is about to go as well. */
void sessions_free(struct sessions *s);

struct record *sessions_record(const struct sessions *s, uint32_t number);
/* 0 if it is not known. */
uint32_t sessions_find_sid(const struct sessions *s, const uint8_t *sid);
uint32_t sessions_find_serial(const struct sessions *s, uint64_t serial);

/*
 * A new LIVE session, not bound yet: sid, uid, pid, start, wish (may be empty) and
 * library are looked at. 0 when memory is out.
 */
uint32_t sessions_new(
    struct sessions *s, const struct session_saved *who, uint64_t now_ms);

/* A live session as it was, not bound, its gauges hidden, with an empty column. Or a
 * folded one, younger than those that are there. Serials that are given next lie above.
 * Neither sid nor serial is there already. Nothing is said. 0 when memory is out. */
uint32_t sessions_restore(struct sessions *s, const struct session_saved *who);
uint32_t sessions_restore_folded(struct sessions *s, const struct session_saved *who);
/* Forget a folded one, and those of its uid that are older. */
void sessions_forget(struct sessions *s, uint32_t number);
/* A live session has another name; "": a successor has it. False when memory is out. */
bool sessions_rename(struct sessions *s, struct session *session, struct wire_text name);
/* The end of a live session, and nothing is said. */
void sessions_end(struct sessions *s, uint32_t number, bool remember);

/* A connection speaks for a live session, direct or through a device: it has its name
 * and its gauges again. False when memory is out. */
bool sessions_bind(struct sessions *s, struct apply_binding **bindings, uint32_t number,
    bool direct, uint64_t now_ms);
/* The binding of that serial, or NULL. */
const struct apply_binding *sessions_bound(
    const struct apply_binding *bindings, uint64_t serial);
/* The connection is gone. certainly: its process too; behind a device, the worker may
 * live. */
void sessions_unbind(
    struct sessions *s, struct apply_binding **bindings, bool certainly, uint64_t now_ms);

/* End a live session: what it counted stays. remember: its worker may still be alive. */
void sessions_fold(
    struct sessions *s, uint32_t number, bool remember, const char *why, uint64_t now_ms);

/* Fold (and remember) the session that has been without a connection for longest, of
 * those of an owner (0: of any) that have nothing on the page but what stays there. False
 * if there is none. */
bool sessions_make_room(struct sessions *s, uint32_t owner, uint64_t now_ms);

/* No live session has a connection: its grace and its lease begin now. */
void sessions_begin_again(struct sessions *s, uint64_t now_ms);

/* Leases and graces that have run out. */
void sessions_tick(struct sessions *s, uint64_t now_ms);
/* Nobody was there to hear: what runs out now has one grace more. */
void sessions_postpone(struct sessions *s, uint64_t now_ms);

#endif /* SESSIONS_H */
