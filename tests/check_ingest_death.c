/* SPDX-License-Identifier: Apache-2.0 */
/* Workers that die, and what the daemon sees of it: real processes, killed for real. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "message.h"
#include "rig.h"
#include "suite.h"

#define FOLDED	"dynamo_metricsd_sessions_folded_total"
#define WORKERS "dynamo_metricsd_workers"

struct worker {
	int fd;
	struct message_ticket ticket;
	uint64_t n;
};

/* Send a request, and expect a reply of that type. */
static void
ask(struct worker *w, const struct wire_writer *request, enum message_type expected,
    struct message *ret)
{
	static uint8_t reply[65536];
	struct refusal r = { 0 };
	size_t n;

	ck_assert(!request->failed);
	rig_send(w->fd, 1, request->start, request->bytes);
	n = rig_receive(w->fd, 1, reply, sizeof(reply));
	ck_assert_int_eq(message_decode(ret, reply, n, &r), REASON_NONE);
	ck_assert_int_eq(ret->type, expected);
}

static struct worker
worker_hello(const struct rig *r)
{
	struct message hello = { .type = MESSAGE_HELLO, .version = wire_text("0") };
	struct worker w = { .fd = rig_open(r, SP_REQ) };
	uint8_t bytes[256];
	struct wire_writer out;
	struct message m;
	static uint32_t workers;
	pid_t pid = getpid();

	workers++;
	memcpy(hello.sid, &pid, sizeof(pid));
	memcpy(hello.sid + 8, &workers, sizeof(workers));
	wire_writer_init(&out, bytes, sizeof(bytes));
	message_put_hello(&out, &hello);
	ask(&w, &out, MESSAGE_NEW, &m);
	w.ticket = m.ticket;
	return w;
}

static void
worker_update(struct worker *w, double count, double level)
{
	uint8_t bytes[256];
	struct wire_writer out;
	struct message m;
	size_t begun;

	wire_writer_init(&out, bytes, sizeof(bytes));
	begun = message_begin_update(&out, w->ticket, ++w->n);
	message_put_record(&out, 0, wire_bits(count));
	message_put_record(&out, 1, wire_bits(level));
	message_end(&out, begun, 2);
	ask(w, &out, MESSAGE_ACK, &m);
}

/* Says HELLO, defines the counter `n` at cell 0 and the gauge `level` at cell 1. */
static struct worker
worker_begin(const struct rig *r)
{
	struct message_metric metrics[] = {
		{ .id = 1, .kind = MESSAGE_COUNTER, .name = wire_text("n") },
		{ .id = 2, .kind = MESSAGE_GAUGE, .name = wire_text("level") }
	};
	struct worker w = worker_hello(r);
	uint8_t bytes[1024];
	struct wire_writer out;
	struct message m;
	size_t begun;

	wire_writer_init(&out, bytes, sizeof(bytes));
	begun = message_begin_define(&out, w.ticket, ++w.n);
	for (uint32_t i = 0; i < 2; i++) {
		struct message_child child = { .metric = i + 1, .cell = i };

		message_put_metric(&out, &metrics[i]);
		message_put_child(&out, &child);
	}
	message_end(&out, begun, 4);
	ask(&w, &out, MESSAGE_ACK, &m);
	ck_assert_uint_eq(m.count, 0);
	worker_update(&w, 7, 3);
	return w;
}

/* A child that does something, tells its parent, and waits to be killed. */
static pid_t
spawn(void (*act)(const struct rig *r), const struct rig *r)
{
	char byte = 'x';
	int ends[2];
	pid_t pid;

	ck_assert_int_eq(pipe(ends), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		act(r);
		if (write(ends[1], &byte, 1) == 1)
			pause();
		_exit(1);
	}
	close(ends[1]);
	ck_assert_int_eq(read(ends[0], &byte, 1), 1);
	close(ends[0]);
	return pid;
}

