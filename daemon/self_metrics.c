/* SPDX-License-Identifier: Apache-2.0 */
#include "self_metrics.h"

#include <math.h>
#include <stdlib.h>

#ifndef DYNAMO_METRICS_VERSION
#define DYNAMO_METRICS_VERSION "unknown"
#endif

static const char *const sockets[] = { "ingest", "http", NULL };
static const char *const closes[] = {
	[SELF_CLOSED_FULL] = "full",
	[SELF_CLOSED_SHARE] = "share",
	[SELF_CLOSED_IDLE] = "idle",
	[SELF_CLOSED_LATE] = "late",
	[SELF_CLOSED_PROTOCOL] = "protocol",
	[SELF_CLOSED_SLOW] = "slow",
	[SELF_CLOSED_BUFFERED] = "buffered",
	[SELF_CLOSED_MEMORY] = "memory",
	[SELF_CLOSED_DESCRIPTORS] = "descriptors",
	[SELF_CLOSED_END] = NULL,
};
static const char *const formats[] = { "binary", "json", NULL };
static const char *const kinds[] = { "counter", "gauge", "histogram", NULL };
static const char *const results[] = { "ok", "failed", NULL };
static const char *const paths[] = { "/", "/metrics", "/health", "/live", "other", NULL };
static const char *const causes[] = { "request", "ttl", "retain", "admin", NULL };
static const char *const codes[] = { "200", "400", "404", "405", "413", "417", "500",
	"501", "503", "other", NULL };
static const char *const reasons[] = {
#define X(symbol, word) word,
	MESSAGE_REASONS(X)
#undef X
	    NULL
};

static const double seconds[] = { 0.0001, 0.001, 0.01, 0.1, 1, 10, (double)INFINITY };
static const double turns[] = { 0.00001, 0.0001, 0.001, 0.01, 0.1, 1, (double)INFINITY };
static const double bytes[] = { 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, (double)INFINITY };

