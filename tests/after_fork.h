/* SPDX-License-Identifier: Apache-2.0 */
/*
 * after_fork.h - for tests whose forked children start threads, which the thread
 * sanitizer has to be told to allow. Included by a test program once.
 */
#ifndef AFTER_FORK_H
#define AFTER_FORK_H

#ifdef __SANITIZE_THREAD__
const char *__tsan_default_options(void);

const char *
__tsan_default_options(void)
{
	return "die_after_fork=0";
}
#endif

#endif /* AFTER_FORK_H */