static void
kill_hard(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void
report(const struct rig *r)
{
	worker_begin(r);
}

/* So that a worker is folded in time only if its death is seen. */
static const struct rig_setting patient = {
	.file = "{\"ingest\": {\"lease_ms\": 3600000, \"grace_ms\": 3600000}}"
};

START_TEST(a_killed_worker_is_folded_at_once)
{
	struct rig r;
	pid_t pid;

	rig_start(&r, &patient);
	pid = spawn(report, &r);
	ck_assert_double_eq(rig_sample(&r, WORKERS), 1);
	ck_assert_double_eq(rig_sample(&r, "dynamo_level"), 3);
	kill_hard(pid);
	rig_wait_sample(&r, FOLDED, 1);
	ck_assert_double_eq(rig_sample(&r, WORKERS), 0);
	ck_assert_double_eq(rig_sample(&r, "dynamo_n"), 7);
	ck_assert_double_eq(rig_sample(&r, "dynamo_level"), -1);
	rig_stop(&r);
}
END_TEST

/* The dead process stays as a zombie: nobody waits for it. */
START_TEST(a_killed_worker_that_nobody_waits_for_is_folded_at_once)
{
	struct rig r;
	pid_t pid;

	rig_start(&r, &patient);
	pid = spawn(report, &r);
	kill(pid, SIGKILL);
	rig_wait_sample(&r, FOLDED, 1);
	waitpid(pid, NULL, 0);
	rig_stop(&r);
}
END_TEST

static void
report_and_close(const struct rig *r)
{
	struct worker w = worker_begin(r);

	close(w.fd);
}

/* As a process does that takes its time to exit. */
START_TEST(a_worker_that_closes_and_dies_a_moment_later_is_folded_at_once)
{
	struct rig r;
	pid_t pid;

	rig_start(&r, &patient);
	pid = spawn(report_and_close, &r);
	rig_pause_ms(100);
	ck_assert_double_eq(rig_sample(&r, FOLDED), 0);
	kill_hard(pid);
	rig_wait_sample(&r, FOLDED, 1);
	rig_stop(&r);
}
END_TEST

START_TEST(a_worker_that_only_closes_is_not_folded_before_its_lease)
{
	const struct rig_setting setting = { .file = "{\"ingest\": {\"lease_ms\": 3000, "
						     "\"grace_ms\": 1000}}" };
	uint64_t began_ms;
	struct worker w;
	struct rig r;

	rig_start(&r, &setting);
	w = worker_begin(&r);
	began_ms = rig_now_ms();
	close(w.fd);
	rig_wait_sample(&r, "dynamo_metricsd_connections", 0);
	ck_assert_double_eq(rig_sample(&r, "dynamo_level"), 3);
	rig_wait_sample(&r, "dynamo_level", -1);
	ck_assert_uint_ge(rig_now_ms() - began_ms, 1000);
	ck_assert_double_eq(rig_sample(&r, FOLDED), 0);
	rig_wait_sample(&r, FOLDED, 1);
	ck_assert_uint_ge(rig_now_ms() - began_ms, 2900);
	ck_assert_double_eq(rig_sample(&r, "dynamo_n"), 7);
	rig_stop(&r);
}
END_TEST

/* Its process hangs on: only the lease can tell. */
START_TEST(a_worker_that_is_silent_is_folded_by_its_lease)
{
	const struct rig_setting setting = { .file = "{\"ingest\": {\"lease_ms\": 400, "
						     "\"grace_ms\": 100}}" };
	struct worker w;
	struct rig r;

	rig_start(&r, &setting);
	w = worker_begin(&r);
	rig_wait_sample(&r, FOLDED, 1);
	close(w.fd);
	rig_stop(&r);
}
END_TEST

/* A child that keeps the connection open until the daemon closes it. */
static void
hold_in_clone(int fd)
{
	char bytes[4096];

	if (fork() != 0)
		return;
	while (read(fd, bytes, sizeof(bytes)) > 0)
		;
	_exit(0);
}

static void
report_and_clone(const struct rig *r)
{
	struct worker w = worker_begin(r);

	hold_in_clone(w.fd);
}

START_TEST(a_killed_worker_is_folded_while_a_clone_holds_its_connection)
{
	struct rig r;
	pid_t pid;

	rig_start(&r, NULL);
	pid = spawn(report_and_clone, &r);
	ck_assert_double_eq(rig_sample(&r, "dynamo_level"), 3);
	kill_hard(pid);
	rig_wait_sample(&r, FOLDED, 1);
	ck_assert_double_eq(rig_sample(&r, "dynamo_n"), 7);
	ck_assert_double_eq(rig_sample(&r, "dynamo_level"), -1);
	ck_assert_double_eq(rig_sample(&r, "dynamo_metricsd_connections"), 0);
	rig_stop(&r);
}
END_TEST

/* Requests without waiting for replies, and death while they are on their way. */
static void
report_fast_and_die(struct worker *w)
{
	uint8_t bytes[64];
	struct wire_writer out;
	size_t begun;

	for (int i = 8; i <= 1000; i++) {
		wire_writer_init(&out, bytes, sizeof(bytes));
		begun = message_begin_update(&out, w->ticket, ++w->n);
		message_put_record(&out, 0, wire_bits(i));
		message_end(&out, begun, 1);
		rig_send(w->fd, 1, out.start, out.bytes);
	}
	kill(getpid(), SIGKILL);
}

START_TEST(what_came_before_the_death_is_counted)
{
	struct rig r;
	pid_t pid;

	rig_start(&r, NULL);
	for (int i = 1; i <= 10; i++) {
		pid = fork();
		if (pid == 0) {
			struct worker w = worker_begin(&r);

			report_fast_and_die(&w);
		}
		waitpid(pid, NULL, 0);
		rig_wait_sample(&r, FOLDED, i);
		ck_assert_double_eq(rig_sample(&r, "dynamo_n"), 1000.0 * i);
	}
	rig_stop(&r);
}
END_TEST

/* An UPDATE of the counter, as a whole frame. */
static size_t
put_frame(struct worker *w, double count, uint8_t out[128])
{
	uint8_t *payload = out + SP_FRAME_BYTES + 4;
	struct wire_writer to;
	size_t begun;

	wire_writer_init(&to, payload, 100);
	begun = message_begin_update(&to, w->ticket, ++w->n);
	message_put_record(&to, 0, wire_bits(count));
	message_end(&to, begun, 1);
	sp_put_frame(out, 4 + to.bytes);
	memset(out + SP_FRAME_BYTES, 0x80, 4); /* the request's id */
	return SP_FRAME_BYTES + 4 + to.bytes;
}

/* More than the daemon reads at once, so that it answers the first of them in vain before
 * it has seen the last. */
START_TEST(what_came_before_a_close_is_counted_though_nobody_takes_the_answers)
{
	enum { UPDATES = 2500, ROUNDS = 5 };
	static uint8_t frames[UPDATES * 128];
	struct rig r;

	rig_start(&r, NULL);
	for (int i = 1; i <= ROUNDS; i++) {
		struct worker w = worker_begin(&r);
		size_t bytes = 0;

		for (int k = 8; k <= UPDATES; k++)
			bytes += put_frame(&w, k, frames + bytes);
		ck_assert_uint_gt(bytes, 2 * 65536);
		kill(r.pid, SIGSTOP);
		rig_write(w.fd, frames, bytes);
		close(w.fd);
		kill(r.pid, SIGCONT);
		rig_wait_sample(&r, "dynamo_metricsd_connections", 0);
		ck_assert_double_eq(rig_sample(&r, "dynamo_n"), (double)UPDATES * i);
	}
	rig_stop(&r);
}
END_TEST

START_TEST(what_came_before_the_death_is_counted_though_a_clone_lives)
{
	struct rig r;
	pid_t pid;

	rig_start(&r, NULL);
	for (int i = 1; i <= 10; i++) {
		pid = fork();
		if (pid == 0) {
			struct worker w = worker_begin(&r);

			/* There is no end of the connection to be seen. */
			hold_in_clone(w.fd);
			report_fast_and_die(&w);
		}
		waitpid(pid, NULL, 0);
		rig_wait_sample(&r, FOLDED, i);
		ck_assert_double_eq(rig_sample(&r, "dynamo_n"), 1000.0 * i);
	}
	rig_stop(&r);
}
END_TEST

static void
send_json_and_hand_over(const struct rig *r)
{
	int fd = rig_open(r, SP_REQ);
	const char *json =
	    "{\"metrics\":[{\"name\":\"j\",\"type\":\"counter\",\"inc\":1}]}";
	int ready[2];
	char byte;

	if (pipe(ready) != 0)
		_exit(1);
	rig_send_text(fd, 1, json);
	rig_receive_ok(fd, 1);
	if (fork() == 0) {
		/* The parent is killed; its connection goes on, since it has no session.
		 */
		close(ready[1]);
		ck_assert_int_eq(read(ready[0], &byte, 1), 0);
		rig_send_text(fd, 1, json);
		rig_receive_ok(fd, 1);
		_exit(0);
	}
}

START_TEST(a_child_may_go_on_with_a_connection_that_has_no_session)
{
	struct rig r;
	pid_t pid;

	rig_start(&r, NULL);
	pid = spawn(send_json_and_hand_over, &r);
	kill_hard(pid);
	rig_wait_sample(&r, "dynamo_j", 2);
	rig_wait_sample(&r, "dynamo_metricsd_connections", 0);
	rig_stop(&r);
}
END_TEST

START_TEST(the_dead_leave_no_descriptors_behind)
{
	uint64_t began_ms = 0;
	struct rig r;
	size_t before;

	rig_start(&r, NULL);
	before = rig_open_files(&r);
	for (int i = 0; i < 50; i++)
		kill_hard(spawn(report, &r));
	rig_wait_sample(&r, FOLDED, 50);
	ck_assert_double_eq(rig_sample(&r, "dynamo_n"), 350);
	while (rig_open_files(&r) > before && rig_again(&began_ms, "all are closed"))
		;
	rig_stop(&r);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("ingest_death");
	TCase *t = tcase_create("ingest_death");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, a_killed_worker_is_folded_at_once);
	tcase_add_test(t, a_killed_worker_that_nobody_waits_for_is_folded_at_once);
	tcase_add_test(t, a_worker_that_closes_and_dies_a_moment_later_is_folded_at_once);
	tcase_add_test(t, a_worker_that_only_closes_is_not_folded_before_its_lease);
	tcase_add_test(t, a_worker_that_is_silent_is_folded_by_its_lease);
	tcase_add_test(t, a_killed_worker_is_folded_while_a_clone_holds_its_connection);
	tcase_add_test(t, what_came_before_the_death_is_counted);
	tcase_add_test(
	    t, what_came_before_a_close_is_counted_though_nobody_takes_the_answers);
	tcase_add_test(t, what_came_before_the_death_is_counted_though_a_clone_lives);
	tcase_add_test(t, a_child_may_go_on_with_a_connection_that_has_no_session);
	tcase_add_test(t, the_dead_leave_no_descriptors_behind);
	suite_add_tcase(s, t);
	return suite_run(s);
}
