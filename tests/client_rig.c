/* SPDX-License-Identifier: Apache-2.0 */
#include "client_rig.h"

#include <check.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define LINES_MOST 64
#define LINE_BYTES 256

struct responder d;
dynm_runtime *rt;
dynm_scope at;

static struct {
	pthread_mutex_t lock;
	char line[LINES_MOST][LINE_BYTES];
	uint32_t n; /* more than LINES_MOST: the rest was not kept */
} logged = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void
log_line(void *arg, const char *text)
{
	(void)arg;
	pthread_mutex_lock(&logged.lock);
	if (logged.n < LINES_MOST)
		snprintf(logged.line[logged.n], LINE_BYTES, "%s", text);
	logged.n++;
	pthread_mutex_unlock(&logged.lock);
}

uint32_t
client_lines(const char *words)
{
	uint32_t n = 0;

	pthread_mutex_lock(&logged.lock);
	ck_assert_uint_le(logged.n, LINES_MOST);
	for (uint32_t i = 0; i < logged.n; i++)
		n += strstr(logged.line[i], words) != NULL;
	pthread_mutex_unlock(&logged.lock);
	return n;
}

void
client_wait_line(const char *words)
{
	uint64_t began = 0;

	while (client_lines(words) == 0)
		responder_again(&began, words);
}

void
client_open(uint32_t flush_ms, uint32_t max_series)
{
	dynm_options o = { .address = d.address,
		.worker = "w",
		.flush_ms = flush_ms,
		.max_series = max_series,
		.log = log_line };

	logged.n = 0;
	ck_assert_int_eq(dynm_open(&rt, &o, NULL), DYNM_OK);
	at = dynm_runtime_scope(rt);
}

void
client_set_up(void)
{
	responder_start(&d);
	client_open(FLUSH_MS, 0);
}

void
client_tear_down(void)
{
	dynm_close(rt);
	responder_stop(&d);
}

void
flush(void)
{
	ck_assert_int_eq(dynm_flush(rt, PATIENT_MS), DYNM_OK);
}

dynm_counter
numbered(dynm_counter_vec vec, uint32_t i)
{
	char value[16];

	snprintf(value, sizeof(value), "%u", i);
	return dynm_with(vec, value);
}

void
remove_numbered(dynm_counter_vec vec, uint32_t i)
{
	char value[16];

	snprintf(value, sizeof(value), "%u", i);
	dynm_remove(vec, value);
}

/* ---- Children ------------------------------------------------------------ */

static int told[2];

void
wait_child(pid_t pid)
{
	int status;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		ck_assert_int_eq(status, 0);
}

void
end_well(void)
{
	for (;;)
		raise(SIGKILL);
}

size_t
threads(void)
{
	DIR *dir = opendir("/proc/self/task");
	size_t n = 0;

	ck_assert_ptr_nonnull(dir);
	for (struct dirent *e; (e = readdir(dir)) != NULL;)
		n += e->d_name[0] != '.';
	closedir(dir);
	return n;
}

void
tell_begin(void)
{
	ck_assert_int_eq(pipe(told), 0);
}

void
tell(uint64_t what)
{
	if (write(told[1], &what, sizeof(what)) != sizeof(what))
		_exit(100);
}

uint64_t
hear(void)
{
	uint64_t what = 0;

	ck_assert_int_eq(read(told[0], &what, sizeof(what)), sizeof(what));
	return what;
}
