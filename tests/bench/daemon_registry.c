/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registry without a socket: how fast it takes values, how long its longest steps
 * are, and how long it takes to load.
 *
 *	update N, sparse N	million values a second, of N series
 *	copy N			the same records copied: what they cost at least
 *	define N		processor nanoseconds for each of N new series
 *	define_longest N	processor milliseconds of the longest of these steps
 *	fold N			processor milliseconds: a worker with N series is gone
 *	load N			processor seconds to load a snapshot of N series
 *	snapshot N FILE		write such a snapshot; prints its bytes
 *
 * Behind N: "unique" where each series has a label value of its own, "gauge" for gauges
 * in the place of counters.
 */
#include <string.h>

#include "bench.h"
#include "apply_parts.h"
#include "snapshot.h"

#define NOW_MS 1000000U

struct bench {
	struct registry *registry;
	struct self_metrics *self;
	struct apply *apply;
	struct column *column;
	uint32_t record;
	bool unique, gauge;
};

static void *
must(void *p)
{
	if (p == NULL)
		abort();
	return p;
}

static struct bench
bench_new(void)
{
	const struct registry_limits limits = { .names = NAMES_DEFAULT_LIMITS,
		.families = 20000,
		.series = 10000000,
		.series_per_family = 10000000,
		.series_per_worker = 10000000,
		.series_per_uid = 10000000 };
	static const struct apply_options options = {
		.store = 1, .lease_ms = 15000, .grace_ms = 2000, .version = ""
	};
	struct bench b = { 0 };

	b.registry = must(registry_new(&limits, NULL));
	b.self = must(self_metrics_new());
	b.apply = must(apply_new(&options, b.registry, b.self, NULL));
	return b;
}

static void
bench_free(struct bench *b)
{
	apply_free(b->apply);
	self_metrics_free(b->self);
	registry_free(b->registry);
}

/* A worker with one metric of three labels, besides the three of its place. */
static void
add_worker(struct bench *b)
{
	static const uint8_t sid[MESSAGE_SID_BYTES] = { 1 };
	struct sessions *s = &b->apply->sessions;
	struct refusal why = { 0 };
	struct message_metric m = { .kind = b->gauge ? MESSAGE_GAUGE : MESSAGE_COUNTER,
		.name = wire_text("requests_total"),
		.level = { 3,
		    { wire_text("space"), wire_text("part"), wire_text("generate") } },
		.n_variable = 3,
		.variable_name = {
		    wire_text("code"), wire_text("model"), wire_text("path") } };

	b->record = sessions_restore(s, &(struct session_saved){ .sid = sid,
					    .serial = 1,
					    .name = wire_text("0"),
					    .wish = wire_text(""),
					    .library = wire_text("0") });
	if (b->record == 0)
		abort();
	b->column = sessions_record(s, b->record)->live->column;
	if (registry_define_metric(b->registry, b->column, &m, &why) != REASON_NONE)
		abort();
}

/* Hundreds of values in each label: their strings are few. */
static void
define(struct bench *b, uint32_t i, uint32_t cell)
{
	char text[3][24];
	struct refusal why = { 0 };
	struct message_child child = { .cell = cell, .n_values = 3 };

	snprintf(text[0], sizeof(text[0]), "%u", i % 100);
	snprintf(text[1], sizeof(text[1]), "model-%u", i / 100 % 100);
	snprintf(text[2], sizeof(text[2]), "/api/v1/%07u", b->unique ? i : i / 10000);
	for (size_t k = 0; k < 3; k++)
		child.value[k] = wire_text(text[k]);
	if (registry_define_child(b->registry, b->column, &child, NULL, &why) !=
	    REASON_NONE)
		abort();
}

/* The i-th of n numbers in an order that no cache knows. */
static uint32_t
shuffled(uint32_t i, uint32_t n)
{
	return (uint32_t)((uint64_t)i * 2654435761U % n);
}

static void
define_all(struct bench *b, uint32_t n, bool permuted)
{
	for (uint32_t i = 0; i < n; i++)
		define(b, permuted ? shuffled(i, n) : i, i);
}

/* ---- Values ------------------------------------------------------------ */

struct records {
	uint8_t *at, *copy;
	uint32_t n;
};

/* Each step-th cell, with values that grow from round to round. */
static void
fill(struct records *r, uint32_t step, uint32_t round)
{
	for (uint32_t i = 0; i < r->n; i++) {
		uint8_t *at = r->at + (size_t)i * MESSAGE_RECORD_BYTES;

		wire_store_u32(at, i * step);
		wire_store_u64(at + 4, wire_bits(round * 1000 + i % 7));
	}
}

/* One message's worth, so that what was checked is near when it is taken. */
#define MESSAGE_RECORDS 65536U

static void
take_all(struct bench *b, const struct records *r)
{
	struct refusal why = { 0 };

	for (uint32_t i = 0; i < r->n; i += MESSAGE_RECORDS) {
		const uint8_t *at = r->at + (size_t)i * MESSAGE_RECORD_BYTES;
		uint32_t n = r->n - i < MESSAGE_RECORDS ? r->n - i : MESSAGE_RECORDS;

		if (registry_check_records(b->column, at, n, &why) != REASON_NONE)
			abort();
		registry_apply_records(b->registry, b->column, at, n);
	}
}

