/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "server.h"

#define CHILD_FAILED 3
#define CHILD_LEAKED 4

/* There when the address sanitizer is: a child that does not exit() asks for itself. */
extern int __lsan_do_recoverable_leak_check(void) __attribute__((weak));
extern void __tsan_init(void) __attribute__((weak));

/* ---- Time -------------------------------------------------------------- */

uint64_t
rig_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

void
rig_pause_ms(unsigned ms)
{
	struct timespec ts = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L };

	nanosleep(&ts, NULL);
}

bool
rig_again(uint64_t *began_ms, const char *what)
{
	if (*began_ms == 0)
		*began_ms = rig_now_ms();
	else
		rig_pause_ms(5);
	ck_assert_msg(rig_now_ms() - *began_ms < RIG_SECONDS * 1000,
	    "not within %d s: %s", RIG_SECONDS, what);
	return true;
}

/* ---- The daemon -------------------------------------------------------- */

void
rig_path(const struct rig *r, const char *name, char *out, size_t room)
{
	snprintf(out, room, "%s/%s", r->folder, name);
}

unsigned
rig_mode(const char *path)
{
	struct stat st;

	ck_assert_int_eq(lstat(path, &st), 0);
	return st.st_mode & 07777;
}

void
rig_make(struct rig *r)
{
	*r = (struct rig){ 0 };
	snprintf(r->folder, sizeof(r->folder), "/tmp/metricsd-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(r->folder));
	rig_path(r, "ingest.ipc", r->socket, sizeof(r->socket));
	rig_path(r, "log", r->log, sizeof(r->log));
	rig_path(r, "state", r->state, sizeof(r->state));
}

#define ENVIRONMENT_MAX 16

/* A configuration and what it was loaded from. The file is gone afterwards. */
struct loaded {
	struct config config;
	struct config_source source;
	char address[128];
	char file[128];
	char state[128];
	char *environment[ENVIRONMENT_MAX + 4];
};

static void
load(const struct rig *r, const struct rig_setting *setting, struct loaded *ret)
{
	char **environment = ret->environment;
	struct config_error e;

	*ret = (struct loaded){ 0 };
	snprintf(ret->address, sizeof(ret->address), "DYN_METRICSD_ADDRESS=ipc://%s",
	    r->socket);
	environment[0] = ret->address;
	environment[1] = (char *)"DYN_SYSTEM_PORT=0";
	snprintf(ret->state, sizeof(ret->state), "DYN_METRICSD_STATE=%s", r->state);
	environment[2] = ret->state;
	for (size_t i = 0; setting->environment && setting->environment[i]; i++) {
		/* The first of a name counts, so these come first. */
		memmove(environment + 1, environment,
		    sizeof(ret->environment) - sizeof(environment[0]));
		environment[0] = (char *)(uintptr_t)setting->environment[i];
	}
	rig_path(r, "config", ret->file, sizeof(ret->file));
	if (setting->file)
		rig_write_file(ret->file, setting->file);
	ret->source = (struct config_source){
		.file = ret->file, .may_be_missing = true, .environment = environment
	};
	if (config_load(&ret->config, &ret->source, &e) != 0) {
		fprintf(stderr, "%s\n", e.text);
		_exit(CHILD_FAILED);
	}
	unlink(ret->file);
}

static void
be_daemon(const struct rig *r, const struct rig_setting *setting)
{
	char error[SERVER_ERROR_TEXT];
	struct loaded loaded;
	struct server *s;
	struct log *log;
	int status = CHILD_FAILED;

	/* They would come to Check's handler, which ends the whole process group. */
	server_hold_signals();
	load(r, setting, &loaded);
	log = log_new((enum log_level)loaded.config.log.level, NULL, NULL);
	s = server_new(&loaded.config, &loaded.source, log, error);
	if (s == NULL)
		fprintf(stderr, "%s", error);
	else if (server_run(s) == 0)
		status = 0;
	server_free(s);
	log_free(log);
	config_free(&loaded.config);
	if (status == 0 && __lsan_do_recoverable_leak_check &&
	    __lsan_do_recoverable_leak_check())
		status = CHILD_LEAKED;
	_exit(status);
}

void
rig_launch(struct rig *r, const struct rig_setting *setting)
{
	static const struct rig_setting none;
	int fd;

	fflush(NULL);
	r->pid = fork();
	ck_assert_int_ge(r->pid, 0);
	if (r->pid > 0)
		return;
	/* A test that fails leaves no daemon behind. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setting = setting ? setting : &none;
	fd = open(r->log, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	dup2(fd, STDERR_FILENO);
	close(fd);
	if (setting->open_files) {
		struct rlimit files;

		/* The soft one alone: valgrind has descriptors of its own above it. */
		getrlimit(RLIMIT_NOFILE, &files);
		files.rlim_cur = setting->open_files;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	/* A manager of the tests themselves is not the daemon's. */
	unsetenv("NOTIFY_SOCKET");
	if (setting->prepare)
		setting->prepare(setting->prepare_arg);
	be_daemon(r, setting);
}

static char *
read_log(const struct rig *r)
{
	static char text[1 << 16];
	int fd = open(r->log, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

/* The port is in the line that says that it has started. */
static uint16_t
logged_port(const char *log)
{
	const char *url = strstr(log, "http://");
	const char *end = url ? strstr(url, "/metrics\n") : NULL;

	if (end == NULL)
		return 0;
	while (end > url && end[-1] != ':')
		end--;
	return (uint16_t)strtoul(end, NULL, 10);
}

void
rig_serve(struct rig *r, const struct rig_setting *setting)
{
	uint64_t began_ms = 0;
	const char *log = "";
	int status;

	unlink(r->log);
	rig_launch(r, setting);
	while (strstr(log, "server: started") == NULL &&
	       rig_again(&began_ms, "the daemon starts")) {
		ck_assert_msg(waitpid(r->pid, &status, WNOHANG) == 0,
		    "it did not start: %s", read_log(r));
		log = read_log(r);
	}
	r->port = logged_port(log);
}

const char *
rig_fail(struct rig *r, const struct rig_setting *setting)
{
	int status;

	unlink(r->log);
	rig_launch(r, setting);
	ck_assert_int_eq(waitpid(r->pid, &status, 0), r->pid);
	ck_assert_int_eq(status, CHILD_FAILED << 8);
	r->pid = 0;
	return read_log(r);
}

void
rig_start(struct rig *r, const struct rig_setting *setting)
{
	rig_make(r);
	rig_serve(r, setting);
}

void
rig_reload(const struct rig *r, const char *text)
{
	char file[128];

	rig_path(r, "config", file, sizeof(file));
	rig_write_file(file, text);
	kill(r->pid, SIGHUP);
	rig_wait_logged(r, "SIGHUP: configuration read again");
	unlink(file);
}

void
rig_wait_ended(struct rig *r)
{
	uint64_t began_ms = 0;
	int status;

	while (waitpid(r->pid, &status, WNOHANG) == 0 &&
	       rig_again(&began_ms, "the daemon ends"))
		;
	ck_assert_msg(status == 0, "it ended with status 0x%x: %s", status, read_log(r));
	r->pid = 0;
}

void
rig_stop(struct rig *r)
{
	kill(r->pid, SIGTERM);
	rig_wait_ended(r);
	rig_remove(r, NULL);
}

/* The folder of that path, with the files in it. */
static void
remove_folder(const char *folder)
{
	DIR *d = opendir(folder);
	struct dirent *e;

	if (d == NULL)
		return;
	while ((e = readdir(d)) != NULL)
		unlinkat(dirfd(d), e->d_name, 0);
	closedir(d);
	rmdir(folder);
}

void
rig_remove(struct rig *r, const char *also)
{
	char path[128];

	unlink(r->log);
	remove_folder(r->state);
	if (also) {
		rig_path(r, also, path, sizeof(path));
		ck_assert_int_eq(remove(path), 0);
	}
	ck_assert_msg(rmdir(r->folder) == 0, "something is left in %s", r->folder);
}

bool
rig_has_logged(const struct rig *r, const char *text)
{
	return strstr(read_log(r), text) != NULL;
}

void
rig_wait_logged(const struct rig *r, const char *text)
{
	uint64_t began_ms = 0;

	while (!rig_has_logged(r, text) && rig_again(&began_ms, text))
		;
}

size_t
rig_open_files(const struct rig *r)
{
	char path[64];
	size_t n = 0;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)r->pid);
	d = opendir(path);
	ck_assert_ptr_nonnull(d);
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n - 2;
}

static void
read_stat(const struct rig *r, unsigned long *ret_ticks, long *ret_pages)
{
	char path[64], line[1024];
	unsigned long user, system;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)r->pid);
	f = fopen(path, "r");
	ck_assert_ptr_nonnull(f);
	ck_assert_ptr_nonnull(fgets(line, sizeof(line), f));
	fclose(f);
	ck_assert_int_eq(
	    sscanf(strrchr(line, ')') + 2,
		"%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %*d %*d "
		"%*d %*d %*d %*d %*u %*u %ld",
		&user, &system, ret_pages),
	    3);
	*ret_ticks = user + system;
}

double
rig_cpu_seconds(const struct rig *r)
{
	unsigned long ticks;
	long pages;

	read_stat(r, &ticks, &pages);
	return (double)ticks / (double)sysconf(_SC_CLK_TCK);
}

/* Sanitizers and valgrind keep freed memory for a while. */
static bool
is_watched(void)
{
	char line[512];
	bool found = __lsan_do_recoverable_leak_check || __tsan_init;
	FILE *f = fopen("/proc/self/maps", "r");

	while (f && !found && fgets(line, sizeof(line), f) != NULL)
		found = strstr(line, "vgpreload") != NULL;
	if (f)
		fclose(f);
	return found;
}

size_t
rig_resident_bytes(const struct rig *r)
{
	unsigned long ticks;
	long pages;

	if (is_watched())
		return 0;
	read_stat(r, &ticks, &pages);
	return (size_t)pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* ---- Files ------------------------------------------------------------- */

bool
rig_exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

void
rig_write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

int
rig_bind_unix(const char *path, int type)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}
