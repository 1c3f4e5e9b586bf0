/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire_socket CLIENTS SERIES SECONDS
 *
 * What the sockets alone allow: client processes send as many bytes as an UPDATE of so
 * many cells takes, each over a Unix stream socket of its own, and wait for as many as
 * its ACK takes; a server reads them all and looks at none. Prints the million cells in a
 * second.
 */
#include <err.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "message.h"
#include "sp.h"

#define ID_BYTES    4
#define HEAD_BYTES  (SP_FRAME_BYTES + ID_BYTES)
#define REPLY_BYTES (HEAD_BYTES + 24)
#define READ_BYTES  65536
#define MOST	    64

struct client {
	int fd;
	size_t have; /* bytes of its request */
};

static size_t
request_bytes(int series)
{
	uint8_t bytes[64];
	struct wire_writer w;

	wire_writer_init(&w, bytes, sizeof(bytes));
	message_begin_update(&w, (struct message_ticket){ 0 }, 1);
	return HEAD_BYTES + w.bytes + (size_t)series * MESSAGE_RECORD_BYTES;
}

static void
be_client(int fd, size_t bytes, double seconds, double *rounds)
{
	char *request = calloc(1, bytes), reply[REPLY_BYTES];
	double end_s = bench_now_s() + seconds;

	while (request && bench_now_s() < end_s) {
		for (size_t sent = 0; sent < bytes;) {
			ssize_t n = send(fd, request + sent, bytes - sent, MSG_NOSIGNAL);

			if (n < 0)
				err(1, "send");
			sent += (size_t)n;
		}
		if (recv(fd, reply, sizeof(reply), MSG_WAITALL) != (ssize_t)sizeof(reply))
			err(1, "recv");
		++*rounds;
	}
	free(request);
}

/* One client's bytes. False when it has gone. */
static int
serve_one(struct client *c, size_t bytes)
{
	static char buffer[READ_BYTES];
	ssize_t n = recv(c->fd, buffer, sizeof(buffer), 0);

	if (n <= 0)
		return 0;
	c->have += (size_t)n;
	if (c->have < bytes)
		return 1;
	c->have = 0;
	return send(c->fd, buffer, REPLY_BYTES, MSG_NOSIGNAL) == REPLY_BYTES;
}

static void
serve(struct client *client, int n, size_t bytes)
{
	struct pollfd fds[MOST];
	int left = n;

	for (int i = 0; i < n; i++)
		fds[i] = (struct pollfd){ .fd = client[i].fd, .events = POLLIN };
	while (left > 0) {
		if (poll(fds, (nfds_t)n, -1) < 0)
			err(1, "poll");
		for (int i = 0; i < n; i++) {
			if (fds[i].revents == 0 || serve_one(&client[i], bytes))
				continue;
			fds[i].fd = -1;
			left--;
		}
	}
}

int
main(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 8;
	int series = argc > 2 ? atoi(argv[2]) : 1000;
	double seconds = argc > 3 ? atof(argv[3]) : 1;
	double *rounds = mmap(NULL, MOST * sizeof(*rounds), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct client client[MOST] = { 0 };
	double begin_s = bench_now_s(), total = 0;
	size_t bytes = request_bytes(series);

	if (n < 1 || n > MOST || rounds == MAP_FAILED)
		errx(1, "set-up");
	for (int i = 0; i < n; i++) {
		int ends[2];

		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
			err(1, "socketpair");
		client[i].fd = ends[0];
		if (fork() == 0) {
			for (int j = 0; j <= i; j++)
				close(client[j].fd);
			be_client(ends[1], bytes, seconds, &rounds[i]);
			return 0;
		}
		close(ends[1]);
	}
	serve(client, n, bytes);
	for (int i = 0; i < n; i++)
		total += rounds[i];
	while (wait(NULL) > 0)
		;
	return bench_print(total * series / (bench_now_s() - begin_s) / 1e6);
}
