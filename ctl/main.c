/* SPDX-License-Identifier: Apache-2.0 */
/* dynamo-metricsctl: what a person or a script says to dynamo-metricsd. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>

#include "commands.h"
#include "ctl.h"

#ifndef DYNAMO_METRICS_VERSION
#define DYNAMO_METRICS_VERSION "unknown"
#endif

#define DEFAULT_TIMEOUT_MS 5000
#define MAX_TIMEOUT_MS	   3600000
#define MAX_COUNT	   INT_MAX

struct line {
	struct ctl_options options;
	unsigned given; /* enum command_option */
	bool help, version;
};

static enum ctl_exit
get_number(
    const char *option, const char *text, long most, long *ret, struct ctl_error *error)
{
	char *end;
	long n;

	errno = 0;
	n = strtol(text, &end, 10);
	if (errno || *end || end == text || n < 1 || n > most)
		return ctl_fail(error, CTL_USAGE,
		    "%s '%s' has to be a whole number from 1 to %ld", option, text, most);
	*ret = n;
	return CTL_OK;
}

/* An option with a number. */
static enum ctl_exit
get_numbered(int c, struct line *ret, struct ctl_error *error)
{
	long n = 0;
	enum ctl_exit code;

	if (c == 't') {
		code = get_number("--timeout-ms", optarg, MAX_TIMEOUT_MS, &n, error);
		ret->options.timeout_ms = (int)n;
	} else {
		code = get_number("--count", optarg, MAX_COUNT, &n, error);
		ret->options.count = (uint64_t)n;
		ret->given |= OPTION_COUNT;
	}
	return code;
}

static void
get_option(int c, struct line *ret)
{
	switch (c) {
	case 'a':
		ret->options.address = optarg;
		return;
	case 'f':
		ret->options.file = optarg;
		ret->given |= OPTION_FILE;
		return;
	case 'j':
		ret->options.json = true;
		ret->given |= OPTION_JSON;
		return;
	case 'l':
		ret->options.level = optarg;
		ret->given |= OPTION_LEVEL;
		return;
	case 'd':
		ret->options.dry_run = true;
		ret->given |= OPTION_DRY_RUN;
		return;
	case 'h':
		ret->help = true;
		return;
	case 'V':
		ret->version = true;
		return;
	}
}

static enum ctl_exit
get_options(int argc, char **argv, struct line *ret, struct ctl_error *error)
{
	static const struct option options[] = {
		{ "address", required_argument, NULL, 'a' },
		{ "timeout-ms", required_argument, NULL, 't' },
		{ "file", required_argument, NULL, 'f' },
		{ "json", no_argument, NULL, 'j' },
		{ "level", required_argument, NULL, 'l' },
		{ "dry-run", no_argument, NULL, 'd' },
		{ "count", required_argument, NULL, 'c' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "a:t:f:hV", options, NULL)) != -1) {
		if (c == '?')
			return CTL_USAGE; /* getopt has said why */
		if (c != 't' && c != 'c')
			get_option(c, ret);
		else if (get_numbered(c, ret, error) != CTL_OK)
			return CTL_USAGE;
	}
	return CTL_OK;
}

/* An option that the command does not have. */
static enum ctl_exit
check_options(
    const struct line *line, const struct command *command, struct ctl_error *error)
{
	unsigned wrong = line->given & ~command->options;

	if (wrong == 0)
		return CTL_OK;
	return ctl_fail(error, CTL_USAGE, "%s takes no --%s", command->name,
	    command_option_name(wrong & -wrong));
}

static enum ctl_exit
run(int argc, char **argv, struct ctl_error *error)
{
	const char *address = getenv("DYN_METRICSD_ADDRESS");
	const struct command *command = NULL;
	struct line line = { .options = { .timeout_ms = DEFAULT_TIMEOUT_MS,
				 .address = address && *address ? address
								: CTL_DEFAULT_ADDRESS } };
	enum ctl_exit code = get_options(argc, argv, &line, error);

	if (code == CTL_OK && !line.version && (optind < argc || !line.help))
		code = command_find(argv[optind], &command, error);
	if (code != CTL_OK)
		return code;
	if (line.version)
		printf("dynamo-metricsctl %s\n", DYNAMO_METRICS_VERSION);
	else if (line.help)
		command_print_help(stdout, command);
	if (line.help || line.version)
		return CTL_OK;
	code = check_options(&line, command, error);
	if (code != CTL_OK)
		return code;
	return command->run(&line.options, argc - optind - 1, argv + optind + 1, error);
}

int
main(int argc, char **argv)
{
	struct ctl_error error = { "" };
	enum ctl_exit code = run(argc, argv, &error);

	if ((fflush(stdout) != 0 || ferror(stdout)) && code == CTL_OK)
		code = ctl_fail(
		    &error, CTL_UNREACHABLE, "standard output cannot be written");
	if (error.text[0]) {
		fputs("dynamo-metricsctl: ", stderr);
		ctl_print(stderr, wire_text(error.text));
		fputc('\n', stderr);
	}
	if (code == CTL_USAGE)
		fputs("Try 'dynamo-metricsctl --help'.\n", stderr);
	return (int)code;
}
