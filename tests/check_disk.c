/* SPDX-License-Identifier: Apache-2.0 */
/* The real disk: folders and files. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/socket.h>
#include <unistd.h>

#include "disk_rig.h"
#include "turn.h"

static const char *
in_state(const char *name)
{
	static char path[200];

	snprintf(path, sizeof(path), "%s/%s", state, name);
	return path;
}

static unsigned
mode_of(const char *path)
{
	struct stat st;

	ck_assert_int_eq(stat(path, &st), 0);
	return st.st_mode & 0777U;
}

/* ---- Folders ----------------------------------------------------------- */

START_TEST(a_folder_is_made_for_its_owner_alone)
{
	umask(0);
	ck_assert_int_eq(d->open(d->arg, DISK_STATE), 0);
	ck_assert_uint_eq(mode_of(state), 0700);
	ck_assert_int_eq(d->open(d->arg, DISK_RUNTIME), 0);
	ck_assert_uint_eq(mode_of(runtime), 0750);
}
END_TEST

START_TEST(a_folder_that_is_there_keeps_its_mode)
{
	ck_assert_int_eq(mkdir(state, 0755), 0);
	ck_assert_int_eq(d->open(d->arg, DISK_STATE), 0);
	ck_assert_uint_eq(mode_of(state), 0755);
}
END_TEST

START_TEST(what_is_above_a_folder_is_not_made)
{
	struct disk *other;
	char path[100];

	snprintf(path, sizeof(path), "%s/a/b", folder);
	other = disk_new(path, runtime);
	ck_assert_int_eq(other->open(other->arg, DISK_STATE), ENOENT);
	disk_free(other);
}
END_TEST

START_TEST(a_file_in_place_of_a_folder_is_none)
{
	int fd = open(state, O_CREAT | O_WRONLY, 0600);

	close(fd);
	ck_assert_int_eq(d->open(d->arg, DISK_STATE), ENOTDIR);
	unlink(state);
}
END_TEST

START_TEST(nothing_is_done_in_a_folder_that_is_not_open)
{
	int file;

	ck_assert_int_eq(d->create(d->arg, DISK_STATE, "a", &file), EBADF);
	ck_assert_int_eq(d->rename(d->arg, DISK_STATE, "a", "b"), EBADF);
	ck_assert_int_eq(d->remove(d->arg, DISK_STATE, "a"), EBADF);
	ck_assert_int_eq(d->sync_folder(d->arg, DISK_STATE), EBADF);
	ck_assert_int_eq(d->list(d->arg, DISK_STATE, remove_name, state), EBADF);
}
END_TEST

START_TEST(a_folder_is_had_by_one_alone)
{
	struct disk *other = disk_new(state, runtime);

	uint64_t began_ns;

	open_both();
	ck_assert_int_eq(other->open(other->arg, DISK_STATE), EWOULDBLOCK);
	ck_assert_int_eq(other->open(other->arg, DISK_RUNTIME), EWOULDBLOCK);
	/* A killed daemon is waited for at the start, and not in a turn. */
	began_ns = turn_clock_ns();
	ck_assert_int_eq(other->open(other->arg, DISK_STATE), EWOULDBLOCK);
	ck_assert_uint_lt(turn_clock_ns() - began_ns, 500000000);
	disk_free(d);
	ck_assert_int_eq(other->open(other->arg, DISK_STATE), 0);
	ck_assert_int_eq(other->open(other->arg, DISK_RUNTIME), 0);
	d = other;
}
END_TEST

START_TEST(both_may_be_the_same_folder)
{
	struct disk *one = disk_new(state, state);

	ck_assert_int_eq(one->open(one->arg, DISK_STATE), 0);
	ck_assert_int_eq(one->open(one->arg, DISK_RUNTIME), 0);
	ck_assert_int_eq(d->open(d->arg, DISK_STATE), EWOULDBLOCK);
	disk_free(one);
}
END_TEST

START_TEST(who_may_read_a_folder_cannot_keep_it_from_its_daemon)
{
	int fd;

	ck_assert_int_eq(mkdir(state, 0755), 0);
	fd = open(state, O_RDONLY | O_DIRECTORY);
	ck_assert_int_eq(flock(fd, LOCK_EX | LOCK_NB), 0);
	ck_assert_int_eq(d->open(d->arg, DISK_STATE), 0);
	ck_assert_uint_eq(mode_of(in_state(".lock")), 0600);
	close(fd);
}
END_TEST

