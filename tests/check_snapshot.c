/* SPDX-License-Identifier: Apache-2.0 */
/* What outlives the daemon: what is saved is read back, to the last bit. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "json_talk.h"
#include "life.h"
#include "registry_parts.h"
#include "suite.h"

static struct talk *t, *other;

static void
setup(void)
{
	t = talk_new(NULL, NULL);
	other = NULL;
}

static void
teardown(void)
{
	talk_free(t);
	if (other)
		talk_free(other);
}

/* What t knows, in another daemon. */
static void
restart(void)
{
	struct strbuf file = STRBUF_EMPTY, again = STRBUF_EMPTY;

	life_save(t, &file);
	other = life_load(&file, NULL);
	life_same(t, other, "restarted");
	life_save(other, &again);
	ck_assert_uint_eq(file.bytes, again.bytes);
	ck_assert_int_eq(memcmp(file.at, again.at, file.bytes), 0);
	strbuf_free(&file);
	strbuf_free(&again);
}

/* The worker's session in the other daemon, connected. */
static struct talk_worker *
back(const struct talk_worker *from)
{
	struct talk_worker *w = talk_worker(other, from->peer.pid);

	w->peer.uid = from->peer.uid;
	memcpy(w->sid, from->sid, sizeof(w->sid));
	w->has_ticket = true;
	w->ticket = from->ticket;
	w->n = from->n;
	ck_assert_int_eq(talk_hello(w, NULL), MESSAGE_LIVE);
	ck_assert_uint_eq(other->m.last, from->n);
	return w;
}

static struct talk_worker *
worker(pid_t pid)
{
	struct talk_worker *w = talk_worker(t, pid);

	ck_assert_int_eq(talk_hello(w, NULL), MESSAGE_NEW);
	return w;
}

static const struct talk_metric counter = {
	.kind = MESSAGE_COUNTER, .level = "ns", .name = "c", .variable = "b,a"
};

static uint64_t
bits_of(struct talk *of, uint32_t cell)
{
	return of->apply ? registry_column(of->registry, 1)->old[cell] : 0;
}

/* ---- Values ------------------------------------------------------------------ */

START_TEST(nothing_is_a_state_too)
{
	restart();
	ck_assert_str_eq(talk_page(other, ""), "");
}
END_TEST

START_TEST(a_total_is_the_same_to_the_last_bit_and_moves_on)
{
	struct talk_worker *a = worker(1), *b = worker(2);
	double total;

	talk_define(a, &counter, "x,y", 0);
	talk_define(b, &counter, "x,y", 5);
	for (int i = 1; i <= 10; i++) {
		talk_set(a, 0, 0.1 * i);
		talk_set(b, 5, 0.3 * i);
	}
	restart();
	total = registry_totals(other->registry,
	    registry_member(other->registry, registry_family(other->registry, 0), 0))[0];
	ck_assert_uint_eq(wire_bits(total),
	    wire_bits(registry_totals(t->registry,
		registry_member(t->registry, registry_family(t->registry, 0), 0))[0]));
	b = back(b);
	talk_set(b, 5, 4);
	ck_assert_int_eq(talk_bye(b), MESSAGE_OK);
	ck_assert(page_has(other, "dynamo_c{namespace=\"ns\",a=\"y\",b=\"x\"} 5\n"));
}
END_TEST

START_TEST(a_counter_that_nobody_moved_is_still_there_as_0)
{
	talk_define(worker(1), &counter, "x,y", 0);
	restart();
	ck_assert(page_has(other, "{namespace=\"ns\",a=\"y\",b=\"x\"} 0\n"));
}
END_TEST

