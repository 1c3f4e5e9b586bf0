/* SPDX-License-Identifier: Apache-2.0 */
/* The library against a small daemon: what arrives, and when, and what if not. */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "after_fork.h"
#include "responder.h"
#include "runtime.h"
#include "suite.h"

#define FLUSH_MS   20
#define PATIENT_MS 60000

static struct responder d;
static dynm_runtime *rt;
static dynm_scope at;
static char last_line[256];
static unsigned lines;
static pthread_mutex_t line_lock = PTHREAD_MUTEX_INITIALIZER;

static void
log_line(void *arg, const char *text)
{
	(void)arg;
	pthread_mutex_lock(&line_lock);
	snprintf(last_line, sizeof(last_line), "%s", text);
	lines++;
	pthread_mutex_unlock(&line_lock);
}

static void
wait_line(const char *part)
{
	uint64_t began = 0;
	bool there = false;

	while (!there && responder_again(&began, part)) {
		pthread_mutex_lock(&line_lock);
		there = strstr(last_line, part) != NULL;
		pthread_mutex_unlock(&line_lock);
	}
}

static void
open_runtime(uint32_t flush_ms)
{
	dynm_options o = {
		.address = d.address, .worker = "w", .flush_ms = flush_ms, .log = log_line
	};

	ck_assert_int_eq(dynm_open(&rt, &o, NULL), DYNM_OK);
	at = dynm_runtime_scope(rt);
}

static void
set_up(void)
{
	responder_start(&d);
	open_runtime(FLUSH_MS);
}

static void
tear_down(void)
{
	dynm_close(rt);
	responder_stop(&d);
}

static void
flush(void)
{
	ck_assert_int_eq(dynm_flush(rt, PATIENT_MS), DYNM_OK);
}

/* ---- What arrives ------------------------------------------------------ */

START_TEST(what_was_counted_before_a_flush_has_arrived_after_it)
{
	dynm_counter c = dynm_counter_create(at, "c_total", "");
	dynm_gauge g = dynm_gauge_create(at, "g", "");
	dynm_gauge zero = dynm_gauge_create(at, "zero", "");
	dynm_histogram h = dynm_histogram_create(at, "h", "", DYNM_BUCKETS(1, 2));
	uint32_t updates;

	for (int i = 1; i <= 50; i++) {
		dynm_counter_add(c, 1.5);
		dynm_gauge_set(g, -i);
		dynm_histogram_observe(h, 1.5);
		flush();
		ck_assert_double_eq(responder_value(&d, "c_total", 0), 1.5 * i);
		ck_assert_double_eq(responder_value(&d, "g", 0), -i);
		ck_assert_double_eq(responder_value(&d, "h", 0), 0);
		ck_assert_double_eq(responder_value(&d, "h", 1), i);
		ck_assert_double_eq(responder_value(&d, "h", 3), 1.5 * i);
	}
	updates = responder_seen(&d, MESSAGE_UPDATE);
	flush();
	ck_assert_uint_eq(responder_seen(&d, MESSAGE_UPDATE), updates);
	dynm_gauge_set(zero, 0);
	flush();
	ck_assert_uint_eq(responder_seen(&d, MESSAGE_UPDATE), updates + 1);
}
END_TEST

START_TEST(changes_arrive_without_being_asked_for)
{
	dynm_counter c = dynm_counter_create(at, "c_total", "");

	for (int i = 1; i <= 5; i++) {
		dynm_counter_inc(c);
		responder_wait_value(&d, "c_total", 0, i);
	}
}
END_TEST

START_TEST(a_runtime_without_metrics_says_nothing)
{
	ck_assert_int_eq(dynm_flush(rt, -1), DYNM_OK);
	poll(NULL, 0, 5 * FLUSH_MS);
	ck_assert_uint_eq(responder_connections(&d), 0);
	(void)dynm_counter_create(at, "c_total", "");
	flush();
	ck_assert_uint_eq(responder_connections(&d), 1);
}
END_TEST

START_TEST(an_idle_worker_only_pings)
{
	uint32_t updates;
	uint64_t began = 0;

	pthread_mutex_lock(&d.lock);
	d.lease_ms = 300;
	pthread_mutex_unlock(&d.lock);
	dynm_counter_inc(dynm_counter_create(at, "c_total", ""));
	flush();
	updates = responder_seen(&d, MESSAGE_UPDATE);
	while (responder_again(&began, "ping") && responder_seen(&d, MESSAGE_PING) < 5)
		;
	ck_assert_uint_eq(responder_seen(&d, MESSAGE_UPDATE), updates);
	ck_assert_uint_eq(responder_seen(&d, MESSAGE_DEFINE), 1);
}
END_TEST

