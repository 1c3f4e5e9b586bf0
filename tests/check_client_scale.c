/* SPDX-License-Identifier: Apache-2.0 */
/* The library with many series: what the old ones wait for, and what is told. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "children.h"
#include "client_rig.h"
#include "scope.h"
#include "suite.h"

static void
set_up(void)
{
	responder_start(&d);
	d.lease_ms = 600000; /* it is slow with so many, and not gone */
	client_open(5, 1000000);
}

/* ---- While definitions go out ------------------------------------------ */

static struct {
	dynm_counter marker;
	uint32_t cell;
	double told, counted;
	uint32_t defines, updates_between;
	size_t longest_define;
	bool late;
	uint32_t callbacks;
} watch;

static double
value_of(const struct message *m, uint32_t cell, double otherwise)
{
	for (uint32_t i = 0; i < m->count; i++) {
		const uint8_t *p = m->records + (size_t)i * MESSAGE_RECORD_BYTES;

		if (wire_load_u32(p) == cell)
			return wire_double(wire_load_u64(p + 4));
	}
	return otherwise;
}

/*
 * A slow daemon: a DEFINE takes it longer than the flush interval, and something is
 * counted meanwhile. That must have been told before the next DEFINE but one.
 */
static void
count_meanwhile(void *arg, const struct message *m, size_t bytes)
{
	(void)arg;
	if (m->type == MESSAGE_UPDATE) {
		watch.told = value_of(m, watch.cell, watch.told);
		watch.updates_between++;
	}
	if (m->type != MESSAGE_DEFINE)
		return;
	if (bytes > watch.longest_define)
		watch.longest_define = bytes;
	watch.late = watch.late || watch.told < watch.counted - 1;
	watch.defines++;
	dynm_counter_inc(watch.marker);
	watch.counted++;
	nanosleep(&(struct timespec){ 0, 6000000 }, NULL);
}

static void
count_callback(void *arg)
{
	(void)arg;
	__atomic_fetch_add(&watch.callbacks, 1, __ATOMIC_RELAXED);
}

START_TEST(old_series_are_flushed_while_definitions_go_out)
{
	dynm_counter_vec vec =
	    dynm_counter_vec_create(at, "v_total", "", DYNM_LABELS("i"));
	const uint32_t n = 100000;
	uint32_t callbacks;

	memset(&watch, 0, sizeof(watch));
	watch.marker = dynm_counter_create(at, "marker_total", "");
	flush();
	watch.cell = watch.marker.series_->wire;
	dynm_on_flush(rt, count_callback, NULL);
	/* One pass has to define them all. */
	pthread_mutex_lock(&d.lock);
	for (uint32_t i = 0; i < n; i++)
		dynm_counter_inc(numbered(vec, i));
	callbacks = __atomic_load_n(&watch.callbacks, __ATOMIC_RELAXED);
	d.listens = count_meanwhile;
	pthread_mutex_unlock(&d.lock);
	flush();
	pthread_mutex_lock(&d.lock);
	ck_assert_uint_ge(watch.defines, n / SESSION_DEFINE_ITEMS);
	ck_assert(!watch.late);
	ck_assert_uint_ge(watch.updates_between, watch.defines - 1);
	ck_assert_uint_le(watch.longest_define, SESSION_DEFINE_BYTES);
	/* and what is read at each flush goes on being read */
	ck_assert_uint_ge(__atomic_load_n(&watch.callbacks, __ATOMIC_RELAXED) - callbacks,
	    watch.defines / 2);
	d.listens = NULL;
	pthread_mutex_unlock(&d.lock);
	dynm_on_flush(rt, NULL, NULL);
	flush();
	ck_assert_double_eq(responder_value(&d, "marker_total", 0), watch.counted);
	ck_assert_double_eq(responder_value(&d, "v_total{77777}", 0), 1);
}
END_TEST

/* ---- What comes and goes ----------------------------------------------- */

