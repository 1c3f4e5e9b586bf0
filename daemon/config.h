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

#include "names.h"
#include "strbuf.h"

enum config_naming { CONFIG_NAMING_SEED, CONFIG_NAMING_COMPONENT };

enum config_fsync { CONFIG_FSYNC_NEVER, CONFIG_FSYNC_SNAPSHOT, CONFIG_FSYNC_ALWAYS };

struct config {
	int64_t naming; /* an enum config_naming */
	char **labels;	/* name, value, name, value ...; NULL-terminated */
	struct {
		char *address;
		int64_t connections;
		int64_t handshake_ms;
		int64_t idle_ms;
		int64_t frame_ms;
		int64_t message_bytes;
		int64_t queue_bytes;
		int64_t buffered_bytes;
		int64_t json_bytes;
		int64_t lease_ms;
		int64_t grace_ms;
		int64_t dedupe_ms;
		int64_t dedupe_keys;
	} ingest;
	struct {
		bool enabled;
		char *host;
		int64_t port;	 /* 0: any free one; -1: no HTTP */
		char *port_file; /* "": http.port in the runtime folder */
		int64_t connections;
		int64_t scrapes;
		int64_t request_ms;
		int64_t header_bytes;
		int64_t body_bytes;
		int64_t buffered_bytes;
		bool gzip;
		char *health_path;
		char *live_path;
		bool starting_ready; /* what /health says before the first worker */
		char **endpoints; /* /health waits for each of these; NULL-terminated */
	} http;
	struct {
		int64_t series;
		int64_t series_per_family;
		int64_t series_per_worker;
		int64_t series_per_uid;
		int64_t uid_percent;
		int64_t workers;
		int64_t families;
		int64_t labels;
		int64_t label_bytes;
		int64_t name_bytes;
		int64_t help_bytes;
		int64_t buckets;
		int64_t folded;
	} limits;
	struct {
		char *path; /* "": nothing is kept */
		bool journal;
		int64_t journal_bytes;
		int64_t snapshot_ms;
		int64_t fsync;	  /* an enum config_fsync */
		int64_t retain_s; /* 0: for ever */
	} state;
	struct {
		int64_t level; /* an enum log_level */
	} log;
	char *runtime_folder; /* "": that of the ingest socket */
	char *socket; /* where workers connect instead of ingest.address; NULL: there */
};

enum config_type {
	CONFIG_BOOL,   /* bool */
	CONFIG_NUMBER, /* int64_t within min and max */
	CONFIG_TEXT,   /* char *, not NULL */
	CONFIG_WORD,   /* int64_t: a position in words */
	CONFIG_LIST,   /* char **: a list of texts; in the environment as JSON */
	CONFIG_LABELS  /* char **: an object of texts, as names and values in turn */
};

struct config_key {
	const char *section;	 /* NULL: at the top */
	const char *name;	 /* within its section; NULL: only a variable */
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

/* Keys by section, then those that are only variables. */
extern const struct config_key config_table[];
extern const size_t config_keys;

#define CONFIG_ERROR_TEXT 512
struct config_error {
	char text[CONFIG_ERROR_TEXT]; /* a sentence; the first one stays */
};

/* Where a configuration is read. It borrows all of it. */
struct config_source {
	const char *file;	  /* NULL: none */
	bool may_be_missing;	  /* then a file that is not there is an empty one */
	char *const *environment; /* "NAME=value", NULL-terminated; NULL: empty */
};

/*
 * Fill *ret with defaults, then the file, then the environment (an empty value is no
 * value). 0, and *ret is to be given to config_free(); or -1 with e filled and *ret
 * untouched.
 */
int config_load(
    struct config *ret, const struct config_source *from, struct config_error *e);
void config_free(struct config *c);

/*
 * Read again what c was loaded from. The reloadable keys that changed get their new
 * values; the others keep theirs. The paths of both are appended, ", " between them, to
 * changed and to waiting. 0, or -1 with e filled and nothing changed: what was read is
 * wrong, or does not fit the values that are kept.
 */
int config_reload(struct config *c, const struct config_source *from,
    struct strbuf *changed, struct strbuf *waiting, struct config_error *e);

/*
 * Workers connect at another path than ingest.address: the runtime folder is that of this
 * socket. 0, or -1 with a sentence in error when that does not go with the rest.
 */
int config_set_socket(struct config *c, const struct config_source *from,
    const char *path, char *error, size_t error_room);

/* The path of a Unix socket that HTTP is to listen on, within http.host; NULL: TCP. */
#define CONFIG_UNIX_PREFIX "unix:"
const char *config_http_path(const struct config *c);

/* True if a key, "http.port", is not left at its default. name: what it was given by, its
 * variable or itself. */
#define CONFIG_NAME_BYTES 64
bool config_given(const struct config *c, char *const *environment, const char *path,
    char name[CONFIG_NAME_BYTES]);

/* The folder of the journal: the first that RUNTIME_DIRECTORY names, or that of the
 * ingest socket (the one of config_set_socket(), if there is one). To be freed; NULL when
 * memory is out. */
char *config_runtime_folder(const struct config *c);

/* The file for the port: the configured one, or http.port in the runtime folder. To be
 * freed; NULL when memory is out. */
char *config_port_file(const struct config *c);

/* The limits that names and labels are checked with. */
struct names_limits config_names_limits(const struct config *c);

/* Say what is no error and yet odd in the environment: variables that nobody knows, and
 * one that wins over another. Once per start. */
void config_warn(const struct config *c, char *const *environment,
    void (*say)(void *arg, const char *text), void *arg);

/* A configuration file that holds every key at its default. */
void config_print_defaults(struct strbuf *out);
/* All keys and variables as a table in Markdown. */
void config_print_table(struct strbuf *out);
/* The same as a part of a manual page, in mdoc. */
void config_print_manual(struct strbuf *out);

#endif /* CONFIG_H */
