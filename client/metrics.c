/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The public functions that make and remove metrics: types around series.c.
 */
#include "scope.h"

static struct dynm_family *
family(dynm_scope at, const char *name, const char *help, enum message_kind kind,
    dynm_merge merge, dynm_strings labels, dynm_buckets buckets)
{
	struct family_want want = { kind, (enum message_merge)merge, name, help, labels,
		buckets };

	if (at.node_ && (unsigned)merge > DYNM_EACH) {
		report_error(at.node_->store->report, DYNM_EINVAL,
		    "the gauge '%.60s' is to have a merge that does not exist",
		    name ? name : "");
		return NULL;
	}
	return family_create(at.node_, &want);
}

/* A metric without labels is a family with one child. */
static struct dynm_series *
single(dynm_scope at, const char *name, const char *help, enum message_kind kind,
    dynm_merge merge, dynm_buckets buckets)
{
	dynm_strings none = { 0, NULL };

	return series_with(family(at, name, help, kind, merge, none, buckets), none);
}

static const dynm_buckets no_buckets;

DYNM_API dynm_counter
dynm_counter_create(dynm_scope at, const char *name, const char *help)
{
	return (dynm_counter){ single(
	    at, name, help, MESSAGE_COUNTER, DYNM_SUM, no_buckets) };
}

DYNM_API dynm_gauge
dynm_gauge_create(dynm_scope at, const char *name, const char *help)
{
	return dynm_gauge_create_merge(at, name, help, DYNM_SUM);
}

DYNM_API dynm_gauge
dynm_gauge_create_merge(
    dynm_scope at, const char *name, const char *help, dynm_merge merge)
{
	return (dynm_gauge){ single(at, name, help, MESSAGE_GAUGE, merge, no_buckets) };
}

DYNM_API dynm_histogram
dynm_histogram_create(
    dynm_scope at, const char *name, const char *help, dynm_buckets buckets)
{
	return (dynm_histogram){ single(
	    at, name, help, MESSAGE_HISTOGRAM, DYNM_SUM, buckets) };
}

DYNM_API dynm_counter_vec
dynm_counter_vec_create(
    dynm_scope at, const char *name, const char *help, dynm_strings labels)
{
	return (dynm_counter_vec){ family(
	    at, name, help, MESSAGE_COUNTER, DYNM_SUM, labels, no_buckets) };
}

DYNM_API dynm_gauge_vec
dynm_gauge_vec_create(
    dynm_scope at, const char *name, const char *help, dynm_strings labels)
{
	return dynm_gauge_vec_create_merge(at, name, help, labels, DYNM_SUM);
}

DYNM_API dynm_gauge_vec
dynm_gauge_vec_create_merge(dynm_scope at, const char *name, const char *help,
    dynm_strings labels, dynm_merge merge)
{
	return (dynm_gauge_vec){ family(
	    at, name, help, MESSAGE_GAUGE, merge, labels, no_buckets) };
}

DYNM_API dynm_histogram_vec
dynm_histogram_vec_create(dynm_scope at, const char *name, const char *help,
    dynm_strings labels, dynm_buckets buckets)
{
	return (dynm_histogram_vec){ family(
	    at, name, help, MESSAGE_HISTOGRAM, DYNM_SUM, labels, buckets) };
}

DYNM_API dynm_counter
dynm_counter_vec_with(dynm_counter_vec vec, dynm_strings values)
{
	return (dynm_counter){ series_with(vec.family_, values) };
}

DYNM_API dynm_gauge
dynm_gauge_vec_with(dynm_gauge_vec vec, dynm_strings values)
{
	return (dynm_gauge){ series_with(vec.family_, values) };
}

DYNM_API dynm_histogram
dynm_histogram_vec_with(dynm_histogram_vec vec, dynm_strings values)
{
	return (dynm_histogram){ series_with(vec.family_, values) };
}

DYNM_API void
dynm_counter_vec_remove(dynm_counter_vec vec, dynm_strings values)
{
	series_remove(vec.family_, values);
}

DYNM_API void
dynm_gauge_vec_remove(dynm_gauge_vec vec, dynm_strings values)
{
	series_remove(vec.family_, values);
}

DYNM_API void
dynm_histogram_vec_remove(dynm_histogram_vec vec, dynm_strings values)
{
	series_remove(vec.family_, values);
}
