/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim.h - a world in one process: workers, connections, a daemon and its disk, without
 * sockets, clocks or files.
 *
 * The worker's session and the daemon's state machines are the real ones. What happens
 * next is chosen by a scheduler from a seed, so that a world that went wrong goes wrong
 * again, or by a script, call by call. After each event sim_check() compares what the
 * daemon has with what was counted (sim_truth.c has the rules); the first difference ends
 * the world, with a sentence and its last events.
 */
#ifndef SIM_H
#define SIM_H

#include "apply.h"
#include "persist.h"
#include "session.h"
#include "sim_disk.h"

/* What may go wrong in a world. */
enum sim_fault {
	SIM_LATE = 1 << 0, /* requests come late, again, over other connections */
	SIM_LOSE = 1 << 1, /* requests, replies and connections are lost */
	SIM_KILL_WORKER = 1 << 2,
	SIM_FORK = 1 << 3,
	SIM_LEASE = 1 << 4,  /* the daemon takes the living for dead */
	SIM_EVICT = 1 << 5,  /* ... and forgets them */
	SIM_REMOVE = 1 << 6, /* children come and go */
	SIM_JSON = 1 << 7,
	SIM_KILL_DAEMON = 1 << 8,
	SIM_SNAPSHOT = 1 << 9, /* children that write snapshots are late, or fail */
	SIM_DISK = 1 << 10,    /* writes fail */
	SIM_LOSS = 1 << 11,    /* the state is lost */
	SIM_CRASH = 1 << 12,   /* the machine ends */
	SIM_FAULTS = 13
};
#define SIM_ALL ((1U << SIM_FAULTS) - 1)
/* Those that lose nothing that was acknowledged. */
#define SIM_LOSSLESS (SIM_ALL & ~(unsigned)(SIM_DISK | SIM_LOSS | SIM_CRASH))

const char *sim_fault_word(unsigned bit);

/* ---- What is counted ----------------------------------------------------- */

/* Each worker may have one child of each of these. */
enum sim_metric {
	SIM_WHOLE,    /* a counter in steps of 1 */
	SIM_FRACTION, /* in steps of 0.1 */
	SIM_HISTOGRAM,
	SIM_LEVEL,  /* a gauge, merged by sum */
	SIM_LATEST, /* a gauge, merged by last */
	SIM_SHARED, /* a counter that workers remove and make again */
	SIM_OWN_A,  /* the same, each with a label of its process */
	SIM_OWN_B,
	SIM_METRICS
};
#define SIM_CELLS      4 /* the most of one child */
#define SIM_PROCESSES  40
#define SIM_WIRE_CELLS 40 /* of a worker, at most */

/* A line is what a counter or a cell of a histogram comes to on the page. */
enum sim_line_number {
	SIM_LINE_WHOLE,
	SIM_LINE_FRACTION,
	SIM_LINE_BUCKETS, /* 3, and the sum */
	SIM_LINE_SUM = SIM_LINE_BUCKETS + 3,
	SIM_LINE_SHARED,
	SIM_LINE_JSON,
	SIM_LINE_OWN, /* of process p: 2 p, 2 p + 1 */
	SIM_LINES = SIM_LINE_OWN + 2 * SIM_PROCESSES
};

struct sim_line {
	double dead_most;  /* counted by the dead, acknowledged or not */
	double dead_least; /* acknowledged to the dead */
	double maybe;	   /* what the protocol allows to be missing */
	double extra;  /* of a removed child that came back when the disk had failed */
	uint64_t last; /* bits of the total; 0: it was not there */
	uint64_t seen; /* the same, as it was on the last page */
	double total;  /* NAN: it is not there */
};

/* ---- Connections --------------------------------------------------------- */

struct sim_packet {
	struct sim_packet *next;
	uint64_t id;	/* of the request; replies have that of theirs */
	uint64_t store; /* of a reply: whose it is */
	size_t bytes;
	uint8_t data[];
};

struct sim_queue {
	struct sim_packet *first, **end;
	uint32_t n;
};

/* A connection has two ends: that of a process, and that of the daemon. */
struct sim_conn {
	struct sim_conn *next;
	uint32_t process; /* who made it */
	bool open;	  /* at the process' end */
	bool served;	  /* at the daemon's */
	struct apply_peer peer;
	struct sim_queue requests, held, replies;
};

/* ---- Workers ------------------------------------------------------------- */

enum sim_child_state {
	SIM_NONE,
	SIM_UNDEFINED,
	SIM_ASKED,
	SIM_DEFINED,
	SIM_REMOVING,
	SIM_REFUSED
};

struct sim_child {
	uint8_t state; /* enum sim_child_state */
	bool removed;  /* by the application */
	bool suspect;
	bool set; /* of a gauge */
	uint32_t cell;
	double value[SIM_CELLS];
	uint64_t stamp_ns;
};

