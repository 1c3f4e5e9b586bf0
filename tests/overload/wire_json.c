/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire_json SOCKET req|push FIRST SENDERS - processes that send messages in JSON. As REQ
 * every other one gives its messages an id; as PUSH nobody hears an answer.
 */
#include <err.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crowd.h"
#include "raw.h"
#include "sp.h"

#define ROOM 512

static const char *path;
static bool is_push;
static struct raw raw;
static const char good[] = "{\"ok\":true}";

static void
begin(struct member *self)
{
	(void)self;
	raw_connect(&raw, path, is_push ? SP_PUSH : SP_REQ, ROOM);
}

static void
turn(struct member *self)
{
	uintmax_t n = (uintmax_t)self->done + 1;
	const uint8_t *reply;
	char id[64] = "", text[ROOM];
	size_t bytes;

	if (self->number % 2 == 1)
		snprintf(id, sizeof(id), "\"id\":\"%d-%d-%ju\",", (int)getpid(),
		    self->number, n);
	snprintf(text, sizeof(text),
	    "{%s\"namespace\":\"overload\",\"metrics\":[{\"name\":\"json_total\","
	    "\"type\":\"counter\",\"labels\":{\"sender\":\"%d\"},\"inc\":1}]}",
	    is_push ? "" : id, self->number);
	raw_send_text(&raw, text, is_push);
	if (is_push)
		return;
	reply = raw_reply(&raw, true, &bytes);
	if (bytes != strlen(good) || memcmp(reply, good, bytes) != 0)
		errx(1, "the answer is %.*s", (int)bytes, (const char *)reply);
}

int
main(int argc, char **argv)
{
	struct crowd crowd = { .begin = begin, .turn = turn };

	if (argc != 5)
		errx(2, "wire_json SOCKET req|push FIRST SENDERS");
	path = argv[1];
	is_push = strcmp(argv[2], "push") == 0;
	crowd.first = atoi(argv[3]);
	crowd.members = atoi(argv[4]);
	return crowd_run(&crowd);
}
