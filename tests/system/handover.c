/* SPDX-License-Identifier: Apache-2.0 */
/*
 * handover.c - a worker whose connection is handed to another process before it dies, as
 * servers do that are replaced without a pause and pass on all that they have open.
 *
 * Prints "clone PID" of the process that gets the connection, then "pid PID" of the
 * worker when it has counted 5 into handover_total. Each waits until it is killed.
 */
#include <dynamo/metrics.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A message of one byte and one descriptor. */
union control {
	struct cmsghdr head;
	char room[CMSG_SPACE(sizeof(int))];
};

static struct msghdr
message(struct iovec *byte, union control *control)
{
	memset(control, 0, sizeof(*control));
	return (struct msghdr){ .msg_iov = byte,
		.msg_iovlen = 1,
		.msg_control = control->room,
		.msg_controllen = sizeof(control->room) };
}

static void
wait_for_ever(const char *what)
{
	printf("%s %ld\n", what, (long)getpid());
	fflush(stdout);
	for (;;)
		pause();
}

static void
take(int from)
{
	char c;
	struct iovec byte = { &c, 1 };
	union control control;
	struct msghdr m = message(&byte, &control);

	if (recvmsg(from, &m, 0) == 1 && CMSG_FIRSTHDR(&m))
		wait_for_ever("clone");
}

static int
give(int to, int fd)
{
	char c = 0;
	struct iovec byte = { &c, 1 };
	union control control;
	struct msghdr m = message(&byte, &control);

	control.head = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
		.cmsg_type = SCM_RIGHTS,
		.cmsg_len = CMSG_LEN(sizeof(fd)) };
	memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
	return sendmsg(to, &m, 0) == 1 ? 0 : -1;
}

/* What the library has connected: a socket with a peer, and not ours. */
static int
connection(int but)
{
	struct sockaddr_storage peer;

	for (int fd = 3; fd < 64; fd++) {
		socklen_t bytes = sizeof(peer);

		if (fd != but && getpeername(fd, (struct sockaddr *)&peer, &bytes) == 0)
			return fd;
	}
	return -1;
}

int
main(void)
{
	int pair[2];
	dynm_counter c;
	dynm_runtime *rt;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0)
		return 1;
	if (fork() == 0) {
		close(pair[0]);
		take(pair[1]);
		return 2;
	}
	close(pair[1]);
	if (dynm_open(&rt, NULL, NULL) != DYNM_OK)
		return 3;
	c = dynm_counter_create(dynm_runtime_scope(rt), "handover_total", "");
	dynm_counter_add(c, 2);
	if (dynm_flush(rt, 20000) != DYNM_OK || give(pair[0], connection(pair[0])) != 0)
		return 4;
	dynm_counter_add(c, 3);
	if (dynm_flush(rt, 20000) != DYNM_OK)
		return 5;
	wait_for_ever("pid");
	return 0;
}
