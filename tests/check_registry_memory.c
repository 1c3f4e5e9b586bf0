/* SPDX-License-Identifier: Apache-2.0 */
/* What a series takes of memory: counted by the allocator, without the strings of labels,
 * which are few here. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "registry_parts.h"
#include "suite.h"

/* Arrays that double are full then. */
#define SERIES 131072U
#define FIRST  2000U
#define BOUNDS 10

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define COUNTED false
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define COUNTED false
#else
#define COUNTED true
#endif
#else
#define COUNTED true
#endif

static size_t
bytes_in_use(void)
{
	struct mallinfo2 info = mallinfo2();

	return info.uordblks + info.hblkhd;
}

static struct registry *
registry_of(void)
{
	struct registry_limits limits = REGISTRY_DEFAULT_LIMITS;
	struct registry *r = registry_new(&limits, NULL);

	ck_assert_ptr_nonnull(r);
	return r;
}

/* A worker with a metric of this shape. */
static struct column *
worker_of(struct registry *r, enum message_kind kind, size_t n_bounds)
{
	struct message_metric m = { .kind = kind,
		.name = wire_text("m"),
		.level = { 2, { wire_text("ns"), wire_text("part") } },
		.n_variable = 3,
		.variable_name = { wire_text("a"), wire_text("b"), wire_text("c") } };
	struct column *c = registry_column_new(r, wire_text("w"));
	struct refusal why;
	uint8_t bounds[8 * BOUNDS];

	for (uint32_t i = 0; i < BOUNDS; i++)
		wire_store_u64(bounds + 8 * (size_t)i, wire_bits(i));
	m.bounds = bounds;
	m.n_bounds = n_bounds;
	ck_assert_int_eq(registry_define_metric(r, c, &m, &why), REASON_NONE);
	return c;
}

/* Series from one on; each label has 50 values. */
static void
define(struct registry *r, struct column *c, uint32_t from, uint32_t to)
{
	uint32_t cells = registry_cells_of(c->metric[0]->family);
	struct refusal why;

	for (uint32_t i = from; i < to; i++) {
		struct message_child child = { .cell = i * cells, .n_values = 3 };
		char text[3][8];

		for (uint32_t k = 0, rest = i; k < 3; k++, rest /= 50) {
			snprintf(text[k], sizeof(text[k]), "%u", rest % 50);
			child.value[k] = wire_text(text[k]);
		}
		ck_assert_int_eq(
		    registry_define_child(r, c, &child, NULL, &why), REASON_NONE);
	}
}

/* Of each series, behind the first ones, which bring what there is of anything but
 * series; *ret_again: of each that a second worker has, too. */
static double
measure(enum message_kind kind, size_t n_bounds, double *ret_again)
{
	struct registry *r = registry_of();
	struct column *c = worker_of(r, kind, n_bounds),
		      *d = worker_of(r, kind, n_bounds);
	size_t before, one;
	double bytes;

	define(r, c, 0, FIRST);
	define(r, d, 0, FIRST);
	before = bytes_in_use();
	define(r, c, FIRST, SERIES);
	one = bytes_in_use();
	define(r, d, FIRST, SERIES);
	*ret_again = (double)(bytes_in_use() - one) / (SERIES - FIRST);
	bytes = (double)(one - before) / (SERIES - FIRST) - *ret_again;
	registry_column_fold(r, d);
	registry_column_fold(r, c);
	registry_free(r);
	return bytes;
}

START_TEST(a_counter_takes_54_bytes_and_12_for_each_worker)
{
	double again, bytes = measure(MESSAGE_COUNTER, 0, &again);

	if (!COUNTED || suite_is_under_valgrind())
		return;
	ck_assert_double_le(bytes, 54);
	ck_assert_double_le(again, 12.1);
}
END_TEST

START_TEST(a_gauge_takes_54_bytes_and_24_for_each_worker)
{
	double again, bytes = measure(MESSAGE_GAUGE, 0, &again);

	if (!COUNTED || suite_is_under_valgrind())
		return;
	ck_assert_double_le(bytes, 54);
	ck_assert_double_le(again, 24.2);
}
END_TEST

/* A histogram of 10 bounds has 12 cells: 11 buckets and the sum. */
START_TEST(a_histogram_takes_8_bytes_more_for_each_cell_and_8)
{
	double again, bytes = measure(MESSAGE_HISTOGRAM, BOUNDS, &again);

	if (!COUNTED || suite_is_under_valgrind())
		return;
	ck_assert_double_le(bytes, 54 + 8 * 12 + 8 + 1);
	/* arrays double: there is room for 16 cells of each */
	ck_assert_double_le(again, 12.1 * 16);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("registry_memory");
	TCase *c = tcase_create("registry_memory");

	suite_add_tcase(s, c);
	tcase_set_timeout(c, 60);
	tcase_add_test(c, a_counter_takes_54_bytes_and_12_for_each_worker);
	tcase_add_test(c, a_gauge_takes_54_bytes_and_24_for_each_worker);
	tcase_add_test(c, a_histogram_takes_8_bytes_more_for_each_cell_and_8);
	return suite_run(s);
}
