/* SPDX-License-Identifier: Apache-2.0 */
#include "disk_parts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lock_file.h"

#define FILE_MODE     0600
#define LOCK_NAME     ".lock"
#define LOCK_TRIES    100
#define LOCK_PAUSE_NS 10000000
#define CREATE_TRIES  3

static const mode_t folder_mode[DISK_PLACES] = {
	[DISK_STATE] = 0700, [DISK_RUNTIME] = 0750
};

static struct folder *
folder_of(void *arg, enum disk_place place)
{
	return &((struct real_disk *)arg)->folder[place];
}

/* ---- Folders ----------------------------------------------------------- */

static int
open_folder(const char *path, mode_t mode, int *ret_fd)
{
	int error = mkdir(path, mode) == 0 ? 0 : errno;

	*ret_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*ret_fd >= 0)
		return 0;
	return errno == ENOENT && error ? error : errno;
}

/* Where no file can be made, the folder itself is locked: whoever may read it could keep
 * it from us, so that is second best. */
static int
lock_folder_once(int fd, int *ret_lock)
{
	int error = lock_file_take(fd, LOCK_NAME, ret_lock);

	if (error != EROFS && error != EACCES && error != ENOSPC && error != EDQUOT)
		return error;
	return flock(fd, LOCK_EX | LOCK_NB) == 0 ? 0 : errno;
}

/* A process that was just killed holds its locks for a moment more, and so does its
 * child: once, that is waited for. */
static int
lock_folder(int fd, int tries, int *ret_lock)
{
	static const struct timespec pause = { .tv_nsec = LOCK_PAUSE_NS };
	int error;

	while ((error = lock_folder_once(fd, ret_lock)) == EWOULDBLOCK && --tries > 0)
		nanosleep(&pause, NULL);
	return error;
}

/* True if an open folder is one that this disk has already. */
static bool
is_had(const struct real_disk *d, int fd)
{
	struct stat wanted, had;

	for (int i = 0; i < DISK_PLACES; i++)
		if (d->folder[i].fd >= 0 && fstat(fd, &wanted) == 0 &&
		    fstat(d->folder[i].fd, &had) == 0 && wanted.st_dev == had.st_dev &&
		    wanted.st_ino == had.st_ino)
			return true;
	return false;
}

/* True if a folder that was opened has been removed since. */
static bool
is_removed(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_nlink == 0;
}

static void
let_go(struct folder *f)
{
	if (f->fd < 0)
		return;
	lock_file_leave(f->fd, LOCK_NAME, f->lock);
	close(f->fd);
}

static int
real_open(void *arg, enum disk_place place)
{
	struct folder *f = folder_of(arg, place);
	int tries = f->tried ? 1 : LOCK_TRIES;
	int fd = -1, lock = -1;
	int error;

	if (f->fd >= 0 && !is_removed(f->fd))
		return 0;
	f->tried = true;
	error = open_folder(f->path, folder_mode[place], &fd);
	if (error)
		return error;
	if (!is_had(arg, fd))
		error = lock_folder(fd, tries, &lock);
	if (error) {
		close(fd);
		return error;
	}
	let_go(f);
	f->fd = fd;
	f->lock = lock;
	return 0;
}

static bool
is_own(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
	       strcmp(name, LOCK_NAME) == 0;
}

