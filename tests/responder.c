/* SPDX-License-Identifier: Apache-2.0 */
#include "responder.h"

#include <check.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "sp.h"

#define REPLY_ROOM (1U << 21)
#define FOLD_STORE 77

/* ---- Waiting ----------------------------------------------------------- */

static uint64_t
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

bool
responder_again(uint64_t *began_ns, const char *what)
{
	uint64_t now = now_ns();
	const char *slow = getenv("CK_TIMEOUT_MULTIPLIER");
	uint64_t seconds = RESPONDER_SECONDS * (slow ? (uint64_t)atoi(slow) : 1);

	if (*began_ns == 0)
		*began_ns = now;
	else
		nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
	ck_assert_msg(now - *began_ns < seconds * 1000000000U, "no %s in time", what);
	return true;
}

/* ---- What it was told -------------------------------------------------- */

static struct responder_session *
find_session(struct responder *r, const uint8_t *sid)
{
	for (size_t i = 0; i < r->sessions; i++)
		if (memcmp(r->session[i].sid, sid, MESSAGE_SID_BYTES) == 0)
			return &r->session[i];
	return NULL;
}

static struct responder_session *
find_serial(struct responder *r, uint64_t serial)
{
	for (size_t i = 0; i < r->sessions; i++)
		if (r->session[i].serial == serial)
			return &r->session[i];
	return NULL;
}

static void
free_session(struct responder_session *s)
{
	for (size_t i = 0; i < s->children; i++)
		free(s->child[i].name);
	for (size_t i = 0; i < s->metrics; i++)
		free(s->metric_name[i]);
	free(s->child);
	free(s->metric);
	free(s->metric_name);
	free(s->cell);
}

static void
room_for_cells(struct responder_session *s, size_t n)
{
	if (n <= s->cells)
		return;
	s->cell = realloc(s->cell, n * 2 * sizeof(s->cell[0]));
	thread_must(s->cell != NULL);
	memset(s->cell + s->cells, 0, (n * 2 - s->cells) * sizeof(s->cell[0]));
	s->cells = n * 2;
}

static void
take_metric(struct responder_session *s, const struct message_metric *m)
{
	while (s->metrics <= m->id) {
		s->metrics++;
		s->metric = realloc(s->metric, s->metrics * sizeof(s->metric[0]));
		s->metric_name = realloc(s->metric_name, s->metrics * sizeof(char *));
		s->metric_name[s->metrics - 1] = NULL;
	}
	free(s->metric_name[m->id]);
	s->metric[m->id] = *m;
	s->metric_name[m->id] = strndup(m->name.at, m->name.bytes);
}

static void
take_child(
    struct responder *r, struct responder_session *s, const struct message_child *m)
{
	const struct message_metric *metric = &s->metric[m->metric];
	struct responder_child *c = NULL;
	char name[512];
	size_t n;

	n = (size_t)snprintf(name, sizeof(name), "%s", s->metric_name[m->metric]);
	for (size_t i = 0; i < m->n_values; i++)
		n += (size_t)snprintf(name + n, sizeof(name) - n, "%s%.*s", i ? "," : "{",
		    (int)m->value[i].bytes, m->value[i].at);
	if (m->n_values)
		snprintf(name + n, sizeof(name) - n, "}");
	/* Searching a long list again and again would take for ever. */
	for (size_t i = 0; i < s->children && s->children < 5000; i++)
		if (strcmp(s->child[i].name, name) == 0)
			c = &s->child[i];
	if (!c) {
		if ((s->children & (s->children + 1)) == 0)
			s->child = realloc(
			    s->child, (s->children * 2 + 2) * sizeof(s->child[0]));
		c = &s->child[s->children++];
		c->there = false;
		c->name = strdup(name);
	}
	r->moved += c->there && c->cell != m->cell;
	c->kind = metric->kind;
	c->metric = m->metric;
	c->cell = m->cell;
	c->n = message_cells(metric->kind, metric->merge, metric->n_bounds);
	c->there = true;
	room_for_cells(s, c->cell + c->n);
}

/* A child over the limit: one that is there already never is. */
static bool
is_too_many(const struct responder *r, const struct responder_session *s,
    const struct message_child *m)
{
	size_t n = 0;

	for (size_t i = 0; i < s->children && r->most_children > 0; i++) {
		const struct responder_child *c = &s->child[i];

		if (c->there && c->metric == m->metric && c->cell == m->cell)
			return false;
		n += c->there;
	}
	return r->most_children > 0 && n >= r->most_children;
}

