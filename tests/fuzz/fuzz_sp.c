/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ingest socket: two peers that send anything in any pieces, take their answers as
 * they like, and leave. What ingest takes from them is compared with a reader of a few
 * lines that sees all of it at once, and so is what it sends.
 *
 * Sockets, clocks, processes and libevent are played by sp_stage.c, and apply is played
 * here. Input: a byte of options, a script behind its length, then what the first peer
 * sends behind its length (16 bits), and what the second one does. See act() and cook()
 * for what their bytes mean.
 */
#include "sp_stage.h"

enum { MESSAGE_BYTES = 256, QUEUE_BYTES = 4096, FRAME_MS = 10000, ROOM = 8192 };

/* At file scope, as what is played has no argument for it. */
static struct ingest *in;
static struct turn turn;
static struct apply_binding *const binding = (struct apply_binding *)&turn;

/* ---- The simple reader ---------------------------------------------------------- */

enum next { NEXT_NONE, NEXT_WHOLE, NEXT_BAD, NEXT_LONG };

static uint64_t
length_of(const uint8_t *p)
{
	uint64_t n = 0;

	for (int i = 1; i < 9; i++)
		n = n << 8 | p[i];
	return n;
}

/* What comes next of what has arrived, behind the header. */
static enum next
look(const struct peer *p, struct wire_text *ret)
{
	const uint8_t *at = (const uint8_t *)p->sends.at + p->taken;
	size_t left = p->arrived - p->taken;

	if (left < 9)
		return NEXT_NONE;
	if (at[0] != 1)
		return NEXT_BAD;
	if (length_of(at) > MESSAGE_BYTES + 32)
		return NEXT_LONG;
	*ret = (struct wire_text){ (const char *)at + 9, (size_t)length_of(at) };
	return left - 9 < ret->bytes ? NEXT_NONE : NEXT_WHOLE;
}

/* The bytes of a backtrace; 0: it has none. */
static size_t
backtrace_of(struct wire_text t)
{
	for (size_t n = 0; n < 8 && 4 * n + 4 <= t.bytes; n++)
		if (t.at[4 * n] & 0x80)
			return 4 * n + 4;
	return 0;
}

/* The next message that apply is to get: those without a backtrace are left out. */
static enum next
next_message(struct peer *p, struct wire_text *ret, size_t *ret_backtrace)
{
	enum next next;

	if (p->taken == 0) {
		if (p->arrived < 8)
			return NEXT_NONE;
		if (p->answers.bytes == 0)
			return NEXT_BAD;
		p->taken = 8;
	}
	*ret_backtrace = 0;
	while ((next = look(p, ret)) == NEXT_WHOLE) {
		*ret_backtrace = p->pushes ? 0 : backtrace_of(*ret);
		if (p->pushes || *ret_backtrace)
			return next;
		p->taken += 9 + ret->bytes;
	}
	return next;
}

/* The header is right: what is said to it. */
static void
greet(struct peer *p)
{
	static const char good[] = { 0, 'S', 'P', 0, 0 };
	static const char ours[] = { 0, 'S', 'P', 0, 0, 0, 0, 0 };
	const char *at = p->sends.at;

	if (p->sends.bytes < 8 || memcmp(at, good, 5) != 0 || at[6] || at[7] ||
	    (at[5] != 0x30 && at[5] != 0x50))
		return;
	p->pushes = at[5] == 0x50;
	strbuf_add(&p->answers, ours, sizeof(ours));
	p->answers.at[5] = p->pushes ? 0x51 : 0x31;
}

/* ---- apply, played ---------------------------------------------------------------- */

static struct peer *
peer_of(const struct apply_peer *peer)
{
	return &peers[peer->connection - 1];
}

