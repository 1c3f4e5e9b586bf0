/* SPDX-License-Identifier: Apache-2.0 */
/* The workers' socket, with a real daemon behind it: more than it can take. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "message.h"
#include "rig.h"
#include "suite.h"

#define ADD_ONE "{\"metrics\":[{\"name\":\"n\",\"type\":\"counter\",\"inc\":1}]}"

static void
pass_descriptors(int fd, const void *bytes, size_t n)
{
	enum { PASSED = 60 };
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(PASSED * sizeof(int))];
	} control = { 0 };
	struct iovec io = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = n };
	struct msghdr m = { .msg_iov = &io,
		.msg_iovlen = 1,
		.msg_control = control.room,
		.msg_controllen = sizeof(control.room) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	int all[PASSED];

	for (size_t i = 0; i < PASSED; i++)
		all[i] = STDIN_FILENO;
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(all));
	memcpy(CMSG_DATA(c), all, sizeof(all));
	ck_assert_int_eq(sendmsg(fd, &m, MSG_NOSIGNAL), (ssize_t)n);
}

START_TEST(descriptors_that_a_peer_passes_are_not_kept)
{
	uint8_t frame[SP_FRAME_BYTES + 4 + sizeof(ADD_ONE)];
	size_t n = SP_FRAME_BYTES + 4 + strlen(ADD_ONE);
	struct rig r;
	size_t before;
	int fd;

	rig_start(&r, NULL);
	fd = rig_open(&r, SP_REQ);
	rig_send_text(fd, 1, ADD_ONE);
	rig_receive_ok(fd, 1);
	before = rig_open_files(&r);
	sp_put_frame(frame, 4 + strlen(ADD_ONE));
	memcpy(frame + SP_FRAME_BYTES + 4, ADD_ONE, strlen(ADD_ONE));
	for (int i = 0; i < 10; i++) {
		sp_put_request_id(frame + SP_FRAME_BYTES, rig_request_id(fd));
		rig_note_sent(fd);
		pass_descriptors(fd, frame, n);
		rig_receive_ok(fd, 1);
	}
	ck_assert_uint_le(rig_open_files(&r), before);
	close(fd);
	rig_stop(&r);
}
END_TEST

/* Send status requests until the daemon takes no more. Returns how many went out whole.
 */
