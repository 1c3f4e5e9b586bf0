/* SPDX-License-Identifier: Apache-2.0 */
#include "labels_saved.h"

#include "labels_parts.h"

uint32_t
labels_last_string(const struct labels *l)
{
	return arena_last(&l->texts.items);
}

uint32_t
labels_last_level(const struct labels *l)
{
	return l->levels.used;
}

uint32_t
labels_last_schema(const struct labels *l)
{
	return l->schemas.used;
}

void
labels_level_parts(
    const struct labels *l, uint32_t level, uint32_t *ret_parent, uint32_t *ret_name)
{
	const struct level *v = slab_at(&l->levels, level);

	*ret_parent = v->parent;
	*ret_name = v->name;
}

struct wire_text
labels_raw(struct wire_text escaped, struct strbuf *room)
{
	if (escaped.bytes == 0 || memchr(escaped.at, '\\', escaped.bytes) == NULL)
		return escaped;
	strbuf_reset(room);
	for (size_t i = 0; i < escaped.bytes; i++) {
		char c = escaped.at[i];

		if (c == '\\' && i + 1 < escaped.bytes) {
			c = escaped.at[++i];
			c = c == 'n' ? '\n' : c;
		}
		strbuf_addc(room, c);
	}
	return (struct wire_text){ room->at, room->bytes };
}

bool
labels_reserve(struct labels *l, uint32_t strings, uint32_t schemas)
{
	return index_reserve(&l->texts.index, strings) &&
	       index_reserve(&l->schema_index, schemas);
}

void
labels_ask_string(const struct labels *l, struct wire_text text)
{
	texts_ask(&l->texts, text);
}

void
labels_hold_string(struct labels *l, uint32_t string)
{
	texts_hold(&l->texts, string);
}

void
labels_hold_level(struct labels *l, uint32_t level)
{
	struct level *v = level == LABELS_RUNTIME ? NULL : slab_at(&l->levels, level);

	if (v)
		v->refs++;
}

uint32_t
labels_restore_schema(struct labels *l, uint32_t level, uint32_t n, const uint32_t *name)
{
	return labels_schema_take(l, level, n, name);
}

void
labels_release_schema(struct labels *l, uint32_t schema)
{
	labels_schema_release(l, schema);
}

uint32_t
labels_restore_set(struct labels *l, uint32_t schema, const uint32_t *value)
{
	struct labels_schema *s = slab_at(&l->schemas, schema);
	uint32_t set = labels_set_new(l, s->n, value);

	if (set)
		s->refs++;
	return set;
}
