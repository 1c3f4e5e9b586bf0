/* SPDX-License-Identifier: Apache-2.0 */
/* EXPOSE and STATUS: what the daemon answers in text. */
#include <stdio.h>
#include <stdlib.h>

#include "suite.h"
#include "talk.h"

static struct talk *t;
static struct talk_worker *a, *b;

static void
setup(void)
{
	t = talk_new(NULL, NULL);
	a = talk_worker(t, 100);
	b = talk_worker(t, 200);
}

static void
teardown(void)
{
	talk_free(t);
}

static const struct talk_metric counter = {
	.kind = MESSAGE_COUNTER, .level = "", .name = "c"
};
static const struct talk_metric gauge = {
	.id = 1, .kind = MESSAGE_GAUGE, .level = "", .name = "g"
};

#define check_says(text, part) \
	ck_assert_msg(strstr(text, part) != NULL, "no \"%s\" in: %s", part, text)
#define check_says_not(text, part) \
	ck_assert_msg(strstr(text, part) == NULL, "\"%s\" in: %s", part, text)

static enum message_type
send_simple(void (*put)(struct wire_writer *))
{
	uint8_t bytes[64];
	struct wire_writer w;

	wire_writer_init(&w, bytes, sizeof(bytes));
	put(&w);
	return talk_send(b, bytes, w.bytes);
}

static void
put_expose_runtime(struct wire_writer *w)
{
	struct message_level level = { 0 };

	message_put_expose(w, &level);
}

START_TEST(expose_gives_the_text_and_status_the_workers)
{
	talk_hello(a, NULL);
	talk_define(a, &counter, "", 0);
	ck_assert_int_eq(send_simple(put_expose_runtime), MESSAGE_TEXT);
	ck_assert_ptr_nonnull(
	    memmem(t->m.text.at, t->m.text.bytes, "\ndynamo_c 0\n", 12));
	ck_assert_ptr_nonnull(
	    memmem(t->m.text.at, t->m.text.bytes, "\ndynamo_metricsd_workers 1\n", 27));
	ck_assert_int_eq(send_simple(message_put_status), MESSAGE_TEXT);
	ck_assert_ptr_nonnull(memmem(t->m.text.at, t->m.text.bytes, "\"pid\":100", 9));
}
END_TEST

START_TEST(no_page_is_made_for_a_peer_that_gets_no_reply)
{
	void (*const puts[])(
	    struct wire_writer *) = { put_expose_runtime, message_put_status };
	uint8_t bytes[64];
	struct wire_writer w;

	b->peer.unheard = true;
	for (size_t i = 0; i < 2; i++) {
		wire_writer_init(&w, bytes, sizeof(bytes));
		puts[i](&w);
		apply_request(t->apply, &b->peer, bytes, w.bytes, t->now_ms, &t->reply);
		ck_assert_uint_eq(t->reply.bytes, 0);
	}
	ck_assert_ptr_null(strstr(t->logged.at, "refused"));
}
END_TEST

START_TEST(expose_over_the_message_limit_is_refused_with_advice)
{
	struct apply_options o = { .store = TALK_STORE,
		.lease_ms = 10,
		.grace_ms = 5,
		.message_bytes = 4096,
		.json_bytes = 65536,
		.version = "0" };

	talk_free(t);
	t = talk_new(NULL, &o);
	b = talk_worker(t, 1);
	ck_assert_int_eq(send_simple(put_expose_runtime), MESSAGE_ERROR);
	ck_assert_int_eq(t->m.reason, REASON_LIMIT);
	ck_assert_ptr_nonnull(memmem(t->m.text.at, t->m.text.bytes, "use HTTP", 8));
}
END_TEST

static const char *
status(void)
{
	struct strbuf out = STRBUF_EMPTY;
	static char text[4096];

	apply_status(t->apply, t->now_ms, &out);
	ck_assert_uint_lt(out.bytes, sizeof(text));
	memcpy(text, out.at, out.bytes + 1);
	strbuf_free(&out);
	return text;
}

START_TEST(status_tells_when_a_worker_reported_last)
{
	talk_hello(a, NULL);
	talk_define(a, &gauge, "", 0);
	check_says_not(status(), "updated_ms");
	talk_set(a, 0, 1);
	t->now_ms += 40;
	talk_ping(a);
	t->now_ms += 2;
	check_says(status(), "\"idle_ms\":2,\"updated_ms\":42,");
}
END_TEST

START_TEST(status_has_the_totals)
{
	talk_hello(a, NULL);
	talk_json(t, "{");
	talk_json(t, "{}");
	check_says(status(), "\"totals\":{\"connections\":0,\"messages\":3,"
			     "\"received_bytes\":");
	check_says(status(), ",\"folded_total\":0,\"remembered\":0,\"resent_total\":0,"
			     "\"refused_total\":2,\"client_dropped_total\":0,");
	check_says(status(), "},\"workers\":[{");
	ck_assert_int_eq(talk_again(a), MESSAGE_NEW);
	talk_bye(a);
	check_says(status(), ",\"folded_total\":1,\"remembered\":0,");
}
END_TEST

static void
put_state(void *arg, struct strbuf *out)
{
	strbuf_addf(out, "{\"n\":%d}", *(int *)arg);
}

START_TEST(status_has_the_state_where_there_is_one)
{
	int n = 7;
	struct apply_options o = { .lease_ms = 1,
		.message_bytes = 1 << 20,
		.version = "0",
		.state_status = put_state,
		.refresh_arg = &n };

	ck_assert_ptr_null(strstr(status(), "\"state\""));
	talk_free(t);
	t = talk_new(NULL, &o);
	a = talk_worker(t, 1);
	check_says(status(), ",\"state\":{\"n\":7},\"workers\":[]}");
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("apply_text");
	TCase *c = tcase_create("text");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, expose_gives_the_text_and_status_the_workers);
	tcase_add_test(c, no_page_is_made_for_a_peer_that_gets_no_reply);
	tcase_add_test(c, expose_over_the_message_limit_is_refused_with_advice);
	tcase_add_test(c, status_tells_when_a_worker_reported_last);
	tcase_add_test(c, status_has_the_totals);
	tcase_add_test(c, status_has_the_state_where_there_is_one);
	suite_add_tcase(s, c);
	return suite_run(s);
}
