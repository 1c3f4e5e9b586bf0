/* SPDX-License-Identifier: Apache-2.0 */
#include "log.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINE_BYTES   1024
#define LIMITED_MS   1000
#define SAMPLE_BYTES 96

struct cause {
	bool seen;
	enum log_level level;
	uint64_t since_ms; /* when the first line of this second was written */
	unsigned written;  /* lines since then */
	uint64_t left_out;
	char sample[SAMPLE_BYTES]; /* the start of the first line */
};

struct log {
	enum log_level level;
	void (*write)(void *arg, const char *line);
	void *arg;
	struct cause causes[LOG_CAUSES];
	unsigned flooded; /* causes with lines that were left out */
	uint64_t unread;  /* lines that standard error had no room for */
	bool for_journal;
};

static const char *const words[] = {
	[LOG_LEVEL_ERROR] = "error",
	[LOG_LEVEL_WARNING] = "warning",
	[LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_DEBUG] = "debug",
};

/* As syslog has them, for the journal. */
static const char *const priorities[] = {
	[LOG_LEVEL_ERROR] = "<3>",
	[LOG_LEVEL_WARNING] = "<4>",
	[LOG_LEVEL_INFO] = "<6>",
	[LOG_LEVEL_DEBUG] = "<7>",
};

static const char *
priority(const struct log *l, enum log_level level)
{
	return l->for_journal ? priorities[level] : "";
}

/* One write() per line, so that lines of several processes do not mix. */
static void
write_out(const char *line)
{
	char out[LINE_BYTES + 1];
	size_t n = strlen(line);

	if (n > LINE_BYTES)
		n = LINE_BYTES;
	memcpy(out, line, n);
	out[n] = '\n';
	while (write(STDERR_FILENO, out, n + 1) < 0 && errno == EINTR)
		;
}

/* Whether a line can be written without waiting for who reads it. */
static bool
has_room(void)
{
	struct pollfd p = { .fd = STDERR_FILENO, .events = POLLOUT };

	return poll(&p, 1, 0) == 1 && (p.revents & POLLOUT) != 0;
}

/* Nobody may stop the daemon by not reading its log. */
static void
write_to_stderr(void *arg, const char *line)
{
	struct log *l = arg;
	char lost[96];

	if (l->unread > 0 && has_room()) {
		snprintf(lost, sizeof(lost),
		    "%swarning: log: lines lost, as standard error was not read: %llu",
		    priority(l, LOG_LEVEL_WARNING), (unsigned long long)l->unread);
		write_out(lost);
		l->unread = 0;
	}
	if (has_room())
		write_out(line);
	else
		l->unread++;
}

struct log *
log_new(enum log_level level, void (*write)(void *arg, const char *line), void *arg)
{
	struct log *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return NULL;
	l->level = level;
	l->write = write ? write : write_to_stderr;
	l->arg = write ? arg : l;
	return l;
}

void
log_free(struct log *l)
{
	free(l);
}

bool
log_is_journal(const char *stream, int fd)
{
	unsigned long long device, inode;
	struct stat found;

	return stream != NULL && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
	       fstat(fd, &found) == 0 && found.st_dev == device && found.st_ino == inode;
}

void
log_for_journal(struct log *l)
{
	l->for_journal = true;
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

void
log_printable(char *line)
{
	/* U+0080 to U+009F are controls too; in UTF-8 they are c2 80 to c2 9f. */
	for (char *p = line; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
		else if ((*p & 0xff) == 0xc2 && (p[1] & 0xe0) == 0x80)
			p[0] = p[1] = '?';
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
	n = (size_t)snprintf(
	    line, sizeof(line), "%s%s: ", priority(l, level), words[level]);
	vsnprintf(line + n, sizeof(line) - n - strlen(tail), format, arguments);
	log_printable(line);
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

/* A line of a cause that may have so many in a time; the others are counted. */
__attribute__((format(printf, 6, 0))) static void
write_limited(struct log *l, enum log_level level, unsigned cause, uint64_t now_ms,
    unsigned most, const char *format, va_list arguments)
{
	struct cause *c = &l->causes[cause % LOG_CAUSES];
	uint64_t left_out = 0;
	va_list again;

	if (!c->seen || now_ms - c->since_ms >= LIMITED_MS) {
		left_out = c->left_out;
		l->flooded -= left_out > 0;
		*c = (struct cause){ .seen = true, .level = level, .since_ms = now_ms };
		va_copy(again, arguments);
		vsnprintf(c->sample, sizeof(c->sample), format, again);
		va_end(again);
	}
	if (c->written < most) {
		c->written++;
		write_line(l, level, left_out, format, arguments);
	} else {
		l->flooded += c->left_out++ == 0;
	}
}

void
log_limited(struct log *l, enum log_level level, unsigned cause, uint64_t now_ms,
    const char *format, ...)
{
	va_list arguments;

	if (!log_wants(l, level))
		return;
	va_start(arguments, format);
	write_limited(l, level, cause, now_ms, 1, format, arguments);
	va_end(arguments);
}

void
log_often(struct log *l, enum log_level level, unsigned cause, uint64_t now_ms,
    const char *format, ...)
{
	va_list arguments;

	if (!log_wants(l, level))
		return;
	va_start(arguments, format);
	write_limited(l, level, cause, now_ms, LOG_OFTEN, format, arguments);
	va_end(arguments);
}

void
log_catch_up(struct log *l, uint64_t now_ms, bool at_once)
{
	if (l == NULL || l->flooded == 0)
		return;
	for (size_t i = 0; i < LOG_CAUSES; i++) {
		struct cause *c = &l->causes[i];

		if (c->left_out == 0 || (!at_once && now_ms - c->since_ms < LIMITED_MS))
			continue;
		log_line(l, c->level, "log: left out: %llu more like \"%s\"",
		    (unsigned long long)c->left_out, c->sample);
		c->left_out = 0;
		l->flooded--;
	}
}

uint64_t
log_due_ms(const struct log *l, uint64_t now_ms)
{
	uint64_t due_ms = UINT64_MAX;

	if (l == NULL || l->flooded == 0)
		return UINT64_MAX;
	for (size_t i = 0; i < LOG_CAUSES; i++) {
		const struct cause *c = &l->causes[i];

		if (c->left_out > 0 && c->since_ms + LIMITED_MS < due_ms)
			due_ms = c->since_ms + LIMITED_MS;
	}
	return due_ms > now_ms ? due_ms - now_ms : 0;
}