START_TEST(a_lock_that_others_may_open_is_theirs_no_more)
{
	int fd;

	umask(0);
	ck_assert_int_eq(mkdir(state, 0755), 0);
	fd = open(in_state(".lock"), O_CREAT | O_RDONLY, 0644);
	ck_assert_int_eq(d->open(d->arg, DISK_STATE), 0);
	ck_assert_uint_eq(mode_of(in_state(".lock")), 0600);
	close(fd);
}
END_TEST

START_TEST(the_lock_leaves_with_its_daemon)
{
	open_both();
	ck_assert_int_eq(access(in_state(".lock"), F_OK), 0);
	disk_free(d);
	ck_assert_int_ne(access(in_state(".lock"), F_OK), 0);
	d = disk_new(state, runtime);
}
END_TEST

/* Root is not kept from anything; somebody else is. */
static void
be_somebody_else(uid_t uid)
{
	if (geteuid() == 0)
		ck_assert_int_eq(seteuid(uid), 0);
}

START_TEST(a_folder_in_which_no_file_can_be_made_is_had_by_one_alone)
{
	struct disk *other = disk_new(state, runtime);

	ck_assert_int_eq(chmod(folder, 0755), 0);
	ck_assert_int_eq(mkdir(state, 0555), 0);
	be_somebody_else(12345);
	ck_assert_int_eq(d->open(d->arg, DISK_STATE), 0);
	ck_assert_int_eq(other->open(other->arg, DISK_STATE), EWOULDBLOCK);
	if (getuid() == 0)
		ck_assert_int_eq(seteuid(0), 0);
	disk_free(other);
}
END_TEST

START_TEST(a_link_or_a_fifo_in_place_of_the_lock_is_none)
{
	ck_assert_int_eq(mkdir(state, 0700), 0);
	if (_i == 0)
		ck_assert_int_eq(symlink("target", in_state(".lock")), 0);
	else
		ck_assert_int_eq(mkfifo(in_state(".lock"), 0600), 0);
	ck_assert_int_eq(d->open(d->arg, DISK_STATE), _i == 0 ? ELOOP : EINVAL);
	ck_assert_int_ne(access(in_state("target"), F_OK), 0);
	ck_assert_int_eq(unlink(in_state(".lock")), 0);
}
END_TEST

START_TEST(a_folder_that_was_removed_is_made_again)
{
	int file;

	open_both();
	ck_assert_int_eq(unlink(in_state(".lock")), 0);
	ck_assert_int_eq(rmdir(state), 0);
	ck_assert_int_eq(d->create(d->arg, DISK_STATE, "a", &file), ENOENT);
	ck_assert_int_eq(d->open(d->arg, DISK_STATE), 0);
	ck_assert_int_eq(d->create(d->arg, DISK_STATE, "a", &file), 0);
	d->close(d->arg, file);
}
END_TEST

static void
add_name(void *arg, const char *name)
{
	strbuf_adds(arg, name);
	strbuf_addc(arg, '/');
}

START_TEST(names_are_listed)
{
	struct strbuf names = STRBUF_EMPTY;
	int file;

	open_both();
	ck_assert_int_eq(d->create(d->arg, DISK_STATE, "a", &file), 0);
	d->close(d->arg, file);
	ck_assert_int_eq(d->list(d->arg, DISK_STATE, add_name, &names), 0);
	ck_assert_str_eq(names.at, "a/");
	strbuf_free(&names);
}
END_TEST

START_TEST(a_folder_that_anybody_may_write_to_is_told)
{
	static const struct {
		mode_t mode;
		bool is_public;
	} folders[] = { { 0700, false }, { 0770, false }, { 0775, false }, { 0777, true },
		{ 01777, true }, { 0702, true } };

	open_both();
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		ck_assert_int_eq(chmod(state, folders[i].mode), 0);
		ck_assert(d->is_public(d->arg, DISK_STATE) == folders[i].is_public);
	}
}
END_TEST

/* ---- Files ------------------------------------------------------------- */

static void
must_hold(const char *name, const char *text)
{
	struct strbuf out = STRBUF_EMPTY;

	ck_assert_int_eq(d->read(d->arg, DISK_STATE, name, 0, 100, &out), 0);
	ck_assert_str_eq(out.at, text);
	ck_assert_uint_eq(out.bytes, strlen(text));
	strbuf_free(&out);
}

