/* SPDX-License-Identifier: Apache-2.0 */
#include "sim_disk.h"

#include <errno.h>
#include <stdlib.h>

#define FIRST_PID 5000

static unsigned
below(struct sim_disk *d, size_t n)
{
	uint64_t z = *d->random += 0x9e3779b97f4a7c15U;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
	return n ? (unsigned)((z >> 20) % n) : 0;
}

/* ---- Names --------------------------------------------------------------- */

static struct sim_name *
find(struct sim_folder *folder, const char *name)
{
	for (int i = 0; i < SIM_NAMES; i++)
		if (folder->name[i].file && strcmp(folder->name[i].name, name) == 0)
			return &folder->name[i];
	return NULL;
}

static void
unname(struct sim_name *n)
{
	sim_file_let_go(n->file);
	n->file = NULL;
}

static void
give_name(struct sim_folder *folder, const char *name, struct sim_file *f)
{
	struct sim_name *n = find(folder, name);

	for (int i = 0; n == NULL && i < SIM_NAMES; i++)
		if (folder->name[i].file == NULL)
			n = &folder->name[i];
	if (n == NULL || strlen(name) >= sizeof(n->name))
		abort();
	sim_file_hold(f);
	unname(n);
	strcpy(n->name, name);
	n->file = f;
}

static void
copy_folder(struct sim_folder *to, const struct sim_folder *from)
{
	struct sim_folder old = *to;

	*to = *from;
	for (int i = 0; i < SIM_NAMES; i++)
		if (to->name[i].file)
			sim_file_hold(to->name[i].file);
	for (int i = 0; i < SIM_NAMES; i++)
		if (old.name[i].file)
			unname(&old.name[i]);
}

/* ---- The calls ----------------------------------------------------------- */

/* The process dies before this call, or in it. */
static bool
is_last_call(struct sim_disk *d)
{
	if (d->dead)
		return true;
	if (d->fuse > 0 && --d->fuse == 0)
		d->dead = true;
	return d->dead;
}

static int
disk_open(void *arg, enum disk_place place)
{
	(void)arg;
	(void)place;
	return 0;
}

static int
disk_list(void *arg, enum disk_place place,
    void (*each)(void *each_arg, const char *name), void *each_arg)
{
	struct sim_disk *d = arg;
	struct sim_folder names = d->now[place];

	for (int i = 0; i < SIM_NAMES; i++)
		if (names.name[i].file)
			each(each_arg, names.name[i].name);
	return 0;
}

static int
disk_read(void *arg, enum disk_place place, const char *name, uint64_t from, size_t most,
    struct strbuf *ret)
{
	struct sim_disk *d = arg;
	struct sim_name *n = find(&d->now[place], name);

	if (n == NULL)
		return ENOENT;
	if (from < n->file->bytes && n->file->bytes - from < most)
		most = n->file->bytes - from;
	if (from < n->file->bytes)
		strbuf_add(ret, n->file->at + from, most);
	else
		strbuf_add(ret, "", 0);
	return ret->failed ? ENOMEM : 0;
}

static int
take_handle(struct sim_disk *d, struct sim_file *f, int *ret_file)
{
	for (int i = 0; i < SIM_HANDLES; i++)
		if (d->handle[i] == NULL) {
			d->handle[i] = sim_file_hold(f);
			*ret_file = i;
			return 0;
		}
	return EMFILE;
}

static int
disk_create(void *arg, enum disk_place place, const char *name, int *ret_file)
{
	struct sim_disk *d = arg;
	struct sim_file *f;

	if (d->running) { /* where nobody sees it yet */
		strcpy(d->running->name, name);
		d->running->image = sim_file_hold(sim_file_new());
		return take_handle(d, d->running->image, ret_file);
	}
	if (is_last_call(d))
		return EIO;
	if (d->failing[place])
		return ENOSPC;
	f = sim_file_new();
	give_name(&d->now[place], name, f);
	return take_handle(d, f, ret_file);
}

static int
disk_open_at(
    void *arg, enum disk_place place, const char *name, uint64_t bytes, int *ret_file)
{
	struct sim_disk *d = arg;
	struct sim_name *n = find(&d->now[place], name);

	if (is_last_call(d))
		return EIO;
	if (n == NULL)
		return ENOENT;
	sim_file_cut(n->file, bytes);
	return take_handle(d, n->file, ret_file);
}

