/* SPDX-License-Identifier: Apache-2.0 */
/* Messages in JSON. */
#include <jansson.h>
#include <stdio.h>

#include "apply_parts.h"
#include "play.h"

/* ---- JSON ------------------------------------------------------------------------ */

/* What a message that is taken whole would add. */
struct adds {
	double counted[2], observed[2];
	bool may_remove;
};

static size_t
put_json_metric(struct play *p, char *out, size_t room, struct adds *adds, int i)
{
	static const char *const gauges[] = { "sum", "each", "last", "jg" };
	static const char *const merges[] = { "sum", "each", "last", "min" };
	static const char *const labels[] = { "", ",\"labels\":{\"l\":\"x\"}",
		",\"labels\":{\"l\":\"\\\\q\\\"\\n\"}", ",\"labels\":{\"k\":\"\"}" };
	uint32_t what = play_any(p, 16), v = play_any(p, 256), pick = play_any(p, 16);
	const char *l = labels[pick % PLAY_COUNT(labels)];
	const char *name = pick & 4 ? "c" : "jc", *dot = p->whole ? "" : ".1";

	adds->counted[i] = adds->observed[i] = 0;
	if (what < 6) {
		adds->counted[i] = v;
		return (size_t)snprintf(out, room,
		    "{\"name\":\"%s\",\"type\":\"counter\",\"inc\":%u%s%s}", name, v, dot,
		    l);
	}
	if (what < 9) {
		adds->observed[i] = 2;
		return (size_t)snprintf(out, room,
		    "{\"name\":\"h\",\"type\":\"histogram\",\"buckets\":[1,2],"
		    "\"observe\":[%u,0.5]%s}",
		    v, l);
	}
	if (what < 14)
		return (size_t)snprintf(out, room,
		    "{\"name\":\"%s\",\"type\":\"gauge\",\"merge\":\"%s\",\"%s\":%u,"
		    "\"ttl_s\":%u%s}",
		    gauges[v % 4], merges[v / 4 % 4], what == 9 ? "add" : "set", v,
		    what == 9 ? 0 : pick * 3, l);
	adds->may_remove = true;
	return (size_t)snprintf(out, room, "{\"name\":\"%s\",\"remove\":true%s}",
	    what == 14 ? name : gauges[v % 4], l);
}

/* Refused metrics add nothing. */
static void
leave_out_refused(const char *answer, struct adds *adds)
{
	const char *at = answer;

	while ((at = strstr(at, "\"index\":")) != NULL) {
		at += 8;
		if (*at == '0' || *at == '1')
			adds->counted[*at - '0'] = adds->observed[*at - '0'] = 0;
	}
}

static void
check_json_answer(const struct strbuf *reply)
{
	json_t *json = json_loadb(reply->at, reply->bytes, 0, NULL);

	fuzz_must(
	    json_is_boolean(json_object_get(json, "ok")), "JSON is answered in JSON");
	json_decref(json);
}

/* adds NULL: of that nothing is known. */
static void
send_json(
    struct play *p, uint32_t from, const char *text, size_t bytes, struct adds *adds)
{
	struct world *w = &p->w;
	size_t before, after;
	enum world_change change = WORLD_NOTHING;

	world_before(w);
	journal_bytes(w->journal, &before);
	strbuf_reset(&w->reply);
	apply_request(w->apply, &p->who[from].peer, text, bytes, w->now_ms, &w->reply);
	journal_bytes(w->journal, &after);
	check_json_answer(&w->reply);
	if (after > before)
		change = !adds || adds->may_remove || !p->whole ? WORLD_ANY : WORLD_MORE;
	fuzz_must(!p->json_known || w->now_ms >= p->json_until_ms || text != p->json ||
		      after == before,
	    "what was counted is not counted again");
	if (adds)
		leave_out_refused(w->reply.at, adds);
	world_after(w, change, adds ? adds->counted[0] + adds->counted[1] : 0,
	    adds ? adds->observed[0] + adds->observed[1] : 0);
	if (adds) {
		p->json_known =
		    after > before &&
		    (p->who[from].peer.has_request || strstr(text, "\"id\"")) &&
		    w->options.dedupe_ms > 0;
		p->json_until_ms = w->now_ms + w->options.dedupe_ms;
	}
}

void
play_json(struct play *p)
{
	struct adds adds = { .may_remove = false };
	uint32_t how = play_any(p, 64), from = play_any(p, PLAY_PEERS);
	char id[32] = "";
	size_t n;

	p->who[from].peer.has_request = how & 1;
	p->who[from].peer.request = 0x80000000U | play_any(p, 8);
	if (how & 2)
		snprintf(id, sizeof(id), "\"id\":\"%u\",", how / 4 % 4);
	p->json_known = false;
	p->json_from = from;
	n = (size_t)snprintf(p->json, sizeof(p->json), "{%s%s\"metrics\":[", id,
	    how & 16 ? "\"namespace\":\"ns\"," : "");
	n += put_json_metric(p, p->json + n, sizeof(p->json) - n, &adds, 0);
	adds.counted[1] = adds.observed[1] = 0;
	if (how & 32) {
		p->json[n++] = ',';
		n += put_json_metric(p, p->json + n, sizeof(p->json) - n, &adds, 1);
	}
	n += (size_t)snprintf(p->json + n, sizeof(p->json) - n, "]}");
	fuzz_must(n < sizeof(p->json), "the message is whole");
	send_json(p, from, p->json, n, &adds);
}

void
play_json_again(struct play *p)
{
	if (p->json[0])
		send_json(p, p->json_from, p->json, strlen(p->json), NULL);
}

void
play_json_wild(struct play *p)
{
	char text[160] = "{\"metrics\":[{\"name\":\"w\",";
	size_t n = strlen(text), more = p->in.bytes < 100 ? p->in.bytes : 100;

	memcpy(text + n, fuzz_bytes(&p->in, more).at, more);
	send_json(p, 0, text, n + more, NULL);
}
