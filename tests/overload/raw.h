/* SPDX-License-Identifier: Apache-2.0 */
/*
 * raw.h - a connection to the daemon that speaks its protocol by itself, without the
 * library: so that one process can be hundreds of workers.
 *
 * What goes wrong ends the process with a sentence.
 */
#ifndef RAW_H
#define RAW_H

#include "message.h"

#define RAW_REPLY_BYTES 4096 /* the longest reply that is understood */

struct raw {
	int fd;
	struct message_ticket ticket;
	uint32_t lease_ms;
	uint64_t n;	  /* of the last numbered request */
	uint32_t request; /* the id of the last one */
	uint8_t *out;
	size_t room;
	size_t have; /* bytes of the next reply */
	uint8_t in[RAW_REPLY_BYTES];
};

/* Connect and shake hands, as SP_REQ or SP_PUSH. room: of the longest message. */
void raw_connect(struct raw *r, const char *path, int protocol, size_t room);
void raw_close(struct raw *r);
/* A new session. */
void raw_hello(struct raw *r);
void raw_ping(struct raw *r);

/* Where the next message is written, and off with it. */
struct wire_writer raw_writer(struct raw *r);
void raw_send(struct raw *r, const struct wire_writer *w);
/* The same for a PUSH, or another text that is no message of ours. */
void raw_send_text(struct raw *r, const char *text, bool is_push);

/* The payload of the reply to what was sent last; wait for it, or NULL while it has not
 * come. Good until the next call. */
const uint8_t *raw_reply(struct raw *r, bool wait, size_t *ret_bytes);
/* The same, decoded: it has to be an ACK that refuses nothing. False: it has not come. */
bool raw_ack(struct raw *r, bool wait);

#endif
