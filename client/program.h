/* SPDX-License-Identifier: Apache-2.0 */
/*
 * program.h - what the library has to know of the program that it is in.
 */
#ifndef PROGRAM_H
#define PROGRAM_H

#include <stdbool.h>

/*
 * True when no thread is the program's any more: main has ended by pthread_exit(), and as
 * many are left as the caller says are the library's. Such a process would never end.
 * False also where /proc does not tell.
 */
bool program_has_ended(unsigned ours);

/*
 * fd, or a copy of it when it is 0, 1 or 2: where a program has closed one of them, what
 * it prints must not come to us. -1 with errno when there is no descriptor for the copy;
 * then fd is closed.
 */
int program_keep_off(int fd);

#endif /* PROGRAM_H */
