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

/* A record of that uid can be remembered when its session is folded. False when memory is
 * out. */
bool sessions_folded_reserve(struct sessions *s, uid_t uid);
/* A live session is a folded one now; another one may be forgotten for it. */
void sessions_remember(struct sessions *s, uint32_t number);
/* Nothing is known of a session any more. */
void sessions_record_free(struct sessions *s, uint32_t number);

#endif /* SESSIONS_PARTS_H */
