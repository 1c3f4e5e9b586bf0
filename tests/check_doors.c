/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets that a service manager passes to the daemon. */
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "manager.h"
#include "suite.h"

#define ASK_LIVE "GET /live HTTP/1.1\r\nHost: test\r\n\r\n"

/* ---- A manager with sockets --------------------------------------------- */

/* What a test has: a rig, its manager, and sockets that outlive daemons. */
struct stage {
	struct rig rig;
	struct manager manager;
	int ingest;
	int http;
	uint16_t port;
};

static int
listen_tcp(uint16_t *ret_port)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t n = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, n), 0);
	ck_assert_int_eq(listen(fd, 100), 0);
	getsockname(fd, (struct sockaddr *)&a, &n);
	*ret_port = ntohs(a.sin_port);
	return fd;
}

static int
listen_unix(const char *path)
{
	int fd = rig_bind_unix(path, SOCK_STREAM);

	ck_assert_int_eq(listen(fd, 100), 0);
	return fd;
}

static void
set_stage(struct stage *s)
{
	rig_make(&s->rig);
	manager_make(&s->manager, &s->rig);
	s->ingest = listen_unix(s->rig.socket);
	ck_assert_int_eq(chmod(s->rig.socket, 0600), 0);
	s->http = listen_tcp(&s->port);
}

/* The usual stage: both are passed. */
static void
set_both(struct stage *s)
{
	set_stage(s);
	manager_pass(&s->manager, s->ingest, "ingest");
	manager_pass(&s->manager, s->http, "http");
}

static void
serve(struct stage *s, const char *const *environment)
{
	struct rig_setting setting = manager_setting(&s->manager);

	setting.environment = environment;
	rig_serve(&s->rig, &setting);
}

static void
end(struct stage *s)
{
	kill(s->rig.pid, SIGTERM);
	rig_wait_ended(&s->rig);
}

static void
clear_stage(struct stage *s)
{
	close(s->ingest);
	close(s->http);
	manager_remove(&s->manager);
	rig_remove(&s->rig, "ingest.ipc");
}

/* The sentence of a daemon that does not start. */
static const char *
fail_start(struct stage *s)
{
	struct rig_setting setting = manager_setting(&s->manager);

	return rig_fail(&s->rig, &setting);
}

/* ---- Sockets that were passed ------------------------------------------- */

START_TEST(passed_sockets_are_served_and_left_as_they_are)
{
	char text[200], path[256];
	mode_t usual = umask(0077);
	struct stage s;

	set_both(&s);
	serve(&s, NULL);
	umask(usual);
	ck_assert_uint_eq(s.rig.port, s.port);
	rig_count(&s.rig, "n", 1);
	ck_assert_double_eq(rig_sample(&s.rig, "dynamo_n"), 1);
	snprintf(text, sizeof(text), "workers at ipc://%s, http://127.0.0.1:%u/metrics",
	    s.rig.socket, s.port);
	ck_assert(rig_has_logged(&s.rig, text));
	/* For whoever gets into its folder. */
	rig_path(&s.rig, "http.port", path, sizeof(path));
	ck_assert_uint_eq(rig_mode(path), 0644);
	ck_assert_uint_eq(rig_mode(s.rig.socket), 0600);
	rig_path(&s.rig, "ingest.ipc.lock", path, sizeof(path));
	ck_assert(!rig_exists(path));
	end(&s);
	ck_assert_uint_eq(rig_mode(s.rig.socket), 0600);
	clear_stage(&s);
}
END_TEST

START_TEST(who_waits_while_there_is_no_daemon_is_served_by_the_next)
{
	char answer[4096];
	struct stage s;
	uint8_t header[SP_HEADER_BYTES];
	int http, worker;

	set_both(&s);
	serve(&s, NULL);
	rig_count(&s.rig, "n", 1);
	end(&s);
	worker = rig_connect(&s.rig);
	sp_put_header(header, SP_REQ);
	rig_write(worker, header, sizeof(header));
	rig_send_text(
	    worker, 1, "{\"metrics\":[{\"name\":\"n\",\"type\":\"counter\",\"inc\":1}]}");
	http = rig_http(&s.rig);
	rig_write(http, ASK_LIVE, strlen(ASK_LIVE));
	serve(&s, NULL);
	ck_assert_int_eq(recv(worker, header, sizeof(header), MSG_WAITALL), 8);
	rig_receive_ok(worker, 1);
	close(worker);
	ck_assert_int_gt(recv(http, answer, sizeof(answer), 0), 0);
	ck_assert_int_eq(strncmp(answer, "HTTP/1.1 200", 12), 0);
	close(http);
	ck_assert_double_eq(rig_sample(&s.rig, "dynamo_n"), 2);
	end(&s);
	clear_stage(&s);
}
END_TEST

