/* SPDX-License-Identifier: Apache-2.0 */
#include "manager.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define PASSED_FIRST 3	 /* as sd_listen_fds(3) has it */
#define OUT_OF_WAY   200 /* above what is passed */

void
manager_make(struct manager *m, const struct rig *r)
{
	struct timeval tv = { .tv_sec = RIG_SECONDS };

	*m = (struct manager){ 0 };
	snprintf(m->path, sizeof(m->path), "%s/notify", r->folder);
	m->hears = rig_bind_unix(m->path, SOCK_DGRAM);
	setsockopt(m->hears, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
}

void
manager_remove(struct manager *m)
{
	close(m->hears);
	unlink(m->path);
}

void
manager_pass(struct manager *m, int socket, const char *name)
{
	size_t n = strlen(m->names);

	ck_assert_int_lt(m->sockets, MANAGER_SOCKETS_MAX);
	m->socket[m->sockets++] = socket;
	snprintf(m->names + n, sizeof(m->names) - n, "%s%s", n ? ":" : "", name);
}

static void
set_number(const char *name, uint64_t number)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
	setenv(name, text, 1);
}

static void
set_pid(const char *name, bool another)
{
	set_number(name, (uint64_t)(another ? getppid() : getpid()));
}

static void
pass(const struct manager *m)
{
	int away[MANAGER_SOCKETS_MAX];

	for (int i = 0; i < m->sockets; i++)
		away[i] = fcntl(m->socket[i], F_DUPFD_CLOEXEC, OUT_OF_WAY);
	for (int i = 0; i < m->sockets; i++) {
		dup2(away[i], PASSED_FIRST + i);
		close(away[i]);
	}
	set_number("LISTEN_FDS", (uint64_t)m->sockets);
	if (m->names[0] != '\0')
		setenv("LISTEN_FDNAMES", m->names, 1);
	set_pid("LISTEN_PID", m->passes_to_another);
	if (m->count)
		setenv("LISTEN_FDS", m->count, 1);
}

void
manager_forget(void)
{
	static const char *const said[] = { "NOTIFY_SOCKET", "WATCHDOG_USEC",
		"WATCHDOG_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID" };

	for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++)
		unsetenv(said[i]);
}

void
manager_prepare(void *manager)
{
	const struct manager *m = manager;

	manager_forget();
	setenv("NOTIFY_SOCKET", m->path, 1);
	if (m->watchdog_us) {
		set_number("WATCHDOG_USEC", m->watchdog_us);
		set_pid("WATCHDOG_PID", m->watches_another);
	}
	if (m->sockets || m->count)
		pass(m);
}

struct rig_setting
manager_setting(struct manager *m)
{
	return (struct rig_setting){ .prepare = manager_prepare, .prepare_arg = m };
}

const char *
manager_hear(const struct manager *m)
{
	static char text[MANAGER_TEXT];
	ssize_t n = recv(m->hears, text, sizeof(text) - 1, 0);

	ck_assert_msg(n > 0, "nothing is heard: %s", strerror(errno));
	text[n] = '\0';
	return text;
}

const char *
manager_hear_until(const struct manager *m, const char *start)
{
	const char *text;

	do
		text = manager_hear(m);
	while (strncmp(text, start, strlen(start)) != 0);
	return text;
}

bool
manager_hears(const struct manager *m)
{
	char byte;

	return recv(m->hears, &byte, 1, MSG_DONTWAIT | MSG_PEEK) > 0;
}
