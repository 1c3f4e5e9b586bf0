/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nanomsg.c - report without our library: plain nanomsg REQ, and JSON. It works the same
 * in every language that has nanomsg or nng. Build it with -lnanomsg.
 */
#include <nanomsg/nn.h>
#include <nanomsg/reqrep.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_ADDRESS "ipc:///run/dynamo-metricsd/ingest.ipc"

static const char message[] =
    "{\"namespace\":\"dynamo\",\"component\":\"nanomsg\",\"metrics\":["
    "{\"name\":\"jobs_total\",\"type\":\"counter\",\"help\":\"Jobs done.\",\"inc\":3},"
    "{\"name\":\"job_seconds\",\"type\":\"histogram\",\"buckets\":[0.5,1],"
    "\"observe\":[0.25,0.75]}]}";

static int
report(int s, const char *address)
{
	int timeout_ms = 5000, n;
	void *reply = NULL;

	/* Without them libnanomsg waits for ever when there is no daemon. */
	nn_setsockopt(s, NN_SOL_SOCKET, NN_SNDTIMEO, &timeout_ms, sizeof(timeout_ms));
	nn_setsockopt(s, NN_SOL_SOCKET, NN_RCVTIMEO, &timeout_ms, sizeof(timeout_ms));
	if (nn_connect(s, address) < 0 || nn_send(s, message, strlen(message), 0) < 0)
		return -1;
	n = nn_recv(s, &reply, NN_MSG, 0);
	if (n < 0)
		return -1;
	printf("%.*s\n", n, (const char *)reply);
	nn_freemsg(reply);
	return 0;
}

int
main(void)
{
	const char *address = getenv("DYN_METRICSD_ADDRESS");
	int s = nn_socket(AF_SP, NN_REQ);
	int failed = 1;

	if (s >= 0) {
		failed = report(s, address && *address ? address : DEFAULT_ADDRESS);
		if (failed)
			fprintf(stderr, "nanomsg: %s\n", nn_strerror(nn_errno()));
		nn_close(s);
	}
	return failed ? 1 : 0;
}
