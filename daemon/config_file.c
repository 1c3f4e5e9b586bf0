/* SPDX-License-Identifier: Apache-2.0 */
/* The file: its bytes, its keys, and the place and the nearest name of a wrong one. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config_parts.h"
#include "nearest.h"

#define FILE_BYTES_MAX (1 << 20)
#define PATH_ROOM      128
#define KNOWN_ROOM     64

/* A file that is being read. */
struct source {
	const char *file;
	char *text; /* NUL-terminated */
	size_t bytes;
};

/* ---- Paths -------------------------------------------------------------- */

void
config_path(const struct config_key *k, char *out, size_t room)
{
	if (k->name == NULL)
		snprintf(out, room, "%s", k->environment);
	else
		snprintf(out, room, "%s%s%s", k->section ? k->section : "",
		    k->section ? "." : "", k->name);
}

const struct config_key *
config_find(const char *path)
{
	char known[KNOWN_ROOM];

	for (size_t i = 0; i < config_keys; i++) {
		config_path(&config_table[i], known, sizeof(known));
		if (strcmp(path, known) == 0)
			return &config_table[i];
	}
	return NULL;
}

/* The first key of a section; NULL: there is no such section. */
static const char *
first_key(const char *section)
{
	for (size_t i = 0; i < config_keys; i++)
		if (config_table[i].section &&
		    strcmp(config_table[i].section, section) == 0)
			return config_table[i].name;
	return NULL;
}

/* How far a path is from a key: a name alone may stand for a section, or for a key that
 * was written outside of its section. */
static size_t
distance(const char *path, const struct config_key *k, bool *ret_section)
{
	char known[KNOWN_ROOM];
	size_t whole, section, name;

	*ret_section = false;
	config_path(k, known, sizeof(known));
	whole = nearest_distance(path, known);
	if (strchr(path, '.') || k->section == NULL)
		return whole;
	section = nearest_distance(path, k->section);
	name = nearest_distance(path, k->name);
	*ret_section = section <= name && section <= whole;
	if (name < whole)
		whole = name;
	return section < whole ? section : whole;
}

/* ---- Errors ------------------------------------------------------------- */

static bool
is_text(const char *p, const char *end, const char *text)
{
	size_t n = strlen(text);

	return (size_t)(end - p) == n && memcmp(p, text, n) == 0;
}

/* The closing quote of a string that starts behind p. */
static const char *
string_end(const char *p)
{
	for (p++; *p && *p != '"'; p++)
		if (*p == '\\' && p[1])
			p++;
	return p;
}

/* The line of a key in JSON that was found to be whole; 0: it is written in another way.
 */
static unsigned
line_of(const char *p, const char *section, const char *name)
{
	unsigned line = 1;
	int depth = 0;
	bool inside = section == NULL;

	for (; *p; p++) {
		const char *end;

		line += *p == '\n';
		depth += (*p == '{' || *p == '[') - (*p == '}' || *p == ']');
		if (*p != '"')
			continue;
		end = string_end(p);
		if (end[strspn(end + 1, " \t\r\n") + 1] == ':') {
			if (depth == (section ? 2 : 1) && inside &&
			    is_text(p + 1, end, name))
				return line;
			if (depth == 1 && section)
				inside = is_text(p + 1, end, section);
		}
		p = end;
	}
	return 0;
}

/* "FILE:LINE: section.name" */
static void
place(
    const struct source *s, const char *section, const char *name, char *out, size_t room)
{
	unsigned line = line_of(s->text, section, name);
	char number[16] = "";

	if (line)
		snprintf(number, sizeof(number), ":%u", line);
	snprintf(out, room, "%.*s%s: %s%s%.64s", PATH_ROOM, s->file, number,
	    section ? section : "", section ? "." : "", name);
}

/* Name the known key that is nearest to the one at a place, or say how it is written. */
static int
fail_unknown(const char *where, const char *path, struct config_error *e)
{
	const struct config_key *written = config_find(path);
	char nearest[KNOWN_ROOM] = "";
	size_t least = SIZE_MAX;

	if (written && written->section)
		return config_fail(e,
		    "%s: there is no such key at the top: write {\"%s\": {\"%s\": ...}}",
		    where, written->section, written->name);

	for (size_t i = 0; i < config_keys && config_table[i].name; i++) {
		const struct config_key *k = &config_table[i];
		bool section;
		size_t d = distance(path, k, &section);

		if (d >= least)
			continue;
		least = d;
		if (section)
			snprintf(nearest, sizeof(nearest), "%s", k->section);
		else
			config_path(k, nearest, sizeof(nearest));
	}
	return config_fail(
	    e, "%s: there is no such key; the nearest one is \"%s\"", where, nearest);
}

