/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peer_churn.c PATH N - N workers that come, count and are gone, as fast as they can.
 *Each speaks the protocol by itself, in a process of its own or, one in ten, in this one:
 *
 *	0 to 5	is killed when its count is acknowledged
 *	6, 7	says BYE
 *	8	ends without a word
 *	9	only closes its connection: nobody can know that it is gone
 *
 * Prints "total" and how much they counted.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "message.h"
#include "sp.h"

#define AT_ONCE 8
#define ROOM	4096

struct worker {
	int fd;
	struct message_ticket ticket;
	uint64_t n;
	uint8_t in[ROOM], out[ROOM];
};

static void
must(bool ok, int status)
{
	if (!ok)
		_exit(status);
}

static void
take(int fd, uint8_t *to, size_t n)
{
	while (n > 0) {
		ssize_t got = read(fd, to, n);

		must(got > 0, 20);
		to += got;
		n -= (size_t)got;
	}
}

static void
enter(struct worker *w, const char *path)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	uint8_t head[SP_HEADER_BYTES];

	snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
	w->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must(w->fd >= 0 && connect(w->fd, (struct sockaddr *)&at, sizeof(at)) == 0, 21);
	sp_put_header(head, SP_REQ);
	must(write(w->fd, head, sizeof(head)) == sizeof(head), 22);
	take(w->fd, head, sizeof(head));
	must(sp_get_header(head) == SP_REP, 23);
}

static struct wire_writer
writer(struct worker *w)
{
	struct wire_writer out;

	wire_writer_init(&out, w->out + SP_FRAME_BYTES + 4, ROOM - SP_FRAME_BYTES - 4);
	return out;
}

static void
ask(struct worker *w, const struct wire_writer *out, enum message_type wanted,
    struct message *ret)
{
	size_t bytes = SP_FRAME_BYTES + 4 + out->bytes;
	uint64_t more = 0;

	must(!out->failed, 24);
	sp_put_frame(w->out, 4 + out->bytes);
	sp_put_request_id(w->out + SP_FRAME_BYTES, 1);
	must(write(w->fd, w->out, bytes) == (ssize_t)bytes, 25);
	take(w->fd, w->in, SP_FRAME_BYTES);
	must(sp_get_frame(w->in, &more) == 0 && more >= 4 && more <= ROOM, 26);
	take(w->fd, w->in, more);
	must(message_decode(ret, w->in + 4, more - 4, NULL) == REASON_NONE, 27);
	must(ret->type == wanted, 28);
}

static void
hello(struct worker *w, struct message *m)
{
	struct wire_writer out = writer(w);

	*m = (struct message){ .type = MESSAGE_HELLO };
	must(getentropy(m->sid, sizeof(m->sid)) == 0, 29);
	message_put_hello(&out, m);
	ask(w, &out, MESSAGE_NEW, m);
	w->ticket = m->ticket;
}

static void
define(struct worker *w, struct message *m)
{
	static const struct {
		const char *name;
		enum message_kind kind;
		enum message_merge merge;
	} metrics[] = {
		{ "churn_total", MESSAGE_COUNTER, MESSAGE_SUM },
		{ "churn_each", MESSAGE_GAUGE, MESSAGE_EACH },
		{ "churn_seconds", MESSAGE_HISTOGRAM, MESSAGE_SUM },
	};
	struct wire_writer out = writer(w);
	size_t begun = message_begin_define(&out, w->ticket, ++w->n);
	uint8_t bound[8];

	wire_store_u64(bound, wire_bits(1));
	for (uint32_t i = 0; i < 3; i++) {
		struct message_metric metric = { .id = i,
			.kind = metrics[i].kind,
			.merge = metrics[i].merge,
			.name = wire_text(metrics[i].name),
			.help = wire_text(""),
			.n_bounds = metrics[i].kind == MESSAGE_HISTOGRAM,
			.bounds = bound };
		struct message_child child = { .metric = i, .cell = i };

		message_put_metric(&out, &metric);
		message_put_child(&out, &child);
	}
	message_end(&out, begun, 6);
	ask(w, &out, MESSAGE_ACK, m);
	must(m->count == 0, 30);
}

static void
update(struct worker *w, struct message *m, double count)
{
	struct wire_writer out = writer(w);
	size_t begun = message_begin_update(&out, w->ticket, ++w->n);

	message_put_record(&out, 0, wire_bits(count));
	message_put_record(&out, 1, wire_bits(1));
	message_put_record(&out, 2, wire_bits(1)); /* 0.5: below the bound */
	message_put_record(&out, 3, wire_bits(0));
	message_put_record(&out, 4, wire_bits(0.5));
	message_end(&out, begun, 5);
	ask(w, &out, MESSAGE_ACK, m);
}

static void
work(const char *path, int kind, double count)
{
	static struct worker w;
	static struct message m;
	struct wire_writer out;

	w.n = 0;
	enter(&w, path);
	hello(&w, &m);
	define(&w, &m);
	update(&w, &m, count);
	if (kind < 6)
		raise(SIGKILL);
	if (kind == 6 || kind == 7) {
		out = writer(&w);
		message_put_bye(&out, w.ticket);
		ask(&w, &out, MESSAGE_OK, &m);
	}
	if (kind == 9)
		close(w.fd);
}

static void
wait_one(void)
{
	int status;

	must(wait(&status) > 0, 31);
	must(status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL), 32);
}

int
main(int argc, char **argv)
{
	long n = argc == 3 ? atol(argv[2]) : 0, running = 0, total = 0;

	for (long i = 0; i < n; i++) {
		int kind = (int)(i % 10);
		long count = 1 + i % 3;
		pid_t pid;

		total += count;
		if (kind == 9) {
			work(argv[1], kind, (double)count);
			continue;
		}
		if (running == AT_ONCE)
			wait_one();
		else
			running++;
		pid = fork();
		must(pid >= 0, 33);
		if (pid == 0) {
			work(argv[1], kind, (double)count);
			_exit(0);
		}
	}
	for (; running > 0; running--)
		wait_one();
	printf("total %ld\n", total);
	return 0;
}
