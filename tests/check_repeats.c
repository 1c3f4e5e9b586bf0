/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known again, and for how long; and the deadlines that this and gauges rest on.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "deadlines.h"
#include "failing.h"
#include "repeats.h"
#include "suite.h"

static const uint8_t secret[REPEATS_SECRET_BYTES] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10,
	11, 12, 13, 14, 15 };

/* ---- Deadlines -------------------------------------------------------- */

START_TEST(what_is_due_comes_in_order_and_never_early)
{
	struct deadlines d = { .at = NULL };
	uint64_t due_ms[1001], last_ms = 0;
	uint32_t number;

	for (uint32_t i = 1; i <= 1000; i++) {
		due_ms[i] = (i * 7919U) % 100000;
		ck_assert(deadlines_reserve(&d));
		deadlines_add(&d, due_ms[i], i);
	}
	for (int n = 0; n < 1000; n++) {
		uint64_t next_ms = deadlines_next_ms(&d);

		ck_assert_uint_ge(next_ms, last_ms);
		if (next_ms > 0)
			ck_assert_uint_eq(deadlines_take(&d, next_ms - 1), 0);
		number = deadlines_take(&d, next_ms);
		ck_assert_uint_ne(number, 0);
		ck_assert_uint_le(due_ms[number], next_ms);
		ck_assert_uint_lt(next_ms, due_ms[number] + DEADLINES_TICK_MS);
		last_ms = next_ms;
	}
	ck_assert_uint_eq(deadlines_next_ms(&d), DEADLINES_NEVER);
	ck_assert_uint_eq(deadlines_take(&d, UINT64_MAX), 0);
	deadlines_free(&d);
}
END_TEST

static uint32_t position_of[301];

static void
note_position(void *owner, uint32_t number, uint32_t position)
{
	(void)owner;
	position_of[number] = position;
}

START_TEST(a_deadline_can_be_taken_out_from_anywhere)
{
	struct deadlines d = { .moved = note_position };
	uint32_t left = 300, number;

	for (uint32_t i = 1; i <= 300; i++) {
		ck_assert(deadlines_reserve(&d));
		deadlines_add(&d, (i * 131U) % 1009 * 100, i);
	}
	for (uint32_t i = 1; i <= 300; i += 2, left--) {
		ck_assert_uint_eq(d.at[position_of[i] - 1].number, i);
		deadlines_remove(&d, position_of[i]);
		ck_assert_uint_eq(position_of[i], 0);
	}
	for (uint32_t i = 2; i <= 300; i += 2)
		ck_assert_uint_eq(d.at[position_of[i] - 1].number, i);
	for (uint64_t before_ms = 0; d.n > 0; left--) {
		ck_assert_uint_ge(deadlines_next_ms(&d), before_ms);
		before_ms = deadlines_next_ms(&d);
		number = deadlines_take(&d, before_ms);
		ck_assert_uint_eq(number % 2, 0);
		ck_assert_uint_eq(position_of[number], 0);
	}
	ck_assert_uint_eq(left, 0);
	deadlines_free(&d);
}
END_TEST

/* ---- Hash ------------------------------------------------------------- */

START_TEST(the_hash_is_siphash_2_4_of_128_bits)
{
	/* of the messages {}, {0}, ... {0 to 14} under the key 0 to 15 */
	static const struct {
		size_t n;
		uint8_t hash[16];
	} rows[] = {
		{ 0, { 0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6, 0x6d, 0xf6, 0x72,
			 0x14, 0xc7, 0x55, 0x02, 0x93 } },
		{ 1, { 0xda, 0x87, 0xc1, 0xd8, 0x6b, 0x99, 0xaf, 0x44, 0x34, 0x76, 0x59,
			 0x11, 0x9b, 0x22, 0xfc, 0x45 } },
		{ 15, { 0x54, 0x93, 0xe9, 0x99, 0x33, 0xb0, 0xa8, 0x11, 0x7e, 0x08, 0xec,
			  0x0f, 0x97, 0xcf, 0xc3, 0xd9 } },
	};
	uint8_t message[16], hash[16];

	for (uint8_t i = 0; i < sizeof(message); i++)
		message[i] = i;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		repeats_hash(secret, message, rows[i].n, hash);
		ck_assert_mem_eq(hash, rows[i].hash, 16);
	}
}
END_TEST

