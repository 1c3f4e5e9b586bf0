/* SPDX-License-Identifier: Apache-2.0 */
/* What the service manager is told, and when. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "manager.h"
#include "service.h"
#include "suite.h"

#define ADD_TWO \
	"{\"metrics\":[{\"name\":\"a\",\"type\":\"counter\",\"inc\":1}," \
	"{\"name\":\"b\",\"type\":\"gauge\",\"set\":1}]}"
#define WATCHDOG_US 100000

static const struct service_figures none, some = { 3, 120 };

static struct service s;
static struct manager m;
static struct rig r;

static void
set_stage(void)
{
	rig_make(&r);
	manager_make(&m, &r);
}

static void
clear_stage(void)
{
	manager_remove(&m);
	rig_remove(&r, NULL);
}

static void
hear(const char *text)
{
	ck_assert_str_eq(manager_hear(&m), text);
}

/* ---- At which time: a service by itself --------------------------------- */

/* The manager of this process. */
static void
begin(uint64_t watchdog_us)
{
	m.watchdog_us = watchdog_us;
	manager_prepare(&m);
	service_begin(&s);
}

static void
end(void)
{
	service_end(&s);
	clear_stage();
}

/* The manager takes no more. Its queue is as long as the machine says, hundreds at most.
 */
static void
fill(void)
{
	for (int i = 0; i < 3000; i++)
		service_is_reloading(&s);
}

START_TEST(nothing_is_ever_due_without_a_manager)
{
	/* The last one is left over from somebody who has gone. */
	static const char *const sockets[] = { NULL, "", "/nonexistent/notify" };

	setenv("WATCHDOG_USEC", "1000", 1);
	for (size_t i = 0; i < sizeof(sockets) / sizeof(sockets[0]); i++) {
		unsetenv("NOTIFY_SOCKET");
		if (sockets[i])
			setenv("NOTIFY_SOCKET", sockets[i], 1);
		service_begin(&s);
		service_is_ready(&s, "HTTP disabled", &none, 1000);
		ck_assert_uint_eq(service_due_ms(&s, 1000), UINT64_MAX);
		service_turn(&s, &some, 90000);
		ck_assert_uint_eq(service_due_ms(&s, 90000), UINT64_MAX);
	}
	manager_forget();
}
END_TEST

START_TEST(nothing_is_due_while_nothing_changes)
{

	begin(0);
	service_is_ready(&s, "HTTP port 8081", &some, 1000);
	hear("READY=1\nSTATUS=HTTP port 8081, 3 workers, 120 series");
	service_turn(&s, &some, 90000);
	ck_assert_uint_eq(service_due_ms(&s, 90000), UINT64_MAX);
	ck_assert(!manager_hears(&m));
}
END_TEST

START_TEST(what_changes_is_said_once_a_second)
{
	struct service_figures now = { 0, 0 };

	begin(0);
	service_is_ready(&s, "HTTP port 1", &now, 1000);
	hear("READY=1\nSTATUS=HTTP port 1, 0 workers, 0 series");
	for (uint64_t ms = 1000; ms < 2000; ms += 100) {
		now.workers++;
		service_turn(&s, &now, ms);
		ck_assert_uint_eq(service_due_ms(&s, ms), 2000 - ms);
	}
	ck_assert(!manager_hears(&m));
	service_turn(&s, &now, 2000);
	hear("STATUS=HTTP port 1, 10 workers, 0 series");
	ck_assert_uint_eq(service_due_ms(&s, 2000), UINT64_MAX);
	/* It is said at once what comes after a quiet second, */
	now.series++;
	service_turn(&s, &now, 3000);
	hear("STATUS=HTTP port 1, 10 workers, 1 series");
	/* and nothing when all is as it was. */
	now.series++;
	service_turn(&s, &now, 3100);
	now.series--;
	service_turn(&s, &now, 3200);
	ck_assert_uint_eq(service_due_ms(&s, 3200), UINT64_MAX);
	service_turn(&s, &now, 9000);
	ck_assert(!manager_hears(&m));
}
END_TEST

START_TEST(the_watchdog_is_fed_twice_in_its_time)
{

	begin(30000000);
	/* Nobody watches before it is ready. */
	service_is_ready(&s, "HTTP disabled", &none, 5000);
	manager_hear(&m);
	ck_assert_uint_eq(service_due_ms(&s, 5000), 15000);
	service_turn(&s, &none, 19999);
	ck_assert_uint_eq(service_due_ms(&s, 19999), 1);
	ck_assert(!manager_hears(&m));
	service_turn(&s, &none, 20000);
	hear("WATCHDOG=1");
	ck_assert_uint_eq(service_due_ms(&s, 20000), 15000);
	/* Late, and on from there. */
	service_turn(&s, &none, 90000);
	hear("WATCHDOG=1");
	ck_assert_uint_eq(service_due_ms(&s, 90000), 15000);
	ck_assert(!manager_hears(&m));
}
END_TEST

