/* SPDX-License-Identifier: Apache-2.0 */
/* status: how the daemon and its workers are, as a table for people or as JSON. */
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>

#include "ctl.h"
#include "request.h"

#define CELL_BYTES 72

static int64_t
number_in(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static const char *
text_in(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "?";
}

/* A time span in its two largest units. */
static void
span(char out[CELL_BYTES], int64_t ms)
{
	int64_t s = ms / 1000;

	if (ms < 1000)
		snprintf(out, CELL_BYTES, "%" PRId64 " ms", ms);
	else if (s < 60)
		snprintf(
		    out, CELL_BYTES, "%" PRId64 ".%" PRId64 " s", s, ms % 1000 / 100);
	else if (s < 3600)
		snprintf(
		    out, CELL_BYTES, "%" PRId64 " min %" PRId64 " s", s / 60, s % 60);
	else if (s < 86400)
		snprintf(out, CELL_BYTES, "%" PRId64 " h %" PRId64 " min", s / 3600,
		    s % 3600 / 60);
	else
		snprintf(out, CELL_BYTES, "%" PRId64 " d %" PRId64 " h", s / 86400,
		    s % 86400 / 3600);
}

static void
size(char out[CELL_BYTES], int64_t bytes)
{
	static const char *const units[] = { "KiB", "MiB", "GiB", "TiB" };
	double n = (double)bytes / 1024;
	size_t i = 0;

	if (bytes < 1024) {
		snprintf(out, CELL_BYTES, "%" PRId64 " bytes", bytes);
		return;
	}
	for (; n >= 1024 && i < 3; i++)
		n /= 1024;
	snprintf(out, CELL_BYTES, "%.1f %s", n, units[i]);
}

/* ---- The table of workers -------------------------------------------------- */

static void
cell_text(char out[CELL_BYTES], const json_t *worker, const char *key)
{
	snprintf(out, CELL_BYTES, "%s", text_in(worker, key));
}

static void
cell_number(char out[CELL_BYTES], const json_t *worker, const char *key)
{
	snprintf(out, CELL_BYTES, "%" PRId64, number_in(worker, key));
}

/* A process that cannot be seen from the daemon has number 0. */
static void
cell_pid(char out[CELL_BYTES], const json_t *worker, const char *key)
{
	if (number_in(worker, key) == 0)
		snprintf(out, CELL_BYTES, "?");
	else
		cell_number(out, worker, key);
}

static void
cell_span(char out[CELL_BYTES], const json_t *worker, const char *key)
{
	span(out, number_in(worker, key));
}

static void
cell_updated(char out[CELL_BYTES], const json_t *worker, const char *key)
{
	if (json_object_get(worker, key))
		cell_span(out, worker, key);
	else
		snprintf(out, CELL_BYTES, "never");
}

static void
cell_state(char out[CELL_BYTES], const json_t *worker, const char *key)
{
	snprintf(out, CELL_BYTES, "%s",
	    json_is_true(json_object_get(worker, key)) ? "connected" : "gone");
}

static const struct column {
	const char *heading;
	const char *key;
	bool right; /* numbers stand to the right */
	void (*put)(char out[CELL_BYTES], const json_t *worker, const char *key);
} columns[] = {
	{ "WORKER", "name", false, cell_text },
	{ "PID", "pid", true, cell_pid },
	{ "UID", "uid", true, cell_number },
	{ "STATE", "connected", false, cell_state },
	{ "AGE", "age_ms", true, cell_span },
	{ "IDLE", "idle_ms", true, cell_span },
	{ "UPDATED", "updated_ms", true, cell_updated },
	{ "SERIES", "series", true, cell_number },
	{ "REFUSED", "refused", true, cell_number },
	{ "LIBRARY", "library", false, cell_text },
};
#define COLUMNS (sizeof(columns) / sizeof(columns[0]))

/* The places that a text takes on a terminal: code points, near enough. */
static int
places(const char *text)
{
	int n = 0;

	for (; *text; text++)
		n += (*text & 0xc0) != 0x80;
	return n;
}

static void
put_cell(char out[CELL_BYTES], size_t column, const json_t *worker)
{
	if (worker)
		columns[column].put(out, worker, columns[column].key);
	else
		snprintf(out, CELL_BYTES, "%s", columns[column].heading);
}

static void
print_row(FILE *out, const json_t *worker, const int width[COLUMNS])
{
	char cell[CELL_BYTES];

	for (size_t i = 0; i < COLUMNS; i++) {
		int pad;

		put_cell(cell, i, worker);
		pad = width[i] - places(cell);
		fprintf(out, "%s%*s", i ? "  " : "", columns[i].right ? pad : 0, "");
		ctl_print(out, wire_text(cell));
		if (!columns[i].right && i + 1 < COLUMNS)
			fprintf(out, "%*s", pad, "");
	}
	fputc('\n', out);
}

static void
print_workers(FILE *out, const json_t *workers)
{
	int width[COLUMNS];
	char cell[CELL_BYTES];
	json_t *worker;
	size_t k;

	for (size_t i = 0; i < COLUMNS; i++) {
		width[i] = places(columns[i].heading);
		json_array_foreach(workers, k, worker)
		{
			put_cell(cell, i, worker);
			if (places(cell) > width[i])
				width[i] = places(cell);
		}
	}
	print_row(out, NULL, width);
	json_array_foreach(workers, k, worker) print_row(out, worker, width);
}

/* ---- The page --------------------------------------------------------------- */

static void
print_head(FILE *out, const json_t *status)
{
	const json_t *series = json_object_get(status, "series");
	const json_t *totals = json_object_get(status, "totals");
	char up[CELL_BYTES], lease[CELL_BYTES];

	span(up, number_in(status, "uptime_ms"));
	span(lease, number_in(status, "lease_ms"));
	fputs("dynamo-metricsd ", out);
	ctl_print(out, wire_text(text_in(status, "version")));
	fprintf(out, ", up %s, epoch ", up);
	ctl_print(out, wire_text(text_in(status, "epoch")));
	fprintf(out,
	    "\n%" PRId64 " families; series: %" PRId64 " counters, %" PRId64
	    " gauges, %" PRId64 " histograms\n",
	    number_in(status, "families"), number_in(series, "counter"),
	    number_in(series, "gauge"), number_in(series, "histogram"));
	fprintf(out,
	    "%zu workers; so far %" PRId64 " were folded, %" PRId64
	    " of them are remembered; lease %s\n",
	    json_array_size(json_object_get(status, "workers")),
	    number_in(status, "folded_total"), number_in(status, "remembered"), lease);
	fprintf(out,
	    "%" PRId64 " connections; so far: %" PRId64 " messages, %" PRId64
	    " of them sent again, %" PRId64 " things refused, %" PRId64
	    " updates dropped by workers\n",
	    number_in(totals, "connections"), number_in(totals, "messages"),
	    number_in(status, "resent_total"), number_in(status, "refused_total"),
	    number_in(status, "client_dropped_total"));
}

/* ---- The state ------------------------------------------------------------- */

static int64_t
ms_in(const json_t *object, const char *key)
{
	return (int64_t)(json_number_value(json_object_get(object, key)) * 1000);
}

static void
print_snapshot(FILE *out, const json_t *state)
{
	char age[CELL_BYTES], took[CELL_BYTES], bytes[CELL_BYTES];

	if (!json_is_number(json_object_get(state, "snapshot_age_s"))) {
		fputs("no snapshot yet", out);
	} else {
		span(age, ms_in(state, "snapshot_age_s"));
		size(bytes, number_in(state, "snapshot_bytes"));
		fprintf(out, "snapshot %s ago, %s", age, bytes);
	}
	/* What the one took that an earlier daemon wrote, nobody knows. */
	if (json_is_number(json_object_get(state, "snapshot_duration_s"))) {
		span(took, ms_in(state, "snapshot_duration_s"));
		fprintf(out, ", in %s", took);
	}
	if (number_in(state, "snapshot_failures") > 0)
		fprintf(
		    out, ", %" PRId64 " failed", number_in(state, "snapshot_failures"));
}

static void
print_journal(FILE *out, const json_t *state)
{
	char bytes[CELL_BYTES];

	size(bytes, number_in(state, "journal_bytes"));
	if (json_is_true(json_object_get(state, "degraded")))
		fputs("; degraded\n", out);
	else if (json_is_true(json_object_get(state, "journal")))
		fprintf(out, "; journal %" PRId64 ", %s\n",
		    number_in(state, "generation"), bytes);
	else
		fputs("; no journal\n", out);
}

/* What is kept over a restart; a daemon that does not tell leaves it out. */
static void
print_state(FILE *out, const json_t *state)
{
	const char *path = text_in(state, "path");
	const json_t *problem;
	size_t k;

	if (!json_is_object(state))
		return;
	if (path[0] == '\0') {
		fputs("state: nothing is kept over a restart\n", out);
	} else {
		fputs("state in ", out);
		ctl_print(out, wire_text(path));
		fputs(": ", out);
		print_snapshot(out, state);
		print_journal(out, state);
	}
	json_array_foreach(json_object_get(state, "problems"), k, problem)
	{
		fputs("problem: ", out);
		ctl_print(out,
		    wire_text(
			json_string_value(problem) ? json_string_value(problem) : "?"));
		fputc('\n', out);
	}
}

enum ctl_exit
ctl_print_status(FILE *out, struct wire_text json, struct ctl_error *error)
{
	json_t *status = json_loadb(json.at, json.bytes, 0, NULL);

	if (!json_is_object(status)) {
		json_decref(status);
		return ctl_fail(error, CTL_UNREACHABLE,
		    "the answer makes no sense: is it dynamo-metricsd that listens "
		    "there?");
	}
	print_head(out, status);
	print_state(out, json_object_get(status, "state"));
	fputc('\n', out);
	print_workers(out, json_object_get(status, "workers"));
	json_decref(status);
	return CTL_OK;
}

enum ctl_exit
ctl_status(const struct ctl_options *o, int argc, char **argv, struct ctl_error *error)
{
	uint8_t bytes[64], *reply = NULL;
	struct wire_text json;
	struct wire_writer w;
	enum ctl_exit code;

	if (argc > 0)
		return ctl_fail(
		    error, CTL_USAGE, "status takes no argument, not '%s'", argv[0]);
	wire_writer_init(&w, bytes, sizeof(bytes));
	message_put_status(&w);
	code = request_text(o, &w, &reply, &json, error);
	if (code == CTL_OK && o->json) {
		fwrite(json.at, 1, json.bytes, stdout);
		putchar('\n');
	} else if (code == CTL_OK) {
		code = ctl_print_status(stdout, json, error);
	}
	free(reply);
	return code;
}
