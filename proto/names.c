/* SPDX-License-Identifier: Apache-2.0 */
#include "names.h"

#include <math.h>

/* ---- Characters -------------------------------------------------------- */

/* The bytes of the UTF-8 sequence at p, or 0. Overlong forms, surrogates and code points
 * past U+10FFFF are not UTF-8 (RFC 3629, section 4). */
static size_t
utf8_sequence(const uint8_t *p, size_t left)
{
	size_t n = p[0] < 0x80	 ? 1
		   : p[0] < 0xc2 ? 0
		   : p[0] < 0xe0 ? 2
		   : p[0] < 0xf0 ? 3
				 : 4;

	if (n == 0 || n > left || p[0] > 0xf4 || p[0] == 0)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return n;
}

bool
names_utf8(struct wire_text text)
{
	const uint8_t *p = (const uint8_t *)text.at;

	for (size_t i = 0, n; i < text.bytes; i += n) {
		n = utf8_sequence(p + i, text.bytes - i);
		if (n == 0)
			return false;
	}
	return true;
}

/* Not isalpha(): the rules do not depend on the locale. */
static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool
is_name(struct wire_text name, bool colons)
{
	for (size_t i = 0; i < name.bytes; i++) {
		char c = name.at[i];
		bool digit = c >= '0' && c <= '9';

		if (!is_letter(c) && !(digit && i > 0) && !(colons && c == ':'))
			return false;
	}
	return name.bytes > 0;
}

bool
names_is_metric(struct wire_text name)
{
	return is_name(name, true);
}

bool
names_is_label(struct wire_text name)
{
	return is_name(name, false);
}

int
names_compare(struct wire_text a, struct wire_text b)
{
	size_t least = a.bytes < b.bytes ? a.bytes : b.bytes;
	int order = least ? memcmp(a.at, b.at, least) : 0;

	return order != 0 ? order : (a.bytes > b.bytes) - (a.bytes < b.bytes);
}

const char *
names_show(struct wire_text name, char buf[64])
{
	size_t n = name.bytes < 60 ? name.bytes : 60;

	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)name.at[i];

		buf[i] = c < 0x20 || c > 0x7e ? '?' : (char)c;
	}
	buf[n] = '\0';
	if (n < name.bytes)
		strcpy(buf + n, "...");
	return buf;
}

void
names_make_printable(char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			*text = '?';
}

/* ---- Rules ------------------------------------------------------------- */

enum reason
names_check_text(const char *what, struct wire_text text, size_t most, struct refusal *r)
{
	char shown[64];

	if (text.bytes > most)
		return refuse(r, REASON_LENGTH,
		    "the %s '%s' has %zu bytes; the limit is %zu", what,
		    names_show(text, shown), text.bytes, most);
	if (!names_utf8(text))
		return refuse(r, REASON_UTF8,
		    "the %s '%s' is not valid UTF-8 without NUL", what,
		    names_show(text, shown));
	return REASON_NONE;
}

enum reason
names_check_level(const struct message_level *level, struct refusal *r)
{
	static const char *const words[] = { "namespace", "component", "endpoint" };

	for (size_t i = 0; i < level->depth; i++) {
		enum reason reason =
		    names_check_text(words[i], level->name[i], NAMES_LEVEL_BYTES, r);

		if (reason != REASON_NONE)
			return reason;
		if (level->name[i].bytes == 0)
			return refuse(
			    r, REASON_LEVEL, "the %s has an empty name", words[i]);
	}
	return REASON_NONE;
}

enum reason
names_check_worker(struct wire_text name, struct refusal *r)
{
	return names_check_text("worker name", name, NAMES_WORKER_BYTES, r);
}

static bool
is_prometheus_own(struct wire_text label)
{
	return label.bytes >= 2 && memcmp(label.at, "__", 2) == 0;
}

bool
names_is_reserved(struct wire_text label)
{
	static const char *const always[] = { "namespace", "component", "endpoint",
		"dynamo_namespace", "dynamo_component", "dynamo_endpoint" };

	for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++)
		if (wire_text_is(label, always[i]))
			return true;
	return is_prometheus_own(label);
}

static bool
is_reserved(const struct message_metric *m, struct wire_text label)
{
	if (names_is_reserved(label))
		return true;
	if (m->kind == MESSAGE_HISTOGRAM)
		return wire_text_is(label, "le");
	return m->merge == MESSAGE_EACH && wire_text_is(label, "worker_id");
}

