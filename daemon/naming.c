/* SPDX-License-Identifier: Apache-2.0 */
#include "naming.h"

#include <stdlib.h>

#include "self_metrics.h"
#include "texts.h"

static const char *const seed_words[] = { "namespace", "component", "endpoint" };
static const char *const component_words[] = { "dynamo_namespace", "dynamo_component",
	"dynamo_endpoint" };

const char *
naming_prefix(const struct naming *naming)
{
	return naming->component ? "dynamo_component_" : "dynamo_";
}

const char *
naming_hierarchy(const struct naming *naming, uint32_t depth)
{
	return naming->component ? component_words[depth - 1] : seed_words[depth - 1];
}

/* ---- Constant labels ---------------------------------------------------- */

size_t
naming_constants(const struct naming *naming)
{
	size_t n = 0;

	while (naming->labels && naming->labels[2 * n])
		n++;
	return n;
}

/* One of the first n constant labels has that name. */
static bool
is_constant(const struct naming *naming, size_t n, struct wire_text name)
{
	for (size_t i = 0; i < n; i++)
		if (wire_text_is(name, naming->labels[2 * i]))
			return true;
	return false;
}

static bool
is_taken(struct wire_text name)
{
	static const char *const words[] = { "le", "quantile", "worker_id" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (wire_text_is(name, words[i]))
			return true;
	return names_is_reserved(name) || self_metrics_has_label(name);
}

static enum reason
check_constant(const struct naming *naming, size_t i, const struct names_limits *limits,
    struct refusal *r)
{
	struct wire_text name = wire_text(naming->labels[2 * i]);
	char shown[64];
	enum reason reason =
	    names_check_text("constant label's name", name, limits->label_bytes, r);

	names_show(name, shown);
	if (reason != REASON_NONE)
		return reason;
	if (!names_is_label(name))
		return refuse(r, REASON_LABEL,
		    "the constant label '%s' is not [a-zA-Z_][a-zA-Z0-9_]*", shown);
	if (is_taken(name))
		return refuse(r, REASON_RESERVED,
		    "the constant label '%s' is reserved: Prometheus, the hierarchy or "
		    "the daemon's own metrics set it",
		    shown);
	if (is_constant(naming, i, name))
		return refuse(
		    r, REASON_DUPLICATE, "the constant label '%s' is there twice", shown);
	return names_check_text("constant label's value",
	    wire_text(naming->labels[2 * i + 1]), limits->label_bytes, r);
}

enum reason
naming_check(
    const struct naming *naming, const struct names_limits *limits, struct refusal *r)
{
	size_t n = naming_constants(naming);
	enum reason reason = REASON_NONE;

	if (n > limits->labels)
		return refuse(r, REASON_LIMIT,
		    "there are %zu constant labels; the limit is %u (limits.labels)", n,
		    limits->labels);
	for (size_t i = 0; i < n && reason == REASON_NONE; i++)
		reason = check_constant(naming, i, limits, r);
	return reason;
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *
escaped(const char *text)
{
	struct strbuf out = STRBUF_EMPTY;

	strbuf_add(&out, "", 0);
	texts_escape(&out, wire_text(text), true);
	if (out.failed)
		strbuf_free(&out);
	return out.at;
}

bool
naming_copy(struct naming *ret, const struct naming *naming)
{
	size_t n = naming_constants(naming), kept = 0;
	struct naming copy = { .component = naming->component };

	copy.labels = calloc(2 * n + 1, sizeof(char *));
	if (copy.labels == NULL)
		return false;
	for (size_t i = 0; i < n; i++) {
		char **label = copy.labels + 2 * kept;

		if (naming->labels[2 * i + 1][0] == '\0')
			continue;
		label[0] = strdup(naming->labels[2 * i]);
		if (label[0])
			label[1] = escaped(naming->labels[2 * i + 1]);
		kept++;
		if (label[1] == NULL) {
			naming_free(&copy);
			return false;
		}
	}
	qsort(copy.labels, kept, 2 * sizeof(char *), by_name);
	*ret = copy;
	return true;
}

void
naming_free(struct naming *naming)
{
	for (size_t i = 0; naming->labels && naming->labels[i]; i++)
		free(naming->labels[i]);
	free(naming->labels);
	naming->labels = NULL;
}

enum reason
naming_check_labels(
    const struct naming *naming, const struct message_metric *m, struct refusal *r)
{
	size_t n = naming_constants(naming);
	char shown[64];

	for (size_t i = 0; n > 0 && i < m->n_constant + m->n_variable; i++) {
		struct wire_text name = names_label(m, i);

		if (is_constant(naming, n, name))
			return refuse(r, REASON_RESERVED,
			    "the label '%s' is on every series already: the daemon's "
			    "configuration sets it (labels.%s)",
			    names_show(name, shown), shown);
	}
	return REASON_NONE;
}

/* ---- The order of labels ------------------------------------------------- */

/* Under the seed's naming the hierarchy comes first. */
static uint32_t
rank(const struct naming *naming, struct wire_text name)
{
	uint32_t i = 0;

	while (i < MESSAGE_LEVELS_MAX &&
	       (naming->component || !wire_text_is(name, seed_words[i])))
		i++;
	return i;
}

static bool
is_before(const struct naming *naming, const struct naming_label *a,
    const struct naming_label *b)
{
	uint32_t x = rank(naming, a->name), y = rank(naming, b->name);

	return x != y ? x < y : names_compare(a->name, b->name) < 0;
}

size_t
naming_add_constants(const struct naming *naming, struct naming_label *label)
{
	size_t n = naming_constants(naming);

	for (size_t i = 0; i < n; i++)
		label[i] =
		    (struct naming_label){ .name = wire_text(naming->labels[2 * i]),
			    .value = wire_text(naming->labels[2 * i + 1]) };
	return n;
}

/* They are few, and mostly in order. */
void
naming_sort(const struct naming *naming, struct naming_label *label, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		struct naming_label moved = label[i];
		size_t at = i;

		for (; at > 0 && is_before(naming, &moved, &label[at - 1]); at--)
			label[at] = label[at - 1];
		label[at] = moved;
	}
}

/* ---- Names that fit ------------------------------------------------------ */

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_kept(char c, bool colon)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) ||
	       (colon && c == ':');
}

