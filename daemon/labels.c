/* SPDX-License-Identifier: Apache-2.0 */
#include "labels.h"

#include <stdlib.h>

#include "labels_parts.h"

/* ---- Strings ----------------------------------------------------------- */

uint32_t
labels_string(struct labels *l, struct wire_text text)
{
	return texts_take(&l->texts, text);
}

void
labels_string_release(struct labels *l, uint32_t string)
{
	texts_release(&l->texts, string);
}

uint32_t
labels_string_find(struct labels *l, struct wire_text text)
{
	return texts_find(&l->texts, text);
}

struct wire_text
labels_text(const struct labels *l, uint32_t string)
{
	return texts_text(&l->texts, string);
}

/* ---- Levels ------------------------------------------------------------ */

static struct level *
level_at(const struct labels *l, uint32_t number)
{
	return slab_at(&l->levels, number);
}

static uint64_t
level_hash_of(uint32_t parent, uint32_t name)
{
	return table_hash((uint32_t[]){ parent, name }, 8);
}

static uint64_t
level_hash(const void *owner, uint32_t number)
{
	const struct level *v = level_at(owner, number);

	return level_hash_of(v->parent, v->name);
}

static bool
level_equal(const void *owner, uint32_t number, const void *key)
{
	const struct level *v = level_at(owner, number);
	const struct level *k = key;

	return v->parent == k->parent && v->name == k->name;
}

static const struct index_keys level_keys = { level_hash, level_equal, NULL };

void
labels_level_release(struct labels *l, uint32_t number)
{
	while (number != LABELS_RUNTIME) {
		struct level *v = level_at(l, number);
		uint32_t parent = v->parent, name = v->name;

		if (--v->refs > 0)
			return;
		index_remove(&l->level_index, level_hash_of(parent, name), number);
		slab_release(&l->levels, number);
		labels_string_release(l, name);
		number = parent;
	}
}

/* The child of parent with that name. Takes over the caller's reference to parent. */
static uint32_t
level_below(struct labels *l, uint32_t parent, uint32_t depth, struct wire_text text)
{
	uint32_t name = labels_string(l, text), number = 0;
	struct level key = { .refs = 1, .parent = parent, .name = name, .depth = depth };
	uint64_t hash = level_hash_of(parent, name);

	if (name)
		number = index_find(&l->level_index, hash, &key);
	if (number) {
		level_at(l, number)->refs++;
		labels_string_release(l, name);
		labels_level_release(l, parent);
		return number;
	}
	number = name ? slab_new(&l->levels) : 0;
	if (number)
		*level_at(l, number) = key;
	if (number && index_add(&l->level_index, hash, number))
		return number;
	if (number)
		slab_release(&l->levels, number);
	labels_string_release(l, name);
	labels_level_release(l, parent);
	return 0;
}

bool
labels_level(struct labels *l, const struct message_level *level, uint32_t *ret_level)
{
	uint32_t at = LABELS_RUNTIME;

	for (size_t i = 0; i < level->depth; i++) {
		at = level_below(l, at, (uint32_t)i + 1, level->name[i]);
		if (at == 0)
			return false;
	}
	*ret_level = at;
	return true;
}

bool
labels_level_find(
    struct labels *l, const struct message_level *level, uint32_t *ret_level)
{
	struct level key = { 0 };
	uint32_t at = LABELS_RUNTIME;

	for (size_t i = 0; i < level->depth; i++) {
		key.parent = at;
		key.name = texts_find(&l->texts, level->name[i]);
		at = key.name
			 ? index_find(&l->level_index, level_hash_of(at, key.name), &key)
			 : 0;
		if (at == 0)
			return false;
	}
	*ret_level = at;
	return true;
}

bool
labels_level_within(const struct labels *l, uint32_t level, uint32_t place)
{
	while (level != place && level != LABELS_RUNTIME)
		level = level_at(l, level)->parent;
	return level == place;
}

bool
labels_level_ends(const struct labels *l, uint32_t level, uint32_t depth, uint32_t string)
{
	return level != LABELS_RUNTIME && level_at(l, level)->depth == depth &&
	       level_at(l, level)->name == string;
}

/* ---- Schemas ----------------------------------------------------------- */

struct schema_key {
	uint32_t level;
	uint32_t n;
	const uint32_t *name;
};

static uint64_t
schema_hash_of(uint32_t level, uint32_t n, const uint32_t *name)
{
	return table_hash(name, n * sizeof(*name)) * 31 + level;
}

static uint64_t
schema_hash(const void *owner, uint32_t number)
{
	const struct labels_schema *s = labels_schema_at(owner, number);

	return schema_hash_of(s->level, s->n, s->name);
}