START_TEST(a_file_is_written_cut_and_gone_on_with)
{
	int file;

	umask(0);
	open_both();
	ck_assert_int_eq(d->create(d->arg, DISK_STATE, "a", &file), 0);
	ck_assert_uint_eq(mode_of(in_state("a")), 0600);
	ck_assert_int_eq(d->write(d->arg, file, "hello", 5), 0);
	ck_assert_int_eq(d->cut(d->arg, file, 3), 0);
	ck_assert_int_eq(d->write(d->arg, file, "p", 1), 0);
	ck_assert_int_eq(d->sync(d->arg, file), 0);
	d->close(d->arg, file);
	must_hold("a", "help");
	ck_assert_int_eq(d->open_at(d->arg, DISK_STATE, "a", 2, &file), 0);
	ck_assert_int_eq(d->write(d->arg, file, "at", 2), 0);
	d->close(d->arg, file);
	must_hold("a", "heat");
	ck_assert_int_eq(d->sync_folder(d->arg, DISK_STATE), 0);
	ck_assert_int_eq(d->rename(d->arg, DISK_STATE, "a", "b"), 0);
	must_hold("b", "heat");
	ck_assert_int_eq(d->create(d->arg, DISK_STATE, "b", &file), 0);
	d->close(d->arg, file);
	must_hold("b", "");
	ck_assert_int_eq(d->remove(d->arg, DISK_STATE, "b"), 0);
	ck_assert_int_eq(d->open_at(d->arg, DISK_STATE, "b", 0, &file), ENOENT);
}
END_TEST

START_TEST(a_long_file_is_read_whole)
{
	struct strbuf out = STRBUF_EMPTY;
	char block[10000];
	int file;

	memset(block, 'x', sizeof(block));
	open_both();
	ck_assert_int_eq(d->create(d->arg, DISK_STATE, "a", &file), 0);
	for (int i = 0; i < 1000; i++)
		ck_assert_int_eq(d->write(d->arg, file, block, sizeof(block)), 0);
	d->close(d->arg, file);
	ck_assert_int_eq(d->read(d->arg, DISK_STATE, "a", 0, 20000000, &out), 0);
	ck_assert_uint_eq(out.bytes, 10000000);
	strbuf_free(&out);
}
END_TEST

START_TEST(a_part_of_a_file_is_read)
{
	struct strbuf out = STRBUF_EMPTY;
	int file;

	open_both();
	ck_assert_int_eq(d->create(d->arg, DISK_STATE, "a", &file), 0);
	ck_assert_int_eq(d->write(d->arg, file, "abcdef", 6), 0);
	d->close(d->arg, file);
	ck_assert_int_eq(d->read(d->arg, DISK_STATE, "a", 1, 3, &out), 0);
	ck_assert_int_eq(d->read(d->arg, DISK_STATE, "a", 5, 3, &out), 0);
	ck_assert_int_eq(d->read(d->arg, DISK_STATE, "a", 6, 3, &out), 0);
	ck_assert_str_eq(out.at, "bcdf");
	strbuf_free(&out);
}
END_TEST

/* Where others may write to the folder, or link to its files. */
START_TEST(a_new_file_is_no_other_one_under_its_name)
{
	char second[100];
	int file;

	open_both();
	ck_assert_int_eq(d->create(d->arg, DISK_STATE, "precious", &file), 0);
	ck_assert_int_eq(d->write(d->arg, file, "hello", 5), 0);
	d->close(d->arg, file);
	snprintf(second, sizeof(second), "%s/a", state);
	ck_assert_int_eq(link(in_state("precious"), second), 0);
	ck_assert_int_eq(d->create(d->arg, DISK_STATE, "a", &file), 0);
	ck_assert_int_eq(d->write(d->arg, file, "x", 1), 0);
	d->close(d->arg, file);
	must_hold("a", "x");
	must_hold("precious", "hello");
}
END_TEST