START_TEST(many_children_that_come_and_go_are_each_what_was_counted)
{
	dynm_counter_vec vec =
	    dynm_counter_vec_create(at, "v_total", "", DYNM_LABELS("i"));
	const uint32_t n = 12000;
	dynm_status st;

	for (uint32_t i = 0; i < n; i++)
		dynm_counter_add(numbered(vec, i), 5);
	flush();
	for (uint32_t i = 0; i < n; i += 2) {
		dynm_counter_inc(numbered(vec, i));
		remove_numbered(vec, i);
		if (i % 4 == 0)
			dynm_counter_add(numbered(vec, i), 2); /* another one */
	}
	flush();
	dynm_runtime_status(rt, &st);
	ck_assert_uint_eq(st.series, n / 2 + n / 4);
	ck_assert_uint_eq(st.refused, 0);
	ck_assert_double_eq(responder_value(&d, "v_total{4001}", 0), 5);
	ck_assert_double_eq(responder_value(&d, "v_total{4002}", 0), -1);
	ck_assert_double_eq(responder_value(&d, "v_total{4000}", 0), 2);
	ck_assert_uint_eq(d.moved, 0);
	ck_assert_uint_eq(rt->store.n_removed, 0);
	/* what left gave its cells to what came */
	ck_assert_uint_le(rt->store.wire_end, n + n / 4);
}
END_TEST

START_TEST(removed_children_do_not_fill_the_table)
{
	dynm_counter_vec vec =
	    dynm_counter_vec_create(at, "v_total", "", DYNM_LABELS("i"));

	for (uint32_t i = 0; i < 100; i++) {
		dynm_counter_inc(numbered(vec, i));
		remove_numbered(vec, i);
		flush();
	}
	(void)numbered(vec, 1000);
	ck_assert_uint_lt(vec.family_->table->mask, 16);
}
END_TEST

START_TEST(cells_of_every_length_are_used_again)
{
	dynm_histogram_vec h[3] = {
		dynm_histogram_vec_create(
		    at, "h1", "", DYNM_LABELS("i"), DYNM_BUCKETS(1)),
		dynm_histogram_vec_create(
		    at, "h2", "", DYNM_LABELS("i"), DYNM_BUCKETS(1, 2, 3)),
		dynm_histogram_vec_create(
		    at, "h3", "", DYNM_LABELS("i"), DYNM_BUCKETS_DEFAULT),
	};
	uint32_t end = 0;

	for (int round = 0; round < 20; round++) {
		for (int k = 0; k < 3; k++) {
			dynm_histogram_observe(dynm_with(h[k], "a"), round);
			dynm_histogram_observe(dynm_with(h[k], "b"), round);
		}
		flush();
		if (round == 0)
			end = rt->store.wire_end;
		for (int k = 0; k < 3; k++)
			dynm_remove(h[(k + round) % 3], round % 2 ? "a" : "b");
		flush();
		ck_assert_uint_le(rt->store.wire_end, end);
	}
	ck_assert_uint_eq(end, 2 * (3 + 5 + 13));
}
END_TEST

START_TEST(as_many_scopes_as_series_are_found_again)
{
	const uint32_t n = 30000;
	char value[16];

	responder_leave(&d); /* it knows no constant labels */
	for (uint32_t i = 0; i < n; i++) {
		dynm_scope place;
		dynm_counter c;

		snprintf(value, sizeof(value), "%u", i);
		place = dynm_scope_label(at, "model", value);
		c = dynm_counter_create(place, "requests_total", "");
		dynm_counter_add(c, i);
		ck_assert_ptr_eq(dynm_scope_label(at, "model", value).node_, place.node_);
		ck_assert_ptr_eq(
		    dynm_counter_create(place, "requests_total", "").series_, c.series_);
		ck_assert_ptr_null(
		    dynm_gauge_create(place, "requests_total", "").series_);
	}
	ck_assert_uint_eq(rt->store.n_families, n);
	ck_assert_int_eq(dynm_runtime_error(rt, NULL), DYNM_EEXIST);
	ck_assert_uint_eq(rt->store.n_series, n);
}
END_TEST

