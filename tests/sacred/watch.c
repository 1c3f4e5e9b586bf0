/* SPDX-License-Identifier: Apache-2.0 */
#include "watch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FDS	    1024
#define SIGNALS	    65
#define THREADS_MAX 64
#define COMM	    17
#define HEAP_BYTES  (64U << 10) /* may be left: of threads, of stdio */
#define FLAGS	    (SA_RESTART | SA_SIGINFO | SA_ONSTACK | SA_NOCLDWAIT | SA_NODEFER)

struct mine {
	pid_t tid;
	bool alive;
	char what[16];
	char comm[COMM];
	uint64_t mask;
	cpu_set_t cpus;
};

static struct {
	struct sigaction handler[SIGNALS];
	bool fd[FDS];
	struct stat standard[3];
	unsigned threads;
	bool children;
	bool signals; /* atomic */
	long kb, most_kb;
	size_t heap;
	pthread_mutex_t lock;
	struct mine mine[THREADS_MAX];
	unsigned n_mine;
	pid_t foreign[THREADS_MAX];
	unsigned n_foreign; /* atomic */
} was = { .lock = PTHREAD_MUTEX_INITIALIZER, .kb = -1 };

int64_t
watch_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* ---- Reading /proc ----------------------------------------------------- */

/* The file as text; false when it is not there (a thread that has just ended). */
static bool
read_text(const char *path, char *out, size_t room)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, out, room - 1);

	if (fd >= 0)
		close(fd);
	out[n > 0 ? n : 0] = '\0';
	return n > 0;
}

/* A field of a status file, in hexadecimal as signal masks are. */
static uint64_t
field(const char *status, const char *name)
{
	const char *at = strstr(status, name);

	return at ? strtoull(at + strlen(name), NULL, 16) : 0;
}

static bool
task_text(pid_t tid, const char *file, char *out, size_t room)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/task/%d/%s", (int)tid, file);
	return read_text(path, out, room);
}

static long
resident_kb(void)
{
	char text[4096];
	const char *at;

	if (!read_text("/proc/self/smaps_rollup", text, sizeof(text)))
		return 0;
	at = strstr(text, "\nRss:");
	return at ? strtol(at + 5, NULL, 10) : 0;
}

/* Calls each(arg, number) for the numbers that name the entries of a folder. */
static bool
each_number(const char *path, void (*each)(void *arg, int number), void *arg)
{
	DIR *folder = opendir(path);
	struct dirent *entry;

	if (!folder)
		return false;
	while ((entry = readdir(folder)) != NULL)
		if (entry->d_name[0] != '.' && atoi(entry->d_name) != dirfd(folder))
			each(arg, atoi(entry->d_name));
	closedir(folder);
	return true;
}

static void
count_one(void *arg, int number)
{
	(void)number;
	++*(unsigned *)arg;
}

static unsigned
count_threads(void)
{
	unsigned n = 0;

	each_number("/proc/self/task", count_one, &n);
	return n;
}

/* ---- Before ------------------------------------------------------------ */

static void
keep_fd(void *arg, int fd)
{
	(void)arg;
	if (fd < FDS)
		was.fd[fd] = true;
}

static void *
nothing(void *arg)
{
	return arg;
}

void
watch_begin(void)
{
	pthread_t first;

	/* With the first thread may come one of a sanitizer's. */
	if (pthread_create(&first, NULL, nothing, NULL) == 0)
		pthread_join(first, NULL);
	for (int s = 1; s < SIGNALS; s++)
		(void)sigaction(s, NULL, &was.handler[s]);
	each_number("/proc/self/fd", keep_fd, NULL);
	for (int fd = 0; fd < 3; fd++)
		if (fstat(fd, &was.standard[fd]) != 0)
			memset(&was.standard[fd], 0, sizeof(was.standard[fd]));
	was.threads = count_threads();
	was.heap = mallinfo2().uordblks;
	watch_thread("main");
}

