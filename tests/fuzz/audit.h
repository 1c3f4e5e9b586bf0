/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit.h - a daemon's registry and sessions, looked at from end to end: every series is
 * found by its key, every number that is kept of something is what there is of it.
 */
#ifndef AUDIT_H
#define AUDIT_H

#include "apply.h"

/* What is checked is no path of the daemon: it is not worth an input of its own, and
 * takes half as long when nobody counts its branches. */
#ifdef __clang__
#define FUZZ_PRAGMA(words) _Pragma(#words)
#define FUZZ_QUIET_BEGIN \
	FUZZ_PRAGMA(clang attribute push( \
	    __attribute__((no_sanitize("coverage"))), apply_to = function))
#define FUZZ_QUIET_END FUZZ_PRAGMA(clang attribute pop)
#else
#define FUZZ_QUIET_BEGIN
#define FUZZ_QUIET_END
#endif

/* What there is, and what of it must hold from one request to the next. */
struct audit {
	/* Of all that a request may change. Not in it: who is connected, what is shown,
	 * what was refused. */
	uint64_t digest;
	uint32_t series;
	uint64_t removed;   /* so far: series, for any cause, and families */
	uint32_t namesakes; /* live workers of one name: there should be none */
	double counted;	    /* all counters together */
	double observed;    /* all buckets of histograms together */
};

/* What must hold is told with fuzz_must(). is_reset: an administrator has set totals back
 * that live workers count in, so their columns may come to more. */
struct audit audit_look(const struct apply *a, bool is_reset);

#endif /* AUDIT_H */
