/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lines.h - commands and answers, line by line: tab-separated fields in which \t, \n and
 * \\ stand for tab, newline and backslash. An answer's first field is "ok" or "error".
 */
#ifndef LINES_H
#define LINES_H

#include <locale.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIELDS_MAX 64

/* One command: the fields behind its name. */
struct command {
	size_t n;
	char *field[FIELDS_MAX];
};

static bool answered;  /* the command at hand */
static locale_t plain; /* numbers are read with a point, whatever the locale */

static void
unescape(char *text)
{
	char *to = text;

	for (; *text; text++) {
		if (*text == '\\' && text[1]) {
			text++;
			*to++ = (char)(*text == 'n' ? '\n' : *text == 't' ? '\t' : *text);
		} else {
			*to++ = *text;
		}
	}
	*to = '\0';
}

static void
put_escaped(const char *text)
{
	for (; *text; text++) {
		if (*text == '\n')
			fputs("\\n", stdout);
		else if (*text == '\t')
			fputs("\\t", stdout);
		else if (*text == '\\')
			fputs("\\\\", stdout);
		else
			putchar(*text);
	}
}

static void
answer(const char *how, const char *text)
{
	answered = true;
	fputs(how, stdout);
	if (text) {
		putchar('\t');
		put_escaped(text);
	}
	putchar('\n');
	fflush(stdout);
}

static const char *
text_at(const struct command *c, size_t i)
{
	return i < c->n ? c->field[i] : "";
}

static double
number_at(const struct command *c, size_t i)
{
	return strtod_l(text_at(c, i), NULL, plain);
}

/* Before the first command. */
static void
lines_init(void)
{
	plain = newlocale(LC_ALL_MASK, "C", NULL);
	/* Unbuffered: after a fork, what the child has not read is still in the pipe. */
	setvbuf(stdin, NULL, _IONBF, 0);
}

/* The name of the next command, or NULL at the end. Fields live until the next call. */
static const char *
next_command(struct command *ret)
{
	static char *line;
	static size_t room;
	char *rest, *name;
	ssize_t bytes = getline(&line, &room, stdin);

	if (bytes <= 0) {
		free(line);
		freelocale(plain);
		return NULL;
	}
	if (line[bytes - 1] == '\n')
		line[bytes - 1] = '\0';
	rest = line;
	name = strsep(&rest, "\t");
	ret->n = 0;
	while (rest && ret->n < FIELDS_MAX) {
		ret->field[ret->n] = strsep(&rest, "\t");
		unescape(ret->field[ret->n++]);
	}
	return name;
}

#endif /* LINES_H */
