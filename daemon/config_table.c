/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "log.h"
#include "names.h"

#define DAY_MS		  86400000
#define YEARS_S		  315360000 /* ten */
#define MESSAGE_BYTES_MIN 4096
#define MESSAGE_BYTES_MAX (64 << 20)

static const char *const level_words[] = { [LOG_LEVEL_ERROR] = "error",
	[LOG_LEVEL_WARNING] = "warning",
	[LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_DEBUG] = "debug",
	NULL };
static const char *const naming_words[] = { "seed", "component", NULL };
static const char *const fsync_words[] = { [CONFIG_FSYNC_NEVER] = "never",
	[CONFIG_FSYNC_SNAPSHOT] = "snapshot",
	[CONFIG_FSYNC_ALWAYS] = "always",
	NULL };
static const char *const ready_words[] = { "notready", "ready", NULL };

#define AT(member) .offset = offsetof(struct config, member)

const struct config_key config_table[] = {
	{ NULL, "naming", NULL, CONFIG_WORD, AT(naming), .normal = "seed",
	    .words = naming_words,
	    .use = "How names and levels are shown: `seed` has `dynamo_` and namespace, "
		   "component, endpoint; `component` has `dynamo_component_` and "
		   "dynamo_namespace, dynamo_component, dynamo_endpoint." },
	{ NULL, "labels", NULL, CONFIG_LABELS, AT(labels), .normal = "{}",
	    .use = "Labels that every series gets, the daemon's own too." },
	{ "ingest", "address", "DYN_METRICSD_ADDRESS", CONFIG_TEXT, AT(ingest.address),
	    .normal = "ipc:///run/dynamo-metricsd/ingest.ipc",
	    .use = "Where workers connect: ipc:// and an absolute path." },
	{ "ingest", "connections", NULL, CONFIG_NUMBER, AT(ingest.connections),
	    .normal = "1000", .min = 1, .max = 1000000, .reloadable = true,
	    .use = "The most workers connected at once." },
	{ "ingest", "handshake_ms", NULL, CONFIG_NUMBER, AT(ingest.handshake_ms),
	    .normal = "1000", .min = 10, .max = 60000, .reloadable = true,
	    .use = "How long a new connection may take to say what it speaks." },
	{ "ingest", "idle_ms", NULL, CONFIG_NUMBER, AT(ingest.idle_ms), .normal = "5000",
	    .min = 10, .max = DAY_MS, .reloadable = true,
	    .use = "When all connections are taken, the one without a live worker that "
		   "has been silent for longest, and for so long at least, is closed for "
		   "a new one." },
	{ "ingest", "frame_ms", NULL, CONFIG_NUMBER, AT(ingest.frame_ms),
	    .normal = "15000", .min = 100, .max = DAY_MS, .reloadable = true,
	    .use = "How long a message may take to arrive whole, once it has begun." },
	{ "ingest", "message_bytes", NULL, CONFIG_NUMBER, AT(ingest.message_bytes),
	    .normal = "1048576", .min = MESSAGE_BYTES_MIN, .max = MESSAGE_BYTES_MAX,
	    .use = "The longest message, request or reply." },
	{ "ingest", "queue_bytes", NULL, CONFIG_NUMBER, AT(ingest.queue_bytes),
	    .normal = "1048576", .min = 4096, .max = 1 << 30, .reloadable = true,
	    .use = "A connection with more than this of replies that it has not taken is "
		   "not read until it takes them." },
	{ "ingest", "buffered_bytes", NULL, CONFIG_NUMBER, AT(ingest.buffered_bytes),
	    .normal = "67108864", .min = 2 << 20, .max = 1LL << 40, .reloadable = true,
	    .use =
		"The most that all connections together may hold of messages that are "
		"not whole and of replies that are not taken. Over it, the one that has "
		"made no progress for longest is closed." },
	{ "ingest", "json_bytes", NULL, CONFIG_NUMBER, AT(ingest.json_bytes),
	    .normal = "65536", .min = 1024, .max = MESSAGE_BYTES_MAX, .reloadable = true,
	    .use =
		"The longest message in JSON; decoded, it takes up to 32 times that." },
	{ "ingest", "lease_ms", NULL, CONFIG_NUMBER, AT(ingest.lease_ms),
	    .normal = "15000", .min = 100, .max = DAY_MS, .reloadable = true,
	    .use =
		"A worker that is silent for so long is taken for dead. Those that are "
		"connected keep theirs until they connect again." },
	{ "ingest", "grace_ms", NULL, CONFIG_NUMBER, AT(ingest.grace_ms),
	    .normal = "2000", .min = 0, .max = DAY_MS, .reloadable = true,
	    .use = "Gauges of a disconnected worker stay on the page for so long." },
	{ "ingest", "dedupe_ms", NULL, CONFIG_NUMBER, AT(ingest.dedupe_ms),
	    .normal = "600000", .min = 0, .max = DAY_MS, .reloadable = true,
	    .use = "A message in JSON that comes again within this time is not counted "
		   "again; 0: it is." },
	{ "ingest", "dedupe_keys", NULL, CONFIG_NUMBER, AT(ingest.dedupe_keys),
	    .normal = "1000000", .min = 1, .max = 100000000, .reloadable = true,
	    .use = "The most messages in JSON that are known again; at 52 bytes each. "
		   "More of them are refused until the oldest are forgotten." },
	{ "http", "host", "DYN_SYSTEM_HOST", CONFIG_TEXT, AT(http.host),
	    .normal = "127.0.0.1",
	    .use = "The address that HTTP listens on; or unix: and an absolute path, for "
		   "a Unix socket." },
	{ "http", "port", "DYN_SYSTEM_PORT", CONFIG_NUMBER, AT(http.port),
	    .normal = "8081", .min = -1, .max = 65535,
	    .use = "The port of HTTP; 0: any free one, -1: no HTTP." },
	{ "http", "port_file", NULL, CONFIG_TEXT, AT(http.port_file), .normal = "",
	    .use = "The bound port is written there; empty: http.port in the runtime "
		   "folder, which is that of the ingest socket." },
	{ "http", "connections", NULL, CONFIG_NUMBER, AT(http.connections),
	    .normal = "256", .min = 1, .max = 100000, .reloadable = true,
	    .use = "The most HTTP connections at once. Another one gets the place of the "
		   "one that has asked nothing for longest." },
	{ "http", "scrapes", NULL, CONFIG_NUMBER, AT(http.scrapes), .normal = "16",
	    .min = 1, .max = 10000, .reloadable = true,
	    .use = "The most scrapes for which a piece of a page is made at once; others "
		   "wait their turn, and clients that do not read have none." },
	{ "http", "request_ms", NULL, CONFIG_NUMBER, AT(http.request_ms),
	    .normal = "10000", .min = 100, .max = 3600000, .reloadable = true,
	    .use = "How long a request may take to arrive, an idle connection may stay, "
		   "and a client may not take a piece of its answer." },
	{ "http", "header_bytes", NULL, CONFIG_NUMBER, AT(http.header_bytes),
	    .normal = "8192", .min = 256, .max = 65536, .reloadable = true,
	    .use = "The longest head of a request, with its URL; longer ones are refused "
		   "with 400." },
	{ "http", "body_bytes", NULL, CONFIG_NUMBER, AT(http.body_bytes),
	    .normal = "4096", .min = 0, .max = 1 << 20, .reloadable = true,
	    .use = "The longest body of a request, which nothing here needs; longer ones "
		   "are refused with 413." },
	{ "http", "buffered_bytes", NULL, CONFIG_NUMBER, AT(http.buffered_bytes),
	    .normal = "67108864", .min = 4 << 20, .max = 1LL << 40, .reloadable = true,
	    .use = "The most that all pages being sent may hold together. At it, another "
		   "one waits, and the client that has left a piece of its page untaken "
		   "for longest is cut off." },
	{ "http", "gzip", NULL, CONFIG_BOOL, AT(http.gzip), .normal = "true",
	    .reloadable = true,
	    .use =
		"Pages are compressed for clients that take gzip, as Prometheus does." },
	{ "http", "health_path", "DYN_SYSTEM_HEALTH_PATH", CONFIG_TEXT,
	    AT(http.health_path), .normal = "/health", .use = "Where health is asked." },
	{ "http", "live_path", "DYN_SYSTEM_LIVE_PATH", CONFIG_TEXT, AT(http.live_path),
	    .normal = "/live", .use = "Where it is asked whether the daemon lives." },
	{ "limits", "series", NULL, CONFIG_NUMBER, AT(limits.series), .normal = "2000000",
	    .min = 1, .max = 100000000, .reloadable = true,
	    .use = "The most series in all." },
	{ "limits", "series_per_family", NULL, CONFIG_NUMBER,
	    AT(limits.series_per_family), .normal = "500000", .min = 1, .max = 100000000,
	    .reloadable = true, .use = "The most series of one name." },
	{ "limits", "series_per_worker", NULL, CONFIG_NUMBER,
	    AT(limits.series_per_worker), .normal = "500000", .min = 1, .max = 100000000,
	    .reloadable = true,
	    .use = "The most series of one worker, and the most metrics that it makes "
		   "them of." },
	{ "limits", "series_per_uid", NULL, CONFIG_NUMBER, AT(limits.series_per_uid),
	    .normal = "2000000", .min = 1, .max = 100000000, .reloadable = true,
	    .use = "The most series that one user's processes made." },
	{ "limits", "uid_percent", NULL, CONFIG_NUMBER, AT(limits.uid_percent),
	    .normal = "100", .min = 1, .max = 100, .reloadable = true,
	    .use = "The share of what all have together that one user's processes may "
		   "take: of connections, live workers, names, series, and messages in "
		   "JSON that are known again. 100: all of it." },
	{ "limits", "workers", NULL, CONFIG_NUMBER, AT(limits.workers), .normal = "10000",
	    .min = 1, .max = 1000000, .reloadable = true,
	    .use = "The most workers alive at once." },
	{ "limits", "families", NULL, CONFIG_NUMBER, AT(limits.families),
	    .normal = "20000", .min = 1, .max = 10000000, .reloadable = true,
	    .use = "The most names." },
	{ "limits", "labels", NULL, CONFIG_NUMBER, AT(limits.labels), .normal = "32",
	    .min = 0, .max = MESSAGE_LABELS_MAX, .reloadable = true,
	    .use = "The most labels of a series." },
	{ "limits", "label_bytes", NULL, CONFIG_NUMBER, AT(limits.label_bytes),
	    .normal = "1024", .min = 1, .max = UINT16_MAX, .reloadable = true,
	    .use = "The longest name and the longest value of a label." },
	{ "limits", "name_bytes", NULL, CONFIG_NUMBER, AT(limits.name_bytes),
	    .normal = "200", .min = 1, .max = NAMES_NAME_BYTES_MAX, .reloadable = true,
	    .use = "The longest name of a metric." },
	{ "limits", "help_bytes", NULL, CONFIG_NUMBER, AT(limits.help_bytes),
	    .normal = "1024", .min = 0, .max = UINT16_MAX, .reloadable = true,
	    .use = "The longest help text of a metric." },
	{ "limits", "buckets", NULL, CONFIG_NUMBER, AT(limits.buckets), .normal = "128",
	    .min = 1, .max = MESSAGE_BOUNDS_MAX, .reloadable = true,
	    .use = "The most buckets of a histogram, +Inf aside." },
	{ "limits", "folded", NULL, CONFIG_NUMBER, AT(limits.folded), .normal = "65536",
	    .min = 1, .max = 100000000,
	    .use = "The most workers taken for dead that are known again when they come "
		   "back; at 56 bytes each. The user that has most of them loses its "
		   "oldest first." },
	{ "state", "path", "DYN_METRICSD_STATE", CONFIG_TEXT, AT(state.path),
	    .normal = "/var/lib/dynamo-metricsd",
	    .use = "The folder that keeps what was counted over a restart; empty: "
		   "nothing is kept." },
	{ "state", "journal", NULL, CONFIG_BOOL, AT(state.journal), .normal = "true",
	    .use = "Whether what came since the last snapshot outlives a daemon that is "
		   "killed: it is written to the runtime folder before it is "
		   "acknowledged." },
	{ "state", "journal_bytes", NULL, CONFIG_NUMBER, AT(state.journal_bytes),
	    .normal = "67108864", .min = 4096, .max = 1LL << 40, .reloadable = true,
	    .use =
		"A snapshot is taken early when the journal is longer. While none can "
		"be written, journals come to four times as much, and to 256 MiB at "
		"least; from half of that on, requests wait for one that is under way, "
		"five seconds or a third of the lease at most." },
	{ "state", "snapshot_ms", NULL, CONFIG_NUMBER, AT(state.snapshot_ms),
	    .normal = "60000", .min = 10, .max = DAY_MS, .reloadable = true,
	    .use = "How often a snapshot is written to the state folder: so much may be "
		   "lost when the machine goes down." },
	{ "state", "fsync", NULL, CONFIG_WORD, AT(state.fsync), .normal = "snapshot",
	    .words = fsync_words, .reloadable = true,
	    .use = "When files are forced to the disk: `never`, with each `snapshot`, or "
		   "`always`, also before each acknowledgement." },
	{ "state", "retain_s", NULL, CONFIG_NUMBER, AT(state.retain_s), .normal = "0",
	    .min = 0, .max = YEARS_S, .reloadable = true,
	    .use = "Series that no live worker defines leave when nothing was heard of "
		   "them for so long; 0: never." },
	{ "log", "level", NULL, CONFIG_WORD, AT(log.level), .normal = "info",
	    .words = level_words, .reloadable = true,
	    .use = "What is logged. SIGHUP sets it again, also after dynamo-metricsctl "
		   "log-level." },
	{ NULL, NULL, "DYN_SYSTEM_ENABLED", CONFIG_BOOL, AT(http.enabled),
	    .normal = "true", .use = "Whether there is HTTP at all." },
	{ NULL, NULL, "DYN_SYSTEM_STARTING_HEALTH_STATUS", CONFIG_BOOL,
	    AT(http.starting_ready), .normal = "ready", .words = ready_words,
	    .use = "What health says before the first worker." },
	{ NULL, NULL, "DYN_SYSTEM_USE_ENDPOINT_HEALTH_STATUS", CONFIG_LIST,
	    AT(http.endpoints), .normal = "[]",
	    .use = "Healthy only while each of these endpoints has a live worker." },
	{ NULL, NULL, "RUNTIME_DIRECTORY", CONFIG_TEXT, AT(runtime_folder), .normal = "",
	    .use = "The runtime folder, as systemd names it." },
};
const size_t config_keys = sizeof(config_table) / sizeof(config_table[0]);