START_TEST(a_gauge_keeps_every_bit_and_whether_it_was_set)
{
	struct talk_worker *w = worker(1);
	struct talk_metric gauge = {
		.kind = MESSAGE_GAUGE, .level = "", .name = "g", .variable = "a"
	};
	uint8_t bytes[200];
	struct wire_writer out;
	size_t begun;

	talk_define(w, &gauge, "1", 0);
	talk_define(w, &gauge, "2", 1);
	talk_define(w, &gauge, "3", 2);
	wire_writer_init(&out, bytes, sizeof(bytes));
	begun = message_begin_update(&out, w->ticket, ++w->n);
	message_put_record(&out, 0, 0x8000000000000000U);
	message_put_record(&out, 1, 0xfff8000000c0ffeeU);
	message_end(&out, begun, 2);
	ck_assert_int_eq(talk_send(w, bytes, out.bytes), MESSAGE_ACK);
	restart();
	ck_assert_str_eq(talk_page(other, ""),
	    "# TYPE dynamo_g gauge\ndynamo_g{a=\"1\"} -0\ndynamo_g{a=\"2\"} NaN\n");
	ck_assert_uint_eq(bits_of(other, 1), 0xfff8000000c0ffeeU);
	ck_assert_uint_eq(bits_of(other, 2), REGISTRY_UNSET);
	talk_set(back(w), 2, 7);
	ck_assert(page_has(other, "dynamo_g{a=\"3\"} 7\n"));
}
END_TEST

START_TEST(parts_of_a_gauge_keep_their_order)
{
	struct talk_metric gauge = { .kind = MESSAGE_GAUGE, .level = "", .name = "g" };
	static const double values[] = { 1e16, 1, -1e16 };
	struct talk_worker *w[3];

	for (int i = 0; i < 3; i++)
		w[i] = worker(i + 1);
	/* Neither that of the workers nor the opposite. */
	talk_define(w[2], &gauge, "", 0);
	talk_define(w[0], &gauge, "", 0);
	talk_define(w[1], &gauge, "", 0);
	for (int i = 0; i < 3; i++)
		talk_set(w[i], 0, values[i]);
	ck_assert(page_has(t, "dynamo_g 1\n"));
	restart();
	ck_assert(page_has(other, "dynamo_g 1\n"));
}
END_TEST

START_TEST(a_definition_keeps_the_order_of_its_label_names_and_its_number)
{
	struct talk_metric second = counter;
	struct talk_worker *w = worker(1);

	second.id = 7;
	second.variable = "a,b";
	talk_define(w, &counter, NULL, 0);
	talk_define(w, &second, NULL, 0);
	restart();
	w = back(w);
	talk_child(w, 0, "x,y", 0);
	ck_assert_int_eq(talk_refused(other), REASON_NONE);
	ck_assert(page_has(other, "{namespace=\"ns\",a=\"y\",b=\"x\"} 0\n"));
	talk_child(w, 7, "x,y", 1);
	ck_assert(page_has(other, "{namespace=\"ns\",a=\"x\",b=\"y\"} 0\n"));
	talk_child(w, 1, "x,y", 2);
	ck_assert_int_eq(talk_refused(other), REASON_MESSAGE);
	/* The same once more is no news; another shape is. */
	talk_define(w, &second, NULL, 0);
	ck_assert_int_eq(talk_refused(other), REASON_NONE);
	second.constant = "z=1";
	talk_define(w, &second, NULL, 0);
	ck_assert_int_eq(talk_refused(other), REASON_DUPLICATE);
}
END_TEST

START_TEST(a_series_leaves_with_its_last_definer_after_a_restart_too)
{
	struct talk_worker *a = worker(1), *b = worker(2);

	talk_define(a, &counter, "x,y", 0);
	talk_define(b, &counter, "x,y", 0);
	talk_set(a, 0, 3);
	restart();
	talk_remove(back(a), 0);
	ck_assert(page_has(other, " 3\n"));
	talk_remove(back(b), 0);
	ck_assert_str_eq(talk_page(other, ""), "");
}
END_TEST

