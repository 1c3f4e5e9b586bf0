/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file of the state, read no further than it is one.
 */
#include "persist_parts.h"

#include <errno.h>

#define PIECE_BYTES (4U << 20)

bool
persist_is_passing(int error)
{
	return error == ENOMEM || error == EMFILE || error == ENFILE;
}

const char *
persist_read_error(int error)
{
	if (error == EINVAL)
		return "it is no file";
	return error == EPERM ? "it is another user's" : strerror(error);
}

/* What is longer than its file system's blocks, or is not ours at all, must not take
 * memory: the next piece is read when all that is there may be records. */
int
persist_read(
    const struct persist *p, enum disk_place place, const char *name, struct strbuf *ret)
{
	struct journal_reader r = { 0 };
	bool more = true;

	while (more) {
		const size_t before = ret->bytes;
		int error =
		    p->disk->read(p->disk->arg, place, name, before, PIECE_BYTES, ret);

		if (error)
			return error;
		r.bytes = (const uint8_t *)ret->at;
		r.n = ret->bytes;
		more = ret->bytes - before == PIECE_BYTES && journal_skim(&r);
	}
	return 0;
}

int
persist_read_start(
    const struct persist *p, enum disk_place place, const char *name, struct strbuf *ret)
{
	return p->disk->read(p->disk->arg, place, name, 0, JOURNAL_START_BYTES, ret);
}
