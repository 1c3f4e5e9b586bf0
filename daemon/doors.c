/* SPDX-License-Identifier: Apache-2.0 */
#include "doors.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sp.h"

#define LOOK_MS	     1000 /* from one look at the socket's file to the next */
#define LOOK_IDLE_MS 5000 /* ... while nothing else happens */
#define HELD_MS	     500  /* the most that a killed daemon still holds its socket */

/* ---- What was passed --------------------------------------------------- */

struct passed {
	struct doors *doors;
	struct config *config;
	const struct config_source *source;
	struct log *log;
};

static void
say_unused(const struct passed *p, const char *path, const char *socket, const char *real)
{
	char name[CONFIG_NAME_BYTES];

	if (config_given(p->config, p->source->environment, path, name))
		log_line(p->log, LOG_LEVEL_WARNING,
		    "server: %s is not used: the service manager passed the socket %s, "
		    "which is %s",
		    name, socket, real);
}

static int
take_ingest(const struct passed *p, char *error, size_t room)
{
	struct doors *d = p->doors;
	char path[SOCKET_FILE_PATH] = "";

	socket_file_path(d->passed.ingest, path);
	snprintf(d->ingest, sizeof(d->ingest), SP_IPC_PREFIX "%s", path);
	d->is_passed_ingest = true;
	if (strcmp(d->ingest, p->config->ingest.address) == 0)
		return 0;
	say_unused(p, "ingest.address", "ingest", d->ingest);
	return config_set_socket(p->config, p->source, path, error, room);
}

static bool
wants_http(const struct config *c)
{
	return c->http.enabled && c->http.port >= 0;
}

static bool
is_as_configured(const struct doors *d, const struct config *c)
{
	char url[300];

	if (config_http_path(c))
		return strcmp(d->http, c->http.host) == 0;
	http_socket_url(c->http.host, (uint16_t)c->http.port, url, sizeof(url));
	return strcmp(d->http, url) == 0;
}

static void
take_http(const struct passed *p)
{
	struct doors *d = p->doors;
	char path[SOCKET_FILE_PATH];

	if (socket_file_path(d->passed.http, path))
		snprintf(d->http, sizeof(d->http), CONFIG_UNIX_PREFIX "%s", path);
	else
		http_socket_adopt(d->passed.http, &d->port, d->http, sizeof(d->http));
	if (!wants_http(p->config)) {
		log_line(p->log, LOG_LEVEL_WARNING,
		    "server: HTTP is disabled, and nobody answers at the socket http "
		    "that the service manager passed, %s: stop its .socket unit",
		    d->http);
		close(d->passed.http);
		d->passed.http = -1;
		d->http[0] = '\0';
		d->port = 0;
		return;
	}
	d->is_passed_http = true;
	if (is_as_configured(d, p->config))
		return;
	say_unused(p, "http.host", "http", d->http);
	say_unused(p, "http.port", "http", d->http);
}

int
doors_take_passed(struct doors *d, struct config *config,
    const struct config_source *source, struct log *log, char *error, size_t error_room)
{
	const struct passed p = { d, config, source, log };

	if (service_take_sockets(&d->passed, error, error_room) != 0)
		return -1;
	if (d->passed.ingest >= 0 && take_ingest(&p, error, error_room) != 0)
		return -1;
	if (d->passed.http >= 0)
		take_http(&p);
	return 0;
}