static size_t
send_until_blocked(int fd)
{
	uint8_t request[SP_FRAME_BYTES + 4 + 64];
	struct wire_writer w;
	size_t sent = 0, n;

	wire_writer_init(&w, request + SP_FRAME_BYTES + 4, 64);
	message_put_expose(&w, &(struct message_level){ 0 });
	sp_put_frame(request, 4 + w.bytes);
	n = SP_FRAME_BYTES + 4 + w.bytes;
	for (unsigned waited_ms = 0; waited_ms < 500;) {
		ssize_t got;

		sp_put_request_id(request + SP_FRAME_BYTES, rig_request_id(fd));
		got = send(fd, request, n, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (got < 0) {
			ck_assert_int_eq(errno, EAGAIN);
			rig_pause_ms(10);
			waited_ms += 10;
			continue;
		}
		if ((size_t)got < n)
			rig_write(fd, request + got, n - (size_t)got);
		rig_note_sent(fd);
		sent++;
		waited_ms = 0;
	}
	return sent;
}

START_TEST(a_peer_that_takes_no_replies_is_not_read)
{
	struct rig r;
	size_t before, sent;
	char *page = malloc(1 << 20);
	int fd;

	rig_start(&r, NULL);
	rig_count(&r, "n", 1);
	before = rig_resident_bytes(&r);
	fd = rig_open(&r, SP_REQ);
	sent = send_until_blocked(fd);
	ck_assert_uint_gt(sent, 100);
	ck_assert_uint_lt(rig_resident_bytes(&r), before + (16 << 20));
	rig_count(&r, "n", 1);
	rig_wait_logged(&r, "does not take its replies");
	/* It goes on when the peer does, and nothing is missing. */
	for (size_t i = 0; i < sent; i++)
		ck_assert_uint_gt(rig_receive(fd, 1, page, 1 << 20), 1000);
	rig_send_text(fd, 1, ADD_ONE);
	rig_receive_ok(fd, 1);
	close(fd);
	rig_stop(&r);
	free(page);
}
END_TEST

START_TEST(more_connections_than_allowed_are_closed_at_once)
{
	const struct rig_setting setting = { .file = "{\"ingest\": "
						     "{\"connections\": 4}}" };
	struct rig r;
	int fds[4], extra;

	rig_start(&r, &setting);
	for (int i = 0; i < 4; i++)
		fds[i] = rig_open(&r, SP_REQ);
	for (int i = 0; i < 3; i++) {
		extra = rig_connect(&r);
		rig_receive_end(extra);
		close(extra);
	}
	rig_wait_logged(&r, "there are 4 already (ingest.connections)");
	ck_assert_double_eq(
	    rig_sample(&r, "dynamo_metricsd_refused_total{reason=\"limit\"}"), 3);
	ck_assert_double_eq(rig_sample(&r, "dynamo_metricsd_connections"), 4);
	rig_send_text(fds[3], 1, ADD_ONE);
	rig_receive_ok(fds[3], 1);
	close(fds[0]);
	rig_wait_sample(&r, "dynamo_metricsd_connections", 3);
	rig_count(&r, "n", 1);
	for (int i = 1; i < 4; i++)
		close(fds[i]);
	rig_stop(&r);
}
END_TEST

START_TEST(few_descriptors_are_not_all_given_to_workers)
{
	enum { PEERS = 100 };
	const struct rig_setting setting = { .file = "{\"state\": {\"snapshot_ms\": 20}}",
		.open_files = 64 };
	struct rig r;
	int fds[PEERS];
	int old;

	rig_start(&r, &setting);
	old = rig_open(&r, SP_REQ);
	for (int i = 0; i < PEERS; i++)
		fds[i] = rig_connect(&r);
	rig_wait_logged(&r, "few descriptors (LimitNOFILE)");
	rig_send_text(old, 1, ADD_ONE);
	rig_receive_ok(old, 1);
	/* HTTP still has some. */
	ck_assert_double_gt(rig_sample(&r, "dynamo_metricsd_connections_closed_total{"
					   "cause=\"descriptors\",socket=\"ingest\"}"),
	    0);
	ck_assert_double_lt(rig_sample(&r, "process_open_fds"), 64 - 10);
	/* So have snapshots, and journals. */
	for (int i = 0; i < 10; i++) {
		rig_send_text(old, 1, ADD_ONE);
		rig_receive_ok(old, 1);
		rig_pause_ms(20);
	}
	ck_assert_double_eq(rig_sample(&r, "dynamo_metricsd_snapshot_failures_total"), 0);
	ck_assert_double_eq(rig_sample(&r, "dynamo_metricsd_journal_failures_total"), 0);
	ck_assert_double_gt(rig_sample(&r, "dynamo_metricsd_snapshot_bytes"), 0);
	for (int i = 0; i < PEERS; i++)
		close(fds[i]);
	rig_count(&r, "n", 1);
	close(old);
	rig_stop(&r);
}
END_TEST

START_TEST(without_descriptors_it_waits_and_the_old_peers_go_on)
{
	enum { PEERS = 100 };
	struct rlimit few;
	double cpu_seconds;
	struct rig r;
	int fds[PEERS];
	int old;

	rig_start(&r, NULL);
	old = rig_open(&r, SP_REQ);
	/* It does not know that it has so few. */
	ck_assert_int_eq(prlimit(r.pid, RLIMIT_NOFILE, NULL, &few), 0);
	few.rlim_cur = rig_open_files(&r) + 20;
	ck_assert_int_eq(prlimit(r.pid, RLIMIT_NOFILE, &few, NULL), 0);
	for (int i = 0; i < PEERS; i++)
		fds[i] = rig_connect(&r);
	rig_wait_logged(&r, strerror(EMFILE));
	cpu_seconds = rig_cpu_seconds(&r);
	for (int i = 0; i < 50; i++) {
		rig_send_text(old, 1, ADD_ONE);
		rig_receive_ok(old, 1);
		rig_pause_ms(10);
	}
	ck_assert_double_lt(rig_cpu_seconds(&r) - cpu_seconds, 0.25);
	for (int i = 0; i < PEERS; i++)
		close(fds[i]);
	rig_count(&r, "n", 1);
	rig_wait_sample(&r, "dynamo_n", 51);
	close(old);
	rig_stop(&r);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("ingest_limits");
	TCase *t = tcase_create("all");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, descriptors_that_a_peer_passes_are_not_kept);
	tcase_add_test(t, a_peer_that_takes_no_replies_is_not_read);
	tcase_add_test(t, more_connections_than_allowed_are_closed_at_once);
	tcase_add_test(t, few_descriptors_are_not_all_given_to_workers);
	tcase_add_test(t, without_descriptors_it_waits_and_the_old_peers_go_on);
	suite_add_tcase(s, t);
	return suite_run(s);
}