#define SIM_HISTORY 6 /* requests that may come again */
#define SIM_ASKS    64

struct sim_worker {
	struct sim *sim;
	bool alive;
	uint32_t process; /* 1 .. SIM_PROCESSES - 1 */
	void *map;
	struct session *session;
	struct session_source source;
	struct sim_conn *conn; /* NULL: none */
	uint64_t awaits;       /* the id of the request that is not answered */
	bool wants_bye;
	bool left; /* a session that the daemon has until its lease ends */
	uint8_t family[SIM_METRICS];
	struct sim_child child[SIM_METRICS][2]; /* 1: removed, but not yet gone */
	uint16_t asked[SIM_ASKS];
	uint32_t n_asked;
	uint32_t offer_from, offer_most; /* of an UPDATE, so that there are several */
	double counted[SIM_LINE_OWN];	 /* since the process began */
	double own_counted[2];
	struct sim_packet *history[SIM_HISTORY];
	uint32_t n_history;
};

#define SIM_WORKERS 5

/* A sender of JSON: one message at a time, again until it is answered. */
struct sim_sender {
	struct sim_conn *conn;
	uint64_t awaits;
	uint32_t request; /* SP's id */
	double amount;	  /* of the message under way; 0: none */
	uint64_t since_ms;
	uint64_t number;
	bool by_id;
	bool plain; /* nothing tells it when it comes again */
};

#define SIM_SENDERS 2

/* ---- The world ----------------------------------------------------------- */

/* What has happened, in one world or in many. */
struct sim_figures {
	uint64_t worlds, steps, settled, pages;
	uint64_t kills, stops, worker_kills, forks, losses, crashes, degraded, snapshots;
	uint64_t folds, resends;
	uint64_t missed;      /* updates that a forgotten session may have cost */
	uint64_t answers[16]; /* to workers, by the last digit of their type */
	uint64_t refused;     /* children, for good */
	uint64_t counted;     /* times */
	double lost, doubled; /* against the rules */
};
void sim_add_figures(struct sim_figures *to, const struct sim_figures *from);

struct sim_event {
	const char *what;
	uint64_t step;
	uint64_t a, b;
};

#define SIM_TRACE 200

struct sim_daemon;

struct sim {
	uint64_t random;
	unsigned faults;
	uint64_t step;
	uint64_t mono_ms;     /* since the machine started */
	uint64_t calendar_ms; /* since the world began */
	struct sim_daemon *daemon;
	struct sim_disk *disk;
	struct sim_worker worker[SIM_WORKERS];
	struct sim_sender sender[SIM_SENDERS];
	struct sim_conn *conns;
	uint32_t n_conns;
	uint32_t processes; /* numbers given */
	uint64_t ids;
	struct sim_line line[SIM_LINES];
	double json_sent, json_told; /* deltas; and those that were acknowledged */
	bool settling;		     /* no faults */
	bool loose; /* the disk has failed: only too much is wrong until all settles */
	bool failed_once; /* the disk has */
	struct sim_figures figures;
	struct sim_event trace[SIM_TRACE];
	uint64_t traced;
	char failed[400]; /* "": all is well */
};

/* folded: how many folded sessions its daemon remembers; 0: many, or by chance. */
struct sim *sim_new(uint64_t seed, unsigned faults, uint32_t folded);
void sim_free(struct sim *s);
/* One event. False when the world has failed. */
bool sim_step(struct sim *s);
/* No more faults: until nothing is left to do. False if it does not end, or when what
 * there is then is not what was counted. */
bool sim_settle(struct sim *s);
/* Steps and settlings of a whole world. */
bool sim_run(struct sim *s, uint64_t steps);
/* Seed, sentence and last events. */
void sim_print(const struct sim *s, uint64_t seed);