/* The characters of text, one '_' for each that cannot stay, however many bytes it has;
 * '_' in front where the first one cannot be the first. */
static size_t
fit(struct wire_text text, bool colon, char *out)
{
	size_t n = 0;
	bool any = false;

	for (size_t i = 0; i < text.bytes; i++) {
		char c = text.at[i];
		bool kept = is_kept(c, colon);

		if (((unsigned char)c & 0xc0) == 0x80)
			continue;
		if (i == 0 && (is_digit(c) || (colon && c == ':')))
			out[n++] = '_';
		out[n++] = kept ? c : '_';
		any = any || kept;
	}
	return any ? n : 0;
}

size_t
naming_fit_metric(struct wire_text text, char *out)
{
	return fit(text, true, out);
}

/* What starts with __ is Prometheus' own: that goes, unless a letter would not be first
 * then. */
size_t
naming_fit_label(struct wire_text text, char *out)
{
	size_t n = fit(text, false, out), cut;

	if (n < 2 || out[0] != '_' || out[1] != '_')
		return n;
	cut = n > 2 && out[2] != '_' && !is_digit(out[2]) ? 2 : 1;
	memmove(out, out + cut, n - cut);
	return n - cut;
}

enum reason
naming_level(const struct naming *naming, const struct message_level **level,
    struct naming_level *room, struct refusal *r)
{
	const struct message_level *raw = *level;
	char shown[64];
	enum reason reason;

	if (!naming->component)
		return REASON_NONE;
	reason = names_check_level(raw, r);
	if (reason != REASON_NONE)
		return reason;
	room->level.depth = raw->depth;
	for (size_t i = 0; i < raw->depth; i++) {
		size_t n = naming_fit_label(raw->name[i], room->text[i]);

		if (n == 0)
			return refuse(r, REASON_LEVEL,
			    "the %s '%s' has neither letter nor digit", seed_words[i],
			    names_show(raw->name[i], shown));
		room->level.name[i] = (struct wire_text){ room->text[i], n };
	}
	*level = &room->level;
	return REASON_NONE;
}

enum reason
naming_metric(const struct naming *naming, const struct names_limits *limits,
    const struct message_metric **m, struct naming_metric *room, struct refusal *r)
{
	const struct message_metric *raw = *m;
	const struct message_level *level = &raw->level;
	char shown[64];
	enum reason reason;
	size_t n;

	if (!naming->component)
		return REASON_NONE;
	reason = names_check_text("metric name", raw->name, limits->name_bytes, r);
	if (reason != REASON_NONE)
		return reason;
	n = naming_fit_metric(raw->name, room->name);
	if (n == 0)
		return refuse(r, REASON_NAME,
		    "the metric name '%s' has neither letter nor digit",
		    names_show(raw->name, shown));
	reason = naming_level(naming, &level, &room->level, r);
	if (reason != REASON_NONE)
		return reason;
	room->metric = *raw;
	room->metric.name = (struct wire_text){ room->name, n };
	room->metric.level = *level;
	*m = &room->metric;
	return REASON_NONE;
}