static void
answer_define(struct responder *r, struct responder_session *s, struct message *m,
    struct wire_writer *w)
{
	struct refusal taken = { REASON_TYPE, "it is taken" };
	struct refusal full = { REASON_LIMIT, "there are too many" };
	struct message_item item;
	size_t begun = message_begin_ack(w, m->n);
	uint32_t refused = 0;

	for (uint32_t i = 0; i < m->count; i++) {
		const char *name = r->refuse_name;
		bool many, bad = false;

		message_next_item(&m->items, &item);
		if (item.type == MESSAGE_ITEM_METRIC)
			bad = name && wire_text_is(item.metric.name, name);
		else
			bad = item.child.metric >= s->metrics ||
			      !s->metric_name[item.child.metric];
		many = item.type == MESSAGE_ITEM_CHILD && is_too_many(r, s, &item.child);
		if (bad || many) {
			message_put_refused_item(w, i, bad ? &taken : &full);
			refused++;
		} else if (item.type == MESSAGE_ITEM_METRIC) {
			take_metric(s, &item.metric);
		} else {
			take_child(r, s, &item.child);
		}
	}
	message_end(w, begun, refused);
}

static bool
is_defined(const struct responder *r, const struct responder_session *s, uint32_t cell)
{
	for (size_t i = 0; i < s->children; i++) {
		const struct responder_child *c = &s->child[i];

		if (cell == MESSAGE_CELL_DROPPED)
			return true;
		if (c->there && cell >= c->cell && cell < c->cell + c->n)
			return !r->refuse_child || strcmp(c->name, r->refuse_child) != 0;
		if (s->children > 5000)
			return true;
	}
	return false;
}

static void
answer_update(struct responder *r, struct responder_session *s, struct message *m,
    struct wire_writer *w)
{
	struct refusal no = { REASON_CELL, "no such cell" };
	const uint8_t *p = m->records;

	for (uint32_t i = 0; i < m->count; i++)
		if (!is_defined(r, s, wire_load_u32(p + 12 * i))) {
			message_put_refused(w, m->n, &no);
			return;
		}
	for (uint32_t i = 0; i < m->count; i++) {
		uint32_t cell = wire_load_u32(p + 12 * i);

		if (cell == MESSAGE_CELL_DROPPED)
			s->dropped = wire_double(wire_load_u64(p + 12 * i + 4));
		else
			s->cell[cell] = wire_load_u64(p + 12 * i + 4);
	}
	s->last = m->n;
	message_end(w, message_begin_ack(w, m->n), 0);
}

static void
answer_remove(struct responder_session *s, struct message *m, struct wire_writer *w)
{
	for (uint32_t i = 0; i < m->count; i++)
		for (size_t k = 0; k < s->children; k++)
			if (s->child[k].cell == wire_load_u32(m->records + 4 * i)) {
				s->child[k].there = false;
				memset(s->cell + s->child[k].cell, 0, 8 * s->child[k].n);
			}
	message_end(w, message_begin_ack(w, m->n), 0);
}

static void
answer_numbered(struct responder *r, struct responder_session *s, struct message *m,
    struct wire_writer *w, const uint8_t *bytes, size_t n)
{
	if (m->n <= s->last) {
		r->resent++;
		r->changed += n != r->last_n || memcmp(bytes, r->last_bytes, n) != 0;
		message_end(w, message_begin_ack(w, m->n), 0);
		return;
	}
	r->last_bytes = realloc(r->last_bytes, n);
	memcpy(r->last_bytes, bytes, n);
	r->last_n = n;
	if (m->type == MESSAGE_UPDATE) {
		answer_update(r, s, m, w);
		return;
	}
	s->last = m->n;
	if (m->type == MESSAGE_DEFINE)
		answer_define(r, s, m, w);
	else
		answer_remove(s, m, w);
}

static struct responder_session *
new_session(struct responder *r, const uint8_t *sid)
{
	struct responder_session *s;

	r->session = realloc(r->session, (r->sessions + 1) * sizeof(r->session[0]));
	s = &r->session[r->sessions++];
	memset(s, 0, sizeof(*s));
	memcpy(s->sid, sid, MESSAGE_SID_BYTES);
	s->serial = ++r->serial;
	s->live = true;
	return s;
}