static int
disk_write(void *arg, int file, const void *bytes, size_t n)
{
	struct sim_disk *d = arg;
	struct sim_file *f = d->handle[file];
	enum disk_place place = DISK_RUNTIME;

	if (d->running) {
		sim_file_append(f, bytes, n);
		return 0;
	}
	if (d->dead)
		return EIO;
	if (is_last_call(d)) {
		sim_file_append(f, bytes, below(d, n + 1));
		return EIO;
	}
	for (int i = 0; i < SIM_NAMES; i++)
		if (d->now[DISK_STATE].name[i].file == f)
			place = DISK_STATE;
	if (d->failing[place]) {
		sim_file_append(f, bytes, below(d, n));
		return ENOSPC;
	}
	sim_file_append(f, bytes, n);
	return 0;
}

static int
disk_cut(void *arg, int file, uint64_t bytes)
{
	struct sim_disk *d = arg;

	if (is_last_call(d))
		return EIO;
	sim_file_cut(d->handle[file], bytes);
	return 0;
}

static int
disk_sync(void *arg, int file)
{
	struct sim_disk *d = arg;

	if (!d->running && is_last_call(d))
		return EIO;
	d->handle[file]->synced = d->handle[file]->bytes;
	return 0;
}

static void
disk_close(void *arg, int file)
{
	struct sim_disk *d = arg;

	sim_file_let_go(d->handle[file]);
	d->handle[file] = NULL;
}

static int
disk_rename(void *arg, enum disk_place place, const char *from, const char *to)
{
	struct sim_disk *d = arg;
	struct sim_name *n = find(&d->now[place], from);

	if (is_last_call(d))
		return EIO;
	if (n == NULL)
		return ENOENT;
	if (d->failing[place] && below(d, 2))
		return EIO;
	give_name(&d->now[place], to, n->file);
	unname(find(&d->now[place], from));
	return 0;
}

static int
disk_remove(void *arg, enum disk_place place, const char *name)
{
	struct sim_disk *d = arg;
	struct sim_name *n = find(&d->now[place], name);

	if (is_last_call(d))
		return EIO;
	if (n == NULL)
		return ENOENT;
	unname(n);
	return 0;
}

static int
disk_sync_folder(void *arg, enum disk_place place)
{
	struct sim_disk *d = arg;

	if (is_last_call(d))
		return EIO;
	if (d->failing[place] && below(d, 2))
		return EIO;
	copy_folder(&d->durable[place], &d->now[place]);
	return 0;
}

/* ---- Children ------------------------------------------------------------ */

static void
child_forget(struct sim_child_process *c)
{
	sim_file_let_go(c->image);
	*c = (struct sim_child_process){ 0 };
}

/* What a child will write is what it would write now: it has a copy of all. */
static int
disk_spawn(void *arg, void (*work)(void *work_arg, struct disk_result *ret),
    void *work_arg, struct disk_child *ret)
{
	struct sim_disk *d = arg;
	struct sim_child_process *c = d->child;

	if (is_last_call(d))
		return EIO;
	while (c < d->child + SIM_CHILDREN && c->pid)
		c++;
	if (c == d->child + SIM_CHILDREN)
		return EAGAIN;
	*ret = (struct disk_child){ .pid = FIRST_PID + ++d->pids % 3, .pipe = -1 };
	*c = (struct sim_child_process){ .pid = ret->pid };
	d->running = c;
	work(work_arg, &c->result);
	d->running = NULL;
	return 0;
}

static struct sim_child_process *
child_of(struct sim_disk *d, pid_t pid)
{
	for (int i = 0; i < SIM_CHILDREN; i++)
		if (d->child[i].pid == pid && !d->child[i].orphan)
			return &d->child[i];
	abort();
}

static enum disk_child_state
disk_reap(void *arg, struct disk_child *child, struct disk_result *ret)
{
	struct sim_disk *d = arg;
	struct sim_child_process *c = child_of(d, child->pid);
	enum disk_child_state state = c->state;

	*ret = c->result;
	if (state == DISK_CHILD_WAITS)
		c->state = DISK_CHILD_RUNS;
	else if (state != DISK_CHILD_RUNS)
		child_forget(c);
	return state;
}

static int
disk_child_sync(void *arg, struct disk_child *child, enum disk_place place)
{
	struct sim_disk *d = arg;

	if (is_last_call(d))
		return EPIPE;
	child_of(d, child->pid)->at = SIM_CHILD_SYNCS;
	child_of(d, child->pid)->place = place;
	return 0;
}

static int
disk_child_end(void *arg, struct disk_child *child)
{
	struct sim_disk *d = arg;

	if (is_last_call(d))
		return EPIPE;
	child_of(d, child->pid)->at = SIM_CHILD_ENDS;
	return 0;
}

static void
disk_kill(void *arg, struct disk_child *child)
{
	struct sim_disk *d = arg;

	if (!d->dead)
		child_forget(child_of(d, child->pid));
}