START_TEST(a_new_series_takes_the_place_that_it_would_have_taken)
{
	struct talk_worker *w = worker(1), *again;
	static const char *const values[] = { "1,y", "2,y", "3,y", "4,y", "5,y" };
	static const char *const more[] = { "6,y", "7,y" };

	for (uint32_t i = 0; i < 5; i++)
		talk_define(w, &counter, values[i], i);
	talk_remove(w, 3);
	talk_remove(w, 1);
	restart();
	again = back(w);
	for (uint32_t i = 0; i < 2; i++) {
		talk_define(w, &counter, more[i], 10 + i);
		talk_define(again, &counter, more[i], 10 + i);
	}
	ck_assert_str_eq(talk_page(t, ""), talk_page(other, ""));
	ck_assert_ptr_nonnull(strstr(talk_page(other, ""),
	    "b=\"6\"} 0\ndynamo_c{namespace=\"ns\",a=\"y\",b=\"3\"}"));
}
END_TEST

START_TEST(what_a_worker_dropped_is_not_counted_twice)
{
	struct talk_worker *w = worker(1);
	double dropped = 5;

	talk_update(w, MESSAGE_CELL_DROPPED, 1, &dropped);
	restart();
	apply_refresh(other->apply);
	ck_assert_double_eq(
	    self_cells(other->self, SELF_CLIENT_DROPPED_UPDATES, 0)[0], 0);
	dropped = 7;
	talk_update(back(w), MESSAGE_CELL_DROPPED, 1, &dropped);
	apply_refresh(other->apply);
	ck_assert_double_eq(
	    self_cells(other->self, SELF_CLIENT_DROPPED_UPDATES, 0)[0], 2);
}
END_TEST

/* ---- Sessions ------------------------------------------------------------------ */

START_TEST(a_folded_session_is_remembered_and_a_serial_is_never_given_again)
{
	struct talk_worker *silent = worker(1), *gone, *w;
	uint64_t serial;

	talk_define(silent, &counter, "x,y", 0);
	gone = worker(2);
	serial = gone->ticket.serial;
	talk_bye(gone);
	pass_ms(t, 20000);
	restart();
	w = talk_worker(other, 1);
	memcpy(w->sid, silent->sid, sizeof(w->sid));
	w->has_ticket = true;
	w->ticket = silent->ticket;
	ck_assert_int_eq(talk_hello(w, NULL), MESSAGE_FOLDED);
	ck_assert_uint_eq(other->m.last, 1);
	memcpy(w->sid, gone->sid, sizeof(w->sid));
	w->ticket = gone->ticket;
	ck_assert_int_eq(talk_hello(w, NULL), MESSAGE_EXPIRED);
	w->has_ticket = false;
	ck_assert_int_eq(talk_hello(w, NULL), MESSAGE_NEW);
	ck_assert_uint_eq(w->ticket.serial, serial + 1);
}
END_TEST

START_TEST(a_worker_whose_name_a_successor_has_gets_another)
{
	struct talk_worker *a = talk_worker(t, 1), *b = talk_worker(t, 2);
	struct talk_metric each = {
		.kind = MESSAGE_GAUGE, .merge = MESSAGE_EACH, .level = "", .name = "g"
	};

	talk_hello(a, "w");
	talk_define(a, &each, "", 0);
	talk_set(a, 0, 1);
	talk_disconnect(a, false);
	talk_hello(b, "w");
	talk_define(b, &each, "", 0);
	talk_set(b, 0, 2);
	ck_assert(!page_has(t, " 1\n"));
	restart();
	ck_assert(page_has(other, "{worker_id=\"w\"} 2\n"));
	back(b);
	back(a);
	ck_assert(page_has(other, "{worker_id=\"w\"} 2\n"));
	ck_assert(page_has(other, "{worker_id=\"w-2\"} 1\n"));
}
END_TEST

/* ---- JSON ---------------------------------------------------------------------- */