START_TEST(what_the_watchdog_did_not_get_comes_long_before_its_time_is_over)
{

	begin(30000000);
	service_is_ready(&s, "HTTP disabled", &none, 5000);
	fill();
	service_turn(&s, &none, 20000);
	ck_assert_uint_le(service_due_ms(&s, 20000), 2000);
	ck_assert_uint_ge(service_due_ms(&s, 20000), 1000);
	while (manager_hears(&m))
		ck_assert_str_ne(manager_hear(&m), "WATCHDOG=1");
	service_turn(&s, &none, 22000);
	hear("WATCHDOG=1");
	ck_assert_uint_eq(service_due_ms(&s, 22000), 15000);
}
END_TEST

START_TEST(a_watchdog_in_less_than_no_time_is_fed_all_the_same)
{

	begin(1);
	service_is_ready(&s, "HTTP disabled", &none, 5);
	manager_hear(&m);
	ck_assert_uint_eq(service_due_ms(&s, 5), 1);
}
END_TEST

START_TEST(a_manager_that_takes_no_more_is_not_waited_for)
{
	struct service_figures now = { 0, 0 };
	const char *text;

	begin(2000);
	fill();
	service_is_ready(&s, "HTTP port 1", &now, 1000);
	for (uint64_t ms = 1000; ms < 9000; ms += 100)
		service_turn(&s, &now, ms);
	ck_assert_uint_eq(service_due_ms(&s, 8900), 1);
	while (manager_hears(&m)) {
		text = manager_hear(&m);
		ck_assert_int_eq(strncmp(text, "RELOADING", 9), 0);
	}
	/* It is told that all is ready as soon as it listens again. */
	ck_assert(!s.is_ready);
	service_turn(&s, &now, 9900);
	hear("WATCHDOG=1");
	hear("READY=1\nSTATUS=HTTP port 1, 0 workers, 0 series");
	now.workers = 1;
	service_turn(&s, &now, 10900);
	hear("WATCHDOG=1");
	hear("STATUS=HTTP port 1, 1 workers, 0 series");
}
END_TEST

START_TEST(what_takes_long_asks_for_more_time)
{

	begin(0);
	service_is_loading(&s, 2500);
	hear("STATUS=loading what was kept\nEXTEND_TIMEOUT_USEC=2500000");
	service_is_saving(&s, 3500);
	hear("STATUS=writing the last snapshot\nEXTEND_TIMEOUT_USEC=3500000");
}
END_TEST

/* ---- Of a real daemon --------------------------------------------------- */

static void
start(void)
{
	struct rig_setting setting = manager_setting(&m);

	rig_serve(&r, &setting);
}

static void
stop(void)
{
	kill(r.pid, SIGTERM);
	rig_wait_ended(&r);
	clear_stage();
}

START_TEST(a_life_is_told_in_order)
{
	const char *text;
	char ready[128];

	start();
	text = manager_hear(&m);
	rig_check_says(text, "STATUS=loading what was kept");
	snprintf(ready, sizeof(ready),
	    "READY=1\nSTATUS=HTTP port %u, 0 workers, 0 series", r.port);
	hear(ready);
	kill(r.pid, SIGTERM);
	hear("STOPPING=1\nSTATUS=answering what came before the end");
	text = manager_hear(&m);
	rig_check_says(text, "STATUS=writing the last snapshot");
	rig_wait_ended(&r);
	ck_assert(!manager_hears(&m));
	clear_stage();
}
END_TEST

START_TEST(who_is_ready_answers)
{

	start();
	manager_hear_until(&m, "READY=1");
	rig_count(&r, "n", 1);
	ck_assert_double_eq(rig_sample(&r, "dynamo_n"), 1);
	stop();
}
END_TEST

START_TEST(a_start_that_fails_is_never_ready)
{
	struct rig_setting setting;

	setting = manager_setting(&m);
	rig_write_file(r.socket, "no socket");
	rig_fail(&r, &setting);
	while (manager_hears(&m))
		ck_assert_ptr_null(strstr(manager_hear(&m), "READY"));
	manager_remove(&m);
	rig_remove(&r, "ingest.ipc");
}
END_TEST

