/* SPDX-License-Identifier: Apache-2.0 */
/*
 * commands.h - the one table of what dynamo-metricsctl can do, and its help.
 */
#ifndef COMMANDS_H
#define COMMANDS_H

#include "ctl.h"

/* Options that only some commands take. */
enum command_option {
	OPTION_FILE = 1 << 0,
	OPTION_JSON = 1 << 1,
	OPTION_LEVEL = 1 << 2,
	OPTION_DRY_RUN = 1 << 3,
	OPTION_COUNT = 1 << 4
};

struct command {
	const char *name;
	const char *arguments;
	const char *summary;
	const char *help;
	unsigned options;
	ctl_run *run;
};

/* CTL_USAGE, with the nearest command in the sentence, if there is none of that name. */
enum ctl_exit command_find(
    const char *name, const struct command **ret, struct ctl_error *error);

/* The name of an option, without its dashes. */
const char *command_option_name(enum command_option option);

/* The help of a command, or of all (c NULL). */
void command_print_help(FILE *out, const struct command *c);

#endif /* COMMANDS_H */
