/* SPDX-License-Identifier: Apache-2.0 */
#include "house.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define STATE	"/state"
#define RUNTIME "/runtime"

/* ---- The disk ---------------------------------------------------------- */

/* 0, or the error that this call is to have. */
static int
count(struct house *h, enum house_call call)
{
	h->calls++;
	h->called[call]++;
	if (h->error_of[call])
		return h->error_of[call];
	if (h->fail_at && h->calls >= h->fail_at && h->calls - h->fail_at < h->fail_calls)
		return h->error;
	return 0;
}

static int
count_in(struct house *h, enum house_call call, enum disk_place place)
{
	int error = count(h, call);

	return error ? error : h->error_in[place];
}

static int
fake_open(void *arg, enum disk_place place)
{
	struct house *h = arg;
	int error = count(h, HOUSE_OPEN);

	return error ? error : h->disk->ops.open(h->disk, place);
}

static int
fake_list(void *arg, enum disk_place place,
    void (*each)(void *each_arg, const char *name), void *each_arg)
{
	struct house *h = arg;
	int error = count(h, HOUSE_LIST);

	return error ? error : h->disk->ops.list(h->disk, place, each, each_arg);
}

static int
fake_read(void *arg, enum disk_place place, const char *name, uint64_t from, size_t most,
    struct strbuf *ret)
{
	struct house *h = arg;
	int error = count(h, HOUSE_READ);

	if (place == DISK_RUNTIME && h->unreadable)
		error = h->unreadable;
	return error ? error : h->disk->ops.read(h->disk, place, name, from, most, ret);
}

static int
fake_create(void *arg, enum disk_place place, const char *name, int *ret_file)
{
	struct house *h = arg;
	int error = count_in(h, HOUSE_CREATE, place);

	return error ? error : h->disk->ops.create(h->disk, place, name, ret_file);
}

static int
fake_open_at(
    void *arg, enum disk_place place, const char *name, uint64_t bytes, int *ret_file)
{
	struct house *h = arg;
	int error = count_in(h, HOUSE_OPEN_AT, place);

	return error ? error
		     : h->disk->ops.open_at(h->disk, place, name, bytes, ret_file);
}

/* What fails has written a part. */
static int
fake_write(void *arg, int file, const void *bytes, size_t n)
{
	struct house *h = arg;
	int error = count(h, HOUSE_WRITE);

	if (error)
		h->disk->ops.write(h->disk, file, bytes, n / 2);
	return error ? error : h->disk->ops.write(h->disk, file, bytes, n);
}

static int
fake_cut(void *arg, int file, uint64_t bytes)
{
	struct house *h = arg;
	int error = count(h, HOUSE_CUT);

	return error ? error : h->disk->ops.cut(h->disk, file, bytes);
}

static int
fake_sync(void *arg, int file)
{
	struct house *h = arg;
	int error = count(h, HOUSE_SYNC);

	return error ? error : h->disk->ops.sync(h->disk, file);
}

static void
fake_close(void *arg, int file)
{
	struct house *h = arg;

	h->disk->ops.close(h->disk, file);
}

static int
fake_rename(void *arg, enum disk_place place, const char *from, const char *to)
{
	struct house *h = arg;
	int error = count_in(h, HOUSE_RENAME, place);

	return error ? error : h->disk->ops.rename(h->disk, place, from, to);
}

static int
fake_remove(void *arg, enum disk_place place, const char *name)
{
	struct house *h = arg;
	int error = count_in(h, HOUSE_REMOVE, place);

	return error ? error : h->disk->ops.remove(h->disk, place, name);
}

static int
fake_sync_folder(void *arg, enum disk_place place)
{
	struct house *h = arg;
	int error = count_in(h, HOUSE_SYNC_FOLDER, place);

	return error ? error : h->disk->ops.sync_folder(h->disk, place);
}

static int
fake_spawn(void *arg, void (*work)(void *work_arg, struct disk_result *ret),
    void *work_arg, struct disk_child *ret)
{
	struct house *h = arg;
	int error = count(h, HOUSE_SPAWN);

	return error ? error : h->disk->ops.spawn(h->disk, work, work_arg, ret);
}

