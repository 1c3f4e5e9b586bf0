/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "sim_disk.h"

struct sim_file *
sim_file_new(void)
{
	struct sim_file *f = calloc(1, sizeof(*f));

	if (f == NULL)
		abort();
	return f;
}

void
sim_file_let_go(struct sim_file *f)
{
	if (f == NULL || --f->refs > 0)
		return;
	free(f->at);
	free(f);
}

struct sim_file *
sim_file_hold(struct sim_file *f)
{
	f->refs++;
	return f;
}

void
sim_file_append(struct sim_file *f, const void *bytes, size_t n)
{
	if (f->bytes + n > f->room) {
		f->room = (f->bytes + n) * 2;
		f->at = realloc(f->at, f->room);
		if (f->at == NULL)
			abort();
	}
	if (n > 0)
		memcpy(f->at + f->bytes, bytes, n);
	f->bytes += n;
}

void
sim_file_cut(struct sim_file *f, size_t bytes)
{
	if (f->bytes > bytes)
		f->bytes = bytes;
	if (f->synced > f->bytes)
		f->synced = f->bytes;
}
