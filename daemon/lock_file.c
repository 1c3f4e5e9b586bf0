/* SPDX-License-Identifier: Apache-2.0 */
#include "lock_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_MODE  0600U
#define LOCK_TRIES 100

bool
lock_file_is_at(int folder, const char *path, int fd)
{
	struct stat locked, now;

	return fstat(fd, &locked) == 0 &&
	       fstatat(folder, path, &now, AT_SYMLINK_NOFOLLOW) == 0 &&
	       locked.st_dev == now.st_dev && locked.st_ino == now.st_ino;
}

/* 0 if it is a file that this process may use as a lock. Root uses anybody's, but none
 * that somebody may have linked here: it is about to have another mode. */
static int
check(int fd)
{
	uid_t self = geteuid();
	struct stat st;

	if (fstat(fd, &st) != 0)
		return errno;
	if (!S_ISREG(st.st_mode) || st.st_nlink > 1)
		return EINVAL;
	if (st.st_uid != self && self != 0)
		return EPERM;
	if ((st.st_mode & 0777U) != LOCK_MODE)
		fchmod(fd, LOCK_MODE);
	return 0;
}

/* Not to be written: its file system may become read-only. */
static int
try_to_take(int folder, const char *path, int *ret_fd)
{
	int fd = openat(folder, path,
	    O_RDONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
	    LOCK_MODE);
	int error;

	if (fd < 0)
		return errno;
	error = check(fd);
	if (error == 0 && flock(fd, LOCK_EX | LOCK_NB) != 0)
		error = errno;
	/* Else its last holder removed it meanwhile. */
	if (error == 0 && !lock_file_is_at(folder, path, fd))
		error = ESTALE;
	if (error)
		close(fd);
	else
		*ret_fd = fd;
	return error;
}

int
lock_file_take(int folder, const char *path, int *ret_fd)
{
	int error = ESTALE;

	for (int i = 0; i < LOCK_TRIES && error == ESTALE; i++)
		error = try_to_take(folder, path, ret_fd);
	return error;
}

void
lock_file_leave(int folder, const char *path, int fd)
{
	if (fd < 0)
		return;
	if (lock_file_is_at(folder, path, fd))
		unlinkat(folder, path, 0);
	close(fd);
}