/* The first sentence stays. Returns false. */
bool sim_fail(struct sim *s, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void sim_note(struct sim *s, const char *what, uint64_t a, uint64_t b);
uint64_t sim_random(struct sim *s);
static inline bool
sim_chance(struct sim *s, unsigned of)
{
	return (sim_random(s) >> 20) % of == 0;
}
static inline unsigned
sim_below(struct sim *s, unsigned n)
{
	return (unsigned)((sim_random(s) >> 20) % n);
}

/* ---- sim_events.c, sim_faults.c ------------------------------------------- */

/* What may happen next: false if it cannot. */
struct sim_choice {
	bool (*fn)(struct sim *s); /* NULL: the end of a table */
	unsigned weight;
	unsigned fault; /* only in a world with it; 0: in any */
};
extern const struct sim_choice sim_fault_events[];

/* One by chance, or NULL. */
struct sim_worker *sim_some_worker(struct sim *s);
struct sim_worker *sim_free_worker(struct sim *s);
struct sim_conn *sim_some_conn(struct sim *s);
bool sim_lives(const struct sim *s, uint32_t process);

/* ---- sim_net.c ----------------------------------------------------------- */

struct sim_conn *sim_connect(struct sim *s, uint32_t process);
/* The process' end: what was sent may still be read. */
void sim_hang_up(struct sim *s, struct sim_conn *c);
/* The daemon's end: what was not read is lost. */
void sim_cut(struct sim *s, struct sim_conn *c);
/* Connections with no end left. */
void sim_sweep(struct sim *s);
void sim_free_conns(struct sim *s);
struct sim_packet *sim_put(
    struct sim_queue *q, uint64_t id, const void *data, size_t bytes);
struct sim_packet *sim_take(struct sim_queue *q);
void sim_clear(struct sim_queue *q);

/* ---- sim_worker.c, sim_source.c ------------------------------------------- */

bool sim_worker_start(struct sim *s, struct sim_worker *w);
void sim_worker_free(struct sim_worker *w);
void sim_count(struct sim_worker *w, enum sim_metric m, double amount);
void sim_set(struct sim_worker *w, enum sim_metric m, double value);
void sim_define(struct sim_worker *w, enum sim_metric m);
void sim_remove(struct sim_worker *w, enum sim_metric m);
/* Connect and say HELLO. */
void sim_hello(struct sim_worker *w);
/* Send what there is to be sent. False: nothing. */
bool sim_flush(struct sim_worker *w, bool ping);
/* Take one reply that has come. */
bool sim_answer(struct sim_worker *w);
/* It waits no longer, and closes. */
void sim_give_up(struct sim_worker *w);
void sim_kill_worker(struct sim_worker *w);
void sim_fork(struct sim_worker *parent, struct sim_worker *child);
bool sim_is_quiet(const struct sim_worker *w);
/* What it has said so far does not come again. */
void sim_forget(struct sim_worker *w);

extern const uint32_t sim_cells[SIM_METRICS];
extern const enum message_kind sim_kind[SIM_METRICS];
extern const int sim_line_of[SIM_METRICS]; /* -1: a gauge */
void sim_source_init(struct sim_worker *w);

/* ---- sim_json.c ------------------------------------------------------------ */

void sim_json_send(struct sim *s, struct sim_sender *from, bool by_id);
void sim_json_again(struct sim *s, struct sim_sender *from);
bool sim_json_answer(struct sim *s, struct sim_sender *from);

/* ---- sim_daemon.c ---------------------------------------------------------- */

#define SIM_LEASE_MS	15000
#define SIM_GRACE_MS	2000
#define SIM_SNAPSHOT_MS 5000

struct sim_daemon {
	struct sim *sim;
	bool up;
	struct registry *registry;
	struct self_metrics *self;
	struct journal *journal;
	struct apply *apply;
	struct persist *persist;
	struct strbuf reply;
	uint64_t store; /* of the state; 0: there is none */
	uint64_t epoch;
	int64_t offset_ms;
	uint32_t folded_memory;
	uint64_t boot;
	bool journalled; /* else each kill takes the state back to the last snapshot */
	bool dirty;	 /* something happened in this turn */
	bool degraded;	 /* as it was at the end of the last one */
};

struct sim_daemon *sim_daemon_new(struct sim *s, uint32_t folded_memory);
void sim_daemon_free(struct sim_daemon *d);
/* What it has counted about itself goes into the figures: once, at its end or the
 * world's.
 */
void sim_tally(struct sim_daemon *d);
/* With what the disk has. It may die of it; then it is not up. */
bool sim_daemon_start(struct sim_daemon *d);
/* As kill -9 does. */
void sim_daemon_kill(struct sim_daemon *d);
/* As SIGTERM does. */
void sim_daemon_stop(struct sim_daemon *d);
/* Without its state, from which it starts anew. */
bool sim_daemon_lose(struct sim_daemon *d);
/* The machine goes down with all that runs on it. */
void sim_crash(struct sim *s);
uint64_t sim_daemon_ms(const struct sim_daemon *d);
/* Read one request. */
bool sim_serve(struct sim_daemon *d, struct sim_conn *c);
/* A connection whose process has hung up: it is read, and ended. */
void sim_serve_end(struct sim_daemon *d, struct sim_conn *c, bool certainly);
/* The turn ends: its records are written, its replies leave. */
bool sim_turn(struct sim_daemon *d);
bool sim_pass(struct sim_daemon *d, uint64_t ms);

/* ---- sim_truth.c ----------------------------------------------------------- */

bool sim_check(struct sim *s);
bool sim_check_settled(struct sim *s);
bool sim_check_page(struct sim *s);
/* The turn's page is there for all to see. */
void sim_seen(struct sim *s);
/* The daemon has ended; what nobody saw may be gone. */
void sim_unseen(struct sim *s);
/* A worker dies: what it has counted is counted by the dead. */
void sim_bury(struct sim_worker *w);
/* The store is a new one. */
void sim_truth_lost(struct sim *s);

#endif /* SIM_H */
