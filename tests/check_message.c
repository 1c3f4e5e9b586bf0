/* SPDX-License-Identifier: Apache-2.0 */
/* The frames of PROTOCOL.md are what message.c writes, and what it reads. */
#include <stdlib.h>

#include "golden.h"
#include "sp.h"
#include "suite.h"

/* ---- Frames ------------------------------------------------------------ */

START_TEST(a_frame_of_the_page_is_what_the_code_writes)
{
	const struct golden *g = &goldens[_i];
	uint8_t expected[GOLDEN_ROOM], written[GOLDEN_ROOM];
	struct wire_writer w;
	size_t n = golden_frame(g->name, expected);

	wire_writer_init(&w, written, sizeof(written));
	g->put(&w);
	ck_assert(!w.failed);
	ck_assert_msg(
	    w.bytes == n, "%s: %zu bytes written, %zu on the page", g->name, w.bytes, n);
	for (size_t i = 0; i < n; i++)
		ck_assert_msg(written[i] == expected[i],
		    "%s: byte %zu is %02x, on the page %02x", g->name, i, written[i],
		    expected[i]);
}
END_TEST

START_TEST(an_sp_frame_of_the_page_is_what_the_code_writes)
{
	static const struct {
		const char *name;
		enum sp_protocol protocol;
	} headers[] = { { "sp-header-req", SP_REQ }, { "sp-header-rep", SP_REP },
		{ "sp-header-push", SP_PUSH }, { "sp-header-pull", SP_PULL } };
	uint8_t expected[GOLDEN_ROOM], written[GOLDEN_ROOM], ping[GOLDEN_ROOM];
	size_t n = golden_frame("ping", ping);

	ck_assert_uint_lt(n, 100);

	for (size_t i = 0; i < 4; i++) {
		ck_assert_uint_eq(
		    golden_frame(headers[i].name, expected), SP_HEADER_BYTES);
		sp_put_header(written, headers[i].protocol);
		ck_assert_mem_eq(written, expected, SP_HEADER_BYTES);
	}
	sp_put_frame(written, 4 + n);
	sp_put_request_id(written + SP_FRAME_BYTES, 1);
	memcpy(written + SP_FRAME_BYTES + 4, ping, n);
	ck_assert_uint_eq(golden_frame("sp-ping", expected), SP_FRAME_BYTES + 4 + n);
	ck_assert_mem_eq(written, expected, SP_FRAME_BYTES + 4 + n);

	sp_put_frame(written, 8 + n);
	memcpy(written + SP_FRAME_BYTES, (uint8_t[]){ 0, 0, 0, 5 }, 4);
	sp_put_request_id(written + SP_FRAME_BYTES + 4, 1);
	memcpy(written + SP_FRAME_BYTES + 8, ping, n);
	ck_assert_uint_eq(
	    golden_frame("sp-ping-device", expected), SP_FRAME_BYTES + 8 + n);
	ck_assert_mem_eq(written, expected, SP_FRAME_BYTES + 8 + n);
	ck_assert_uint_eq(sp_backtrace_bytes(expected + SP_FRAME_BYTES, 8 + n), 8);
}
END_TEST

START_TEST(every_frame_of_the_page_is_tested)
{
	ck_assert_ptr_null(goldens[GOLDENS].name);
	ck_assert_uint_eq(golden_frames(), GOLDENS + GOLDENS_SP);
}
END_TEST

static void
copy_items(struct wire_writer *w, struct message *m)
{
	struct message_item item;

	for (uint32_t i = 0; i < m->count; i++) {
		message_next_item(&m->items, &item);
		if (item.type == MESSAGE_ITEM_METRIC)
			message_put_metric(w, &item.metric);
		else
			message_put_child(w, &item.child);
	}
}

static void
copy_refused(struct wire_writer *w, struct message *m)
{
	struct message_refused in;
	struct refusal out;

	for (uint32_t i = 0; i < m->count; i++) {
		message_next_refused(&m->refused, &in);
		out = (struct refusal){ .reason = in.reason };
		memcpy(out.text, in.text.at, in.text.bytes);
		message_put_refused_item(w, in.index, &out);
	}
}

static void
copy_records(struct wire_writer *w, const struct message *m)
{
	for (uint32_t i = 0; i < m->count; i++)
		if (m->type == MESSAGE_REMOVE)
			message_put_cell(w, wire_load_u32(m->records + 4 * i));
		else
			message_put_record(w, wire_load_u32(m->records + 12 * i),
			    wire_load_u64(m->records + 12 * i + 4));
}

