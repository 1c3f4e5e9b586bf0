/* SPDX-License-Identifier: Apache-2.0 */
/*
 * old_kernel.c LEVEL COMMAND... - run a command as if the kernel knew less of processes:
 *
 *	1	no SO_PEERPIDFD: a socket does not hand out its peer's process
 *(before 6.5) 2	and no pidfd_open(): there are no such descriptors at all
 *(before 5.3)
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PEERPIDFD 77 /* SO_PEERPIDFD, which older headers have not */

#define LOAD(field) \
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
/* Unless it is equal, skip so many steps. */
#define UNLESS(value, steps) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, steps)
#define FAIL(error)	     BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (error))
#define PASS		     BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

int
main(int argc, char **argv)
{
	int level = argc > 2 ? atoi(argv[1]) : 0;
	struct sock_filter steps[] = {
		LOAD(nr),
		UNLESS(SYS_pidfd_open, 1),
		FAIL(ENOSYS),
		UNLESS(SYS_getsockopt, 3),
		LOAD(args[2]),
		UNLESS(PEERPIDFD, 1),
		FAIL(ENOPROTOOPT),
		PASS,
	};
	struct sock_fprog program = { sizeof(steps) / sizeof(steps[0]), steps };

	if (level == 1)
		steps[2] = (struct sock_filter)PASS;
	if (level < 1 || level > 2) {
		fprintf(stderr, "usage: old_kernel 1|2 COMMAND...\n");
		return 2;
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
		perror("old_kernel");
		return 77;
	}
	execvp(argv[2], argv + 2);
	perror(argv[2]);
	return 127;
}