/* ---- Keys --------------------------------------------------------------- */

/* A key of the file, of no section (NULL) or of one that is known. */
static int
read_key(struct config *c, const struct source *s, const char *section, const char *name,
    const json_t *value, struct config_error *e)
{
	char path[PATH_ROOM];
	char where[2 * PATH_ROOM];
	const struct config_key *k;

	snprintf(path, sizeof(path), "%s%s%s", section ? section : "", section ? "." : "",
	    name);
	place(s, section, name, where, sizeof(where));
	k = config_find(path);
	/* A variable is no key, and neither is "http.port" outside of "http". */
	if (k == NULL || k->name == NULL || strcmp(k->name, name) != 0)
		return fail_unknown(where, path, e);
	return config_set_json(c, k, value, where, e);
}

static int
read_section(struct config *c, const struct source *s, const char *section, json_t *json,
    struct config_error *e)
{
	const char *name;
	json_t *value;

	json_object_foreach(json, name, value)
	{
		if (read_key(c, s, section, name, value, e) != 0)
			return -1;
	}
	return 0;
}

static int
read_whole(struct config *c, const struct source *s, json_t *json, struct config_error *e)
{
	const char *name;
	json_t *value;
	char where[2 * PATH_ROOM];

	json_object_foreach(json, name, value)
	{
		int rc;

		if (first_key(name) == NULL) {
			rc = read_key(c, s, NULL, name, value, e);
		} else if (json_is_object(value)) {
			rc = read_section(c, s, name, value, e);
		} else {
			place(s, NULL, name, where, sizeof(where));
			rc = config_fail(e,
			    "%s: an object with keys is expected, like {\"%s\": ...}",
			    where, first_key(name));
		}
		if (rc != 0)
			return -1;
	}
	return 0;
}

/* ---- Bytes -------------------------------------------------------------- */

/* The text of a regular file, into s. 0, or -1 with e filled. */
static int
read_bytes(struct source *s, struct config_error *e)
{
	int fd = open(s->file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	ssize_t n;
	int rc = -1;

	if (fd < 0 || fstat(fd, &st) != 0) {
		config_fail(e, "%s: it cannot be read: %s", s->file, strerror(errno));
		goto out;
	}
	if (!S_ISREG(st.st_mode)) {
		config_fail(e, "%s: this is %s", s->file,
		    S_ISDIR(st.st_mode) ? "a folder" : "not a file");
		goto out;
	}
	if (st.st_size > FILE_BYTES_MAX) {
		config_fail(
		    e, "%s: this is longer than %d bytes", s->file, FILE_BYTES_MAX);
		goto out;
	}
	s->text = malloc(FILE_BYTES_MAX + 1);
	if (s->text == NULL) {
		config_fail(e, "memory is out");
		goto out;
	}
	while ((n = read(fd, s->text + s->bytes, FILE_BYTES_MAX - s->bytes)) > 0)
		s->bytes += (size_t)n;
	if (n < 0) {
		config_fail(e, "%s: it cannot be read: %s", s->file, strerror(errno));
		goto out;
	}
	s->text[s->bytes] = '\0';
	rc = 0;
out:
	if (fd >= 0)
		close(fd);
	return rc;
}

int
config_read_file(struct config *c, const char *file, struct config_error *e)
{
	struct source s = { .file = file };
	json_error_t at;
	json_t *json = NULL;
	int rc = -1;

	if (read_bytes(&s, e) != 0)
		goto out;
	if (s.text[strspn(s.text, " \t\r\n")] == '\0' && strlen(s.text) == s.bytes) {
		config_fail(
		    e, "%s: it is empty: an object is expected, at least {}", file);
		goto out;
	}
	json = json_loadb(s.text, s.bytes, JSON_REJECT_DUPLICATES, &at);
	if (json == NULL)
		config_fail(e, "%s:%d:%d: %s", file, at.line > 0 ? at.line : 1,
		    at.column > 0 ? at.column : 1,
		    at.text[0] ? at.text : "memory is out");
	else if (!json_is_object(json))
		config_fail(e,
		    "%s: an object with sections is expected, like {\"http\": {}}", file);
	else
		rc = read_whole(c, &s, json, e);
out:
	json_decref(json);
	free(s.text);
	return rc;
}
