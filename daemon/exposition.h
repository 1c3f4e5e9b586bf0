/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exposition.h - the registry and the self-metrics as Prometheus text 0.0.4, in slices.
 *
 * A cursor walks the families by name. Between two slices anything may change: each
 * series comes at most once, one that existed throughout exactly once, and families stay
 * whole and contiguous. All lines of one series are of one moment. Rendering cannot fail
 * but for memory (out->failed). One thread.
 */
#ifndef EXPOSITION_H
#define EXPOSITION_H

#include "registry.h"
#include "self_metrics.h"
#include "strbuf.h"

#define EXPOSITION_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct exposition;

/* Zeroed: everything. */
struct exposition_filter {
	/* This level and all below it; the runtime (depth 0) is everything. Self-metrics
	 * are at the runtime only. */
	struct message_level level;
	/* The families to keep, by full name; n 0: all. */
	size_t n_names;
	const struct wire_text *names;
};

/* self NULL: without the self-metrics. Copies what it needs of the filter (may be NULL).
 * NULL when memory is out. */
struct exposition *exposition_new(const struct registry *registry,
    const struct self_metrics *self, const struct exposition_filter *filter);
void exposition_free(struct exposition *e);

/* Append about most bytes (at least one series; fewer, or nothing, when a filter leaves
 * out thousands). True while there is more. */
bool exposition_slice(struct exposition *e, struct strbuf *out, size_t most);

#endif /* EXPOSITION_H */
