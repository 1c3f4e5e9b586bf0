/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flush.h - the one thread of a runtime: when to send, and to whom it matters.
 *
 * It is started, and connects, as soon as something is defined, starts a pass (collect.h)
 * each interval, and sleeps in between: one wake-up an interval when nothing changes. It
 * ends when the program's own threads have. It sees
 * the daemon leave at once, and comes back within a second. It has all signals blocked.
 *
 * Other threads give orders under the lock and wake it. The lock is never held over
 * anything that waits, but for the conditions.
 */
#ifndef FLUSH_H
#define FLUSH_H

#include "collect.h"
#include "transport.h"

enum expose_state { EXPOSE_NONE, EXPOSE_WANTED, EXPOSE_SENT, EXPOSE_DONE };

struct flush {
	/* fixed */
	struct store *store;
	struct report *report;
	const char *path;   /* of the daemon's socket */
	const char *worker; /* wished name */
	uint64_t interval_ns;
	void *map; /* of the session; wiped by fork */

	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t wake;  /* the thread waits */
	pthread_cond_t done;  /* others wait */
	bool running;	      /* atomic too */
	bool forked;	      /* in a child, and the thread has not been started yet */
	bool woken;
	bool closing;
	uint64_t close_ns;
	int event_fd; /* wakes the thread when it polls; -1: none */
	pthread_t thread;
	uint64_t ordered; /* the last flush that was asked for */
	uint64_t passed;  /* the last one that is done */
	enum expose_state expose;
	struct message_level expose_level;
	char *expose_text;
	dynm_err expose_code;
	void (*callback)(void *arg);
	void *callback_arg;
	bool in_callback;
	bool connected;
	uint64_t acked_ns; /* 0: never */
	char given[64];	   /* worker name */

	/* the thread's own */
	bool over;
	bool passing;
	bool final;  /* the pass that is under way began after the order to close */
	bool credit; /* one more time without a pause */
	bool outage; /* that nobody listens was said */
	uint64_t pass_order;
	uint64_t next_pass_ns;
	uint64_t retry_ns;
	uint64_t ask_again_ns; /* for what was refused */
	uint64_t looked_ns;    /* whether the program is still there */
	uint64_t sent_ns;
	uint32_t pause_ms;
	uint64_t random;
	char trouble[sizeof(((struct refusal *)0)->text)]; /* said last */
	struct session *session;
	struct transport transport;
	struct collect collect;
};

/* 0, or an errno value. */
int flush_init(struct flush *f, struct store *st, struct report *report, const char *path,
    const char *worker, uint32_t interval_ms, uint64_t random);
void flush_free(struct flush *f);

/* False while nothing was ever defined: then there is nothing to say to a daemon, and no
 * need of a thread. */
static inline bool
flush_is_used(const struct flush *f)
{
	return __atomic_load_n(&f->store->n_ever, __ATOMIC_ACQUIRE) > 0;
}

/* Start the thread if it is not running: 0, or an errno value. */
int flush_start(struct flush *f);
bool flush_is_running(const struct flush *f);
/* True in the thread itself, where waiting for it would be for ever. */
bool flush_is_self(struct flush *f);
/* Have it look for something to do. */
void flush_wake(struct flush *f);

/* As dynm_flush(), dynm_expose(), dynm_on_flush() say. */
dynm_err flush_wait(struct flush *f, int timeout_ms);
dynm_err flush_expose(
    struct flush *f, const struct message_level *level, int timeout_ms, char **ret_text);
void flush_on(struct flush *f, void (*fn)(void *arg), void *arg);
void flush_status(struct flush *f, dynm_status *ret);
/* A last pass, for an interval at most; the thread has ended afterwards. */
void flush_stop(struct flush *f);

/* In a forked child; the lock is held. */
void flush_fork_child(struct flush *f);

#endif /* FLUSH_H */
