/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_socket.h - the TCP socket that HTTP listens on, and the file that says its port.
 */
#ifndef HTTP_SOCKET_H
#define HTTP_SOCKET_H

#include <stddef.h>
#include <stdint.h>

/*
 * Listen at a host (a name, an IPv4 or IPv6 address, in brackets or not) and a port, 0
 * for any free one. The descriptor, which does not block, and the port; or -1 with a
 * sentence in error.
 */
int http_socket_listen(
    const char *host, uint16_t port, uint16_t *ret_port, char *error, size_t error_room);

/*
 * The same for a TCP socket that listens already: connections send at once from now on.
 * Its port, and its address as http_socket_url() has it.
 */
void http_socket_adopt(int fd, uint16_t *ret_port, char *url, size_t room);

/* "http://127.0.0.1:8081", with brackets around an IPv6 address. */
void http_socket_url(const char *host, uint16_t port, char *out, size_t room);

/* A file that holds the port. */
struct port_file {
	char *path; /* NULL: none */
	uint16_t port;
};

/* Write it, whole or not at all. 0, or -1 with a sentence in error and *ret untouched. */
int port_file_write(struct port_file *ret, const char *path, uint16_t port, char *error,
    size_t error_room);
/* Remove it, unless it holds another port by now. */
void port_file_remove(struct port_file *f);

#endif /* HTTP_SOCKET_H */
