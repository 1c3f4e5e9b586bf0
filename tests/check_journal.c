/* SPDX-License-Identifier: Apache-2.0 */
/* Records of the state's files: what is written is read, and nothing else is. */
#include <stdlib.h>

#include "failing.h"
#include "journal.h"
#include "suite.h"

static struct journal *j;
static struct strbuf file;

static void
setup(void)
{
	j = journal_new();
	file = STRBUF_EMPTY;
	ck_assert_ptr_nonnull(j);
}

static void
teardown(void)
{
	journal_free(j);
	strbuf_free(&file);
}

/* Memory of exactly those bytes, so that a sanitizer sees a read past it. */
static uint8_t *
exactly(const void *bytes, size_t n)
{
	uint8_t *copy = malloc(n ? n : 1);

	ck_assert_ptr_nonnull(copy);
	if (n)
		memcpy(copy, bytes, n);
	return copy;
}

static const struct journal_head head = { .store = 0x1122334455667788U,
	.generation = 7,
	.first = 3,
	.secret = "0123456789abcde",
	.boot = "edcba9876543210",
	.pid_namespace = 4026531836U,
	.offset_ms = -5,
	.clock_ms = 123456,
	.unix_ms = 1700000000123U };

/* A head, three records and a seal. */
static void
write_file(void)
{
	const void *bytes;
	size_t n;

	journal_put_head(&file, &head);
	journal_add(j, JOURNAL_TIME, "abc", 3);
	journal_add(j, JOURNAL_BOOT, NULL, 0);
	journal_begin(j, JOURNAL_TYPE);
	journal_put_u8(j, 1);
	journal_put_u32(j, 2);
	journal_put_u64(j, 3);
	journal_put_text(j, wire_text("four"));
	journal_put_bytes(j, "5", 1);
	journal_end(j);
	bytes = journal_bytes(j, &n);
	strbuf_add(&file, bytes, n);
	journal_put_seal(&file);
	ck_assert(!file.failed && !journal_failed(j));
}

/* How many records are read of n bytes, and up to where they are good. */
static size_t
count(const void *bytes, size_t n, size_t *ret_good)
{
	uint8_t *copy = exactly(bytes, n);
	struct journal_reader r = { copy, n, 0 };
	struct journal_record record;
	size_t records = 0;

	while (journal_next(&r, &record)) {
		ck_assert(record.body >= copy);
		ck_assert_uint_le((size_t)(record.body - copy) + record.bytes, n);
		records++;
	}
	ck_assert(!journal_next(&r, &record));
	*ret_good = r.good;
	free(copy);
	return records;
}

/* Where each record of the file ends. */
static size_t
boundaries(size_t ret[8])
{
	struct journal_reader r = { (const uint8_t *)file.at, file.bytes, 0 };
	struct journal_record record;
	size_t n = 0;

	while (journal_next(&r, &record))
		ret[n++] = r.good;
	return n;
}

/* ---- What is written --------------------------------------------------- */

START_TEST(records_are_read_as_they_were_written)
{
	struct journal_reader r;
	struct journal_record record;
	struct journal_head read;
	struct wire_reader body;

	write_file();
	r = (struct journal_reader){ (const uint8_t *)file.at, file.bytes, 0 };
	ck_assert(journal_next(&r, &record));
	ck_assert_int_eq(journal_get_head(&record, &read), JOURNAL_OK);
	ck_assert(journal_next(&r, &record));
	ck_assert_uint_eq(record.type, JOURNAL_TIME);
	ck_assert_uint_eq(record.bytes, 3);
	ck_assert_mem_eq(record.body, "abc", 3);
	ck_assert(journal_next(&r, &record));
	ck_assert_uint_eq(record.type, JOURNAL_BOOT);
	ck_assert_uint_eq(record.bytes, 0);
	ck_assert(journal_next(&r, &record));
	wire_reader_init(&body, record.body, record.bytes);
	ck_assert_uint_eq(wire_get_u8(&body), 1);
	ck_assert_uint_eq(wire_get_u32(&body), 2);
	ck_assert_uint_eq(wire_get_u64(&body), 3);
	ck_assert(wire_text_is(wire_get_long_text(&body), "four"));
	ck_assert_mem_eq(wire_get_bytes(&body, 1), "5", 1);
	ck_assert_uint_eq(wire_left(&body), 0);
	ck_assert(journal_next(&r, &record));
	ck_assert_uint_eq(record.type, JOURNAL_SEAL);
	ck_assert(!journal_next(&r, &record));
	ck_assert_uint_eq(r.good, file.bytes);
}
END_TEST

