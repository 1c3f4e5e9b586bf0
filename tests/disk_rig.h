/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk_rig.h - the real disk in folders of its own, for the suites that are about it.
 * Included by a test program once.
 */
#ifndef DISK_RIG_H
#define DISK_RIG_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "disk.h"
#include "rig.h"
#include "suite.h"

static char folder[64], state[80], runtime[80];
static struct disk *d;

static void
set_up(void)
{
	snprintf(folder, sizeof(folder), "/tmp/metricsd-disk-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(state, sizeof(state), "%s/state", folder);
	snprintf(runtime, sizeof(runtime), "%s/run", folder);
	d = disk_new(state, runtime);
	ck_assert_ptr_nonnull(d);
}

static void
remove_name(void *arg, const char *name)
{
	char path[400];

	snprintf(path, sizeof(path), "%s/%s", (const char *)arg, name);
	remove(path);
}

static void
tear_down(void)
{
	d->list(d->arg, DISK_STATE, remove_name, state);
	d->list(d->arg, DISK_RUNTIME, remove_name, runtime);
	disk_free(d);
	rmdir(state);
	rmdir(runtime);
	ck_assert_int_eq(rmdir(folder), 0);
}

static void
open_both(void)
{
	ck_assert_int_eq(d->open(d->arg, DISK_STATE), 0);
	ck_assert_int_eq(d->open(d->arg, DISK_RUNTIME), 0);
}

#endif /* DISK_RIG_H */
