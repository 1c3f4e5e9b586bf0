/* SPDX-License-Identifier: Apache-2.0 */
/*
 * failing.h - memory that is refused when a test says so.
 *
 * The parts that a test program links (the library, the daemon, the tool, the protocol)
 * ask for all their memory here: malloc, calloc, realloc, reallocarray, strdup, strndup,
 * asprintf, mmap, and the memory of a thread, pthread_create (tests/failing.syms). The
 * test itself and Check do not, so a test may assert at any place.
 *
 *	for (size_t n = 0; failing_more(n); n++) {
 *		failing_after(n);
 *		rc = what_is_tested();
 *		refused = failing_end();
 *		...it has failed, or could do without; what was there is unchanged
 *	}
 *
 * Outside libraries join in where a test hands them the functions at the end:
 *
 *	json_set_alloc_funcs(failing_malloc, failing_free);
 *	event_set_mem_functions(failing_malloc, failing_realloc, failing_free);
 */
#ifndef FAILING_H
#define FAILING_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum failing_how {
	FAILING_ONE = 0,     /* the next is refused, those after it are not */
	FAILING_REST = 1,    /* it and all after it are */
	FAILING_THREADS = 2, /* of all threads; otherwise of the caller's alone */
};

/* n more allocations succeed, the next is refused; how: FAILING_ bits. */
void failing_arm(size_t n, unsigned how);
/* One allocation of this thread. */
void failing_after(size_t n);
/* No more refusals. True if there was one since it was armed. */
bool failing_end(void);
/* How many allocations were asked for since it was armed, the refused ones too. */
size_t failing_asked(void);
/* For the loop above: true at first, and as long as the last round refused one. */
bool failing_more(size_t n);

void *failing_malloc(size_t bytes);
void *failing_calloc(size_t n, size_t bytes);
void *failing_realloc(void *p, size_t bytes);
void *failing_reallocarray(void *p, size_t n, size_t bytes);
char *failing_strdup(const char *s);
char *failing_strndup(const char *s, size_t n);
int failing_asprintf(char **ret, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
int failing_asprintf_chk(char **ret, int flag, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void *failing_mmap(void *at, size_t bytes, int prot, int flags, int fd, off_t offset);
int failing_pthread_create(
    pthread_t *ret, const pthread_attr_t *attr, void *(*fn)(void *), void *arg);
void failing_free(void *p);

#endif /* FAILING_H */
