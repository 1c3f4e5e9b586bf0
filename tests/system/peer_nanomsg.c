/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peer_nanomsg MODE ADDRESS [ADDRESS] - unmodified libnanomsg, for a test to talk to.
 *
 *	req, raw	a REQ socket, cooked or raw, connected
 *	impatient	a REQ socket that sends again after RESEND_MS
 *	push		a PUSH socket, connected
 *	device		a device between the first address (bound) and the second
 *	rep		a REP socket, bound, that plays the daemon
 *
 * The first four read messages in hex, a line each, and write the answers in hex. rep
 * writes a line for each cell it is told: its number and its bits. Prints "ready" first.
 */
#include <err.h>
#include <inttypes.h>

#include <nanomsg/nn.h>
#include <nanomsg/pipeline.h>
#include <nanomsg/reqrep.h>

#include "hex.h"
#include "message.h"

#define TIMEOUT_MS 10000
#define RESEND_MS  50

/* ---- Sockets ---------------------------------------------------------------- */

static int
open_socket(int domain, int protocol, const char *bound, const char *connected)
{
	int s = nn_socket(domain, protocol), ms = TIMEOUT_MS;

	if (s < 0)
		errx(1, "nn_socket: %s", nn_strerror(nn_errno()));
	if (!bound) {
		nn_setsockopt(s, NN_SOL_SOCKET, NN_RCVTIMEO, &ms, sizeof(ms));
		nn_setsockopt(s, NN_SOL_SOCKET, NN_SNDTIMEO, &ms, sizeof(ms));
	}
	if (bound && nn_bind(s, bound) < 0)
		errx(1, "nn_bind %s: %s", bound, nn_strerror(nn_errno()));
	if (connected && nn_connect(s, connected) < 0)
		errx(1, "nn_connect %s: %s", connected, nn_strerror(nn_errno()));
	hex_ready();
	return s;
}

static void
ask(const char *address, int protocol, int resend_ms)
{
	static uint8_t bytes[HEX_ROOM];
	int s = open_socket(AF_SP, protocol, NULL, address), n;

	if (resend_ms)
		nn_setsockopt(
		    s, NN_REQ, NN_REQ_RESEND_IVL, &resend_ms, sizeof(resend_ms));
	for (;;) {
		size_t length = hex_read(bytes);

		if (nn_send(s, bytes, length, 0) < 0)
			errx(1, "nn_send: %s", nn_strerror(nn_errno()));
		if (protocol == NN_PUSH) {
			hex_write(NULL, 0);
			continue;
		}
		n = nn_recv(s, bytes, sizeof(bytes), 0);
		if (n < 0)
			errx(1, "nn_recv: %s", nn_strerror(nn_errno()));
		hex_write(bytes, (size_t)n);
	}
}

/* A raw socket gives and takes the backtrace as a control message: its size, then it. */
union control {
	struct nn_cmsghdr align;
	uint8_t bytes[128];
};

static void
ask_raw(const char *address)
{
	static uint8_t bytes[HEX_ROOM];
	int s = open_socket(AF_SP_RAW, NN_REQ, NULL, address), n;
	uint8_t id[4] = { 0x80, 0, 0, 0 };
	size_t id_bytes = sizeof(id);

	for (;;) {
		union control control = { .bytes = { 0 } };
		struct nn_iovec iov = { bytes, hex_read(bytes) };
		struct nn_msghdr m = { .msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = &control,
			.msg_controllen = NN_CMSG_SPACE(sizeof(size_t) + sizeof(id)) };
		struct nn_cmsghdr *c = NN_CMSG_FIRSTHDR(&m);

		id[3]++;
		c->cmsg_len = NN_CMSG_LEN(sizeof(size_t) + sizeof(id));
		c->cmsg_level = PROTO_SP;
		c->cmsg_type = SP_HDR;
		memcpy(NN_CMSG_DATA(c), &id_bytes, sizeof(id_bytes));
		memcpy(NN_CMSG_DATA(c) + sizeof(id_bytes), id, sizeof(id));
		if (nn_sendmsg(s, &m, 0) < 0)
			errx(1, "nn_sendmsg: %s", nn_strerror(nn_errno()));
		iov.iov_len = sizeof(bytes);
		m.msg_controllen = sizeof(control);
		n = nn_recvmsg(s, &m, 0);
		if (n < 0)
			errx(1, "nn_recvmsg: %s", nn_strerror(nn_errno()));
		c = NN_CMSG_FIRSTHDR(&m);
		if (memcmp(NN_CMSG_DATA(c) + sizeof(size_t), id, sizeof(id)) != 0)
			errx(1, "the answer to another request");
		hex_write(bytes, (size_t)n);
	}
}

static void
forward(const char *front, const char *back)
{
	int b = nn_socket(AF_SP_RAW, NN_REQ);

	if (b < 0 || nn_connect(b, back) < 0)
		errx(1, "%s: %s", back, nn_strerror(nn_errno()));
	nn_device(open_socket(AF_SP_RAW, NN_REP, front, NULL), b);
}

/* ---- A daemon of a few lines -------------------------------------------------- */

static void
answer(const struct message *m, struct wire_writer *w)
{
	struct message welcome = { .type = MESSAGE_NEW,
		.ticket = { 1, 1 },
		.worker = wire_text("0"),
		.version = wire_text("0"),
		.lease_ms = 15000,
		.message_bytes = 1 << 20,
		.max_series = 1000 };

	if (m->type == MESSAGE_HELLO)
		message_put_welcome(w, &welcome);
	else if (m->type == MESSAGE_BYE)
		message_put_ok(w);
	else
		message_end(w, message_begin_ack(w, m->n), 0);
	for (uint32_t i = 0; m->type == MESSAGE_UPDATE && i < m->count; i++)
		printf("%" PRIu32 " %016" PRIx64 "\n", wire_load_u32(m->records + 12 * i),
		    wire_load_u64(m->records + 12 * i + 4));
	fflush(stdout);
}

static void
play_daemon(const char *address)
{
	int s = open_socket(AF_SP, NN_REP, address, NULL), n;
	uint8_t reply[256];
	struct wire_writer w;
	struct message m;
	void *request;

	while ((n = nn_recv(s, &request, NN_MSG, 0)) >= 0) {
		if (message_decode(&m, request, (size_t)n, NULL) != REASON_NONE)
			errx(1, "a malformed request");
		wire_writer_init(&w, reply, sizeof(reply));
		answer(&m, &w);
		nn_freemsg(request);
		nn_send(s, reply, w.bytes, 0);
	}
	errx(1, "nn_recv: %s", nn_strerror(nn_errno()));
}

int
main(int argc, char **argv)
{
	const char *mode = argc > 2 ? argv[1] : "";

	if (strcmp(mode, "req") == 0)
		ask(argv[2], NN_REQ, 0);
	else if (strcmp(mode, "impatient") == 0)
		ask(argv[2], NN_REQ, RESEND_MS);
	else if (strcmp(mode, "raw") == 0)
		ask_raw(argv[2]);
	else if (strcmp(mode, "push") == 0)
		ask(argv[2], NN_PUSH, 0);
	else if (strcmp(mode, "device") == 0 && argc > 3)
		forward(argv[2], argv[3]);
	else if (strcmp(mode, "rep") == 0)
		play_daemon(argv[2]);
	else
		errx(2, "usage: peer_nanomsg MODE ADDRESS [ADDRESS]");
	return 1;
}
