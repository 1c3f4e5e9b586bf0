/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peer_nng MODE ADDRESS [ADDRESS] - unmodified nng, at the other end of a test.
 *
 *	req	a REQ socket, connected
 *	push	a PUSH socket, connected
 *	device	a device between the first address (bound) and the second
 *
 * The first two read messages in hex, a line each, and write the answers in hex. Prints
 * "ready" first.
 */
#include <err.h>

#include <nng/nng.h>
#include <nng/protocol/pipeline0/push.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>

#include "hex.h"

#define TIMEOUT_MS 10000

static void
must(const char *what, int failed)
{
	if (failed)
		errx(1, "%s: %s", what, nng_strerror(failed));
}

static void
ask(nng_socket s, const char *address, int has_answer)
{
	static uint8_t bytes[HEX_ROOM];

	must("nng_dial", nng_dial(s, address, NULL, 0));
	nng_socket_set_ms(s, NNG_OPT_RECVTIMEO, TIMEOUT_MS);
	nng_socket_set_ms(s, NNG_OPT_SENDTIMEO, TIMEOUT_MS);
	hex_ready();
	for (;;) {
		size_t n = hex_read(bytes);

		must("nng_send", nng_send(s, bytes, n, 0));
		n = sizeof(bytes);
		if (has_answer)
			must("nng_recv", nng_recv(s, bytes, &n, 0));
		hex_write(bytes, has_answer ? n : 0);
	}
}

static void
forward(const char *front, const char *back)
{
	nng_socket f, b;

	must("nng_rep0_open_raw", nng_rep0_open_raw(&f));
	must("nng_req0_open_raw", nng_req0_open_raw(&b));
	must("nng_dial", nng_dial(b, back, NULL, 0));
	must("nng_listen", nng_listen(f, front, NULL, 0));
	hex_ready();
	must("nng_device", nng_device(f, b));
}

int
main(int argc, char **argv)
{
	const char *mode = argc > 2 ? argv[1] : "";
	nng_socket s;

	if (strcmp(mode, "req") == 0) {
		must("nng_req0_open", nng_req0_open(&s));
		ask(s, argv[2], 1);
	} else if (strcmp(mode, "push") == 0) {
		must("nng_push0_open", nng_push0_open(&s));
		ask(s, argv[2], 0);
	} else if (strcmp(mode, "device") == 0 && argc > 3) {
		forward(argv[2], argv[3]);
	} else {
		errx(2, "usage: peer_nng MODE ADDRESS [ADDRESS]");
	}
	return 1;
}
