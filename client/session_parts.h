/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_parts.h - what session.c and session_reply.c share of a session.
 */
#ifndef SESSION_PARTS_H
#define SESSION_PARTS_H

#include "session.h"

/* Flags of a cell. */
#define AGAIN	0x01 /* the daemon may have lost it: send it though it is acknowledged */
#define GAUGE	0x02
#define TIME	0x04 /* of a gauge: an integer */
#define SUSPECT 0x08 /* was in an UPDATE that was refused */
#define KEPT	0x10 /* while cells are numbered anew: it stays */
#define USED	0x20 /* a child had it, in this session, and was removed */

#endif /* SESSION_PARTS_H */