static enum disk_child_state
fake_reap(void *arg, struct disk_child *child, struct disk_result *ret)
{
	struct house *h = arg;

	return h->disk->ops.reap(h->disk, child, ret);
}

static void
fake_kill(void *arg, struct disk_child *child)
{
	struct house *h = arg;

	h->disk->ops.kill(h->disk, child);
}

static int
fake_child_sync(void *arg, struct disk_child *child, enum disk_place place)
{
	struct house *h = arg;
	int error = count_in(h, HOUSE_SYNC_FOLDER, place);

	return error ? error : h->disk->ops.child_sync(h->disk, child, place);
}

static int
fake_child_end(void *arg, struct disk_child *child)
{
	struct house *h = arg;

	return h->disk->ops.child_end(h->disk, child);
}

/* ---- The daemon -------------------------------------------------------- */

static uint64_t
unix_ms(void *arg)
{
	const struct house *h = arg;

	return h->now.unix_ms;
}

static enum apply_life
alive(void *arg, pid_t pid, uint64_t start)
{
	(void)arg;
	(void)start;
	return pid > 0 ? APPLY_LIFE_SAME : APPLY_LIFE_UNKNOWN;
}

void
house_make(struct house *h)
{
	*h = (struct house){ .random = 1, .fail_calls = 1, .error = ENOSPC };
	h->disk = sim_disk_new(&h->random);
	h->ops = (struct disk){ h, fake_open, fake_list, fake_read, fake_create,
		fake_open_at, fake_write, fake_cut, fake_sync, fake_close, fake_rename,
		fake_remove, fake_sync_folder, fake_spawn, fake_reap, fake_kill,
		fake_child_sync, fake_child_end, NULL, NULL };
	h->options = (struct persist_options){ .state_path = STATE,
		.hold_ms = 5000,
		.runtime_path = RUNTIME,
		.journal = true,
		.fsync = PERSIST_FSYNC_SNAPSHOT,
		.journal_bytes = 1 << 20,
		.snapshot_ms = 60000,
		.unix_ms = unix_ms,
		.arg = h };
	h->now = (struct persist_now){ .boot = "boot",
		.pid_namespace = 1,
		.monotonic_ms = 5000000,
		.unix_ms = TALK_UNIX_MS,
		.store = 77,
		.life = alive };
}

static void
put_away(struct house *h)
{
	persist_free(h->persist);
	if (h->talk)
		talk_free(h->talk);
	journal_free(h->journal);
	h->persist = NULL;
	h->talk = NULL;
	h->journal = NULL;
}

void
house_free(struct house *h)
{
	put_away(h);
	sim_disk_free(h->disk);
}

static void
build(struct house *h)
{
	struct apply_options options = { .store = 1,
		.epoch = 7,
		.lease_ms = 15000,
		.grace_ms = 2000,
		.message_bytes = 1 << 20,
		.json_bytes = 65536,
		.dedupe_ms = 600000,
		.dedupe_keys = 1000000,
		.version = "0.1.0",
		.unix_ms = unix_ms,
		.refresh_arg = h };

	if (h->options.journal)
		h->journal = journal_new();
	options.journal = h->journal;
	h->talk = talk_new(NULL, &options);
	h->persist = persist_new(&h->options, &h->ops, h->talk->apply, h->journal,
	    h->talk->self, h->talk->log);
	ck_assert_ptr_nonnull(h->persist);
}

int
house_try_after(struct house *h, void (*before)(void *arg), void *arg)
{
	int64_t offset_ms;

	build(h);
	if (before)
		before(arg);
	if (persist_recover(h->persist, &h->now, &offset_ms, h->started) != 0) {
		put_away(h);
		sim_disk_process(h->disk);
		return -1;
	}
	h->talk->now_ms = (uint64_t)((int64_t)h->now.monotonic_ms + offset_ms);
	return 0;
}

int
house_try(struct house *h)
{
	return house_try_after(h, NULL, NULL);
}

void
house_start(struct house *h)
{
	ck_assert_msg(house_try(h) == 0, "%s", h->started);
	h->now.store++;
}

