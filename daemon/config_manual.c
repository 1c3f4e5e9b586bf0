/* SPDX-License-Identifier: Apache-2.0 */
/* The table of keys as a part of a manual page, in mdoc(7). */
#include <ctype.h>

#include "config_parts.h"

#define LINE_CHARACTERS 78

/* ---- Text -------------------------------------------------------------- */

/* A minus, not a hyphen. */
static void
print_number(struct strbuf *out, int64_t n)
{
	strbuf_addf(out, n < 0 ? "\\%lld" : "%lld", (long long)n);
}

/* A word in quotes, on a line of its own; returns what follows its closing tick. */
static const char *
print_word(struct strbuf *out, const char *word)
{
	size_t n = strcspn(word, "`"), after;

	strbuf_adds(out, ".Ql ");
	strbuf_add(out, word, n);
	word += n + (word[n] == '`');
	for (after = strspn(word, ",.;:)"); after > 0; after--)
		strbuf_addf(out, " %c", *word++);
	strbuf_adds(out, "\n");
	return word + strspn(word, " ");
}

static bool
ends_sentence(const char *at)
{
	return at[0] == '.' && at[1] == ' ' && isupper((unsigned char)at[2]);
}

/* Whether the word behind a space has no room on the line. */
static bool
wants_line(const char *at, size_t column)
{
	return at[0] == ' ' && column + 1 + strcspn(at + 1, " `") > LINE_CHARACTERS;
}

/* Sentences begin lines, and so do words in `ticks`. */
static void
print_text(struct strbuf *out, const char *text)
{
	size_t column = 0;

	while (*text) {
		bool minus = text[0] == '-' && isdigit((unsigned char)text[1]);

		if (*text == '`') {
			strbuf_adds(out, column ? "\n" : "");
			text = print_word(out, text + 1);
			column = 0;
		} else if (ends_sentence(text)) {
			strbuf_adds(out, ".\n");
			text += 2;
			column = 0;
		} else if (wants_line(text, column)) {
			strbuf_adds(out, "\n");
			text++;
			column = 0;
		} else if (text[0] == ' ' && text[1] == '`') {
			text++;
		} else {
			strbuf_addf(out, minus ? "\\%c" : "%c", *text++);
			column++;
		}
	}
	strbuf_adds(out, column ? "\n" : "");
}

/* ---- Keys -------------------------------------------------------------- */

/* What stands behind the i-th of them: a, b or c; */
static const char *
behind(const char *const *words, size_t i)
{
	if (words[i + 1] == NULL)
		return " ;\n";
	return words[i + 2] ? " ,\n" : "\nor\n";
}

static void
print_words(struct strbuf *out, const char *const *words)
{
	for (size_t i = 0; words[i]; i++)
		strbuf_addf(out, ".Ql %s%s", words[i], behind(words, i));
}

/* What a value may be. */
static void
print_values(struct strbuf *out, const struct config_key *k)
{
	switch (k->type) {
	case CONFIG_NUMBER:
		print_number(out, k->min);
		strbuf_adds(out, " to ");
		print_number(out, k->max);
		strbuf_adds(out, ";\n");
		return;
	case CONFIG_BOOL:
		if (k->words == NULL) {
			strbuf_adds(out, "true or false;\n");
			return;
		}
		/* fall through */
	case CONFIG_WORD:
		print_words(out, k->words);
		return;
	case CONFIG_TEXT:
		strbuf_adds(out, "a text;\n");
		return;
	case CONFIG_LIST:
		strbuf_adds(out, "a JSON list of texts;\n");
		return;
	case CONFIG_LABELS:
		strbuf_adds(out, "an object of texts;\n");
		return;
	}
}

static void
print_key(struct strbuf *out, const struct config_key *k)
{
	char path[64];

	config_path(k, path, sizeof(path));
	strbuf_addf(out, ".It %s %s\n", k->name ? "Cm" : "Ev", path);
	print_text(out, k->use);
	strbuf_adds(out, ".br\nDefault:\n");
	if (k->normal[0])
		strbuf_addf(out, ".Li %s ;\n", k->normal);
	else
		strbuf_adds(out, "empty;\n");
	print_values(out, k);
	if (k->environment && k->name)
		strbuf_addf(out, "variable\n.Ev %s ;\n", k->environment);
	strbuf_adds(out, k->reloadable ? "at once.\n" : "at a restart.\n");
}

/* What the keys of a section, or those without one, stand under. */
static const char *
heading(const struct config_key *k)
{
	if (k->section)
		return k->section;
	return k->name ? "All of the page" : "Variables without a key";
}

void
config_print_manual(struct strbuf *out)
{
	const char *last = "";

	for (size_t i = 0; i < config_keys; i++) {
		const char *now = heading(&config_table[i]);

		if (strcmp(last, now) != 0)
			strbuf_addf(
			    out, "%s.Ss %s\n.Bl -tag -width Ds\n", i ? ".El\n" : "", now);
		last = now;
		print_key(out, &config_table[i]);
	}
	strbuf_adds(out, ".El\n");
}