START_TEST(a_head_keeps_all_that_it_says)
{
	struct journal_reader r;
	struct journal_record record;
	struct journal_head read;

	journal_put_head(&file, &head);
	r = (struct journal_reader){ (const uint8_t *)file.at, file.bytes, 0 };
	ck_assert(journal_next(&r, &record));
	ck_assert_int_eq(journal_get_head(&record, &read), JOURNAL_OK);
	ck_assert_uint_eq(read.format, JOURNAL_FORMAT);
	ck_assert_uint_eq(read.store, head.store);
	ck_assert_uint_eq(read.generation, head.generation);
	ck_assert_uint_eq(read.first, head.first);
	ck_assert_mem_eq(read.secret, head.secret, sizeof(head.secret));
	ck_assert_mem_eq(read.boot, head.boot, sizeof(head.boot));
	ck_assert_uint_eq(read.pid_namespace, head.pid_namespace);
	ck_assert_int_eq(read.offset_ms, head.offset_ms);
	ck_assert_uint_eq(read.clock_ms, head.clock_ms);
	ck_assert_uint_eq(read.unix_ms, head.unix_ms);
}
END_TEST

/* The bytes on the disk are a contract with the next version. */
START_TEST(the_bytes_of_a_record_do_not_change)
{
	static const uint8_t expected[] = { 3, 0, 0, 0, 0x33, 0x5e, 0x6a, 0x7c, 3, 'a',
		'b', 'c' };
	const void *bytes;
	size_t n;

	journal_add(j, JOURNAL_TIME, "abc", 3);
	bytes = journal_bytes(j, &n);
	ck_assert_uint_eq(n, sizeof(expected));
	ck_assert_mem_eq(bytes, expected, n);
}
END_TEST

START_TEST(a_record_that_is_not_ended_is_not_there)
{
	const void *bytes;
	size_t n, before;

	journal_add(j, JOURNAL_TIME, "abc", 3);
	journal_bytes(j, &before);
	journal_begin(j, JOURNAL_JSON);
	journal_put_u64(j, 1);
	journal_bytes(j, &n);
	ck_assert_uint_eq(n, before);
	journal_cut(j, before);
	journal_add(j, JOURNAL_FOLD, "d", 1);
	bytes = journal_bytes(j, &n);
	ck_assert_uint_eq(count(bytes, n, &before), 2);
}
END_TEST

START_TEST(a_failure_stays_until_it_is_cleared)
{
	size_t n;

	journal_fail(j);
	journal_add(j, JOURNAL_TIME, "abc", 3);
	ck_assert(journal_failed(j));
	journal_bytes(j, &n);
	ck_assert_uint_eq(n, 0);
	journal_clear(j);
	ck_assert(!journal_failed(j));
	journal_add(j, JOURNAL_TIME, "abc", 3);
	journal_bytes(j, &n);
	ck_assert_uint_gt(n, 0);
}
END_TEST

START_TEST(without_memory_a_journal_fails_and_works_again)
{
	uint8_t body[1000] = { 0 };
	size_t n;

	for (size_t i = 0; failing_more(i); i++) {
		bool refused;

		journal_free(j);
		j = journal_new();
		failing_after(i);
		for (int k = 0; k < 100; k++)
			journal_add(j, JOURNAL_UPDATE, body, sizeof(body));
		refused = failing_end();
		ck_assert_int_eq(journal_failed(j), refused);
		journal_clear(j);
		journal_add(j, JOURNAL_UPDATE, body, sizeof(body));
		journal_bytes(j, &n);
		ck_assert(!journal_failed(j));
		ck_assert_uint_eq(n, JOURNAL_FRAME_BYTES + sizeof(body));
	}
}
END_TEST

/* ---- What is damaged ---------------------------------------------------- */

START_TEST(a_torn_tail_ends_before_its_record_wherever_it_is_torn)
{
	size_t end[8], records, good;

	write_file();
	records = boundaries(end);
	for (size_t n = 0; n <= file.bytes; n++) {
		size_t whole = 0;

		while (whole < records && end[whole] <= n)
			whole++;
		ck_assert_uint_eq(count(file.at, n, &good), whole);
		ck_assert_uint_eq(good, whole ? end[whole - 1] : 0);
	}
}
END_TEST

