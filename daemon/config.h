/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.h - the configuration: a JSON file, then the environment, which wins.
 *
 * config_table is the one list of keys: it drives reading, defaults, checks and the
 * documentation. Objects nest by section: {"http": {"port": 8081}}. What is unknown, out
 * of range or given twice is an error that says where, and what was expected.
 *
 * Reads one file; knows nothing of the rest of the daemon. One thread.
 */
#ifndef CONFIG_H
#define CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "strbuf.h"

struct config {
	struct {
		char *address;
		int64_t connections;
		int64_t handshake_ms;
		int64_t message_bytes;
		int64_t json_bytes;
		int64_t lease_ms;
		int64_t grace_ms;
	} ingest;
	struct {
		bool enabled;
		char *host;
		int64_t port;	 /* 0: any free one; -1: no HTTP */
		char *port_file; /* "": http.port in the runtime folder */
		int64_t connections;
		int64_t scrapes;
		int64_t request_ms;
		char *health_path;
		char *live_path;
		bool starting_ready; /* what /health says before the first worker */
		char **endpoints; /* /health waits for each of these; NULL-terminated */
	} http;
	struct {
		int64_t series;
		int64_t series_per_family;
		int64_t series_per_worker;
		int64_t families;
		int64_t labels;
		int64_t label_bytes;
		int64_t name_bytes;
		int64_t help_bytes;
		int64_t buckets;
	} limits;
	struct {
		int64_t level; /* an enum log_level */
	} log;
	char *runtime_folder; /* "": that of the ingest socket */
};

enum config_type {
	CONFIG_BOOL,   /* bool */
	CONFIG_NUMBER, /* int64_t within min and max */
	CONFIG_TEXT,   /* char *, not NULL */
	CONFIG_WORD,   /* int64_t: a position in words */
	CONFIG_LIST    /* char **: a list of texts; only in the environment, as JSON */
};

struct config_key {
	const char *section;	 /* NULL: only in the environment */
	const char *name;	 /* within its section */
	const char *environment; /* a variable, or NULL */
	enum config_type type;
	size_t offset;	    /* in struct config */
	const char *normal; /* the default, written as in the environment */
	int64_t min;
	int64_t max;
	const char *const
	    *words;	 /* CONFIG_WORD; CONFIG_BOOL of other words: false, true */
	bool reloadable; /* can change without a restart */
	const char *use; /* what it is for, as one sentence */
};

extern const struct config_key config_table[];
extern const size_t config_keys;

#define CONFIG_ERROR_TEXT 512
struct config_error {
	char text[CONFIG_ERROR_TEXT]; /* a sentence; the first one stays */
};

/*
 * Fill *ret with defaults, then the file (NULL: none), then the environment ("NAME=value"
 * texts, NULL-terminated; an empty value is no value). 0, and *ret is to be given to
 * config_free(); or -1 with e filled and *ret untouched.
 */
int config_load(struct config *ret, const char *file, char *const *environment,
    struct config_error *e);
void config_free(struct config *c);

/* A configuration file that holds every key at its default. */
void config_print_defaults(struct strbuf *out);

#endif /* CONFIG_H */
