/* SPDX-License-Identifier: Apache-2.0 */
/* remove: series that nobody wants any more leave the page. */
#include <inttypes.h>
#include <stdlib.h>

#include "ask.h"
#include "ctl.h"
#include "level.h"

/* ---- The command ------------------------------------------------------------ */

static enum ctl_exit
add_label(json_t *labels, const char *argument, struct ctl_error *error)
{
	size_t n = strcspn(argument, "=");
	char *name = strndup(argument, n);
	enum ctl_exit code = CTL_USAGE;

	if (name == NULL)
		ctl_fail(error, code, "out of memory");
	else if (n == 0 || argument[n] == '\0')
		ctl_fail(error, code,
		    "'%s' is no label=value: remove takes one NAME, and then labels",
		    argument);
	else if (json_object_get(labels, name))
		ctl_fail(error, code, "the label '%s' is there twice", name);
	else if (json_object_set_new(labels, name, json_string(argument + n + 1)) != 0)
		ctl_fail(error, code, "'%s' is not UTF-8", argument);
	else
		code = CTL_OK;
	free(name);
	return code;
}

static enum ctl_exit
add_level(json_t *command, const char *path, struct ctl_error *error)
{
	static const char *const words[] = { "namespace", "component", "endpoint" };
	struct message_level level = { 0 };
	enum ctl_exit code = level_from_path(path, &level, error);

	for (size_t i = 0; code == CTL_OK && i < level.depth; i++)
		json_object_set_new(command, words[i],
		    json_stringn(level.name[i].at, level.name[i].bytes));
	return code;
}

static enum ctl_exit
make_command(const struct ctl_options *o, int argc, char **argv, json_t *command,
    struct ctl_error *error)
{
	json_t *labels = json_object();
	enum ctl_exit code = CTL_OK;

	json_object_set_new(command, "command", json_string("remove"));
	json_object_set_new(command, "name", json_string(argv[0]));
	if (o->dry_run)
		json_object_set_new(command, "dry_run", json_true());
	if (o->level)
		code = add_level(command, o->level, error);
	for (int i = 1; i < argc && code == CTL_OK; i++)
		code = add_label(labels, argv[i], error);
	json_object_set_new(command, "labels", labels);
	return code;
}

/* ---- The answer ------------------------------------------------------------- */

static void
print_series(FILE *out, const json_t *series, int64_t n)
{
	size_t i;
	json_t *one;

	json_array_foreach(series, i, one)
	{
		const char *line = json_string_value(one);

		ctl_print(out, wire_text(line ? line : "?"));
		fputc('\n', out);
	}
	if (n > (int64_t)i)
		fprintf(out, "... and %" PRId64 " more\n", n - (int64_t)i);
}

static void
print_answer(FILE *out, const json_t *answer, bool dry_run)
{
	int64_t removed = ask_number(answer, "removed");
	int64_t reset = ask_number(answer, "reset");
	const char *begin = dry_run ? "would begin" : reset == 1 ? "begins" : "begin";

	print_series(out, json_object_get(answer, "series"), removed + reset);
	fprintf(out, "%" PRId64 " series %s", removed,
	    dry_run ? "would be removed" : "removed");
	if (reset > 0)
		fprintf(
		    out, ", %" PRId64 " that live workers define %s again", reset, begin);
	fputc('\n', out);
}

/* Whether there is something to tell of. */
static enum ctl_exit
check_answer(const json_t *answer, struct ctl_error *error)
{
	if (ask_number(answer, "removed") + ask_number(answer, "reset") > 0)
		return CTL_OK;
	return ctl_fail(error, CTL_REFUSED, "there is no such series");
}

enum ctl_exit
ctl_remove(const struct ctl_options *o, int argc, char **argv, struct ctl_error *error)
{
	json_t *command = json_object(), *answer = NULL;
	struct connection *c = NULL;
	char *text = NULL;
	enum ctl_exit code = CTL_USAGE;

	if (argc == 0)
		ctl_fail(error, code, "remove takes the NAME of a metric");
	else
		code = make_command(o, argc, argv, command, error);
	if (code == CTL_OK)
		code = request_open(o, &c, error);
	if (code == CTL_OK)
		code = ask_admin(c, json_incref(command), &answer, &text, error);
	if (code == CTL_OK && o->json)
		printf("%s\n", text ? text : "");
	if (code == CTL_OK)
		code = check_answer(answer, error);
	if (code == CTL_OK && !o->json)
		print_answer(stdout, answer, o->dry_run);
	request_close(c);
	json_decref(command);
	json_decref(answer);
	free(text);
	return code;
}
