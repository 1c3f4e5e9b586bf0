/* SPDX-License-Identifier: Apache-2.0 */
/*
 * probe.c - what a process may do where it runs.
 *
 * Prints a line for each thing that it tries: its name, and "ok" or why not. Each is
 * tried in a process of its own, so that none changes what the next one may.
 * test_sandbox.py runs it with the sandbox of the daemon's unit, and with none.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Each gives 0, or -1 and errno. */

/* ---- Files ------------------------------------------------------- */

static int
write_in(const char *folder)
{
	char path[300];
	int fd;

	snprintf(path, sizeof(path), "%s/dynm-written", folder);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return -1;
	close(fd);
	return unlink(path);
}

static int
open_to_read(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -1 : close(fd);
}

static int
open_to_write(const char *path)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd < 0 ? -1 : close(fd);
}

static int
see(const char *path)
{
	return access(path, F_OK);
}

static int
write_variable(const char *name)
{
	const char *folder = getenv(name);

	errno = EINVAL;
	return folder ? write_in(folder) : -1;
}

static int
write_cgroup(void)
{
	const char *const folders[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/systemd" };

	for (size_t i = 0; i < 2; i++) {
		char path[64];

		snprintf(path, sizeof(path), "%s/dynm-probe", folders[i]);
		if (mkdir(path, 0700) == 0)
			return rmdir(path);
	}
	return -1;
}

/* A file of its own, which is gone already; -1 if none can be made. */
static int
open_new_file(void)
{
	char path[300];
	int fd;

	snprintf(path, sizeof(path), "%s/dynm-probe", getenv("RUNTIME_DIRECTORY"));
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd >= 0)
		unlink(path);
	return fd;
}

static int
make_suid_file(void)
{
	int fd = open_new_file();
	int rc = fd < 0 ? -1 : fchmod(fd, S_ISUID | 0700);

	if (fd >= 0)
		close(fd);
	return rc;
}

static int
run_program(void)
{
	pid_t pid = fork();
	int status = 0;

	if (pid == 0) {
		execl("/usr/bin/true", "true", (char *)NULL);
		_exit(errno);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	errno = WEXITSTATUS(status);
	return status == 0 ? 0 : -1;
}

/* ---- Memory ------------------------------------------------------ */

static int
map_writable_code(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? -1 : 0;
}

static int
turn_data_into_code(void)
{
	void *p =
	    mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? -1 : mprotect(p, 4096, PROT_READ | PROT_EXEC);
}

static int
advise(void)
{
	void *p =
	    mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? -1 : madvise(p, 4096, MADV_DONTNEED);
}

static int
read_others_memory(void)
{
	char from = 1, to = 0;
	struct iovec local = { &to, 1 }, remote = { &from, 1 };

	return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == 1 ? 0 : -1;
}

/* ---- The kernel -------------------------------------------------- */

static int
mount_something(void)
{
	return mount("tmpfs", "/mnt", "tmpfs", 0, NULL) == 0 ? umount("/mnt") : -1;
}

static int
make_user_namespace(void)
{
	return unshare(CLONE_NEWUSER);
}

static int
make_network(void)
{
	return unshare(CLONE_NEWNET);
}

static int
remove_module(void)
{
	int rc = (int)syscall(SYS_delete_module, "dynm_no_such_module", O_NONBLOCK);

	return rc < 0 && errno == ENOENT ? 0 : rc;
}

/* Set to what it is. */
static int
set_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return clock_settime(CLOCK_REALTIME, &now);
}

static int
set_hostname(void)
{
	char name[256];

	return gethostname(name, sizeof(name)) == 0 ? sethostname(name, strlen(name))
						    : -1;
}

static int
read_kernel_log(void)
{
	return klogctl(10 /* its size */, NULL, 0) < 0 ? -1 : 0;
}

static int
use_keyring(void)
{
	return syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0) < 0
		   ? -1
		   : 0;
}

static int
change_personality(void)
{
	return personality(PER_LINUX32) < 0 ? -1 : 0;
}

/* Later than others: anybody may. */
static int
give_way(void)
{
	return setpriority(PRIO_PROCESS, 0, 19);
}

static int
run_realtime(void)
{
	struct sched_param first = { .sched_priority = 1 };

	return sched_setscheduler(0, SCHED_FIFO, &first);
}

/* ---- Other processes --------------------------------------------- */

static int
trace(void)
{
	return ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0 ? -1 : 0;
}

static int
become_somebody(void)
{
	return setuid(12345);
}

static int
give_file_away(void)
{
	int fd = open_new_file();
	int rc = fd < 0 ? -1 : fchown(fd, 12345, 12345);

	if (fd >= 0)
		close(fd);
	return rc;
}

static int
lock_memory(void)
{
	return mlock(&(char){ 0 }, 1);
}

static int
watch_others(void)
{
	int fd = (int)syscall(SYS_pidfd_open, 1, 0U);

	return fd < 0 ? -1 : close(fd);
}

/* Whose is it? 65534 is a user who has no number here. */
static int
know_owner_of(const char *path)
{
	struct stat st;

	if (stat(path, &st) != 0)
		return -1;
	errno = EOVERFLOW;
	return st.st_uid == 65534 ? -1 : 0;
}

/* ---- Sockets ----------------------------------------------------- */

