/* SPDX-License-Identifier: Apache-2.0 */
#include "texts.h"

#include "table.h"

void
texts_escape(struct strbuf *out, struct wire_text text, bool quotes)
{
	for (size_t i = 0; i < text.bytes; i++) {
		char c = text.at[i];

		if (c == '\n')
			strbuf_adds(out, "\\n");
		else if (c == '\\' || (c == '"' && quotes))
			strbuf_add(out, (char[]){ '\\', c }, 2);
		else
			strbuf_addc(out, c);
	}
}

static uint64_t
string_hash(const void *owner, uint32_t number)
{
	struct wire_text text = texts_text(owner, number);

	return table_hash(text.at, text.bytes);
}

static bool
string_equal(const void *owner, uint32_t number, const void *key)
{
	return wire_text_equal(texts_text(owner, number), *(const struct wire_text *)key);
}

static void
string_ask(const void *owner, uint32_t number, bool soon)
{
	const struct texts *s = owner;

	if (!soon)
		__builtin_prefetch(texts_string(s, number));
}

static const struct index_keys keys = { string_hash, string_equal, string_ask };

void
texts_init(struct texts *s)
{
	*s = (struct texts){ 0 };
	index_init(&s->index, &keys, s);
}

void
texts_free(struct texts *s)
{
	index_free(&s->index);
	arena_free(&s->items);
	strbuf_free(&s->scratch);
}

/* The text escaped, in the scratch buffer if that changes it. */
static bool
escaped(struct texts *s, struct wire_text text, struct wire_text *ret)
{
	bool plain = true;

	for (size_t i = 0; i < text.bytes && plain; i++)
		plain = text.at[i] != '\n' && text.at[i] != '\\' && text.at[i] != '"';
	*ret = text;
	if (plain)
		return true;
	strbuf_reset(&s->scratch);
	texts_escape(&s->scratch, text, true);
	*ret = (struct wire_text){ s->scratch.at, s->scratch.bytes };
	return !s->scratch.failed;
}

static uint32_t
string_new(struct texts *s, struct wire_text text, uint64_t hash)
{
	uint32_t number = arena_new(&s->items, sizeof(struct string) + text.bytes + 1);
	struct string *string;

	if (number == 0)
		return 0;
	string = texts_string(s, number);
	string->refs = 1;
	string->bytes = (uint32_t)text.bytes;
	if (text.bytes)
		memcpy(string->at, text.at, text.bytes);
	string->at[text.bytes] = '\0';
	if (index_add(&s->index, hash, number))
		return number;
	arena_release(&s->items, number);
	return 0;
}

uint32_t
texts_find(struct texts *s, struct wire_text text)
{
	struct wire_text key;

	if (!escaped(s, text, &key))
		return 0;
	return index_find(&s->index, table_hash(key.at, key.bytes), &key);
}

uint32_t
texts_take(struct texts *s, struct wire_text text)
{
	struct wire_text key;
	uint64_t hash;
	uint32_t number;

	if (!escaped(s, text, &key))
		return 0;
	hash = table_hash(key.at, key.bytes);
	number = index_find(&s->index, hash, &key);
	return number ? texts_hold(s, number) : string_new(s, key, hash);
}

void
texts_ask(const struct texts *s, struct wire_text text)
{
	/* One that is kept otherwise than it is written is not worth the trouble. */
	index_ask(&s->index, table_hash(text.at, text.bytes));
}

uint32_t
texts_hold(struct texts *s, uint32_t number)
{
	texts_string(s, number)->refs++;
	return number;
}

void
texts_release(struct texts *s, uint32_t number)
{
	struct string *string;

	if (number == 0)
		return;
	string = texts_string(s, number);
	if (--string->refs > 0)
		return;
	index_remove(&s->index, string_hash(s, number), number);
	arena_release(&s->items, number);
}