void
apply_request(struct apply *a, struct apply_peer *peer, const void *payload, size_t bytes,
    uint64_t now_ms, struct strbuf *reply)
{
	struct peer *p = peer_of(peer);
	size_t backtrace, begun = reply->bytes;
	struct wire_text t;
	uint8_t head[9] = { 1 };

	(void)a;
	(void)now_ms;
	fuzz_must(next_message(p, &t, &backtrace) == NEXT_WHOLE, "it is a whole message");
	fuzz_must(bytes == t.bytes - backtrace &&
		      (bytes == 0 || memcmp(payload, t.at + backtrace, bytes) == 0),
	    "it is as it was sent");
	fuzz_must(peer->direct == (backtrace == 4), "it is direct if it is");
	fuzz_must(p->pushes == !peer->has_request && (!p->pushes || peer->unheard),
	    "a PUSH is not answered");
	p->taken += 9 + t.bytes;
	p->bound = p == &peers[1];
	peer->bindings = p->bound ? binding : NULL;
	/* Long answers to what begins so. */
	strbuf_add(reply, "answer", 6);
	for (int i = 0; bytes && *(const char *)payload == 'L' && i < 40; i++)
		strbuf_add(reply, t.at, t.bytes < 64 ? t.bytes : 64);
	if (peer->unheard)
		return;
	bytes = backtrace + reply->bytes - begun;
	for (size_t i = 0; i < 8; i++)
		head[8 - i] = (uint8_t)(bytes >> (8 * i));
	strbuf_add(&p->answers, head, sizeof(head));
	strbuf_add(&p->answers, t.at, backtrace);
	strbuf_add(&p->answers, reply->at + begun, reply->bytes - begun);
}

void
apply_closed(struct apply *a, const struct apply_peer *peer, enum reason reason,
    const char *why, uint64_t now_ms)
{
	struct peer *p = peer_of(peer);
	size_t backtrace;
	struct wire_text t;
	enum next next = next_message(p, &t, &backtrace);

	(void)a;
	(void)now_ms;
	fuzz_must(!p->refused, "a connection is refused once");
	p->refused = true;
	if (reason == REASON_LIMIT)
		fuzz_must(strstr(why, "buffered_bytes") != NULL, "that is a limit here");
	else if (reason == REASON_LENGTH)
		fuzz_must(next == NEXT_LONG, "a message is too long");
	else
		fuzz_must(reason == REASON_MESSAGE && (next == NEXT_BAD || p->late),
		    "something is wrong: %s", why);
}

void
apply_disconnect(
    struct apply *a, struct apply_peer *peer, bool process_gone, uint64_t now_ms)
{
	struct peer *p = peer_of(peer);
	size_t backtrace;
	struct wire_text t;

	(void)a;
	(void)now_ms;
	fuzz_must(p->c != NULL && process_gone == p->dead, "it was there");
	fuzz_must(p->refused || p->ended || p->dead, "it had a reason to go");
	/* A session that a child begins is over at once. */
	fuzz_must(
	    p->refused || p->cloned || next_message(p, &t, &backtrace) != NEXT_WHOLE,
	    "it is read to its end");
	p->c = NULL;
	peer->bindings = NULL;
}

bool
apply_has_worker(const struct apply *a, const struct apply_peer *peer)
{
	(void)a;
	return peer->bindings != NULL;
}

/* A turn of the loop. True if anything happened. */
static bool
turn_once(void)
{
	bool any = stage_events();

	any |= ingest_is_behind(in);
	ingest_turn(in);
	for (int i = 0; i < PEERS; i++)
		peers[i].released = peers[i].answers.bytes;
	ingest_release(in);
	turn_end(&turn);
	fuzz_must(in->buffered <= PEERS * 131072, "little is held");
	return any;
}

/* ---- The play
 * --------------------------------------------------------------------------- */

static void
arrive(struct peer *p, size_t n)
{
	size_t left = p->sends.bytes - p->arrived;

	if (!p->ended && (!p->dead || p->cloned))
		p->arrived += n < left ? n : left;
}

static void
pass_ms(uint64_t ms)
{
	clock_ns += ms * 1000000;
	for (int i = 0; i < PEERS; i++)
		peers[i].late |= ms > 0;
}

static void
act(uint8_t what)
{
	size_t n = what / 8;
	struct peer *p = &peers[n % 2];

	switch (what % 8) {
	case 0:
	case 1:
		arrive(&peers[what % 8], n < 16 ? n + 1 : (n - 15) * 16);
		return;
	case 2:
		p->window += n * 8;
		return;
	case 3:
		turn_once();
		return;
	case 4:
		tick_ns = n * 20000;
		return;
	case 5:
		pass_ms(n * 500);
		turn_once();
		return;
	case 6:
		p->ended = true;
		return;
	case 7:
		if (n % 4 == 3) {
			peers[1].cloned |= !peers[1].dead && !peers[1].bound;
			peers[1].dead = true;
		} else if (n % 4 < 2)
			ingest_hold(in, n % 4 == 1);
		return;
	}
}

/* Nothing is left to be done: each has all that it can have. */
static void
settle(void)
{
	int turns = 0;

	while (turn_once() && turns < 4000)
		turns++;
	fuzz_must(turns < 4000, "the loop does not spin");
}

