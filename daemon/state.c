/* SPDX-License-Identifier: Apache-2.0 */
#include "state.h"

#include <inttypes.h>
#include <stdlib.h>
#include <sys/random.h>

#include "options.h"
#include "persist.h"
#include "process.h"

/* While no snapshot can be written, the journals come to so many times what would bring
 * one early (or this, if that is less): their folder is memory, on most machines. */
#define HOLD_MS	      5000
#define JOURNALS_MOST 4
#define JOURNAL_BYTES (64 << 20)

struct state {
	const struct config *config;
	struct event_base *base;
	struct turn *turn;
	struct log *log;
	char *runtime; /* the folder */
	struct disk *disk;
	struct journal *journal;
	struct self_metrics *self;
	struct persist *persist; /* NULL until it is loaded */
	struct event *child;	 /* the process that writes a snapshot says something */
};

/* ---- The process that writes a snapshot -------------------------------- */

static void
on_child(int fd, short what, void *arg)
{
	struct state *s = arg;

	(void)fd;
	(void)what;
	turn_ms(s->turn);
	persist_wake(s->persist);
}

/* Without memory for an event, every turn that comes for another reason looks. */
static void
watch(void *arg, int descriptor)
{
	struct state *s = arg;

	if (s->child)
		event_free(s->child);
	s->child = descriptor < 0 ? NULL
				  : event_new(s->base, descriptor, EV_READ | EV_PERSIST,
					on_child, s);
	if (descriptor >= 0 && (s->child == NULL || event_add(s->child, NULL) != 0))
		persist_wake(s->persist);
}

/* ---- Loading ----------------------------------------------------------- */

static uint64_t
unix_ms(void *arg)
{
	(void)arg;
	return turn_unix_ms();
}

static uint64_t
more(int64_t a, int64_t b)
{
	return (uint64_t)(a > b ? a : b);
}

/* A worker that waits for its reply is silent, and is not to be taken for dead. */
static uint32_t
hold_ms(const struct config *c)
{
	uint32_t third_ms = (uint32_t)c->ingest.lease_ms / 3;

	return third_ms < HOLD_MS ? third_ms : HOLD_MS;
}

static struct persist_options
options_of(struct state *s)
{
	const struct config *c = s->config;

	return (struct persist_options){
		.state_path = c->state.path,
		.runtime_path = s->runtime,
		.journal = s->journal != NULL,
		.fsync = (enum persist_fsync)c->state.fsync,
		.journal_bytes = (uint64_t)c->state.journal_bytes,
		.most_bytes = JOURNALS_MOST * more(c->state.journal_bytes, JOURNAL_BYTES),
		.snapshot_ms = (uint32_t)c->state.snapshot_ms,
		.hold_ms = hold_ms(c),
		.watch = watch,
		.unix_ms = unix_ms,
		.arg = s,
	};
}

static enum apply_life
life(void *arg, pid_t pid, uint64_t start)
{
	(void)arg;
	switch (process_life(pid, start)) {
	case PROCESS_UNKNOWN:
		break;
	case PROCESS_SAME:
		return APPLY_LIFE_SAME;
	case PROCESS_GONE:
		return APPLY_LIFE_GONE;
	}
	return APPLY_LIFE_UNKNOWN;
}

int
state_load(struct state *s, struct apply *apply, struct self_metrics *self,
    char error[STATE_ERROR_TEXT])
{
	struct persist_options options = options_of(s);
	struct persist_now now = {
		.pid_namespace = process_namespace(),
		.monotonic_ms = turn_clock_ns() / 1000000U,
		.unix_ms = turn_unix_ms(),
		.life = life,
	};

	if (getrandom(&now.store, sizeof(now.store), 0) != (ssize_t)sizeof(now.store) ||
	    getrandom(now.secret, sizeof(now.secret), 0) != (ssize_t)sizeof(now.secret))
		return -1;
	if (!process_boot(now.boot))
		memset(now.boot, 0, sizeof(now.boot));
	s->self = self;
	s->persist = persist_new(&options, s->disk, apply, s->journal, self, s->log);
	if (s->persist == NULL)
		return -1;
	return persist_recover(s->persist, &now, &s->turn->offset_ms, error);
}

