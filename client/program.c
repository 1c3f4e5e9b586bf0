/* SPDX-License-Identifier: Apache-2.0 */
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define STANDARD   3 /* stdin, stdout, stderr */
#define TASK_LINKS 2 /* of /proc/self/task, beside one for each thread */

bool
program_has_ended(unsigned ours)
{
	struct stat tasks;
	char c;

	/* A main thread that has ended is still counted, but has no folder to be in. This
	 * one has: where /proc does not say so, it says nothing of the main thread. */
	if (stat("/proc/self/task", &tasks) != 0 ||
	    tasks.st_nlink != TASK_LINKS + (nlink_t)ours + 1)
		return false;
	return readlink("/proc/self/cwd", &c, sizeof(c)) < 0 && errno == ENOENT &&
	       readlink("/proc/thread-self/cwd", &c, sizeof(c)) > 0;
}

int
program_keep_off(int fd)
{
	int copy = fd, error;

	if (fd >= 0 && fd < STANDARD) {
		copy = fcntl(fd, F_DUPFD_CLOEXEC, STANDARD);
		error = errno;
		close(fd);
		errno = error;
	}
	return copy;
}
