/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "config_parts.h"
#include "log.h"
#include "naming.h"
#include "sp.h"

#define ROUTE_METRICS	"/metrics"
#define SOCKET_PATH_MAX 107

int
config_fail(struct config_error *e, const char *format, ...)
{
	va_list arguments;

	if (e->text[0] == '\0') {
		va_start(arguments, format);
		vsnprintf(e->text, sizeof(e->text), format, arguments);
		va_end(arguments);
		/* It quotes what it was given. */
		log_printable(e->text);
	}
	return -1;
}

struct names_limits
config_names_limits(const struct config *c)
{
	return (struct names_limits){
		.name_bytes = (uint32_t)c->limits.name_bytes,
		.help_bytes = (uint32_t)c->limits.help_bytes,
		.labels = (uint32_t)c->limits.labels,
		.label_bytes = (uint32_t)c->limits.label_bytes,
		.buckets = (uint32_t)c->limits.buckets,
	};
}

static const char *
socket_of(const struct config *c)
{
	return c->socket ? c->socket : sp_ipc_path(c->ingest.address);
}

/* Without the slash at its end. */
static const char *
runtime_folder(const struct config *c, int *ret_n)
{
	const char *socket = socket_of(c);
	size_t n = strcspn(c->runtime_folder, ":"); /* systemd may name several */

	*ret_n = (int)(n ? n : (size_t)(strrchr(socket, '/') - socket));
	return n ? c->runtime_folder : socket;
}

char *
config_runtime_folder(const struct config *c)
{
	int n;
	const char *folder = runtime_folder(c, &n);

	return n ? strndup(folder, (size_t)n) : strdup("/");
}

char *
config_port_file(const struct config *c)
{
	int n;
	const char *folder = runtime_folder(c, &n);
	char *path;

	if (c->http.port_file[0] != '\0')
		return strdup(c->http.port_file);
	return asprintf(&path, "%.*s/http.port", n, folder) < 0 ? NULL : path;
}

const char *
config_http_path(const struct config *c)
{
	size_t n = sizeof(CONFIG_UNIX_PREFIX) - 1;

	return strncmp(c->http.host, CONFIG_UNIX_PREFIX, n) == 0 ? c->http.host + n
								 : NULL;
}

/* ---- What the table cannot say ------------------------------------------ */

/* Rules about the form of a text, and about two keys. */
struct check {
	const struct config *c;
	const struct config_source *from;
	struct config_error *e;
};

/* Name the variable or the file and the key of a wrong value. Returns -1. */
__attribute__((format(printf, 3, 4))) static int
wrong(const struct check *check, const char *path, const char *format, ...)
{
	const struct config_key *k = config_find(path);
	const char *file = check->from->file;
	char why[320];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(why, sizeof(why), format, arguments);
	va_end(arguments);
	if (k && k->environment &&
	    config_variable(check->from->environment, k->environment))
		return config_fail(check->e, "%s: %s", k->environment, why);
	return config_fail(
	    check->e, "%.120s%s%s: %s", file ? file : "", file ? ": " : "", path, why);
}

static int
check_address(const struct check *check)
{
	const char *path = sp_ipc_path(check->c->ingest.address);

	if (path && path[strlen(path) - 1] != '/')
		return 0;
	return wrong(check, "ingest.address",
	    "\"%.150s\" is not ipc:// and an absolute path of at most 107 bytes, like "
	    "ipc:///run/x.ipc",
	    check->c->ingest.address);
}

/* True for the path of a socket, or of the lock file beside it. */
static bool
is_taken_by(const char *path, const char *socket)
{
	size_t n = strlen(socket);

	return strncmp(path, socket, n) == 0 &&
	       (path[n] == '\0' || strcmp(path + n, ".lock") == 0);
}

