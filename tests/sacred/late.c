/* SPDX-License-Identifier: Apache-2.0 */
/*
 * late.c - the library as a plug-in sees it: loaded while the program runs, and unloaded.
 *
 * The program is not linked to it. Its functions are found here by name, and forwarded.
 */
#include <dlfcn.h>
#include <dynamo/metrics.h>
#include <errno.h>
#include <stdlib.h>

#include "acts.h"
#include "load.h"
#include "watch.h"

#define LIBRARY "libdynamo-metrics.so.0"
#define WAIT_MS 20000
#define COUNTED 10

/* Forward a call: what it returns, its name, its arguments with and without types. */
#define FORWARD_(type, name, typed, give, plain) \
	type name typed \
	{ \
		static __typeof__(name) *forward; \
		__typeof__(name) *to = __atomic_load_n(&forward, __ATOMIC_RELAXED); \
\
		if (!to) { \
			to = (__typeof__(name) *)(uintptr_t)find(#name); \
			__atomic_store_n(&forward, to, __ATOMIC_RELAXED); \
		} \
		give to plain; \
	}
#define FORWARD(type, name, typed, plain) FORWARD_(type, name, typed, return, plain)
#define PASS(name, typed, plain)	  FORWARD_(void, name, typed, , plain)

static void *
find(const char *name)
{
	int before = errno;
	void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	void *found = library ? dlsym(library, name) : NULL;

	if (!found)
		_Exit(95);
	dlclose(library);
	errno = before;
	return found;
}

FORWARD(dynm_err, dynm_open, (dynm_runtime * *rt, const dynm_options *o, dynm_error *e),
    (rt, o, e))
PASS(dynm_close, (dynm_runtime * rt), (rt))
FORWARD(dynm_err, dynm_flush, (dynm_runtime * rt, int ms), (rt, ms))
FORWARD(dynm_err, dynm_expose, (dynm_scope at, int ms, char **text), (at, ms, text))
FORWARD(dynm_err, dynm_runtime_error, (dynm_runtime * rt, dynm_error *e), (rt, e))
PASS(dynm_runtime_status, (dynm_runtime * rt, dynm_status *s), (rt, s))
FORWARD(const char *, dynm_strerror, (dynm_err code), (code))
FORWARD(dynm_scope, dynm_runtime_scope, (dynm_runtime * rt), (rt))
FORWARD(dynm_namespace, dynm_runtime_namespace, (dynm_runtime * rt, const char *name),
    (rt, name))
FORWARD(dynm_component, dynm_namespace_component, (dynm_namespace ns, const char *name),
    (ns, name))
FORWARD(dynm_endpoint, dynm_component_endpoint, (dynm_component c, const char *name),
    (c, name))
FORWARD(dynm_counter, dynm_counter_create,
    (dynm_scope at, const char *name, const char *help), (at, name, help))
FORWARD(dynm_gauge, dynm_gauge_create,
    (dynm_scope at, const char *name, const char *help), (at, name, help))
FORWARD(dynm_histogram, dynm_histogram_create,
    (dynm_scope at, const char *name, const char *help, dynm_buckets b),
    (at, name, help, b))
FORWARD(dynm_counter_vec, dynm_counter_vec_create,
    (dynm_scope at, const char *name, const char *help, dynm_strings labels),
    (at, name, help, labels))
FORWARD(dynm_counter, dynm_counter_vec_with, (dynm_counter_vec v, dynm_strings values),
    (v, values))
PASS(dynm_counter_vec_remove, (dynm_counter_vec v, dynm_strings values), (v, values))
PASS(dynm_counter_inc, (dynm_counter c), (c))
PASS(dynm_counter_add, (dynm_counter c, double n), (c, n))
PASS(dynm_gauge_set, (dynm_gauge g, double value), (g, value))
PASS(dynm_histogram_observe, (dynm_histogram h, double value), (h, value))

/* A plug-in's life: with a runtime of its own, closed in order or left running. */
static void
plug_in(bool in_order)
{
	void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	__typeof__(dynm_open) *open =
	    (__typeof__(dynm_open) *)(uintptr_t)dlsym(library, "dynm_open");
	dynm_options options = { .flush_ms = 50 };
	dynm_runtime *rt;

	if (!open || open(&rt, &options, NULL) != DYNM_OK) {
		noticed("dlopen: %s", dlerror());
		return;
	}
	dynm_counter_inc(dynm_counter_create(
	    dynm_runtime_namespace(rt, "sacred").scope, "plugged_total", ""));
	if (in_order) {
		__atomic_fetch_add(&tally->extra, 1, __ATOMIC_RELAXED);
		if (dynm_flush(rt, WAIT_MS) != DYNM_OK)
			noticed("a flush of a plug-in failed");
		dynm_close(rt);
	}
	dlclose(library);
	if (!in_order) { /* its thread goes on in code that must still be there */
		__atomic_fetch_add(&tally->extra, 1, __ATOMIC_RELAXED);
		if (dynm_flush(rt, WAIT_MS) != DYNM_OK)
			noticed("a flush after dlclose() failed");
		dynm_close(rt);
	}
}

void
act_again(double seconds)
{
	int64_t until = watch_ns() + (int64_t)(seconds * 1e9);

	for (unsigned i = 0; watch_ns() < until || i < 2; i++) {
		plug_in(i % 2 == 0);
		load_extra("again", COUNTED);
		watch_glance();
	}
}
