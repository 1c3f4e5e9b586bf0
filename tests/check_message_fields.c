/* SPDX-License-Identifier: Apache-2.0 */
/* What a message says when it is decoded, and what no message can say. */
#include <stdio.h>
#include <stdlib.h>

#include "golden.h"
#include "suite.h"

/* ---- What a decoded message says ---------------------------------------- */

START_TEST(fields_of_a_definition_are_found)
{
	uint8_t bytes[GOLDEN_ROOM];
	struct message m;
	struct message_item item;
	size_t n = golden_frame("define-gauge", bytes);

	ck_assert_uint_eq(message_decode(&m, bytes, n, NULL), REASON_NONE);
	ck_assert_uint_eq(m.ticket.store, golden_ticket.store);
	ck_assert_uint_eq(m.ticket.serial, golden_ticket.serial);
	ck_assert_uint_eq(m.n, 2);
	ck_assert_uint_eq(m.count, 2);
	message_next_item(&m.items, &item);
	ck_assert_uint_eq(item.type, MESSAGE_ITEM_METRIC);
	ck_assert_uint_eq(item.metric.kind, MESSAGE_GAUGE);
	ck_assert_uint_eq(item.metric.merge, MESSAGE_LAST);
	ck_assert_uint_eq(item.metric.level.depth, 2);
	ck_assert(wire_text_is(item.metric.level.name[1], "backend"));
	ck_assert(wire_text_is(item.metric.name, "gpu_memory_bytes"));
	ck_assert(wire_text_is(item.metric.constant_value[0], "a"));
	ck_assert(wire_text_is(item.metric.variable_name[1], "memory_type"));
	message_next_item(&m.items, &item);
	ck_assert_uint_eq(item.type, MESSAGE_ITEM_CHILD);
	ck_assert_uint_eq(item.child.cell, 1);
	ck_assert(wire_text_is(item.child.value[1], "allocated"));
}
END_TEST

START_TEST(bounds_are_read_at_any_alignment)
{
	uint8_t bytes[GOLDEN_ROOM + 8];
	struct message m;
	struct message_item item;

	for (size_t shift = 0; shift < 8; shift++) {
		size_t n = golden_frame("define-histogram", bytes + shift);

		ck_assert_uint_eq(message_decode(&m, bytes + shift, n, NULL), 0);
		message_next_item(&m.items, &item);
		ck_assert_uint_eq(item.metric.n_bounds, 2);
		ck_assert_double_eq(message_bound(&item.metric, 0), 0.25);
		ck_assert_double_eq(message_bound(&item.metric, 1), 1.0);
	}
}
END_TEST