static int
check_http_path(const struct check *check, const char *path)
{
	const char *socket = socket_of(check->c);
	size_t n = strlen(path);

	/* What one can connect to with ipc:// is a path to listen at. */
	if (path[0] != '/' || n > SOCKET_PATH_MAX || path[n - 1] == '/')
		return wrong(check, "http.host",
		    "\"%.150s\" is not unix: and an absolute path of at most %d bytes, "
		    "like unix:/run/x.sock",
		    check->c->http.host, SOCKET_PATH_MAX);
	for (const char *p = path; *p; p++)
		if ((unsigned char)*p < ' ')
			return wrong(check, "http.host",
			    "a path without control characters is expected");
	if (is_taken_by(path, socket) || is_taken_by(socket, path))
		return wrong(check, "http.host",
		    "%.150s is taken by ingest.address, %.150s: another path is needed",
		    path, socket);
	return 0;
}

static int
check_host(const struct check *check)
{
	const char *path = config_http_path(check->c);

	if (path)
		return check_http_path(check, path);
	if (check->c->http.host[0] != '\0')
		return 0;
	return wrong(check, "http.host",
	    "an address is expected, like 127.0.0.1 or ::1, or unix:/run/x.sock");
}

static int
check_path(const struct check *check, const char *key, const char *path)
{
	if (path[0] != '/' || path[1] == '\0' || strpbrk(path, "?#% ") != NULL)
		return wrong(check, key, "\"%.100s\" is not a path like /health", path);
	if (strcmp(path, ROUTE_METRICS) == 0)
		return wrong(check, key, ROUTE_METRICS " is taken by the metrics");
	return 0;
}

static int
check_paths(const struct check *check)
{
	const struct config *c = check->c;

	if (check_path(check, "http.health_path", c->http.health_path) != 0 ||
	    check_path(check, "http.live_path", c->http.live_path) != 0)
		return -1;
	if (strcmp(c->http.health_path, c->http.live_path) != 0)
		return 0;
	return wrong(check, "http.live_path",
	    "http.health_path is %.100s, too, and two paths are needed",
	    c->http.live_path);
}

static int
check_runtime_folder(const struct check *check)
{
	const char *path = check->c->runtime_folder;

	if (path[0] == '\0' || path[0] == '/')
		return 0;
	return wrong(
	    check, "RUNTIME_DIRECTORY", "\"%.150s\" is not an absolute path", path);
}

static int
check_port_file(const struct check *check)
{
	const char *path = check->c->http.port_file;
	const char *socket = socket_of(check->c);
	char *used;
	int rc = 0;

	if (path[0] != '\0' && path[0] != '/')
		return wrong(check, "http.port_file",
		    "\"%.150s\" is not an absolute path, nor empty", path);
	used = config_port_file(check->c);
	if (used == NULL)
		return config_fail(check->e, "memory is out");
	if (is_taken_by(used, socket))
		rc = wrong(check, "http.port_file",
		    "%.150s is the %s of ingest.address: another path is needed", used,
		    strcmp(used, socket) == 0 ? "socket" : "lock");
	free(used);
	return rc;
}

static int
check_state_path(const struct check *check)
{
	const char *path = check->c->state.path;

	if (path[0] == '\0' || path[0] == '/')
		return 0;
	return wrong(
	    check, "state.path", "\"%.150s\" is not an absolute path, nor empty", path);
}

static int
check_times(const struct check *check)
{
	const struct config *c = check->c;

	if (c->ingest.grace_ms <= c->ingest.lease_ms)
		return 0;
	return wrong(check, "ingest.grace_ms",
	    "it must not be longer than ingest.lease_ms, %lld",
	    (long long)c->ingest.lease_ms);
}

static int
check_sizes(const struct check *check)
{
	const struct config *c = check->c;

	if (c->ingest.json_bytes > c->ingest.message_bytes)
		return wrong(check, "ingest.json_bytes",
		    "it must not be more than ingest.message_bytes, %lld",
		    (long long)c->ingest.message_bytes);
	/* A message grows in memory of up to twice its size. */
	if (c->ingest.buffered_bytes < 2 * c->ingest.message_bytes)
		return wrong(check, "ingest.buffered_bytes",
		    "it must be twice ingest.message_bytes, %lld, at least",
		    (long long)c->ingest.message_bytes);
	/* A histogram is reported in one message. */
	if ((c->limits.buckets + 8) * MESSAGE_RECORD_BYTES > c->ingest.message_bytes)
		return wrong(check, "limits.buckets",
		    "so many do not fit into ingest.message_bytes, %lld",
		    (long long)c->ingest.message_bytes);
	return 0;
}