static void
look_at(struct mine *m, pid_t tid)
{
	char status[8192];

	m->tid = tid;
	if (task_text(tid, "status", status, sizeof(status)))
		m->mask = field(status, "SigBlk:");
	task_text(tid, "comm", m->comm, sizeof(m->comm));
	(void)sched_getaffinity(tid, sizeof(m->cpus), &m->cpus);
}

static void
thread_ends(void *arg)
{
	struct mine *m = arg;

	pthread_mutex_lock(&was.lock);
	m->alive = false;
	pthread_mutex_unlock(&was.lock);
}

void
watch_thread(const char *name)
{
	static pthread_key_t key;
	static bool made;
	struct mine *m = NULL;

	pthread_mutex_lock(&was.lock);
	made = made || pthread_key_create(&key, thread_ends) == 0;
	for (unsigned i = 0; i < was.n_mine && !m; i++)
		if (!was.mine[i].alive)
			m = &was.mine[i];
	if (!m && was.n_mine < THREADS_MAX)
		m = &was.mine[was.n_mine++];
	if (m) {
		snprintf(m->what, sizeof(m->what), "%s", name);
		look_at(m, gettid());
		m->alive = true;
		pthread_setspecific(key, m);
	}
	pthread_mutex_unlock(&was.lock);
}

static void
keep_foreign(void *arg, int tid)
{
	unsigned *n = arg;
	bool mine = false;

	for (unsigned i = 0; i < was.n_mine; i++)
		mine = mine || (was.mine[i].alive && was.mine[i].tid == tid);
	if (!mine && *n < THREADS_MAX)
		was.foreign[(*n)++] = tid;
}

bool
watch_is_foreign(void)
{
	unsigned n = __atomic_load_n(&was.n_foreign, __ATOMIC_ACQUIRE);
	pid_t tid = gettid();
	bool foreign = false;

	for (unsigned i = 0; i < n; i++)
		foreign = foreign || was.foreign[i] == tid;
	return foreign;
}

void
watch_allow_children(bool allow)
{
	was.children = allow;
}

void
watch_allow_signals(bool allow)
{
	unsigned n = 0;

	__atomic_store_n(&was.signals, allow, __ATOMIC_RELEASE);
	if (!allow)
		return;
	each_number("/proc/self/task", keep_foreign, &n);
	__atomic_store_n(&was.n_foreign, n, __ATOMIC_RELEASE);
}

bool
watch_allows_signals(void)
{
	return __atomic_load_n(&was.signals, __ATOMIC_ACQUIRE);
}

void
watch_memory(void)
{
	was.kb = was.most_kb = resident_kb();
}

long
watch_grown_kb(void)
{
	return was.kb < 0 ? -1 : was.most_kb - was.kb;
}

/* ---- During ------------------------------------------------------------ */

static void
glance_handlers(void)
{
	struct sigaction now;

	for (int s = 1; s < SIGNALS; s++)
		if (sigaction(s, NULL, &now) == 0 &&
		    (now.sa_handler != was.handler[s].sa_handler ||
			((now.sa_flags ^ was.handler[s].sa_flags) & FLAGS)))
			noticed("the handler of signal %d was changed", s);
}

static void
glance_pending(void *arg, int tid)
{
	char status[8192];
	uint64_t own, all;

	(void)arg;
	if (!task_text(tid, "status", status, sizeof(status)))
		return;
	own = field(status, "SigPnd:");
	all = field(status, "ShdPnd:");
	if (own)
		noticed("a thread has signals pending: %llx", (unsigned long long)own);
	if (all)
		noticed("the process has signals pending: %llx", (unsigned long long)all);
}

static void
glance_mine(const struct mine *m)
{
	struct mine now = *m;

	look_at(&now, m->tid);
	if (now.mask != m->mask)
		noticed("the signal mask of thread %s was changed to %llx", m->what,
		    (unsigned long long)now.mask);
	if (strcmp(now.comm, m->comm) != 0)
		noticed("thread %s was named %s", m->what, now.comm);
	if (!CPU_EQUAL(&now.cpus, &m->cpus))
		noticed("the processors of thread %s were changed", m->what);
}