START_TEST(one_flipped_bit_ends_the_file_before_its_record)
{
	size_t end[8], records, good;

	write_file();
	records = boundaries(end);
	for (size_t bit = 0; bit < 8 * file.bytes; bit++) {
		size_t hit = 0;

		while (end[hit] <= bit / 8)
			hit++;
		file.at[bit / 8] ^= (char)(1 << bit % 8);
		ck_assert_uint_eq(count(file.at, file.bytes, &good), hit);
		ck_assert_uint_eq(good, hit ? end[hit - 1] : 0);
		file.at[bit / 8] ^= (char)(1 << bit % 8);
	}
	ck_assert_uint_eq(count(file.at, file.bytes, &good), records);
}
END_TEST

START_TEST(zeros_behind_the_last_record_are_no_records)
{
	uint8_t zeros[4096] = { 0 };
	size_t end[8], good, records;

	write_file();
	records = boundaries(end);
	strbuf_add(&file, zeros, sizeof(zeros));
	ck_assert_uint_eq(count(file.at, file.bytes, &good), records);
	ck_assert_uint_eq(good, end[records - 1]);
}
END_TEST

static const uint32_t lengths[] = { 1, 12, 0x7fffffff, 0x80000000, 0xfffffff6, 0xfffffff7,
	0xffffffff };

START_TEST(a_length_past_the_end_is_refused)
{
	uint8_t bytes[JOURNAL_FRAME_BYTES] = { 0 };
	size_t good;

	wire_store_u32(bytes, lengths[_i]);
	bytes[JOURNAL_FRAME_BYTES - 1] = JOURNAL_TIME;
	ck_assert_uint_eq(count(bytes, sizeof(bytes), &good), 0);
}
END_TEST

/* ---- As much as is worth reading ------------------------------------------- */

static bool
skim(size_t n, size_t *ret_passed)
{
	uint8_t *copy = exactly(file.at, n);
	struct journal_reader r = { .bytes = copy, .n = n };
	bool more = journal_skim(&r);

	*ret_passed = r.good;
	free(copy);
	return more;
}

START_TEST(whatever_is_cut_of_records_may_have_more_behind_it)
{
	size_t passed;

	journal_put_head(&file, &head);
	journal_put_seal(&file);
	for (size_t n = 0; n <= file.bytes; n++)
		ck_assert(skim(n, &passed));
	ck_assert_uint_eq(passed, file.bytes);
}
END_TEST

START_TEST(what_was_never_written_has_no_records_behind_it)
{
	static const uint8_t hole[64];
	size_t records, passed;

	journal_put_head(&file, &head);
	records = file.bytes;
	strbuf_add(&file, hole, sizeof(hole));
	ck_assert(!skim(file.bytes, &passed));
	ck_assert_uint_eq(passed, records);
}
END_TEST

START_TEST(a_length_that_no_record_has_ends_it)
{
	uint8_t frame[JOURNAL_FRAME_BYTES] = { 0 };
	size_t passed;

	frame[JOURNAL_FRAME_BYTES - 1] = JOURNAL_UPDATE;
	wire_store_u32(frame, JOURNAL_RECORD_MOST);
	strbuf_add(&file, frame, sizeof(frame));
	ck_assert(skim(file.bytes, &passed));
	wire_store_u32((uint8_t *)file.at, JOURNAL_RECORD_MOST + 1);
	ck_assert(!skim(file.bytes, &passed));
}
END_TEST

/* ---- Heads ---------------------------------------------------------------- */

/* The body of a head as it is written. */
static size_t
head_body(uint8_t ret[256])
{
	struct journal_reader r;
	struct journal_record record;

	journal_put_head(&file, &head);
	r = (struct journal_reader){ (const uint8_t *)file.at, file.bytes, 0 };
	ck_assert(journal_next(&r, &record));
	ck_assert_uint_le(record.bytes, 256);
	memcpy(ret, record.body, record.bytes);
	return record.bytes;
}

static enum journal_verdict
verdict(const uint8_t *body, size_t n, struct journal_head *ret)
{
	uint8_t *copy = exactly(body, n);
	struct journal_record record = { JOURNAL_HEAD, copy, n };
	enum journal_verdict v = journal_get_head(&record, ret);

	free(copy);
	return v;
}