START_TEST(many_children_arrive_in_parts)
{
	dynm_counter_vec vec =
	    dynm_counter_vec_create(at, "v_total", "", DYNM_LABELS("i"));
	dynm_counter first = dynm_counter_create(at, "first_total", "");
	char name[16], child[32];
	const uint32_t n = 60000;

	for (uint32_t i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "%u", i);
		dynm_counter_add(dynm_with(vec, name), i);
		if (i % 1000 == 0)
			dynm_counter_inc(first);
	}
	flush();
	for (uint32_t i = 1; i < n; i += 7777) {
		snprintf(child, sizeof(child), "v_total{%u}", i);
		ck_assert_double_eq(responder_value(&d, child, 0), i);
	}
	ck_assert_double_eq(responder_value(&d, "first_total", 0), n / 1000);
	ck_assert_uint_ge(responder_seen(&d, MESSAGE_DEFINE), n / SESSION_DEFINE_ITEMS);
	ck_assert_uint_le(d.longest, 1U << 20);
}
END_TEST

START_TEST(messages_stay_below_the_daemons_limit)
{
	dynm_histogram_vec vec;
	char name[16];

	pthread_mutex_lock(&d.lock);
	d.message_bytes = 5000;
	pthread_mutex_unlock(&d.lock);
	vec = dynm_histogram_vec_create(
	    at, "h", "", DYNM_LABELS("i"), DYNM_BUCKETS_DEFAULT);
	for (int i = 0; i < 500; i++) {
		snprintf(name, sizeof(name), "%d", i);
		dynm_histogram_observe(dynm_with(vec, name), 1);
	}
	flush();
	ck_assert_uint_le(d.longest, 5000);
	ck_assert_double_eq(responder_value(&d, "h{499}", 12), 1);
}
END_TEST

/* ---- Daemons that come and go ------------------------------------------ */

START_TEST(a_daemon_that_comes_late_gets_everything)
{
	dynm_counter c = dynm_counter_create(at, "c_total", "");
	dynm_status st;

	responder_leave(&d);
	dynm_counter_add(c, 10);
	ck_assert_int_eq(dynm_flush(rt, 30), DYNM_EAGAIN);
	dynm_runtime_status(rt, &st);
	ck_assert_int_eq(st.connected, 0);
	ck_assert_int_eq(dynm_runtime_error(rt, NULL), DYNM_OK);
	responder_listen(&d);
	flush();
	ck_assert_double_eq(responder_value(&d, "c_total", 0), 10);
	dynm_runtime_status(rt, &st);
	ck_assert_int_eq(st.connected, 1);
	ck_assert_str_eq(st.worker, "w");
	ck_assert_uint_lt(st.acked_ms_ago, PATIENT_MS);
}
END_TEST

START_TEST(a_daemon_that_restarts_finds_the_session_again)
{
	dynm_counter c = dynm_counter_create(at, "c_total", "");

	for (int i = 1; i <= 5; i++) {
		dynm_counter_inc(c);
		flush();
		responder_leave(&d);
		dynm_counter_inc(c);
		responder_listen(&d);
		flush();
		ck_assert_double_eq(responder_value(&d, "c_total", 0), 2 * i);
	}
	ck_assert_uint_eq(d.sessions, 1);
}
END_TEST

/* Nothing changes, and the next PING is far away: the closed connection alone tells it.
 */
START_TEST(an_idle_library_comes_back_by_itself)
{
	dynm_counter c = dynm_counter_create(at, "c_total", "");

	pthread_mutex_lock(&d.lock);
	d.lease_ms = 3 * 1000 * 2 * RESPONDER_SECONDS;
	pthread_mutex_unlock(&d.lock);
	dynm_counter_inc(c);
	flush();
	responder_leave(&d);
	responder_listen(&d);
	responder_wait_seen(&d, MESSAGE_HELLO, 2);
}
END_TEST

START_TEST(a_daemon_that_has_lost_its_state_is_refilled)
{
	dynm_counter c = dynm_counter_create(at, "c_total", "");
	dynm_gauge g = dynm_gauge_create(at, "g", "");

	dynm_counter_add(c, 3);
	dynm_gauge_set(g, 4);
	flush();
	responder_leave(&d);
	responder_lose(&d);
	responder_listen(&d);
	dynm_counter_inc(c);
	flush();
	ck_assert_double_eq(responder_value(&d, "c_total", 0), 4);
	ck_assert_double_eq(responder_value(&d, "g", 0), 4);
}
END_TEST