START_TEST(a_message_is_known_again)
{
	static const char known[] = "{\"id\":\"a\",\"metrics\":[" INC "]}";
	static const char half[] =
	    "{\"id\":\"b\",\"metrics\":[" INC ",{\"name\":\"1\",\"type\":\"counter\"}]}";
	char *answer;

	must_be_done(t, known);
	answer = strdup(talk_json(t, half));
	restart();
	must_be_done(other, known);
	ck_assert_str_eq(talk_json(other, half), answer);
	ck_assert(page_has(other, "dynamo_c 2\n"));
	must_be_refused(other, "{\"id\":\"a\",\"metrics\":[" INC " ]}", "duplicate");
	pass_ms(other, 601000);
	must_be_done(other, known);
	ck_assert(page_has(other, "dynamo_c 3\n"));
	free(answer);
}
END_TEST

START_TEST(a_gauge_of_nobody_s_stays_and_ends_when_it_is_to)
{
	must_be_done(
	    t, METRICS("{\"name\":\"g\",\"type\":\"gauge\",\"set\":1},"
		       "{\"name\":\"h\",\"type\":\"gauge\",\"set\":2,\"ttl_s\":10}"));
	restart();
	ck_assert(page_has(other, "dynamo_g 1\n") && page_has(other, "dynamo_h 2\n"));
	pass_ms(other, 9800);
	ck_assert(page_has(other, "dynamo_h 2\n"));
	pass_ms(other, 400);
	ck_assert(page_has(other, "dynamo_g 1\n") && !page_has(other, "dynamo_h"));
	must_be_done(other, METRICS("{\"name\":\"g\",\"type\":\"gauge\",\"add\":1}"));
	ck_assert(page_has(other, "dynamo_g 2\n"));
	must_be_done(other, METRICS("{\"name\":\"g\",\"remove\":true}"));
	ck_assert_str_eq(talk_page(other, ""), "");
}
END_TEST

START_TEST(what_nobody_touches_leaves_when_it_would_have)
{
	struct talk_worker *w = worker(1);

	talk_define(w, &counter, "x,y", 0);
	talk_bye(w);
	pass_ms(t, 60000);
	restart();
	registry_set_time(other->registry, other->now_ms + 39000);
	registry_tidy(other->registry, 100);
	ck_assert(page_has(other, "dynamo_c"));
	registry_set_time(other->registry, other->now_ms + 45000);
	registry_tidy(other->registry, 100);
	ck_assert(!page_has(other, "dynamo_c"));
}
END_TEST

/* ---- The file ------------------------------------------------------------------ */

struct pieces {
	struct strbuf all;
	size_t longest;
};

static int
put(void *arg, const void *bytes, size_t n)
{
	struct pieces *p = arg;

	strbuf_add(&p->all, bytes, n);
	p->longest = n > p->longest ? n : p->longest;
	return 0;
}

START_TEST(the_head_comes_back_as_it_was)
{
	struct journal_head head = life_head(t), read;
	struct pieces p = { .longest = 0 };
	struct snapshot_sink sink = { put, &p };
	char why[SNAPSHOT_TEXT];

	ck_assert_int_eq(snapshot_write(t->apply, &head, &sink), 0);
	other = talk_new(NULL, NULL);
	ck_assert_int_eq(
	    snapshot_read(other->apply, p.all.at, p.all.bytes, &read, NULL, why),
	    SNAPSHOT_OK);
	ck_assert_uint_eq(read.format, JOURNAL_FORMAT);
	ck_assert_uint_eq(read.store, head.store);
	ck_assert_uint_eq(read.generation, head.generation);
	ck_assert_uint_eq(read.first, head.first);
	ck_assert_int_eq(memcmp(read.secret, head.secret, sizeof(head.secret)), 0);
	ck_assert_int_eq(memcmp(read.boot, head.boot, sizeof(head.boot)), 0);
	ck_assert_uint_eq(read.pid_namespace, head.pid_namespace);
	ck_assert_int_eq(read.offset_ms, head.offset_ms);
	ck_assert_uint_eq(read.clock_ms, head.clock_ms);
	ck_assert_uint_eq(read.unix_ms, head.unix_ms);
	strbuf_free(&p.all);
}
END_TEST

