/* SPDX-License-Identifier: Apache-2.0 */
#include "http_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define LISTEN_QUEUE 4096 /* as much of it as the kernel gives */

/* The host without the brackets of a URL. */
static void
bare_host(const char *host, char out[256])
{
	size_t n = strlen(host);

	if (n >= 2 && host[0] == '[' && host[n - 1] == ']')
		snprintf(out, 256, "%.*s", (int)n - 2, host + 1);
	else
		snprintf(out, 256, "%s", host);
}

/* Connections inherit it: the head of an answer and its pieces are written one by one,
 * and the last would wait for the client's delayed acknowledgement. */
static void
send_at_once(int fd)
{
	int one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

static int
listen_at(const struct addrinfo *a)
{
	int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int one = 1;
	int why;

	if (fd < 0)
		return -1;
	/* A port whose last connections are still closing is free. */
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	send_at_once(fd);
	if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, LISTEN_QUEUE) == 0)
		return fd;
	why = errno;
	close(fd);
	errno = why;
	return -1;
}

static uint16_t
port_of(int fd)
{
	struct sockaddr_storage bound = { 0 };
	socklen_t n = sizeof(bound);

	getsockname(fd, (struct sockaddr *)&bound, &n);
	return ntohs(bound.ss_family == AF_INET6
			 ? ((struct sockaddr_in6 *)&bound)->sin6_port
			 : ((struct sockaddr_in *)&bound)->sin_port);
}

static void
say_why(int why, const char *host, uint16_t port, char *error, size_t error_room)
{
	if (why == EADDRINUSE)
		snprintf(error, error_room,
		    "port %u of %s is taken, most likely by a Dynamo process, which uses "
		    "the same one, or by another dynamo-metricsd: set DYN_SYSTEM_PORT to "
		    "another port (0: any free one)",
		    port, host);
	else if (why == EADDRNOTAVAIL)
		snprintf(error, error_room,
		    "%s is no address of this machine: set DYN_SYSTEM_HOST to one of its "
		    "own, or to 0.0.0.0 for all",
		    host);
	else
		snprintf(error, error_room, "HTTP cannot listen at port %u of %s: %s",
		    port, host, strerror(why));
}

int
http_socket_listen(
    const char *host, uint16_t port, uint16_t *ret_port, char *error, size_t error_room)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
		.ai_flags = AI_PASSIVE | AI_NUMERICSERV };
	struct addrinfo *found = NULL;
	char name[256];
	char service[16];
	int fd = -1;
	int rc;

	bare_host(host, name);
	snprintf(service, sizeof(service), "%u", port);
	rc = getaddrinfo(name, service, &hints, &found);
	if (rc != 0) {
		snprintf(error, error_room,
		    "the host \"%.100s\" (DYN_SYSTEM_HOST) is not known: %s", host,
		    gai_strerror(rc));
		return -1;
	}
	for (const struct addrinfo *a = found; a && fd < 0; a = a->ai_next)
		fd = listen_at(a);
	if (fd < 0)
		say_why(errno, host, port, error, error_room);
	else
		*ret_port = port_of(fd);
	freeaddrinfo(found);
	return fd;
}

void
http_socket_url(const char *host, uint16_t port, char *out, size_t room)
{
	char name[256];

	bare_host(host, name);
	snprintf(
	    out, room, strchr(name, ':') ? "http://[%s]:%u" : "http://%s:%u", name, port);
}

void
http_socket_adopt(int fd, uint16_t *ret_port, char *url, size_t room)
{
	struct sockaddr_storage bound = { 0 };
	socklen_t n = sizeof(bound);
	char host[NI_MAXHOST] = "";

	send_at_once(fd);
	getsockname(fd, (struct sockaddr *)&bound, &n);
	getnameinfo(
	    (struct sockaddr *)&bound, n, host, sizeof(host), NULL, 0, NI_NUMERICHOST);
	*ret_port = port_of(fd);
	http_socket_url(host, *ret_port, url, room);
}

int
port_file_write(struct port_file *ret, const char *path, uint16_t port, char *error,
    size_t error_room)
{
	struct port_file f = { 0 };
	char *temporary = NULL;
	char text[16];
	int n = snprintf(text, sizeof(text), "%u\n", port);
	int fd = -1;

	f.path = strdup(path);
	if (f.path == NULL || asprintf(&temporary, "%s.%d", path, (int)getpid()) < 0) {
		temporary = NULL;
		goto fail;
	}
	/* Never what is there already: it may be somebody else's. */
	unlink(temporary);
	fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	/* Whoever gets into the folder may read it, whatever the umask. */
	if (fd < 0 || write(fd, text, (size_t)n) != n || fchmod(fd, 0644) != 0 ||
	    rename(temporary, path) != 0)
		goto fail;
	close(fd);
	free(temporary);
	f.port = port;
	*ret = f;
	return 0;
fail:
	snprintf(error, error_room, "the port file %s cannot be written: %s", path,
	    strerror(errno));
	if (fd >= 0) {
		close(fd);
		unlink(temporary);
	}
	free(temporary);
	free(f.path);
	return -1;
}

static bool
holds_port(const char *path, uint16_t port)
{
	/* Not blocking: somebody may have put a FIFO there. */
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	char wanted[16], found[16];
	int n = snprintf(wanted, sizeof(wanted), "%u\n", port);
	bool same = fd >= 0 && read(fd, found, sizeof(found)) == n &&
		    memcmp(found, wanted, (size_t)n) == 0;

	if (fd >= 0)
		close(fd);
	return same;
}

void
port_file_remove(struct port_file *f)
{
	if (f->path && holds_port(f->path, f->port))
		unlink(f->path);
	free(f->path);
	*f = (struct port_file){ 0 };
}
