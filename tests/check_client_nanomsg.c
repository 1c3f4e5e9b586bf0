/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The library against unmodified libnanomsg: a REP server in a process of its own that
 * answers NEW and ACK, and tells its parent through a pipe what cell 0 is.
 */
#include <fcntl.h>
#include <nanomsg/nn.h>
#include <nanomsg/reqrep.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <dynamo/metrics.h>

#include "after_fork.h"
#include "message.h"
#include "suite.h"

#define PATIENT_MS 60000

static char folder[64], address[96];
static pid_t server;
static int values = -1; /* of the pipe */
static dynm_runtime *rt;
static dynm_counter counter;

/* ---- The server -------------------------------------------------------- */

static size_t
answer(const struct message *m, int tell, uint8_t *out, size_t room)
{
	struct message welcome = { .type = MESSAGE_NEW,
		.ticket = { (uint64_t)getpid(), 1 },
		.worker = wire_text("0"),
		.version = wire_text("nanomsg"),
		.lease_ms = 1000,
		.message_bytes = 1U << 20 };
	struct wire_writer w;

	wire_writer_init(&w, out, room);
	if (m->type == MESSAGE_HELLO)
		message_put_welcome(&w, &welcome);
	else if (m->type == MESSAGE_BYE)
		message_put_ok(&w);
	else
		message_end(&w, message_begin_ack(&w, m->n), 0);
	if (m->type == MESSAGE_UPDATE)
		for (uint32_t i = 0; i < m->count; i++)
			if (wire_load_u32(m->records + 12 * i) == 0 &&
			    write(tell, m->records + 12 * i + 4, 8) != 8)
				_exit(3);
	return w.bytes;
}

static void
serve(int tell)
{
	int s = nn_socket(AF_SP, NN_REP);
	uint8_t out[256];
	struct message m;
	void *in;
	int n;

	if (s < 0 || nn_bind(s, address) < 0)
		_exit(1);
	while ((n = nn_recv(s, &in, NN_MSG, 0)) >= 0) {
		if (message_decode(&m, in, (size_t)n, NULL) != REASON_NONE)
			_exit(2);
		if (nn_send(s, out, answer(&m, tell, out, sizeof(out)), 0) < 0)
			_exit(4);
		nn_freemsg(in);
	}
	_exit(5);
}

static void
start_server(void)
{
	int fds[2];

	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	server = fork_safely();
	ck_assert_int_ge(server, 0);
	if (server == 0)
		serve(fds[1]);
	close(fds[1]);
	values = fds[0];
}

static void
kill_server(int number)
{
	int status;

	ck_assert_int_eq(kill(server, number), 0);
	ck_assert_int_eq(waitpid(server, &status, 0), server);
	ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == number,
	    "the server ended by itself: %x", status);
	close(values);
	values = -1;
}

/* Wait until the server was told that the counter is at n. */
static void
expect_value(double n)
{
	struct pollfd p = { .fd = values, .events = POLLIN };
	uint64_t bits;

	do {
		ck_assert_int_eq(poll(&p, 1, PATIENT_MS), 1);
		ck_assert_int_eq(read(values, &bits, sizeof(bits)), sizeof(bits));
	} while (wire_double(bits) != n);
}

/* ---- The tests --------------------------------------------------------- */

static void
set_up(void)
{
	dynm_options o = { .address = address, .flush_ms = 20 };

	strcpy(folder, "/tmp/nanomsg-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(address, sizeof(address), "ipc://%s/s", folder);
	ck_assert_int_eq(dynm_open(&rt, &o, NULL), DYNM_OK);
	counter = dynm_counter_create(dynm_runtime_scope(rt), "c_total", "");
}

static void
tear_down(void)
{
	dynm_close(rt);
	kill_server(SIGKILL);
	unlink(address + strlen("ipc://"));
	ck_assert_int_eq(rmdir(folder), 0);
}

START_TEST(a_libnanomsg_server_that_comes_late_is_told_everything)
{
	dynm_counter_add(counter, 41);
	ck_assert_int_eq(dynm_flush(rt, 50), DYNM_EAGAIN);
	start_server();
	ck_assert_int_eq(dynm_flush(rt, PATIENT_MS), DYNM_OK);
	expect_value(41);
	dynm_counter_inc(counter);
	ck_assert_int_eq(dynm_flush(rt, PATIENT_MS), DYNM_OK);
	expect_value(42);
	ck_assert_int_eq(dynm_runtime_error(rt, NULL), DYNM_OK);
}
END_TEST

START_TEST(a_libnanomsg_server_that_is_killed_and_started_is_told_again)
{
	start_server();
	for (int i = 1; i <= 5; i++) {
		dynm_counter_inc(counter);
		ck_assert_int_eq(dynm_flush(rt, PATIENT_MS), DYNM_OK);
		expect_value(i);
		kill_server(SIGKILL);
		start_server();
		expect_value(i);
	}
}
END_TEST

START_TEST(messages_of_many_sizes_go_through)
{
	dynm_histogram_vec v = dynm_histogram_vec_create(
	    dynm_runtime_scope(rt), "h", "", DYNM_LABELS("i"), DYNM_BUCKETS_DEFAULT);
	char name[16];

	start_server();
	for (int n = 1, i = 0; n <= 10000; n *= 10) {
		for (; i < n; i++) {
			snprintf(name, sizeof(name), "%d", i);
			dynm_histogram_observe(dynm_with(v, name), i);
		}
		dynm_counter_inc(counter);
		ck_assert_int_eq(dynm_flush(rt, PATIENT_MS), DYNM_OK);
	}
	expect_value(5);
}
END_TEST

START_TEST(an_idle_connection_to_libnanomsg_is_kept_by_pings)
{
	start_server();
	dynm_counter_inc(counter);
	ck_assert_int_eq(dynm_flush(rt, PATIENT_MS), DYNM_OK);
	poll(NULL, 0, 1500); /* over the server's lease */
	dynm_counter_inc(counter);
	ck_assert_int_eq(dynm_flush(rt, PATIENT_MS), DYNM_OK);
	expect_value(2);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("client_nanomsg");
	TCase *t = tcase_create("nanomsg");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, a_libnanomsg_server_that_comes_late_is_told_everything);
	tcase_add_test(t, a_libnanomsg_server_that_is_killed_and_started_is_told_again);
	tcase_add_test(t, messages_of_many_sizes_go_through);
	tcase_add_test(t, an_idle_connection_to_libnanomsg_is_kept_by_pings);
	suite_add_tcase(s, t);
	return suite_run(s);
}
