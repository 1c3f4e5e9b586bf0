/* SPDX-License-Identifier: Apache-2.0 */
/*
 * failing_malloc.c - to be loaded before libc: allocations fail at random, drawn from a
 * seed; those of threads that are spared do not.
 */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t n, size_t bytes);
void *__libc_realloc(void *p, size_t bytes);

void failing_malloc(uint32_t one_in, uint64_t seed);
void failing_malloc_spare(bool spare);

static uint32_t one_in_now; /* atomic; 0: none fails */
static uint64_t drawn;	    /* atomic */
static __thread bool spared __attribute__((tls_model("initial-exec")));

void
failing_malloc(uint32_t one_in, uint64_t seed)
{
	__atomic_store_n(&drawn, seed, __ATOMIC_RELAXED);
	__atomic_store_n(&one_in_now, one_in, __ATOMIC_RELAXED);
}

void
failing_malloc_spare(bool spare)
{
	spared = spare;
}

static bool
fails(void)
{
	uint32_t one_in = __atomic_load_n(&one_in_now, __ATOMIC_RELAXED);
	uint64_t x;

	if (one_in == 0 || spared)
		return false;
	x = __atomic_add_fetch(&drawn, 0x9e3779b97f4a7c15U, __ATOMIC_RELAXED);
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9U;
	x = (x ^ x >> 27) * 0x94d049bb133111ebU;
	if ((x >> 33) % one_in != 0)
		return false;
	errno = ENOMEM;
	return true;
}

void *
malloc(size_t bytes)
{
	return fails() ? NULL : __libc_malloc(bytes);
}

void *
calloc(size_t n, size_t bytes)
{
	return fails() ? NULL : __libc_calloc(n, bytes);
}

void *
realloc(void *p, size_t bytes)
{
	return fails() ? NULL : __libc_realloc(p, bytes);
}

void *
mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset)
{
	if (fails())
		return MAP_FAILED;
	return (void *)syscall(SYS_mmap, at, bytes, protection, flags, fd, offset);
}