START_TEST(a_worker_taken_for_dead_goes_on_from_what_was_counted)
{
	dynm_counter c = dynm_counter_create(at, "c_total", "");
	dynm_histogram h = dynm_histogram_create(at, "h", "", DYNM_BUCKETS(1));
	dynm_gauge g = dynm_gauge_create(at, "g", "");

	for (int i = 1; i <= 5; i++) {
		dynm_counter_add(c, 0.25);
		dynm_histogram_observe(h, 0.5);
		dynm_gauge_set(g, i);
		flush();
		responder_fold(&d);
		dynm_counter_add(c, 0.25);
		flush();
		ck_assert_double_eq(responder_value(&d, "c_total", 0), 0.5 * i);
		ck_assert_double_eq(responder_value(&d, "h", 0), i);
		ck_assert_double_eq(responder_value(&d, "h", 2), 0.5 * i);
		ck_assert_double_eq(responder_value(&d, "g", 0), i);
	}
	ck_assert_uint_eq(d.sessions, 6);
}
END_TEST

START_TEST(a_forgotten_worker_doubles_nothing)
{
	dynm_counter c = dynm_counter_create(at, "c_total", "");

	dynm_counter_add(c, 5);
	flush();
	responder_fold(&d);
	responder_expire(&d);
	dynm_counter_add(c, 2);
	flush();
	ck_assert_double_eq(
	    responder_value(&d, "c_total", 0), 5); /* the batch in flight */
	dynm_counter_add(c, 1);
	flush();
	ck_assert_double_eq(responder_value(&d, "c_total", 0), 6);
	wait_line("forgotten this worker's session");
}
END_TEST

START_TEST(a_request_whose_reply_is_lost_is_sent_again_as_it_was)
{
	dynm_counter c = dynm_counter_create(at, "c_total", "");

	flush();
	for (int i = 1; i <= 10; i++) {
		pthread_mutex_lock(&d.lock);
		d.drop_replies = 1;
		pthread_mutex_unlock(&d.lock);
		dynm_counter_inc(c);
		flush();
		ck_assert_double_eq(responder_value(&d, "c_total", 0), i);
	}
	ck_assert_uint_eq(d.changed, 0);
	ck_assert_uint_eq(d.sessions, 1);
}
END_TEST

/* ---- Daemons that misbehave -------------------------------------------- */

static void
in_mood(enum responder_mood mood)
{
	dynm_counter c = dynm_counter_create(at, "c_total", "");
	double began;

	dynm_counter_inc(c);
	responder_be(&d, mood);
	began = dynm_now();
	ck_assert_int_eq(dynm_flush(rt, 150), DYNM_EAGAIN);
	ck_assert_double_ge(dynm_now() - began, 0.15);
	if (mood != RESPONDER_SILENT && mood != RESPONDER_FOREIGN)
		responder_wait_connections(&d, 2); /* it does not wait for an answer */
	dynm_counter_inc(c);
	responder_be(&d, RESPONDER_WELL);
	if (mood == RESPONDER_SILENT) { /* else it takes the lease */
		responder_leave(&d);
		responder_listen(&d);
	}
	flush();
	ck_assert_double_eq(responder_value(&d, "c_total", 0), 2);
}

START_TEST(nonsense_from_a_daemon_is_survived)
{
	in_mood((enum responder_mood)_i);
}
END_TEST

START_TEST(a_daemon_that_closes_is_not_stormed)
{
	double began = dynm_now();

	responder_be(&d, RESPONDER_CLOSES);
	(void)dynm_counter_create(at, "c_total", "");
	responder_wait_connections(&d, 8);
	/* The pauses between them: at least half of 10, 20, 40, ... ms. */
	ck_assert_double_ge(dynm_now() - began, 0.3);
}
END_TEST

START_TEST(another_version_is_told_in_the_daemons_words_once)
{
	dynm_error err;

	responder_be(&d, RESPONDER_FOREIGN);
	(void)dynm_counter_create(at, "c_total", "");
	wait_line("version 9");
	ck_assert_int_eq(dynm_runtime_error(rt, &err), DYNM_ESYS);
	ck_assert_ptr_nonnull(strstr(err.text, "this daemon speaks version 9"));
	responder_wait_seen(&d, MESSAGE_HELLO, 2);
	ck_assert_int_eq(dynm_runtime_error(rt, &err), DYNM_OK);
	responder_be(&d, RESPONDER_WELL);
	flush();
}
END_TEST