static void
glance_fd(void *arg, int fd)
{
	int flags = fcntl(fd, F_GETFD);

	(void)arg;
	if (fd < FDS && was.fd[fd])
		return;
	if (fd < 3)
		noticed("descriptor %d was closed, and is somebody's now", fd);
	else if (flags >= 0 && !(flags & FD_CLOEXEC))
		noticed("a descriptor is not closed on exec");
}

static void
glance_standard(void)
{
	struct stat now;

	for (int fd = 0; fd < 3; fd++)
		if (was.fd[fd] &&
		    (fstat(fd, &now) != 0 || now.st_ino != was.standard[fd].st_ino ||
			now.st_dev != was.standard[fd].st_dev))
			noticed("descriptor %d is another file", fd);
}

static void
glance_children(void)
{
	int status;

	if (waitpid(-1, &status, WNOHANG) >= 0 || errno != ECHILD)
		noticed("there is a child process that is not ours");
}

static void
glance_memory(void)
{
	long kb = was.kb < 0 ? 0 : resident_kb();

	if (kb > was.most_kb)
		was.most_kb = kb;
}

void
watch_glance(void)
{
	if (!was.signals) {
		glance_handlers();
		each_number("/proc/self/task", glance_pending, NULL);
	}
	pthread_mutex_lock(&was.lock);
	for (unsigned i = 0; i < was.n_mine; i++)
		if (was.mine[i].alive && !was.signals)
			glance_mine(&was.mine[i]);
	pthread_mutex_unlock(&was.lock);
	each_number("/proc/self/fd", glance_fd, NULL);
	glance_standard();
	if (!was.children)
		glance_children();
	glance_memory();
}

/* ---- After ------------------------------------------------------------- */

static void
left_fd(void *arg, int fd)
{
	char path[64], to[128] = "";

	(void)arg;
	if (fd < FDS && was.fd[fd])
		return;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (readlink(path, to, sizeof(to) - 1) < 0)
		to[0] = '\0';
	noticed("a descriptor is left: %.100s", to);
}

void
watch_end(void)
{
	int64_t until = watch_ns() + 2000000000LL;
	unsigned threads;

	size_t heap = mallinfo2().uordblks;

	watch_glance();
	each_number("/proc/self/fd", left_fd, NULL);
	if (heap > was.heap + HEAP_BYTES)
		noticed("%zu bytes of memory are left", heap - was.heap);
	/* A thread that was joined is on the list for a moment more. */
	while ((threads = count_threads()) != was.threads && watch_ns() < until)
		usleep(1000);
	if (threads != was.threads)
		noticed("%u threads are there, and were %u", threads, was.threads);
}

/* ---- Other processes --------------------------------------------------- */

static void
inherited_socket(void *arg, int fd)
{
	struct stat file;

	(void)arg;
	if (fd < FDS && was.fd[fd])
		return;
	/* An eventfd is of no type. */
	if (fstat(fd, &file) == 0 &&
	    (S_ISSOCK(file.st_mode) || (file.st_mode & S_IFMT) == 0))
		noticed("a child has a descriptor of its parent's library");
}

void
watch_child(void)
{
	each_number("/proc/self/fd", inherited_socket, NULL);
}

static void
inherited_fd(void *arg, int fd)
{
	(void)arg;
	if (fd > 2)
		noticed("descriptor %d was inherited", fd);
}

void
watch_exec(void)
{
	struct sigaction now;
	sigset_t mask;

	each_number("/proc/self/fd", inherited_fd, NULL);
	(void)pthread_sigmask(SIG_SETMASK, NULL, &mask);
	for (int s = 1; s < SIGNALS; s++) {
		if (sigismember(&mask, s) == 1)
			noticed("signal %d is blocked", s);
		if (sigaction(s, NULL, &now) == 0 && now.sa_handler == SIG_IGN)
			noticed("signal %d is ignored", s);
	}
}
