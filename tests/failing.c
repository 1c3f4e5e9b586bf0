/* SPDX-License-Identifier: Apache-2.0 */
#include "failing.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/*
 * What was armed last. Process-wide, because allocators are. Threads only count and read;
 * the one that arms does so while it is disarmed.
 */
static struct {
	bool on;
	unsigned how;
	pthread_t armed_by;
	size_t left;
	size_t asked;
	size_t refused;
} armed;

void
failing_arm(size_t n, unsigned how)
{
	armed.how = how;
	armed.armed_by = pthread_self();
	__atomic_store_n(&armed.left, n, __ATOMIC_RELAXED);
	__atomic_store_n(&armed.asked, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&armed.refused, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&armed.on, true, __ATOMIC_RELEASE);
}

void
failing_after(size_t n)
{
	failing_arm(n, FAILING_ONE);
}

bool
failing_end(void)
{
	__atomic_store_n(&armed.on, false, __ATOMIC_RELEASE);
	return __atomic_load_n(&armed.refused, __ATOMIC_RELAXED) > 0;
}

size_t
failing_asked(void)
{
	return __atomic_load_n(&armed.asked, __ATOMIC_RELAXED);
}

bool
failing_more(size_t n)
{
	return n == 0 || __atomic_load_n(&armed.refused, __ATOMIC_RELAXED) > 0;
}

/* True when this allocation is to be refused. */
static bool
refuses(void)
{
	size_t place;

	if (!__atomic_load_n(&armed.on, __ATOMIC_ACQUIRE))
		return false;
	if (!(armed.how & FAILING_THREADS) &&
	    !pthread_equal(armed.armed_by, pthread_self()))
		return false;
	place = __atomic_fetch_add(&armed.asked, 1, __ATOMIC_RELAXED);
	if (place < armed.left || (place > armed.left && !(armed.how & FAILING_REST)))
		return false;
	__atomic_fetch_add(&armed.refused, 1, __ATOMIC_RELAXED);
	errno = ENOMEM;
	return true;
}

void *
failing_malloc(size_t bytes)
{
	return refuses() ? NULL : malloc(bytes);
}

void *
failing_calloc(size_t n, size_t bytes)
{
	return refuses() ? NULL : calloc(n, bytes);
}

void *
failing_realloc(void *p, size_t bytes)
{
	return refuses() ? NULL : realloc(p, bytes);
}

void *
failing_reallocarray(void *p, size_t n, size_t bytes)
{
	return refuses() ? NULL : reallocarray(p, n, bytes);
}

char *
failing_strdup(const char *s)
{
	return refuses() ? NULL : strdup(s);
}

char *
failing_strndup(const char *s, size_t n)
{
	return refuses() ? NULL : strndup(s, n);
}

int
failing_asprintf(char **ret, const char *format, ...)
{
	va_list args;
	int n = -1;

	va_start(args, format);
	if (!refuses())
		n = vasprintf(ret, format, args);
	va_end(args);
	return n;
}

/* What asprintf() becomes under _FORTIFY_SOURCE. */
int
failing_asprintf_chk(char **ret, int flag, const char *format, ...)
{
	va_list args;
	int n = -1;

	(void)flag;
	va_start(args, format);
	if (!refuses())
		n = vasprintf(ret, format, args);
	va_end(args);
	return n;
}

void *
failing_mmap(void *at, size_t bytes, int prot, int flags, int fd, off_t offset)
{
	return refuses() ? MAP_FAILED : mmap(at, bytes, prot, flags, fd, offset);
}

int
failing_pthread_create(
    pthread_t *ret, const pthread_attr_t *attr, void *(*fn)(void *), void *arg)
{
	return refuses() ? EAGAIN : pthread_create(ret, attr, fn, arg);
}

void
failing_free(void *p)
{
	free(p);
}
