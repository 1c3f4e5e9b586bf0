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

static void
add_column(const struct column *c, double *sum)
{
	for (uint32_t i = 0; i < c->room; i++) {
		enum cell_kind kind = c->slot[i] >> SLOT_KIND_SHIFT;

		if (kind != CELL_FREE && kind < CELL_GAUGE)
			sum[c->slot[i] & SLOT_NUMBER] += wire_double(c->old[i]);
	}
}

static bool
is_wrong(const struct registry *r, const struct series *x, const double *sum,
    double *ret_sum, double *ret_total)
{
	bool wrong = false;

	for (uint32_t i = 0; i < family_totals(x->family) && !wrong; i++) {
		*ret_sum = sum[x->at + i];
		*ret_total = *totals_at(&r->totals, x->at + i);
		wrong = *ret_sum > *ret_total + 1e-9 * (1 + fabs(*ret_total));
	}
	return wrong;
}

const char *
sim_wrong_columns(const struct apply *a, double *ret_sum, double *ret_total)
{
	const struct registry *r = a->registry;
	double *sum = calloc(r->totals.used + 1, sizeof(*sum));
	const char *wrong = NULL;

	if (sum == NULL)
		abort();
	for (const struct session *x = a->sessions.first; x; x = x->next)
		add_column(x->column, sum);
	for (uint32_t n = 0; n < registry_families(r) && !wrong; n++) {
		const struct family *f = registry_family(r, n);

		for (uint32_t m = 0; m < f->n_members && !wrong; m++) {
			const struct series *x = registry_member(r, f, m);

			if (x && is_wrong(r, x, sum, ret_sum, ret_total))
				wrong = f->name;
		}
	}
	free(sum);
	return wrong;
}
