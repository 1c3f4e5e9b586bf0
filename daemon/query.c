/* SPDX-License-Identifier: Apache-2.0 */
#include "query.h"

#include <stdlib.h>

static const char *const level_names[MESSAGE_LEVELS_MAX] = { "namespace", "component",
	"endpoint" };

static int
hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
		return (c | 0x20) - 'a' + 10;
	return -1;
}

size_t
query_decode(char *text, bool plus)
{
	char *out = text;

	for (const char *in = text; *in; in++) {
		if (*in == '%' && hex(in[1]) >= 0 && hex(in[2]) >= 0) {
			*out++ = (char)(hex(in[1]) << 4 | hex(in[2]));
			in += 2;
		} else {
			*out++ = plus && *in == '+' ? ' ' : *in;
		}
	}
	*out = '\0';
	return (size_t)(out - text);
}

static void
take(struct query *q, struct wire_text key, struct wire_text value)
{
	if (wire_text_is(key, "name[]"))
		q->names[q->filter.n_names++] = value;
	for (size_t i = 0; i < MESSAGE_LEVELS_MAX; i++)
		if (wire_text_is(key, level_names[i]))
			q->filter.level.name[i] = value;
}

static const char *
set_depth(struct message_level *level)
{
	while (level->depth < MESSAGE_LEVELS_MAX && level->name[level->depth].bytes)
		level->depth++;
	for (size_t i = level->depth; i < MESSAGE_LEVELS_MAX; i++)
		if (level->name[i].bytes)
			return i == 1
				   ? "component= needs namespace= beside it\n"
				   : "endpoint= needs namespace= and component= beside "
				     "it\n";
	return NULL;
}

int
query_read(struct query *ret, const char *query, const char **ret_error)
{
	struct query q = { 0 };
	const char *error = NULL;
	size_t parameters = 1;
	char *rest;
	char *pair;

	query = query ? query : "";
	for (const char *p = query; *p; p++)
		parameters += *p == '&';
	q.memory = strdup(query);
	q.names = calloc(parameters, sizeof(*q.names));
	if (q.memory == NULL || q.names == NULL)
		goto fail;
	rest = q.memory;
	while ((pair = strsep(&rest, "&")) != NULL) {
		char *name = strsep(&pair, "=");
		/* A decoded %00 ends neither of them. */
		struct wire_text key = { name, query_decode(name, true) };
		struct wire_text value = { pair ? pair : "",
			pair ? query_decode(pair, true) : 0 };

		take(&q, key, value);
	}
	q.filter.names = q.names;
	error = set_depth(&q.filter.level);
	if (error)
		goto fail;
	*ret = q;
	return 0;
fail:
	*ret_error = error;
	query_free(&q);
	return -1;
}

void
query_free(struct query *q)
{
	free(q->names);
	free(q->memory);
	*q = (struct query){ 0 };
}
