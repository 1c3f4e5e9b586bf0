/* SPDX-License-Identifier: Apache-2.0 */
#include "tail.h"

#include <stdlib.h>

void
tail_free(struct tail *t)
{
	for (size_t i = 0; t->line && i < TAIL_LINES; i++)
		free(t->line[i]);
	free(t->line);
	t->line = NULL;
}

bool
tail_ask(struct tail *t, uint64_t now_ms)
{
	if (t->line == NULL) {
		t->line = calloc(TAIL_LINES, sizeof(*t->line));
		t->first = t->n + 1;
	}
	t->until_ms = now_ms + TAIL_KEPT_MS;
	return t->line != NULL;
}

void
tail_add(struct tail *t, const char *line, uint64_t now_ms)
{
	char **place;

	t->n++;
	if (now_ms > t->until_ms) {
		tail_free(t);
		return;
	}
	place = &t->line[t->n % TAIL_LINES];
	free(*place);
	*place = line ? strdup(line) : NULL;
	if (t->n - t->first >= TAIL_LINES)
		t->first = t->n - TAIL_LINES + 1;
}

uint64_t
tail_read(const struct tail *t, uint64_t after, size_t room, struct strbuf *out,
    uint64_t *ret_missed)
{
	uint64_t number = after, missed = 0;
	size_t begun = out->bytes;

	if (t->line && t->first > after + 1) {
		missed = t->first - after - 1;
		number = t->first - 1;
	}
	while (t->line && number < t->n) {
		const char *line = t->line[(number + 1) % TAIL_LINES];

		if (line == NULL || strlen(line) > room) {
			missed++;
		} else if (out->bytes - begun + strlen(line) + 1 > room) {
			break;
		} else {
			strbuf_adds(out, out->bytes > begun ? "," : "");
			strbuf_adds(out, line);
		}
		number++;
	}
	*ret_missed = missed;
	return number;
}
