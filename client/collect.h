/* SPDX-License-Identifier: Apache-2.0 */
/*
 * collect.h - the session's source: finds what has changed in a store.
 *
 * A pass looks at all that was defined or changed before it began. Slabs with something
 * to define or to look at are on two lists; the pass is over when both are empty. All of
 * it is the flush thread's alone.
 */
#ifndef COLLECT_H
#define COLLECT_H

#include "series.h"
#include "session.h"

struct slab_list {
	struct slab *first;
	struct slab *last;
};

struct collect {
	struct store *store;
	struct session *session;
	struct session_source source; /* this, for the session */
	struct slab_list define;
	struct slab_list look;
	struct slab_list torn; /* a thread was in the midst of a histogram */
	bool blocked;	       /* a child waits until one of the same values is removed */
	uint32_t refused;      /* series that the daemon has refused */
	uint32_t shown;	       /* refused, once it is answered: for others (atomic) */
	uint32_t waiting;      /* of these, the ones to be asked again */
	uint32_t retry_max;    /* how many at the next retry */
	bool retry_refused;    /* some were refused since the last one */
	struct slab *retry_at; /* where the next one goes on; NULL: at the first */
	uint32_t n_asked;      /* in the DEFINE or REMOVE in flight */
	uintptr_t asked[SESSION_DEFINE_ITEMS]; /* children; families with bit 0 set */
};

/* Before the first pass of a flush thread. forked: in a child, where nothing was counted,
 * so what was removed is gone. */
void collect_begin(struct collect *c, struct store *st, struct session *s, bool forked);

/* A new pass: everything from before this call is to be sent. */
void collect_pass(struct collect *c);
/* In a pass: what has changed by now is to be sent, too. */
void collect_changes(struct collect *c);
/* True when there is something to define; and when all of the pass was put into requests.
 */
bool collect_is_defining(const struct collect *c);
bool collect_is_done(const struct collect *c);

/* A pass is over: what was asked again is answered, and refused is what others may see.
 */
void collect_show(struct collect *c);

/* Before a pass: ask again for some of what was refused for what others have. */
void collect_retry(struct collect *c);
/* True when there is something to ask again; and: when nothing was refused since the last
 * retry, so that the next one need not wait. */
bool collect_waits(const struct collect *c);
bool collect_is_lucky(const struct collect *c);

/* True when something has to be looked at again soon; and: now. */
bool collect_is_torn(const struct collect *c);
void collect_torn(struct collect *c);

#endif /* COLLECT_H */