static double
rate(struct bench *b, uint32_t n, uint32_t step)
{
	struct records r = { .n = n / step };
	uint32_t rounds = bench_quick() ? 2 : 20000000 / r.n;
	double took = 0, began;

	r.at = must(malloc((size_t)r.n * MESSAGE_RECORD_BYTES));
	r.copy = must(malloc((size_t)r.n * MESSAGE_RECORD_BYTES));
	for (uint32_t i = 1; i <= rounds + 2; i++) {
		fill(&r, step, i);
		began = bench_cpu_s();
		if (b)
			take_all(b, &r);
		else
			memcpy(r.copy, r.at, (size_t)r.n * MESSAGE_RECORD_BYTES);
		bench_keep(r.copy);
		took += i > 2 ? bench_cpu_s() - began : 0;
	}
	free(r.at);
	free(r.copy);
	return (double)r.n * rounds / took / 1e6;
}

/* ---- Measurements ------------------------------------------------------- */

static double
update(struct bench *b, uint32_t n)
{
	define_all(b, n, false);
	return rate(b, n, 1);
}

static double
sparse(struct bench *b, uint32_t n)
{
	define_all(b, n, true);
	return rate(b, n, 20);
}

static double
copy(struct bench *b, uint32_t n)
{
	(void)b;
	return rate(NULL, n, 1);
}

static double
define_each(struct bench *b, uint32_t n)
{
	double began = bench_cpu_s();

	define_all(b, n, false);
	return (bench_cpu_s() - began) / n * 1e9;
}

static double
define_longest(struct bench *b, uint32_t n)
{
	double longest = 0, before = bench_cpu_s(), now;

	for (uint32_t i = 0; i < n; i++) {
		define(b, i, i);
		now = bench_cpu_s();
		longest = now - before > longest ? now - before : longest;
		before = now;
	}
	return longest * 1e3;
}

static double
fold(struct bench *b, uint32_t n)
{
	double began;

	define_all(b, n, true);
	began = bench_cpu_s();
	sessions_end(&b->apply->sessions, b->record, true);
	return (bench_cpu_s() - began) * 1e3;
}

/* ---- A snapshot ---------------------------------------------------------- */

static int
keep(void *arg, const void *bytes, size_t n)
{
	struct strbuf *out = arg;

	strbuf_add(out, bytes, n);
	return out->failed ? 12 : 0;
}

static struct strbuf
snapshot_of(struct bench *b, uint32_t n)
{
	struct journal_head head = { .store = 1,
		.generation = 1,
		.first = 1,
		.clock_ms = NOW_MS,
		.boot = { 1 },
		.pid_namespace = 1 };
	struct strbuf out = STRBUF_EMPTY;
	struct snapshot_sink sink = { keep, &out };

	define_all(b, n, false);
	if (snapshot_write(b->apply, &head, &sink) != 0)
		abort();
	return out;
}

static double
load(struct bench *b, uint32_t n)
{
	struct strbuf file = snapshot_of(b, n);
	char why[SNAPSHOT_TEXT];
	struct journal_head head;
	double began;

	bench_free(b);
	*b = bench_new();
	began = bench_cpu_s();
	if (snapshot_read(b->apply, file.at, file.bytes, &head, NULL, why) != SNAPSHOT_OK)
		abort();
	began = bench_cpu_s() - began;
	strbuf_free(&file);
	return began;
}

static double
write_snapshot(struct bench *b, uint32_t n, const char *path)
{
	struct strbuf file = snapshot_of(b, n);
	FILE *f = must(fopen(path, "wb"));

	if (fwrite(file.at, 1, file.bytes, f) != file.bytes || fclose(f) != 0)
		abort();
	n = (uint32_t)file.bytes;
	strbuf_free(&file);
	return n;
}

int
main(int argc, char **argv)
{
	static const struct {
		const char *name;
		double (*measure)(struct bench *b, uint32_t n);
	} all[] = { { "update", update }, { "sparse", sparse }, { "copy", copy },
		{ "define", define_each }, { "define_longest", define_longest },
		{ "fold", fold }, { "load", load } };
	struct bench b = bench_new();
	uint32_t n = argc > 2 ? (uint32_t)atoi(argv[2]) : 0;
	double figure = NAN;

	for (int i = 3; i < argc; i++) {
		b.unique |= strcmp(argv[i], "unique") == 0;
		b.gauge |= strcmp(argv[i], "gauge") == 0;
	}
	add_worker(&b);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]) && n; i++)
		if (strcmp(argv[1], all[i].name) == 0)
			figure = all[i].measure(&b, n);
	if (n && argc > 3 && strcmp(argv[1], "snapshot") == 0)
		figure = write_snapshot(&b, n, argv[3]);
	bench_free(&b);
	return bench_print(figure);
}
