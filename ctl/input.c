/* SPDX-License-Identifier: Apache-2.0 */
#include "input.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define READ_BYTES 65536

static const char blanks[] = " \t\r\n";

struct input {
	const char *name; /* for sentences */
	int fd;		  /* -1: everything is in text */
	char *text;
	size_t at, bytes, room; /* text[at..bytes) is still to be handed out */
};

static bool
is_blank(char c)
{
	return c != '\0' && strchr(blanks, c) != NULL;
}

/* ---- The end of a message --------------------------------------------------- */

/* Where a search for the end of an object stands. */
struct scan {
	size_t at;
	unsigned depth; /* of braces and brackets */
	bool in_string, escaped;
	char before; /* the last byte that is not blank, outside of strings */
	bool line_begins;
};

/* A '{' that cannot be there: only after these does an object have one in it. */
static bool
begins_another(const struct scan *s)
{
	return s->depth > 0 && s->line_begins && strchr(",[:", s->before) == NULL;
}

static void
step_in_string(struct scan *s, char c)
{
	if (s->escaped)
		s->escaped = false;
	else if (c == '\\')
		s->escaped = true;
	else if (c == '"')
		s->in_string = false;
	s->before = '"';
}

/* The length of the object that text starts with, or 0 if its end is not there yet. */
static size_t
object_end(struct scan *s, const char *text, size_t bytes)
{
	for (; s->at < bytes; s->at++) {
		char c = text[s->at];

		/* No string has a line's end in it. */
		if (s->in_string && c == '\n')
			return s->at;
		if (s->in_string) {
			step_in_string(s, c);
			continue;
		}
		if (is_blank(c)) {
			s->line_begins = s->line_begins || c == '\n';
			continue;
		}
		if (c == '{' && begins_another(s))
			return s->at;
		s->in_string = c == '"';
		if (c == '{' || c == '[')
			s->depth++;
		else if ((c == '}' || c == ']') && --s->depth == 0)
			return s->at + 1;
		s->before = c;
		s->line_begins = false;
	}
	return 0;
}

/* An object that does not end: up to a line that looks like another, or all of it. */
static size_t
broken_end(const char *text, size_t bytes)
{
	for (size_t i = 1; i < bytes; i++)
		if (text[i] == '{' && text[i - 1] == '\n')
			return i;
	return bytes;
}

/* ---- Reading ---------------------------------------------------------------- */

static enum ctl_exit
make_room(struct input *in, struct ctl_error *error)
{
	char *text;

	if (in->at > 0) {
		memmove(in->text, in->text + in->at, in->bytes - in->at);
		in->bytes -= in->at;
		in->at = 0;
	}
	if (in->room - in->bytes >= READ_BYTES)
		return CTL_OK;
	text = realloc(in->text, 2 * in->room + READ_BYTES);
	if (text == NULL)
		return ctl_fail(error, CTL_USAGE, "out of memory");
	in->text = text;
	in->room = 2 * in->room + READ_BYTES;
	return CTL_OK;
}

/* Read some more. The descriptor is closed at the end of it. */
static enum ctl_exit
read_more(struct input *in, struct ctl_error *error)
{
	enum ctl_exit code = make_room(in, error);
	ssize_t n;

	if (code != CTL_OK)
		return code;
	do
		n = read(in->fd, in->text + in->bytes, READ_BYTES);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return ctl_fail(error, CTL_USAGE, "%s: %s", in->name, strerror(errno));
	if (n == 0) {
		close(in->fd);
		in->fd = -1;
	}
	if (memchr(in->text + in->bytes, '\0', (size_t)n))
		return ctl_fail(
		    error, CTL_USAGE, "%s is not text: it has a NUL in it", in->name);
	in->bytes += (size_t)n;
	return CTL_OK;
}

static bool
skip_blanks(struct input *in)
{
	while (in->at < in->bytes && is_blank(in->text[in->at]))
		in->at++;
	return in->at < in->bytes;
}

static struct wire_text
hand_out(struct input *in, size_t n)
{
	struct wire_text t = { in->text + in->at, n };

	in->at += n;
	while (t.bytes > 0 && is_blank(t.at[t.bytes - 1]))
		t.bytes--;
	return t;
}

enum ctl_exit
input_next(struct input *in, struct wire_text *ret, struct ctl_error *error)
{
	struct scan scan = { 0 };
	enum ctl_exit code = CTL_OK;
	size_t n = 0;

	*ret = (struct wire_text){ NULL, 0 };
	while (!skip_blanks(in) && in->fd >= 0 && code == CTL_OK)
		code = read_more(in, error);
	if (code != CTL_OK || in->at == in->bytes)
		return code;
	if (in->text[in->at] != '{')
		return ctl_fail(error, CTL_USAGE,
		    "a message is a JSON object: it starts with '{' (see "
		    "dynamo-metricsctl send --help)");
	while (n == 0 && code == CTL_OK) {
		n = object_end(&scan, in->text + in->at, in->bytes - in->at);
		if (n > INPUT_MESSAGE_BYTES ||
		    (n == 0 && in->bytes - in->at > INPUT_MESSAGE_BYTES))
			return ctl_fail(
			    error, CTL_USAGE, "%s is longer than any message", in->name);
		if (n == 0 && in->fd < 0)
			n = broken_end(in->text + in->at, in->bytes - in->at);
		else if (n == 0)
			code = read_more(in, error);
	}
	if (code == CTL_OK)
		*ret = hand_out(in, n);
	return code;
}

bool
input_has_more(const struct input *in)
{
	for (size_t i = in->at; i < in->bytes; i++)
		if (!is_blank(in->text[i]))
			return true;
	return false;
}

/* ---- Opening ---------------------------------------------------------------- */

static enum ctl_exit
open_input(const char *name, int fd, const char *text, struct input **ret,
    struct ctl_error *error)
{
	struct input *in = calloc(1, sizeof(*in));
	char *copy = text ? strdup(text) : NULL;

	if (in == NULL || (text && copy == NULL)) {
		free(in);
		free(copy);
		if (fd > STDIN_FILENO)
			close(fd);
		return ctl_fail(error, CTL_USAGE, "out of memory");
	}
	in->name = name;
	in->fd = fd;
	in->text = copy;
	in->bytes = in->room = text ? strlen(text) : 0;
	*ret = in;
	return CTL_OK;
}

enum ctl_exit
input_open_file(const char *name, struct input **ret, struct ctl_error *error)
{
	int fd;

	if (strcmp(name, "-") == 0)
		return open_input("standard input", STDIN_FILENO, NULL, ret, error);
	fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return ctl_fail(error, CTL_USAGE, "%s: %s", name, strerror(errno));
	return open_input(name, fd, NULL, ret, error);
}

enum ctl_exit
input_open(const char *argument, struct input **ret, struct ctl_error *error)
{
	if (strcmp(argument, "-") == 0)
		return input_open_file(argument, ret, error);
	if (argument[0] == '@')
		return input_open_file(argument + 1, ret, error);
	return open_input("the argument", -1, argument, ret, error);
}

void
input_close(struct input *in)
{
	if (in == NULL)
		return;
	if (in->fd > STDIN_FILENO)
		close(in->fd);
	free(in->text);
	free(in);
}