static bool
schema_equal(const void *owner, uint32_t number, const void *key)
{
	const struct labels_schema *s = labels_schema_at(owner, number);
	const struct schema_key *k = key;

	return s->level == k->level && s->n == k->n &&
	       (k->n == 0 || memcmp(s->name, k->name, k->n * sizeof(*k->name)) == 0);
}

static const struct index_keys schema_keys = { schema_hash, schema_equal, NULL };

/* The labels of a schema in their order; how many. label has room for all of them. */
static size_t
schema_labels(
    const struct labels *l, const struct labels_schema *s, struct naming_label *label)
{
	size_t n = naming_add_constants(l->naming, label);

	for (uint32_t at = s->level; at != LABELS_RUNTIME; at = level_at(l, at)->parent) {
		const struct level *v = level_at(l, at);

		label[n].name = wire_text(naming_hierarchy(l->naming, v->depth));
		label[n++].value = labels_text(l, v->name);
	}
	for (uint32_t i = 0; i < s->n; i++)
		label[n++] = (struct naming_label){ .name = labels_text(l, s->name[i]),
			.variable = true };
	naming_sort(l->naming, label, n);
	return n;
}

/* Fill literal and text of a schema that has level and names. Its names are sorted, so
 * the labels that vary come in the order of their values. */
static bool
schema_render(const struct labels *l, struct labels_schema *s)
{
	struct naming_label *label =
	    calloc(naming_constants(l->naming) + NAMING_LABELS_MAX, sizeof(*label));
	size_t n = label ? schema_labels(l, s, label) : 0;
	struct strbuf out = STRBUF_EMPTY;
	uint32_t literal = 0;

	s->literal[0] = 0;
	for (size_t i = 0; i < n; i++) {
		strbuf_addc(&out, i > 0 ? ',' : '{');
		strbuf_add(&out, label[i].name.at, label[i].name.bytes);
		strbuf_adds(&out, "=\"");
		if (label[i].variable)
			s->literal[++literal] = (uint32_t)out.bytes;
		else
			strbuf_add(&out, label[i].value.at, label[i].value.bytes);
		strbuf_addc(&out, '"');
	}
	s->literal[literal + 1] = (uint32_t)out.bytes;
	free(label);
	if (out.failed || label == NULL) {
		strbuf_free(&out);
		return false;
	}
	s->text = out.at;
	return true;
}

void
labels_schema_release(struct labels *l, uint32_t number)
{
	struct labels_schema *s = labels_schema_at(l, number);

	if (--s->refs > 0)
		return;
	index_remove(&l->schema_index, schema_hash(l, number), number);
	for (uint32_t i = 0; i < s->n; i++)
		labels_string_release(l, s->name[i]);
	labels_level_release(l, s->level);
	free(s->name);
	free(s->literal);
	free(s->text);
	slab_release(&l->schemas, number);
}

static uint32_t
schema_new(struct labels *l, const struct schema_key *key, uint64_t hash)
{
	uint32_t number = slab_new(&l->schemas);
	struct labels_schema *s;

	if (number == 0)
		return 0;
	s = labels_schema_at(l, number);
	s->refs = 1;
	s->level = key->level;
	s->n = key->n;
	s->name = malloc((key->n + 1) * sizeof(*s->name));
	s->literal = calloc(key->n + 2, sizeof(*s->literal));
	if (s->name == NULL || s->literal == NULL)
		goto fail;
	if (key->n)
		memcpy(s->name, key->name, key->n * sizeof(*s->name));
	if (!schema_render(l, s) || !index_add(&l->schema_index, hash, number))
		goto fail;
	for (uint32_t i = 0; i < s->n; i++)
		texts_hold(&l->texts, s->name[i]);
	if (s->level != LABELS_RUNTIME)
		level_at(l, s->level)->refs++;
	return number;
fail:
	free(s->name);
	free(s->literal);
	free(s->text);
	slab_release(&l->schemas, number);
	return 0;
}

uint32_t
labels_schema_take(struct labels *l, uint32_t level, uint32_t n, const uint32_t *name)
{
	struct schema_key key = { level, n, name };
	uint64_t hash = schema_hash_of(level, n, name);
	uint32_t number = index_find(&l->schema_index, hash, &key);

	if (number == 0)
		return schema_new(l, &key, hash);
	labels_schema_at(l, number)->refs++;
	return number;
}

/* ---- Sets -------------------------------------------------------------- */

