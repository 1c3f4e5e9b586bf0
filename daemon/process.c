/* SPDX-License-Identifier: Apache-2.0 */
#include "process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Linux 6.5; the C library's headers may be older than the kernel. */
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

/* The numbers of /proc/PID/stat that are used here, counted from the field behind the
 * process's name, which may hold anything. */
enum stat_field { STAT_START = 19, STAT_VSIZE = 20, STAT_RSS = 21, STAT_FIELDS = 22 };

static ssize_t
read_whole(const char *path, char *buf, size_t room)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -1;
	n = read(fd, buf, room - 1);
	close(fd);
	if (n >= 0)
		buf[n] = '\0';
	return n;
}

/* 0 and the fields, or -1: there is no such process, or it is hidden from us. */
static int
read_stat(const char *path, uint64_t ret[STAT_FIELDS])
{
	char buf[1024];
	char *p;

	if (read_whole(path, buf, sizeof(buf)) <= 0)
		return -1;
	p = strrchr(buf, ')');
	if (p == NULL || p[1] != ' ')
		return -1;
	p += 2;
	for (size_t i = 0; i < STAT_FIELDS; i++) {
		ret[i] = strtoull(p, NULL, 10);
		p = strchr(p, ' ');
		if (p == NULL)
			return -1;
		p++;
	}
	return 0;
}

static double
cpu_seconds(void)
{
	struct rusage used;

	if (getrusage(RUSAGE_SELF, &used) != 0)
		return 0;
	return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
	       (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static double
boot_time_seconds(void)
{
	char line[256];
	unsigned long long seconds = 0;
	FILE *f = fopen("/proc/stat", "re");

	if (f == NULL)
		return 0;
	while (fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "btime %llu", &seconds) == 1)
			break;
	fclose(f);
	return (double)seconds;
}

double
process_listed_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	double n = 0;

	if (d == NULL)
		return 0;
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n - 3; /* ".", ".." and the folder's own */
}

/* Since Linux 6.2 the folder's size says it: a list takes a microsecond for each. */
static double
count_open_fds(void)
{
	struct stat st;

	return stat("/proc/self/fd", &st) == 0 && st.st_size > 0 ? (double)st.st_size
								 : process_listed_fds();
}

void
process_figures(struct process_figures *ret)
{
	uint64_t stat[STAT_FIELDS];
	struct rlimit files;
	double ticks = (double)sysconf(_SC_CLK_TCK);

	*ret = (struct process_figures){ .open_fds = count_open_fds(),
		.cpu_seconds = cpu_seconds() };
	if (getrlimit(RLIMIT_NOFILE, &files) == 0)
		ret->max_fds =
		    files.rlim_cur == RLIM_INFINITY ? INFINITY : (double)files.rlim_cur;
	if (read_stat("/proc/self/stat", stat) != 0)
		return;
	ret->virtual_bytes = (double)stat[STAT_VSIZE];
	ret->resident_bytes = (double)stat[STAT_RSS] * (double)sysconf(_SC_PAGESIZE);
	ret->start_time_seconds = boot_time_seconds() + (double)stat[STAT_START] / ticks;
}

uint64_t
process_want_fds(uint64_t wanted)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) != 0)
		return 0;
	if (files.rlim_cur < wanted) {
		struct rlimit more = files;

		more.rlim_cur = wanted < files.rlim_max ? wanted : files.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &more) == 0)
			files = more;
	}
	return files.rlim_cur;
}

static bool
pidfd_is_readable(int pidfd)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	return poll(&p, 1, 0) == 1 && (p.revents & POLLIN) != 0;
}

/* The kernel hands out the very process that connected: no number can be reused. */
static void
ask_socket_for_pidfd(int socket, struct process_peer *p)
{
	socklen_t n = sizeof(p->pidfd);

	if (getsockopt(socket, SOL_SOCKET, SO_PEERPIDFD, &p->pidfd, &n) == 0)
		return;
	p->pidfd = -1;
	/* "No such process": it is dead and reaped. (EINVAL says so before Linux 6.9.) */
	p->gone = errno == ESRCH || errno == EINVAL;
}