static int
pass_on(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

/* ---- Looking -------------------------------------------------------------- */

/* What is at the path of the ingest socket now. */
static bool
look_at_place(const struct doors *d, struct stat *ret)
{
	const char *path = sp_ipc_path(d->ingest);

	return path && lstat(path, ret) == 0;
}

static void
remember_place(struct doors *d)
{
	struct stat st = { 0 };

	look_at_place(d, &st);
	d->dev = st.st_dev;
	d->ino = st.st_ino;
}

static bool
is_in_place(const struct doors *d)
{
	struct stat st;

	return look_at_place(d, &st) && st.st_dev == d->dev && st.st_ino == d->ino;
}

__attribute__((format(printf, 3, 4))) static void
say_problem(struct doors *d, struct log *log, const char *format, ...)
{
	char text[sizeof(d->problem)];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (strcmp(text, d->problem) != 0)
		log_line(log, LOG_LEVEL_ERROR, "server: %s", text);
	memcpy(d->problem, text, sizeof(text));
}

static void
say_well(struct doors *d, struct log *log)
{
	if (d->problem[0])
		log_line(
		    log, LOG_LEVEL_INFO, "server: well again: no longer: %s", d->problem);
	d->problem[0] = '\0';
}

int
doors_look(struct doors *d, uint64_t now_ms, struct log *log)
{
	char why[300];

	if (d->ino == 0 || now_ms - d->looked_ms < LOOK_MS)
		return -1;
	d->looked_ms = now_ms;
	if (is_in_place(d)) {
		say_well(d, log);
		return -1;
	}
	if (d->is_passed_ingest) {
		say_problem(d, log,
		    "the file of the socket %s was removed: no worker can connect until "
		    "the .socket unit that made it is restarted",
		    d->ingest);
		return -1;
	}
	if (socket_file_renew(
		&d->ingest_file, "DYN_METRICSD_ADDRESS", why, sizeof(why)) != 0) {
		say_problem(d, log,
		    "the file of the socket was removed, and no worker can connect: %s",
		    why);
		return -1;
	}
	remember_place(d);
	log_line(log, LOG_LEVEL_WARNING,
	    "server: the file of the socket %s was removed: it is made again", d->ingest);
	say_well(d, log);
	return socket_file_take(&d->ingest_file);
}

uint64_t
doors_due_ms(const struct doors *d, uint64_t now_ms)
{
	uint64_t passed_ms = now_ms - d->looked_ms;

	if (d->ino == 0)
		return UINT64_MAX;
	return passed_ms < LOOK_IDLE_MS ? LOOK_IDLE_MS - passed_ms : 0;
}

void
doors_problems(const struct doors *d, const struct strbuf *others, struct strbuf *out)
{
	const size_t none = strlen("[]");

	if (d->problem[0] == '\0') {
		strbuf_add(out, others->at, others->bytes);
		return;
	}
	strbuf_addc(out, '[');
	strbuf_add_json(out, wire_text(d->problem));
	if (others->bytes > none)
		strbuf_addc(out, ',');
	strbuf_add(out, others->at + 1, others->bytes - 1);
}

/* ---- Opening ----------------------------------------------------------- */

int
doors_open_ingest(
    struct doors *d, const struct config *config, char *error, size_t error_room)
{
	const char *path = sp_ipc_path(config->ingest.address);

	if (d->is_passed_ingest) {
		remember_place(d);
		return pass_on(&d->passed.ingest);
	}
	snprintf(d->ingest, sizeof(d->ingest), "%s", config->ingest.address);
	socket_file_wait(path, HELD_MS);
	if (socket_file_open(
		&d->ingest_file, path, "DYN_METRICSD_ADDRESS", error, error_room) != 0)
		return -1;
	remember_place(d);
	return socket_file_take(&d->ingest_file);
}

static int
open_http_file(struct doors *d, const char *path, char *error, size_t room)
{
	snprintf(d->http, sizeof(d->http), CONFIG_UNIX_PREFIX "%s", path);
	socket_file_wait(path, HELD_MS);
	if (socket_file_open(&d->http_file, path, "DYN_SYSTEM_HOST", error, room) != 0)
		return -1;
	return socket_file_take(&d->http_file);
}

static int
open_http_port(struct doors *d, const struct config *c, char *error, size_t room)
{
	int fd = http_socket_listen(
	    c->http.host, (uint16_t)c->http.port, &d->port, error, room);

	if (fd >= 0)
		http_socket_url(c->http.host, d->port, d->http, sizeof(d->http));
	return fd;
}

static int
write_port_file(struct doors *d, const struct config *config, char *error, size_t room)
{
	char *path = config_port_file(config);
	int rc = -1;

	if (path)
		rc = port_file_write(&d->port_file, path, d->port, error, room);
	else
		snprintf(error, room, "memory is out");
	free(path);
	return rc;
}

int
doors_open_http(struct doors *d, const struct config *config, int *ret, char *error,
    size_t error_room)
{
	const char *path = config_http_path(config);
	int fd;

	*ret = -1;
	snprintf(d->status, sizeof(d->status), "HTTP disabled");
	if (!wants_http(config))
		return 0;
	if (d->is_passed_http)
		fd = pass_on(&d->passed.http);
	else if (path)
		fd = open_http_file(d, path, error, error_room);
	else
		fd = open_http_port(d, config, error, error_room);
	if (fd < 0)
		return -1;
	if (d->port != 0)
		snprintf(d->status, sizeof(d->status), "HTTP port %u", d->port);
	else
		snprintf(d->status, sizeof(d->status), "HTTP at %s", d->http);
	if (d->port != 0 && write_port_file(d, config, error, error_room) != 0) {
		close(fd);
		return -1;
	}
	*ret = fd;
	return 0;
}

/* ---- The end ----------------------------------------------------------- */

void
doors_close(struct doors *d)
{
	if (d->passed.ingest >= 0)
		close(d->passed.ingest);
	if (d->passed.http >= 0)
		close(d->passed.http);
	port_file_remove(&d->port_file);
	socket_file_close(&d->http_file);
	socket_file_close(&d->ingest_file);
	*d = DOORS_NONE;
}
