/* SPDX-License-Identifier: Apache-2.0 */
/*
 * after_fork.h - for tests that fork while other threads run, and whose children start
 * threads: what the sanitizers need to be told or spared. Included by a test program
 * once.
 */
#ifndef AFTER_FORK_H
#define AFTER_FORK_H

#include <unistd.h>

/* clang says it in another way. */
#ifdef __has_feature
#if __has_feature(address_sanitizer) && !defined(__SANITIZE_ADDRESS__)
#define __SANITIZE_ADDRESS__
#endif
#if __has_feature(thread_sanitizer) && !defined(__SANITIZE_THREAD__)
#define __SANITIZE_THREAD__
#endif
#endif

#ifdef __SANITIZE_THREAD__
const char *__tsan_default_options(void);

const char *
__tsan_default_options(void)
{
	return "die_after_fork=0";
}
#endif

#ifdef __SANITIZE_ADDRESS__
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* True unless another thread of this process is running. */
static inline bool
others_rest(void)
{
	DIR *tasks = opendir("/proc/self/task");
	bool rest = true;

	for (struct dirent *d; tasks && rest && (d = readdir(tasks)) != NULL;) {
		char path[300], stat[512] = "", *state;
		FILE *f;

		if (d->d_name[0] == '.' || atoi(d->d_name) == gettid())
			continue;
		snprintf(path, sizeof(path), "/proc/self/task/%s/stat", d->d_name);
		f = fopen(path, "r");
		if (f && fgets(stat, sizeof(stat), f) && (state = strrchr(stat, ')')))
			rest = state[2] == 'S';
		if (f)
			fclose(f);
	}
	if (tasks)
		closedir(tasks);
	return rest;
}
#endif

/*
 * fork(). The address sanitizer's allocator does not hold its locks over a fork as libc's
 * does: what another thread has locked stays locked in the child. With it, the fork waits
 * until the others sleep.
 */
static inline pid_t
fork_safely(void)
{
#ifdef __SANITIZE_ADDRESS__
	while (!others_rest())
		usleep(1000);
#endif
	return fork();
}

#endif /* AFTER_FORK_H */
