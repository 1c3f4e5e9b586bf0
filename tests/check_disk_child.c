/* SPDX-License-Identifier: Apache-2.0 */
/* The process that writes a snapshot. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "disk_rig.h"

static void
must_hold(const char *name, const char *text)
{
	struct strbuf out = STRBUF_EMPTY;

	ck_assert_int_eq(d->read(d->arg, DISK_STATE, name, 0, 100, &out), 0);
	ck_assert_str_eq(out.at, text);
	ck_assert_uint_eq(out.bytes, strlen(text));
	strbuf_free(&out);
}

/* Until it waits for an order, or has ended. */
static enum disk_child_state
wait_for(struct disk_child *child, struct disk_result *ret)
{
	enum disk_child_state is;
	uint64_t began_ms = 0;

	while ((is = d->reap(d->arg, child, ret)) == DISK_CHILD_RUNS &&
	       rig_again(&began_ms, "the child ends")) {
		struct pollfd p = { .fd = child->pipe, .events = POLLIN };

		poll(&p, 1, 1000);
	}
	return is;
}

/* One that waits. */
static void
must_end(struct disk_child *child)
{
	struct disk_result result;

	ck_assert_int_eq(d->child_end(d->arg, child), 0);
	ck_assert_int_eq(wait_for(child, &result), DISK_CHILD_DONE);
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
}

static unsigned
count_files(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void
write_a_file(void *arg, struct disk_result *ret)
{
	const pid_t *pid = arg;
	int file;

	ret->error = d->create(d->arg, DISK_STATE, "child", &file);
	if (ret->error == 0 && *pid != getpid())
		ret->error = ESRCH;
	if (ret->error == 0)
		ret->error = d->write(d->arg, file, "here", 4);
	if (ret->error == 0)
		ret->error = d->sync(d->arg, file);
	ret->bytes = count_files();
}

START_TEST(a_child_writes_with_nothing_else_open)
{
	struct disk_child child;
	struct disk_result result;
	int more[20];

	open_both();
	for (int i = 0; i < 20; i++)
		more[i] = dup(STDERR_FILENO);
	ck_assert_int_eq(d->spawn(d->arg, write_a_file, &child.pid, &child), 0);
	ck_assert_int_eq(wait_for(&child, &result), DISK_CHILD_WAITS);
	ck_assert_int_eq(result.error, 0);
	must_hold("child", "here");
	/* Three that go nowhere, two folders, the pipe, and the file. */
	ck_assert_uint_eq(result.bytes, 7);
	for (int i = 0; i < 20; i++)
		close(more[i]);
	must_end(&child);
}
END_TEST

START_TEST(a_child_forces_a_folder_to_the_disk_and_waits_again)
{
	struct disk_child child = { 0 };
	struct disk_result result;

	open_both();
	ck_assert_int_eq(d->spawn(d->arg, write_a_file, &child.pid, &child), 0);
	ck_assert_int_eq(wait_for(&child, &result), DISK_CHILD_WAITS);
	ck_assert_int_eq(d->reap(d->arg, &child, &result), DISK_CHILD_RUNS);
	for (int place = 0; place < DISK_PLACES; place++) {
		ck_assert_int_eq(
		    d->child_sync(d->arg, &child, (enum disk_place)place), 0);
		ck_assert_int_eq(wait_for(&child, &result), DISK_CHILD_WAITS);
	}
	must_end(&child);
}
END_TEST

START_TEST(a_child_that_dies_while_it_waits_has_failed)
{
	struct disk_child child = { 0 };
	struct disk_result result;

	open_both();
	ck_assert_int_eq(d->spawn(d->arg, write_a_file, &child.pid, &child), 0);
	ck_assert_int_eq(wait_for(&child, &result), DISK_CHILD_WAITS);
	kill(child.pid, SIGKILL);
	ck_assert_int_eq(wait_for(&child, &result), DISK_CHILD_FAILED);
	ck_assert_int_eq(result.error, ECHILD);
	ck_assert_str_eq(result.why, "the process that wrote it was killed by signal 9");
}
END_TEST

static void
hold_the_file(void *arg, struct disk_result *ret)
{
	(void)arg;
	(void)ret;
	d->hold(d->arg, DISK_STATE, "held");
}

/* Of a file without a name, by the descriptors of a process. */
static bool
still_has(pid_t pid, const char *name)
{
	for (int fd = 0; fd < 64; fd++) {
		char path[64], to[PATH_MAX] = "";

		snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, fd);
		if (readlink(path, to, sizeof(to) - 1) > 0 && strstr(to, name) &&
		    strstr(to, " (deleted)"))
			return true;
	}
	return false;
}

