/* SPDX-License-Identifier: Apache-2.0 */
#include "scope.h"

#include "store.h"

static struct dynm_node **
bucket_of(struct store *st, const struct dynm_node *parent, struct wire_text name,
    struct wire_text value)
{
	uint64_t h = store_mix(st->seed, (uintptr_t)parent);

	h = store_hash(h, name.at, name.bytes);
	h = store_hash(h, value.at, value.bytes);
	return &st->node[h % STORE_BUCKETS];
}

static struct dynm_node *
make(struct store *st, struct dynm_node *parent, enum scope_kind kind,
    struct wire_text name, struct wire_text value)
{
	struct dynm_node *n = store_alloc(st, sizeof(*n));
	char *name_copy = store_strdup(st, name);
	char *value_copy = store_strdup(st, value);

	if (!n || !name_copy || !value_copy)
		return NULL;
	*n = (struct dynm_node){ .store = st, .parent = parent, .kind = kind };
	n->name = (struct wire_text){ name_copy, name.bytes };
	n->value = (struct wire_text){ value_copy, value.bytes };
	return n;
}

struct dynm_node *
scope_root(struct store *st)
{
	return make(st, NULL, SCOPE_RUNTIME, wire_text(""), wire_text(""));
}

static struct dynm_node *
find_or_make(struct dynm_node *parent, enum scope_kind kind, struct wire_text name,
    struct wire_text value)
{
	struct store *st = parent->store;
	struct dynm_node **bucket = bucket_of(st, parent, name, value);
	struct dynm_node *n;

	pthread_mutex_lock(&st->lock);
	for (n = *bucket; n; n = n->next)
		if (n->parent == parent && n->kind == kind &&
		    wire_text_equal(n->name, name) && wire_text_equal(n->value, value))
			break;
	if (!n && (n = make(st, parent, kind, name, value)) != NULL) {
		n->next = *bucket;
		*bucket = n;
	}
	pthread_mutex_unlock(&st->lock);
	if (!n)
		report_error(st->report, DYNM_ENOMEM, "no memory for a scope");
	return n;
}

void
scope_level(const struct dynm_node *node, struct message_level *ret)
{
	memset(ret, 0, sizeof(*ret));
	for (const struct dynm_node *n = node; n; n = n->parent) {
		if (n->kind == SCOPE_RUNTIME || n->kind == SCOPE_LABEL)
			continue;
		ret->name[n->kind - SCOPE_NAMESPACE] = n->name;
		if (ret->depth == 0)
			ret->depth = (uint8_t)n->kind;
	}
}

void
scope_labels(const struct dynm_node *node, struct message_metric *ret)
{
	size_t n = 0;

	for (const struct dynm_node *at = node; at; at = at->parent)
		n += at->kind == SCOPE_LABEL;
	ret->n_constant = n;
	for (const struct dynm_node *at = node; at; at = at->parent) {
		if (at->kind != SCOPE_LABEL)
			continue;
		n--;
		ret->constant_name[n] = at->name;
		ret->constant_value[n] = at->value;
	}
}

static dynm_scope
level(dynm_scope parent, enum scope_kind kind, const char *name)
{
	static const char *const words[] = { "runtime", "namespace", "component",
		"endpoint" };
	struct message_level l;
	struct refusal r = { 0 };

	if (!parent.node_)
		return (dynm_scope){ NULL };
	if (!name) {
		report_error(parent.node_->store->report, DYNM_EINVAL,
		    "the name of the %s is NULL", words[kind]);
		return (dynm_scope){ NULL };
	}
	scope_level(parent.node_, &l);
	l.name[l.depth++] = wire_text(name);
	if (names_check_level(&l, &r) != REASON_NONE) {
		report_refusal(parent.node_->store->report, &r);
		return (dynm_scope){ NULL };
	}
	return (dynm_scope){ find_or_make(
	    parent.node_, kind, wire_text(name), wire_text("")) };
}

DYNM_API dynm_namespace
dynm_runtime_namespace(dynm_runtime *rt, const char *name)
{
	return (dynm_namespace){ level(dynm_runtime_scope(rt), SCOPE_NAMESPACE, name) };
}

DYNM_API dynm_component
dynm_namespace_component(dynm_namespace ns, const char *name)
{
	return (dynm_component){ level(ns.scope, SCOPE_COMPONENT, name) };
}

DYNM_API dynm_endpoint
dynm_component_endpoint(dynm_component comp, const char *name)
{
	return (dynm_endpoint){ level(comp.scope, SCOPE_ENDPOINT, name) };
}

/* The rules for a label are those of a metric that has it. */
static enum reason
check_label(const struct dynm_node *at, struct wire_text name, struct wire_text value,
    struct refusal *r)
{
	struct message_metric m;

	memset(&m, 0, sizeof(m));
	m.kind = MESSAGE_COUNTER;
	m.name = wire_text("metric");
	m.help = wire_text("");
	scope_labels(at, &m);
	if (m.n_constant >= NAMES_DEFAULT_LIMITS.labels)
		return refuse(r, REASON_LIMIT, "a scope takes at most %u labels",
		    NAMES_DEFAULT_LIMITS.labels);
	m.constant_name[m.n_constant] = name;
	m.constant_value[m.n_constant++] = value;
	return names_check_metric(&m, &NAMES_DEFAULT_LIMITS, r);
}

DYNM_API dynm_scope
dynm_scope_label(dynm_scope at, const char *name, const char *value)
{
	struct refusal r = { 0 };

	if (!at.node_)
		return at;
	if (!name || !value)
		(void)refuse(
		    &r, REASON_LABEL, "a label of a scope has no name or no value");
	else
		(void)check_label(at.node_, wire_text(name), wire_text(value), &r);
	if (r.reason != REASON_NONE) {
		report_refusal(at.node_->store->report, &r);
		return (dynm_scope){ NULL };
	}
	return (dynm_scope){ find_or_make(
	    at.node_, SCOPE_LABEL, wire_text(name), wire_text(value)) };
}
