/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A series that time took away, as the journal has it. Its number says nothing later, so
 * it is described:
 *
 *	u8 why, name, u8 depth, the names of its level, u32 how many labels, name and
 *	value of each
 *
 * Texts are as they were sent, behind their u32 length. The interface is in
 * registry_parts.h.
 */
#include "effect.h"
#include "labels_saved.h"
#include "registry_parts.h"

/* ---- Writing ------------------------------------------------------------- */

struct describing {
	const struct labels *labels;
	struct journal *journal;
	struct strbuf raw;
	bool failed;
};

static void
put_string(struct describing *d, uint32_t string)
{
	journal_put_text(d->journal, labels_raw(labels_text(d->labels, string), &d->raw));
	d->failed |= d->raw.failed;
}

/* The names of a level from the top. */
static void
put_level(struct describing *d, uint32_t level)
{
	uint32_t name[MESSAGE_LEVELS_MAX], depth = 0;

	for (; level != LABELS_RUNTIME; depth++)
		labels_level_parts(d->labels, level, &level, &name[depth]);
	journal_put_u8(d->journal, (uint8_t)depth);
	while (depth > 0)
		put_string(d, name[--depth]);
}

/* But for the worker's name, which is no label of the series. */
static void
put_labels(
    struct describing *d, const struct labels_schema *schema, const uint32_t *value)
{
	uint32_t n = schema->n;

	for (uint32_t i = 0; i < schema->n; i++)
		n -= value[i] == LABELS_WORKER;
	journal_put_u32(d->journal, n);
	for (uint32_t i = 0; i < schema->n; i++) {
		if (value[i] == LABELS_WORKER)
			continue;
		put_string(d, schema->name[i]);
		put_string(d, value[i]);
	}
}

void
registry_gone_record(struct registry *r, uint32_t number, enum registry_cause cause)
{
	const struct series *s = registry_series(r, number);
	struct describing d = { .labels = r->labels };
	const struct labels_schema *schema;
	const uint32_t *value;

	if (r->effects == NULL || !effect_begin(r->effects, JOURNAL_GONE))
		return;
	d.journal = r->effects->journal;
	schema = registry_series_labels(r, s, &value);
	journal_put_u8(d.journal, (uint8_t)cause);
	journal_put_text(d.journal, wire_text(series_family(r, s)->name));
	put_level(&d, schema->level);
	put_labels(&d, schema, value);
	journal_end(d.journal);
	if (d.failed)
		effect_untold(r->effects);
	strbuf_free(&d.raw);
}

/* ---- Reading ------------------------------------------------------------- */

static bool
get_description(const struct journal_record *record, enum registry_cause *ret_cause,
    struct message_metric *m)
{
	struct wire_reader r;
	uint32_t n;

	wire_reader_init(&r, record->body, record->bytes);
	*ret_cause = wire_get_u8(&r);
	m->name = wire_get_long_text(&r);
	m->level.depth = wire_get_u8(&r);
	if (m->level.depth > MESSAGE_LEVELS_MAX)
		return false;
	for (uint32_t i = 0; i < m->level.depth; i++)
		m->level.name[i] = wire_get_long_text(&r);
	n = wire_get_u32(&r);
	if (n > MESSAGE_LABELS_MAX)
		return false;
	for (; m->n_constant < n; m->n_constant++) {
		m->constant_name[m->n_constant] = wire_get_long_text(&r);
		m->constant_value[m->n_constant] = wire_get_long_text(&r);
	}
	return !r.failed && wire_left(&r) == 0;
}

/* The series of a metric without variable labels. */
static enum reason
find_described(struct registry *r, struct message_metric *described, uint32_t *ret_series,
    struct refusal *refusal)
{
	const struct message_metric *m = described;
	struct naming_metric room;
	struct message_metric whole;
	struct family *family;

	/* A name that cannot be any more: what it was is left out already. */
	if (naming_metric(&r->naming, &r->limits.names, &m, &room, NULL) != REASON_NONE)
		return REASON_NONE;
	family = families_find(&r->families, m->name);
	if (family == NULL)
		return REASON_NONE;
	whole = *m;
	whole.kind = family->kind;
	whole.merge = family->merge;
	return registry_metric_find(r, family, &whole, ret_series, refusal);
}

enum reason
registry_gone_find(struct registry *r, const struct journal_record *record,
    enum registry_cause *ret_cause, uint32_t *ret_series, struct refusal *refusal)
{
	struct message_metric described = { 0 };

	*ret_series = 0;
	if (!get_description(record, ret_cause, &described))
		return refuse(refusal, REASON_MESSAGE, "a series that is not described");
	return find_described(r, &described, ret_series, refusal);
}