static bool
set_chunk_new(struct labels *l)
{
	uint32_t **chunk;

	/* Sets have no more numbers. */
	if (l->n_chunks >= UINT32_MAX / SET_CHUNK_WORDS)
		return false;
	chunk = realloc(l->chunk, (l->n_chunks + 1) * sizeof(*chunk));
	if (chunk == NULL)
		return false;
	l->chunk = chunk;
	chunk[l->n_chunks] = malloc(SET_CHUNK_WORDS * sizeof(**chunk));
	if (chunk[l->n_chunks] == NULL)
		return false;
	l->used = l->n_chunks++ * SET_CHUNK_WORDS;
	return true;
}

static uint32_t
set_new(struct labels *l, uint32_t words)
{
	uint32_t set = l->free[words];

	if (set) {
		l->free[words] = *labels_set_at(l, set);
		return set;
	}
	if (l->used + words > l->n_chunks * SET_CHUNK_WORDS && !set_chunk_new(l))
		return 0;
	set = l->used + 1;
	l->used += words;
	return set;
}

uint32_t
labels_set_new(struct labels *l, uint32_t n, const uint32_t *value)
{
	/* One without values is one, too. */
	uint32_t set = set_new(l, n ? n : 1);

	for (uint32_t i = 0; i < n && set; i++)
		labels_set_at(l, set)[i] = texts_hold(&l->texts, value[i]);
	return set;
}

/* Copy the labels that have a value; returns how many. */
static uint32_t
without_empty(const struct labels *l, size_t n, const uint32_t *name,
    const uint32_t *value, uint32_t *ret_name, uint32_t *ret_value)
{
	uint32_t kept = 0;

	for (size_t i = 0; i < n; i++)
		if (value[i] == LABELS_WORKER || labels_text(l, value[i]).bytes > 0) {
			ret_name[kept] = name[i];
			ret_value[kept++] = value[i];
		}
	return kept;
}

uint32_t
labels_set(struct labels *l, uint32_t level, size_t n, const uint32_t *name,
    const uint32_t *value, uint32_t *ret_schema)
{
	uint32_t kept_name[MESSAGE_LABELS_MAX + 1], kept_value[MESSAGE_LABELS_MAX + 1];
	uint32_t kept = without_empty(l, n, name, value, kept_name, kept_value);
	uint32_t schema = labels_schema_take(l, level, kept, kept_name);
	uint32_t set = schema ? labels_set_new(l, kept, kept_value) : 0;

	if (schema && set == 0)
		labels_schema_release(l, schema);
	if (set)
		*ret_schema = schema;
	return set;
}

const struct labels_schema *
labels_schema(const struct labels *l, uint32_t schema)
{
	return labels_schema_at(l, schema);
}

const uint32_t *
labels_set_values(const struct labels *l, uint32_t set)
{
	return labels_set_at(l, set);
}

void
labels_set_release(struct labels *l, uint32_t schema, uint32_t set)
{
	uint32_t *words = labels_set_at(l, set), n = labels_schema_at(l, schema)->n;

	for (uint32_t i = 0; i < n; i++)
		labels_string_release(l, words[i]);
	labels_schema_release(l, schema);
	n = n ? n : 1;
	words[0] = l->free[n];
	l->free[n] = set;
}

/* ---- All --------------------------------------------------------------- */

struct labels *
labels_new(const struct naming *naming)
{
	struct labels *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return NULL;
	l->naming = naming;
	texts_init(&l->texts);
	slab_init(&l->levels, sizeof(struct level));
	slab_init(&l->schemas, sizeof(struct labels_schema));
	index_init(&l->level_index, &level_keys, l);
	index_init(&l->schema_index, &schema_keys, l);
	/* The first string is LABELS_WORKER; no text is equal to it, as none holds a NUL.
	 */
	if (labels_string(l, (struct wire_text){ "\0", 1 }) != LABELS_WORKER) {
		labels_free(l);
		return NULL;
	}
	return l;
}

static void
schemas_free(struct labels *l)
{
	struct index_cursor at = { 0 };

	for (uint32_t i; (i = index_next(&l->schema_index, &at)) != 0;) {
		struct labels_schema *s = labels_schema_at(l, i);

		free(s->name);
		free(s->literal);
		free(s->text);
	}
	index_free(&l->schema_index);
	slab_free(&l->schemas);
}

void
labels_free(struct labels *l)
{
	if (l == NULL)
		return;
	schemas_free(l);
	texts_free(&l->texts);
	index_free(&l->level_index);
	slab_free(&l->levels);
	for (uint32_t i = 0; i < l->n_chunks; i++)
		free(l->chunk[i]);
	free(l->chunk);
	free(l);
}