/* Whether /proc has the numbers that the kernel gives this process. A container's may be
 * that of another namespace: who has a number there is somebody else. */
static bool
proc_is_ours(void)
{
	static const char title[] = "\nNSpid:\t";
	char text[4096];
	char *numbers, *end;

	if (read_whole("/proc/self/status", text, sizeof(text)) <= 0)
		return false;
	numbers = strstr(text, title);
	/* The first one is /proc's. More of them: those of namespaces inside that one. */
	return numbers &&
	       strtol(numbers + sizeof(title) - 1, &end, 10) == (long)getpid() &&
	       *end == '\n';
}

/* Watching it would take a descriptor or memory, and there is none: not that the kernel
 * cannot do it, or that it is dead. */
static bool
is_about_room(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOMEM;
}

static uint64_t
start_of(pid_t pid)
{
	uint64_t stat[STAT_FIELDS];
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	return pid > 0 && proc_is_ours() && read_stat(path, stat) == 0 ? stat[STAT_START]
								       : 0;
}

int
process_peer_of(int socket, struct process_peer *ret)
{
	struct process_peer p = { .pidfd = -1 };
	struct ucred who;
	socklen_t n = sizeof(who);

	if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &who, &n) != 0)
		return -1;
	p.pid = who.pid;
	p.uid = who.uid;
	p.gid = who.gid;
	ask_socket_for_pidfd(socket, &p);
	if (p.pidfd < 0 && !p.gone && p.pid > 0)
		p.pidfd = (int)syscall(SYS_pidfd_open, p.pid, 0U);
	if (p.pidfd < 0 && is_about_room(errno))
		return -1;
	p.start = start_of(p.pid);
	/* Dead by now: its number may be another's, and so may be the start time. */
	if (p.gone || process_peer_is_gone(&p))
		p.start = 0;
	*ret = p;
	return 0;
}

void
process_open_standard(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
		if (fd < 0)
			fd = open("/", O_RDONLY | O_DIRECTORY);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

bool
process_boot(uint8_t ret[PROCESS_BOOT_BYTES])
{
	char text[64];
	size_t n = 0;

	if (read_whole("/proc/sys/kernel/random/boot_id", text, sizeof(text)) <= 0)
		return false;
	for (const char *p = text; *p && n < PROCESS_BOOT_BYTES; p++) {
		unsigned byte;

		if (*p == '-')
			continue;
		if (sscanf(p, "%2x", &byte) != 1)
			return false;
		ret[n++] = (uint8_t)byte;
		p++;
	}
	return n == PROCESS_BOOT_BYTES;
}

uint64_t
process_namespace(void)
{
	struct stat st;

	return stat("/proc/self/ns/pid", &st) == 0 ? st.st_ino : 0;
}

enum process_life
process_life(pid_t pid, uint64_t start)
{
	int pidfd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0U) : -1;
	uint64_t start_now;
	bool dead;

	if (pidfd < 0)
		return pid > 0 && errno == ESRCH ? PROCESS_GONE : PROCESS_UNKNOWN;
	dead = pidfd_is_readable(pidfd);
	start_now = start_of(pid);
	close(pidfd);
	if (dead)
		return PROCESS_GONE;
	if (start == 0 || start_now == 0)
		return PROCESS_UNKNOWN;
	return start == start_now ? PROCESS_SAME : PROCESS_GONE;
}

void
process_peer_close(struct process_peer *p)
{
	if (p->pidfd >= 0)
		close(p->pidfd);
	p->pidfd = -1;
}

bool
process_peer_is_gone(const struct process_peer *p)
{
	uint64_t start;
	bool gone;
	int pidfd;

	if (p->gone)
		return true;
	if (p->pidfd >= 0)
		return pidfd_is_readable(p->pidfd);
	if (p->pid <= 0)
		return false;
	pidfd = (int)syscall(SYS_pidfd_open, p->pid, 0U);
	if (pidfd < 0)
		return errno == ESRCH;
	gone = pidfd_is_readable(pidfd);
	close(pidfd);
	/* Somebody lives under that number: is it still the same process? */
	start = start_of(p->pid);
	return gone || (p->start != 0 && start != 0 && start != p->start);
}
