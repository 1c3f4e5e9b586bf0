/* SPDX-License-Identifier: Apache-2.0 */
#include "admin.h"

#include <jansson.h>

#include "names.h"

static struct wire_text
text_of(const json_t *string)
{
	return (
	    struct wire_text){ json_string_value(string), json_string_length(string) };
}

/* A field that has to be a string; required or not. */
static enum reason
get_text(const json_t *root, const char *field, bool required, struct wire_text *ret,
    struct refusal *r)
{
	const json_t *value = json_object_get(root, field);

	if (value == NULL && !required)
		return REASON_NONE;
	if (!json_is_string(value))
		return refuse(r, REASON_FIELD, "'%s' has to be a string", field);
	*ret = text_of(value);
	return REASON_NONE;
}

/* ---- remove ---------------------------------------------------------------- */

static enum reason
get_level(const json_t *root, struct message_level *level, struct refusal *r)
{
	static const char *const words[] = { "namespace", "component", "endpoint" };

	for (uint8_t i = 0; i < MESSAGE_LEVELS_MAX; i++) {
		enum reason reason = get_text(root, words[i], false, &level->name[i], r);

		if (reason != REASON_NONE)
			return reason;
		if (level->name[i].at == NULL)
			continue;
		if (level->depth < i)
			return refuse(r, REASON_LEVEL, "'%s' needs a '%s' above it",
			    words[i], words[i - 1]);
		level->depth++;
	}
	return names_check_level(level, r);
}

static enum reason
get_labels(const json_t *root, struct admin_command *c, struct refusal *r)
{
	json_t *labels = json_object_get(root, "labels"), *value;
	const char *name;
	char shown[64];

	if (labels && !json_is_object(labels))
		return refuse(r, REASON_FIELD, "'labels' has to be an object of strings");
	json_object_foreach(labels, name, value)
	{
		if (!json_is_string(value))
			return refuse(
			    r, REASON_FIELD, "'labels' has to be an object of strings");
		if (!names_is_label(wire_text(name)))
			return refuse(r, REASON_LABEL, "'%s' cannot be a label's name",
			    names_show(wire_text(name), shown));
		if (c->n_labels == MESSAGE_LABELS_MAX)
			return refuse(r, REASON_LIMIT, "there are more than %d labels",
			    MESSAGE_LABELS_MAX);
		c->label_name[c->n_labels] = wire_text(name);
		c->label_value[c->n_labels++] = text_of(value);
	}
	return REASON_NONE;
}

static enum reason
read_remove(const json_t *root, struct admin_command *c, struct refusal *r)
{
	const json_t *dry_run = json_object_get(root, "dry_run");
	enum reason reason = get_text(root, "name", true, &c->name, r);

	if (reason != REASON_NONE)
		return reason;
	if (dry_run && !json_is_boolean(dry_run))
		return refuse(r, REASON_FIELD, "'dry_run' has to be true or false");
	c->dry_run = json_is_true(dry_run);
	reason = get_level(root, &c->level, r);
	return reason != REASON_NONE ? reason : get_labels(root, c, r);
}

/* ---- log_level, tail ------------------------------------------------------- */

static enum reason
read_log_level(const json_t *root, struct admin_command *c, struct refusal *r)
{
	const char *word = json_string_value(json_object_get(root, "level"));
	int level = word ? log_level_of(word) : -1;

	if (level < 0)
		return refuse(r, REASON_FIELD,
		    "'level' has to be \"error\", \"warning\", \"info\" or \"debug\"");
	c->log_level = (enum log_level)level;
	return REASON_NONE;
}

static enum reason
read_tail(const json_t *root, struct admin_command *c, struct refusal *r)
{
	const json_t *after = json_object_get(root, "after");

	if (after == NULL)
		return REASON_NONE;
	if (!json_is_integer(after) || json_integer_value(after) < 0)
		return refuse(
		    r, REASON_FIELD, "'after' has to be a whole number, at least 0");
	c->has_after = true;
	c->after = (uint64_t)json_integer_value(after);
	return REASON_NONE;
}

/* ---- A command ------------------------------------------------------------- */

#define FIELDS 7

static const struct verb {
	const char *word;
	const char *fields[FIELDS]; /* besides `command`; NULL: no more */
	enum reason (*read)(
	    const json_t *root, struct admin_command *c, struct refusal *r);
} verbs[] = {
	[ADMIN_REMOVE] = { "remove",
	    { "name", "namespace", "component", "endpoint", "labels", "dry_run" },
	    read_remove },
	[ADMIN_LOG_LEVEL] = { "log_level", { "level" }, read_log_level },
	[ADMIN_TAIL] = { "tail", { "after" }, read_tail },
};
#define VERBS (sizeof(verbs) / sizeof(verbs[0]))

static enum reason
check_fields(json_t *root, const struct verb *verb, struct refusal *r)
{
	const char *key;
	json_t *value;
	char shown[64];

	json_object_foreach(root, key, value)
	{
		size_t i = 0;

		while (verb->fields[i] && strcmp(verb->fields[i], key) != 0)
			i++;
		if (verb->fields[i] == NULL && strcmp(key, "command") != 0)
			return refuse(r, REASON_FIELD, "the command '%s' has no '%s'",
			    verb->word, names_show(wire_text(key), shown));
	}
	return REASON_NONE;
}

static enum reason
read_command(json_t *root, struct admin_command *c, struct refusal *r)
{
	const json_t *command = json_object_get(root, "command");
	size_t i = 0;
	enum reason reason;
	char shown[64];

	if (!json_is_object(root))
		return refuse(r, REASON_JSON, "a command has to be an object");
	if (!json_is_string(command))
		return refuse(r, REASON_FIELD, "'command' has to be a string");
	while (i < VERBS && !wire_text_is(text_of(command), verbs[i].word))
		i++;
	if (i == VERBS)
		return refuse(r, REASON_FIELD, "there is no command '%s'",
		    names_show(text_of(command), shown));
	c->verb = (enum admin_verb)i;
	reason = check_fields(root, &verbs[i], r);
	return reason != REASON_NONE ? reason : verbs[i].read(root, c, r);
}

enum reason
admin_read(struct admin_command *ret, struct wire_text json, struct refusal *r)
{
	struct admin_command c = { 0 };
	json_error_t error;
	json_t *root = json_loadb(json.at, json.bytes, JSON_REJECT_DUPLICATES, &error);
	enum reason reason;

	/* The parser's sentence quotes what it came across. */
	names_make_printable(error.text);
	/* Jansson says nothing then. */
	if (root == NULL && error.text[0] == '\0')
		return refuse(r, REASON_MEMORY, "out of memory");
	if (root == NULL)
		return refuse(r, REASON_JSON, "line %d, column %d: %s", error.line,
		    error.column, error.text);
	reason = read_command(root, &c, r);
	if (reason != REASON_NONE) {
		json_decref(root);
		return reason;
	}
	c.document = root;
	*ret = c;
	return REASON_NONE;
}

void
admin_free(struct admin_command *c)
{
	json_decref(c->document);
	c->document = NULL;
}