START_TEST(who_waits_when_it_stops_is_answered_by_it_or_the_next)
{
	char answer[4096];
	struct stage s;
	int fd;

	set_both(&s);
	serve(&s, NULL);
	kill(s.rig.pid, SIGSTOP);
	fd = rig_http(&s.rig);
	rig_write(fd, ASK_LIVE, strlen(ASK_LIVE));
	kill(s.rig.pid, SIGTERM);
	kill(s.rig.pid, SIGCONT);
	rig_wait_ended(&s.rig);
	serve(&s, NULL);
	ck_assert_int_gt(recv(fd, answer, sizeof(answer), 0), 0);
	ck_assert_int_eq(strncmp(answer, "HTTP/1.1 200", 12), 0);
	close(fd);
	end(&s);
	clear_stage(&s);
}
END_TEST

START_TEST(one_of_them_is_enough)
{
	for (int i = 0; i < 2; i++) {
		struct stage s;

		set_stage(&s);
		if (i == 0)
			manager_pass(&s.manager, s.ingest, "ingest");
		else
			manager_pass(&s.manager, s.http, "http");
		if (i == 1)
			unlink(s.rig.socket); /* which is its own to make */
		serve(&s, NULL);
		ck_assert(i == 0 ? s.rig.port != s.port : s.rig.port == s.port);
		rig_count(&s.rig, "n", 1);
		ck_assert_double_eq(rig_sample(&s.rig, "dynamo_n"), 1);
		end(&s);
		ck_assert_int_eq(rig_exists(s.rig.socket), i == 0);
		if (i == 1)
			close(rig_bind_unix(s.rig.socket, SOCK_STREAM));
		clear_stage(&s);
	}
}
END_TEST

START_TEST(http_may_be_passed_as_a_unix_socket)
{
	char path[256], text[300];
	struct stage s;

	set_stage(&s);
	rig_path(&s.rig, "http.sock", path, sizeof(path));
	close(s.http);
	s.http = listen_unix(path);
	manager_pass(&s.manager, s.ingest, "ingest");
	manager_pass(&s.manager, s.http, "http");
	serve(&s, NULL);
	snprintf(text, sizeof(text), "HTTP at unix:%s\n", path);
	ck_assert(rig_has_logged(&s.rig, text));
	end(&s);
	ck_assert(rig_exists(path));
	unlink(path);
	clear_stage(&s);
}
END_TEST

START_TEST(sockets_for_another_process_are_not_taken)
{
	struct stage s;

	set_both(&s);
	unlink(s.rig.socket);
	s.manager.passes_to_another = true;
	serve(&s, NULL);
	ck_assert_uint_ne(s.rig.port, s.port);
	rig_count(&s.rig, "n", 1);
	end(&s);
	close(rig_bind_unix(s.rig.socket, SOCK_STREAM));
	clear_stage(&s);
}
END_TEST

START_TEST(the_runtime_folder_is_that_of_the_real_socket)
{
	static const char *const environment[] = {
		"DYN_METRICSD_ADDRESS=ipc:///nonexistent/x.ipc", NULL
	};
	char path[256];
	struct stage s;

	set_both(&s);
	serve(&s, environment);
	ck_assert(rig_has_logged(&s.rig,
	    "DYN_METRICSD_ADDRESS is not used: the service manager passed "
	    "the socket ingest, which is ipc:///tmp/"));
	rig_path(&s.rig, "http.port", path, sizeof(path));
	ck_assert(rig_exists(path));
	end(&s);
	clear_stage(&s);
}
END_TEST

START_TEST(what_is_configured_and_not_used_is_said)
{
	static const char *const environment[] = { "DYN_SYSTEM_PORT=4711", NULL };
	struct rig_setting setting;
	char port[64], url[64];
	const char *same[] = { port, NULL };
	struct stage s;

	set_both(&s);
	setting = manager_setting(&s.manager);
	setting.environment = environment;
	setting.file = "{\"http\": {\"host\": \"192.0.2.1\"}}";
	rig_serve(&s.rig, &setting);
	snprintf(url, sizeof(url), "http://127.0.0.1:%u", s.port);
	for (int i = 0; i < 2; i++) {
		char text[256];

		snprintf(text, sizeof(text),
		    "warning: server: %s is not used: the service manager passed the "
		    "socket http, which is %s\n",
		    i ? "http.host" : "DYN_SYSTEM_PORT", url);
		ck_assert(rig_has_logged(&s.rig, text));
	}
	ck_assert_double_ge(rig_sample(&s.rig, "dynamo_metricsd_connections"), 0);
	end(&s);
	/* What is as configured is no news. */
	snprintf(port, sizeof(port), "DYN_SYSTEM_PORT=%u", s.port);
	serve(&s, same);
	ck_assert(!rig_has_logged(&s.rig, "not used"));
	end(&s);
	clear_stage(&s);
}
END_TEST

