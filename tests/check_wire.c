/* SPDX-License-Identifier: Apache-2.0 */
/* The bounded reader and writer: what fits, what does not, and that errors stick. */
#include <math.h>
#include <stdlib.h>

#include "wire.h"
#include "suite.h"

/* ---- Reading ----------------------------------------------------------- */

START_TEST(numbers_are_little_endian)
{
	static const uint8_t bytes[] = { 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08,
		0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f };
	struct wire_reader r;

	wire_reader_init(&r, bytes, sizeof(bytes));
	ck_assert_uint_eq(wire_get_u8(&r), 0x01);
	ck_assert_uint_eq(wire_get_u16(&r), 0x0302);
	ck_assert_uint_eq(wire_get_u32(&r), 0x07060504);
	ck_assert_uint_eq(wire_get_u64(&r), 0x0f0e0d0c0b0a0908);
	ck_assert_uint_eq(wire_left(&r), 0);
	ck_assert(!r.failed);
}
END_TEST

START_TEST(a_number_that_is_not_all_there_reads_as_zero)
{
	static const uint8_t bytes[7] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

	for (size_t n = 0; n < 8; n++) {
		struct wire_reader r;

		wire_reader_init(&r, bytes, n);
		ck_assert_uint_eq(wire_get_u64(&r), 0);
		ck_assert(r.failed);
		wire_reader_init(&r, bytes, n < 4 ? n : 3);
		ck_assert_uint_eq(wire_get_u32(&r), 0);
		ck_assert(r.failed);
		wire_reader_init(&r, bytes, n < 2 ? n : 1);
		ck_assert_uint_eq(wire_get_u16(&r), 0);
		ck_assert(r.failed);
	}
}
END_TEST

START_TEST(after_an_error_a_reader_gives_nothing_more)
{
	static const uint8_t bytes[] = { 1, 2, 3 };
	struct wire_reader r;

	wire_reader_init(&r, bytes, sizeof(bytes));
	ck_assert_uint_eq(wire_get_u32(&r), 0);
	ck_assert_uint_eq(wire_left(&r), 0);
	ck_assert_uint_eq(wire_get_u8(&r), 0);
	ck_assert_uint_eq(wire_get_u16(&r), 0);
	ck_assert_uint_eq(wire_get_u64(&r), 0);
	ck_assert_ptr_null(wire_get_bytes(&r, 1));
	ck_assert_ptr_null(wire_get_bytes(&r, 0));
	ck_assert_uint_eq(wire_get_text(&r).bytes, 0);
	ck_assert_uint_eq(wire_get_long_text(&r).bytes, 0);
	ck_assert(r.failed);
}
END_TEST

START_TEST(no_length_reads_past_the_end)
{
	static const uint8_t bytes[4] = { 0 };
	static const size_t lengths[] = { 5, 0x100000000, SIZE_MAX - 3, SIZE_MAX };
	struct wire_reader r;

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		wire_reader_init(&r, bytes, sizeof(bytes));
		ck_assert_ptr_null(wire_get_bytes(&r, lengths[i]));
		ck_assert(r.failed);
	}
	wire_reader_init(&r, bytes, sizeof(bytes));
	ck_assert_ptr_eq(wire_get_bytes(&r, 4), bytes);
	ck_assert_ptr_nonnull(wire_get_bytes(&r, 0));
	ck_assert(!r.failed);
}
END_TEST

START_TEST(an_empty_reader_is_at_its_end)
{
	struct wire_reader r;

	wire_reader_init(&r, NULL, 0);
	ck_assert_uint_eq(wire_left(&r), 0);
	ck_assert(!r.failed);
	wire_get_u8(&r);
	ck_assert(r.failed);
}
END_TEST

START_TEST(a_text_lies_where_it_was_read)
{
	static const uint8_t bytes[] = "\x02\x00hi\x03\x00\x00\x00you";
	struct wire_reader r;
	struct wire_text t;

	wire_reader_init(&r, bytes, sizeof(bytes) - 1);
	t = wire_get_text(&r);
	ck_assert_ptr_eq(t.at, (const char *)bytes + 2);
	ck_assert(wire_text_is(t, "hi"));
	ck_assert(wire_text_is(wire_get_long_text(&r), "you"));
	ck_assert_uint_eq(wire_left(&r), 0);
	ck_assert(!r.failed);
}
END_TEST