START_TEST(a_silent_daemon_is_left_after_the_lease)
{
	dynm_counter c = dynm_counter_create(at, "c_total", "");

	pthread_mutex_lock(&d.lock);
	d.lease_ms = 200;
	pthread_mutex_unlock(&d.lock);
	flush();
	responder_be(&d, RESPONDER_SILENT);
	dynm_counter_inc(c);
	responder_wait_seen(&d, MESSAGE_HELLO, 2);
	responder_be(&d, RESPONDER_WELL);
	flush();
	ck_assert_double_eq(responder_value(&d, "c_total", 0), 1);
}
END_TEST

/* ---- Refusals ---------------------------------------------------------- */

START_TEST(a_refused_metric_is_told_once_and_takes_nobody_with_it)
{
	dynm_counter_vec bad;
	dynm_counter good;
	dynm_status st;
	dynm_error err;

	pthread_mutex_lock(&d.lock);
	d.refuse_name = "bad_total";
	pthread_mutex_unlock(&d.lock);
	bad = dynm_counter_vec_create(at, "bad_total", "", DYNM_LABELS("l"));
	good = dynm_counter_create(at, "good_total", "");
	dynm_counter_inc(good);
	for (int i = 0; i < 3; i++) {
		dynm_counter_inc(dynm_with(bad, "1"));
		dynm_counter_inc(dynm_with(bad, "2"));
		flush();
	}
	ck_assert_double_eq(responder_value(&d, "good_total", 0), 1);
	ck_assert_double_eq(responder_value(&d, "bad_total{1}", 0), -1);
	ck_assert_int_eq(dynm_runtime_error(rt, &err), DYNM_EEXIST);
	ck_assert_ptr_nonnull(strstr(err.text, "'bad_total': it is taken"));
	ck_assert_int_eq(dynm_runtime_error(rt, &err), DYNM_OK);
	dynm_runtime_status(rt, &st);
	ck_assert_uint_eq(st.refused, 2);
	ck_assert_uint_eq(st.series, 3);
	ck_assert_uint_eq(responder_seen(&d, MESSAGE_REFUSED), 0);
}
END_TEST

START_TEST(one_bad_child_in_an_update_is_found_and_left_out)
{
	dynm_counter_vec vec =
	    dynm_counter_vec_create(at, "v_total", "", DYNM_LABELS("i"));
	dynm_status st;
	char name[32];

	pthread_mutex_lock(&d.lock);
	d.refuse_child = "v_total{37}";
	pthread_mutex_unlock(&d.lock);
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "%d", i);
		dynm_counter_inc(dynm_with(vec, name));
	}
	flush();
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "v_total{%d}", i);
		ck_assert_double_eq(responder_value(&d, name, 0), i != 37);
	}
	dynm_runtime_status(rt, &st);
	ck_assert_uint_eq(st.refused, 1);
	ck_assert_int_eq(dynm_runtime_error(rt, NULL), DYNM_EINVAL);
}
END_TEST

/* ---- Removal ----------------------------------------------------------- */

START_TEST(a_removed_child_sends_its_last_count_and_leaves)
{
	dynm_counter_vec vec =
	    dynm_counter_vec_create(at, "v_total", "", DYNM_LABELS("i"));
	dynm_counter old = dynm_with(vec, "a");

	dynm_counter_add(old, 3);
	flush();
	dynm_counter_add(old, 4);
	dynm_remove(vec, "a");
	dynm_remove(vec, "never there");
	dynm_counter_add(old, 100);
	responder_wait_seen(&d, MESSAGE_REMOVE, 1);
	flush();
	ck_assert_double_eq(responder_value(&d, "v_total{a}", 0), -1);
	dynm_counter_inc(dynm_with(vec, "a"));
	dynm_counter_add(old, 100);
	flush();
	ck_assert_double_eq(responder_value(&d, "v_total{a}", 0), 1);
	dynm_counter_inc(dynm_with(vec, "a"));
	dynm_remove(vec, "a");
	dynm_counter_inc(dynm_with(vec, "a")); /* waits until the old one is gone */
	flush();
	ck_assert_double_eq(responder_value(&d, "v_total{a}", 0), 1);
	ck_assert_uint_eq(d.moved, 0);
}
END_TEST

