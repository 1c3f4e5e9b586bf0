/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nanomsg.c - the application uses libnanomsg itself: between two sockets of its own, and
 * to send JSON to the same daemon.
 */
#include <nanomsg/nn.h>
#include <nanomsg/reqrep.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "acts.h"
#include "load.h"
#include "watch.h"

#define TIMEOUT_MS 20000

static const char json[] = "{\"namespace\":\"sacred\",\"metrics\":[{\"name\":\"json_"
			   "total\",\"type\":\"counter\","
			   "\"inc\":1}]}";

static int
open_socket(int protocol, const char *bind, const char *connect)
{
	int s = nn_socket(AF_SP, protocol), ms = TIMEOUT_MS;

	(void)nn_setsockopt(s, NN_SOL_SOCKET, NN_SNDTIMEO, &ms, sizeof(ms));
	(void)nn_setsockopt(s, NN_SOL_SOCKET, NN_RCVTIMEO, &ms, sizeof(ms));
	if (s < 0 || (bind && nn_bind(s, bind) < 0) ||
	    (connect && nn_connect(s, connect) < 0))
		noticed("libnanomsg: %s", nn_strerror(nn_errno()));
	return s;
}

static void
ask_ourselves(int asks, int answers, unsigned number)
{
	unsigned got = 0;

	if (nn_send(asks, &number, sizeof(number), 0) != sizeof(number) ||
	    nn_recv(answers, &got, sizeof(got), 0) != sizeof(got) ||
	    nn_send(answers, &got, sizeof(got), 0) != sizeof(got) ||
	    nn_recv(asks, &got, sizeof(got), 0) != sizeof(got) || got != number)
		noticed("libnanomsg: a round trip failed: %s", nn_strerror(nn_errno()));
}

static void
tell_daemon(int s)
{
	char reply[256];
	int n;

	__atomic_fetch_add(&tally->extra, 1, __ATOMIC_RELAXED);
	n = nn_send(s, json, sizeof(json) - 1, 0);
	if (n > 0)
		n = nn_recv(s, reply, sizeof(reply) - 1, 0);
	if (n <= 0 || !memmem(reply, (size_t)n, "true", 4))
		noticed("libnanomsg: the daemon did not take JSON");
}

void
act_nanomsg(double seconds)
{
	int64_t until = watch_ns() + (int64_t)(seconds * 1e9);
	const char *daemon = getenv("DYN_METRICSD_ADDRESS");
	char own[160];
	int answers, asks, tells;

	snprintf(own, sizeof(own), "%s.app", daemon);
	answers = open_socket(NN_REP, own, NULL);
	asks = open_socket(NN_REQ, NULL, own);
	tells = open_socket(NN_REQ, NULL, daemon);
	for (unsigned i = 0; watch_ns() < until && !noticed_any(); i++) {
		ask_ourselves(asks, answers, i);
		tell_daemon(tells);
		if (i % 64 == 0)
			watch_glance();
	}
	nn_close(tells);
	nn_close(asks);
	nn_close(answers);
	unlink(strchr(own, '/') + 2);
}
