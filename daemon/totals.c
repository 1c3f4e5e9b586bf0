/* SPDX-License-Identifier: Apache-2.0 */
#include "totals.h"

#include <stdlib.h>

static void
chunks_free(union totals_word **chunk, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		free(chunk[i]);
	free(chunk);
}

void
totals_free(struct totals *t)
{
	chunks_free(t->one, t->n_one);
	chunks_free(t->run, t->n_run);
	*t = (struct totals){ 0 };
}

static bool
chunk_new(union totals_word ***chunks, uint32_t *n)
{
	union totals_word **chunk;

	if (*n >= TOTALS_MAX / TOTALS_CHUNK)
		return false;
	chunk = realloc(*chunks, (*n + 1) * sizeof(*chunk));
	if (chunk == NULL)
		return false;
	*chunks = chunk;
	chunk[*n] = malloc(TOTALS_CHUNK * sizeof(**chunk));
	if (chunk[*n] == NULL)
		return false;
	(*n)++;
	return true;
}

union totals_word *
totals_of_new(struct totals *t, uint32_t series)
{
	while (series >= t->n_one * TOTALS_CHUNK)
		if (!chunk_new(&t->one, &t->n_one))
			return NULL;
	memset(totals_of(t, series), 0, sizeof(union totals_word));
	return totals_of(t, series);
}

/* A run does not cross chunks; what is left of one is not worth a list. */
static uint32_t
take(struct totals *t, uint32_t n)
{
	uint32_t run = t->free[n];

	if (run) {
		t->free[n] = totals_run_series(t, run);
		return run;
	}
	if (t->used + 1 + n > t->n_run * TOTALS_CHUNK) {
		if (!chunk_new(&t->run, &t->n_run))
			return 0;
		t->used = (t->n_run - 1) * TOTALS_CHUNK;
	}
	run = t->used + 1;
	t->used += 1 + n;
	return run;
}

/* In a run's head; in that of a released one, the next. */
static void
put_head(struct totals *t, uint32_t run, uint32_t v)
{
	t->run[run / TOTALS_CHUNK][run % TOTALS_CHUNK - 1].at = v;
}

uint32_t
totals_run_new(struct totals *t, uint32_t n, uint32_t series)
{
	uint32_t run = take(t, n);

	if (run == 0)
		return 0;
	put_head(t, run, series);
	memset(totals_run(t, run), 0, n * sizeof(double));
	return run;
}

void
totals_run_release(struct totals *t, uint32_t run, uint32_t n)
{
	put_head(t, run, t->free[n]);
	t->free[n] = run;
}
