/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "process.h"
#include "server.h"

#define DEFAULT_FILE "/etc/dynamo-metricsd.json"

/* From this size on, memory comes from the kernel and goes back to it: what of a table is
 * not in use takes none, however many tables were freed before. Slices of a page are
 * smaller, as they come and go all the time. */
#define TABLE_BYTES (256 << 10)

#ifndef DYNAMO_METRICS_VERSION
#define DYNAMO_METRICS_VERSION "unknown"
#endif

enum exit_status { EXIT_OK = 0, EXIT_ERROR = 1, EXIT_USAGE = 2 };

static const char usage[] = "usage: dynamo-metricsd [--config FILE] [--check-config]\n"
			    "       dynamo-metricsd --help | --version\n";

static const char help[] =
    "\n"
    "Collect the metrics of this host's worker processes, and answer Prometheus.\n"
    "\n"
    "  --config FILE   read FILE instead of " DEFAULT_FILE "; -FILE: if it is there\n"
    "  --check-config  say whether the configuration is right, and exit: 0 if it is,\n"
    "                  1 with what is wrong and where\n"
    "  --version       print the version, and exit\n"
    "  --help          print this, and exit\n"
    "\n"
    "SIGHUP reads FILE again; SIGTERM and SIGINT stop.\n"
    "\n"
    "Variables of the environment win over the file:\n";

struct arguments {
	const char *config;
	bool check;
};

static void
print_help(void)
{
	fputs(usage, stdout);
	fputs(help, stdout);
	for (size_t i = 0; i < config_keys; i++) {
		const struct config_key *k = &config_table[i];

		if (k->environment)
			printf("  %s\n      %s\n      Default: %s\n", k->environment,
			    k->use, k->normal[0] ? k->normal : "none");
	}
}

/* True to go on; else the program ends with *ret_status. */
static bool
read_arguments(int argc, char **argv, struct arguments *ret, enum exit_status *ret_status)
{
	static const struct option options[] = { { "config", required_argument, NULL,
						     'c' },
		{ "check-config", no_argument, NULL, 'k' },
		{ "version", no_argument, NULL, 'v' }, { "help", no_argument, NULL, 'h' },
		{ 0 } };
	int option;

	*ret_status = EXIT_USAGE;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			ret->config = optarg;
			if (optarg[optarg[0] == '-'] == '\0') {
				fputs("dynamo-metricsd: --config wants the name of a "
				      "file\n",
				    stderr);
				return false;
			}
			break;
		case 'k':
			ret->check = true;
			break;
		case 'v':
			puts("dynamo-metricsd " DYNAMO_METRICS_VERSION);
			*ret_status = EXIT_OK;
			return false;
		case 'h':
			print_help();
			*ret_status = EXIT_OK;
			return false;
		default:
			fputs(usage, stderr);
			return false;
		}
	}
	if (optind < argc) {
		fprintf(
		    stderr, "dynamo-metricsd: what is \"%s\"?\n%s", argv[optind], usage);
		return false;
	}
	return true;
}

static bool
is_for_journal(void)
{
	return log_is_journal(getenv("JOURNAL_STREAM"), STDERR_FILENO);
}

static void
print_error(char *text)
{
	log_printable(text);
	fprintf(stderr, "%sdynamo-metricsd: %s\n", is_for_journal() ? "<3>" : "", text);
}

static void
print_warning(void *arg, const char *text)
{
	(void)arg;
	fprintf(stderr, "%sdynamo-metricsd: warning: %s\n", is_for_journal() ? "<4>" : "",
	    text);
}

/* Not: it cannot be told. */
static bool
is_absent(const char *file)
{
	return access(file, F_OK) != 0 && (errno == ENOENT || errno == ENOTDIR);
}

static bool
is_missing(const struct config_source *source)
{
	return source->may_be_missing && is_absent(source->file);
}

static void
log_warning(void *arg, const char *text)
{
	log_line(arg, LOG_LEVEL_WARNING, "config: %s", text);
}

static enum exit_status
serve(struct config *config, const struct config_source *source)
{
	struct log *log = log_new((enum log_level)config->log.level, NULL, NULL);
	enum exit_status status = EXIT_ERROR;
	char error[SERVER_ERROR_TEXT];
	struct server *s = NULL;

	if (log && is_for_journal())
		log_for_journal(log);
	server_hold_signals();
	log_line(log, LOG_LEVEL_INFO, "config: %s%s", source->file,
	    is_missing(source) ? " is not there: all is at its default" : "");
	config_warn(config, source->environment, log_warning, log);
	server_want_fds(config, log);
	s = server_new(config, source, log, error);
	if (s == NULL) {
		print_error(error);
		goto out;
	}
	if (server_run(s) == 0)
		status = EXIT_OK;
out:
	server_free(s);
	log_free(log);
	return status;
}

/* The configuration is right. */
static enum exit_status
say_right(const struct config *config, const struct config_source *source)
{
	config_warn(config, source->environment, print_warning, NULL);
	printf("%s: ok%s\n", source->file,
	    is_missing(source) ? ": it is not there, so all is at its default" : "");
	return fflush(stdout) == 0 ? EXIT_OK : EXIT_ERROR;
}

/* given NULL: the usual one. */
static void
take_file(const char *given, struct config_source *ret)
{
	bool optional = given == NULL || given[0] == '-';

	if (given)
		ret->file = given + optional;
	ret->may_be_missing = optional && is_absent(ret->file);
}

int
main(int argc, char **argv)
{
	struct arguments arguments = { 0 };
	struct config_source source = { .file = DEFAULT_FILE, .environment = environ };
	enum exit_status status;
	struct config_error error;
	struct config config;

	process_open_standard();
	if (!read_arguments(argc, argv, &arguments, &status))
		return (int)status;
	take_file(arguments.config, &source);
	if (config_load(&config, &source, &error) != 0) {
		print_error(error.text);
		return EXIT_ERROR;
	}
	mallopt(M_MMAP_THRESHOLD, TABLE_BYTES);
	status = arguments.check ? say_right(&config, &source) : serve(&config, &source);
	config_free(&config);
	return (int)status;
}
