/* SPDX-License-Identifier: Apache-2.0 */
#include "shelf.h"

#include <errno.h>
#include <stdio.h>

#include "fuzz.h"

struct shelf_file *
shelf_find(struct shelf *s, enum disk_place place, const char *name)
{
	for (int i = 0; i < SHELF_NAMES; i++)
		if (strcmp(s->file[place][i].name, name) == 0)
			return &s->file[place][i];
	return NULL;
}

/* Its number is its place. */
static struct shelf_file *
file_at(struct shelf *s, int file)
{
	return &s->file[file / SHELF_NAMES][file % SHELF_NAMES];
}

static int
shelf_open(void *arg, enum disk_place place)
{
	(void)arg;
	(void)place;
	return 0;
}

static int
shelf_list(void *arg, enum disk_place place,
    void (*each)(void *each_arg, const char *name), void *each_arg)
{
	struct shelf *s = arg;

	for (int i = 0; i < SHELF_NAMES; i++)
		if (s->file[place][i].name[0])
			each(each_arg, s->file[place][i].name);
	return 0;
}

static int
shelf_read(void *arg, enum disk_place place, const char *name, uint64_t from, size_t most,
    struct strbuf *ret)
{
	const struct shelf_file *f = shelf_find(arg, place, name);
	size_t left;

	if (f == NULL)
		return ENOENT;
	left = from < f->text.bytes ? f->text.bytes - from : 0;
	if (left > 0)
		strbuf_add(ret, f->text.at + from, left < most ? left : most);
	return ret->failed ? ENOMEM : 0;
}

static int
shelf_create(void *arg, enum disk_place place, const char *name, int *ret_file)
{
	struct shelf *s = arg;
	struct shelf_file *f = shelf_find(s, place, name);

	if (f == NULL)
		f = shelf_find(s, place, "");
	if (f == NULL)
		return ENOSPC;
	snprintf(f->name, sizeof(f->name), "%s", name);
	strbuf_reset(&f->text);
	*ret_file = (int)(f - &s->file[0][0]);
	return 0;
}

static int
shelf_cut(void *arg, int file, uint64_t bytes)
{
	struct strbuf *text = &file_at(arg, file)->text;

	fuzz_must(bytes <= text->bytes, "a file is cut where it is");
	text->bytes = (size_t)bytes;
	return 0;
}

static int
shelf_open_at(
    void *arg, enum disk_place place, const char *name, uint64_t bytes, int *ret_file)
{
	struct shelf *s = arg;
	struct shelf_file *f = shelf_find(s, place, name);

	if (f == NULL)
		return ENOENT;
	*ret_file = (int)(f - &s->file[0][0]);
	return shelf_cut(arg, *ret_file, bytes);
}

static int
shelf_write(void *arg, int file, const void *bytes, size_t n)
{
	struct strbuf *text = &file_at(arg, file)->text;

	strbuf_add(text, bytes, n);
	return text->failed ? ENOMEM : 0;
}

static int
shelf_sync(void *arg, int file)
{
	(void)arg;
	(void)file;
	return 0;
}

static void
shelf_close(void *arg, int file)
{
	(void)arg;
	(void)file;
}

static int
shelf_remove(void *arg, enum disk_place place, const char *name)
{
	struct shelf_file *f = shelf_find(arg, place, name);

	if (f == NULL)
		return ENOENT;
	f->name[0] = '\0';
	strbuf_reset(&f->text);
	return 0;
}

static int
shelf_rename(void *arg, enum disk_place place, const char *from, const char *to)
{
	struct shelf_file *f = shelf_find(arg, place, from);

	if (f == NULL)
		return ENOENT;
	shelf_remove(arg, place, to);
	snprintf(f->name, sizeof(f->name), "%s", to);
	return 0;
}

static int
shelf_sync_folder(void *arg, enum disk_place place)
{
	return shelf_open(arg, place);
}

static int
shelf_spawn(void *arg, void (*work)(void *work_arg, struct disk_result *ret),
    void *work_arg, struct disk_child *ret)
{
	(void)arg;
	(void)work;
	(void)work_arg;
	(void)ret;
	return EAGAIN;
}

static enum disk_child_state
shelf_reap(void *arg, struct disk_child *child, struct disk_result *ret)
{
	(void)arg;
	(void)child;
	(void)ret;
	return DISK_CHILD_FAILED;
}

static void
shelf_kill(void *arg, struct disk_child *child)
{
	(void)arg;
	(void)child;
}

static int
shelf_child_sync(void *arg, struct disk_child *child, enum disk_place place)
{
	(void)arg;
	(void)child;
	(void)place;
	return ECHILD;
}

static int
shelf_child_end(void *arg, struct disk_child *child)
{
	(void)arg;
	(void)child;
	return ECHILD;
}

static void
shelf_hold(void *arg, enum disk_place place, const char *name)
{
	(void)arg;
	(void)place;
	(void)name;
}

static bool
shelf_is_public(void *arg, enum disk_place place)
{
	(void)arg;
	(void)place;
	return false;
}

void
shelf_init(struct shelf *s)
{
	*s = (struct shelf){ .ops = { s, shelf_open, shelf_list, shelf_read, shelf_create,
				 shelf_open_at, shelf_write, shelf_cut, shelf_sync,
				 shelf_close, shelf_rename, shelf_remove,
				 shelf_sync_folder, shelf_spawn, shelf_reap, shelf_kill,
				 shelf_child_sync, shelf_child_end, shelf_hold,
				 shelf_is_public } };
}

void
shelf_free(struct shelf *s)
{
	for (int i = 0; i < DISK_PLACES * SHELF_NAMES; i++)
		strbuf_free(&file_at(s, i)->text);
}

void
shelf_put(
    struct shelf *s, enum disk_place place, const char *name, const void *bytes, size_t n)
{
	int file;

	fuzz_must(shelf_create(s, place, name, &file) == 0 &&
		      shelf_write(s, file, bytes, n) == 0,
	    "there is room on the shelf");
}