/* ---- Limits ------------------------------------------------------------ */

START_TEST(equal_names_at_two_places_are_two_places)
{
	dynm_namespace a = dynm_runtime_namespace(rt, "a");
	dynm_namespace b = dynm_runtime_namespace(rt, "b");
	static struct dynm_node *at_a[10000];
	char name[16];

	for (int i = 0; i < 10000; i++) {
		snprintf(name, sizeof(name), "%d", i);
		at_a[i] = dynm_namespace_component(a, name).scope.node_;
	}
	for (int i = 0; i < 10000; i++) {
		dynm_component here;

		snprintf(name, sizeof(name), "%d", i);
		here = dynm_namespace_component(b, name);
		ck_assert_ptr_nonnull(here.scope.node_);
		ck_assert_ptr_eq(here.scope.node_->parent, b.scope.node_);
		ck_assert_ptr_ne(here.scope.node_, at_a[i]);
	}
}
END_TEST

START_TEST(without_cells_there_are_null_handles_and_one_line)
{
	double bounds[128];
	dynm_histogram_vec vec;
	dynm_counter old = dynm_counter_create(at, "old_total", "");
	uint32_t made = 0;
	dynm_error err;
	char name[16];

	for (int i = 0; i < 128; i++)
		bounds[i] = i;
	vec = dynm_histogram_vec_create(
	    at, "h", "", DYNM_LABELS("i"), (dynm_buckets){ 128, bounds });
	responder_leave(&d); /* it would have much to remember */
	for (uint32_t i = 0; i < BLOCKS_TOTAL; i++) {
		snprintf(name, sizeof(name), "%u", i);
		made += dynm_with(vec, name).series_ != NULL;
	}
	ck_assert_uint_gt(made, BLOCKS_TOTAL / 3 - 10);
	ck_assert_uint_lt(made, BLOCKS_TOTAL / 3 + 1);
	ck_assert_int_eq(dynm_runtime_error(rt, &err), DYNM_ELIMIT);
	ck_assert_ptr_nonnull(strstr(err.text, "no cells left"));
	ck_assert_int_eq(dynm_runtime_error(rt, NULL), DYNM_OK);
	dynm_counter_inc(old);
	dynm_histogram_observe(dynm_with(vec, "0"), 1);
	ck_assert_ptr_nonnull(dynm_with(vec, "0").series_);
}
END_TEST

START_TEST(a_limit_is_told_once_and_the_others_count_on)
{
	dynm_counter_vec vec =
	    dynm_counter_vec_create(at, "v_total", "", DYNM_LABELS("i"));
	dynm_counter other = dynm_counter_create(at, "other_total", "");
	dynm_status st;
	dynm_error err;

	pthread_mutex_lock(&d.lock);
	d.most_children = 1001;
	pthread_mutex_unlock(&d.lock);
	dynm_counter_inc(other);
	flush();
	for (uint32_t i = 0; i < 2000; i++)
		dynm_counter_inc(numbered(vec, i));
	flush();
	dynm_runtime_status(rt, &st);
	ck_assert_uint_eq(st.series, 2001);
	ck_assert_uint_eq(st.refused, 1000);
	ck_assert_int_eq(dynm_runtime_error(rt, &err), DYNM_ELIMIT);
	ck_assert_ptr_nonnull(strstr(err.text, "'v_total': there are too many"));
	ck_assert_int_eq(dynm_runtime_error(rt, NULL), DYNM_OK);
	ck_assert_uint_eq(client_lines(""), 1);
	ck_assert_uint_eq(client_lines("'v_total': there are too many"), 1);
	dynm_counter_inc(other);
	dynm_counter_inc(numbered(vec, 1999)); /* refused: harmless */
	dynm_counter_inc(numbered(vec, 0));
	flush();
	ck_assert_double_eq(responder_value(&d, "other_total", 0), 2);
	ck_assert_double_eq(responder_value(&d, "v_total{0}", 0), 2);
	ck_assert_double_eq(responder_value(&d, "v_total{1999}", 0), -1);
}
END_TEST

