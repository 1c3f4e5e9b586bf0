/* SPDX-License-Identifier: Apache-2.0 */
#include "request.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <nanomsg/nn.h>
#include <nanomsg/reqrep.h>

#include "sp.h"

/* How often a wait looks whether the connection still is. */
#define SLICE_MS 50
#define RETRY_MS 20
/* The longest answer: far above the daemon's message limit, whatever is configured. */
#define MAX_REPLY_BYTES (256 << 20)

static int64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- The socket's path --------------------------------------------------- */

static enum ctl_exit
connect_failed(const char *path, int error_number, struct ctl_error *error)
{
	switch (error_number) {
	case ECONNREFUSED:
		return ctl_fail(error, CTL_UNREACHABLE,
		    "nobody listens at %s: the daemon that made it is gone; start "
		    "dynamo-metricsd",
		    path);
	case EACCES:
	case EPERM:
		return ctl_fail(error, CTL_UNREACHABLE,
		    "%s: permission denied: are you in the socket's group?", path);
	}
	return ctl_fail(error, CTL_UNREACHABLE, "%s: %s", path, strerror(error_number));
}

/* Libnanomsg tells a missing daemon by silence only; the kernel tells at once. */
static enum ctl_exit
check_path(const char *path, struct ctl_error *error)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct stat st;
	int fd, failed;

	if (stat(path, &st) != 0 && errno == ENOENT)
		return ctl_fail(error, CTL_UNREACHABLE,
		    "there is no %s: dynamo-metricsd is not running, or listens "
		    "elsewhere (--address or DYN_METRICSD_ADDRESS says where)",
		    path);
	if (stat(path, &st) != 0)
		return connect_failed(path, errno, error);
	if (!S_ISSOCK(st.st_mode))
		return ctl_fail(error, CTL_UNREACHABLE,
		    "%s is not a socket: the address is not that of a daemon", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return connect_failed(path, errno, error);
	memcpy(address.sun_path, path, strlen(path) + 1);
	failed = connect(fd, (struct sockaddr *)&address, sizeof(address)) ? errno : 0;
	close(fd);
	/* EAGAIN: many peers wait to be accepted, so somebody listens. */
	return failed && failed != EAGAIN ? connect_failed(path, failed, error) : CTL_OK;
}

enum ctl_exit
request_check_address(const char *address, struct ctl_error *error)
{
	const char *path = sp_ipc_path(address);

	if (path)
		return check_path(path, error);
	/* Libnanomsg aborts the program over some of these. */
	if (strncmp(address, SP_IPC_PREFIX, strlen(SP_IPC_PREFIX)) == 0)
		return ctl_fail(error, CTL_USAGE,
		    "the address '%s' has to be ipc:// and an absolute path of at most "
		    "107 bytes",
		    address);
	if (strlen(address) >= NN_SOCKADDR_MAX)
		return ctl_fail(
		    error, CTL_USAGE, "the address '%s' is too long", address);
	return CTL_OK;
}

/* ---- The exchange --------------------------------------------------------- */

enum outcome {
	ANSWERED,
	LATE,	     /* no answer in time */
	BROKEN,	     /* the connection ended without one */
	NOT_REACHED, /* there was no connection: nothing was sent */
	FAILED	     /* libnanomsg: errno says why */
};

/* A cooked REQ socket sends a request again by itself when its connection breaks. A raw
 * one does not, and takes the request's id as a control message: its size, then it. */
union control {
	struct nn_cmsghdr align;
	uint8_t bytes[64];
};

#define REQUEST_ID_BYTES sizeof(uint32_t)

struct connection {
	const struct ctl_options *o;
	int socket;
	uint32_t last_id;
};

static int
open_socket(const struct ctl_options *o)
{
	int retry_ms = RETRY_MS, most = MAX_REPLY_BYTES;
	int s = nn_socket(AF_SP_RAW, NN_REQ);

	if (s < 0)
		return -1;
	if (nn_setsockopt(s, NN_SOL_SOCKET, NN_RECONNECT_IVL, &retry_ms, sizeof(int)) ==
		0 &&
	    nn_setsockopt(s, NN_SOL_SOCKET, NN_RCVMAXSIZE, &most, sizeof(int)) == 0 &&
	    nn_setsockopt(s, NN_SOL_SOCKET, NN_SNDTIMEO, &o->timeout_ms, sizeof(int)) ==
		0 &&
	    nn_connect(s, o->address) >= 0)
		return s;
	nn_close(s);
	return -1;
}

/* LATE: it is sent. */
static enum outcome
send_request(struct connection *r, const void *payload, size_t bytes)
{
	union control control = { .bytes = { 0 } };
	struct nn_iovec iov = { .iov_base = (void *)(uintptr_t)payload,
		.iov_len = bytes };
	struct nn_msghdr m = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = NN_CMSG_SPACE(sizeof(size_t) + REQUEST_ID_BYTES) };
	struct nn_cmsghdr *c = NN_CMSG_FIRSTHDR(&m);
	size_t id_bytes = REQUEST_ID_BYTES;

	c->cmsg_len = NN_CMSG_LEN(sizeof(size_t) + REQUEST_ID_BYTES);
	c->cmsg_level = PROTO_SP;
	c->cmsg_type = SP_HDR;
	memcpy(NN_CMSG_DATA(c), &id_bytes, sizeof(id_bytes));
	/* One request at a time: there is no other answer to take for its. */
	sp_put_request_id(NN_CMSG_DATA(c) + sizeof(id_bytes), ++r->last_id);
	if (nn_sendmsg(r->socket, &m, 0) >= 0)
		return LATE;
	return errno == ETIMEDOUT ? NOT_REACHED : FAILED;
}

