/* SPDX-License-Identifier: Apache-2.0 */
/*
 * socket_file.h - a listening Unix socket at a path, held by one process at a time.
 *
 * A lock file beside the socket (PATH.lock) is taken first, so two daemons that start at
 * once cannot both take the path. Then a socket that nobody answers at is taken over; one
 * that answers, and any other kind of file, is left alone with an error.
 *
 * Closing removes the socket if it is still ours, and then the lock file (lock_file.h).
 */
#ifndef SOCKET_FILE_H
#define SOCKET_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Room for the path of a Unix socket, with its end. */
#define SOCKET_FILE_PATH 109

struct socket_file {
	char *path;
	char *lock_path;
	int lock;   /* the locked file; -1: none */
	int listen; /* listening, not blocking; -1: none */
	dev_t dev;  /* of the socket as it was made */
	ino_t ino;
};

#define SOCKET_FILE_NONE ((struct socket_file){ .lock = -1, .listen = -1 })

/*
 * Listen at a path (at most 107 bytes), with mode 0660. A missing parent folder is made,
 * with mode 0750. 0, and *ret is to be given to socket_file_close(); or -1 with a
 * sentence in error, which names the variable that sets another path, and *ret untouched.
 */
int socket_file_open(struct socket_file *ret, const char *path, const char *variable,
    char *error, size_t error_room);

/*
 * Wait until nobody holds a path, or until about ms have passed. A process that was just
 * killed may have a child that holds what it held for a moment more.
 */
void socket_file_wait(const char *path, unsigned ms);

/* The path that a socket is bound to; false if it is no Unix socket, or at no path. */
bool socket_file_path(int fd, char out[SOCKET_FILE_PATH]);

/* Take the listening socket's descriptor; closing it is the caller's from now on. */
int socket_file_take(struct socket_file *s);

/* True while the socket that was made is the one at its path. */
bool socket_file_is_there(const struct socket_file *s);

/*
 * Make it again where it was removed: those who connect find only what is at the path. A
 * folder that was removed is not made. 0, and there is another socket to be taken; or -1
 * with a sentence in error.
 */
int socket_file_renew(
    struct socket_file *s, const char *variable, char *error, size_t error_room);

/* Remove what is at the path; SOCKET_FILE_NONE is left alone. */
void socket_file_close(struct socket_file *s);

#endif /* SOCKET_FILE_H */