const struct self_row self_table[SELF_END] = {
	[SELF_BUFFERED_BYTES] = { "dynamo_metricsd_buffered_bytes", MESSAGE_GAUGE,
	    "Memory that holds what peers sent in part, or have yet to take", { 0 },
	    { "socket" }, { sockets }, NULL, false },
	[SELF_BUILD_INFO] = { "dynamo_metricsd_build_info", MESSAGE_GAUGE,
	    "The version that runs, as a label of a constant 1",
	    { "version", DYNAMO_METRICS_VERSION }, { 0 }, { 0 }, NULL, false },
	[SELF_CLIENT_DROPPED_UPDATES] = { "dynamo_metricsd_client_dropped_updates_total",
	    MESSAGE_COUNTER,
	    "Updates that workers dropped themselves: not finite, negative, or no memory",
	    { 0 }, { 0 }, { 0 }, NULL, false },
	[SELF_CONFIG_RELOADS] = { "dynamo_metricsd_config_reloads_total", MESSAGE_COUNTER,
	    "Times that the configuration was read again (SIGHUP); failed: the old one "
	    "stays",
	    { 0 }, { "result" }, { results }, NULL, false },
	[SELF_CONNECTIONS] = { "dynamo_metricsd_connections", MESSAGE_GAUGE,
	    "Connections to the ingest socket", { 0 }, { 0 }, { 0 }, NULL, false },
	[SELF_CONNECTIONS_CLOSED] = { "dynamo_metricsd_connections_closed_total",
	    MESSAGE_COUNTER,
	    "Connections that the daemon closed, or did not take, to protect itself and "
	    "others",
	    { 0 }, { "socket", "cause" }, { sockets, closes }, NULL, false },
	[SELF_DEGRADED] = { "dynamo_metricsd_degraded", MESSAGE_GAUGE,
	    "1 while what is counted is not being kept: see problems in /health", { 0 },
	    { 0 }, { 0 }, NULL, false },
	[SELF_FAMILIES_REPLACED] = { "dynamo_metricsd_families_replaced_total",
	    MESSAGE_COUNTER,
	    "Families kept of dead workers that made way for another shape of the same "
	    "name",
	    { 0 }, { 0 }, { 0 }, NULL, false },
	[SELF_JOURNAL_BYTES] = { "dynamo_metricsd_journal_bytes", MESSAGE_GAUGE,
	    "Size of the journal", { 0 }, { 0 }, { 0 }, NULL, false },
	[SELF_JOURNAL_FAILURES] = { "dynamo_metricsd_journal_failures_total",
	    MESSAGE_COUNTER, "Times that the journal could not be written", { 0 }, { 0 },
	    { 0 }, NULL, false },
	[SELF_LOOP_TURN] = { "dynamo_metricsd_loop_turn_seconds", MESSAGE_HISTOGRAM,
	    "Time from waking up to waiting again, per turn of the event loop", { 0 },
	    { 0 }, { 0 }, turns, false },
	[SELF_MESSAGES] = { "dynamo_metricsd_messages_total", MESSAGE_COUNTER,
	    "Requests received", { 0 }, { "format" }, { formats }, NULL, false },
	[SELF_RECEIVED_BYTES] = { "dynamo_metricsd_received_bytes_total", MESSAGE_COUNTER,
	    "Bytes of requests received", { 0 }, { 0 }, { 0 }, NULL, false },
	[SELF_REFUSED] = { "dynamo_metricsd_refused_total", MESSAGE_COUNTER,
	    "Requests, and items of requests, that were refused", { 0 }, { "reason" },
	    { reasons }, NULL, false },
	[SELF_RESENT] = { "dynamo_metricsd_resent_total", MESSAGE_COUNTER,
	    "Requests that had been applied already and were acknowledged again", { 0 },
	    { 0 }, { 0 }, NULL, false },
	[SELF_SERIES] = { "dynamo_metricsd_series", MESSAGE_GAUGE,
	    "Series in the registry", { 0 }, { "kind" }, { kinds }, NULL, false },
	[SELF_SERIES_REMOVED] = { "dynamo_metricsd_series_removed_total", MESSAGE_COUNTER,
	    "Series that left: at the request of who reported them, when the time of a "
	    "gauge was over, when nothing was heard of them for state.retain_s, or by "
	    "an administrator",
	    { 0 }, { "cause" }, { causes }, NULL, false },
	[SELF_SESSIONS_FOLDED] = { "dynamo_metricsd_sessions_folded_total",
	    MESSAGE_COUNTER,
	    "Sessions that ended: what they counted stays, their gauges left", { 0 },
	    { 0 }, { 0 }, NULL, false },
	[SELF_SESSIONS_REMEMBERED] = { "dynamo_metricsd_sessions_remembered",
	    MESSAGE_GAUGE,
	    "Sessions that ended and whose worker is known again if it comes back", { 0 },
	    { 0 }, { 0 }, NULL, false },
	[SELF_SNAPSHOT_AGE] = { "dynamo_metricsd_snapshot_age_seconds", MESSAGE_GAUGE,
	    "Age of the last snapshot", { 0 }, { 0 }, { 0 }, NULL, true },
	[SELF_SNAPSHOT_BYTES] = { "dynamo_metricsd_snapshot_bytes", MESSAGE_GAUGE,
	    "Size of the last snapshot", { 0 }, { 0 }, { 0 }, NULL, true },
	[SELF_SNAPSHOT_DURATION] = { "dynamo_metricsd_snapshot_duration_seconds",
	    MESSAGE_GAUGE, "Time that the last snapshot took", { 0 }, { 0 }, { 0 }, NULL,
	    true },
	[SELF_SNAPSHOT_FAILURES] = { "dynamo_metricsd_snapshot_failures_total",
	    MESSAGE_COUNTER, "Snapshots that failed", { 0 }, { 0 }, { 0 }, NULL, false },
	[SELF_STATE_DROPPED] = { "dynamo_metricsd_state_dropped_total", MESSAGE_COUNTER,
	    "Series of the kept state that the configuration of now has no place for",
	    { 0 }, { 0 }, { 0 }, NULL, false },
	[SELF_STATE_SET_ASIDE] = { "dynamo_metricsd_state_set_aside_total",
	    MESSAGE_COUNTER,
	    "Files of the kept state that could not be used and were set aside", { 0 },
	    { 0 }, { 0 }, NULL, false },
	[SELF_WORKERS] = { "dynamo_metricsd_workers", MESSAGE_GAUGE, "Live sessions",
	    { 0 }, { 0 }, { 0 }, NULL, false },
	[SELF_HTTP_REQUEST_DURATION] = { "dynamo_system_http_request_duration_seconds",
	    MESSAGE_HISTOGRAM, "Time from a request to the end of its answer", { 0 },
	    { "path" }, { paths }, seconds, true },
	[SELF_HTTP_REQUESTS] = { "dynamo_system_http_requests_total", MESSAGE_COUNTER,
	    "HTTP requests answered", { 0 }, { "path", "code" }, { paths, codes }, NULL,
	    true },
	[SELF_HTTP_RESPONSE_SIZE] = { "dynamo_system_http_response_size_bytes",
	    MESSAGE_HISTOGRAM, "Size of HTTP answers, without headers", { 0 }, { "path" },
	    { paths }, bytes, true },
	[SELF_UPTIME] = { "dynamo_system_uptime_seconds", MESSAGE_COUNTER,
	    "System uptime", { "namespace", "dynamo" }, { 0 }, { 0 }, NULL, false },
	[SELF_PROCESS_CPU] = { "process_cpu_seconds_total", MESSAGE_COUNTER,
	    "User and system CPU time that the daemon spent", { 0 }, { 0 }, { 0 }, NULL,
	    false },
	[SELF_PROCESS_MAX_FDS] = { "process_max_fds", MESSAGE_GAUGE,
	    "Limit of file descriptors of the daemon", { 0 }, { 0 }, { 0 }, NULL, false },
	[SELF_PROCESS_OPEN_FDS] = { "process_open_fds", MESSAGE_GAUGE,
	    "File descriptors that the daemon has open", { 0 }, { 0 }, { 0 }, NULL,
	    true },
	[SELF_PROCESS_RESIDENT] = { "process_resident_memory_bytes", MESSAGE_GAUGE,
	    "Resident memory of the daemon", { 0 }, { 0 }, { 0 }, NULL, true },
	[SELF_PROCESS_START_TIME] = { "process_start_time_seconds", MESSAGE_GAUGE,
	    "Start of the daemon in seconds since 1970", { 0 }, { 0 }, { 0 }, NULL,
	    true },
	[SELF_PROCESS_VIRTUAL] = { "process_virtual_memory_bytes", MESSAGE_GAUGE,
	    "Virtual memory of the daemon", { 0 }, { 0 }, { 0 }, NULL, true },
};