static void
answer_hello(struct responder *r, int peer, struct message *m, struct wire_writer *w)
{
	struct responder_session *s = find_session(r, m->sid);
	struct message reply = { .lease_ms = r->lease_ms,
		.message_bytes = r->message_bytes };
	bool known = m->has_ticket && m->ticket.store == r->store;

	reply.worker = m->worker.bytes ? m->worker : wire_text("0");
	reply.version = wire_text("test");
	if (s && !s->live) {
		message_put_folded(w, r->store, s->last);
		return;
	}
	if (known && !s) {
		message_put_expired(w, r->store);
		return;
	}
	if (s && !known && s->last > 0) {
		message_put_stale(w, r->store);
		return;
	}
	if (!s)
		s = new_session(r, m->sid);
	reply.type = known ? MESSAGE_LIVE : MESSAGE_NEW;
	reply.ticket = (struct message_ticket){ r->store, s->serial };
	reply.last = s->last;
	r->peer[peer].session = (void *)(uintptr_t)s->serial;
	message_put_welcome(w, &reply);
}

static void
answer_bound(struct responder *r, struct message *m, struct wire_writer *w,
    const uint8_t *bytes, size_t n)
{
	struct responder_session *s = find_serial(r, m->ticket.serial);

	if (!s || m->ticket.store != r->store)
		message_put_expired(w, r->store);
	else if (m->type == MESSAGE_BYE) {
		s->live = false;
		message_put_ok(w);
	} else if (!s->live)
		message_put_folded(w, r->store, s->last);
	else if (m->type == MESSAGE_PING)
		message_end(w, message_begin_ack(w, s->last), 0);
	else
		answer_numbered(r, s, m, w, bytes, n);
}

/* The reply's bytes; 0: close instead. */
static size_t
answer(struct responder *r, int peer, const uint8_t *bytes, size_t n, uint8_t *out)
{
	struct wire_writer w;
	struct message m;

	wire_writer_init(&w, out, REPLY_ROOM);
	r->longest = n > r->longest ? n : r->longest;
	thread_must(message_decode(&m, bytes, n, NULL) == REASON_NONE);
	r->seen[m.type]++;
	if (r->listens)
		r->listens(r->listens_arg, &m, n);
	if (r->mood == RESPONDER_GARBAGE)
		return (size_t)snprintf((char *)out, 64, "HTTP/1.1 400 Bad Request");
	if (r->mood == RESPONDER_CLOSES)
		return 0;
	if (m.type == MESSAGE_HELLO)
		answer_hello(r, peer, &m, &w);
	else if (m.type == MESSAGE_EXPOSE)
		message_put_text(&w, wire_text("a page\n"));
	else if (!r->peer[peer].session)
		message_put_unbound(&w);
	else
		answer_bound(r, &m, &w, bytes, n);
	if (r->mood == RESPONDER_FOREIGN) {
		wire_writer_init(&w, out, REPLY_ROOM);
		message_put_error(&w, &(struct refusal){ REASON_VERSION,
					  "this daemon speaks version 9 of the protocol, "
					  "the worker version 1" });
		out[4] = 9;
	}
	thread_must(!w.failed);
	return w.bytes;
}

/* ---- Bytes ------------------------------------------------------------- */

static bool
read_all(int fd, void *to, size_t n)
{
	for (size_t have = 0; have < n;) {
		ssize_t got = recv(fd, (char *)to + have, n - have, 0);

		if (got <= 0)
			return false;
		have += (size_t)got;
	}
	return true;
}

static void
write_all(int fd, const void *from, size_t n)
{
	for (size_t sent = 0; sent < n;) {
		ssize_t put = send(fd, (const char *)from + sent, n - sent, MSG_NOSIGNAL);

		if (put <= 0)
			return;
		sent += (size_t)put;
	}
}