START_TEST(a_passed_socket_of_disabled_http_is_said)
{
	static const char *const environment[] = { "DYN_SYSTEM_ENABLED=false", NULL };
	const char *said;
	char text[200];
	struct stage s;

	set_both(&s);
	serve(&s, environment);
	snprintf(text, sizeof(text),
	    "HTTP is disabled, and nobody answers at the socket http that the service "
	    "manager passed, http://127.0.0.1:%u",
	    s.port);
	ck_assert(rig_has_logged(&s.rig, text));
	said = manager_hear_until(&s.manager, "READY=1");
	rig_check_says(said, "STATUS=HTTP disabled");
	end(&s);
	clear_stage(&s);
}
END_TEST

/* ---- Sockets that are refused ------------------------------------------- */

START_TEST(an_unknown_name_is_said_with_those_that_are_known)
{
	const char *text;
	struct stage s;

	set_stage(&s);
	manager_pass(&s.manager, s.ingest, "dynamo-metricsd.socket");
	text = fail_start(&s);
	rig_check_says(
	    text, "a socket named \"dynamo-metricsd.socket\", and only ingest and http");
	rig_check_says(text, "FileDescriptorName=");
	clear_stage(&s);
}
END_TEST

START_TEST(sockets_without_names_are_said)
{
	const char *text;
	struct stage s;

	set_both(&s);
	s.manager.names[0] = '\0';
	text = fail_start(&s);
	rig_check_says(text, "a socket named \"unknown\"");
	clear_stage(&s);
}
END_TEST

START_TEST(two_of_a_name_are_said)
{
	const char *text;
	struct stage s;

	set_both(&s);
	manager_pass(&s.manager, s.http, "http");
	text = fail_start(&s);
	rig_check_says(text, "two sockets named http");
	clear_stage(&s);
}
END_TEST

static int
abstract_socket(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	/* The kernel finds a name. */
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof(a.sun_family)), 0);
	ck_assert_int_eq(listen(fd, 1), 0);
	return fd;
}

START_TEST(a_socket_of_the_wrong_sort_is_said)
{
	uint16_t port;
	char path[256];
	struct stage s;

	set_stage(&s);
	rig_path(&s.rig, "wrong", path, sizeof(path));
	for (int i = 0; i < 5; i++) {
		const char *name = i < 3 ? "ingest" : "http";
		const char *said;
		char text[64];
		int fd;

		if (i == 0)
			fd = listen_tcp(&port);
		else if (i == 1)
			fd = abstract_socket();
		else if (i == 3)
			fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		else
			fd = rig_bind_unix(path, i == 2 ? SOCK_STREAM : SOCK_DGRAM);
		s.manager.sockets = 0;
		s.manager.names[0] = '\0';
		manager_pass(&s.manager, fd, name);
		snprintf(text, sizeof(text),
		    "the socket named %s that the service manager", name);
		said = fail_start(&s);
		rig_check_says(said, text);
		close(fd);
		unlink(path);
	}
	clear_stage(&s);
}
END_TEST

START_TEST(an_environment_that_makes_no_sense_is_said)
{
	const char *text;
	struct stage s;

	set_stage(&s);
	s.manager.count = "many";
	text = fail_start(&s);
	rig_check_says(text, "LISTEN_FDS");
	clear_stage(&s);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("doors");
	TCase *t = tcase_create("doors");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, passed_sockets_are_served_and_left_as_they_are);
	tcase_add_test(t, who_waits_while_there_is_no_daemon_is_served_by_the_next);
	tcase_add_test(t, who_waits_when_it_stops_is_answered_by_it_or_the_next);
	tcase_add_test(t, one_of_them_is_enough);
	tcase_add_test(t, http_may_be_passed_as_a_unix_socket);
	tcase_add_test(t, sockets_for_another_process_are_not_taken);
	tcase_add_test(t, the_runtime_folder_is_that_of_the_real_socket);
	tcase_add_test(t, what_is_configured_and_not_used_is_said);
	tcase_add_test(t, a_passed_socket_of_disabled_http_is_said);
	tcase_add_test(t, an_unknown_name_is_said_with_those_that_are_known);
	tcase_add_test(t, sockets_without_names_are_said);
	tcase_add_test(t, two_of_a_name_are_said);
	tcase_add_test(t, a_socket_of_the_wrong_sort_is_said);
	tcase_add_test(t, an_environment_that_makes_no_sense_is_said);
	suite_add_tcase(s, t);
	return suite_run(s);
}
