/* SPDX-License-Identifier: Apache-2.0 */
#include "ask.h"

#include <stdlib.h>

#define HEAD_BYTES 16 /* of an ADMIN request, before its text */

/* The text of a command as a request, to be freed; *ret_w has its bytes. */
static uint8_t *
write_request(const char *text, struct wire_writer *ret_w)
{
	size_t room = strlen(text) + HEAD_BYTES;
	uint8_t *bytes = malloc(room);

	wire_writer_init(ret_w, bytes, bytes ? room : 0);
	message_put_admin(ret_w, wire_text(text));
	return bytes;
}

static enum ctl_exit
read_answer(
    struct wire_text text, json_t **ret_answer, char **ret_text, struct ctl_error *error)
{
	json_t *answer = json_loadb(text.at, text.bytes, 0, NULL);

	if (!json_is_object(answer)) {
		json_decref(answer);
		return ctl_fail(error, CTL_UNREACHABLE,
		    "the answer makes no sense: is it dynamo-metricsd that listens "
		    "there?");
	}
	if (ret_text)
		*ret_text = strndup(text.at, text.bytes);
	*ret_answer = answer;
	return CTL_OK;
}

enum ctl_exit
ask_admin(struct connection *c, json_t *command, json_t **ret_answer, char **ret_text,
    struct ctl_error *error)
{
	char *text = json_dumps(command, JSON_COMPACT);
	uint8_t *request = NULL, *reply = NULL;
	struct wire_writer w;
	struct wire_text answer;
	enum ctl_exit code = CTL_USAGE;

	json_decref(command);
	if (text == NULL)
		return ctl_fail(error, code,
		    "the command cannot be written as JSON: is "
		    "everything in it UTF-8?");
	request = write_request(text, &w);
	code = request_text_on(c, &w, &reply, &answer, error);
	if (code == CTL_OK)
		code = read_answer(answer, ret_answer, ret_text, error);
	free(text);
	free(request);
	free(reply);
	return code;
}

int64_t
ask_number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

const char *
ask_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}
