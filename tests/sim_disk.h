/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim_disk.h - a disk in memory: two folders, whose every call may fail or be the last
 * one that a process makes, and a child that writes when the world says so.
 */
#ifndef SIM_DISK_H
#define SIM_DISK_H

#include "disk.h"

#define SIM_NAMES    200 /* in a folder */
#define SIM_HANDLES  8
#define SIM_CHILDREN 6

/* What a name stands for. */
struct sim_file {
	uint32_t refs; /* names, in the folder and in what is durable of it; handles */
	size_t bytes, room;
	size_t synced; /* so many are there after the machine went down */
	uint8_t *at;
};

/* Nobody has it; it goes when the last who had it lets go. */
struct sim_file *sim_file_new(void);
struct sim_file *sim_file_hold(struct sim_file *f);
void sim_file_let_go(struct sim_file *f); /* NULL is fine */
void sim_file_append(struct sim_file *f, const void *bytes, size_t n);
void sim_file_cut(struct sim_file *f, size_t bytes);

struct sim_name {
	char name[64];
	struct sim_file *file;
};

struct sim_folder {
	struct sim_name name[SIM_NAMES];
};

enum sim_child_at { SIM_CHILD_WRITES, SIM_CHILD_IDLE, SIM_CHILD_SYNCS, SIM_CHILD_ENDS };

/* A process that writes a file of its own. What it writes is known when it starts. */
struct sim_child_process {
	pid_t pid; /* 0: none */
	bool orphan;
	bool made; /* its file is there */
	char name[64];
	struct sim_file *image;
	struct disk_result result;
	enum disk_child_state state;
	enum sim_child_at at;
	enum disk_place place; /* it syncs */
};

struct sim_disk {
	uint64_t *random; /* of the world */
	struct disk ops;
	struct sim_folder now[DISK_PLACES], durable[DISK_PLACES];
	struct sim_file *handle[SIM_HANDLES];
	struct sim_child_process child[SIM_CHILDREN];
	struct sim_child_process *running; /* while a child's work is found out */
	pid_t pids;
	bool
	    waiting; /* a child waits for orders, as a real one does, or ends by itself */
	bool orphans; /* a child always outlives its parent, else by chance */
	bool failing[DISK_PLACES]; /* no write succeeds there */
	uint32_t fuse; /* the process dies at that call from now that writes; 0: never */
	bool dead;     /* it has died: nothing is done any more */
};

struct sim_disk *sim_disk_new(uint64_t *random);
void sim_disk_free(struct sim_disk *d);
/* Another process begins; the children of the last one are orphans. */
void sim_disk_process(struct sim_disk *d);
/* Let a child go on: half of its file, all of it, or an end. False: there is none. */
bool sim_disk_child(struct sim_disk *d, bool well);
/* Everything is gone. */
void sim_disk_wipe(struct sim_disk *d, enum disk_place place);
/* The machine went down: what was not synced may be gone. */
void sim_disk_crash(struct sim_disk *d);
/* The bytes of a file, to be changed; NULL if it is not there. */
struct sim_file *sim_disk_file(
    struct sim_disk *d, enum disk_place place, const char *name);

#endif /* SIM_DISK_H */
