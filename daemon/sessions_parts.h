/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sessions_parts.h - what the files of sessions share. Nobody else includes it.
 */
#ifndef SESSIONS_PARTS_H
#define SESSIONS_PARTS_H

#include "sessions.h"

/* A name for a worker that wishes for one, or "": it may be taken from a session without
 * a connection. False when memory is out. */
bool sessions_choose_name(
    struct sessions *s, const char *wish, char out[NAMES_WORKER_BYTES + 1]);

#endif /* SESSIONS_PARTS_H */