/* It has MONOTONIC_USEC, of now. */
static void
hear_reloading(uint64_t before_ms)
{
	const char *text = manager_hear_until(&m, "RELOADING=1\nMONOTONIC_USEC=");
	uint64_t us = strtoull(strrchr(text, '=') + 1, NULL, 10);

	ck_assert_uint_ge(us / 1000, before_ms);
	ck_assert_uint_le(us / 1000, rig_now_ms());
}

START_TEST(a_reload_is_told_and_its_end_too_when_the_file_is_bad)
{
	uint64_t before_ms = rig_now_ms();
	char file[128];

	start();
	manager_hear_until(&m, "READY=1");
	rig_reload(&r, "{\"ingest\": {\"grace_ms\": 1000}}");
	hear_reloading(before_ms);
	hear("READY=1");
	snprintf(file, sizeof(file), "%s/config", r.folder);
	rig_write_file(file, "{\"ingest\": {\"grace_ms\": \"x\"}}");
	kill(r.pid, SIGHUP);
	hear_reloading(before_ms);
	hear("READY=1");
	rig_wait_logged(&r, "the configuration stays as it was");
	unlink(file);
	stop();
}
END_TEST

START_TEST(the_status_follows_series)
{
	int fd;

	start();
	fd = rig_open(&r, SP_REQ);
	rig_send_text(fd, 1, ADD_TWO);
	rig_receive_ok(fd, 1);
	while (strstr(manager_hear(&m), ", 0 workers, 2 series") == NULL)
		;
	close(fd);
	stop();
}
END_TEST

START_TEST(the_watchdog_hears_of_a_loop_that_turns_and_of_no_other)
{

	m.watchdog_us = WATCHDOG_US;
	start();
	for (int i = 0; i < 5; i++)
		manager_hear_until(&m, "WATCHDOG=1");
	kill(r.pid, SIGSTOP);
	/* What was said before is still on its way; then it is quiet. */
	rig_pause_ms(3 * WATCHDOG_US / 1000);
	while (manager_hears(&m))
		manager_hear(&m);
	rig_pause_ms(3 * WATCHDOG_US / 1000);
	ck_assert(!manager_hears(&m));
	kill(r.pid, SIGCONT);
	manager_hear_until(&m, "WATCHDOG=1");
	stop();
}
END_TEST

START_TEST(the_watchdog_of_another_process_is_not_fed)
{

	m.watchdog_us = WATCHDOG_US;
	m.watches_another = true;
	start();
	manager_hear_until(&m, "READY=1");
	rig_pause_ms(3 * WATCHDOG_US / 1000);
	ck_assert(!manager_hears(&m));
	stop();
}
END_TEST

START_TEST(a_manager_that_has_gone_does_no_harm)
{

	m.watchdog_us = WATCHDOG_US;
	start();
	manager_hear_until(&m, "WATCHDOG=1");
	manager_remove(&m);
	rig_pause_ms(2 * WATCHDOG_US / 1000);
	rig_count(&r, "n", 1);
	rig_stop(&r);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("service");
	TCase *alone = tcase_create("alone"), *t = tcase_create("daemon");

	tcase_add_checked_fixture(alone, set_stage, end);
	tcase_add_checked_fixture(t, set_stage, NULL);
	tcase_set_timeout(t, 60);
	tcase_add_test(alone, nothing_is_ever_due_without_a_manager);
	tcase_add_test(alone, nothing_is_due_while_nothing_changes);
	tcase_add_test(alone, what_changes_is_said_once_a_second);
	tcase_add_test(alone, the_watchdog_is_fed_twice_in_its_time);
	tcase_add_test(
	    alone, what_the_watchdog_did_not_get_comes_long_before_its_time_is_over);
	tcase_add_test(alone, a_watchdog_in_less_than_no_time_is_fed_all_the_same);
	tcase_add_test(alone, a_manager_that_takes_no_more_is_not_waited_for);
	tcase_add_test(alone, what_takes_long_asks_for_more_time);
	tcase_add_test(t, a_life_is_told_in_order);
	tcase_add_test(t, who_is_ready_answers);
	tcase_add_test(t, a_start_that_fails_is_never_ready);
	tcase_add_test(t, a_reload_is_told_and_its_end_too_when_the_file_is_bad);
	tcase_add_test(t, the_status_follows_series);
	tcase_add_test(t, the_watchdog_hears_of_a_loop_that_turns_and_of_no_other);
	tcase_add_test(t, the_watchdog_of_another_process_is_not_fed);
	tcase_add_test(t, a_manager_that_has_gone_does_no_harm);
	suite_add_tcase(suite, alone);
	suite_add_tcase(suite, t);
	return suite_run(suite);
}
