/* SPDX-License-Identifier: Apache-2.0 */
/*
 * play.h - who speaks to a world: some processes of several users, honest and not. What
 * they say is what an input says, and every answer has to be one.
 */
#ifndef PLAY_H
#define PLAY_H

#include "exposition.h"
#include "world.h"

#define PLAY_PEERS	 5
#define PLAY_CELLS	 48
#define PLAY_COUNT(rows) (uint32_t)(sizeof(rows) / sizeof((rows)[0]))

/* Who speaks to the daemon, over one connection. */
struct someone {
	struct apply_peer peer;
	uint8_t sid[MESSAGE_SID_BYTES];
	bool has_ticket;
	struct message_ticket ticket;
	uint64_t n;
	double value[PLAY_CELLS];
	uint32_t cell[8]; /* that were defined last */
	uint32_t n_defined;
	uint8_t sent[2][1024]; /* the last requests */
	size_t sent_bytes[2];
};

struct play {
	struct fuzz_input in;
	struct world w;
	bool whole; /* all that is counted is whole, and small */
	struct someone who[PLAY_PEERS];
	struct message reply;
	struct exposition *scrape;
	struct strbuf scraped;
	struct fuzz_page scraped_page, scraped_from;
	struct strbuf scraped_from_text;
	uint64_t scrape_removed;
	bool scrape_is_lowered;
	char json[700]; /* the last message in JSON, */
	uint32_t json_from;
	bool json_known; /* which is known again until then */
	uint64_t json_until_ms;
	uint64_t births;
};

/* A number of the input, below a limit. */
uint32_t play_any(struct play *p, uint32_t below);
struct someone *play_anyone(struct play *p);

/* ---- Requests, play_send.c --------------------------------------------------- */

/* A request that is no JSON: what it may change is all that changes. The answer is in
 * p->reply. */
void play_send(struct play *p, struct someone *from, const void *bytes, size_t n);
/* The same of one that is written first; what was sent before is kept. */
struct wire_writer play_writer(struct someone *from);
void play_send_writer(
    struct play *p, struct someone *from, const struct wire_writer *out);

/* ---- What may happen ----------------------------------------------------------- */

/* From now on it has another session, if it says HELLO. */
void play_new_session(struct play *p, struct someone *who);
void play_hello(struct play *p);
void play_define(struct play *p);
void play_update(struct play *p);
void play_remove(struct play *p);
void play_ask(struct play *p);
void play_expose(struct play *p);
/* What was sent comes once more, perhaps over another connection. */
void play_again(struct play *p);
/* A request of which the header and the type are right. */
void play_wild(struct play *p);
void play_disconnect(struct play *p);
void play_json(struct play *p);
void play_json_again(struct play *p);
void play_json_wild(struct play *p);

#endif /* PLAY_H */
