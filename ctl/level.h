/* SPDX-License-Identifier: Apache-2.0 */
/*
 * level.h - a level of the hierarchy on the command line.
 */
#ifndef LEVEL_H
#define LEVEL_H

#include "ctl.h"
#include "message.h"

/* NAMESPACE[/COMPONENT[/ENDPOINT]] into *ret, which is at depth 0 and then borrows from
 * path. CTL_USAGE if it cannot be. */
enum ctl_exit level_from_path(
    const char *path, struct message_level *ret, struct ctl_error *error);
/* The same from the names themselves, which may have a slash in them. Empty ones behind
 * the first are left out at the end. */
enum ctl_exit level_from_names(
    int n, char **names, struct message_level *ret, struct ctl_error *error);

#endif /* LEVEL_H */
