/* SPDX-License-Identifier: Apache-2.0 */
#include "family.h"

#include <stdio.h>
#include <stdlib.h>

#include "texts.h"
#include "names.h"

/* ---- By name ----------------------------------------------------------- */

static int
compare(const struct family *family, struct wire_text name)
{
	return names_compare(wire_text(family->name), name);
}

uint32_t
families_from(const struct families *f, struct wire_text name)
{
	uint32_t low = 0, high = f->n;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (compare(f->by_name[middle], name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct family *
families_find(const struct families *f, struct wire_text name)
{
	uint32_t i = families_from(f, name);

	return i < f->n && compare(f->by_name[i], name) == 0 ? f->by_name[i] : NULL;
}

static bool
make_room(struct families *f)
{
	uint32_t room = f->room ? f->room * 2 : 64;
	struct family **by_name;

	if (f->n < f->room)
		return true;
	by_name = realloc(f->by_name, room * sizeof(struct family *));
	if (by_name == NULL)
		return false;
	f->by_name = by_name;
	f->room = room;
	return true;
}

/* ---- One family -------------------------------------------------------- */

void
family_discard(struct family *family)
{
	free(family->name);
	free(family->help);
	free(family->bounds);
	free(family->member);
	free(family->born);
	free(family);
}

static bool
is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

char *
family_help(struct wire_text help)
{
	struct strbuf out = STRBUF_EMPTY;

	while (help.bytes && is_space(help.at[help.bytes - 1]))
		help.bytes--;
	for (; help.bytes && is_space(help.at[0]); help.bytes--)
		help.at++;
	strbuf_add(&out, "", 0);
	texts_escape(&out, help, false);
	if (out.failed)
		strbuf_free(&out);
	return out.at;
}

static bool
fill(struct family *family, const struct message_metric *m)
{
	family->name = strndup(m->name.at, m->name.bytes);
	family->help = family_help(m->help);
	family->kind = m->kind;
	family->merge = m->merge;
	family->n_bounds = (uint32_t)m->n_bounds;
	family->bounds = malloc((m->n_bounds + 1) * sizeof(double));
	if (family->name == NULL || family->help == NULL || family->bounds == NULL)
		return false;
	for (size_t i = 0; i < m->n_bounds; i++)
		family->bounds[i] = message_bound(m, i);
	return true;
}

struct family *
family_new(struct families *f, const struct message_metric *m)
{
	struct family *family = calloc(1, sizeof(*family));

	if (family == NULL)
		return NULL;
	if (!fill(family, m) || !make_room(f)) {
		family_discard(family);
		return NULL;
	}
	family->number = ++f->next_number;
	return family;
}

void
family_add(struct families *f, struct family *family)
{
	uint32_t i = families_from(f, wire_text(family->name));

	memmove(f->by_name + i + 1, f->by_name + i, (f->n - i) * sizeof(struct family *));
	f->by_name[i] = family;
	f->n++;
}

void
family_free(struct families *f, struct family *family)
{
	uint32_t i = families_from(f, wire_text(family->name));

	f->n--;
	memmove(f->by_name + i, f->by_name + i + 1, (f->n - i) * sizeof(struct family *));
	family_discard(family);
}

void
families_free(struct families *f)
{
	for (uint32_t i = 0; i < f->n; i++)
		family_discard(f->by_name[i]);
	free(f->by_name);
	*f = (struct families){ 0 };
}

/* ---- Shape ------------------------------------------------------------- */

enum reason
family_check_shape(
    const struct family *family, const struct message_metric *m, struct refusal *refusal)
{
	bool same = family->n_bounds == m->n_bounds;

	if (family->kind != m->kind)
		return refuse(refusal, REASON_TYPE,
		    "the metric '%s' is a %s already, and cannot be a %s too",
		    family->name, message_kind_word(family->kind),
		    message_kind_word(m->kind));
	if (family->merge != m->merge)
		return refuse(refusal, REASON_MERGE,
		    "the gauge '%s' is merged by %s already, and cannot be by %s too",
		    family->name, message_merge_word(family->merge),
		    message_merge_word(m->merge));
	for (size_t i = 0; i < m->n_bounds && same; i++)
		same = family->bounds[i] == message_bound(m, i);
	if (!same)
		return refuse(refusal, REASON_BOUNDS,
		    "the histogram '%s' exists already with other buckets", family->name);
	return REASON_NONE;
}

struct family *
families_collision(
    const struct families *f, const struct message_metric *m, uint32_t *position)
{
	static const char *const suffix[] = { "_bucket", "_sum", "_count" };
	struct family *found = NULL;

	while (found == NULL && *position < 6) {
		const char *end = suffix[*position / 2];
		bool longer = (*position)++ % 2;
		size_t n = strlen(end), base = m->name.bytes - n;
		char name[NAMES_NAME_BYTES_MAX + 8];

		if (longer && m->kind == MESSAGE_HISTOGRAM) {
			snprintf(name, sizeof(name), "%.*s%s", (int)m->name.bytes,
			    m->name.at, end);
			found = families_find(f, wire_text(name));
		} else if (!longer && m->name.bytes > n &&
			   memcmp(m->name.at + base, end, n) == 0) {
			found = families_find(f, (struct wire_text){ m->name.at, base });
			if (found && found->kind != MESSAGE_HISTOGRAM)
				found = NULL;
		}
	}
	return found;
}

/* ---- Members ----------------------------------------------------------- */

/* As realloc(), with zeros behind what was there. */
static uint32_t *
grown(uint32_t *at, uint32_t room, uint32_t more)
{
	uint32_t *larger = calloc(more, sizeof(*larger));

	if (larger && room)
		memcpy(larger, at, room * sizeof(*larger));
	if (larger)
		free(at);
	return larger;
}

static bool
make_member_room(struct family *family)
{
	uint32_t room = family->room ? family->room * 2 : 4;
	uint32_t *member, *born;

	member = realloc(family->member, room * sizeof(*member));
	if (member == NULL)
		return false;
	family->member = member;
	born = family->born ? grown(family->born, family->room, room) : NULL;
	if (family->born && born == NULL)
		return false;
	family->born = born;
	family->room = room;
	return true;
}

/* A hole is about to be used. */
static bool
make_births(struct family *family)
{
	if (family->born == NULL)
		family->born = calloc(family->room, sizeof(*family->born));
	return family->born != NULL;
}

bool
family_add_member(struct family *family, uint32_t series, uint32_t *ret_position)
{
	uint32_t position = family->hole;

	if (position) {
		if (!make_births(family))
			return false;
		position--;
		family->hole = family->member[position] & ~FAMILY_HOLE;
		/* 0 is for those that were in no hole. */
		family->births += family->births + 1 == 0 ? 2 : 1;
		family->born[position] = family->births;
	} else {
		if (family->n_members == family->room && !make_member_room(family))
			return false;
		position = family->n_members++;
	}
	family->member[position] = series;
	family->n_series++;
	*ret_position = position;
	return true;
}

void
family_remove_member(struct family *family, uint32_t position)
{
	family->member[position] = FAMILY_HOLE | family->hole;
	family->hole = position + 1;
	family->n_series--;
}

bool
family_make_positions(struct family *family, uint32_t n)
{
	uint32_t room = 4;

	while (room < n)
		room *= 2;
	family->member = calloc(room, sizeof(*family->member));
	if (family->member == NULL)
		return false;
	family->n_members = n;
	family->room = room;
	return true;
}

bool
family_is_hole(const struct family *family, uint32_t position)
{
	return family->member[position] & FAMILY_HOLE;
}

void
family_put_hole(struct family *family, uint32_t position, uint32_t *last)
{
	if (*last)
		family->member[*last - 1] = FAMILY_HOLE | (position + 1);
	else
		family->hole = position + 1;
	family->member[position] = FAMILY_HOLE;
	*last = position + 1;
}

void
family_put_member(struct family *family, uint32_t series, uint32_t position)
{
	family->member[position] = series;
	family->n_series++;
}

void
family_skip_member(struct family *family, uint32_t position)
{
	family->member[position] = FAMILY_HOLE | family->hole;
	family->hole = position + 1;
}

uint32_t
family_totals(const struct family *family)
{
	switch (family->kind) {
	case MESSAGE_COUNTER:
		return 1;
	case MESSAGE_GAUGE:
		return 0;
	case MESSAGE_HISTOGRAM:
		return family->n_bounds + 2;
	}
	return 0;
}