static int
open_socket(int family)
{
	int type = family == AF_PACKET || family == AF_NETLINK ? SOCK_RAW : SOCK_STREAM;
	int fd = socket(family, type | SOCK_CLOEXEC, 0);

	return fd < 0 ? -1 : close(fd);
}

/* ---- What the daemon does ---------------------------------------- */

static int
fork_and_wait(void)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(0);
	return pid > 0 && waitpid(pid, &status, 0) == pid ? 0 : -1;
}

static int
want_descriptors(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) != 0)
		return -1;
	files.rlim_cur = files.rlim_max;
	return setrlimit(RLIMIT_NOFILE, &files);
}

static int
use_many_descriptors(void)
{
	struct rlimit files;

	errno = EMFILE;
	return getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur >= 4096 ? 0 : -1;
}

/* Each has one way to be tried. */
static const struct {
	const char *name;
	int (*try)(void);
	int (*with)(const char *what);
	const char *what;
	int family; /* of a socket */
} probes[] = {
	{ "write /etc", .with = write_in, .what = "/etc" },
	{ "write /usr", .with = write_in, .what = "/usr" },
	{ "write /home", .with = write_in, .what = "/home" },
	{ "write /var/lib", .with = write_in, .what = "/var/lib" },
	{ "write /run", .with = write_in, .what = "/run" },
	{ "write the state folder", .with = write_variable, .what = "STATE_DIRECTORY" },
	{ "write the runtime folder", .with = write_variable,
	    .what = "RUNTIME_DIRECTORY" },
	{ "write a /tmp", .with = write_in, .what = "/tmp" },
	{ "see the /tmp of all", .with = see, .what = "/tmp/dynm-probe" },
	{ "see /home", .with = see, .what = "/home/dynm-probe" },
	{ "change a kernel setting", .with = open_to_write,
	    .what = "/proc/sys/net/core/somaxconn" },
	{ "open the kernel's memory", .with = open_to_read, .what = "/dev/mem" },
	{ "see other processes", .with = open_to_read, .what = "/proc/1/stat" },
	{ "see which boot it is", .with = open_to_read,
	    .what = "/proc/sys/kernel/random/boot_id" },
	{ "know root", .with = know_owner_of, .what = "/etc" },
	{ "know other users", .with = know_owner_of, .what = "/opt/dynm-probe" },
	{ "use packets", .family = AF_PACKET },
	{ "use netlink", .family = AF_NETLINK },
	{ "use IPv4", .family = AF_INET },
	{ "use IPv6", .family = AF_INET6 },
	{ "use Unix sockets", .family = AF_UNIX },
	{ "change the cgroups", .try = write_cgroup },
	{ "make a set-uid file", .try = make_suid_file },
	{ "run another program", .try = run_program },
	{ "map writable code", .try = map_writable_code },
	{ "turn data into code", .try = turn_data_into_code },
	{ "give memory back", .try = advise },
	{ "lock memory", .try = lock_memory },
	{ "read memory of processes", .try = read_others_memory },
	{ "mount", .try = mount_something },
	{ "make a user namespace", .try = make_user_namespace },
	{ "make a network namespace", .try = make_network },
	{ "remove a kernel module", .try = remove_module },
	{ "set the clock", .try = set_clock },
	{ "set the host's name", .try = set_hostname },
	{ "read the kernel's log", .try = read_kernel_log },
	{ "use the keyring", .try = use_keyring },
	{ "change the personality", .try = change_personality },
	{ "give way", .try = give_way },
	{ "run as realtime", .try = run_realtime },
	{ "trace", .try = trace },
	{ "become another user", .try = become_somebody },
	{ "give a file away", .try = give_file_away },
	{ "watch other processes", .try = watch_others },
	{ "fork", .try = fork_and_wait },
	{ "raise the limit of descriptors", .try = want_descriptors },
	{ "open 4096 descriptors", .try = use_many_descriptors },
};

static int
try_one(size_t i)
{
	if (probes[i].try)
		return probes[i].try();
	if (probes[i].with)
		return probes[i].with(probes[i].what);
	return open_socket(probes[i].family);
}

static void
try(size_t i)
{
	pid_t pid = fork();
	int status = 0;

	if (pid == 0)
		_exit(try_one(i) == 0 ? 0 : errno);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		status = -1;
	printf("%s: %s\n", probes[i].name,
	    status == 0		? "ok"
	    : WIFEXITED(status) ? strerror(WEXITSTATUS(status))
				: "killed");
	fflush(stdout);
}

/* As in "CapEff: 0000000000000000". */
static void
print_status(void)
{
	static const char *const wanted[] = { "CapInh:", "CapPrm:", "CapEff:", "CapBnd:",
		"CapAmb:", "NoNewPrivs:", "Seccomp:", "Uid:", "Gid:", "Groups:" };
	FILE *f = fopen("/proc/self/status", "re");
	char line[256];

	while (f && fgets(line, sizeof(line), f)) {
		for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
			if (strncmp(line, wanted[i], strlen(wanted[i])) == 0)
				fputs(line, stdout);
	}
	if (f)
		fclose(f);
	fflush(stdout);
}

int
main(void)
{
	print_status();
	for (size_t i = 0; i < sizeof(probes) / sizeof(probes[0]); i++)
		try(i);
	return 0;
}
