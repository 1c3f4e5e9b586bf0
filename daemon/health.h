/* SPDX-License-Identifier: Apache-2.0 */
/*
 * health.h - what /health and /live answer.
 *
 * Ready is: every endpoint of the configuration's list has a live worker; without a list,
 * a worker has been there, or the status to start with is ready. No I/O.
 */
#ifndef HEALTH_H
#define HEALTH_H

#include "apply.h"

#define HEALTH_CONTENT_TYPE "application/json"

struct health {
	bool starting_ready;
	char *const *endpoints; /* NULL-terminated; NULL: none */
	uint64_t started_ns;	/* of the same clock as now_ns */
	/* Appends what is wrong as a JSON array of sentences. May be NULL: nothing is. */
	void (*problems)(void *arg, struct strbuf *out);
	void *problems_arg;
};

bool health_is_ready(const struct health *h, const struct apply *apply);

/* {"status":"ready","uptime":{"secs":1,"nanos":2},"endpoints":{"generate":"ready"}} and,
 * if they are wanted, "problems":[] at the end. */
void health_print(const struct health *h, const struct apply *apply, bool ready,
    bool problems, uint64_t now_ns, struct strbuf *out);

#endif /* HEALTH_H */
