/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtime.h - what dynm_open() makes.
 */
#ifndef RUNTIME_H
#define RUNTIME_H

#include "flush.h"
#include "names.h"

struct dynm_runtime {
	struct dynm_runtime *next; /* of all in this process */
	struct report report;
	struct store store;
	struct flush flush;
	bool counts; /* a child was made (atomic) */
	char path[TRANSPORT_PATH_BYTES];
	char worker[NAMES_WORKER_BYTES + 1];
};

#endif /* RUNTIME_H */