struct self_family {
	double *cell; /* series after series */
	bool *touched;
};

struct self_metrics {
	struct self_family family[SELF_END];
};

static size_t
values_of(const struct self_row *row, int label)
{
	size_t n = 0;

	if (row->label[label] == NULL)
		return 1;
	while (row->value[label][n])
		n++;
	return n;
}

size_t
self_series(enum self_metric m)
{
	return values_of(&self_table[m], 0) * values_of(&self_table[m], 1);
}

size_t
self_bounds(enum self_metric m)
{
	size_t n = 0;

	while (self_table[m].bounds && isfinite(self_table[m].bounds[n]))
		n++;
	return n;
}

static size_t
cells_per_series(enum self_metric m)
{
	return message_cells(self_table[m].kind, MESSAGE_SUM, self_bounds(m));
}

struct self_metrics *
self_metrics_new(void)
{
	struct self_metrics *s = calloc(1, sizeof(*s));
	bool whole = s != NULL;

	for (enum self_metric m = 0; m < SELF_END && whole; m++) {
		size_t n = self_series(m);

		s->family[m].cell = calloc(n * cells_per_series(m), sizeof(double));
		s->family[m].touched = calloc(n, sizeof(bool));
		whole = s->family[m].cell && s->family[m].touched;
	}
	if (!whole) {
		self_metrics_free(s);
		return NULL;
	}
	self_set(s, SELF_BUILD_INFO, 0, 0, 1);
	return s;
}

