/* SPDX-License-Identifier: Apache-2.0 */
/* dynamo-metricsctl: what a person or a script says to dynamo-metricsd. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>

#include "ctl.h"

#ifndef DYNAMO_METRICS_VERSION
#define DYNAMO_METRICS_VERSION "unknown"
#endif

#define DEFAULT_TIMEOUT_MS 5000
#define MAX_TIMEOUT_MS	   3600000

static const struct command {
	const char *name;
	const char *arguments;
	const char *summary;
	const char *help;
	bool takes_file, takes_json;
	enum ctl_exit (*run)(
	    const struct ctl_options *o, int argc, char **argv, struct ctl_error *error);
} commands[] = {
	{ "send", "'{...}' | @FILE | -f FILE | -", "report metrics: one JSON message",
	    "Sends one message and says nothing when it was taken. What is refused is "
	    "told\n"
	    "on standard error, line by line; the rest of the message counts all the "
	    "same.\n"
	    "\n"
	    "  '{...}'          the message itself\n"
	    "  @FILE, -f FILE   the message is in FILE\n"
	    "  -                the message is on standard input\n"
	    "      --json       print the daemon's answer as it is\n"
	    "\n"
	    "A message says where, and what:\n"
	    "\n"
	    "  dynamo-metricsctl send "
	    "'{\"namespace\":\"dynamo\",\"component\":\"backend\",\n"
	    "    "
	    "\"metrics\":[{\"name\":\"jobs_total\",\"type\":\"counter\",\"inc\":1}]}'\n"
	    "\n"
	    "namespace, component and endpoint may be missing. Fields of a metric: "
	    "name,\n"
	    "type (counter, gauge, histogram), help, labels (an object), merge (gauges:\n"
	    "sum, min, max, last), buckets (histograms), and one of inc (counters), set "
	    "or\n"
	    "add (gauges), observe (histograms: a number or an array).\n",
	    true, true, ctl_send },
	{ "expose", "[NAMESPACE[/COMPONENT[/ENDPOINT]]]",
	    "print a level's metrics, as Prometheus reads them",
	    "Prints what the daemon has at a level and below it, in Prometheus text "
	    "format;\n"
	    "without a level, everything. A name that has a slash in it: give the names "
	    "as\n"
	    "arguments of their own.\n"
	    "\n"
	    "  dynamo-metricsctl expose dynamo/backend\n"
	    "  dynamo-metricsctl expose my/namespace backend\n",
	    false, false, ctl_expose },
	{ "status", "[--json]", "show the daemon and its workers",
	    "Shows the daemon, and each live worker: its name, process, user, whether it "
	    "is\n"
	    "connected, since when it is known, when it last spoke, its series, and how "
	    "many\n"
	    "things of it were refused.\n"
	    "\n"
	    "      --json       print the daemon's answer as it is\n",
	    false, true, ctl_status },
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static const char general[] =
    "Options:\n"
    "  -a, --address URL    where the daemon listens, any nanomsg address; default\n"
    "                       $DYN_METRICSD_ADDRESS, then\n"
    "                       " CTL_DEFAULT_ADDRESS "\n"
    "  -t, --timeout-ms N   give up after so many milliseconds; default 5000\n"
    "  -h, --help           this text, or that of a command\n"
    "  -V, --version        print the version\n"
    "\n"
    "Exit status: 0 all well, 1 the daemon refused something, 2 the command line is\n"
    "wrong, 3 the daemon cannot be reached or does not answer in time.\n";

static void
print_help(const struct command *c)
{
	if (c) {
		printf("Usage: dynamo-metricsctl [OPTION]... %s %s\n\n%s\n%s", c->name,
		    c->arguments, c->help, general);
		return;
	}
	printf("Usage: dynamo-metricsctl [OPTION]... COMMAND [ARGUMENT]...\n"
	       "Talk to dynamo-metricsd.\n\n"
	       "Commands (dynamo-metricsctl COMMAND --help tells more):\n");
	for (size_t i = 0; i < COMMANDS; i++)
		printf("  %-20s %s\n", commands[i].name, commands[i].summary);
	printf("\n%s", general);
}

static enum ctl_exit
get_timeout(const char *text, int *ret, struct ctl_error *error)
{
	char *end;
	long n;

	errno = 0;
	n = strtol(text, &end, 10);
	if (errno || *end || end == text || n < 1 || n > MAX_TIMEOUT_MS)
		return ctl_fail(error, CTL_USAGE,
		    "--timeout-ms '%s' has to be a whole number from 1 to %d", text,
		    MAX_TIMEOUT_MS);
	*ret = (int)n;
	return CTL_OK;
}

struct line {
	struct ctl_options options;
	bool help, version;
};

static enum ctl_exit
get_options(int argc, char **argv, struct line *ret, struct ctl_error *error)
{
	static const struct option options[] = {
		{ "address", required_argument, NULL, 'a' },
		{ "timeout-ms", required_argument, NULL, 't' },
		{ "file", required_argument, NULL, 'f' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "a:t:f:hV", options, NULL)) != -1) {
		if (c == 'a')
			ret->options.address = optarg;
		else if (c == 'f')
			ret->options.file = optarg;
		else if (c == 'j')
			ret->options.json = true;
		else if (c == 'h')
			ret->help = true;
		else if (c == 'V')
			ret->version = true;
		else if (c != 't')
			return CTL_USAGE; /* getopt has said why */
		else if (get_timeout(optarg, &ret->options.timeout_ms, error) != CTL_OK)
			return CTL_USAGE;
	}
	return CTL_OK;
}

static enum ctl_exit
find_command(const char *name, const struct command **ret, struct ctl_error *error)
{
	if (name == NULL)
		return ctl_fail(error, CTL_USAGE, "say a command");
	for (size_t i = 0; i < COMMANDS; i++)
		if (strcmp(commands[i].name, name) == 0) {
			*ret = &commands[i];
			return CTL_OK;
		}
	return ctl_fail(error, CTL_USAGE, "there is no command '%s'", name);
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
		code = find_command(argv[optind], &command, error);
	if (code != CTL_OK)
		return code;
	if (line.version)
		printf("dynamo-metricsctl %s\n", DYNAMO_METRICS_VERSION);
	if (line.help && !line.version)
		print_help(command);
	if (line.help || line.version)
		return CTL_OK;
	if (line.options.file && !command->takes_file)
		return ctl_fail(error, CTL_USAGE, "%s takes no --file", command->name);
	if (line.options.json && !command->takes_json)
		return ctl_fail(error, CTL_USAGE, "%s takes no --json", command->name);
	return command->run(&line.options, argc - optind - 1, argv + optind + 1, error);
}

int
main(int argc, char **argv)
{
	struct ctl_error error = { "" };
	enum ctl_exit code = run(argc, argv, &error);

	if (fflush(stdout) != 0 && code == CTL_OK)
		code = ctl_fail(
		    &error, CTL_UNREACHABLE, "standard output: %s", strerror(errno));
	if (error.text[0]) {
		fputs("dynamo-metricsctl: ", stderr);
		ctl_print(stderr, wire_text(error.text));
		fputc('\n', stderr);
	}
	if (code == CTL_USAGE)
		fputs("Try 'dynamo-metricsctl --help'.\n", stderr);
	return (int)code;
}
