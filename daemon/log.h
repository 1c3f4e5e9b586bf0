/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.h - one line per event: `module: what: why`, with a level.
 *
 * A line goes to standard error with its level in front, or to a function of the owner's
 * (tests). log_limited() writes at most one line a second for each kind of cause and says
 * how many were left out, so that a hostile peer cannot fill a disk. One thread.
 */
#ifndef LOG_H
#define LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

struct log;

/* write NULL: standard error. NULL when memory is out. */
struct log *log_new(
    enum log_level level, void (*write)(void *arg, const char *line), void *arg);
void log_free(struct log *l);
/* Whether fd is what the service manager says is connected to its journal: stream is its
 * JOURNAL_STREAM, or NULL. Then the lines may start with their priority, as <4>. */
bool log_is_journal(const char *stream, int fd);
void log_for_journal(struct log *l);
void log_set_level(struct log *l, enum log_level level);
bool log_wants(const struct log *l, enum log_level level);

/* "error", "warning", "info", "debug"; -1 for another word. */
int log_level_of(const char *word);
const char *log_level_word(enum log_level level);

/* Peers and files choose some of what is said: no byte of theirs may start a new line or
 * drive a terminal. log_line() and those below it do this by themselves. */
void log_printable(char *line);

/* l may be NULL: nothing is written. */
void log_line(struct log *l, enum log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * A flood that has ended: say how many lines of each cause were left out since its last
 * one, if that is a second ago, or at once (the end of the log). Cheap when none were.
 */
void log_catch_up(struct log *l, uint64_t now_ms, bool at_once);
/* Milliseconds until log_catch_up() has something to say; UINT64_MAX: nothing. */
uint64_t log_due_ms(const struct log *l, uint64_t now_ms);

/* cause: a small number of the module's; lines of one cause share a budget. */
#define LOG_CAUSES 80
void log_limited(struct log *l, enum log_level level, unsigned cause, uint64_t now_ms,
    const char *format, ...) __attribute__((format(printf, 5, 6)));
/* The same for what is of interest one by one: at most LOG_OFTEN lines a second. */
#define LOG_OFTEN 20
void log_often(struct log *l, enum log_level level, unsigned cause, uint64_t now_ms,
    const char *format, ...) __attribute__((format(printf, 5, 6)));

#endif /* LOG_H */
