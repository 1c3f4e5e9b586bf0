/* SPDX-License-Identifier: Apache-2.0 */
#include "totals.h"

#include <stdlib.h>

void
totals_free(struct totals *t)
{
	for (uint32_t i = 0; i < t->n_chunks; i++)
		free(t->chunk[i]);
	free(t->chunk);
	*t = (struct totals){ 0 };
}

static bool
chunk_new(struct totals *t)
{
	struct totals_chunk **chunk;

	if (t->n_chunks >= TOTALS_MAX / TOTALS_CHUNK)
		return false;
	chunk = realloc(t->chunk, (t->n_chunks + 1) * sizeof(*chunk));
	if (chunk == NULL)
		return false;
	t->chunk = chunk;
	chunk[t->n_chunks] = malloc(sizeof(**chunk));
	if (chunk[t->n_chunks] == NULL)
		return false;
	t->used = t->n_chunks++ * TOTALS_CHUNK;
	return true;
}

/* A run does not cross chunks; what is left of one is not worth a list. */
static bool
take(struct totals *t, uint32_t n, uint32_t *ret_at)
{
	if (t->free[n]) {
		*ret_at = t->free[n] - 1;
		t->free[n] =
		    t->chunk[*ret_at / TOTALS_CHUNK]->series[*ret_at % TOTALS_CHUNK];
		return true;
	}
	if (t->used + n > t->n_chunks * TOTALS_CHUNK && !chunk_new(t))
		return false;
	*ret_at = t->used;
	t->used += n;
	return true;
}

bool
totals_new(struct totals *t, uint32_t n, uint32_t series, uint32_t *ret_at)
{
	if (!take(t, n, ret_at))
		return false;
	for (uint32_t i = 0; i < n; i++)
		*totals_at(t, *ret_at + i) = 0;
	t->chunk[*ret_at / TOTALS_CHUNK]->series[*ret_at % TOTALS_CHUNK] = series;
	return true;
}

void
totals_release(struct totals *t, uint32_t at, uint32_t n)
{
	t->chunk[at / TOTALS_CHUNK]->series[at % TOTALS_CHUNK] = t->free[n];
	t->free[n] = at + 1;
}
