/* SPDX-License-Identifier: Apache-2.0 */
/*
 * process.h - what the kernel says about processes: this one's figures, and who is at the
 * other end of a socket and whether it still lives.
 *
 * Reads /proc and asks the kernel; keeps nothing. One thread.
 */
#ifndef PROCESS_H
#define PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* This process, as Prometheus' process_* metrics want it; 0: there is no /proc to say. */
struct process_figures {
	double cpu_seconds;
	double open_fds;
	double max_fds; /* the soft limit; +Inf for none */
	double resident_bytes;
	double virtual_bytes;
	double start_time_seconds; /* since the epoch */
};

void process_figures(struct process_figures *ret);
/* open_fds the long way, for a kernel that has no shorter one. */
double process_listed_fds(void);

/*
 * Raise the soft limit of open descriptors to what is wanted, as far as the hard limit
 * allows. Returns the soft limit then.
 */
uint64_t process_want_fds(uint64_t wanted);

/*
 * Make the descriptors 0, 1 and 2 something, where they are nothing: what is opened later
 * would get their numbers, and whatever is printed.
 */
void process_open_standard(void);

/* This boot of the machine. False if the kernel does not say. */
#define PROCESS_BOOT_BYTES 16
bool process_boot(uint8_t ret[PROCESS_BOOT_BYTES]);
/* The namespace of process numbers; 0: unknown. */
uint64_t process_namespace(void);

/* What can be said of a process that was there earlier in this boot and namespace. */
enum process_life { PROCESS_UNKNOWN, PROCESS_SAME, PROCESS_GONE };
enum process_life process_life(pid_t pid, uint64_t start);

/* The process that connected a Unix socket. */
struct process_peer {
	pid_t pid; /* 0: not visible from here, and never probed by number */
	uid_t uid;
	gid_t gid;
	uint64_t start; /* clock ticks since boot; 0: unknown */
	int pidfd;	/* readable once the process is dead; -1: none to be had */
	bool gone;	/* it was dead already when it was asked for */
};

/* 0, or -1 with errno, also when descriptors or memory are out. To be given to
 * process_peer_close(). */
int process_peer_of(int socket, struct process_peer *ret);
void process_peer_close(struct process_peer *p);
/* True only if the process is certainly dead. */
bool process_peer_is_gone(const struct process_peer *p);

#endif /* PROCESS_H */