static enum outcome
wait_for_reply(int s, uint64_t broken, int64_t end_ms, uint8_t **ret, size_t *ret_bytes)
{
	void *reply;

	for (;;) {
		int64_t left = end_ms - now_ms();
		int slice = left > SLICE_MS ? SLICE_MS : (int)left, n;

		if (slice <= 0)
			return LATE;
		nn_setsockopt(s, NN_SOL_SOCKET, NN_RCVTIMEO, &slice, sizeof(slice));
		n = nn_recv(s, &reply, NN_MSG, 0);
		if (n >= 0) {
			*ret = malloc((size_t)n + 1);
			if (*ret)
				memcpy(*ret, reply, (size_t)n);
			*ret_bytes = (size_t)n;
			nn_freemsg(reply);
			return *ret ? ANSWERED : FAILED;
		}
		if (errno != ETIMEDOUT && errno != EINTR)
			return FAILED;
		if (nn_get_statistic(s, NN_STAT_BROKEN_CONNECTIONS) > broken)
			return BROKEN;
	}
}

static enum ctl_exit
outcome_exit(const struct ctl_options *o, enum outcome outcome, struct ctl_error *error)
{
	switch (outcome) {
	case ANSWERED:
		return CTL_OK;
	case LATE:
		return ctl_fail(error, CTL_UNREACHABLE,
		    "no answer from %s within %d ms; the message may have been taken or "
		    "not",
		    o->address, o->timeout_ms);
	case BROKEN:
		return ctl_fail(error, CTL_UNREACHABLE,
		    "%s closed the connection without an answer; is it dynamo-metricsd, "
		    "and is the message not too long for it?",
		    o->address);
	case NOT_REACHED:
		return ctl_fail(error, CTL_UNREACHABLE,
		    "%s cannot be reached within %d ms", o->address, o->timeout_ms);
	case FAILED:
		break;
	}
	if (errno == EINVAL || errno == EPROTONOSUPPORT || errno == ENODEV)
		return ctl_fail(error, CTL_USAGE,
		    "the address '%s' is none: say ipc:///path, or tcp://host:port",
		    o->address);
	return ctl_fail(error, CTL_UNREACHABLE, "%s: %s", o->address, nn_strerror(errno));
}

enum ctl_exit
request_open(
    const struct ctl_options *o, struct connection **ret, struct ctl_error *error)
{
	enum ctl_exit code = request_check_address(o->address, error);
	struct connection *c;

	if (code != CTL_OK)
		return code;
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return ctl_fail(error, CTL_UNREACHABLE, "out of memory");
	c->o = o;
	/* Behind a bridge all senders are one process to the daemon, which tells their
	 * requests apart by these. Numbers from 0 on would do, if there is no random one.
	 */
	if (getrandom(&c->last_id, sizeof(c->last_id), GRND_NONBLOCK) < 0)
		c->last_id = 0;
	c->socket = open_socket(o);
	if (c->socket < 0) {
		code = outcome_exit(o, FAILED, error);
		free(c);
		return code;
	}
	*ret = c;
	return CTL_OK;
}

void
request_close(struct connection *c)
{
	if (c)
		nn_close(c->socket);
	free(c);
}

enum ctl_exit
request(struct connection *c, const void *payload, size_t bytes, uint8_t **ret,
    size_t *ret_bytes, struct ctl_error *error)
{
	int64_t end_ms = now_ms() + c->o->timeout_ms;
	/* How many connections had broken before. */
	uint64_t broken = nn_get_statistic(c->socket, NN_STAT_BROKEN_CONNECTIONS);
	enum outcome outcome = send_request(c, payload, bytes);

	if (outcome == LATE)
		outcome = wait_for_reply(c->socket, broken, end_ms, ret, ret_bytes);
	return outcome_exit(c->o, outcome, error);
}

/* ---- Binary messages ------------------------------------------------------ */

enum ctl_exit
request_fail(const uint8_t *reply, size_t bytes, struct ctl_error *error)
{
	struct message m;
	struct refusal r = { 0 };
	enum reason reason = message_decode(&m, reply, bytes, &r);

	if (reason == REASON_NONE && m.type == MESSAGE_ERROR)
		return ctl_fail(error, CTL_REFUSED, "refused: %s: %.*s",
		    message_reason_word(m.reason), (int)m.text.bytes, m.text.at);
	if (reason == REASON_VERSION)
		return ctl_fail(error, CTL_REFUSED, "refused: version: %s", r.text);
	return ctl_fail(error, CTL_UNREACHABLE,
	    "the answer makes no sense: is it dynamo-metricsd that listens there?");
}

enum ctl_exit
request_text_on(struct connection *c, const struct wire_writer *w, uint8_t **ret,
    struct wire_text *ret_text, struct ctl_error *error)
{
	uint8_t *reply = NULL;
	size_t bytes = 0;
	struct message m;
	enum ctl_exit code;

	if (w->failed)
		return ctl_fail(error, CTL_USAGE, "that is too long for a message");
	code = request(c, w->start, w->bytes, &reply, &bytes, error);
	if (code != CTL_OK)
		return code;
	if (message_decode(&m, reply, bytes, NULL) != REASON_NONE ||
	    m.type != MESSAGE_TEXT) {
		code = request_fail(reply, bytes, error);
		free(reply);
		return code;
	}
	*ret = reply;
	*ret_text = m.text;
	return CTL_OK;
}

enum ctl_exit
request_text(const struct ctl_options *o, const struct wire_writer *w, uint8_t **ret,
    struct wire_text *ret_text, struct ctl_error *error)
{
	struct connection *c = NULL;
	enum ctl_exit code = request_open(o, &c, error);

	if (code == CTL_OK)
		code = request_text_on(c, w, ret, ret_text, error);
	request_close(c);
	return code;
}