START_TEST(removing_and_making_again_keeps_cells_dense)
{
	dynm_gauge_vec vec = dynm_gauge_vec_create(at, "g", "", DYNM_LABELS("i"));
	char name[16];

	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "%d", i % 7);
		dynm_gauge_set(dynm_with(vec, name), i);
		if (i % 3 == 0)
			flush();
		dynm_remove(vec, name);
	}
	dynm_gauge_set(dynm_with(vec, "last"), 1);
	flush();
	flush();
	ck_assert_double_eq(responder_value(&d, "g{last}", 0), 1);
	ck_assert_double_eq(responder_value(&d, "g{1}", 0), -1);
	ck_assert_uint_lt(rt->store.wire_end, 40);
}
END_TEST

/* ---- The runtime's other functions ------------------------------------- */

static dynm_gauge depth;
static unsigned calls;
static dynm_err inner;

static void
read_depth(void *arg)
{
	dynm_gauge_set(depth, __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED));
	__atomic_store_n(&inner, dynm_flush(arg, -1), __ATOMIC_RELAXED);
}

START_TEST(gaps_that_removals_leave_are_closed_in_the_next_session)
{
	dynm_counter_vec vec =
	    dynm_counter_vec_create(at, "v_total", "", DYNM_LABELS("i"));
	dynm_histogram h;
	dynm_counter b;
	const struct responder_session *session;

	(void)dynm_with(vec, "a");
	b = dynm_with(vec, "b");
	h = dynm_histogram_create(at, "h", "", DYNM_BUCKETS(1, 2));
	dynm_counter_add(b, 5);
	dynm_histogram_observe(h, 1.5);
	flush();
	dynm_remove(vec, "a");
	responder_wait_seen(&d, MESSAGE_REMOVE, 1);
	flush();
	responder_fold(&d);
	dynm_counter_add(b, 2);
	dynm_histogram_observe(h, 1.5);
	flush();
	/* all that was counted before is in the base, which has moved along */
	ck_assert_double_eq(responder_value(&d, "v_total{b}", 0), 7);
	ck_assert_double_eq(responder_value(&d, "h", 1), 2);
	ck_assert_double_eq(responder_value(&d, "h", 3), 3);
	session = &d.session[d.sessions - 1];
	for (size_t i = 0; i < session->children; i++)
		ck_assert_uint_le(session->child[i].cell + session->child[i].n, 5);
	/* and cells that are made now are not those of others */
	dynm_counter_add(dynm_with(vec, "c"), 1);
	flush();
	ck_assert_double_eq(responder_value(&d, "v_total{c}", 0), 1);
	ck_assert_double_eq(responder_value(&d, "v_total{b}", 0), 7);
	ck_assert_uint_eq(d.moved, 0);
}
END_TEST

START_TEST(gauges_are_read_in_the_callback_before_each_flush)
{
	depth = dynm_gauge_create(at, "depth", "");
	calls = 0;
	dynm_on_flush(rt, read_depth, rt);
	flush();
	ck_assert_int_eq(__atomic_load_n(&inner, __ATOMIC_RELAXED), DYNM_EAGAIN);
	responder_wait_value(&d, "depth", 0, 3);
	dynm_on_flush(rt, NULL, NULL);
	calls = 1000;
	poll(NULL, 0, 3 * FLUSH_MS);
	ck_assert_uint_eq(calls, 1000);
}
END_TEST

static void
close_inside(void *arg)
{
	dynm_close(arg);
}

START_TEST(closing_in_the_callback_is_an_error_not_a_deadlock)
{
	uint64_t began = 0;

	dynm_on_flush(rt, close_inside, rt);
	(void)dynm_counter_create(at, "c_total", "");
	while (responder_again(&began, "call") && dynm_runtime_error(rt, NULL) == DYNM_OK)
		;
	dynm_on_flush(rt, NULL, NULL);
}
END_TEST

START_TEST(a_page_is_exposed_after_a_flush)
{
	dynm_counter c = dynm_counter_create(at, "c_total", "");
	char *text;

	dynm_counter_inc(c);
	ck_assert_int_eq(dynm_expose(at, PATIENT_MS, &text), DYNM_OK);
	ck_assert_str_eq(text, "a page\n");
	ck_assert_double_eq(responder_value(&d, "c_total", 0), 1);
	free(text);
	responder_leave(&d);
	ck_assert_int_eq(dynm_expose(at, 50, &text), DYNM_EAGAIN);
	ck_assert_ptr_null(text);
	ck_assert_int_eq(dynm_expose((dynm_scope){ NULL }, 50, &text), DYNM_EINVAL);
}
END_TEST