START_TEST(what_a_child_holds_is_there_until_it_ends)
{
	struct disk_child child;
	struct disk_result result;
	int file;

	open_both();
	ck_assert_int_eq(d->create(d->arg, DISK_STATE, "held", &file), 0);
	d->close(d->arg, file);
	ck_assert_int_eq(d->spawn(d->arg, hold_the_file, NULL, &child), 0);
	ck_assert_int_eq(wait_for(&child, &result), DISK_CHILD_WAITS);
	ck_assert_int_eq(d->remove(d->arg, DISK_STATE, "held"), 0);
	ck_assert(still_has(child.pid, "/held"));
	must_end(&child);
}
END_TEST

static void
refuse(void *arg, struct disk_result *ret)
{
	(void)arg;
	*ret = (struct disk_result){ .error = ENOSPC, .why = "no room" };
}

static void
die(void *arg, struct disk_result *ret)
{
	(void)arg;
	(void)ret;
	raise(SIGTERM);
	pause();
}

static void
leave(void *arg, struct disk_result *ret)
{
	(void)arg;
	(void)ret;
	_exit(0);
}

static void
stay(void *arg, struct disk_result *ret)
{
	(void)arg;
	(void)ret;
	for (;;)
		pause();
}

static const struct {
	void (*work)(void *arg, struct disk_result *ret);
	int error;
	const char *why;
} failures[] = { { refuse, ENOSPC, "no room" },
	{ die, ECHILD, "the process that wrote it was killed by signal 15" },
	{ leave, ECHILD, "the process that wrote it ended early" } };

START_TEST(a_child_that_fails_says_why)
{
	struct disk_child child;
	struct disk_result result;

	open_both();
	/* It has none of this process's handlers. */
	signal(SIGTERM, SIG_IGN);
	ck_assert_int_eq(d->spawn(d->arg, failures[_i].work, NULL, &child), 0);
	ck_assert_int_eq(wait_for(&child, &result), DISK_CHILD_FAILED);
	ck_assert_int_eq(result.error, failures[_i].error);
	ck_assert_str_eq(result.why, failures[_i].why);
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
}
END_TEST

/* A child that has ended, and that nobody has waited for. */
static pid_t
a_stranger(void)
{
	pid_t pid = fork();
	siginfo_t info;

	if (pid == 0)
		_exit(0);
	ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	return pid;
}

static bool
is_buried(pid_t pid)
{
	siginfo_t info;

	return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 &&
	       errno == ECHILD;
}

START_TEST(strangers_are_buried_and_the_child_is_waited_for)
{
	struct disk_child child;
	struct disk_result result;
	pid_t before = a_stranger(), after;
	siginfo_t info;

	open_both();
	disk_bury(d);
	ck_assert(is_buried(before));
	before = a_stranger();
	ck_assert_int_eq(d->spawn(d->arg, stay, NULL, &child), 0);
	after = a_stranger();
	kill(child.pid, SIGKILL);
	ck_assert_int_eq(waitid(P_PID, (id_t)child.pid, &info, WEXITED | WNOWAIT), 0);
	disk_bury(d);
	ck_assert(!is_buried(child.pid));
	ck_assert_int_eq(wait_for(&child, &result), DISK_CHILD_FAILED);
	ck_assert_str_eq(result.why, "the process that wrote it was killed by signal 9");
	ck_assert(is_buried(before));
	ck_assert(is_buried(after));
}
END_TEST

