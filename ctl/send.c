/* SPDX-License-Identifier: Apache-2.0 */
/* send: JSON messages, now. */
#include <jansson.h>
#include <stdlib.h>

#include "ctl.h"
#include "input.h"
#include "request.h"

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

/* How far a run of send is. */
struct run {
	const struct ctl_options *o;
	struct connection *connection;
	uint64_t messages, refused;
};

static enum ctl_exit
read_answer(struct run *run, const char *which, const uint8_t *reply, size_t bytes,
    struct ctl_error *error)
{
	json_t *answer = json_loadb((const char *)reply, bytes, 0, NULL);
	const json_t *errors = json_object_get(answer, "errors");
	const json_t *ok = json_object_get(answer, "ok");
	size_t i;
	json_t *one;

	if (!json_is_boolean(ok)) {
		json_decref(answer);
		return request_fail(reply, bytes, error);
	}
	if (run->o->json) {
		fwrite(reply, 1, bytes, stdout);
		putchar('\n');
	}
	if (!json_is_true(ok)) {
		run->refused++;
		json_array_foreach(errors, i, one)
		{
			if (run->o->json)
				break;
			fputs(which, stderr);
			print_error(stderr, one);
		}
	}
	json_decref(answer);
	return CTL_OK;
}

/* ---- Sending -------------------------------------------------------------- */

/* A message among others is told by its number. */
static enum ctl_exit
send_one(struct run *run, struct wire_text message, bool more, struct ctl_error *error)
{
	uint8_t *reply = NULL;
	size_t bytes = 0;
	char which[48] = "";
	struct ctl_error why = { "" };
	enum ctl_exit code = CTL_OK;

	if (++run->messages > 1 || more)
		snprintf(which, sizeof(which),
		    "message %llu: ", (unsigned long long)run->messages);
	if (run->connection == NULL)
		code = request_open(run->o, &run->connection, error);
	if (code != CTL_OK)
		return code;
	code = request(run->connection, message.at, message.bytes, &reply, &bytes, &why);
	if (code == CTL_OK)
		code = read_answer(run, which, reply, bytes, &why);
	if (code != CTL_OK)
		ctl_fail(error, code, "%s%s", which, why.text);
	free(reply);
	return code;
}

/* All messages of an input, which is closed. */
static enum ctl_exit
send_all(struct run *run, struct input *in, bool more, struct ctl_error *error)
{
	struct wire_text message = { "", 0 };
	struct ctl_error why = { "" };
	enum ctl_exit code = CTL_OK;

	while (code == CTL_OK && message.at) {
		code = input_next(in, &message, &why);
		if (code != CTL_OK && run->messages > 0)
			ctl_fail(error, code, "after message %llu: %s",
			    (unsigned long long)run->messages, why.text);
		else if (code != CTL_OK)
			*error = why;
		else if (message.at)
			code = send_one(run, message, more || input_has_more(in), error);
	}
	input_close(in);
	return code;
}

enum ctl_exit
ctl_send(const struct ctl_options *o, int argc, char **argv, struct ctl_error *error)
{
	struct run run = { .o = o };
	struct input *in = NULL;
	bool more = argc + (o->file != NULL) > 1;
	enum ctl_exit code = CTL_OK;

	for (int i = 0; i < argc && code == CTL_OK; i++) {
		code = input_open(argv[i], &in, error);
		if (code == CTL_OK)
			code = send_all(&run, in, more, error);
	}
	if (o->file && code == CTL_OK) {
		code = input_open_file(o->file, &in, error);
		if (code == CTL_OK)
			code = send_all(&run, in, more, error);
	}
	request_close(run.connection);
	if (code == CTL_OK && run.messages == 0)
		return ctl_fail(error, CTL_USAGE,
		    "there is no message to send: a message is a JSON object, '{...}', "
		    "in an "
		    "argument, @FILE, -f FILE, or - for standard input");
	if (code == CTL_OK && run.refused > 0 && run.messages > 1)
		return ctl_fail(error, CTL_REFUSED,
		    "%llu of %llu messages were refused, whole or in part",
		    (unsigned long long)run.refused, (unsigned long long)run.messages);
	return code == CTL_OK && run.refused > 0 ? CTL_REFUSED : code;
}
