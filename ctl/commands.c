/* SPDX-License-Identifier: Apache-2.0 */
#include "commands.h"

#include <stdlib.h>

#include "nearest.h"

/* clang-format off */
static const struct command commands[] = {
	{ "send", "'{...}'... | @FILE... | -f FILE | -", "report metrics: JSON messages",
"Sends messages, one after another, and says nothing when they were taken. What\n"
"is refused is told on standard error, line by line, with the number of the\n"
"message if there are several; everything else counts all the same.\n"
"\n"
"  '{...}'              a message itself\n"
"  @FILE, -f, --file FILE\n"
"                       the messages are in FILE\n"
"  -                    the messages are on standard input\n"
"      --json           print the daemon's answers as they are, a line each\n"
"\n"
"Each argument, file or pipe may have many messages in it, one to a line or\n"
"just one after another; each is sent as soon as it is there. A message says\n"
"where, and what:\n"
"\n"
"  dynamo-metricsctl send '{\"namespace\":\"dynamo\",\"component\":\"backend\",\n"
"    \"metrics\":[{\"name\":\"jobs_total\",\"type\":\"counter\",\"inc\":1}]}'\n"
"\n"
"namespace, component and endpoint may be missing. Fields of a metric: name,\n"
"type (counter, gauge, histogram), help, labels (an object), merge (gauges:\n"
"sum, min, max, last), buckets (histograms), and at most one of inc (counters),\n"
"set or add (gauges), observe (histograms: a number or an array), and remove\n"
"(true). ttl_s beside set: how long the value is kept. A message with an id (a\n"
"string) counts once, however often it is sent.\n",
	    OPTION_FILE | OPTION_JSON, ctl_send },
	{ "expose", "[NAMESPACE[/COMPONENT[/ENDPOINT]]]",
	    "print a level's metrics, as Prometheus reads them",
"Prints what the daemon has at a level and below it, in Prometheus text format;\n"
"without a level, everything. A name that has a slash in it: give the names as\n"
"arguments of their own; a lone one has an empty argument behind it.\n"
"\n"
"  dynamo-metricsctl expose dynamo/backend\n"
"  dynamo-metricsctl expose my/namespace backend\n"
"  dynamo-metricsctl expose my/namespace ''\n",
	    0, ctl_expose },
	{ "status", "[--json]", "show the daemon, its state and its workers",
"Shows the daemon; what it keeps over a restart, with a line for each problem;\n"
"and each live worker: its name, process, user, whether it is connected, since\n"
"when it is known (AGE), when it last spoke (IDLE) and last reported a change\n"
"(UPDATED), its series, and how many things of it were refused.\n"
"\n"
"      --json           print the daemon's answer as it is\n",
	    OPTION_JSON, ctl_status },
	{ "remove", "NAME [LABEL=VALUE...] [--level LEVEL] [--dry-run] [--json]",
	    "take series off the page",
"Takes the series of a metric away, with all that was counted in them, and prints\n"
"them. Those that live workers define stay on the page and begin again: counters\n"
"and histograms at 0, gauges unset. NAME is with or without its prefix. It is an\n"
"error if there is no such series. For root and the daemon's own user.\n"
"\n"
"  LABEL=VALUE          only series with this label\n"
"      --level NAMESPACE[/COMPONENT[/ENDPOINT]]\n"
"                       only series at this level and below it\n"
"      --dry-run        change nothing: print what would be removed\n"
"      --json           print the daemon's answer as it is\n"
"\n"
"  dynamo-metricsctl remove queue_depth queue=old --level dynamo/backend\n",
	    OPTION_LEVEL | OPTION_DRY_RUN | OPTION_JSON, ctl_remove },
	{ "log-level", "error | warning | info | debug", "how much the daemon logs",
"Sets what the daemon logs from now on, until it is started again or reads its\n"
"configuration again. debug tells of each metric and series that a worker\n"
"registers. For root and the daemon's own user.\n",
	    0, ctl_log_level },
	{ "tail", "[--count N] [--json]", "show messages as the daemon gets them",
"Prints a line for each message from now on: when it came, from which process,\n"
"user and worker, what it is, and what was answered or refused, and why. JSON\n"
"messages are shown, shortened. Ctrl-C ends it. For root and the daemon's own\n"
"user.\n"
"\n"
"      --count N        end after N messages\n"
"      --json           a JSON object for each message instead\n",
	    OPTION_COUNT | OPTION_JSON, ctl_tail },
	{ "bridge", "URL", "the daemon on another of nanomsg's transports",
"Listens at URL for nanomsg's REQ sockets and passes what they send on to the\n"
"daemon, and its answers back, until Ctrl-C.\n"
"\n"
"  tcp://ADDRESS:PORT   an address of this host, or * for all of them\n"
"  ws://ADDRESS:PORT    WebSocket\n"
"  ipc:///PATH          another socket of this host\n"
"\n"
"  dynamo-metricsctl bridge tcp://127.0.0.1:5555\n"
"\n"
"Whoever can reach URL can report as the user that runs the bridge: nothing is\n"
"encrypted and nobody has to say who they are. What is for root and the daemon's\n"
"own user alone does not pass. The bridge is libnanomsg's: hostile bytes can end\n"
"it, and then it is to be started again. The daemon is not touched by that.\n",
	    0, ctl_bridge },
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
/* clang-format on */

void
command_print_help(FILE *out, const struct command *c)
{
	if (c) {
		fprintf(out, "Usage: dynamo-metricsctl [OPTION]... %s %s\n\n%s\n%s",
		    c->name, c->arguments, c->help, general);
		return;
	}
	fputs("Usage: dynamo-metricsctl [OPTION]... COMMAND [ARGUMENT]...\n"
	      "Talk to dynamo-metricsd.\n\n"
	      "Commands (dynamo-metricsctl COMMAND --help tells more):\n",
	    out);
	for (size_t i = 0; i < COMMANDS; i++)
		fprintf(out, "  %-20s %s\n", commands[i].name, commands[i].summary);
	fprintf(out, "\n%s", general);
}

const char *
command_option_name(enum command_option option)
{
	switch (option) {
	case OPTION_FILE:
		return "file";
	case OPTION_JSON:
		return "json";
	case OPTION_LEVEL:
		return "level";
	case OPTION_DRY_RUN:
		return "dry-run";
	case OPTION_COUNT:
		return "count";
	}
	return "?";
}

/* ---- A mistyped command ------------------------------------------------------ */

/* The command that somebody may have meant, or NULL. */
static const char *
meant(const char *name)
{
	const char *words[COMMANDS + 1] = { NULL };

	for (size_t i = 0; i < COMMANDS; i++)
		words[i] = commands[i].name;
	return nearest_word(words, name);
}

enum ctl_exit
command_find(const char *name, const struct command **ret, struct ctl_error *error)
{
	const char *found;

	if (name == NULL)
		return ctl_fail(error, CTL_USAGE, "say a command");
	for (size_t i = 0; i < COMMANDS; i++)
		if (strcmp(commands[i].name, name) == 0) {
			*ret = &commands[i];
			return CTL_OK;
		}
	found = meant(name);
	if (found)
		return ctl_fail(error, CTL_USAGE,
		    "there is no command '%s'; did you mean '%s'?", name, found);
	return ctl_fail(error, CTL_USAGE, "there is no command '%s'", name);
}
