/* SPDX-License-Identifier: Apache-2.0 */
/*
 * apply_parts.h - what the files of apply share: its state, the request under way, and
 * the ways to answer it. Nobody else includes it, but for the snapshot, which has all of
 * the state.
 */
#ifndef APPLY_PARTS_H
#define APPLY_PARTS_H

#include "apply.h"
#include "effect.h"
#include "json.h"
#include "sessions.h"
#include "tail.h"

#define APPLY_REPLY_ROOM \
	512 /* enough for any reply but ACK of a DEFINE, TEXT and JSON \
	     */

/* What `tail` tells of the request under way. */
struct apply_note {
	char worker[NAMES_WORKER_BYTES + 1];
	uint32_t refused;
	struct refusal first;
	bool quiet; /* it is not told */
};

/* Of the time before a replay. */
struct apply_replaying {
	struct journal *journal;
	struct log *log, *registry_log;
	struct registry_limits limits;
	uint64_t dropped;
};

struct apply {
	struct apply_options options;
	struct registry *registry;
	struct self_metrics *self;
	struct log *log;
	struct sessions sessions;
	struct repeats *repeats; /* messages in JSON that were applied */
	uint64_t replaced_seen;	 /* of the registry's figures: what self has counted */
	uint64_t removed_seen[REGISTRY_CAUSES];
	double dropped_seen;
	struct tail tail;
	struct apply_note note;
	struct effects effects;
	struct apply_replaying replaying;
	int64_t started_offset_ms; /* in options.started_ms already */
	uint64_t promised_ms; /* apply_tick() will be called by then; UINT64_MAX: not */
	bool postponed;	      /* it was late, and what ran out waits for what was sent */
};

/* One request on its way. */
struct request {
	struct apply *a;
	struct apply_peer *peer;
	const struct message *m;
	const void *payload; /* as it came */
	size_t bytes;
	uint64_t now_ms;
	struct strbuf *reply;
};

/* apply_reply.c */
/* Room for a reply of at most room bytes; without memory the writer fails. */
struct wire_writer apply_reply_begin(struct strbuf *reply, size_t room);
void apply_reply_end(struct strbuf *reply, const struct wire_writer *w);
void apply_reply_error(const struct request *q, const struct refusal *r);
void apply_count_refusal(struct apply *a, const struct apply_peer *peer,
    const struct refusal *r, uint64_t now_ms);

/* At debug: what was registered, and by which worker; NULL: by a message in JSON. */
void apply_log_metric(const struct request *q, const struct message_metric *m,
    const char *worker, pid_t pid);

/* apply_session.c: HELLO DEFINE UPDATE REMOVE PING BYE */
void apply_session_request(const struct request *q);

/* apply_text.c: EXPOSE STATUS */
void apply_expose(const struct request *q);
void apply_status_request(const struct request *q);
/* Answer with a text, or with ERROR where it is too long for a message. */
void apply_reply_text(const struct request *q, const struct strbuf *text);

/* apply_admin.c: ADMIN */
void apply_admin(const struct request *q);

/* Remove what an administrator asked for. lines and ret_done as in the registry's
 * registry_remove_matching(), ret_done may be NULL. False when memory ran out: something
 * may have stayed. */
struct admin_command;
bool apply_admin_remove(struct apply *a, const struct admin_command *c,
    struct strbuf *lines, struct registry_removed *ret_done);

/* apply_tail.c: what is told of each request while somebody asks */
/* Before a decoded request is applied, and after any. type 0: it is malformed. */
void apply_tail_begin(const struct request *q);
void apply_tail_end(
    const struct request *q, bool json, const char *payload, size_t bytes);
void apply_tail_answer(const struct request *q, bool has_after, uint64_t after);

/* apply_json.c */
void apply_json(const struct request *q);
/* One metric of a message; of the request, peer's uid and the time are looked at. */
enum reason apply_json_metric(
    const struct request *q, const struct json_metric *j, struct refusal *r);

#endif /* APPLY_PARTS_H */
