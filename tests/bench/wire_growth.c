/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many workers in one process, each with a connection of its own on which it speaks the
 * protocol.
 *
 * wire_growth PATH workers N SERIES
 *	says "ready" when N workers have reported SERIES counters each, the same for all,
 *	and stays to the end of its input
 * wire_growth PATH batch N RECORDS SECONDS
 *	N workers send RECORDS counters in a message, all of them before the first waits;
 *	prints million records a second
 */
#include <err.h>
#include <stdbool.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "bench.h"
#include "message.h"
#include "sp.h"

#define ROOM		(1 << 18)
#define DEFINED_AT_ONCE 1000
#define HEAD_BYTES	(SP_FRAME_BYTES + 4)

struct worker {
	int fd;
	struct message_ticket ticket;
	uint64_t n;
	double count;
};

static uint8_t in[ROOM], out[ROOM];

static void
take(int fd, uint8_t *to, size_t n)
{
	while (n > 0) {
		ssize_t got = read(fd, to, n);

		if (got <= 0)
			err(1, "the daemon's answer");
		to += got;
		n -= (size_t)got;
	}
}

static void
give(int fd, const uint8_t *from, size_t n)
{
	while (n > 0) {
		ssize_t put = send(fd, from, n, MSG_NOSIGNAL);

		if (put <= 0)
			err(1, "a message");
		from += put;
		n -= (size_t)put;
	}
}

static struct wire_writer
writer(void)
{
	struct wire_writer w;

	wire_writer_init(&w, out + HEAD_BYTES, ROOM - HEAD_BYTES);
	return w;
}

static void
ask(const struct worker *w, const struct wire_writer *request)
{
	if (request->failed)
		errx(1, "a message is too long");
	sp_put_frame(out, 4 + request->bytes);
	sp_put_request_id(out + SP_FRAME_BYTES, 1);
	give(w->fd, out, HEAD_BYTES + request->bytes);
}

static void
hear(const struct worker *w, enum message_type wanted, struct message *ret)
{
	uint64_t more = 0;

	take(w->fd, in, SP_FRAME_BYTES);
	if (sp_get_frame(in, &more) != 0 || more < 4 || more > ROOM)
		errx(1, "an answer that is none");
	take(w->fd, in, more);
	if (message_decode(ret, in + 4, more - 4, NULL) != REASON_NONE ||
	    ret->type != wanted)
		errx(1, "another answer than %s", message_type_word(wanted));
	if (wanted == MESSAGE_ACK && ret->count > 0)
		errx(1, "something was refused");
}

static void
enter(struct worker *w, const char *path)
{
	static struct message m;
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	uint8_t head[SP_HEADER_BYTES];
	struct wire_writer hello = writer();

	snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
	w->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (w->fd < 0 || connect(w->fd, (struct sockaddr *)&at, sizeof(at)) != 0)
		err(1, "%s", path);
	sp_put_header(head, SP_REQ);
	give(w->fd, head, sizeof(head));
	take(w->fd, head, sizeof(head));
	m = (struct message){ .type = MESSAGE_HELLO };
	if (getentropy(m.sid, sizeof(m.sid)) != 0)
		err(1, "random bytes");
	message_put_hello(&hello, &m);
	ask(w, &hello);
	hear(w, MESSAGE_NEW, &m);
	w->ticket = m.ticket;
}

/* The counters from first on, at most DEFINED_AT_ONCE. */
static void
define(struct worker *w, uint32_t first, uint32_t end)
{
	static struct message m;
	struct message_metric metric = { .kind = MESSAGE_COUNTER,
		.name = wire_text("growth_total"),
		.help = wire_text("What grows."),
		.n_variable = 1,
		.variable_name = { wire_text("series") } };
	struct wire_writer request = writer();
	size_t begun = message_begin_define(&request, w->ticket, ++w->n);

	if (first == 0)
		message_put_metric(&request, &metric);
	for (uint32_t i = first; i < end; i++) {
		char text[16];
		struct message_child child = { .cell = i, .n_values = 1 };

		snprintf(text, sizeof(text), "%u", i);
		child.value[0] = wire_text(text);
		message_put_child(&request, &child);
	}
	message_end(&request, begun, end - first + (first == 0));
	ask(w, &request);
	hear(w, MESSAGE_ACK, &m);
}

static void
define_all(struct worker *w, uint32_t series)
{
	for (uint32_t i = 0; i < series; i += DEFINED_AT_ONCE)
		define(w, i, series - i < DEFINED_AT_ONCE ? series : i + DEFINED_AT_ONCE);
}

static void
update(struct worker *w, uint32_t records)
{
	struct wire_writer request = writer();
	size_t begun = message_begin_update(&request, w->ticket, ++w->n);

	w->count++;
	for (uint32_t i = 0; i < records; i++)
		message_put_record(&request, i, wire_bits(w->count));
	message_end(&request, begun, records);
	ask(w, &request);
}

static int
stay(struct worker *workers, int n)
{
	char rest[16];

	puts("ready");
	fflush(stdout);
	while (read(STDIN_FILENO, rest, sizeof(rest)) > 0)
		;
	for (int i = 0; i < n; i++)
		close(workers[i].fd);
	return 0;
}

static int
send_batches(struct worker *workers, int n, uint32_t records, double seconds)
{
	static struct message m;
	double began_s = bench_now_s(), now_s, sent = 0;

	do {
		for (int i = 0; i < n; i++)
			update(&workers[i], records);
		for (int i = 0; i < n; i++)
			hear(&workers[i], MESSAGE_ACK, &m);
		sent += (double)records * n;
		now_s = bench_now_s();
	} while (now_s < began_s + seconds);
	return bench_print(sent / (now_s - began_s) / 1e6);
}

int
main(int argc, char **argv)
{
	static struct message m;
	bool batch = argc == 6 && strcmp(argv[2], "batch") == 0;
	int n = argc > 4 ? atoi(argv[3]) : 0;
	uint32_t series = argc > 4 ? (uint32_t)atoi(argv[4]) : 0;
	struct worker *workers = calloc((size_t)n + 1, sizeof(*workers));

	if (workers == NULL || n < 1 || series < 1)
		errx(2, "wire_growth PATH workers|batch N SERIES [SECONDS]");
	for (int i = 0; i < n; i++) {
		enter(&workers[i], argv[1]);
		define_all(&workers[i], series);
		update(&workers[i], series);
		hear(&workers[i], MESSAGE_ACK, &m);
	}
	int status =
	    batch ? send_batches(workers, n, series, atof(argv[5])) : stay(workers, n);
	free(workers);
	return status;
}