void
house_kill(struct house *h)
{
	/* The dead do nothing: what is freed here touches no file. */
	h->disk->dead = true;
	put_away(h);
	sim_disk_process(h->disk);
}

int
house_stop(struct house *h)
{
	int rc = persist_stop(h->persist, h->talk->now_ms);

	put_away(h);
	sim_disk_process(h->disk);
	return rc;
}

void
house_child(struct house *h, bool well)
{
	/* It may be half way at first. */
	while (sim_disk_child(h->disk, well))
		;
}

void
house_turn(struct house *h)
{
	persist_turn(h->persist, h->talk->now_ms);
	if (!h->child_waits)
		house_child(h, !h->child_fails);
}

void
house_pass(struct house *h, uint64_t ms)
{
	h->now.monotonic_ms += ms;
	h->now.unix_ms += ms;
	h->talk->now_ms += ms;
	apply_tick(h->talk->apply, h->talk->now_ms);
	house_turn(h);
}

void
house_snapshot(struct house *h)
{
	house_pass(h, h->options.snapshot_ms);
	house_turn(h);
}

void
house_count(struct house *h, double n)
{
	char message[200];

	snprintf(message, sizeof(message),
	    "{\"id\":\"%u\",\"metrics\":[{\"name\":\"c\",\"type\":\"counter\","
	    "\"inc\":%.17g}]}",
	    ++h->last_id, n);
	ck_assert_str_eq(talk_json(h->talk, message), "{\"ok\":true}");
	house_turn(h);
	h->counted += n;
}

double
house_total(struct house *h)
{
	const char *line = strstr(talk_page(h->talk, ""), "\ndynamo_c ");

	return line ? strtod(line + strlen("\ndynamo_c "), NULL) : 0;
}

void
house_is_exact(struct house *h)
{
	ck_assert_double_eq(house_total(h), h->counted);
}

void
house_leave_a_state(struct house *h)
{
	house_start(h);
	house_count(h, 1);
	house_snapshot(h);
	house_count(h, 1);
	house_kill(h);
}

struct sim_file *
house_file(struct house *h, enum disk_place place, const char *name)
{
	struct sim_file *f = sim_disk_file(h->disk, place, name);

	ck_assert_msg(f != NULL, "there is no %s", name);
	return f;
}

void
house_put(
    struct house *h, enum disk_place place, const char *name, const void *bytes, size_t n)
{
	const struct disk *d = &h->disk->ops;
	int f;

	ck_assert_int_eq(d->create(d->arg, place, name, &f), 0);
	ck_assert_int_eq(d->write(d->arg, f, bytes, n), 0);
	d->close(d->arg, f);
}

void
house_copy(
    struct house *h, enum disk_place place, const char *name, struct house_copy *ret)
{
	struct sim_file *f = house_file(h, place, name);

	ck_assert_uint_lt(f->bytes, sizeof(ret->at));
	memcpy(ret->at, f->at, f->bytes);
	ret->n = f->bytes;
}

bool
house_has(struct house *h, enum disk_place place, const char *name)
{
	return sim_disk_file(h->disk, place, name) != NULL;
}

unsigned
house_files(struct house *h, enum disk_place place, const char *start)
{
	unsigned n = 0;

	for (size_t i = 0; i < SIM_NAMES; i++)
		if (h->disk->now[place].name[i].file &&
		    strncmp(h->disk->now[place].name[i].name, start, strlen(start)) == 0)
			n++;
	return n;
}

struct persist_figures
house_figures(struct house *h)
{
	struct persist_figures f;

	persist_figures(h->persist, h->talk->now_ms, &f);
	return f;
}

const char *
house_problems(struct house *h)
{
	static char text[4096];
	struct strbuf out = STRBUF_EMPTY;

	persist_problems(h->persist, h->talk->now_ms, &out);
	snprintf(text, sizeof(text), "%s", out.at);
	strbuf_free(&out);
	return text;
}

void
house_must_have_problem(struct house *h, const char *text)
{
	ck_assert_msg(strstr(house_problems(h), text) != NULL, "no \"%s\" in %s", text,
	    house_problems(h));
}

bool
house_logged(struct house *h, const char *text)
{
	return strstr(h->talk->logged.at, text) != NULL;
}
