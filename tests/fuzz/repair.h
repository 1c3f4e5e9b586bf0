/* SPDX-License-Identifier: Apache-2.0 */
/*
 * repair.h - files of the state that somebody has changed, made right on the outside:
 * lengths, checksums, and how many items there are. So that a change gets to whoever
 * reads what is in them.
 */
#ifndef REPAIR_H
#define REPAIR_H

#include "strbuf.h"

/*
 * The records that bytes are, each with its length and checksum as they must be; what is
 * behind the last one is its body. is_snapshot: the last one says how many items there
 * are, and no column had more cells than a few.
 */
void repair(const void *bytes, size_t n, bool is_snapshot, struct strbuf *ret);

#endif /* REPAIR_H */