START_TEST(closing_sends_what_is_left_and_says_good_bye)
{
	dynm_counter c = dynm_counter_create(at, "c_total", "");

	uint32_t byes;

	dynm_close(rt);
	byes = responder_seen(&d, MESSAGE_BYE);
	open_runtime(60000);
	c = dynm_counter_create(at, "c_total", "");
	flush();
	dynm_counter_add(c, 12);
	dynm_close(rt);
	ck_assert_double_eq(responder_value(&d, "c_total", 0), 12);
	ck_assert_uint_eq(responder_seen(&d, MESSAGE_BYE), byes + 1);
	open_runtime(FLUSH_MS);
}
END_TEST

static void *
be_well_soon(void *arg)
{
	poll(NULL, 0, 150);
	responder_be(&d, RESPONDER_WELL);
	return arg;
}

START_TEST(closing_comes_back_to_a_daemon_that_went_away)
{
	dynm_counter c;
	pthread_t t;

	dynm_close(rt);
	open_runtime(60000);
	c = dynm_counter_create(at, "c_total", "");
	flush();
	dynm_counter_add(c, 12);
	responder_be(&d, RESPONDER_CLOSES);
	pthread_create(&t, NULL, be_well_soon, NULL);
	dynm_close(rt);
	pthread_join(t, NULL);
	ck_assert_double_eq(responder_value(&d, "c_total", 0), 12);
	open_runtime(FLUSH_MS);
}
END_TEST

START_TEST(closing_waits_an_interval_at_most)
{
	double began;

	(void)dynm_counter_create(at, "c_total", "");
	responder_be(&d, RESPONDER_SILENT);
	began = dynm_now();
	dynm_close(rt);
	/* not for the lease, 15 s */
	ck_assert_double_lt(dynm_now() - began, 10);
	responder_be(&d, RESPONDER_WELL);
	open_runtime(FLUSH_MS);
}
END_TEST

/* ---- Processes --------------------------------------------------------- */

static void
wait_child(pid_t pid)
{
	int status;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}

START_TEST(a_child_is_a_worker_of_its_own)
{
	dynm_counter c = dynm_counter_create(at, "c_total", "");
	dynm_gauge g = dynm_gauge_create(at, "g", "");

	dynm_counter_add(c, 100);
	flush();
	for (int i = 0; i < 8; i++) {
		pid_t pid = fork_safely();

		if (pid == 0) {
			dynm_gauge_set(g, 1);
			for (int k = 0; k < 1000; k++)
				dynm_counter_inc(c);
			_exit((int)dynm_flush(rt, PATIENT_MS));
		}
		dynm_counter_inc(c);
		wait_child(pid);
	}
	flush();
	ck_assert_double_eq(responder_value(&d, "c_total", 0), 108 + 8000);
	ck_assert_uint_eq(d.sessions, 9);
}
END_TEST

START_TEST(a_child_does_not_define_what_was_removed_before_the_fork)
{
	dynm_counter_vec vec;
	pid_t pid;

	dynm_close(rt);
	open_runtime(60000);
	vec = dynm_counter_vec_create(at, "v_total", "", DYNM_LABELS("i"));
	(void)dynm_with(vec, "a");
	(void)dynm_with(vec, "b");
	flush();
	dynm_remove(vec, "a");
	pid = fork_safely();
	if (pid == 0) {
		dynm_counter_inc(dynm_with(vec, "b"));
		_exit((int)dynm_flush(rt, PATIENT_MS));
	}
	wait_child(pid);
	ck_assert_uint_eq(responder_holders(&d, "v_total{b}"), 2);
	ck_assert_uint_eq(responder_holders(&d, "v_total{a}"), 1);
}
END_TEST

static void *
wait_for_ever(void *arg)
{
	ck_assert_int_eq(dynm_flush(rt, PATIENT_MS), DYNM_OK);
	return arg;
}

START_TEST(a_child_of_a_parent_that_waits_can_wait_too)
{
	dynm_counter c = dynm_counter_create(at, "c_total", "");
	pthread_t t[3];
	pid_t pid;

	responder_leave(&d);
	for (int i = 0; i < 3; i++)
		pthread_create(&t[i], NULL, wait_for_ever, NULL);
	poll(NULL, 0, 50);
	pid = fork_safely();
	if (pid == 0) {
		dynm_counter_inc(c);
		_exit((int)dynm_flush(rt, PATIENT_MS));
	}
	responder_listen(&d);
	wait_child(pid);
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	responder_wait_value(&d, "c_total", 0, 1);
}
END_TEST

