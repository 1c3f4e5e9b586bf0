/* SPDX-License-Identifier: Apache-2.0 */
#include "socket_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "lock_file.h"

#define FOLDER_MODE  0750
#define SOCKET_UMASK 0117 /* leaves 0660 */
#define LISTEN_QUEUE 4096 /* the kernel takes as many as it allows */
#define WAIT_MS	     5	  /* between two looks at a lock */

struct sentence {
	char *at;
	size_t room;
};

__attribute__((format(printf, 2, 3))) static int
fail(struct sentence *e, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(e->at, e->room, format, arguments);
	va_end(arguments);
	return -1;
}

static int
make_folder(const char *path, struct sentence *e)
{
	char *copy = strdup(path);
	int rc = 0;

	if (copy == NULL)
		return fail(e, "memory is out");
	if (mkdir(dirname(copy), FOLDER_MODE) != 0 && errno != EEXIST)
		rc =
		    fail(e, "the folder of %s cannot be made: %s", path, strerror(errno));
	free(copy);
	return rc;
}

/* The locked file of s->lock_path. */
static int
take_lock(struct socket_file *s, const char *variable, struct sentence *e)
{
	int error = lock_file_take(AT_FDCWD, s->lock_path, &s->lock);

	if (error == EWOULDBLOCK)
		return fail(e,
		    "another dynamo-metricsd has %s: stop it, or give this one another "
		    "address (%s)",
		    s->path, variable);
	if (error)
		return fail(e, "the lock file %s cannot be opened: %s", s->lock_path,
		    error == EPERM    ? "it is another user's, or may not be changed"
		    : error == EINVAL ? "it is no file, or has other names"
				      : strerror(error));
	return 0;
}

static struct sockaddr_un
address_of(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	return a;
}

/* 0 or the errno of connecting to a path. */
static int
probe(const char *path)
{
	struct sockaddr_un a = address_of(path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int result = 0;

	if (fd < 0)
		return errno;
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) != 0)
		result = errno;
	close(fd);
	return result;
}

/* Make sure that nothing is at the path, or say why something is left there. */
static int
clear_path(const char *path, const char *variable, struct sentence *e)
{
	struct stat st;
	int result;

	if (lstat(path, &st) != 0)
		return errno == ENOENT
			   ? 0
			   : fail(e, "%s cannot be looked at: %s", path, strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return fail(e,
		    "%s is not a socket: it is left alone; move it away, or "
		    "give another address (%s)",
		    path, variable);
	result = probe(path);
	if (result == 0 || result == EAGAIN)
		return fail(e,
		    "another server answers at %s: stop it, or give this one "
		    "another address (%s)",
		    path, variable);
	if (result != ECONNREFUSED)
		return fail(e,
		    "the socket %s is left alone, since nobody knows if it is "
		    "in use: %s",
		    path, strerror(result));
	if (unlink(path) != 0)
		return fail(e, "the stale socket %s cannot be removed: %s", path,
		    strerror(errno));
	return 0;
}

static int
bind_and_listen(struct socket_file *s, struct sentence *e)
{
	struct sockaddr_un a = address_of(s->path);
	struct stat st;
	mode_t before;
	int rc;

	s->listen = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->listen < 0)
		return fail(e, "a socket cannot be made: %s", strerror(errno));
	before = umask(SOCKET_UMASK);
	rc = bind(s->listen, (struct sockaddr *)&a, sizeof(a));
	umask(before);
	if (rc != 0)
		return fail(e, "%s cannot be bound: %s", s->path, strerror(errno));
	if (lstat(s->path, &st) == 0) {
		s->dev = st.st_dev;
		s->ino = st.st_ino;
	}
	if (listen(s->listen, LISTEN_QUEUE) != 0)
		return fail(e, "%s cannot be listened at: %s", s->path, strerror(errno));
	return 0;
}

/* True while somebody has locked a lock file. */
static bool
is_locked(const char *lock_path)
{
	int fd =
	    open(lock_path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	bool locked = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) != 0;

	if (fd >= 0)
		close(fd);
	return locked;
}

void
socket_file_wait(const char *path, unsigned ms)
{
	static const struct timespec pause = { .tv_nsec = WAIT_MS * 1000000 };
	bool waited = false;
	char *lock_path;

	if (asprintf(&lock_path, "%s.lock", path) < 0)
		return;
	for (unsigned passed = 0; passed < ms && is_locked(lock_path);
	     passed += WAIT_MS) {
		nanosleep(&pause, NULL);
		waited = true;
	}
	/* Its sockets are about to be closed as well. */
	if (waited)
		nanosleep(&pause, NULL);
	free(lock_path);
}

int
socket_file_open(struct socket_file *ret, const char *path, const char *variable,
    char *error, size_t error_room)
{
	struct socket_file s = SOCKET_FILE_NONE;
	struct sentence e = { error, error_room };

	s.path = strdup(path);
	if (s.path == NULL || asprintf(&s.lock_path, "%s.lock", path) < 0) {
		s.lock_path = NULL;
		fail(&e, "memory is out");
		goto fail;
	}
	if (make_folder(path, &e) != 0 || take_lock(&s, variable, &e) != 0)
		goto fail;
	if (clear_path(path, variable, &e) != 0 || bind_and_listen(&s, &e) != 0)
		goto fail;
	*ret = s;
	return 0;
fail:
	socket_file_close(&s);
	return -1;
}

bool
socket_file_is_there(const struct socket_file *s)
{
	struct stat st;

	return lstat(s->path, &st) == 0 && st.st_dev == s->dev && st.st_ino == s->ino;
}

int
socket_file_renew(
    struct socket_file *s, const char *variable, char *error, size_t error_room)
{
	struct sentence e = { error, error_room };

	if (!lock_file_is_at(AT_FDCWD, s->lock_path, s->lock)) {
		close(s->lock);
		s->lock = -1;
		if (take_lock(s, variable, &e) != 0)
			return -1;
	}
	if (clear_path(s->path, variable, &e) != 0)
		return -1;
	if (bind_and_listen(s, &e) == 0)
		return 0;
	if (s->listen >= 0)
		close(s->listen);
	s->listen = -1;
	return -1;
}

bool
socket_file_path(int fd, char out[SOCKET_FILE_PATH])
{
	struct sockaddr_un a = { 0 };
	socklen_t n = sizeof(a);

	if (getsockname(fd, (struct sockaddr *)&a, &n) != 0 || a.sun_family != AF_UNIX ||
	    a.sun_path[0] != '/')
		return false;
	/* A path of full length has no end. */
	snprintf(out, SOCKET_FILE_PATH, "%.*s", (int)sizeof(a.sun_path), a.sun_path);
	return true;
}

int
socket_file_take(struct socket_file *s)
{
	int fd = s->listen;

	s->listen = -1;
	return fd;
}

void
socket_file_close(struct socket_file *s)
{
	if (s->listen >= 0)
		close(s->listen);
	if (s->ino != 0 && socket_file_is_there(s))
		unlink(s->path);
	lock_file_leave(AT_FDCWD, s->lock_path, s->lock);
	free(s->path);
	free(s->lock_path);
	*s = SOCKET_FILE_NONE;
}