static enum reason
check_label_name(const struct message_metric *m, struct wire_text label,
    const struct names_limits *limits, struct refusal *r)
{
	char shown[64];
	enum reason reason =
	    names_check_text("label name", label, limits->label_bytes, r);

	if (reason != REASON_NONE)
		return reason;
	if (!names_is_label(label))
		return refuse(r, REASON_LABEL,
		    "the label name '%s' is not [a-zA-Z_][a-zA-Z0-9_]*",
		    names_show(label, shown));
	if (is_prometheus_own(label))
		return refuse(r, REASON_RESERVED,
		    "the label name '%s' starts with __: such names are Prometheus' own",
		    names_show(label, shown));
	if (is_reserved(m, label))
		return refuse(r, REASON_RESERVED,
		    "Label '%s' is automatically added by auto_label feature and "
		    "cannot be manually set",
		    names_show(label, shown));
	return REASON_NONE;
}

struct wire_text
names_label(const struct message_metric *m, size_t i)
{
	return i < m->n_constant ? m->constant_name[i]
				 : m->variable_name[i - m->n_constant];
}

static enum reason
check_labels(
    const struct message_metric *m, const struct names_limits *limits, struct refusal *r)
{
	char shown[64];
	size_t n = m->n_constant + m->n_variable;
	enum reason reason;

	if (n > limits->labels || n > MESSAGE_LABELS_MAX)
		return refuse(r, REASON_LIMIT,
		    "the metric '%s' has %zu labels; the limit is %u",
		    names_show(m->name, shown), n, limits->labels);
	for (size_t i = 0; i < n; i++) {
		reason = check_label_name(m, names_label(m, i), limits, r);
		if (reason != REASON_NONE)
			return reason;
		for (size_t k = 0; k < i; k++)
			if (wire_text_equal(names_label(m, i), names_label(m, k)))
				return refuse(r, REASON_DUPLICATE,
				    "Duplicate label key '%s' found in labels",
				    names_show(names_label(m, i), shown));
	}
	return names_check_values(m->n_constant, m->constant_value, limits, r);
}

enum reason
names_check_values(size_t n, const struct wire_text *value,
    const struct names_limits *limits, struct refusal *r)
{
	for (size_t i = 0; i < n; i++) {
		enum reason reason =
		    names_check_text("label value", value[i], limits->label_bytes, r);

		if (reason != REASON_NONE)
			return reason;
	}
	return REASON_NONE;
}

static enum reason
check_bounds(
    const struct message_metric *m, const struct names_limits *limits, struct refusal *r)
{
	char shown[64];

	if (m->kind != MESSAGE_HISTOGRAM && m->n_bounds != 0)
		return refuse(r, REASON_BOUNDS,
		    "the metric '%s' is a %s and takes no buckets",
		    names_show(m->name, shown), message_kind_word(m->kind));
	if (m->n_bounds > limits->buckets)
		return refuse(r, REASON_LIMIT,
		    "the histogram '%s' has %zu buckets; the limit is %u",
		    names_show(m->name, shown), m->n_bounds, limits->buckets);
	for (size_t i = 0; i < m->n_bounds; i++) {
		double bound = message_bound(m, i);

		if (!isfinite(bound) || (i > 0 && bound <= message_bound(m, i - 1)))
			return refuse(r, REASON_BOUNDS,
			    "the bounds of the histogram '%s' have to be finite and "
			    "ascending",
			    names_show(m->name, shown));
	}
	return REASON_NONE;
}

enum reason
names_check_metric(
    const struct message_metric *m, const struct names_limits *limits, struct refusal *r)
{
	char shown[64];
	enum reason reason =
	    names_check_text("metric name", m->name, limits->name_bytes, r);

	if (reason == REASON_NONE && !names_is_metric(m->name))
		reason = refuse(r, REASON_NAME,
		    "the metric name '%s' is not [a-zA-Z_:][a-zA-Z0-9_:]*",
		    names_show(m->name, shown));
	if (reason == REASON_NONE)
		reason = names_check_text("help", m->help, limits->help_bytes, r);
	if (reason == REASON_NONE && m->kind != MESSAGE_GAUGE && m->merge != MESSAGE_SUM)
		reason = refuse(r, REASON_MERGE,
		    "the metric '%s' is a %s: only gauges have a merge",
		    names_show(m->name, shown), message_kind_word(m->kind));
	if (reason == REASON_NONE)
		reason = names_check_level(&m->level, r);
	if (reason == REASON_NONE)
		reason = check_labels(m, limits, r);
	if (reason == REASON_NONE)
		reason = check_bounds(m, limits, r);
	return reason;
}
