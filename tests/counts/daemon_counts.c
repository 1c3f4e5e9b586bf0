/* SPDX-License-Identifier: Apache-2.0 */
#include "counts.h"
#include "exposition.h"
#include "registry.h"

#define SERIES	    1000
#define SLICE_BYTES (192 << 10)

static struct registry *registry;
static struct column *column;

static void
must(bool holds)
{
	if (!holds)
		abort();
}

/* Each series in turn gets another value, in records of one request after the other. */
static void
apply(long times)
{
	uint8_t records[SERIES * MESSAGE_RECORD_BYTES];
	struct refusal why;

	for (long at = 0; at < times; at += SERIES) {
		for (uint32_t i = 0; i < SERIES; i++) {
			wire_store_u32(records + i * MESSAGE_RECORD_BYTES, i);
			wire_store_u64(records + i * MESSAGE_RECORD_BYTES + 4,
			    wire_bits((double)(at + i)));
		}
		must(
		    registry_check_records(column, records, SERIES, &why) == REASON_NONE);
		registry_apply_records(registry, column, records, SERIES);
	}
}

/* The page again and again: of a family with so many counters nearly all is their lines.
 */
static void
render(long times)
{
	struct strbuf out = STRBUF_EMPTY;

	for (long at = 0; at < times; at += SERIES) {
		struct exposition *e = exposition_new(registry, NULL, NULL);

		must(e != NULL);
		do {
			strbuf_reset(&out);
		} while (exposition_slice(e, &out, SLICE_BYTES));
		must(!out.failed);
		exposition_free(e);
	}
	strbuf_free(&out);
}

static void
define(uint32_t i)
{
	char text[3][32];
	struct message_child child = { .cell = i, .n_values = 3 };

	snprintf(text[0], sizeof(text[0]), "%u", i % 10);
	snprintf(text[1], sizeof(text[1]), "model-%u", i / 10 % 10);
	snprintf(text[2], sizeof(text[2]), "/api/v1/%04u", i / 100);
	for (size_t k = 0; k < 3; k++)
		child.value[k] = wire_text(text[k]);
	must(registry_define_child(registry, column, &child, NULL, NULL) == REASON_NONE);
}

static void
make(void)
{
	struct registry_limits limits = REGISTRY_DEFAULT_LIMITS;
	struct message_metric m = { .kind = MESSAGE_COUNTER,
		.name = wire_text("requests_total"),
		.n_variable = 3,
		.variable_name = {
		    wire_text("code"), wire_text("model"), wire_text("path") } };

	registry = registry_new(&limits, NULL);
	column = registry_column_new(registry, wire_text("0"));
	must(registry_define_metric(registry, column, &m, NULL) == REASON_NONE);
	for (uint32_t i = 0; i < SERIES; i++)
		define(i);
	apply(SERIES);
}

int
main(int argc, char **argv)
{
	static const struct count all[] = {
		{ "update", apply },
		{ "line", render },
	};

	make();
	return counts_run(all, sizeof(all) / sizeof(all[0]), argc, argv);
}