START_TEST(a_child_can_be_killed)
{
	struct disk_child child;
	struct disk_result result;

	open_both();
	ck_assert_int_eq(d->spawn(d->arg, stay, NULL, &child), 0);
	ck_assert_int_eq(d->reap(d->arg, &child, &result), DISK_CHILD_RUNS);
	d->kill(d->arg, &child);
	ck_assert_int_eq(kill(child.pid, 0), -1);
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
}
END_TEST

START_TEST(a_child_ends_with_its_parent_and_holds_no_lock)
{
	struct disk *other = disk_new(state, runtime);
	struct disk_child child;
	int told[2];
	pid_t parent;

	ck_assert_int_eq(pipe(told), 0);
	parent = fork();
	if (parent == 0) {
		open_both();
		d->spawn(d->arg, stay, NULL, &child);
		if (write(told[1], &child.pid, sizeof(child.pid)) < 0)
			_exit(1);
		for (;;)
			pause();
	}
	ck_assert_int_eq(read(told[0], &child.pid, sizeof(child.pid)), sizeof(child.pid));
	ck_assert_int_eq(other->open(other->arg, DISK_STATE), EWOULDBLOCK);
	kill(parent, SIGKILL);
	waitpid(parent, NULL, 0);
	ck_assert_int_eq(other->open(other->arg, DISK_STATE), 0);
	ck_assert_int_eq(other->open(other->arg, DISK_RUNTIME), 0);
	for (uint64_t began_ms = 0;
	     kill(child.pid, 0) == 0 && rig_again(&began_ms, "the child ends");) {
		char path[64], line[200] = "";
		FILE *f;

		/* Nobody may be there to take note of its end. */
		snprintf(path, sizeof(path), "/proc/%d/stat", (int)child.pid);
		f = fopen(path, "r");
		if (f == NULL || fgets(line, sizeof(line), f) == NULL ||
		    strstr(line, ") Z ") != NULL)
			began_ms = UINT64_MAX;
		if (f)
			fclose(f);
		if (began_ms == UINT64_MAX)
			break;
	}
	close(told[0]);
	close(told[1]);
	disk_free(d);
	d = other;
}
END_TEST

START_TEST(without_room_for_a_process_there_is_no_child)
{
	struct rlimit none = { 0, 0 };
	struct disk_child child;
	int status;
	pid_t pid;

	if (geteuid() != 0)
		return;
	open_both();
	pid = fork();
	if (pid == 0) {
		if (setresuid(65534, 65534, 65534) != 0)
			_exit(3);
		setrlimit(RLIMIT_NPROC, &none);
		_exit(d->spawn(d->arg, stay, NULL, &child) == EAGAIN ? 0 : 1);
	}
	waitpid(pid, &status, 0);
	ck_assert_int_eq(status, 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("disk_child");
	TCase *c = tcase_create("all");

	tcase_set_timeout(c, 30);
	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, a_child_writes_with_nothing_else_open);
	tcase_add_test(c, a_child_forces_a_folder_to_the_disk_and_waits_again);
	tcase_add_test(c, a_child_that_dies_while_it_waits_has_failed);
	tcase_add_test(c, what_a_child_holds_is_there_until_it_ends);
	tcase_add_loop_test(c, a_child_that_fails_says_why, 0, 3);
	tcase_add_test(c, strangers_are_buried_and_the_child_is_waited_for);
	tcase_add_test(c, a_child_can_be_killed);
	tcase_add_test(c, a_child_ends_with_its_parent_and_holds_no_lock);
	tcase_add_test(c, without_room_for_a_process_there_is_no_child);
	suite_add_tcase(suite, c);
	return suite_run(suite);
}
