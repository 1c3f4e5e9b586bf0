/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "disk_parts.h"

#define CHILD_NICE 5
#define FDS_MAX	   65536 /* closed one by one where the kernel has no close_range() */

/* Orders are a folder's number, to force it to the disk, or this. */
#define ORDER_END 0xff

static void
close_from_to(unsigned from, unsigned to)
{
	if (from > to || close_range(from, to, 0) == 0)
		return;
	for (unsigned fd = from; fd <= to && fd < FDS_MAX; fd++)
		close((int)fd);
}

/* All but three, of which none is below 3. */
static void
close_others(int a, int b, int c)
{
	int kept[] = { a, b, c };
	unsigned next = 3;

	for (;;) {
		int first = -1;

		for (size_t i = 0; i < 3; i++)
			if (kept[i] >= (int)next && (first < 0 || kept[i] < first))
				first = kept[i];
		if (first < 0)
			break;
		close_from_to(next, (unsigned)first - 1);
		next = (unsigned)first + 1;
	}
	close_from_to(next, ~0U);
}

/* A descriptor of its own for a folder: the one that it has a copy of holds the lock. */
static int
open_again(int fd)
{
	int own = fd >= 0 ? openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	int high = own >= 0 ? fcntl(own, F_DUPFD_CLOEXEC, 3) : -1;

	if (own >= 0)
		close(own);
	return high;
}

/* What is printed by accident must not land in a file that is opened later. */
static void
print_nowhere(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int fd = 0; null >= 0 && fd <= 2; fd++)
		dup2(null, fd);
	if (null > 2)
		close(null);
}

/* It keeps neither a lock nor a socket from the next daemon, if this one is killed. */
static void
let_go(struct real_disk *d, int *pipe)
{
	print_nowhere();
	for (int i = 0; i < DISK_PLACES; i++)
		d->folder[i].fd = open_again(d->folder[i].fd);
	*pipe = fcntl(*pipe, F_DUPFD_CLOEXEC, 3);
	close_others(d->folder[DISK_STATE].fd, d->folder[DISK_RUNTIME].fd, *pipe);
}

/* But a file that may not grow is an error to be told. */
static void
take_signals_as_usual(void)
{
	sigset_t none;

	for (int number = 1; number < NSIG; number++)
		signal(number, number == SIGXFSZ ? SIG_IGN : SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static bool
say(int pipe, const struct disk_result *result)
{
	return send(pipe, result, sizeof(*result), MSG_NOSIGNAL) ==
	       (ssize_t)sizeof(*result);
}

static bool
hear(int pipe, unsigned char *ret_order)
{
	ssize_t n;

	while ((n = recv(pipe, ret_order, 1, 0)) < 0 && errno == EINTR)
		;
	return n == 1;
}

/* Say how it went, and do what the parent wants besides, until it wants no more. False
 * when the parent cannot be told. */
static bool
obey(const struct real_disk *d, int pipe, struct disk_result *result)
{
	bool said = say(pipe, result);
	unsigned char order;

	while (said && result->error == 0 && hear(pipe, &order) && order < DISK_PLACES) {
		if (fsync(d->folder[order].fd) != 0) {
			result->error = errno;
			snprintf(result->why, sizeof(result->why), "%s", strerror(errno));
		}
		said = say(pipe, result);
	}
	return said;
}

_Noreturn static void
be_child(struct real_disk *d, pid_t parent, int pipe,
    void (*work)(void *work_arg, struct disk_result *ret), void *work_arg)
{
	struct disk_result result = { 0 };
	bool told;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	let_go(d, &pipe);
	take_signals_as_usual();
	setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + CHILD_NICE);
	work(work_arg, &result);
	told = obey(d, pipe, &result);
	/* What it held is let go here, and not while its end is waited for. */
	close_others(pipe, pipe, pipe);
	_exit(told ? 0 : 1);
}

int
disk_spawn(void *arg, void (*work)(void *work_arg, struct disk_result *ret),
    void *work_arg, struct disk_child *ret)
{
	pid_t parent = getpid();
	sigset_t all, before;
	int ends[2];
	int error;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
		return errno;
	*ret = (struct disk_child){ .pipe = ends[0] };
	/* Until it has none of this process's handlers, it must get no signal. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	ret->pid = fork();
	error = errno;
	if (ret->pid == 0) {
		ret->pid = getpid();
		be_child(arg, parent, ends[1], work, work_arg);
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	close(ends[1]);
	if (ret->pid > 0) {
		((struct real_disk *)arg)->child = ret->pid;
		return 0;
	}
	close(ends[0]);
	return error;
}

void
disk_bury(struct disk *disk)
{
	struct real_disk *d = disk->arg;
	siginfo_t ended = { 0 };

	/* Ours is left for wait_for(), which goes on here with those behind it. */
	while (waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 &&
	       ended.si_pid != 0 && ended.si_pid != d->child) {
		waitpid(ended.si_pid, NULL, WNOHANG);
		ended.si_pid = 0;
	}
}

/* The end of a child. 0 if it ended by itself, and well. */
static int
wait_for(struct real_disk *d, struct disk_child *child, char *why, size_t room)
{
	int status = 0;

	while (waitpid(child->pid, &status, 0) < 0 && errno == EINTR)
		;
	d->child = 0;
	disk_bury(&d->disk);
	close(child->pipe);
	child->pipe = -1;
	if (WIFSIGNALED(status))
		snprintf(why, room, "the process that wrote it was killed by signal %d",
		    WTERMSIG(status));
	else if (status != 0 || !child->told)
		snprintf(why, room, "the process that wrote it ended early");
	return status;
}

enum disk_child_state
disk_reap(void *arg, struct disk_child *child, struct disk_result *ret)
{
	struct disk_result result = { .error = ECHILD };
	ssize_t n;

	/* Its end closes the pipe. What it says comes in one piece before that. */
	do {
		n = recv(child->pipe, &result, sizeof(result), MSG_DONTWAIT);
		if (n == (ssize_t)sizeof(result)) {
			child->result = *ret = result;
			child->told = true;
			if (result.error == 0)
				return DISK_CHILD_WAITS;
		}
	} while (n > 0 || (n < 0 && errno == EINTR));
	if (n < 0 && errno == EAGAIN)
		return DISK_CHILD_RUNS;
	result = (struct disk_result){ .error = ECHILD };
	if (wait_for(arg, child, result.why, sizeof(result.why)) == 0 && child->told)
		result = child->result;
	*ret = result;
	return result.error ? DISK_CHILD_FAILED : DISK_CHILD_DONE;
}

static int
give_order(const struct disk_child *child, unsigned char order)
{
	return send(child->pipe, &order, sizeof(order), MSG_NOSIGNAL | MSG_DONTWAIT) ==
		       (ssize_t)sizeof(order)
		   ? 0
		   : errno;
}

int
disk_child_sync(void *arg, struct disk_child *child, enum disk_place place)
{
	(void)arg;
	return give_order(child, (unsigned char)place);
}

int
disk_child_end(void *arg, struct disk_child *child)
{
	(void)arg;
	return give_order(child, ORDER_END);
}

void
disk_kill(void *arg, struct disk_child *child)
{
	char why[DISK_TEXT];

	kill(child->pid, SIGKILL);
	wait_for(arg, child, why, sizeof(why));
}
