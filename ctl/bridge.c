/* SPDX-License-Identifier: Apache-2.0 */
/* bridge: the daemon on another of nanomsg's transports, by libnanomsg's own device. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nanomsg/nn.h>
#include <nanomsg/reqrep.h>

#include "ctl.h"
#include "request.h"
#include "sp.h"

/* Longer than any message of a daemon that is configured with sense. */
#define MAX_MESSAGE_BYTES (16 << 20)

static const char *const transports[] = { "tcp://", "ws://", SP_IPC_PREFIX };

/* Libnanomsg would abort over a longer path, and remove a file that is in the way. */
static enum ctl_exit
check_path(const char *url, struct ctl_error *error)
{
	const char *path = sp_ipc_path(url);
	struct stat st;

	if (path == NULL)
		return ctl_fail(error, CTL_USAGE,
		    "'%s' has to be ipc:// and an absolute path of at most 107 bytes",
		    url);
	if (lstat(path, &st) == 0 && !S_ISSOCK(st.st_mode))
		return ctl_fail(error, CTL_USAGE,
		    "cannot listen at %s: what is there is not a socket, and is left "
		    "alone",
		    url);
	return CTL_OK;
}

static enum ctl_exit
check_url(const struct ctl_options *o, const char *url, struct ctl_error *error)
{
	size_t n = strlen(url), i = 0;

	while (i < 3 && strncmp(url, transports[i], strlen(transports[i])) != 0)
		i++;
	if (i == 3 || url[strlen(transports[i])] == '\0')
		return ctl_fail(error, CTL_USAGE,
		    "'%s' is nothing to listen at: say tcp://ADDRESS:PORT, "
		    "ws://ADDRESS:PORT or ipc:///PATH",
		    url);
	if (n >= NN_SOCKADDR_MAX)
		return ctl_fail(error, CTL_USAGE, "'%s' is too long", url);
	if (strcmp(url, o->address) == 0)
		return ctl_fail(error, CTL_USAGE, "'%s' is the daemon itself", url);
	if (i == 2)
		return check_path(url, error);
	/* Nobody could be told which one it is. */
	if (strcmp(url + n - 2, ":0") == 0)
		return ctl_fail(error, CTL_USAGE, "'%s': say a port, not 0", url);
	return CTL_OK;
}

static int
open_side(int protocol)
{
	int most = MAX_MESSAGE_BYTES;
	int s = nn_socket(AF_SP_RAW, protocol);

	if (s >= 0)
		nn_setsockopt(s, NN_SOL_SOCKET, NN_RCVMAXSIZE, &most, sizeof(most));
	return s;
}

/* ---- The end ----------------------------------------------------------------- */

/* SIGINT and SIGTERM end the device: its sockets are taken from it. */
static void *
wait_for_signal(void *arg)
{
	int number;

	sigwait(arg, &number);
	nn_term();
	return NULL;
}

/* The signals are held off in all threads, libnanomsg's too. */
static enum ctl_exit
catch_signals(sigset_t *set, struct ctl_error *error)
{
	pthread_t thread;
	int failed;

	sigemptyset(set);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
	pthread_sigmask(SIG_BLOCK, set, NULL);
	failed = pthread_create(&thread, NULL, wait_for_signal, set);
	if (failed)
		return ctl_fail(error, CTL_USAGE, "%s", strerror(failed));
	pthread_detach(thread);
	return CTL_OK;
}

/* ---- The bridge -------------------------------------------------------------- */

static enum ctl_exit
run_device(const struct ctl_options *o, const char *url, int front, int back,
    struct ctl_error *error)
{
	printf("%s is now %s; Ctrl-C ends it\n", url, o->address);
	fflush(stdout);
	nn_device(front, back);
	if (errno == ETERM || errno == EBADF)
		return CTL_OK;
	return ctl_fail(error, CTL_UNREACHABLE, "%s: %s", url, nn_strerror(errno));
}

enum ctl_exit
ctl_bridge(const struct ctl_options *o, int argc, char **argv, struct ctl_error *error)
{
	static const char hint[] =
	    " (it takes an address of this host, not a name, and a port that is free)";
	const char *url = argc == 1 ? argv[0] : "";
	static sigset_t signals; /* of a thread that outlives this call */
	int front = -1, back = -1;
	enum ctl_exit code;

	if (argc != 1)
		return ctl_fail(error, CTL_USAGE,
		    "bridge takes one URL to listen at, like tcp://127.0.0.1:5555");
	code = check_url(o, url, error);
	if (code == CTL_OK)
		code = request_check_address(o->address, error);
	if (code == CTL_OK)
		code = catch_signals(&signals, error);
	if (code != CTL_OK)
		return code;
	back = open_side(NN_REQ);
	front = open_side(NN_REP);
	if (back < 0 || front < 0 || nn_connect(back, o->address) < 0)
		code = ctl_fail(
		    error, CTL_UNREACHABLE, "%s: %s", o->address, nn_strerror(errno));
	else if (nn_bind(front, url) < 0)
		code = ctl_fail(error, CTL_USAGE, "cannot listen at %s: %s%s", url,
		    nn_strerror(errno), sp_ipc_path(url) ? "" : hint);
	else
		code = run_device(o, url, front, back, error);
	if (code == CTL_OK && sp_ipc_path(url))
		unlink(sp_ipc_path(url));
	return code;
}
