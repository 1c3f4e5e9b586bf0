/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon_render.c [SERIES [family|mixed|gauge|histogram]] - ns to render a series,
 * without sending it: counters of 5 labels in 100 families, made family by family, or
 * (mixed) one of each in turn, so that what is side by side on the page lies far apart;
 * gauges of one worker; histograms of 11 buckets (ns for all lines of one).
 */
#include <string.h>

#include "bench.h"
#include "exposition.h"
#include "registry.h"

#define FAMILIES    100
#define MODELS	    10
#define SLICE_BYTES (192 << 10)

static double bounds[10] = { .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10 };

static void
define_family(struct registry *r, struct column *c, uint32_t i, enum message_kind kind)
{
	struct message_metric m = { .id = i,
		.kind = kind,
		.level = { 3,
		    { wire_text("prod"), wire_text("backend"), wire_text("generate") } },
		.help = wire_text("Requests served."),
		.n_variable = 2,
		.variable_name = { wire_text("model"), wire_text("worker_id") } };
	char name[64];

	snprintf(name, sizeof(name), "bench_requests_%03u_total", i);
	m.name = wire_text(name);
	if (kind == MESSAGE_HISTOGRAM) {
		m.n_bounds = 10;
		m.bounds = (const uint8_t *)bounds;
	}
	if (registry_define_metric(r, c, &m, NULL) != REASON_NONE)
		exit(1);
}

static void
define_child(
    struct registry *r, struct column *c, uint32_t family, uint32_t child, uint32_t cell)
{
	struct message_child m = { .metric = family, .cell = cell, .n_values = 2 };
	char model[32], worker[32];

	snprintf(model, sizeof(model), "llama-%u-instruct", child % MODELS);
	snprintf(worker, sizeof(worker), "worker-%05u", child / MODELS);
	m.value[0] = wire_text(model);
	m.value[1] = wire_text(worker);
	if (registry_define_child(r, c, &m, NULL, NULL) != REASON_NONE)
		exit(1);
}

/* Counts of 1 to 7 digits. */
static void
set_cell(struct registry *r, struct column *c, uint32_t cell, uint64_t *seed)
{
	static const uint64_t most[] = { 10, 100, 1000, 10000, 100000, 1000000,
		10000000 };
	uint64_t random = bench_random(seed);
	double v = (double)(random / 7 % most[random % 7]);
	uint8_t record[12];

	memcpy(record, &cell, 4);
	memcpy(record + 4, &v, 8);
	registry_apply_records(r, c, record, 1);
}

static struct registry *
make_registry(uint32_t series, const char *how)
{
	struct registry_limits limits = REGISTRY_DEFAULT_LIMITS;
	enum message_kind kind = how[0] == 'h'	 ? MESSAGE_HISTOGRAM
				 : how[0] == 'g' ? MESSAGE_GAUGE
						 : MESSAGE_COUNTER;
	uint32_t each = (series + FAMILIES - 1) / FAMILIES,
		 cells = how[0] == 'h' ? 12 : 1;
	struct registry *r;
	struct column *c;
	uint64_t seed = 1;

	limits.series = limits.series_per_worker = limits.series_per_uid = UINT32_MAX / 2;
	r = registry_new(&limits, NULL);
	c = registry_column_new(r, wire_text("0"));
	for (uint32_t i = 0; i < FAMILIES; i++)
		define_family(r, c, i, kind);
	for (uint32_t i = 0; i < series; i++) {
		if (how[0] == 'm')
			define_child(r, c, i % FAMILIES, i / FAMILIES, i * cells);
		else
			define_child(r, c, i / each, i % each, i * cells);
	}
	for (uint32_t i = 0; i < series * cells; i++)
		set_cell(r, c, i, &seed);
	return r;
}

static double
render_s(const struct registry *r, struct strbuf *out)
{
	struct exposition *e = exposition_new(r, NULL, NULL);
	double began_s = bench_cpu_s();

	do {
		bench_keep(out->at);
		strbuf_reset(out);
	} while (exposition_slice(e, out, SLICE_BYTES));
	exposition_free(e);
	return bench_cpu_s() - began_s;
}

/* The same slices, from a page in one piece. */
static double
copy_s(const struct registry *r, struct strbuf *out)
{
	struct exposition *e = exposition_new(r, NULL, NULL);
	struct strbuf page = STRBUF_EMPTY;
	double began_s;

	while (exposition_slice(e, &page, SLICE_BYTES))
		;
	exposition_free(e);
	strbuf_reserve(out, SLICE_BYTES);
	began_s = bench_cpu_s();
	for (size_t at = 0; at < page.bytes; at += SLICE_BYTES) {
		size_t rest = page.bytes - at;

		memcpy(out->at, page.at + at, rest < SLICE_BYTES ? rest : SLICE_BYTES);
		bench_keep(out->at);
	}
	began_s = bench_cpu_s() - began_s;
	strbuf_free(&page);
	return began_s;
}

int
main(int argc, char **argv)
{
	uint32_t series = argc == 3 ? (uint32_t)atol(argv[1]) : 0;
	const char *how = series ? argv[2] : "";
	struct registry *r = make_registry(series, how);
	struct strbuf out = STRBUF_EMPTY;
	double best_s = INFINITY;

	for (int i = 0; i < 5; i++)
		best_s =
		    fmin(best_s, how[0] == 'c' ? copy_s(r, &out) : render_s(r, &out));
	strbuf_free(&out);
	registry_free(r);
	return bench_print(best_s / series * 1e9);
}