/* Its file is a part of what it will be, or all of it. */
static void
child_writes(struct sim_disk *d, struct sim_child_process *c, bool all)
{
	struct sim_file *f = sim_file_new();

	sim_file_append(
	    f, c->image->at, all ? c->image->bytes : below(d, c->image->bytes));
	if (all)
		f->synced = f->bytes;
	give_name(&d->now[DISK_STATE], c->name, f);
	c->made = true;
}

static bool
child_ends(struct sim_disk *d, struct sim_child_process *c, bool well)
{
	if (d->failing[DISK_STATE])
		well = false;
	if (c->image && c->at == SIM_CHILD_WRITES)
		child_writes(d, c, well);
	if (well && c->at == SIM_CHILD_SYNCS)
		copy_folder(&d->durable[c->place], &d->now[c->place]);
	if (!well && c->result.error == 0) {
		c->result.error = ENOSPC;
		strcpy(c->result.why, "it failed");
	}
	c->state = c->result.error ? DISK_CHILD_FAILED : DISK_CHILD_DONE;
	if (d->waiting && c->state == DISK_CHILD_DONE && c->at != SIM_CHILD_ENDS) {
		c->state = DISK_CHILD_WAITS;
		c->at = SIM_CHILD_IDLE;
	}
	if (c->orphan)
		child_forget(c);
	return true;
}

bool
sim_disk_child(struct sim_disk *d, bool well)
{
	struct sim_child_process *c = d->child;

	while (
	    c < d->child + SIM_CHILDREN && (!c->pid || c->state != DISK_CHILD_RUNS ||
					       (c->at == SIM_CHILD_IDLE && !c->orphan)))
		c++;
	if (c == d->child + SIM_CHILDREN)
		return false;
	if (!c->made && c->image && !d->failing[DISK_STATE] && below(d, 2)) {
		child_writes(d, c, false);
		return true;
	}
	/* It has the file, though not by that name any more. */
	if (c->orphan && c->made && find(&d->now[DISK_STATE], c->name) == NULL) {
		child_forget(c);
		return true;
	}
	return child_ends(d, c, well);
}

/* ---- The whole ----------------------------------------------------------- */

void
sim_disk_process(struct sim_disk *d)
{
	for (int i = 0; i < SIM_HANDLES; i++)
		if (d->handle[i])
			disk_close(d, i);
	for (int i = 0; i < SIM_CHILDREN; i++) {
		struct sim_child_process *c = &d->child[i];

		if (c->pid && (c->state != DISK_CHILD_RUNS || c->orphan ||
				  (!d->orphans && below(d, 2))))
			child_forget(c); /* died with its parent */
		else if (c->pid)
			c->orphan = true;
	}
	d->fuse = 0;
	d->dead = false;
}

void
sim_disk_wipe(struct sim_disk *d, enum disk_place place)
{
	static const struct sim_folder empty;

	copy_folder(&d->now[place], &empty);
	copy_folder(&d->durable[place], &empty);
}

void
sim_disk_crash(struct sim_disk *d)
{
	sim_disk_process(d);
	for (int i = 0; i < SIM_CHILDREN; i++)
		child_forget(&d->child[i]);
	if (below(d, 2))
		copy_folder(&d->now[DISK_STATE], &d->durable[DISK_STATE]);
	for (int i = 0; i < SIM_NAMES; i++) {
		struct sim_file *f = d->now[DISK_STATE].name[i].file;

		if (f)
			sim_file_cut(f, f->synced + below(d, f->bytes - f->synced + 1));
	}
	copy_folder(&d->durable[DISK_STATE], &d->now[DISK_STATE]);
	sim_disk_wipe(d, DISK_RUNTIME);
}

struct sim_file *
sim_disk_file(struct sim_disk *d, enum disk_place place, const char *name)
{
	struct sim_name *n = find(&d->now[place], name);

	return n ? n->file : NULL;
}

struct sim_disk *
sim_disk_new(uint64_t *random)
{
	struct sim_disk *d = calloc(1, sizeof(*d));

	if (d == NULL)
		abort();
	d->random = random;
	d->ops = (struct disk){ d, disk_open, disk_list, disk_read, disk_create,
		disk_open_at, disk_write, disk_cut, disk_sync, disk_close, disk_rename,
		disk_remove, disk_sync_folder, disk_spawn, disk_reap, disk_kill,
		disk_child_sync, disk_child_end, NULL, NULL };
	return d;
}

void
sim_disk_free(struct sim_disk *d)
{
	sim_disk_process(d);
	for (int i = 0; i < SIM_CHILDREN; i++)
		child_forget(&d->child[i]);
	for (int i = 0; i < DISK_PLACES; i++)
		sim_disk_wipe(d, (enum disk_place)i);
	free(d);
}