/* The limit does not bind root, so this takes another user's place in a child. */
START_TEST(without_threads_it_starts_when_there_are_some)
{
	struct rlimit old, none;
	int status;
	pid_t pid = fork_safely();

	if (pid == 0) {
		dynm_options o = { .address = d.address, .flush_ms = FLUSH_MS };
		dynm_counter c;

		chmod(d.folder, 0777);
		chmod(d.path, 0777);
		if (geteuid() == 0 && setuid(65534) != 0)
			_exit(10);
		getrlimit(RLIMIT_NPROC, &old);
		none = old;
		none.rlim_cur = 0;
		setrlimit(RLIMIT_NPROC, &none);
		if (dynm_open(&rt, &o, NULL) != DYNM_OK)
			_exit(11);
		c = dynm_counter_create(dynm_runtime_scope(rt), "n_total", "");
		dynm_counter_inc(c);
		if (dynm_flush(rt, 1000) != DYNM_ESYS)
			_exit(12);
		setrlimit(RLIMIT_NPROC, &old);
		for (int i = 0; i < 5000; i++) /* only updates */
			dynm_counter_inc(c);
		for (;;)
			poll(NULL, 0, 1000);
	}
	responder_wait_value(&d, "n_total", 0, 5001);
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
}
END_TEST

START_TEST(a_child_that_only_updates_reports_by_itself)
{
	dynm_gauge g = dynm_gauge_create(at, "g", "");
	pid_t pid;

	flush();
	pid = fork_safely();
	if (pid == 0) {
		dynm_gauge_set(g, 5);
		for (;;)
			poll(NULL, 0, 1000);
	}
	responder_wait_value(&d, "g", 0, 5);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}
END_TEST

START_TEST(a_child_that_uses_nothing_is_never_seen)
{
	(void)dynm_counter_create(at, "c_total", "");
	flush();
	for (int i = 0; i < 5; i++) {
		pid_t pid = fork_safely();

		if (pid == 0) {
			poll(NULL, 0, 3 * FLUSH_MS);
			_exit(0);
		}
		wait_child(pid);
	}
	ck_assert_uint_eq(responder_connections(&d), 1);
}
END_TEST