static int
real_list(void *arg, enum disk_place place,
    void (*each)(void *each_arg, const char *name), void *each_arg)
{
	int fd =
	    openat(folder_of(arg, place)->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;
	int error;

	if (d == NULL) {
		error = errno;
		if (fd >= 0)
			close(fd);
		return error;
	}
	errno = 0;
	while ((e = readdir(d)) != NULL) {
		if (!is_own(e->d_name))
			each(each_arg, e->d_name);
		errno = 0;
	}
	error = errno;
	closedir(d);
	return error;
}

static int
real_sync_folder(void *arg, enum disk_place place)
{
	return fsync(folder_of(arg, place)->fd) == 0 ? 0 : errno;
}

/* ---- Files ------------------------------------------------------------- */

/*
 * 0 if what was opened is a file that this process, root, or the folder's owner has made.
 * Where others may write to the folder, anybody could have put another one there.
 */
static int
check_file(int folder, int fd)
{
	struct stat st, above;

	if (fstat(fd, &st) != 0)
		return errno;
	if (!S_ISREG(st.st_mode))
		return EINVAL;
	if (st.st_uid == geteuid() || st.st_uid == 0)
		return 0;
	return fstat(folder, &above) == 0 && st.st_uid == above.st_uid ? 0 : EPERM;
}

/* Not blocking: opening a FIFO would wait for its other end. */
static int
open_file(void *arg, enum disk_place place, const char *name, int flags, int *ret_file)
{
	int folder = folder_of(arg, place)->fd;
	int fd = openat(folder, name,
	    flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, FILE_MODE);
	int error;

	/* A link, a directory, a FIFO that nobody reads. */
	if (fd < 0)
		return errno == ELOOP || errno == EISDIR || errno == ENXIO ? EINVAL
									   : errno;
	error = check_file(folder, fd);
	if (error)
		close(fd);
	else
		*ret_file = fd;
	return error;
}

static int
read_part(int fd, uint64_t from, size_t most, struct strbuf *ret)
{
	const size_t end = ret->bytes + most;
	ssize_t n = 1;

	if (!strbuf_reserve(ret, most))
		return ENOMEM;
	while (n != 0 && ret->bytes < end) {
		n = pread(fd, ret->at + ret->bytes, end - ret->bytes, (off_t)from);
		if (n < 0 && errno != EINTR)
			return errno;
		if (n > 0) {
			ret->bytes += (size_t)n;
			from += (uint64_t)n;
		}
	}
	ret->at[ret->bytes] = '\0';
	return 0;
}

static int
real_read(void *arg, enum disk_place place, const char *name, uint64_t from, size_t most,
    struct strbuf *ret)
{
	int fd;
	int error = open_file(arg, place, name, O_RDONLY, &fd);

	if (error)
		return error;
	error = read_part(fd, from, most, ret);
	close(fd);
	return error;
}

/* What is there is never written to: it may be a file that has another name, too, or one
 * that somebody has open. */
static int
clear_name(void *arg, enum disk_place place, const char *name)
{
	int folder = folder_of(arg, place)->fd;
	struct stat st;

	if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return errno == ENOENT ? 0 : errno;
	if (!S_ISREG(st.st_mode))
		return EINVAL;
	return unlinkat(folder, name, 0) == 0 || errno == ENOENT ? 0 : errno;
}

static int
real_create(void *arg, enum disk_place place, const char *name, int *ret_file)
{
	int error = EEXIST;

	for (int i = 0; i < CREATE_TRIES && error == EEXIST; i++) {
		error = open_file(
		    arg, place, name, O_WRONLY | O_APPEND | O_CREAT | O_EXCL, ret_file);
		if (error == EEXIST && (error = clear_name(arg, place, name)) == 0)
			error = EEXIST;
	}
	return error;
}

static int
real_cut(void *arg, int file, uint64_t bytes)
{
	(void)arg;
	while (ftruncate(file, (off_t)bytes) != 0)
		if (errno != EINTR)
			return errno;
	return 0;
}

static int
real_open_at(
    void *arg, enum disk_place place, const char *name, uint64_t bytes, int *ret_file)
{
	int fd;
	int error = open_file(arg, place, name, O_WRONLY | O_APPEND, &fd);

	if (error)
		return error;
	error = real_cut(arg, fd, bytes);
	if (error)
		close(fd);
	else
		*ret_file = fd;
	return error;
}

static int
real_write(void *arg, int file, const void *bytes, size_t n)
{
	const char *at = bytes;

	(void)arg;
	while (n > 0) {
		ssize_t done = write(file, at, n);

		if (done < 0 && errno != EINTR)
			return errno;
		if (done == 0)
			return ENOSPC;
		if (done > 0) {
			at += done;
			n -= (size_t)done;
		}
	}
	return 0;
}

static int
real_sync(void *arg, int file)
{
	(void)arg;
	while (fdatasync(file) != 0)
		if (errno != EINTR)
			return errno;
	return 0;
}

static void
real_close(void *arg, int file)
{
	(void)arg;
	close(file);
}

static int
real_rename(void *arg, enum disk_place place, const char *from, const char *to)
{
	int fd = folder_of(arg, place)->fd;

	return renameat(fd, from, fd, to) == 0 ? 0 : errno;
}

static int
real_remove(void *arg, enum disk_place place, const char *name)
{
	return unlinkat(folder_of(arg, place)->fd, name, 0) == 0 ? 0 : errno;
}

/* The descriptor ends with the process. */
static void
real_hold(void *arg, enum disk_place place, const char *name)
{
	int fd;

	(void)open_file(arg, place, name, O_RDONLY, &fd);
}

static bool
real_is_public(void *arg, enum disk_place place)
{
	struct stat st;

	return fstat(folder_of(arg, place)->fd, &st) == 0 && (st.st_mode & S_IWOTH) != 0;
}

/* ---- The whole --------------------------------------------------------- */

struct disk *
disk_new(const char *state_path, const char *runtime_path)
{
	struct real_disk *d = calloc(1, sizeof(*d));

	if (d == NULL)
		return NULL;
	d->disk = (struct disk){ d, real_open, real_list, real_read, real_create,
		real_open_at, real_write, real_cut, real_sync, real_close, real_rename,
		real_remove, real_sync_folder, disk_spawn, disk_reap, disk_kill,
		disk_child_sync, disk_child_end, real_hold, real_is_public };
	d->folder[DISK_STATE] = (struct folder){ strdup(state_path), -1, -1, false };
	d->folder[DISK_RUNTIME] = (struct folder){ strdup(runtime_path), -1, -1, false };
	if (d->folder[DISK_STATE].path == NULL || d->folder[DISK_RUNTIME].path == NULL) {
		disk_free(&d->disk);
		return NULL;
	}
	return &d->disk;
}

void
disk_free(struct disk *disk)
{
	struct real_disk *d = disk ? disk->arg : NULL;

	if (d == NULL)
		return;
	for (int i = 0; i < DISK_PLACES; i++) {
		let_go(&d->folder[i]);
		free(d->folder[i].path);
	}
	free(d);
}