/* Write what was decoded. */
static void
copy(struct wire_writer *w, struct message *m)
{
	struct refusal r = { .reason = m->reason };
	size_t begun;

	memcpy(r.text, m->text.at ? m->text.at : "", m->text.bytes);
	switch (m->type) {
	case MESSAGE_HELLO:
		message_put_hello(w, m);
		return;
	case MESSAGE_DEFINE:
		begun = message_begin_define(w, m->ticket, m->n);
		copy_items(w, m);
		message_end(w, begun, m->count);
		return;
	case MESSAGE_UPDATE:
		begun = message_begin_update(w, m->ticket, m->n);
		copy_records(w, m);
		message_end(w, begun, m->count);
		return;
	case MESSAGE_REMOVE:
		begun = message_begin_remove(w, m->ticket, m->n);
		copy_records(w, m);
		message_end(w, begun, m->count);
		return;
	case MESSAGE_PING:
		message_put_ping(w, m->ticket);
		return;
	case MESSAGE_BYE:
		message_put_bye(w, m->ticket);
		return;
	case MESSAGE_EXPOSE:
		message_put_expose(w, &m->level);
		return;
	case MESSAGE_STATUS:
		message_put_status(w);
		return;
	case MESSAGE_ADMIN:
		message_put_admin(w, m->text);
		return;
	case MESSAGE_NEW:
	case MESSAGE_LIVE:
		message_put_welcome(w, m);
		return;
	case MESSAGE_FOLDED:
		message_put_folded(w, m->store, m->last);
		return;
	case MESSAGE_EXPIRED:
		message_put_expired(w, m->store);
		return;
	case MESSAGE_STALE:
		message_put_stale(w, m->store);
		return;
	case MESSAGE_UNBOUND:
		message_put_unbound(w);
		return;
	case MESSAGE_ACK:
		begun = message_begin_ack(w, m->n);
		copy_refused(w, m);
		message_end(w, begun, m->count);
		return;
	case MESSAGE_REFUSED:
		message_put_refused(w, m->n, &r);
		return;
	case MESSAGE_OK:
		message_put_ok(w);
		return;
	case MESSAGE_TEXT:
		message_put_text(w, m->text);
		return;
	case MESSAGE_ERROR:
		message_put_error(w, &r);
		return;
	}
}

START_TEST(a_frame_decoded_and_written_again_is_the_same)
{
	uint8_t expected[GOLDEN_ROOM], written[GOLDEN_ROOM];
	struct wire_writer w;
	struct message m;
	struct refusal r = { 0 };
	size_t n = golden_frame(goldens[_i].name, expected);

	ck_assert_msg(message_decode(&m, expected, n, &r) == REASON_NONE, "%s: %s",
	    goldens[_i].name, r.text);
	wire_writer_init(&w, written, sizeof(written));
	copy(&w, &m);
	ck_assert(!w.failed);
	ck_assert_uint_eq(w.bytes, n);
	ck_assert_mem_eq(written, expected, n);
}
END_TEST

START_TEST(a_truncated_frame_is_refused)
{
	uint8_t bytes[GOLDEN_ROOM];
	size_t n = golden_frame(goldens[_i].name, bytes);

	for (size_t most = 0; most < n; most++) {
		struct refusal r = { 0 };

		ck_assert_msg(golden_decode(bytes, most, &r) == REASON_MESSAGE,
		    "%s: %zu of %zu bytes", goldens[_i].name, most, n);
		ck_assert_uint_eq(r.reason, REASON_MESSAGE);
	}
}
END_TEST

START_TEST(a_frame_with_a_byte_too_many_is_refused)
{
	uint8_t bytes[GOLDEN_ROOM + 1] = { 0 };
	size_t n = golden_frame(goldens[_i].name, bytes);

	bytes[n] = 0;
	ck_assert_uint_eq(golden_decode(bytes, n + 1, NULL), REASON_MESSAGE);
}
END_TEST

START_TEST(a_frame_with_any_byte_changed_is_decoded_safely)
{
	static const uint8_t values[] = { 0, 1, 2, 4, 0x7f, 0x80, 0xff };
	uint8_t bytes[GOLDEN_ROOM];
	size_t n = golden_frame(goldens[_i].name, bytes);

	for (size_t at = 0; at < n; at++) {
		uint8_t was = bytes[at];

		for (size_t v = 0; v < sizeof(values); v++) {
			bytes[at] = values[v];
			golden_decode(bytes, n, NULL);
		}
		bytes[at] = was;
	}
}
END_TEST

START_TEST(a_message_that_does_not_fit_is_not_written)
{
	uint8_t bytes[GOLDEN_ROOM];
	size_t n = golden_frame(goldens[_i].name, bytes);

	for (size_t room = 0; room < n; room++) {
		uint8_t *alone = malloc(room ? room : 1);
		struct wire_writer w;

		ck_assert_ptr_nonnull(alone);
		wire_writer_init(&w, alone, room);
		goldens[_i].put(&w);
		ck_assert_msg(w.failed, "%s in %zu bytes", goldens[_i].name, room);
		ck_assert_uint_le(w.bytes, room);
		free(alone);
	}
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("message");
	TCase *t = tcase_create("frames");

	tcase_add_unchecked_fixture(t, golden_open, golden_close);
	tcase_add_loop_test(t, a_frame_of_the_page_is_what_the_code_writes, 0, GOLDENS);
	tcase_add_test(t, an_sp_frame_of_the_page_is_what_the_code_writes);
	tcase_add_test(t, every_frame_of_the_page_is_tested);
	tcase_add_loop_test(t, a_frame_decoded_and_written_again_is_the_same, 0, GOLDENS);
	tcase_add_loop_test(t, a_truncated_frame_is_refused, 0, GOLDENS);
	tcase_add_loop_test(t, a_frame_with_a_byte_too_many_is_refused, 0, GOLDENS);
	tcase_add_loop_test(
	    t, a_frame_with_any_byte_changed_is_decoded_safely, 0, GOLDENS);
	tcase_add_loop_test(t, a_message_that_does_not_fit_is_not_written, 0, GOLDENS);
	suite_add_tcase(s, t);
	return s;
}

int
main(void)
{
	return suite_run(suite());
}
