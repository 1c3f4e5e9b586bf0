/* SPDX-License-Identifier: Apache-2.0 */
#include "sim_inside.h"

#include <math.h>
#include <stdlib.h>

#include "apply_parts.h"
#include "registry_parts.h"

struct sim_sessions
sim_sessions(const struct apply *a)
{
	return (struct sim_sessions){ a->sessions.n_live, a->sessions.n_folded,
		a->sessions.next_serial };
}

uint64_t
sim_store(const struct apply *a)
{
	return a->options.store;
}

/* What columns come to: of counters by their series, of histograms by their runs. */
struct sums {
	double *counter, *run;
};

static void
add_column(const struct column *c, const struct sums *sum)
{
	for (uint32_t i = 0; i < c->room; i++) {
		enum cell_kind kind = c->slot[i] >> SLOT_KIND_SHIFT;
		double *to = kind == CELL_COUNTER ? sum->counter : sum->run;

		if (kind != CELL_FREE && kind < CELL_GAUGE)
			to[c->slot[i] & SLOT_NUMBER] += wire_double(c->old[i]);
	}
}

static bool
is_wrong(const struct registry *r, const struct series *x, const struct sums *sum,
    double *ret_sum, double *ret_total)
{
	const struct family *f = series_family(r, x);
	uint32_t number = series_number(r, x);
	const double *of = f->kind == MESSAGE_COUNTER
			       ? &sum->counter[number]
			       : &sum->run[totals_of(&r->totals, number)->at];
	bool wrong = false;

	for (uint32_t i = 0; i < family_totals(f) && !wrong; i++) {
		*ret_sum = of[i];
		*ret_total = registry_totals(r, x)[i];
		wrong = *ret_sum > *ret_total + 1e-9 * (1 + fabs(*ret_total));
	}
	return wrong;
}

const char *
sim_wrong_columns(const struct apply *a, double *ret_sum, double *ret_total)
{
	const struct registry *r = a->registry;
	struct sums sum = { calloc(r->series.used + 1, sizeof(double)),
		calloc(r->totals.used + 1, sizeof(double)) };
	const char *wrong = NULL;

	if (sum.counter == NULL || sum.run == NULL)
		abort();
	for (const struct session *x = a->sessions.first; x; x = x->next)
		add_column(x->column, &sum);
	for (uint32_t n = 0; n < registry_families(r) && !wrong; n++) {
		const struct family *f = registry_family(r, n);

		for (uint32_t m = 0; m < f->n_members && !wrong; m++) {
			const struct series *x = registry_member(r, f, m);

			if (x && is_wrong(r, x, &sum, ret_sum, ret_total))
				wrong = f->name;
		}
	}
	free(sum.counter);
	free(sum.run);
	return wrong;
}
