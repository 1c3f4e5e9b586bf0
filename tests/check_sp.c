/* SPDX-License-Identifier: Apache-2.0 */
/* SP's header, frames and backtraces, and what an address is. */
#include <stdlib.h>
#include <string.h>

#include "sp.h"
#include "suite.h"

START_TEST(a_header_names_its_protocol)
{
	static const enum sp_protocol protocols[] = { SP_REQ, SP_REP, SP_PUSH, SP_PULL };
	uint8_t bytes[SP_HEADER_BYTES];

	for (size_t i = 0; i < 4; i++) {
		sp_put_header(bytes, protocols[i]);
		ck_assert_int_eq(sp_get_header(bytes), (int)protocols[i]);
	}
}
END_TEST

START_TEST(a_header_of_any_protocol_is_told_by_its_number)
{
	uint8_t bytes[SP_HEADER_BYTES];

	sp_put_header(bytes, SP_REQ);
	bytes[4] = 0xff;
	bytes[5] = 0xfe;
	ck_assert_int_eq(sp_get_header(bytes), 0xfffe);
	bytes[4] = bytes[5] = 0;
	ck_assert_int_eq(sp_get_header(bytes), 0);
}
END_TEST

START_TEST(bytes_that_are_no_header_are_refused)
{
	static const size_t fixed[] = { 0, 1, 2, 3, 6, 7 };
	uint8_t bytes[SP_HEADER_BYTES];

	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
		for (unsigned flip = 1; flip < 256; flip++) {
			sp_put_header(bytes, SP_REQ);
			bytes[fixed[i]] ^= (uint8_t)flip;
			ck_assert_int_eq(sp_get_header(bytes), -1);
		}
	ck_assert_int_eq(sp_get_header((const uint8_t *)"GET / HT"), -1);
}
END_TEST

START_TEST(a_frame_carries_any_length)
{
	static const uint64_t lengths[] = { 0, 1, 255, 256, 0x0102030405060708, INT64_MAX,
		(uint64_t)1 << 60, UINT64_MAX };
	uint8_t bytes[SP_FRAME_BYTES];
	uint64_t n;

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		sp_put_frame(bytes, lengths[i]);
		n = 1;
		ck_assert_int_eq(sp_get_frame(bytes, &n), 0);
		ck_assert_uint_eq(n, lengths[i]);
	}
	sp_put_frame(bytes, 0x0102030405060708);
	ck_assert_mem_eq(bytes, "\1\1\2\3\4\5\6\7\10", SP_FRAME_BYTES);
}
END_TEST

START_TEST(a_frame_of_another_type_is_refused)
{
	uint8_t bytes[SP_FRAME_BYTES];
	uint64_t n = 4711;

	for (unsigned type = 0; type < 256; type++) {
		sp_put_frame(bytes, 5);
		bytes[0] = (uint8_t)type;
		ck_assert_int_eq(
		    sp_get_frame(bytes, &n), type == SP_FRAME_MESSAGE ? 0 : -1);
		ck_assert_uint_eq(n, type < SP_FRAME_MESSAGE ? 4711 : 5);
	}
}
END_TEST

START_TEST(a_request_id_always_has_its_top_bit)
{
	uint8_t bytes[4];

	sp_put_request_id(bytes, 0x01020304);
	ck_assert_mem_eq(bytes, "\x81\x02\x03\x04", 4);
	sp_put_request_id(bytes, 0xffffffff);
	ck_assert_mem_eq(bytes, "\xff\xff\xff\xff", 4);
	sp_put_request_id(bytes, 0);
	ck_assert_mem_eq(bytes, "\x80\0\0\0", 4);
}
END_TEST

/* words without the top bit, then one with it, then a message of four bytes whose first
 * has its top bit set too. */
START_TEST(a_backtrace_ends_at_the_first_word_with_its_top_bit)
{
	size_t devices = (size_t)_i;
	uint8_t *bytes = calloc(devices + 2, 4);

	ck_assert_ptr_nonnull(bytes);
	for (size_t i = 0; i < devices; i++)
		memcpy(bytes + 4 * i, "\x7f\xff\xff\xff", 4);
	sp_put_request_id(bytes + 4 * devices, 1);
	bytes[4 * (devices + 1)] = 0xff;
	ck_assert_uint_eq(sp_backtrace_bytes(bytes, 4 * (devices + 2)),
	    devices < SP_BACKTRACE_WORDS ? 4 * (devices + 1) : 0);
	/* The message may be empty; a word that is cut is none. */
	ck_assert_uint_eq(sp_backtrace_bytes(bytes, 4 * (devices + 1)),
	    devices < SP_BACKTRACE_WORDS ? 4 * (devices + 1) : 0);
	for (size_t cut = 1; cut <= 4; cut++)
		ck_assert_uint_eq(sp_backtrace_bytes(bytes, 4 * (devices + 1) - cut), 0);
	free(bytes);
}
END_TEST

START_TEST(a_payload_without_a_request_id_has_no_backtrace)
{
	static const uint8_t zeros[64] = { 0 };

	for (size_t n = 0; n <= sizeof(zeros); n++)
		ck_assert_uint_eq(sp_backtrace_bytes(zeros, n), 0);
	ck_assert_uint_eq(sp_backtrace_bytes((const uint8_t *)"{\"metrics\":[]}", 14), 0);
}
END_TEST

START_TEST(an_address_is_ipc_and_an_absolute_path)
{
	static const struct {
		const char *address;
		const char *path;
	} rows[] = {
		{ "ipc:///run/dynamo-metricsd/ingest.ipc",
		    "/run/dynamo-metricsd/ingest.ipc" },
		{ "ipc:///x", "/x" },
		{ "", NULL },
		{ "ipc", NULL },
		{ "ipc://", NULL },
		{ "ipc://x", NULL },
		{ "ipc://@abstract", NULL },
		{ "ipc:/run/x", NULL },
		{ "IPC:///run/x", NULL },
		{ "tcp://127.0.0.1:5555", NULL },
		{ "/run/dynamo-metricsd/ingest.ipc", NULL },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].path)
			ck_assert_str_eq(sp_ipc_path(rows[i].address), rows[i].path);
		else
			ck_assert_ptr_null(sp_ipc_path(rows[i].address));
}
END_TEST

START_TEST(a_path_fits_in_a_socket_address)
{
	char address[128];

	memset(address, 'x', sizeof(address));
	memcpy(address, "ipc:///", 7);
	address[6 + 107] = '\0';
	ck_assert_uint_eq(strlen(sp_ipc_path(address)), 107);
	address[6 + 107] = 'x';
	address[6 + 108] = '\0';
	ck_assert_ptr_null(sp_ipc_path(address));
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("sp");
	TCase *t = tcase_create("sp");

	tcase_add_test(t, a_header_names_its_protocol);
	tcase_add_test(t, a_header_of_any_protocol_is_told_by_its_number);
	tcase_add_test(t, bytes_that_are_no_header_are_refused);
	tcase_add_test(t, a_frame_carries_any_length);
	tcase_add_test(t, a_frame_of_another_type_is_refused);
	tcase_add_test(t, a_request_id_always_has_its_top_bit);
	tcase_add_loop_test(
	    t, a_backtrace_ends_at_the_first_word_with_its_top_bit, 0, 10);
	tcase_add_test(t, a_payload_without_a_request_id_has_no_backtrace);
	tcase_add_test(t, an_address_is_ipc_and_an_absolute_path);
	tcase_add_test(t, a_path_fits_in_a_socket_address);
	suite_add_tcase(s, t);
	return s;
}

int
main(void)
{
	return suite_run(suite());
}
