/* SPDX-License-Identifier: Apache-2.0 */
/*
 * noticed.h - what was noticed so far, by whomever in the process.
 */
#ifndef NOTICED_H
#define NOTICED_H

#include <stdbool.h>
#include <stddef.h>

#define NOTICED_MAX  24
#define NOTICED_TEXT 160

/* Something was noticed: a sentence. The same one is kept once. Any thread, no malloc. */
void noticed(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* What was, joined by "; ": "" is nothing. */
void noticed_all(char *out, size_t room);
/* In a forked child: what its parent noticed is not its own. */
void noticed_forget(void);
bool noticed_any(void);

#endif /* NOTICED_H */
