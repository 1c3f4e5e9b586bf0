/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plain.c - a server on libnanomsg as anybody would write it, to see what an attack
 * does to one. It answers each request with the number of connections that it believes
 * to have.
 *
 *	plain ADDRESS
 */
#include <err.h>
#include <nanomsg/nn.h>
#include <nanomsg/reqrep.h>
#include <stdio.h>

int
main(int argc, char **argv)
{
	int s = nn_socket(AF_SP, NN_REP), n;
	char text[32];
	void *request;

	if (argc != 2 || s < 0 || nn_bind(s, argv[1]) < 0)
		errx(1, "%s", nn_strerror(nn_errno()));
	while (nn_recv(s, &request, NN_MSG, 0) >= 0) {
		nn_freemsg(request);
		n = snprintf(text, sizeof(text), "%llu",
		    (unsigned long long)nn_get_statistic(s, NN_STAT_CURRENT_CONNECTIONS));
		nn_send(s, text, (size_t)n, 0);
	}
	return 1;
}
