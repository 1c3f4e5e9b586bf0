/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk_parts.h - what disk.c (folders and files) and disk_child.c (the process that
 * writes a snapshot) share. Nobody else includes it.
 */
#ifndef DISK_PARTS_H
#define DISK_PARTS_H

#include "disk.h"

struct folder {
	char *path;
	int fd;	    /* -1: not open */
	int lock;   /* what it is had by; -1: the folder itself, or nothing of its own */
	bool tried; /* it was to be opened before */
};

struct real_disk {
	struct disk disk;
	struct folder folder[DISK_PLACES];
	pid_t child; /* runs, or has ended and is to be waited for; 0: none */
};

/* These as struct disk has them. */
int disk_spawn(void *arg, void (*work)(void *work_arg, struct disk_result *ret),
    void *work_arg, struct disk_child *ret);
enum disk_child_state disk_reap(
    void *arg, struct disk_child *child, struct disk_result *ret);
void disk_kill(void *arg, struct disk_child *child);
int disk_child_sync(void *arg, struct disk_child *child, enum disk_place place);
int disk_child_end(void *arg, struct disk_child *child);

#endif /* DISK_PARTS_H */
