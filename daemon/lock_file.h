/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lock_file.h - a file that stands for something, which whoever has locked it has.
 *
 * Nobody but its owner may open it, as whoever can open a file can lock it too, and so
 * keep a daemon from starting. That is also why no folder is locked where it can be
 * helped: others may read folders.
 *
 * The file is removed while it is locked, and whoever has locked a file that is no longer
 * at its path starts again: so removing it opens no race. The lock ends with its process.
 */
#ifndef LOCK_FILE_H
#define LOCK_FILE_H

#include <stdbool.h>

/*
 * Lock the file at a path in an open folder (AT_FDCWD: at a path), and make it if it is
 * not there. 0, and *ret_fd is to be given to lock_file_leave(); or an errno value:
 * EWOULDBLOCK: another process has it; EPERM: it is another user's; EINVAL: it is no
 * file, or has other names; or as open() has them. A link is not followed: ELOOP.
 */
int lock_file_take(int folder, const char *path, int *ret_fd);

/* True while the locked file is the one at its path. */
bool lock_file_is_at(int folder, const char *path, int fd);

/* Remove it if it is still there, and let it go. -1 is left alone. */
void lock_file_leave(int folder, const char *path, int fd);

#endif /* LOCK_FILE_H */