static bool
reply(struct responder *r, int i, uint8_t *request, size_t n)
{
	uint8_t *out = r->reply, frame[SP_FRAME_BYTES];
	size_t bytes;
	bool drop;

	pthread_mutex_lock(&r->lock);
	bytes = answer(r, i, request + 4, n - 4, out + 4);
	drop = r->drop_replies > 0;
	if (drop)
		r->drop_replies--;
	sp_put_frame(frame, r->mood == RESPONDER_LONG ? 1ULL << 60 : bytes + 4);
	if (r->mood == RESPONDER_SILENT)
		bytes = SIZE_MAX;
	if (r->mood == RESPONDER_STRANGER)
		request[3] ^= 1;
	pthread_mutex_unlock(&r->lock);
	memcpy(out, request, 4);
	if (bytes && bytes != SIZE_MAX && !drop) {
		write_all(r->peer[i].fd, frame, sizeof(frame));
		write_all(r->peer[i].fd, out, bytes + 4);
	}
	return bytes != 0 && !drop;
}

static bool
serve(struct responder *r, int i)
{
	uint8_t frame[SP_FRAME_BYTES];
	uint64_t n;

	if (!read_all(r->peer[i].fd, frame, sizeof(frame)))
		return false;
	thread_must(sp_get_frame(frame, &n) == 0);
	r->request = realloc(r->request, n);
	return read_all(r->peer[i].fd, r->request, n) && reply(r, i, r->request, n);
}

/* fd: -1 ends the connection. */
static void
set_peer(struct responder *r, int i, int fd)
{
	pthread_mutex_lock(&r->lock);
	if (fd < 0)
		close(r->peer[i].fd);
	r->peer[i].fd = fd;
	pthread_mutex_unlock(&r->lock);
}

static void
greet(struct responder *r)
{
	uint8_t header[SP_HEADER_BYTES];
	int fd = accept(r->listener, NULL, NULL), i = 0;

	thread_must(fd >= 0);
	while (i < RESPONDER_PEERS && r->peer[i].fd >= 0)
		i++;
	thread_must(i < RESPONDER_PEERS);
	pthread_mutex_lock(&r->lock);
	r->connections++;
	pthread_mutex_unlock(&r->lock);
	sp_put_header(header, SP_REP);
	write_all(fd, header, sizeof(header));
	if (!read_all(fd, header, sizeof(header)) || sp_get_header(header) != SP_REQ) {
		close(fd);
		return;
	}
	r->peer[i].session = NULL;
	set_peer(r, i, fd);
}

static void *
run(void *arg)
{
	struct responder *r = arg;

	for (;;) {
		struct pollfd fds[RESPONDER_PEERS + 2] = { { r->stop[0], POLLIN, 0 },
			{ r->listener, POLLIN, 0 } };

		for (int i = 0; i < RESPONDER_PEERS; i++)
			fds[i + 2] = (struct pollfd){ r->peer[i].fd, POLLIN, 0 };
		poll(fds, RESPONDER_PEERS + 2, -1);
		if (fds[0].revents)
			return NULL;
		for (int i = 0; i < RESPONDER_PEERS; i++)
			if (r->peer[i].fd >= 0 && fds[i + 2].revents && !serve(r, i))
				set_peer(r, i, -1);
		if (fds[1].revents)
			greet(r);
	}
}

/* ---- For tests --------------------------------------------------------- */

void
responder_be(struct responder *r, enum responder_mood mood)
{
	pthread_mutex_lock(&r->lock);
	r->mood = mood;
	pthread_mutex_unlock(&r->lock);
}

uint32_t
responder_connections(struct responder *r)
{
	uint32_t n;

	pthread_mutex_lock(&r->lock);
	n = r->connections;
	pthread_mutex_unlock(&r->lock);
	return n;
}

void
responder_make(struct responder *r)
{
	memset(r, 0, sizeof(*r));
	snprintf(r->folder, sizeof(r->folder), "/tmp/responder-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(r->folder));
	snprintf(r->address, sizeof(r->address), "ipc://%s/ingest", r->folder);
	r->path = r->address + strlen("ipc://");
	r->lease_ms = 15000;
	r->message_bytes = 1U << 20;
	r->store = FOLD_STORE;
	r->listener = -1;
	r->reply = malloc(REPLY_ROOM);
	ck_assert_ptr_nonnull(r->reply);
	for (int i = 0; i < RESPONDER_PEERS; i++)
		r->peer[i].fd = -1;
	pthread_mutex_init(&r->lock, NULL);
}

void
responder_listen(struct responder *r)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };

	memcpy(at.sun_path, r->path, strlen(r->path) + 1);
	r->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(r->listener, (struct sockaddr *)&at, sizeof(at)), 0);
	ck_assert_int_eq(listen(r->listener, 64), 0);
	ck_assert_int_eq(pipe(r->stop), 0);
	ck_assert_int_eq(pthread_create(&r->thread, NULL, run, r), 0);
	r->running = true;
}

