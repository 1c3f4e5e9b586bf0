/* SPDX-License-Identifier: Apache-2.0 */
/* send: one JSON message, now. */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

#include "ctl.h"
#include "request.h"

/* Far more than the daemon takes: it is the one who says what is too long. */
#define MAX_INPUT_BYTES (1 << 20)

/* ---- The message ---------------------------------------------------------- */

static enum ctl_exit
read_file(const char *name, FILE *f, char **ret, struct ctl_error *error)
{
	char *text = malloc(MAX_INPUT_BYTES + 1);
	size_t n = text ? fread(text, 1, MAX_INPUT_BYTES + 1, f) : 0;
	enum ctl_exit code = CTL_USAGE;

	if (text == NULL)
		return ctl_fail(error, CTL_USAGE, "out of memory");
	if (ferror(f))
		ctl_fail(error, code, "%s: %s", name, strerror(errno));
	else if (n > MAX_INPUT_BYTES)
		ctl_fail(error, code, "%s is longer than any message", name);
	else if (memchr(text, '\0', n))
		ctl_fail(error, code, "%s is not text: it has a NUL in it", name);
	else
		code = CTL_OK;
	if (code != CTL_OK) {
		free(text);
		return code;
	}
	text[n] = '\0';
	*ret = text;
	return CTL_OK;
}

static enum ctl_exit
read_named(const char *name, char **ret, struct ctl_error *error)
{
	FILE *f = fopen(name, "rb");
	enum ctl_exit code;

	if (f == NULL)
		return ctl_fail(error, CTL_USAGE, "%s: %s", name, strerror(errno));
	code = read_file(name, f, ret, error);
	fclose(f);
	return code;
}

static enum ctl_exit
get_input(const struct ctl_options *o, int argc, char **argv, char **ret,
    struct ctl_error *error)
{
	const char *argument = argc == 1 ? argv[0] : NULL;

	if (argc > 1 || (o->file != NULL) == (argument != NULL))
		return ctl_fail(error, CTL_USAGE,
		    "send takes one message: '{...}', @FILE, -f FILE, or - for standard "
		    "input");
	if (o->file && strcmp(o->file, "-") != 0)
		return read_named(o->file, ret, error);
	if (o->file || strcmp(argument, "-") == 0)
		return read_file("standard input", stdin, ret, error);
	if (argument[0] == '@')
		return read_named(argument + 1, ret, error);
	*ret = strdup(argument);
	return *ret ? CTL_OK : ctl_fail(error, CTL_USAGE, "out of memory");
}

/* The message without white space around it. */
static struct wire_text
trim(const char *text)
{
	static const char blanks[] = " \t\r\n";
	struct wire_text t = wire_text(text + strspn(text, blanks));

	while (t.bytes > 0 && strchr(blanks, t.at[t.bytes - 1]))
		t.bytes--;
	return t;
}

/* ---- The answer ----------------------------------------------------------- */

static struct wire_text
text_in(const json_t *object, const char *key)
{
	const json_t *string = json_object_get(object, key);

	if (!json_is_string(string))
		return wire_text("");
	return (
	    struct wire_text){ json_string_value(string), json_string_length(string) };
}

/* `NAME (metric 0): reason: sentence`, without what is not there. */
static void
print_error(FILE *out, const json_t *error)
{
	struct wire_text metric = text_in(error, "metric");
	const json_t *index = json_object_get(error, "index");

	fputs("refused: ", out);
	ctl_print(out, metric);
	if (json_is_integer(index))
		fprintf(out, "%s(metric %lld)", metric.bytes ? " " : "",
		    (long long)json_integer_value(index));
	fputs(metric.bytes || index ? ": " : "", out);
	ctl_print(out, text_in(error, "reason"));
	fputs(": ", out);
	ctl_print(out, text_in(error, "text"));
	fputc('\n', out);
}

static enum ctl_exit
read_answer(const struct ctl_options *o, const uint8_t *reply, size_t bytes,
    struct ctl_error *error)
{
	json_t *answer = json_loadb((const char *)reply, bytes, 0, NULL);
	const json_t *errors = json_object_get(answer, "errors");
	const json_t *ok = json_object_get(answer, "ok");
	enum ctl_exit code = CTL_REFUSED;
	size_t i;
	json_t *one;

	if (!json_is_boolean(ok)) {
		json_decref(answer);
		return request_fail(reply, bytes, error);
	}
	if (o->json) {
		fwrite(reply, 1, bytes, stdout);
		putchar('\n');
	}
	if (json_is_true(ok))
		code = CTL_OK;
	else if (!o->json)
		json_array_foreach(errors, i, one) print_error(stderr, one);
	json_decref(answer);
	return code;
}

enum ctl_exit
ctl_send(const struct ctl_options *o, int argc, char **argv, struct ctl_error *error)
{
	char *input = NULL;
	uint8_t *reply = NULL;
	size_t bytes = 0;
	struct wire_text message;
	enum ctl_exit code = get_input(o, argc, argv, &input, error);

	if (code != CTL_OK)
		return code;
	message = trim(input);
	if (message.bytes == 0 || message.at[0] != '{')
		code = ctl_fail(error, CTL_USAGE,
		    "a message is a JSON object: it starts with '{' (see "
		    "dynamo-metricsctl send --help)");
	else
		code = request(o, message.at, message.bytes, &reply, &bytes, error);
	if (code == CTL_OK)
		code = read_answer(o, reply, bytes, error);
	free(reply);
	free(input);
	return code;
}
