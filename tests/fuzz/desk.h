/* SPDX-License-Identifier: Apache-2.0 */
/*
 * desk.h - a registry and what answers requests, with limits so small that they are met,
 * for the targets that are about a few requests.
 *
 * Of each request it sees that the answer is one, and that it and the lines of the log
 * are text in one piece.
 */
#ifndef DESK_H
#define DESK_H

#include "apply.h"
#include "exposition.h"
#include "fuzz.h"

struct desk {
	struct registry *registry;
	struct self_metrics *self;
	struct log *log;
	struct apply *apply;
	uint64_t now_ms;
	struct strbuf reply; /* to the last request */
	struct strbuf page;  /* as desk_page() made it */
	struct strbuf last;  /* and the one before */
	struct message answer;
	struct fuzz_page samples;
};

#define DESK_PEERS 2

/* component: the other naming. */
struct desk *desk_new(bool component);
void desk_free(struct desk *d);

/* A peer of that number. */
struct apply_peer desk_peer(uint32_t i);

/* The answer to a request, which is decoded in d->answer. */
enum message_type desk_request(
    struct desk *d, struct apply_peer *peer, const void *payload, size_t bytes);
/* The same to JSON: what came, without looking at it. */
void desk_json(
    struct desk *d, struct apply_peer *peer, const void *payload, size_t bytes);

/* Make the page, and read it: d->samples. True if it differs from the last one. */
bool desk_page(struct desk *d);

/* UTF-8 without control characters. */
bool desk_is_line(struct wire_text text);

#endif /* DESK_H */