void
responder_start(struct responder *r)
{
	responder_make(r);
	responder_listen(r);
}

void
responder_leave(struct responder *r)
{
	if (!r->running)
		return;
	ck_assert_int_eq(write(r->stop[1], "", 1), 1);
	pthread_join(r->thread, NULL);
	r->running = false;
	close(r->stop[0]);
	close(r->stop[1]);
	close(r->listener);
	unlink(r->path);
	for (int i = 0; i < RESPONDER_PEERS; i++) {
		if (r->peer[i].fd >= 0)
			close(r->peer[i].fd);
		r->peer[i].fd = -1;
	}
}

void
responder_cut(struct responder *r)
{
	pthread_mutex_lock(&r->lock);
	for (int i = 0; i < RESPONDER_PEERS; i++)
		if (r->peer[i].fd >= 0)
			shutdown(r->peer[i].fd, SHUT_RDWR);
	pthread_mutex_unlock(&r->lock);
}

void
responder_lose(struct responder *r)
{
	pthread_mutex_lock(&r->lock);
	for (size_t i = 0; i < r->sessions; i++)
		free_session(&r->session[i]);
	free(r->session);
	r->session = NULL;
	r->sessions = 0;
	r->store++;
	pthread_mutex_unlock(&r->lock);
}

void
responder_fold(struct responder *r)
{
	pthread_mutex_lock(&r->lock);
	for (size_t i = 0; i < r->sessions; i++)
		r->session[i].live = false;
	pthread_mutex_unlock(&r->lock);
}

void
responder_expire(struct responder *r)
{
	pthread_mutex_lock(&r->lock);
	for (size_t i = 0; i < r->sessions; i++)
		memset(r->session[i].sid, 0, MESSAGE_SID_BYTES);
	for (size_t i = 0; i < r->sessions; i++)
		r->session[i].serial = UINT64_MAX; /* totals stay */
	pthread_mutex_unlock(&r->lock);
}

void
responder_stop(struct responder *r)
{
	responder_leave(r);
	responder_lose(r);
	free(r->last_bytes);
	free(r->request);
	free(r->reply);
	ck_assert_int_eq(rmdir(r->folder), 0);
	pthread_mutex_destroy(&r->lock);
}

double
responder_value(struct responder *r, const char *child, uint32_t i)
{
	double sum = -1;

	pthread_mutex_lock(&r->lock);
	for (size_t s = 0; s < r->sessions; s++)
		for (size_t k = 0; k < r->session[s].children; k++) {
			const struct responder_child *c = &r->session[s].child[k];

			if (!c->there || strcmp(c->name, child) != 0)
				continue;
			if (sum == -1)
				sum = 0;
			if (c->kind != MESSAGE_GAUGE || r->session[s].live)
				sum += wire_double(r->session[s].cell[c->cell + i]);
		}
	pthread_mutex_unlock(&r->lock);
	return sum;
}

size_t
responder_holders(struct responder *r, const char *child)
{
	size_t n = 0;

	pthread_mutex_lock(&r->lock);
	for (size_t s = 0; s < r->sessions; s++)
		for (size_t k = 0; r->session[s].live && k < r->session[s].children; k++)
			n += r->session[s].child[k].there &&
			     strcmp(r->session[s].child[k].name, child) == 0;
	pthread_mutex_unlock(&r->lock);
	return n;
}

void
responder_wait_value(struct responder *r, const char *child, uint32_t i, double value)
{
	uint64_t began = 0;

	while (responder_again(&began, child) && responder_value(r, child, i) != value)
		;
}

uint32_t
responder_seen(struct responder *r, enum message_type type)
{
	uint32_t n;

	pthread_mutex_lock(&r->lock);
	n = r->seen[type];
	pthread_mutex_unlock(&r->lock);
	return n;
}

void
responder_wait_seen(struct responder *r, enum message_type type, uint32_t n)
{
	uint64_t began = 0;

	while (responder_again(&began, "request") && responder_seen(r, type) < n)
		;
}

void
responder_wait_connections(struct responder *r, uint32_t n)
{
	uint64_t began = 0;

	while (responder_again(&began, "connection") && responder_connections(r) < n)
		;
}
