/* SPDX-License-Identifier: Apache-2.0 */
/* The table of keys as a file with all defaults, and as a table for the documentation. */
#include "config_parts.h"

static const char *
quote_of(const struct config_key *k)
{
	return k->type == CONFIG_TEXT || k->type == CONFIG_WORD ? "\"" : "";
}

static bool
same_section(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

void
config_print_defaults(struct strbuf *out)
{
	const char *section = NULL;

	strbuf_adds(out, "{");
	for (size_t i = 0; i < config_keys && config_table[i].name; i++) {
		const struct config_key *k = &config_table[i];
		bool same = same_section(section, k->section);

		if (section && !same)
			strbuf_adds(out, "\n\t}");
		strbuf_adds(out, i ? ",\n" : "\n");
		if (k->section && !same)
			strbuf_addf(out, "\t\"%s\": {\n", k->section);
		section = k->section;
		strbuf_addf(out, "%s\"%s\": %s%s%s", section ? "\t\t" : "\t", k->name,
		    quote_of(k), k->normal, quote_of(k));
	}
	strbuf_adds(out, section ? "\n\t}\n}\n" : "\n}\n");
}

/* What a value may be. */
static void
print_values(struct strbuf *out, const struct config_key *k)
{
	switch (k->type) {
	case CONFIG_NUMBER:
		strbuf_addf(out, "%lld to %lld", (long long)k->min, (long long)k->max);
		return;
	case CONFIG_BOOL:
		if (k->words == NULL) {
			strbuf_adds(out, "true or false");
			return;
		}
		/* fall through */
	case CONFIG_WORD:
		for (size_t i = 0; k->words[i]; i++)
			strbuf_addf(out, "%s`%s`", i ? ", " : "", k->words[i]);
		return;
	case CONFIG_TEXT:
		strbuf_adds(out, "a text");
		return;
	case CONFIG_LIST:
		strbuf_adds(out, "a JSON list of texts");
		return;
	case CONFIG_LABELS:
		strbuf_adds(out, "an object of texts");
		return;
	}
}

static void
print_code(struct strbuf *out, const char *text)
{
	if (text && text[0])
		strbuf_addf(out, " `%s` |", text);
	else
		strbuf_adds(out, " |");
}

void
config_print_table(struct strbuf *out)
{
	char path[64];

	strbuf_adds(out,
	    "| key | default | values | variable | SIGHUP | what it is for |\n"
	    "|---|---|---|---|---|---|\n");
	for (size_t i = 0; i < config_keys; i++) {
		const struct config_key *k = &config_table[i];

		config_path(k, path, sizeof(path));
		strbuf_adds(out, "|");
		print_code(out, k->name ? path : NULL);
		print_code(out, k->normal);
		strbuf_adds(out, " ");
		print_values(out, k);
		strbuf_adds(out, " |");
		print_code(out, k->environment);
		strbuf_addf(
		    out, " %s | %s |\n", k->reloadable ? "at once" : "restart", k->use);
	}
}