START_TEST(a_file_that_somebody_else_put_there_is_not_used)
{
	struct strbuf out = STRBUF_EMPTY;
	int file;

	if (geteuid() != 0)
		return; /* only root can give a file away */
	open_both();
	ck_assert_int_eq(d->create(d->arg, DISK_STATE, "a", &file), 0);
	ck_assert_int_eq(fchown(file, 12345, 12345), 0);
	d->close(d->arg, file);
	ck_assert_int_eq(d->read(d->arg, DISK_STATE, "a", 0, 100, &out), EPERM);
	ck_assert_int_eq(d->open_at(d->arg, DISK_STATE, "a", 0, &file), EPERM);
	/* A new one under that name is ours. */
	ck_assert_int_eq(d->create(d->arg, DISK_STATE, "a", &file), 0);
	d->close(d->arg, file);
	must_hold("a", "");
	/* The owner of the folder could do anything to what is in it. */
	ck_assert_int_eq(chown(in_state("a"), 12345, 12345), 0);
	ck_assert_int_eq(chown(state, 12345, 12345), 0);
	must_hold("a", "");
	strbuf_free(&out);
}
END_TEST

START_TEST(a_write_beyond_the_limit_fails_and_may_leave_a_part)
{
	struct rlimit limit = { 1000, 1000 };
	char block[2000] = { 0 };
	int file;

	open_both();
	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(d->create(d->arg, DISK_STATE, "a", &file), 0);
	setrlimit(RLIMIT_FSIZE, &limit);
	ck_assert_int_eq(d->write(d->arg, file, block, sizeof(block)), EFBIG);
	ck_assert_int_eq(d->cut(d->arg, file, 10), 0);
	d->close(d->arg, file);
}
END_TEST

static void
make_link(void)
{
	ck_assert_int_eq(symlink("/proc/self/cmdline", in_state("a")), 0);
}

static void
make_fifo(void)
{
	ck_assert_int_eq(mkfifo(in_state("a"), 0600), 0);
}

static void
make_folder(void)
{
	ck_assert_int_eq(mkdir(in_state("a"), 0700), 0);
}

static void
make_socket(void)
{
	close(rig_bind_unix(in_state("a"), SOCK_STREAM));
}

static void (*const others[])(void) = { make_link, make_fifo, make_folder, make_socket };

START_TEST(what_is_no_file_is_not_taken_for_one)
{
	struct strbuf out = STRBUF_EMPTY;
	int file;

	open_both();
	others[_i]();
	ck_assert_int_eq(d->read(d->arg, DISK_STATE, "a", 0, 100, &out), EINVAL);
	ck_assert_int_eq(d->create(d->arg, DISK_STATE, "a", &file), EINVAL);
	ck_assert_int_eq(d->open_at(d->arg, DISK_STATE, "a", 0, &file), EINVAL);
	/* It can be moved out of the way. */
	ck_assert_int_eq(d->rename(d->arg, DISK_STATE, "a", "b"), 0);
	strbuf_free(&out);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("disk");
	TCase *c = tcase_create("all");

	tcase_set_timeout(c, 30);
	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, a_folder_is_made_for_its_owner_alone);
	tcase_add_test(c, a_folder_that_is_there_keeps_its_mode);
	tcase_add_test(c, what_is_above_a_folder_is_not_made);
	tcase_add_test(c, a_file_in_place_of_a_folder_is_none);
	tcase_add_test(c, nothing_is_done_in_a_folder_that_is_not_open);
	tcase_add_test(c, a_folder_is_had_by_one_alone);
	tcase_add_test(c, both_may_be_the_same_folder);
	tcase_add_test(c, who_may_read_a_folder_cannot_keep_it_from_its_daemon);
	tcase_add_test(c, a_lock_that_others_may_open_is_theirs_no_more);
	tcase_add_test(c, the_lock_leaves_with_its_daemon);
	tcase_add_test(c, a_folder_in_which_no_file_can_be_made_is_had_by_one_alone);
	tcase_add_loop_test(c, a_link_or_a_fifo_in_place_of_the_lock_is_none, 0, 2);
	tcase_add_test(c, a_folder_that_was_removed_is_made_again);
	tcase_add_test(c, names_are_listed);
	tcase_add_test(c, a_folder_that_anybody_may_write_to_is_told);
	tcase_add_test(c, a_file_is_written_cut_and_gone_on_with);
	tcase_add_test(c, a_long_file_is_read_whole);
	tcase_add_test(c, a_part_of_a_file_is_read);
	tcase_add_test(c, a_new_file_is_no_other_one_under_its_name);
	tcase_add_test(c, a_file_that_somebody_else_put_there_is_not_used);
	tcase_add_test(c, a_write_beyond_the_limit_fails_and_may_leave_a_part);
	tcase_add_loop_test(c, what_is_no_file_is_not_taken_for_one, 0, 4);
	suite_add_tcase(suite, c);
	return suite_run(suite);
}