START_TEST(a_text_that_is_not_all_there_is_empty)
{
	static const uint8_t text[] = "\x05\x00hallo";
	static const uint8_t longer[] = "\x05\x00\x00\x00hallo";
	struct wire_reader r;

	for (size_t n = 0; n < sizeof(text) - 1; n++) {
		wire_reader_init(&r, text, n);
		ck_assert_uint_eq(wire_get_text(&r).bytes, 0);
		ck_assert(r.failed);
	}
	for (size_t n = 0; n < sizeof(longer) - 1; n++) {
		wire_reader_init(&r, longer, n);
		ck_assert_uint_eq(wire_get_long_text(&r).bytes, 0);
		ck_assert(r.failed);
	}
}
END_TEST

/* ---- Writing ----------------------------------------------------------- */

static void
put_all(struct wire_writer *w)
{
	wire_put_u8(w, 1);
	wire_put_u16(w, 0x0302);
	wire_put_u32(w, 0x07060504);
	wire_put_u64(w, 0x0f0e0d0c0b0a0908);
	wire_put_bytes(w, "xyz", 3);
	wire_put_text(w, wire_text("hi"));
	wire_put_long_text(w, wire_text("you"));
}

#define ALL	  "\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17xyz\2\0hi\3\0\0\0you"
#define ALL_BYTES (sizeof(ALL) - 1)

START_TEST(what_is_written_is_little_endian_too)
{
	uint8_t bytes[ALL_BYTES];
	struct wire_writer w;

	wire_writer_init(&w, bytes, sizeof(bytes));
	put_all(&w);
	ck_assert(!w.failed);
	ck_assert_uint_eq(w.bytes, ALL_BYTES);
	ck_assert_mem_eq(bytes, ALL, ALL_BYTES);
}
END_TEST

START_TEST(a_writer_never_writes_past_its_room)
{
	for (size_t room = 0; room < ALL_BYTES; room++) {
		uint8_t *bytes = malloc(room ? room : 1);
		struct wire_writer w;

		ck_assert_ptr_nonnull(bytes);
		wire_writer_init(&w, bytes, room);
		put_all(&w);
		ck_assert(w.failed);
		ck_assert_uint_le(w.bytes, room);
		ck_assert_mem_eq(bytes, ALL, w.bytes);
		free(bytes);
	}
}
END_TEST

START_TEST(after_an_error_a_writer_appends_nothing)
{
	uint8_t bytes[8];
	struct wire_writer w;

	wire_writer_init(&w, bytes, sizeof(bytes));
	wire_put_u32(&w, 1);
	wire_put_u64(&w, 2);
	ck_assert(w.failed);
	wire_put_u8(&w, 3);
	wire_put_bytes(&w, NULL, 0);
	wire_put_text(&w, wire_text(""));
	ck_assert_uint_eq(w.bytes, 4);
	wire_patch_u32(&w, 0, 0xffffffff);
	ck_assert_uint_eq(wire_load_u32(bytes), 1);
	ck_assert(w.failed);
}
END_TEST

START_TEST(a_text_is_as_long_as_its_length_can_say)
{
	static char text[65536];
	static uint8_t bytes[65536 + 8];
	struct wire_writer w;

	wire_writer_init(&w, bytes, sizeof(bytes));
	wire_put_text(&w, (struct wire_text){ text, 65535 });
	ck_assert(!w.failed);
	ck_assert_uint_eq(w.bytes, 2 + 65535);

	wire_writer_init(&w, bytes, sizeof(bytes));
	wire_put_text(&w, (struct wire_text){ text, 65536 });
	ck_assert(w.failed);
	ck_assert_uint_eq(w.bytes, 0);

	wire_writer_init(&w, bytes, sizeof(bytes));
	wire_put_long_text(&w, (struct wire_text){ text, 65536 });
	ck_assert(!w.failed);
	wire_writer_init(&w, bytes, sizeof(bytes));
	wire_put_long_text(&w, (struct wire_text){ text, (size_t)UINT32_MAX + 1 });
	ck_assert(w.failed);
	ck_assert_uint_eq(w.bytes, 0);
}
END_TEST

