/* SPDX-License-Identifier: Apache-2.0 */
#include "health.h"

static const char *
word(bool ready)
{
	return ready ? "ready" : "notready";
}

bool
health_is_ready(const struct health *h, const struct apply *apply)
{
	if (h->endpoints == NULL || h->endpoints[0] == NULL)
		return h->starting_ready || apply_had_worker(apply);
	for (size_t i = 0; h->endpoints[i]; i++)
		if (!apply_endpoint_live(apply, h->endpoints[i]))
			return false;
	return true;
}

static void
add_json_text(struct strbuf *out, const char *text)
{
	strbuf_addc(out, '"');
	for (const char *p = text; *p; p++) {
		if (*p == '"' || *p == '\\')
			strbuf_addf(out, "\\%c", *p);
		else if ((unsigned char)*p < 0x20)
			strbuf_addf(out, "\\u%04x", (unsigned)*p);
		else
			strbuf_addc(out, *p);
	}
	strbuf_addc(out, '"');
}

void
health_print(const struct health *h, const struct apply *apply, bool ready, bool problems,
    uint64_t now_ns, struct strbuf *out)
{
	uint64_t up_ns = now_ns - h->started_ns;

	strbuf_addf(out, "{\"status\":\"%s\",\"uptime\":{\"secs\":%llu,\"nanos\":%llu},",
	    word(ready), (unsigned long long)(up_ns / 1000000000U),
	    (unsigned long long)(up_ns % 1000000000U));
	strbuf_adds(out, "\"endpoints\":{");
	for (size_t i = 0; h->endpoints && h->endpoints[i]; i++) {
		strbuf_adds(out, i ? "," : "");
		add_json_text(out, h->endpoints[i]);
		strbuf_addf(
		    out, ":\"%s\"", word(apply_endpoint_live(apply, h->endpoints[i])));
	}
	strbuf_addc(out, '}');
	if (problems) {
		strbuf_adds(out, ",\"problems\":");
		if (h->problems)
			h->problems(h->problems_arg, out);
		else
			strbuf_adds(out, "[]");
	}
	strbuf_addc(out, '}');
}
