/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker is called: as it wishes, unless another one that is there has the name.
 */
#include <stdio.h>
#include <stdlib.h>

#include "sessions_parts.h"

static struct session *
named(const struct sessions *s, const char *name)
{
	struct session *session = s->first;

	while (session && strcmp(session->name, name) != 0)
		session = session->next;
	return session;
}

/* The lowest number whose name, base in front of it, nobody has. False: memory is out. */
static bool
free_name(const struct sessions *s, const char *base, unsigned lowest,
    char out[NAMES_WORKER_BYTES + 1])
{
	size_t room = s->n_live + 2, bytes = strlen(base);
	bool *taken = calloc(room, sizeof(*taken));
	unsigned n = 0;
	char digits[16];

	if (taken == NULL)
		return false;
	for (const struct session *o = s->first; o; o = o->next) {
		char *end;
		unsigned long k;

		if (strncmp(o->name, base, bytes) != 0)
			continue;
		k = strtoul(o->name + bytes, &end, 10);
		if (*end == '\0' && end > o->name + bytes && k >= lowest &&
		    k - lowest < room)
			taken[k - lowest] = true;
	}
	while (taken[n])
		n++;
	free(taken);
	snprintf(digits, sizeof(digits), "%u", n + lowest);
	snprintf(out, NAMES_WORKER_BYTES + 1, "%.*s%s",
	    (int)(NAMES_WORKER_BYTES - strlen(digits)), base, digits);
	return true;
}

/* Its connection is gone, and its name goes to a successor: its gauges go now. */
static void
take_name_from(struct sessions *s, struct session *holder)
{
	holder->name[0] = '\0';
	holder->column->hidden = true;
	effect_name(s->effects, sessions_record(s, holder->record)->serial, "");
}

/* "NAME-", short enough for any number behind it, and still UTF-8. */
static void
make_base(const char *wish, char out[NAMES_WORKER_BYTES + 1])
{
	size_t bytes = strlen(wish), most = NAMES_WORKER_BYTES - 1 - 10;

	if (bytes > most)
		for (bytes = most; (wish[bytes] & 0xc0) == 0x80; bytes--)
			;
	snprintf(out, NAMES_WORKER_BYTES + 1, "%.*s-", (int)bytes, wish);
}

bool
sessions_choose_name(
    struct sessions *s, const char *wish, char out[NAMES_WORKER_BYTES + 1])
{
	char base[NAMES_WORKER_BYTES + 1];
	struct session *holder;

	if (wish[0] == '\0')
		return free_name(s, "", 0, out);
	holder = named(s, wish);
	if (holder && holder->bound > 0) {
		make_base(wish, base);
		return free_name(s, base, 2, out);
	}
	if (holder)
		take_name_from(s, holder);
	strcpy(out, wish);
	return true;
}
