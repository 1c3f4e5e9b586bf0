/* SPDX-License-Identifier: Apache-2.0 */
#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_BYTES     1024
#define LIMITED_GAP_MS 1000

struct cause {
	bool seen;
	uint64_t written_ms; /* when its last line was written */
	uint64_t left_out;   /* lines since then */
};

struct log {
	enum log_level level;
	void (*write)(void *arg, const char *line);
	void *arg;
	struct cause causes[LOG_CAUSES];
};

static const char *const words[] = {
	[LOG_LEVEL_ERROR] = "error",
	[LOG_LEVEL_WARNING] = "warning",
	[LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_DEBUG] = "debug",
};

/* One write() per line, so that lines of several processes do not mix. */
static void
write_to_stderr(void *arg, const char *line)
{
	char out[LINE_BYTES + 1];
	size_t n = strlen(line);

	(void)arg;
	if (n > LINE_BYTES)
		n = LINE_BYTES;
	memcpy(out, line, n);
	out[n] = '\n';
	while (write(STDERR_FILENO, out, n + 1) < 0 && errno == EINTR)
		;
}

struct log *
log_new(enum log_level level, void (*write)(void *arg, const char *line), void *arg)
{
	struct log *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return NULL;
	l->level = level;
	l->write = write ? write : write_to_stderr;
	l->arg = arg;
	return l;
}

void
log_free(struct log *l)
{
	free(l);
}

void
log_set_level(struct log *l, enum log_level level)
{
	l->level = level;
}

bool
log_wants(const struct log *l, enum log_level level)
{
	return l != NULL && level <= l->level;
}

int
log_level_of(const char *word)
{
	for (int i = LOG_LEVEL_ERROR; i <= LOG_LEVEL_DEBUG; i++)
		if (strcmp(word, words[i]) == 0)
			return i;
	return -1;
}

const char *
log_level_word(enum log_level level)
{
	return words[level];
}

/* Peers choose some of what is logged: no byte of theirs may start a new line or drive a
 * terminal. */
static void
make_printable(char *line)
{
	for (char *p = line; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
}

__attribute__((format(printf, 4, 0))) static void
write_line(struct log *l, enum log_level level, uint64_t left_out, const char *format,
    va_list arguments)
{
	char line[LINE_BYTES];
	char tail[64] = "";
	size_t n;

	if (left_out)
		snprintf(tail, sizeof(tail), " (%llu more like it left out)",
		    (unsigned long long)left_out);
	n = (size_t)snprintf(line, sizeof(line), "%s: ", words[level]);
	vsnprintf(line + n, sizeof(line) - n - strlen(tail), format, arguments);
	make_printable(line);
	n = strlen(line);
	memcpy(line + n, tail, strlen(tail) + 1);
	l->write(l->arg, line);
}

void
log_line(struct log *l, enum log_level level, const char *format, ...)
{
	va_list arguments;

	if (!log_wants(l, level))
		return;
	va_start(arguments, format);
	write_line(l, level, 0, format, arguments);
	va_end(arguments);
}

void
log_limited(struct log *l, enum log_level level, unsigned cause, uint64_t now_ms,
    const char *format, ...)
{
	struct cause *c;
	va_list arguments;

	if (!log_wants(l, level))
		return;
	c = &l->causes[cause % LOG_CAUSES];
	if (c->seen && now_ms - c->written_ms < LIMITED_GAP_MS) {
		c->left_out++;
		return;
	}
	va_start(arguments, format);
	write_line(l, level, c->left_out, format, arguments);
	va_end(arguments);
	*c = (struct cause){ .seen = true, .written_ms = now_ms };
}
