/* SPDX-License-Identifier: Apache-2.0 */
/* The library's only socket. */
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "suite.h"
#include "transport.h"

START_TEST(a_daemon_that_left_raises_no_signal)
{
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	const uint8_t request[100] = { 1 };
	struct transport t;
	int end[2];

	ck_assert(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, end), 0);
	transport_init(&t, &lock, 1);
	t.fd = end[0];
	close(end[1]);
	transport_send(&t, request, sizeof(request));
	ck_assert_int_eq(transport_pump(&t), TRANSPORT_BROKEN);
	transport_free(&t);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("client_transport");
	TCase *c = tcase_create("all");

	tcase_add_test(c, a_daemon_that_left_raises_no_signal);
	suite_add_tcase(suite, c);
	return suite_run(suite);
}