void
self_metrics_free(struct self_metrics *s)
{
	if (s == NULL)
		return;
	for (enum self_metric m = 0; m < SELF_END; m++) {
		free(s->family[m].cell);
		free(s->family[m].touched);
	}
	free(s);
}

static double *
touch(struct self_metrics *s, enum self_metric m, size_t a, size_t b)
{
	size_t series = a * values_of(&self_table[m], 1) + b;

	s->family[m].touched[series] = true;
	return s->family[m].cell + series * cells_per_series(m);
}

void
self_add(struct self_metrics *s, enum self_metric m, size_t a, size_t b, double n)
{
	*touch(s, m, a, b) += n;
}

void
self_set(struct self_metrics *s, enum self_metric m, size_t a, size_t b, double v)
{
	*touch(s, m, a, b) = v;
}

void
self_observe(struct self_metrics *s, enum self_metric m, size_t a, size_t b, double v)
{
	double *cell = touch(s, m, a, b);
	size_t i = 0;

	while (v > self_table[m].bounds[i])
		i++;
	cell[i] += 1;
	cell[self_bounds(m) + 1] += v;
}

void
self_closed(struct self_metrics *s, enum self_socket socket, enum self_closed cause)
{
	self_add(s, SELF_CONNECTIONS_CLOSED, socket, cause, 1);
}

void
self_refused(struct self_metrics *s, enum reason reason)
{
	if (reason > REASON_NONE && reason < REASON_END)
		self_add(s, SELF_REFUSED, (size_t)reason - 1, 0, 1);
}

const double *
self_cells(const struct self_metrics *s, enum self_metric m, size_t series)
{
	if (self_table[m].sparse && !s->family[m].touched[series])
		return NULL;
	return s->family[m].cell + series * cells_per_series(m);
}

size_t
self_http_code(int status)
{
	size_t i = 0;

	while (codes[i + 1] && strtol(codes[i], NULL, 10) != status)
		i++;
	return i;
}

/* name, or name without suffix, is a histogram's or anybody's name. */
static bool
takes(const struct self_row *row, const char *prefix, struct wire_text name)
{
	static const char *const suffix[] = { "_bucket", "_sum", "_count" };
	const char *own;
	size_t bytes_of_own;

	if (strncmp(row->name, prefix, strlen(prefix)) != 0)
		return false;
	own = row->name + strlen(prefix);
	bytes_of_own = strlen(own);
	if (wire_text_is(name, own))
		return true;
	for (size_t i = 0; i < 3; i++) {
		struct wire_text longer =
		    name.bytes > bytes_of_own ? name : wire_text(own);
		struct wire_text shorter =
		    name.bytes > bytes_of_own ? wire_text(own) : name;
		size_t n = strlen(suffix[i]);

		/* ours is the histogram, or the worker's would be */
		if ((name.bytes < bytes_of_own || row->kind == MESSAGE_HISTOGRAM) &&
		    longer.bytes == shorter.bytes + n &&
		    memcmp(longer.at, shorter.at, shorter.bytes) == 0 &&
		    memcmp(longer.at + shorter.bytes, suffix[i], n) == 0)
			return true;
	}
	return false;
}

bool
self_metrics_owns(const char *prefix, struct wire_text name)
{
	for (enum self_metric m = 0; m < SELF_END; m++)
		if (takes(&self_table[m], prefix, name))
			return true;
	return false;
}

bool
self_metrics_has_label(struct wire_text name)
{
	for (enum self_metric m = 0; m < SELF_END; m++) {
		const struct self_row *row = &self_table[m];

		for (size_t i = 0; i < 2 && row->label[i]; i++)
			if (wire_text_is(name, row->label[i]))
				return true;
		if (row->constant[0] && wire_text_is(name, row->constant[0]))
			return true;
	}
	return false;
}