/* ---- Turns ------------------------------------------------------------- */

void
state_turn(struct state *s)
{
	persist_turn(s->persist, turn_ms(s->turn));
}

uint64_t
state_due_ms(const struct state *s, uint64_t now_ms)
{
	return persist_due_ms(s->persist, now_ms);
}

bool
state_is_behind(const struct state *s)
{
	return persist_is_behind(s->persist, turn_ms(s->turn));
}

void
state_set_options(struct state *s)
{
	struct persist_options options = options_of(s);

	persist_set_options(s->persist, &options);
}

void
state_bury(struct state *s)
{
	disk_bury(s->disk);
}

void
state_stop(struct state *s)
{
	persist_stop(s->persist, turn_ms(s->turn));
}

/* ---- What is told of it ------------------------------------------------ */

void
state_refresh(struct state *s)
{
	struct persist_figures f;

	persist_figures(s->persist, turn_ms(s->turn), &f);
	self_set(s->self, SELF_DEGRADED, 0, 0, f.degraded);
	self_set(s->self, SELF_JOURNAL_BYTES, 0, 0, (double)f.journal_bytes);
	if (!f.has_snapshot)
		return;
	self_set(s->self, SELF_SNAPSHOT_AGE, 0, 0, (double)f.snapshot_age_ms / 1000);
	self_set(s->self, SELF_SNAPSHOT_BYTES, 0, 0, (double)f.snapshot_bytes);
	if (f.has_duration)
		self_set(s->self, SELF_SNAPSHOT_DURATION, 0, 0,
		    (double)f.snapshot_duration_ms / 1000);
}

void
state_problems(void *arg, struct strbuf *out)
{
	struct state *s = arg;

	persist_problems(s->persist, turn_ms(s->turn), out);
}

static void
add_seconds(struct strbuf *out, bool known, uint64_t ms)
{
	if (known)
		strbuf_add_value(out, (double)ms / 1000);
	else
		strbuf_adds(out, "null");
}

void
state_status(struct state *s, struct strbuf *out)
{
	struct persist_figures f;

	persist_figures(s->persist, turn_ms(s->turn), &f);
	strbuf_adds(out, "{\"path\":");
	strbuf_add_json(out, wire_text(s->config->state.path));
	strbuf_addf(out, ",\"journal\":%s,\"degraded\":%s,\"snapshot_age_s\":",
	    s->journal ? "true" : "false", f.degraded ? "true" : "false");
	add_seconds(out, f.has_snapshot, f.snapshot_age_ms);
	strbuf_adds(out, ",\"snapshot_duration_s\":");
	add_seconds(out, f.has_duration, f.snapshot_duration_ms);
	strbuf_addf(out,
	    ",\"snapshot_bytes\":%" PRIu64 ",\"snapshot_failures\":%" PRIu64
	    ",\"journal_bytes\":%" PRIu64 ",\"generation\":%" PRIu64 ",\"problems\":",
	    f.snapshot_bytes, f.snapshot_failures, f.journal_bytes, f.generation);
	state_problems(s, out);
	strbuf_addc(out, '}');
}

/* ---- The whole --------------------------------------------------------- */

struct state *
state_new(const struct config *config, struct event_base *base, struct turn *turn,
    struct log *log)
{
	struct state *s = calloc(1, sizeof(*s));
	bool journals = config->state.path[0] != '\0' && config->state.journal;

	if (s == NULL)
		return NULL;
	s->config = config;
	s->base = base;
	s->turn = turn;
	s->log = log;
	s->runtime = config_runtime_folder(config);
	if (s->runtime)
		s->disk = disk_new(config->state.path, s->runtime);
	if (journals)
		s->journal = journal_new();
	if (s->disk == NULL || (journals && s->journal == NULL)) {
		state_free(s);
		return NULL;
	}
	return s;
}

void
state_free(struct state *s)
{
	if (s == NULL)
		return;
	persist_free(s->persist);
	if (s->child)
		event_free(s->child);
	journal_free(s->journal);
	disk_free(s->disk);
	free(s->runtime);
	free(s);
}

struct journal *
state_journal(const struct state *s)
{
	return s->journal;
}