/* ---- Repeats ---------------------------------------------------------- */

static struct repeats *r;

static void
setup(void)
{
	r = repeats_new(secret);
}

static void
teardown(void)
{
	repeats_free(r);
}

static struct repeats_key
by_id(uint32_t uid, const char *id, const char *payload)
{
	return repeats_key_of_id(r, uid, wire_text(id), payload, strlen(payload));
}

static struct repeats_key
by_request(uint64_t pid, uint64_t start, uint32_t request, const char *payload)
{
	struct repeats_request from = { pid, start, request };

	return repeats_key_of_request(r, &from, payload, strlen(payload));
}

static uint32_t
keep(const struct repeats_key *key, uint64_t until_ms, const char *answer)
{
	struct wire_text text = wire_text(answer ? answer : "");
	uint32_t number;

	ck_assert(repeats_take(r, 1000, key, &number));
	repeats_keep(r, number, until_ms, answer ? &text : NULL);
	return number;
}

START_TEST(a_key_is_found_until_its_time_is_over)
{
	struct repeats_key key = by_id(1, "a", "{}"), other = by_id(1, "b", "{}");

	ck_assert_uint_eq(repeats_find(r, &key), 0);
	keep(&key, 5000, NULL);
	ck_assert_uint_ne(repeats_find(r, &key), 0);
	ck_assert_uint_eq(repeats_find(r, &other), 0);
	repeats_expire(r, 4999, 100);
	ck_assert_uint_ne(repeats_find(r, &key), 0);
	repeats_expire(r, 5000, 100);
	ck_assert_uint_eq(repeats_find(r, &key), 0);
	ck_assert_uint_eq(repeats_count(r), 0);
}
END_TEST

START_TEST(an_id_is_its_users_own_and_of_one_content)
{
	struct repeats_key key = by_id(1, "a", "{}"), same = by_id(1, "a", "{}"),
			   content = by_id(1, "a", "{ }"), user = by_id(2, "a", "{}");
	uint32_t number = keep(&key, 1000, NULL);

	ck_assert_uint_eq(repeats_find(r, &same), number);
	ck_assert(repeats_is_same(r, number, &same));
	ck_assert_uint_eq(repeats_find(r, &content), number);
	ck_assert(!repeats_is_same(r, number, &content));
	ck_assert_uint_eq(repeats_find(r, &user), 0);
}
END_TEST

START_TEST(a_request_is_known_by_process_start_number_and_content)
{
	struct repeats_key key = by_request(7, 100, 1, "{}"), others[] = {
		by_request(8, 100, 1, "{}"),
		by_request(7, 101, 1, "{}"),
		by_request(7, 100, 2, "{}"),
		by_request(7, 100, 1, "{ }"),
	};
	uint32_t number = keep(&key, 1000, NULL);

	ck_assert_uint_eq(repeats_find(r, &key), number);
	ck_assert(repeats_is_same(r, number, &key));
	for (size_t i = 0; i < 4; i++)
		ck_assert_uint_eq(repeats_find(r, &others[i]), 0);
}
END_TEST

START_TEST(another_secret_makes_other_keys)
{
	static const uint8_t zeros[REPEATS_SECRET_BYTES];
	struct repeats_key key = by_id(1, "a", "{}"), other;
	struct repeats *r2 = repeats_new(zeros);

	other = repeats_key_of_id(r2, 1, wire_text("a"), "{}", 2);
	ck_assert_mem_ne(&key, &other, sizeof(key));
	repeats_free(r2);
}
END_TEST

START_TEST(the_first_answer_is_kept)
{
	static char longer[REPEATS_TEXT_BYTES + 2];
	struct repeats_key ok = by_id(1, "ok", ""), bad = by_id(1, "bad", ""),
			   lost = by_id(1, "lost", "");
	struct wire_text text;
	bool refused;

	memset(longer, 'x', sizeof(longer) - 1);
	keep(&ok, 1000, NULL);
	keep(&bad, 1000, "{\"ok\":false}");
	keep(&lost, 1000, longer);
	repeats_answer(r, repeats_find(r, &ok), &refused);
	ck_assert(!refused);
	text = repeats_answer(r, repeats_find(r, &bad), &refused);
	ck_assert(refused && wire_text_is(text, "{\"ok\":false}"));
	text = repeats_answer(r, repeats_find(r, &lost), &refused);
	ck_assert(refused && text.bytes == 0);
	repeats_expire(r, 1000, 3);
	ck_assert_uint_eq(repeats_count(r), 0);
}
END_TEST