static void
finish(void)
{
	size_t backtrace;
	struct wire_text t;

	tick_ns = 0;
	ingest_hold(in, false);
	for (int i = 0; i < PEERS; i++) {
		arrive(&peers[i], SIZE_MAX);
		peers[i].window = SIZE_MAX;
	}
	settle();
	for (int i = 0; i < PEERS; i++) {
		struct peer *p = &peers[i];

		if (p->c == NULL || p->refused || p->ended || p->dead)
			continue;
		fuzz_must(next_message(p, &t, &backtrace) == NEXT_NONE, "all is taken");
		fuzz_must(
		    p->got == p->answers.bytes || p->arrived < 8, "all answers are sent");
	}
	for (int i = 0; i < PEERS; i++)
		peers[i].ended = true;
	settle();
	pass_ms(2 * FRAME_MS);
	settle();
	fuzz_must(in->connections == 0 && in->buffered == 0 && TAILQ_EMPTY(&in->open) &&
		      TAILQ_EMPTY(&in->held) && TAILQ_EMPTY(&in->waiting) &&
		      TAILQ_EMPTY(&in->bulky),
	    "nothing is left of those who have gone");
}

/* Frames whose bytes are right, but for what the input says. */
static void
cook(struct strbuf *out, struct fuzz_input from)
{
	static const char heads[2][8] = { { 0, 'S', 'P', 0, 0, 0x30 },
		{ 0, 'S', 'P', 0, 0, 0x50 } };

	strbuf_add(out, heads[fuzz_u8(&from) % 2], 8);
	while (from.bytes) {
		uint8_t kind = fuzz_u8(&from), n = fuzz_u8(&from);
		uint8_t head[13] = { 1, [9] = 0x80, [12] = kind };
		bool id = kind % 4 == 0;
		struct wire_text t = fuzz_bytes(&from, n);

		wire_store_u32(head + 5, __builtin_bswap32((uint32_t)t.bytes + 4 * id));
		/* Near to the longest that is taken. */
		if (kind % 4 == 2) {
			head[7] = 1;
			head[8] = fuzz_u8(&from);
		}
		if (kind % 4 != 3)
			strbuf_add(out, head, id ? 13 : 9);
		strbuf_add(out, t.at, t.bytes);
	}
}

static void
begin(struct fuzz_input *from, uint8_t options)
{
	struct fuzz_input first;

	first.bytes = fuzz_u16(from);
	first.at = (const uint8_t *)fuzz_bytes(from, first.bytes).at;
	first.bytes = (size_t)(from->at - first.at);
	for (int i = 0; i < PEERS; i++) {
		struct fuzz_input sends = i ? *from : first;

		peers[i] = (struct peer){ .c = NULL };
		strbuf_adds(&peers[i].sends, "");
		strbuf_adds(&peers[i].answers, "");
		if (options >> i & 1)
			cook(&peers[i].sends, sends);
		else
			strbuf_add(&peers[i].sends, sends.at, sends.bytes);
		greet(&peers[i]);
		peers[i].c = connection_new(in, FD + i);
		fuzz_must(peers[i].c != NULL, "it is taken");
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct fuzz_input from = fuzz_begin(bytes, n);
	uint8_t options = fuzz_u8(&from);
	struct wire_text script = fuzz_bytes(&from, fuzz_u8(&from));
	struct ingest_options o = { .listen = LISTEN,
		.connections = PEERS,
		.handshake_ms = 1000,
		.idle_ms = 5000,
		.frame_ms = FRAME_MS,
		.message_bytes = MESSAGE_BYTES,
		.queue_bytes = QUEUE_BYTES,
		.buffered_bytes = options & 4 ? 6000 : 1 << 20 };
	/* Made once: it is not what this is about. */
	static struct self_metrics *self;

	if (self == NULL)
		self = self_metrics_new();
	playing = true;
	clock_ns = 1000000000;
	tick_ns = 0;
	turn = (struct turn){ 0 };
	in = ingest_new(&o, NULL, &turn, NULL, self, NULL);
	fuzz_must(self && in, "memory is there");
	begin(&from, options);
	for (size_t i = 0; i < script.bytes; i++)
		act((uint8_t)script.at[i]);
	finish();
	ingest_free(in);
	for (int i = 0; i < PEERS; i++) {
		fuzz_must(peers[i].c == NULL, "each disconnect is told");
		strbuf_free(&peers[i].sends);
		strbuf_free(&peers[i].answers);
	}
	playing = false;
	return 0;
}
