/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "arena.h"
#include "failing.h"
#include "suite.h"

/* Bytes that tell a piece from all others. */
static void
mark(const struct arena *a, uint32_t number, size_t bytes)
{
	memset(arena_at(a, number), (int)(number % 251), bytes);
}

static void
must_be_marked(const struct arena *a, uint32_t number, size_t bytes)
{
	const uint8_t *at = arena_at(a, number);
	bool same = true;

	for (size_t i = 0; i < bytes; i++)
		same = same && at[i] == number % 251;
	ck_assert(same);
}

static size_t
size_of(size_t i)
{
	return i * 37 % 3000;
}

static uint32_t
chunks_in_use(const struct arena *a)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < a->n_chunks; i++)
		n += a->chunk[i].at != NULL;
	return n;
}

START_TEST(pieces_of_all_sizes_stay_where_they_are)
{
	enum { N = 6000 };
	struct arena a = { 0 };
	uint32_t *number = calloc(N, sizeof(*number));

	for (size_t i = 0; i < N; i++) {
		number[i] = arena_new(&a, size_of(i));
		ck_assert_uint_ne(number[i], 0);
		ck_assert_uint_le(number[i], arena_last(&a));
		mark(&a, number[i], size_of(i));
	}
	for (size_t i = 0; i < N; i += 2)
		arena_release(&a, number[i]);
	for (size_t i = 0; i < N; i += 2) {
		number[i] = arena_new(&a, size_of(i));
		mark(&a, number[i], size_of(i));
	}
	for (size_t i = 0; i < N; i++)
		must_be_marked(&a, number[i], size_of(i));
	arena_free(&a);
	free(number);
}
END_TEST

START_TEST(the_first_piece_is_number_one)
{
	struct arena a = { 0 };

	ck_assert_uint_eq(arena_new(&a, 2), 1);
	arena_free(&a);
}
END_TEST

START_TEST(a_released_piece_is_given_to_the_next_of_its_size)
{
	struct arena a = { 0 };
	uint32_t first, second;

	first = arena_new(&a, 20);
	second = arena_new(&a, 24);
	ck_assert_uint_eq(second, first + 3);
	arena_release(&a, first);
	ck_assert_uint_ne(arena_new(&a, 25), first);
	ck_assert_uint_eq(arena_new(&a, 17), first);
	arena_free(&a);
}
END_TEST

START_TEST(a_piece_larger_than_all_sizes_has_memory_of_its_own)
{
	struct arena a = { 0 };
	const size_t large = 8 * (size_t)ARENA_WORDS + 5;
	uint32_t first = arena_new(&a, 8), number = arena_new(&a, large);

	ck_assert_uint_ne(number, 0);
	mark(&a, number, large);
	ck_assert_uint_ne(arena_new(&a, large), number);
	must_be_marked(&a, number, large);
	ck_assert_uint_eq(chunks_in_use(&a), 3);
	arena_release(&a, number);
	ck_assert_uint_eq(chunks_in_use(&a), 2);
	/* the place, but for its size, is anybody's */
	ck_assert_uint_eq(arena_new(&a, 100), number);
	arena_release(&a, first);
	arena_free(&a);
}
END_TEST

START_TEST(sizes_that_come_and_go_leave_no_memory_behind)
{
	enum { N = 3000 };
	struct arena a = { 0 };
	uint32_t *number = calloc(N, sizeof(*number));

	for (size_t size = 1; size < 1500; size += 50) {
		for (size_t i = 0; i < N; i++) {
			number[i] = arena_new(&a, size);
			ck_assert_uint_ne(number[i], 0);
		}
		/* as many in the first as in the last */
		ck_assert_uint_le(chunks_in_use(&a),
		    1 + N / (ARENA_WORDS / (uint32_t)((size + 7) / 8)));
		for (size_t i = 0; i < N; i++)
			arena_release(&a, number[i * 7 % N]);
		ck_assert_uint_eq(chunks_in_use(&a), 0);
	}
	arena_free(&a);
	free(number);
}
END_TEST

START_TEST(a_piece_without_memory_is_none_and_nothing_is_lost)
{
	static const size_t sizes[] = { 10, 100000 };
	struct arena a = { 0 };
	uint32_t kept = arena_new(&a, 300);

	mark(&a, kept, 300);
	for (size_t k = 0; k < 200; k++) {
		uint32_t number;

		failing_after(0);
		number = arena_new(&a, sizes[k % 2] * (k + 1));
		if (failing_end())
			ck_assert_uint_eq(number, 0);
		ck_assert_uint_ne(arena_new(&a, sizes[k % 2] * (k + 1)), 0);
		must_be_marked(&a, kept, 300);
	}
	arena_free(&a);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("arena");
	TCase *c = tcase_create("arena");

	suite_add_tcase(s, c);
	tcase_add_test(c, pieces_of_all_sizes_stay_where_they_are);
	tcase_add_test(c, the_first_piece_is_number_one);
	tcase_add_test(c, a_released_piece_is_given_to_the_next_of_its_size);
	tcase_add_test(c, a_piece_larger_than_all_sizes_has_memory_of_its_own);
	tcase_add_test(c, sizes_that_come_and_go_leave_no_memory_behind);
	tcase_add_test(c, a_piece_without_memory_is_none_and_nothing_is_lost);
	return suite_run(s);
}
