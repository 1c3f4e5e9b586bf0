/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin.h - what an administrator asks for: the JSON of an ADMIN message, read.
 *
 * Nothing is done here. PROTOCOL.md has the commands and their fields.
 */
#ifndef ADMIN_H
#define ADMIN_H

#include "log.h"
#include "message.h"

enum admin_verb { ADMIN_REMOVE, ADMIN_LOG_LEVEL, ADMIN_TAIL };

struct admin_command {
	enum admin_verb verb;
	void *document; /* what the texts borrow from */
	/* remove */
	struct wire_text name;
	struct message_level level;
	size_t n_labels;
	struct wire_text label_name[MESSAGE_LABELS_MAX];
	struct wire_text label_value[MESSAGE_LABELS_MAX];
	bool dry_run;
	/* log_level */
	enum log_level log_level;
	/* tail */
	bool has_after;
	uint64_t after;
};

/* 0, to be released with admin_free(); or the reason, with nothing to release. */
enum reason admin_read(
    struct admin_command *ret, struct wire_text json, struct refusal *r);
void admin_free(struct admin_command *c);

#endif /* ADMIN_H */
