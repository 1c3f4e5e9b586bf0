/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prefork.c [PORT] - a pre-fork server: metrics are made once, before any fork, and
 * count in the master and in all its workers. A worker that is killed is replaced; what
 * it counted stays, and its gauges leave. SIGTERM or Ctrl-C ends all in order.
 *
 *	curl localhost:PORT/		an answer, counted within a second
 *	curl localhost:PORT/order	an answer that is given once it is counted
 */
#include <arpa/inet.h>
#include <dynamo/metrics.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WORKERS 4

static dynm_runtime *rt;
static dynm_counter requests, restarts;
static dynm_gauge in_flight, workers;
static dynm_histogram seconds;

static void
answer(int client)
{
	struct timeval patience = { 1, 0 };
	double start = dynm_now();
	char text[1024];
	ssize_t n;

	setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	n = read(client, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	dynm_gauge_inc(in_flight);
	dynm_counter_inc(requests);
	if (strncmp(text, "GET /order ", 11) == 0)
		(void)dynm_flush(rt, 1000);
	n = snprintf(
	    text, sizeof(text), "HTTP/1.0 200 OK\r\n\r\nworker %d\n", (int)getpid());
	(void)!write(client, text, (size_t)n);
	dynm_histogram_observe(seconds, dynm_now() - start);
	dynm_gauge_dec(in_flight);
}

/* Until the master ends: then its end of the pipe closes. */
static void
work(int listener, int lifeline)
{
	struct pollfd wait[2] = { { .fd = listener, .events = POLLIN },
		{ .fd = lifeline } };

	while (poll(wait, 2, -1) > 0 && wait[1].revents == 0) {
		int client = accept(listener, NULL, NULL);

		if (client < 0) /* another worker was faster */
			continue;
		answer(client);
		close(client);
	}
	dynm_close(rt);
}

static int
listen_on(int port)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)port) };
	socklen_t bytes = sizeof(at);
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&at, bytes) != 0 || listen(fd, 128) != 0 ||
	    getsockname(fd, (struct sockaddr *)&at, &bytes) != 0)
		return -1;
	printf("port %d\n", ntohs(at.sin_port));
	fflush(stdout); /* or each child would print it too */
	return fd;
}

static void
make_metrics(void)
{
	dynm_namespace ns = dynm_runtime_namespace(rt, "dynamo");
	dynm_scope at = dynm_namespace_component(ns, "prefork").scope;

	requests = dynm_counter_create(at, "requests_total", "Requests answered.");
	seconds = dynm_histogram_create(
	    at, "request_duration_seconds", "Time per request.", DYNM_BUCKETS_DEFAULT);
	in_flight = dynm_gauge_create(at, "requests_in_flight", "Being answered.");
	workers = dynm_gauge_create(at, "workers", "Worker processes.");
	restarts = dynm_counter_create(at, "worker_restarts_total", "Workers replaced.");
}

int
main(int argc, char **argv)
{
	int listener = listen_on(argc > 1 ? atoi(argv[1]) : 0);
	int lifeline[2], running = 0, signal_number = 0;
	struct timespec second = { 1, 0 };
	sigset_t wanted, before;
	dynm_error error;

	if (listener < 0 || pipe(lifeline) != 0) {
		perror("prefork");
		return 1;
	}
	sigemptyset(&wanted);
	sigaddset(&wanted, SIGTERM);
	sigaddset(&wanted, SIGINT);
	sigaddset(&wanted, SIGCHLD);
	sigprocmask(SIG_BLOCK, &wanted, &before);
	if (dynm_open(&rt, NULL, &error) != DYNM_OK) {
		fprintf(stderr, "prefork: %s\n", error.text);
		return 1;
	}
	make_metrics();

	while (signal_number != SIGTERM && signal_number != SIGINT) {
		for (; running < WORKERS; running++) {
			pid_t pid = fork();

			if (pid < 0)
				break; /* tried again in a second */
			if (pid == 0) {
				sigprocmask(SIG_SETMASK, &before, NULL);
				signal(SIGINT, SIG_IGN); /* Ctrl-C is for the master */
				close(lifeline[1]);
				work(listener, lifeline[0]);
				return 0;
			}
		}
		dynm_gauge_set(workers, running);
		signal_number = sigtimedwait(&wanted, NULL, &second);
		for (; waitpid(-1, NULL, WNOHANG) > 0; running--)
			dynm_counter_inc(restarts);
	}
	close(lifeline[1]);
	while (wait(NULL) > 0)
		;
	dynm_close(rt);
	return 0;
}
