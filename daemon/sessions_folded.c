/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory of folded sessions. It is one for all uids; when it is full, the uid that
 * has most of it loses its oldest. So nobody can have the sessions of others forgotten by
 * beginning many of his own.
 */
#include <stdlib.h>

#include "sessions_parts.h"

static struct folded *
list_of(const struct sessions *s, uid_t uid)
{
	for (uint32_t i = 0; i < s->n_lists; i++)
		if (s->folded[i].uid == uid)
			return &s->folded[i];
	return NULL;
}

bool
sessions_folded_reserve(struct sessions *s, uid_t uid)
{
	struct folded *lists;

	if (list_of(s, uid))
		return true;
	lists = realloc(s->folded, (s->n_lists + 1) * sizeof(*lists));
	if (lists == NULL)
		return false;
	s->folded = lists;
	lists[s->n_lists++] = (struct folded){ .uid = uid };
	return true;
}

/* Where the number of a record's neighbour is, or that of the end. */
static uint32_t *
next_of(struct sessions *s, uint32_t number)
{
	return number ? &sessions_record(s, number)->next_folded : &s->folded_first;
}

static uint32_t *
previous_of(struct sessions *s, uint32_t number)
{
	return number ? &sessions_record(s, number)->previous_folded : &s->folded_last;
}

/* The one that is forgotten. */
static uint32_t
forget_oldest(struct sessions *s, struct folded *list)
{
	uint32_t oldest = list->first;
	const struct record *record = sessions_record(s, oldest);

	*next_of(s, record->previous_folded) = record->next_folded;
	*previous_of(s, record->next_folded) = record->previous_folded;
	list->first = record->next_of_uid;
	if (list->first == 0)
		list->last = 0;
	list->n--;
	s->n_folded--;
	sessions_record_free(s, oldest);
	return oldest;
}

/* True if a is to lose one rather than b: it is longer, or as long and its first session
 * is older. */
static bool
loses(const struct sessions *s, const struct folded *a, const struct folded *b)
{
	if (a->n != b->n || a->n == 0)
		return a->n > b->n;
	return sessions_record(s, a->first)->serial <
	       sessions_record(s, b->first)->serial;
}

static struct folded *
loser(const struct sessions *s)
{
	struct folded *loser = s->folded;

	for (uint32_t i = 1; i < s->n_lists; i++)
		if (loses(s, &s->folded[i], loser))
			loser = &s->folded[i];
	return loser;
}

void
sessions_remember(struct sessions *s, uint32_t number)
{
	struct record *record = sessions_record(s, number);
	struct folded *list = list_of(s, record->uid);

	record->live = NULL;
	record->next_folded = record->next_of_uid = 0;
	record->previous_folded = s->folded_last;
	*next_of(s, s->folded_last) = number;
	s->folded_last = number;
	if (list->last)
		sessions_record(s, list->last)->next_of_uid = number;
	else
		list->first = number;
	list->last = number;
	list->n++;
	s->n_folded++;
	while (s->n_folded > s->folded_most)
		forget_oldest(s, loser(s));
}

void
sessions_forget(struct sessions *s, uint32_t number)
{
	struct folded *list = list_of(s, sessions_record(s, number)->uid);

	while (forget_oldest(s, list) != number)
		;
}
