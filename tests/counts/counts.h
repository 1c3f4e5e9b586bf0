/* SPDX-License-Identifier: Apache-2.0 */
/*
 * counts.h - what the programs of tests/counts share: PROGRAM WHAT TIMES does one thing
 * so often, in counted(), where alone instructions are counted. What TIMES and twice
 * TIMES differ by is the thing itself, exactly. The Makefile links them by their names:
 *
 *   client_counts.c    as a user's program
 *   clientin_counts.c  with the inside of the library
 *   daemon_counts.c    with all of the daemon but its main()
 */
#ifndef COUNTS_H
#define COUNTS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct count {
	const char *name;
	void (*run)(long times);
};

/* Counted from its first instruction to its last. */
__attribute__((noinline, used)) static void
counted(void (*run)(long times), long times)
{
	run(times);
	__asm__ volatile("" : : : "memory"); /* so that run() returns to here */
}

/* Do what argv asks for. Returns what main() should. */
static inline int
counts_run(const struct count *all, size_t n, int argc, char **argv)
{
	for (size_t i = 0; argc == 3 && i < n; i++) {
		if (strcmp(all[i].name, argv[1]) != 0)
			continue;
		counted(all[i].run, atol(argv[2]));
		return 0;
	}
	fprintf(stderr, "%s: WHAT TIMES\n", argv[0]);
	return 2;
}

#endif
