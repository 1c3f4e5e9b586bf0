/* SPDX-License-Identifier: Apache-2.0 */
/*
 * input.h - JSON messages, one after another, from an argument, a file or a pipe.
 *
 * A message is handed out as it stands, as soon as it is whole. Between messages there is
 * white space or nothing. What a message says is for the daemon to judge: here only its
 * end is looked for, and for that a message with an error in it ends where its line does
 * when the next line begins another one.
 */
#ifndef INPUT_H
#define INPUT_H

#include "ctl.h"

#define INPUT_MESSAGE_BYTES (1 << 20) /* the longest: far more than the daemon takes */

struct input;

/* '{...}' itself, @FILE, or - for standard input; to be closed. *ret NULL on failure. */
enum ctl_exit input_open(
    const char *argument, struct input **ret, struct ctl_error *error);
enum ctl_exit input_open_file(
    const char *name, struct input **ret, struct ctl_error *error);
void input_close(struct input *in);

/*
 * The next message, which lives until the next call; ret->at is NULL at the end. Waits
 * for it if need be. CTL_USAGE with a sentence when what comes is no message.
 */
enum ctl_exit input_next(
    struct input *in, struct wire_text *ret, struct ctl_error *error);
/* True if something is known to come after the message that was handed out last. */
bool input_has_more(const struct input *in);

#endif /* INPUT_H */