static int
check_labels(const struct check *check)
{
	const struct config *c = check->c;
	struct naming naming = { .component = c->naming == CONFIG_NAMING_COMPONENT,
		.labels = c->labels };
	struct names_limits limits = config_names_limits(c);
	struct refusal r = { 0 };

	if (naming_check(&naming, &limits, &r) == REASON_NONE)
		return 0;
	return wrong(check, "labels", "%s", r.text);
}

static int
check_all(
    const struct config *c, const struct config_source *from, struct config_error *e)
{
	static int (*const rules[])(const struct check *) = { check_address, check_host,
		check_paths, check_runtime_folder, check_port_file, check_state_path,
		check_times, check_sizes, check_labels };
	const struct check check = { c, from, e };

	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		if (rules[i](&check) != 0)
			return -1;
	return 0;
}

/* ---- The whole ---------------------------------------------------------- */

static int
set_defaults(struct config *c, struct config_error *e)
{
	for (size_t i = 0; i < config_keys; i++) {
		const struct config_key *k = &config_table[i];

		if (config_set_text(c, k, k->normal, "a default", e) != 0)
			return -1;
	}
	return 0;
}

static bool
has_file(const struct config_source *from)
{
	return from->file && !(from->may_be_missing && access(from->file, F_OK) != 0);
}

int
config_load(struct config *ret, const struct config_source *from, struct config_error *e)
{
	struct config_source seen = *from;
	struct config c = { 0 };

	e->text[0] = '\0';
	if (!has_file(from))
		seen.file = NULL;
	if (set_defaults(&c, e) != 0 ||
	    (seen.file && config_read_file(&c, seen.file, e) != 0) ||
	    config_read_environment(&c, from->environment, e) != 0 ||
	    check_all(&c, &seen, e) != 0) {
		config_free(&c);
		return -1;
	}
	*ret = c;
	return 0;
}

int
config_set_socket(struct config *c, const struct config_source *from, const char *path,
    char *error, size_t error_room)
{
	struct config_error e = { .text = "memory is out" };
	int rc = -1;

	free(c->socket);
	c->socket = strdup(path);
	if (c->socket) {
		e.text[0] = '\0';
		rc = check_all(c, from, &e);
	}
	if (rc != 0)
		snprintf(error, error_room, "%s", e.text);
	return rc;
}

void
config_free(struct config *c)
{
	for (size_t i = 0; i < config_keys; i++)
		config_free_value(c, &config_table[i]);
	free(c->socket);
	*c = (struct config){ 0 };
}

/* ---- Again -------------------------------------------------------------- */

static void
add_path(struct strbuf *list, const struct config_key *k)
{
	char path[64];

	config_path(k, path, sizeof(path));
	strbuf_addf(list, "%s%s", list->bytes ? ", " : "", path);
}

/* Exchange what may change. Doing it twice changes nothing. */
static void
swap_reloadable(struct config *a, struct config *b)
{
	for (size_t i = 0; i < config_keys; i++)
		if (config_table[i].reloadable)
			config_swap(&config_table[i], a, b);
}

static void
say_waiting(const struct strbuf *waiting, struct config_error *e)
{
	size_t n = strlen(e->text);

	if (waiting->bytes)
		snprintf(e->text + n, sizeof(e->text) - n,
		    "; new values wait for a restart: %s", waiting->at);
}

int
config_reload(struct config *c, const struct config_source *from, struct strbuf *changed,
    struct strbuf *waiting, struct config_error *e)
{
	struct config next;
	int rc = -1;

	if (config_load(&next, from, e) != 0)
		return -1;
	for (size_t i = 0; i < config_keys; i++) {
		const struct config_key *k = &config_table[i];

		if (!config_equal(k, c, &next))
			add_path(k->reloadable ? changed : waiting, k);
	}
	if (changed->failed || waiting->failed) {
		config_fail(e, "memory is out");
		goto out;
	}
	swap_reloadable(c, &next);
	/* New values have to fit the old ones of keys that wait for a restart. */
	rc = check_all(c, from, e);
	if (rc != 0) {
		swap_reloadable(c, &next);
		say_waiting(waiting, e);
	}
out:
	config_free(&next);
	return rc;
}