static size_t
open_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t n = 0;

	ck_assert_ptr_nonnull(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

START_TEST(a_child_and_a_closed_runtime_hold_no_descriptor)
{
	size_t before;
	pid_t pid;

	dynm_close(rt);
	before = open_descriptors();
	open_runtime(FLUSH_MS);
	(void)dynm_counter_create(at, "c_total", "");
	flush();
	pid = fork_safely();
	if (pid == 0)
		_exit(open_descriptors() == before + 1 ? 0 : 1); /* the responder's end */
	wait_child(pid);
	dynm_close(rt);
	open_runtime(FLUSH_MS);
}
END_TEST

START_TEST(without_descriptors_it_waits_for_some)
{
	struct rlimit old, none;
	dynm_counter c = dynm_counter_create(at, "c_total", "");

	responder_leave(&d);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
	responder_listen(&d);
	none = old;
	none.rlim_cur = 0;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	dynm_counter_inc(c);
	ck_assert_int_eq(dynm_flush(rt, 100), DYNM_EAGAIN);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
	flush();
	ck_assert_double_eq(responder_value(&d, "c_total", 0), 1);
}
END_TEST

static void
on_signal(int number)
{
	(void)number;
	_exit(9);
}

START_TEST(the_flush_thread_takes_no_signal_and_masks_stay)
{
	sigset_t mine, after;

	sigemptyset(&mine);
	sigaddset(&mine, SIGUSR1);
	pthread_sigmask(SIG_SETMASK, &mine, NULL);
	dynm_close(rt);
	responder_leave(&d); /* its thread is to have it blocked too */
	responder_listen(&d);
	open_runtime(FLUSH_MS);
	(void)dynm_counter_create(at, "c_total", "");
	flush();
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	ck_assert_int_eq(sigismember(&after, SIGUSR1), 1);
	ck_assert_int_eq(sigismember(&after, SIGUSR2), 0);
	signal(SIGUSR1, on_signal);
	kill(getpid(), SIGUSR1); /* only the flush thread could take it */
	flush();
	flush();
	signal(SIGUSR1, SIG_IGN);
	sigemptyset(&mine);
	pthread_sigmask(SIG_SETMASK, &mine, NULL);
}
END_TEST

static void *
hammer(void *arg)
{
	for (int i = 0; i < 20000; i++)
		dynm_counter_inc(*(dynm_counter *)arg);
	return NULL;
}

START_TEST(several_runtimes_share_a_process_and_its_threads)
{
	dynm_options o = { .address = d.address, .worker = "second", .flush_ms = 5 };
	dynm_counter one = dynm_counter_create(at, "one_total", ""), two;
	dynm_runtime *second;
	pthread_t t[4];

	ck_assert_int_eq(dynm_open(&second, &o, NULL), DYNM_OK);
	two = dynm_counter_create(dynm_runtime_scope(second), "two_total", "");
	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, hammer, i % 2 ? &one : &two);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	ck_assert_int_eq(dynm_flush(second, PATIENT_MS), DYNM_OK);
	flush();
	ck_assert_double_eq(responder_value(&d, "one_total", 0), 40000);
	ck_assert_double_eq(responder_value(&d, "two_total", 0), 40000);
	dynm_close(second);
	dynm_counter_inc(one);
	flush();
	ck_assert_double_eq(responder_value(&d, "one_total", 0), 40001);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("client_flush");
	TCase *t = tcase_create("flush");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, what_was_counted_before_a_flush_has_arrived_after_it);
	tcase_add_test(t, changes_arrive_without_being_asked_for);
	tcase_add_test(t, a_runtime_without_metrics_says_nothing);
	tcase_add_test(t, an_idle_worker_only_pings);
	tcase_add_test(t, many_children_arrive_in_parts);
	tcase_add_test(t, messages_stay_below_the_daemons_limit);
	tcase_add_test(t, a_daemon_that_comes_late_gets_everything);
	tcase_add_test(t, a_daemon_that_restarts_finds_the_session_again);
	tcase_add_test(t, an_idle_library_comes_back_by_itself);
	tcase_add_test(t, a_daemon_that_has_lost_its_state_is_refilled);
	tcase_add_test(t, a_worker_taken_for_dead_goes_on_from_what_was_counted);
	tcase_add_test(t, a_forgotten_worker_doubles_nothing);
	tcase_add_test(t, a_request_whose_reply_is_lost_is_sent_again_as_it_was);
	tcase_add_loop_test(
	    t, nonsense_from_a_daemon_is_survived, RESPONDER_SILENT, RESPONDER_LONG + 1);
	tcase_add_test(t, a_daemon_that_closes_is_not_stormed);
	tcase_add_test(t, another_version_is_told_in_the_daemons_words_once);
	tcase_add_test(t, a_silent_daemon_is_left_after_the_lease);
	tcase_add_test(t, a_refused_metric_is_told_once_and_takes_nobody_with_it);
	tcase_add_test(t, one_bad_child_in_an_update_is_found_and_left_out);
	tcase_add_test(t, a_removed_child_sends_its_last_count_and_leaves);
	tcase_add_test(t, removing_and_making_again_keeps_cells_dense);
	tcase_add_test(t, gaps_that_removals_leave_are_closed_in_the_next_session);
	tcase_add_test(t, gauges_are_read_in_the_callback_before_each_flush);
	tcase_add_test(t, closing_in_the_callback_is_an_error_not_a_deadlock);
	tcase_add_test(t, a_page_is_exposed_after_a_flush);
	tcase_add_test(t, closing_sends_what_is_left_and_says_good_bye);
	tcase_add_test(t, closing_comes_back_to_a_daemon_that_went_away);
	tcase_add_test(t, closing_waits_an_interval_at_most);
	tcase_add_test(t, a_child_is_a_worker_of_its_own);
	tcase_add_test(t, a_child_does_not_define_what_was_removed_before_the_fork);
	tcase_add_test(t, a_child_of_a_parent_that_waits_can_wait_too);
	tcase_add_test(t, without_threads_it_starts_when_there_are_some);
	tcase_add_test(t, a_child_that_only_updates_reports_by_itself);
	tcase_add_test(t, a_child_that_uses_nothing_is_never_seen);
	tcase_add_test(t, a_child_and_a_closed_runtime_hold_no_descriptor);
	tcase_add_test(t, without_descriptors_it_waits_for_some);
	tcase_add_test(t, the_flush_thread_takes_no_signal_and_masks_stay);
	tcase_add_test(t, several_runtimes_share_a_process_and_its_threads);
	suite_add_tcase(s, t);
	return suite_run(s);
}