START_TEST(a_patch_stays_within_what_was_written)
{
	uint8_t bytes[8] = { 0 };
	struct wire_writer w;

	wire_writer_init(&w, bytes, sizeof(bytes));
	wire_put_u32(&w, 0);
	wire_put_u8(&w, 7);
	wire_patch_u32(&w, 0, 0x04030201);
	ck_assert_mem_eq(bytes, "\1\2\3\4\7", 5);
	wire_patch_u32(&w, 2, 0xffffffff);
	ck_assert_mem_eq(bytes, "\1\2\3\4\7\0\0\0", 8);
}
END_TEST

/* ---- Values ------------------------------------------------------------- */

START_TEST(doubles_keep_their_bits)
{
	static const uint64_t bits[] = { 0, 0x8000000000000000, 0x3ff0000000000000,
		0x7ff0000000000000, 0xfff0000000000000, 0x7ff8000000000000,
		0x7ff4deadbeef0001, 1, 0x7fefffffffffffff };

	for (size_t i = 0; i < sizeof(bits) / sizeof(bits[0]); i++)
		ck_assert_uint_eq(wire_bits(wire_double(bits[i])), bits[i]);
	ck_assert_double_eq(wire_double(0x3ff0000000000000), 1.0);
	ck_assert(isinf(wire_double(0x7ff0000000000000)));
}
END_TEST

START_TEST(numbers_are_loaded_and_stored_at_any_alignment)
{
	uint8_t bytes[16];

	for (size_t at = 0; at < 8; at++) {
		memset(bytes, 0xaa, sizeof(bytes));
		wire_store_u64(bytes + at, 0x0102030405060708);
		ck_assert_uint_eq(wire_load_u64(bytes + at), 0x0102030405060708);
		ck_assert_uint_eq(bytes[at], 8);
		ck_assert_uint_eq(bytes[at + 8], 0xaa);
		wire_store_u32(bytes + at, 0x0a0b0c0d);
		ck_assert_uint_eq(wire_load_u32(bytes + at), 0x0a0b0c0d);
	}
}
END_TEST

START_TEST(texts_are_compared_by_their_bytes)
{
	ck_assert(wire_text_is(wire_text("a"), "a"));
	ck_assert(!wire_text_is(wire_text("a"), "ab"));
	ck_assert(!wire_text_is(wire_text("ab"), "a"));
	ck_assert(wire_text_is((struct wire_text){ NULL, 0 }, ""));
	ck_assert(wire_text_equal((struct wire_text){ NULL, 0 }, wire_text("")));
	ck_assert(wire_text_equal(wire_text("x"), wire_text("x")));
	ck_assert(!wire_text_equal(
	    (struct wire_text){ "a\0b", 3 }, (struct wire_text){ "a\0c", 3 }));
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("wire");
	TCase *t = tcase_create("wire");

	tcase_add_test(t, numbers_are_little_endian);
	tcase_add_test(t, a_number_that_is_not_all_there_reads_as_zero);
	tcase_add_test(t, after_an_error_a_reader_gives_nothing_more);
	tcase_add_test(t, no_length_reads_past_the_end);
	tcase_add_test(t, an_empty_reader_is_at_its_end);
	tcase_add_test(t, a_text_lies_where_it_was_read);
	tcase_add_test(t, a_text_that_is_not_all_there_is_empty);
	tcase_add_test(t, what_is_written_is_little_endian_too);
	tcase_add_test(t, a_writer_never_writes_past_its_room);
	tcase_add_test(t, after_an_error_a_writer_appends_nothing);
	tcase_add_test(t, a_text_is_as_long_as_its_length_can_say);
	tcase_add_test(t, a_patch_stays_within_what_was_written);
	tcase_add_test(t, doubles_keep_their_bits);
	tcase_add_test(t, numbers_are_loaded_and_stored_at_any_alignment);
	tcase_add_test(t, texts_are_compared_by_their_bytes);
	suite_add_tcase(s, t);
	return s;
}

int
main(void)
{
	return suite_run(suite());
}