/* ---- A last word ------------------------------------------------------- */

static struct {
	dynm_counter_vec vec;
	dynm_counter child;
	bool armed;
	double told, at_removal;
} last = { .at_removal = -1 };

/* While the daemon has an UPDATE, the child counts once more and is removed. */
static void
count_and_remove(void *arg, const struct message *m, size_t bytes)
{
	(void)arg;
	(void)bytes;
	if (m->type == MESSAGE_REMOVE)
		last.at_removal = last.told;
	if (m->type != MESSAGE_UPDATE)
		return;
	last.told = value_of(m, last.child.series_->wire, last.told);
	if (!last.armed)
		return;
	last.armed = false;
	dynm_counter_add(last.child, 5);
	remove_numbered(last.vec, 1);
}

START_TEST(what_is_counted_right_before_a_removal_arrives_before_it)
{
	dynm_counter other = dynm_counter_create(at, "other_total", "");

	last.vec = dynm_counter_vec_create(at, "v_total", "", DYNM_LABELS("i"));
	last.child = numbered(last.vec, 1);
	dynm_counter_inc(last.child);
	flush();
	pthread_mutex_lock(&d.lock);
	d.listens = count_and_remove;
	last.told = 1;
	last.armed = true;
	pthread_mutex_unlock(&d.lock);
	dynm_counter_inc(other);
	responder_wait_seen(&d, MESSAGE_REMOVE, 1);
	flush();
	ck_assert_double_eq(last.at_removal, 6);
}
END_TEST

START_TEST(a_refused_child_that_is_removed_lets_its_successor_in)
{
	dynm_counter_vec vec =
	    dynm_counter_vec_create(at, "v_total", "", DYNM_LABELS("i"));
	dynm_status st;

	pthread_mutex_lock(&d.lock);
	d.most_children = 1;
	pthread_mutex_unlock(&d.lock);
	dynm_counter_inc(numbered(vec, 1));
	dynm_counter_inc(numbered(vec, 2));
	flush();
	pthread_mutex_lock(&d.lock);
	d.most_children = 0;
	pthread_mutex_unlock(&d.lock);
	remove_numbered(vec, 2);
	dynm_counter_add(numbered(vec, 2), 7);
	flush();
	ck_assert_double_eq(responder_value(&d, "v_total{2}", 0), 7);
	dynm_runtime_status(rt, &st);
	ck_assert_uint_eq(st.refused, 0);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("client_scale");
	TCase *scale = tcase_create("scale");

	tcase_add_checked_fixture(scale, set_up, client_tear_down);
	tcase_set_timeout(scale, 120);
	tcase_add_test(scale, old_series_are_flushed_while_definitions_go_out);
	tcase_add_test(scale, many_children_that_come_and_go_are_each_what_was_counted);
	tcase_add_test(scale, removed_children_do_not_fill_the_table);
	tcase_add_test(scale, cells_of_every_length_are_used_again);
	tcase_add_test(scale, as_many_scopes_as_series_are_found_again);
	tcase_add_test(scale, equal_names_at_two_places_are_two_places);
	tcase_add_test(scale, without_cells_there_are_null_handles_and_one_line);
	tcase_add_test(scale, a_limit_is_told_once_and_the_others_count_on);
	tcase_add_test(scale, what_is_counted_right_before_a_removal_arrives_before_it);
	tcase_add_test(scale, a_refused_child_that_is_removed_lets_its_successor_in);
	suite_add_tcase(s, scale);
	return suite_run(s);
}