START_TEST(a_key_that_is_given_back_was_never_there)
{
	struct repeats_key key = by_id(1, "a", "{}");
	uint32_t number;

	ck_assert(repeats_take(r, 1000, &key, &number));
	repeats_drop(r, number);
	ck_assert_uint_eq(repeats_find(r, &key), 0);
	ck_assert_uint_eq(repeats_count(r), 0);
}
END_TEST

START_TEST(many_keys_come_and_go_a_few_at_a_time)
{
	char id[16];

	for (uint32_t i = 0; i < 100000; i++) {
		struct repeats_key key;

		snprintf(id, sizeof(id), "%u", i);
		key = by_id(1, id, "");
		keep(&key, i / 10, NULL);
	}
	repeats_expire(r, 1000000, 300);
	ck_assert_uint_eq(repeats_count(r), 99700);
	repeats_expire(r, 5000, 100000);
	for (uint32_t i = 0; i < 100000; i++) {
		struct repeats_key key;

		snprintf(id, sizeof(id), "%u", i);
		key = by_id(1, id, "");
		/* of the first 300, some may be later ones of the same tick */
		if (i > 51000)
			ck_assert_uint_ne(repeats_find(r, &key), 0);
		else if (i <= 50000 && i > 1000)
			ck_assert_uint_eq(repeats_find(r, &key), 0);
	}
}
END_TEST

START_TEST(keys_that_come_and_go_need_no_more_memory)
{
	char id[16];

	for (uint32_t i = 0; i < 100000; i++) {
		struct repeats_key key;

		if (i == 1000)
			failing_after(0);
		snprintf(id, sizeof(id), "%u", i);
		key = by_id(1, id, "");
		keep(&key, 100 * i, NULL);
		repeats_expire(r, i < 100 ? 0 : 100 * (i - 100), 2);
	}
	ck_assert(!failing_end());
	ck_assert_uint_eq(failing_asked(), 0);
	ck_assert_uint_le(repeats_count(r), 101);
}
END_TEST

START_TEST(without_memory_nothing_is_kept_and_nothing_breaks)
{
	for (size_t n = 0; failing_more(n); n++) {
		struct repeats_key key;
		struct wire_text text = { "no", 2 };
		struct repeats *one;
		uint32_t number;

		failing_after(n);
		one = repeats_new(secret);
		if (one == NULL) {
			ck_assert(failing_end());
			continue;
		}
		key = repeats_key_of_id(one, 1, wire_text("a"), "", 0);
		if (repeats_take(one, 1000, &key, &number)) {
			repeats_keep(one, number, 1000, &text);
			ck_assert_uint_eq(repeats_find(one, &key), number);
		} else {
			ck_assert_uint_eq(repeats_count(one), 0);
			ck_assert_uint_eq(repeats_find(one, &key), 0);
		}
		failing_end();
		if (repeats_count(one) == 0)
			ck_assert(repeats_take(one, 1000, &key, &number));
		repeats_free(one);
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("repeats");
	TCase *c = tcase_create("repeats");

	suite_add_tcase(s, c);
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, what_is_due_comes_in_order_and_never_early);
	tcase_add_test(c, a_deadline_can_be_taken_out_from_anywhere);
	tcase_add_test(c, the_hash_is_siphash_2_4_of_128_bits);
	tcase_add_test(c, a_key_is_found_until_its_time_is_over);
	tcase_add_test(c, an_id_is_its_users_own_and_of_one_content);
	tcase_add_test(c, a_request_is_known_by_process_start_number_and_content);
	tcase_add_test(c, another_secret_makes_other_keys);
	tcase_add_test(c, the_first_answer_is_kept);
	tcase_add_test(c, a_key_that_is_given_back_was_never_there);
	tcase_add_test(c, many_keys_come_and_go_a_few_at_a_time);
	tcase_add_test(c, keys_that_come_and_go_need_no_more_memory);
	tcase_add_test(c, without_memory_nothing_is_kept_and_nothing_breaks);
	return suite_run(s);
}
