/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk.h - what the state does with files, in two folders, and the process that writes a
 * snapshot.
 *
 * A table of functions, so that a test can have a disk in memory whose every call may
 * fail. Names are bare file names in one of the folders. Every function gives 0 or an
 * errno value; what it returns besides is set when it gave 0. One thread.
 *
 * The real one opens each folder once and works in it by descriptor, so it goes on in the
 * same folder whatever happens to the path. It follows no link and takes no FIFO,
 * directory or device for a file: EINVAL. It takes no file that is neither its own nor
 * root's nor that of the folder's owner: EPERM. Nor does it write to a file that it has
 * not made in this life or found to be such. A folder is had by a file named ".lock",
 * which only its owner may open.
 */
#ifndef DISK_H
#define DISK_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "strbuf.h"

enum disk_place {
	DISK_STATE,   /* lasts: the snapshot */
	DISK_RUNTIME, /* gone after a reboot: the journal */
	DISK_PLACES
};

/* How a child's work went. */
#define DISK_TEXT 200
struct disk_result {
	int error;	     /* 0 or an errno value */
	char why[DISK_TEXT]; /* what failed, when something did */
	uint64_t bytes;	     /* what was written, when nothing did */
};

/* A process under way. */
struct disk_child {
	pid_t pid;
	int pipe;  /* readable when reap() has something to say; -1: there is none */
	bool told; /* what it said last is in result */
	struct disk_result result;
};

enum disk_child_state {
	DISK_CHILD_RUNS,
	DISK_CHILD_WAITS, /* its work went well, and it waits for an order */
	DISK_CHILD_DONE,
	DISK_CHILD_FAILED
};

struct disk {
	void *arg; /* the first argument of each */

	/*
	 * Make the folder if it is missing (not those above it), and have it for this
	 * process alone. 0 also when that was done before. EWOULDBLOCK: another process
	 * has it; the first time, up to a second passes until that is said. Any other
	 * call gives EBADF in a folder that is not open.
	 */
	int (*open)(void *arg, enum disk_place place);
	/* Call each with every name but . and .. and that of the lock. */
	int (*list)(void *arg, enum disk_place place,
	    void (*each)(void *each_arg, const char *name), void *each_arg);
	/* Append at most so many bytes of the file, from an offset on, to ret. Fewer: it
	 * ends there. */
	int (*read)(void *arg, enum disk_place place, const char *name, uint64_t from,
	    size_t most, struct strbuf *ret);
	/* A new file, to be written and closed; one that is there is removed before. */
	int (*create)(void *arg, enum disk_place place, const char *name, int *ret_file);
	/* A file that is there, cut to its first bytes; what is written follows them. */
	int (*open_at)(void *arg, enum disk_place place, const char *name, uint64_t bytes,
	    int *ret_file);
	/* All of it, at the end of the file; or an error, and a part may be there. */
	int (*write)(void *arg, int file, const void *bytes, size_t n);
	int (*cut)(void *arg, int file, uint64_t bytes);
	int (*sync)(void *arg, int file);
	void (*close)(void *arg, int file);
	int (*rename)(void *arg, enum disk_place place, const char *from, const char *to);
	int (*remove)(void *arg, enum disk_place place, const char *name);
	int (*sync_folder)(void *arg, enum disk_place place);
	/*
	 * Run work in a process of its own, which has a copy of everything in memory, no
	 * descriptor but those of the folders, and ends with this process at the latest.
	 * There it may use create, hold, write, sync and close, and ret->pid is its own.
	 */
	int (*spawn)(void *arg, void (*work)(void *work_arg, struct disk_result *ret),
	    void *work_arg, struct disk_child *ret);
	/* How it went; once it is DONE or has FAILED, child is to be forgotten. One that
	 * WAITS has said so once, and runs when it has an order. */
	enum disk_child_state (*reap)(
	    void *arg, struct disk_child *child, struct disk_result *ret);
	/* End it and forget it. */
	void (*kill)(void *arg, struct disk_child *child);
	/* Orders to a child that waits: force a folder to the disk, and then it waits
	 * again; and to end. What takes the disk long thus keeps nobody here. */
	int (*child_sync)(void *arg, struct disk_child *child, enum disk_place place);
	int (*child_end)(void *arg, struct disk_child *child);
	/* In a child: what the file has stays until the child ends. When the parent
	 * removes it meanwhile, it does not wait until its memory or blocks are free. */
	void (*hold)(void *arg, enum disk_place place, const char *name);
	/* Whether anybody may put files into an open folder and take them away. */
	bool (*is_public)(void *arg, enum disk_place place);
};

/* The real one. Opens nothing yet. NULL when memory is out. */
struct disk *disk_new(const char *state_path, const char *runtime_path);
void disk_free(struct disk *d);
/*
 * Bury the children that are not of this disk and have ended. Process 1 gets those of
 * whoever dies, and a program that a shell has become keeps the shell's.
 */
void disk_bury(struct disk *d);

#endif /* DISK_H */
