/* SPDX-License-Identifier: Apache-2.0 */
#include "golden.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#define MARK "\n```frame "

static char *page;

void
golden_open(void)
{
	size_t room = 1 << 20;
	FILE *f = fopen("proto/PROTOCOL.md", "rb");

	ck_assert_msg(f != NULL, "no proto/PROTOCOL.md: run this in the top folder");
	page = malloc(room);
	ck_assert_ptr_nonnull(page);
	page[fread(page, 1, room - 1, f)] = '\0';
	fclose(f);
}

void
golden_close(void)
{
	free(page);
	page = NULL;
}

const char *
golden_page(void)
{
	return page;
}

size_t
golden_frames(void)
{
	size_t n = 0;

	for (const char *p = strstr(page, MARK); p; p = strstr(p + 1, MARK))
		n++;
	return n;
}

/* The first line of a frame, or NULL. */
static const char *
find(const char *name)
{
	size_t bytes = strlen(name);

	for (const char *p = strstr(page, MARK); p; p = strstr(p + 1, MARK)) {
		const char *at = p + strlen(MARK);

		if (strncmp(at, name, bytes) == 0 && at[bytes] == '\n')
			return at + bytes + 1;
	}
	return NULL;
}

static int
digit(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* Append the bytes of a line to ret[n..room); the new n, or 0 if it is no hex. */
static size_t
read_line(const char *p, uint8_t *ret, size_t n)
{
	for (; *p && *p != '\n' && *p != '#'; p++) {
		if (*p == ' ')
			continue;
		if (digit(p[0]) < 0 || digit(p[1]) < 0 || n == GOLDEN_ROOM)
			return 0;
		ret[n++] = (uint8_t)(digit(p[0]) << 4 | digit(p[1]));
		p++;
	}
	return n;
}

size_t
golden_frame(const char *name, uint8_t ret[GOLDEN_ROOM])
{
	const char *p = find(name);
	size_t n = 0;

	ck_assert_msg(p != NULL, "PROTOCOL.md has no frame %s", name);
	while (strncmp(p, "```", 3) != 0) {
		n = read_line(p, ret, n);
		p = strchr(p, '\n');
		ck_assert_msg(n > 0 && p, "the frame %s of PROTOCOL.md is no hex", name);
		p++;
	}
	return n;
}

enum reason
golden_decode(const uint8_t *bytes, size_t n, struct refusal *r)
{
	static struct message_item item;
	struct message m;
	struct message_refused refused;
	uint8_t *alone = malloc(n ? n : 1);
	enum reason reason;

	ck_assert_ptr_nonnull(alone);
	memcpy(alone, bytes, n);
	reason = message_decode(&m, alone, n, r);
	for (uint32_t i = 0; reason == REASON_NONE && i < m.count; i++) {
		if (m.type == MESSAGE_DEFINE)
			message_next_item(&m.items, &item);
		if (m.type == MESSAGE_ACK)
			message_next_refused(&m.refused, &refused);
		ck_assert(!m.items.failed && !m.refused.failed);
	}
	free(alone);
	return reason;
}
