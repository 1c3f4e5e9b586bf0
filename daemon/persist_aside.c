/* SPDX-License-Identifier: Apache-2.0 */
#include "persist_parts.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#define TOLD_MOST 20 /* files that are set aside, one by one */

/* ---- What is there ----------------------------------------------------- */

static void
add_name(void *arg, const char *name)
{
	strbuf_add(arg, name, strlen(name) + 1);
}

/* The names in a folder, one after the other, each with its NUL. */
int
persist_list_names(const struct persist *p, enum disk_place place, struct strbuf *ret)
{
	int error = p->disk->list(p->disk->arg, place, add_name, ret);

	return error == 0 && ret->failed ? ENOMEM : error;
}

const char *
persist_next_name(const struct strbuf *names, const char *name)
{
	const char *next = name ? name + strlen(name) + 1 : names->at;

	return next && next < names->at + names->bytes ? next : NULL;
}

static bool
has_name(const struct strbuf *names, const char *wanted)
{
	for (const char *name = NULL; (name = persist_next_name(names, name)) != NULL;)
		if (strcmp(name, wanted) == 0)
			return true;
	return false;
}

static bool
starts_with(const char *name, const char *start)
{
	return strncmp(name, start, strlen(start)) == 0;
}

bool
persist_is_temporary(const char *name)
{
	char same[PERSIST_NAME_BYTES];
	unsigned long long generation;
	int pid;

	/* Other programs' files may begin alike, where the folder has such, too. */
	if (sscanf(name, PERSIST_TEMPORARY "%llu.%d", &generation, &pid) != 2)
		return false;
	snprintf(same, sizeof(same), PERSIST_TEMPORARY "%llu.%d", generation, pid);
	return strcmp(name, same) == 0;
}

uint64_t
persist_generation_of(const char *name)
{
	char same[PERSIST_NAME_BYTES];
	uint64_t generation;

	if (!starts_with(name, PERSIST_JOURNAL))
		return 0;
	generation = strtoull(name + strlen(PERSIST_JOURNAL), NULL, 10);
	persist_journal_name(generation, same);
	return strcmp(name, same) == 0 ? generation : 0;
}

/* ---- Setting aside ----------------------------------------------------- */

/* A name for name that nothing has. */
static int
name_aside(struct persist *p, enum disk_place place, const char *name, const char *how,
    char out[2 * PERSIST_NAME_BYTES])
{
	struct strbuf names = STRBUF_EMPTY;
	unsigned i = p->aside_number ? p->aside_number : 1;
	int error = p->aside_number ? 0 : persist_list_names(p, place, &names);

	for (; error == 0; i++) {
		snprintf(out, 2 * PERSIST_NAME_BYTES, "%s.%s-%u", name, how, i);
		if (!has_name(&names, out))
			break;
	}
	strbuf_free(&names);
	return error;
}

/* The number at the end of a name that was set aside; 0: of another. */
static unsigned
number_aside(const char *name)
{
	const char *last = strrchr(name, '-');
	unsigned long number = last ? strtoul(last + 1, NULL, 10) : 0;

	return number < UINT_MAX ? (unsigned)number : UINT_MAX - 1;
}

void
persist_set_many_aside(struct persist *p, enum disk_place place, bool begin)
{
	struct strbuf names = STRBUF_EMPTY;
	int error = begin ? persist_list_names(p, place, &names) : 0;
	unsigned most = 0;

	for (const char *name = NULL;
	     error == 0 && (name = persist_next_name(&names, name)) != NULL;)
		if (number_aside(name) > most)
			most = number_aside(name);
	p->aside_number = begin && error == 0 ? most + 1 : 0;
	strbuf_free(&names);
}

/* Not in the way any more, and not lost. */
int
persist_set_aside(struct persist *p, enum disk_place place, const char *name,
    const char *how, const char *why)
{
	char aside[2 * PERSIST_NAME_BYTES];
	int error = name_aside(p, place, name, how, aside);

	if (error == 0)
		error = p->disk->rename(p->disk->arg, place, name, aside);
	if (error) {
		log_line(p->log, LOG_LEVEL_ERROR,
		    "persist: %s/%s: %s, and it cannot be set aside: %s",
		    persist_path(p, place), name, why, strerror(error));
		return error;
	}
	self_add(p->self, SELF_STATE_SET_ASIDE, 0, 0, 1);
	if (++p->set_aside <= TOLD_MOST)
		log_line(p->log, LOG_LEVEL_ERROR,
		    "persist: %s/%s: %s: it is set aside as %s%s", persist_path(p, place),
		    name, why, aside,
		    p->set_aside == TOLD_MOST ? "; others are only counted from now on"
					      : "");
	return 0;
}

void
persist_set_copy_aside(struct persist *p, enum disk_place place, const char *name,
    const struct strbuf *text, const char *why)
{
	char aside[2 * PERSIST_NAME_BYTES];
	int file = -1;
	int error = name_aside(p, place, name, "bad", aside);

	if (error == 0)
		error = p->disk->create(p->disk->arg, place, aside, &file);
	if (error == 0)
		error = p->disk->write(p->disk->arg, file, text->at, text->bytes);
	if (file >= 0)
		p->disk->close(p->disk->arg, file);
	if (error) {
		log_line(p->log, LOG_LEVEL_ERROR,
		    "persist: %s/%s: %s: it is cut there, and no copy can be set aside: "
		    "%s",
		    persist_path(p, place), name, why, strerror(error));
		return;
	}
	self_add(p->self, SELF_STATE_SET_ASIDE, 0, 0, 1);
	log_line(p->log, LOG_LEVEL_ERROR,
	    "persist: %s/%s: %s: it is cut there, and a copy is set aside as %s",
	    persist_path(p, place), name, why, aside);
}

static int
set_one_aside(struct persist *p, enum disk_place place, const char *name)
{
	if (place == DISK_STATE && persist_is_temporary(name)) {
		p->disk->remove(p->disk->arg, place, name);
		return 0;
	}
	if (place == DISK_STATE ? strcmp(name, PERSIST_SNAPSHOT) != 0
				: persist_generation_of(name) == 0)
		return 0;
	return persist_set_aside(p, place, name, "bad",
	    "the folder could not be used when the daemon started");
}

int
persist_set_all_aside(struct persist *p, enum disk_place place)
{
	struct strbuf names = STRBUF_EMPTY;
	int error = persist_list_names(p, place, &names);

	for (const char *name = NULL;
	     error == 0 && (name = persist_next_name(&names, name)) != NULL;)
		error = set_one_aside(p, place, name);
	strbuf_free(&names);
	return error;
}