START_TEST(a_child_has_as_many_cells_as_its_shape_needs)
{
	static const struct {
		enum message_kind kind;
		enum message_merge merge;
		size_t n_bounds;
		uint32_t cells;
	} rows[] = {
		{ MESSAGE_COUNTER, MESSAGE_SUM, 0, 1 },
		{ MESSAGE_GAUGE, MESSAGE_SUM, 0, 1 },
		{ MESSAGE_GAUGE, MESSAGE_MIN, 0, 1 },
		{ MESSAGE_GAUGE, MESSAGE_MAX, 0, 1 },
		{ MESSAGE_GAUGE, MESSAGE_EACH, 0, 1 },
		{ MESSAGE_GAUGE, MESSAGE_LAST, 0, 2 },
		{ MESSAGE_HISTOGRAM, MESSAGE_SUM, 0, 2 },
		{ MESSAGE_HISTOGRAM, MESSAGE_SUM, 11, 13 },
		{ MESSAGE_HISTOGRAM, MESSAGE_SUM, MESSAGE_BOUNDS_MAX, 4098 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		ck_assert_uint_eq(
		    message_cells(rows[i].kind, rows[i].merge, rows[i].n_bounds),
		    rows[i].cells);
}
END_TEST

/* ---- Versions and types ------------------------------------------------- */

START_TEST(another_version_is_told_in_words)
{
	uint8_t bytes[GOLDEN_ROOM];
	size_t n = golden_frame("update", bytes);
	struct refusal r = { 0 };

	bytes[4] = 2;
	ck_assert_uint_eq(golden_decode(bytes, n, &r), REASON_VERSION);
	ck_assert_ptr_nonnull(strstr(r.text, "version 1"));
	ck_assert_ptr_nonnull(strstr(r.text, "version 2"));
	/* Nothing of its body is looked at: it may be laid out in another way. */
	ck_assert_uint_eq(
	    golden_decode(bytes, MESSAGE_HEADER_BYTES, NULL), REASON_VERSION);
}
END_TEST

START_TEST(an_error_of_another_version_can_be_read)
{
	uint8_t bytes[GOLDEN_ROOM];
	size_t n = golden_frame("error", bytes);
	struct message m;

	for (int version = 0; version < 256; version++) {
		bytes[4] = (uint8_t)version;
		ck_assert_uint_eq(message_decode(&m, bytes, n, NULL), REASON_NONE);
		ck_assert_uint_eq(m.reason, REASON_VERSION);
		ck_assert(wire_text_is(m.text, "install the same release on both sides"));
	}
}
END_TEST

static bool
is_type(int type)
{
	return (type >= MESSAGE_HELLO && type <= MESSAGE_ADMIN) ||
	       (type >= MESSAGE_NEW && type <= MESSAGE_ERROR);
}

START_TEST(a_type_that_there_is_not_is_refused)
{
	uint8_t bytes[GOLDEN_ROOM] = { 0 };

	golden_frame("status", bytes);
	for (int type = 0; type < 256; type++) {
		bytes[5] = (uint8_t)type;
		if (is_type(type))
			continue;
		for (size_t n = MESSAGE_HEADER_BYTES; n < 64; n++)
			ck_assert_uint_eq(golden_decode(bytes, n, NULL), REASON_MESSAGE);
	}
}
END_TEST

START_TEST(every_type_has_the_name_that_the_page_gives_it)
{
	char row[64];

	for (int type = 0; type < 256; type++) {
		const char *word = message_type_word((enum message_type)type);

		ck_assert_int_eq(strcmp(word, "?") != 0, is_type(type));
		snprintf(row, sizeof(row), "\n| 0x%02x | %s |", (unsigned)type, word);
		ck_assert_int_eq(strstr(golden_page(), row) != NULL, is_type(type));
	}
}
END_TEST

START_TEST(only_bytes_with_the_magic_are_binary)
{
	ck_assert(message_is_binary("DYNM", 4));
	ck_assert(message_is_binary("DYNM\x09", 5));
	ck_assert(!message_is_binary("DYN", 3));
	ck_assert(!message_is_binary("", 0));
	ck_assert(!message_is_binary("{\"metrics\":[]}", 14));
	ck_assert(!message_is_binary("dynm", 4));
}
END_TEST

/* ---- Limits of the format ------------------------------------------------ */

/* One byte of a frame of the page that is changed to what cannot be. */
static const struct {
	const char *frame;
	size_t at;
	uint8_t value;
	const char *what;
} impossible[] = {
	{ "status", 6, 1, "flags" },
	{ "status", 7, 1, "flags" },
	{ "hello-first", 24, 2, "has golden_ticket" },
	{ "expose-all", 8, 1, "a level that is missing" },
	{ "expose-all", 8, 4, "depth 4" },
	{ "define-counter", 36, 3, "an item of type 3" },
	{ "define-counter", 36, 0, "an item of type 0" },
	{ "define-counter", 41, 0, "kind 0" },
	{ "define-counter", 41, 4, "kind 4" },
	{ "define-counter", 42, 5, "merge 5" },
	{ "define-counter", 43, 4, "depth 4" },
	{ "define-counter", 32, 3, "three items where there are two" },
	{ "define-counter", 32, 1, "one item where there are two" },
	{ "define-counter", 35, 0xff, "four thousand million items" },
	{ "update", 32, 8, "eight records where there are seven" },
	{ "update", 32, 6, "six records where there are seven" },
	{ "update", 35, 0xff, "four thousand million records" },
	{ "remove", 32, 2, "two cells where there is one" },
	{ "remove", 35, 0x80, "two thousand million cells" },
	{ "ack-refused", 16, 3, "three refused items where there are two" },
	{ "admin", 8, 0x28, "a command that is longer than the message" },
	{ "admin", 8, 0x26, "a byte after the command" },
	{ "admin", 11, 0xff, "a command of four thousand million bytes" },
	{ "text", 8, 12, "a text that is longer than the message" },
	{ "text", 11, 0xff, "a text of four thousand million bytes" },
	{ "error", 10, 0xff, "a sentence of 65 thousand bytes" },
};

START_TEST(what_cannot_be_is_refused)
{
	uint8_t bytes[GOLDEN_ROOM];
	size_t n = golden_frame(impossible[_i].frame, bytes);

	ck_assert_uint_lt(impossible[_i].at, n);
	bytes[impossible[_i].at] = impossible[_i].value;
	ck_assert_msg(golden_decode(bytes, n, NULL) == REASON_MESSAGE, "%s: %s",
	    impossible[_i].frame, impossible[_i].what);
}
END_TEST

#define MUCH (1 << 20)

/* What a metric of so many labels and bounds comes to: written, and read again. */
static enum reason
metric_of(size_t constant, size_t variable, size_t bounds, bool *ret_written)
{
	static uint8_t bytes[MUCH], bound_bytes[8 * 65536];
	static struct message_metric m;
	struct wire_writer w;
	struct message back;
	size_t begun;

	m = (struct message_metric){ .kind = MESSAGE_HISTOGRAM,
		.n_constant = constant,
		.n_variable = variable,
		.n_bounds = bounds,
		.bounds = bound_bytes };
	wire_writer_init(&w, bytes, sizeof(bytes));
	begun = message_begin_define(&w, golden_ticket, 1);
	message_put_metric(&w, &m);
	message_end(&w, begun, 1);
	*ret_written = !w.failed;
	return w.failed ? REASON_LIMIT : message_decode(&back, bytes, w.bytes, NULL);
}

START_TEST(a_metric_has_at_most_so_many_labels_and_bounds)
{
	bool written;

	ck_assert_uint_eq(metric_of(64, 64, 4096, &written), REASON_NONE);
	metric_of(65, 0, 0, &written);
	ck_assert(!written);
	metric_of(0, 65, 0, &written);
	ck_assert(!written);
	metric_of(0, 0, 4097, &written);
	ck_assert(!written);
	metric_of(0, 0, 65536, &written);
	ck_assert(!written);
	metric_of(256, 0, 0, &written);
	ck_assert(!written);
}
END_TEST

/* A metric as it is written, but for its last bytes: the counts that follow help. */
static void
put_metric_without_counts(struct wire_writer *w, uint8_t *bytes)
{
	wire_writer_init(w, bytes, MUCH);
	message_end(w, message_begin_define(w, golden_ticket, 1), 1);
	message_put_metric(w, &(struct message_metric){ .kind = MESSAGE_HISTOGRAM });
	w->bytes -= 4;
}

START_TEST(more_labels_or_bounds_than_there_can_be_are_refused)
{
	static uint8_t bytes[MUCH];
	struct message m;
	struct wire_writer w;

	for (size_t extra = 0; extra < 2; extra++) {
		enum reason expected = extra ? REASON_MESSAGE : REASON_NONE;
		size_t n = MESSAGE_LABELS_MAX + extra;

		put_metric_without_counts(&w, bytes);
		wire_put_u8(&w, (uint8_t)n);
		for (size_t i = 0; i < 2 * n; i++)
			wire_put_u16(&w, 0);
		wire_put_u8(&w, 0);
		wire_put_u16(&w, 0);
		ck_assert_uint_eq(message_decode(&m, bytes, w.bytes, NULL), expected);

		put_metric_without_counts(&w, bytes);
		wire_put_u8(&w, 0);
		wire_put_u8(&w, (uint8_t)n);
		for (size_t i = 0; i < n; i++)
			wire_put_u16(&w, 0);
		wire_put_u16(&w, 0);
		ck_assert_uint_eq(message_decode(&m, bytes, w.bytes, NULL), expected);

		n = MESSAGE_BOUNDS_MAX + extra;
		put_metric_without_counts(&w, bytes);
		wire_put_u16(&w, 0);
		wire_put_u16(&w, (uint16_t)n);
		for (size_t i = 0; i < n; i++)
			wire_put_u64(&w, 0);
		ck_assert_uint_eq(message_decode(&m, bytes, w.bytes, NULL), expected);
	}
}
END_TEST

START_TEST(a_level_or_a_child_beyond_the_format_is_not_written)
{
	static struct message_child c;
	uint8_t bytes[GOLDEN_ROOM];
	struct message_level l = { .depth = 4 };
	struct wire_writer w;

	wire_writer_init(&w, bytes, sizeof(bytes));
	message_put_expose(&w, &l);
	ck_assert(w.failed);

	c.n_values = MESSAGE_LABELS_MAX + 1;
	wire_writer_init(&w, bytes, sizeof(bytes));
	message_put_child(&w, &c);
	ck_assert(w.failed);
}
END_TEST

START_TEST(a_level_of_four_names_is_refused)
{
	uint8_t bytes[GOLDEN_ROOM];
	struct wire_writer w;

	wire_writer_init(&w, bytes, sizeof(bytes));
	message_put_status(&w);
	bytes[5] = MESSAGE_EXPOSE;
	wire_put_u8(&w, 4);
	wire_put_u64(&w, 0); /* four empty names */
	ck_assert_uint_eq(golden_decode(bytes, w.bytes, NULL), REASON_MESSAGE);
	bytes[8] = 3;
	ck_assert_uint_eq(golden_decode(bytes, w.bytes - 2, NULL), REASON_NONE);
}
END_TEST

START_TEST(a_hello_without_a_ticket_has_zeros_there)
{
	struct message m = { .ticket = golden_ticket }, back;
	uint8_t bytes[GOLDEN_ROOM];
	struct wire_writer w;

	wire_writer_init(&w, bytes, sizeof(bytes));
	message_put_hello(&w, &m);
	ck_assert_uint_eq(message_decode(&back, bytes, w.bytes, NULL), REASON_NONE);
	ck_assert(!back.has_ticket);
	ck_assert_uint_eq(back.ticket.store, 0);
	ck_assert_uint_eq(back.ticket.serial, 0);
}
END_TEST

START_TEST(an_update_without_records_is_a_message)
{
	uint8_t bytes[GOLDEN_ROOM];
	struct wire_writer w;
	struct message m;

	wire_writer_init(&w, bytes, sizeof(bytes));
	message_end(&w, message_begin_update(&w, golden_ticket, 9), 0);
	ck_assert_uint_eq(message_decode(&m, bytes, w.bytes, NULL), REASON_NONE);
	ck_assert_uint_eq(m.count, 0);
	ck_assert_uint_eq(m.n, 9);
}
END_TEST

/* ---- Reasons ------------------------------------------------------------ */

START_TEST(the_page_lists_the_reasons_and_their_numbers)
{
	char row[64];

	for (int r = REASON_NONE + 1; r < REASON_END; r++) {
		snprintf(row, sizeof(row), "\n| %d | %s | ", r,
		    message_reason_word((enum reason)r));
		ck_assert_msg(strstr(golden_page(), row) != NULL, "no row%s", row + 1);
	}
	snprintf(row, sizeof(row), "\n| %d | ", REASON_END);
	ck_assert_ptr_null(strstr(golden_page(), row));
}
END_TEST

START_TEST(a_number_without_a_word_is_unknown)
{
	ck_assert_str_eq(message_reason_word(REASON_NONE), "unknown");
	ck_assert_str_eq(message_reason_word(REASON_END), "unknown");
	ck_assert_str_eq(message_reason_word((enum reason)255), "unknown");
	ck_assert_str_eq(message_kind_word(MESSAGE_HISTOGRAM), "histogram");
	ck_assert_str_eq(message_kind_word((enum message_kind)9), "?");
	ck_assert_str_eq(message_merge_word(MESSAGE_EACH), "each");
	ck_assert_str_eq(message_merge_word((enum message_merge)9), "?");
}
END_TEST

START_TEST(the_first_reason_stays)
{
	struct refusal r = { 0 };

	ck_assert_uint_eq(refuse(&r, REASON_TYPE, "the %s", "first"), REASON_TYPE);
	ck_assert_uint_eq(refuse(&r, REASON_NAME, "the second"), REASON_NAME);
	ck_assert_uint_eq(r.reason, REASON_TYPE);
	ck_assert_str_eq(r.text, "the first");
	ck_assert_uint_eq(refuse(NULL, REASON_CELL, "nobody asks"), REASON_CELL);
}
END_TEST

START_TEST(a_long_reason_is_cut)
{
	struct refusal r = { 0 };

	refuse(&r, REASON_NAME, "%0*d", 1000, 7);
	ck_assert_uint_eq(strlen(r.text), sizeof(r.text) - 1);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("message_fields");
	TCase *t = tcase_create("fields");
	int n = (int)(sizeof(impossible) / sizeof(impossible[0]));

	tcase_add_unchecked_fixture(t, golden_open, golden_close);
	tcase_add_test(t, fields_of_a_definition_are_found);
	tcase_add_test(t, bounds_are_read_at_any_alignment);
	tcase_add_test(t, a_child_has_as_many_cells_as_its_shape_needs);
	tcase_add_test(t, another_version_is_told_in_words);
	tcase_add_test(t, an_error_of_another_version_can_be_read);
	tcase_add_test(t, a_type_that_there_is_not_is_refused);
	tcase_add_test(t, every_type_has_the_name_that_the_page_gives_it);
	tcase_add_test(t, only_bytes_with_the_magic_are_binary);
	tcase_add_loop_test(t, what_cannot_be_is_refused, 0, n);
	tcase_add_test(t, a_metric_has_at_most_so_many_labels_and_bounds);
	tcase_add_test(t, more_labels_or_bounds_than_there_can_be_are_refused);
	tcase_add_test(t, a_level_or_a_child_beyond_the_format_is_not_written);
	tcase_add_test(t, a_level_of_four_names_is_refused);
	tcase_add_test(t, a_hello_without_a_ticket_has_zeros_there);
	tcase_add_test(t, an_update_without_records_is_a_message);
	tcase_add_test(t, the_page_lists_the_reasons_and_their_numbers);
	tcase_add_test(t, a_number_without_a_word_is_unknown);
	tcase_add_test(t, the_first_reason_stays);
	tcase_add_test(t, a_long_reason_is_cut);
	suite_add_tcase(s, t);
	return s;
}

int
main(void)
{
	return suite_run(suite());
}