START_TEST(another_format_is_told_apart_by_its_number)
{
	struct journal_head ret = { .store = 5 };
	uint8_t body[256];
	size_t n = head_body(body);

	wire_store_u32(body + 8, JOURNAL_FORMAT + 1);
	ck_assert_int_eq(verdict(body, n, &ret), JOURNAL_NEWER);
	ck_assert_uint_eq(ret.format, JOURNAL_FORMAT + 1);
	/* However long its head is. */
	ck_assert_int_eq(verdict(body, 12, &ret), JOURNAL_NEWER);
	wire_store_u32(body + 8, JOURNAL_FORMAT - 1);
	ck_assert_int_eq(verdict(body, n, &ret), JOURNAL_OLDER);
	ck_assert_uint_eq(ret.format, JOURNAL_FORMAT - 1);
	ck_assert_uint_eq(ret.store, 5);
}
END_TEST

START_TEST(a_head_of_another_length_is_damaged)
{
	struct journal_head ret = { .store = 5 };
	uint8_t body[256] = { 0 };
	size_t n = head_body(body);

	for (size_t i = 12; i < n; i++)
		ck_assert_int_eq(verdict(body, i, &ret), JOURNAL_DAMAGED);
	ck_assert_int_eq(verdict(body, n + 1, &ret), JOURNAL_DAMAGED);
	ck_assert_uint_eq(ret.store, 5);
	ck_assert_int_eq(verdict(body, n, &ret), JOURNAL_OK);
}
END_TEST

START_TEST(what_has_not_the_magic_is_foreign)
{
	struct journal_head ret;
	uint8_t body[256];
	size_t n = head_body(body);

	for (size_t i = 0; i < 12; i++)
		ck_assert_int_eq(verdict(body, i, &ret), JOURNAL_FOREIGN);
	for (size_t i = 0; i < 8; i++) {
		body[i] ^= 1;
		ck_assert_int_eq(verdict(body, n, &ret), JOURNAL_FOREIGN);
		body[i] ^= 1;
	}
}
END_TEST

START_TEST(a_head_of_another_kind_of_file_is_foreign)
{
	struct journal_reader r;
	struct journal_record record;
	struct journal_head ret;

	journal_put_head_of(&file, JOURNAL_TYPE, &head);
	r = (struct journal_reader){ (const uint8_t *)file.at, file.bytes, 0 };
	ck_assert(journal_next(&r, &record));
	ck_assert_int_eq(journal_get_head(&record, &ret), JOURNAL_FOREIGN);
	ck_assert_int_eq(journal_get_head_of(&record, JOURNAL_TYPE, &ret), JOURNAL_OK);
}
END_TEST

START_TEST(what_is_no_state_at_all_is_refused)
{
	static const char *const texts[] = { "", "x", "{\"ok\":true}\n",
		"# HELP dynamo_c c\n", "\177ELF\2\1\1 and more of it" };
	size_t good;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		ck_assert_uint_eq(count(texts[i], strlen(texts[i]), &good), 0);
}
END_TEST

#define ADD(test) tcase_add_test(c, test)

int
main(void)
{
	Suite *suite = suite_create("journal");
	TCase *c = tcase_create("written");

	tcase_add_checked_fixture(c, setup, teardown);
	ADD(records_are_read_as_they_were_written);
	ADD(a_head_keeps_all_that_it_says);
	ADD(the_bytes_of_a_record_do_not_change);
	ADD(a_record_that_is_not_ended_is_not_there);
	ADD(a_failure_stays_until_it_is_cleared);
	ADD(without_memory_a_journal_fails_and_works_again);
	suite_add_tcase(suite, c);

	c = tcase_create("damaged");
	tcase_add_checked_fixture(c, setup, teardown);
	ADD(a_torn_tail_ends_before_its_record_wherever_it_is_torn);
	ADD(one_flipped_bit_ends_the_file_before_its_record);
	ADD(zeros_behind_the_last_record_are_no_records);
	tcase_add_loop_test(c, a_length_past_the_end_is_refused, 0,
	    (int)(sizeof(lengths) / sizeof(lengths[0])));
	ADD(what_is_no_state_at_all_is_refused);
	ADD(whatever_is_cut_of_records_may_have_more_behind_it);
	ADD(what_was_never_written_has_no_records_behind_it);
	ADD(a_length_that_no_record_has_ends_it);
	suite_add_tcase(suite, c);

	c = tcase_create("heads");
	tcase_add_checked_fixture(c, setup, teardown);
	ADD(another_format_is_told_apart_by_its_number);
	ADD(a_head_of_another_length_is_damaged);
	ADD(what_has_not_the_magic_is_foreign);
	ADD(a_head_of_another_kind_of_file_is_foreign);
	suite_add_tcase(suite, c);
	return suite_run(suite);
}