START_TEST(a_large_state_is_written_in_small_pieces)
{
	struct journal_head head = life_head(t);
	struct pieces p = { .longest = 0 };
	struct snapshot_sink sink = { put, &p };
	struct talk_worker *w = worker(1);
	char values[32];

	talk_define(w, &counter, NULL, 0);
	for (uint32_t i = 0; i < 20000; i++) {
		snprintf(values, sizeof(values), "%u,%u", i, i % 10);
		talk_child(w, 0, values, i);
		talk_set(w, i, i);
	}
	ck_assert_int_eq(snapshot_write(t->apply, &head, &sink), 0);
	ck_assert_uint_lt(p.longest, 65536);
	ck_assert_uint_gt(p.all.bytes, 10 * p.longest);
	restart();
	strbuf_free(&p.all);
}
END_TEST

static int
put_pipe(void *arg, const void *bytes, size_t n)
{
	return write(*(int *)arg, bytes, n) == (ssize_t)n ? 0 : 5;
}

START_TEST(a_child_writes_the_moment_of_its_fork)
{
	struct journal_head head = life_head(t);
	struct talk_worker *w = worker(1);
	struct strbuf file = STRBUF_EMPTY;
	char bytes[4096];
	int fds[2], status;
	ssize_t n;
	pid_t pid;

	talk_define(w, &counter, "x,y", 0);
	talk_set(w, 0, 1);
	ck_assert_int_eq(pipe(fds), 0);
	pid = fork();
	if (pid == 0) {
		struct snapshot_sink sink = { put_pipe, &fds[1] };

		_exit(snapshot_write(t->apply, &head, &sink));
	}
	close(fds[1]);
	talk_set(w, 0, 2);
	talk_define(w, &counter, "z,y", 1);
	while ((n = read(fds[0], bytes, sizeof(bytes))) > 0)
		strbuf_add(&file, bytes, (size_t)n);
	close(fds[0]);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	other = life_load(&file, NULL);
	ck_assert_str_eq(talk_page(other, ""),
	    "# TYPE dynamo_c counter\ndynamo_c{namespace=\"ns\",a=\"y\",b=\"x\"} 1\n");
	strbuf_free(&file);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("snapshot");
	TCase *all = tcase_create("all");

	tcase_set_timeout(all, 60);
	tcase_add_checked_fixture(all, setup, teardown);
	tcase_add_test(all, nothing_is_a_state_too);
	tcase_add_test(all, a_total_is_the_same_to_the_last_bit_and_moves_on);
	tcase_add_test(all, a_counter_that_nobody_moved_is_still_there_as_0);
	tcase_add_test(all, a_gauge_keeps_every_bit_and_whether_it_was_set);
	tcase_add_test(all, parts_of_a_gauge_keep_their_order);
	tcase_add_test(
	    all, a_definition_keeps_the_order_of_its_label_names_and_its_number);
	tcase_add_test(all, a_series_leaves_with_its_last_definer_after_a_restart_too);
	tcase_add_test(all, a_new_series_takes_the_place_that_it_would_have_taken);
	tcase_add_test(all, what_a_worker_dropped_is_not_counted_twice);
	tcase_add_test(
	    all, a_folded_session_is_remembered_and_a_serial_is_never_given_again);
	tcase_add_test(all, a_worker_whose_name_a_successor_has_gets_another);
	tcase_add_test(all, a_message_is_known_again);
	tcase_add_test(all, a_gauge_of_nobody_s_stays_and_ends_when_it_is_to);
	tcase_add_test(all, what_nobody_touches_leaves_when_it_would_have);
	tcase_add_test(all, the_head_comes_back_as_it_was);
	tcase_add_test(all, a_large_state_is_written_in_small_pieces);
	tcase_add_test(all, a_child_writes_the_moment_of_its_fork);
	suite_add_tcase(suite, all);
	return suite_run(suite);
}
