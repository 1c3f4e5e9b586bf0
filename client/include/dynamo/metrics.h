/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dynamo/metrics.h - report metrics to dynamo-metricsd.
 *
 * A worker opens one runtime, says where it reports from, creates its metrics
 * once, and updates them from any thread:
 *
 *	dynm_runtime *rt;
 *	dynm_error    err;
 *
 *	if (dynm_open(&rt, NULL, &err) != DYNM_OK)
 *		errx(1, "metrics: %s", err.text);
 *
 *	dynm_namespace ns   = dynm_runtime_namespace(rt, "prod");
 *	dynm_component comp = dynm_namespace_component(ns, "decode");
 *	dynm_endpoint  ep   = dynm_component_endpoint(comp, "generate");
 *
 *	dynm_counter served = dynm_counter_create(ep.scope,
 *	    "requests_total", "Requests answered.");
 *
 *	dynm_counter_inc(served);
 *	...
 *	dynm_close(rt);
 *
 * OWNERSHIP  Pointers own, values borrow. dynm_runtime is the only pointer and
 * dynm_close() the only release: scopes and metrics belong to their runtime,
 * are copied freely, and must not be used once it is closed. Strings and arrays
 * passed in are copied; the caller keeps its own.
 *
 * ERRORS  Metrics never get in the way of the program. A create that fails
 * returns a null handle, on which every update does nothing, and leaves its
 * reason in the runtime: create them all, then ask dynm_runtime_error() once.
 * A zeroed handle is a null handle, so a static one is safe before set-up.
 * Creating under a null scope gives null handles, without another error.
 *
 * THREADS  Every function may be called from any thread at any time, except
 * dynm_close(), which must be the last. Updates do not lock, allocate, block or
 * call the kernel, but for the first one in a thread: it takes memory for that
 * thread's values (one mmap), and in a forked child it starts the thread that
 * sends. None may be called from a signal handler. The thread that sends keeps no
 * process alive: when main has ended by pthread_exit() and so have the program's
 * other threads, it flushes once more, as dynm_close() does, and ends.
 *
 * FORK  A child is a worker of its own: its values start at zero, and every
 * handle made before the fork keeps working in it. A child that uses none of
 * them costs nothing and is never seen by the daemon.
 *
 * UNITS  Base units, named in the metric: seconds, bytes, ratios of 1.
 *
 * LANGUAGES  C99, C11 and later, C++11 and later. dynm_with() and dynm_remove()
 * need C11 or C++; in C99 the typed functions do the same.
 */
#ifndef DYNAMO_METRICS_H
#define DYNAMO_METRICS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#include <initializer_list>
extern "C" {
#endif

#if defined(__GNUC__)
#define DYNM_API	__attribute__((visibility("default")))
#define DYNM_USE_RESULT __attribute__((warn_unused_result))
#else
#define DYNM_API
#define DYNM_USE_RESULT
#endif

/* ---- Types ------------------------------------------------------------- */

/* One connection to the daemon, and everything created through it. */
typedef struct dynm_runtime dynm_runtime;

/*
 * A place in the hierarchy. Any of them takes metrics: pass its scope. The
 * levels are distinct types, so an endpoint cannot be put under a namespace.
 */
typedef struct dynm_scope {
	struct dynm_node *node_;
} dynm_scope;
typedef struct dynm_namespace {
	dynm_scope scope;
} dynm_namespace;
typedef struct dynm_component {
	dynm_scope scope;
} dynm_component;
typedef struct dynm_endpoint {
	dynm_scope scope;
} dynm_endpoint;

/* One time series. Distinct types: a gauge does not compile as a counter. */
typedef struct dynm_counter {
	struct dynm_series *series_;
} dynm_counter;
typedef struct dynm_gauge {
	struct dynm_series *series_;
} dynm_gauge;
typedef struct dynm_histogram {
	struct dynm_series *series_;
} dynm_histogram;

/* What a gauge is when several live workers set it. */
typedef enum dynm_merge {
	DYNM_SUM = 0, /* the default */
	DYNM_MIN,
	DYNM_MAX,
	DYNM_LAST, /* the one set last; its set also reads the clock */
	DYNM_EACH  /* one series per worker, told apart by worker_id */
} dynm_merge;

/* A family of them, told apart by label values. */
typedef struct dynm_counter_vec {
	struct dynm_family *family_;
} dynm_counter_vec;
typedef struct dynm_gauge_vec {
	struct dynm_family *family_;
} dynm_gauge_vec;
typedef struct dynm_histogram_vec {
	struct dynm_family *family_;
} dynm_histogram_vec;

/* Label names or values, and bucket bounds. Written with the macros below. */
typedef struct dynm_strings {
	size_t n;
	const char *const *v;
} dynm_strings;
typedef struct dynm_buckets {
	size_t n;
	const double *upper;
} dynm_buckets;

/* ---- Errors ------------------------------------------------------------ */

typedef enum dynm_err {
	DYNM_OK = 0,
	DYNM_EINVAL, /* a name, label or bucket list breaks the rules */
	DYNM_EEXIST, /* the name is taken by a metric of another shape */
	DYNM_ELIMIT, /* over max_series, or over a limit of length or number */
	DYNM_ENOMEM,
	DYNM_EAGAIN, /* the daemon did not take it in time; updates are kept */
	DYNM_ESYS    /* the transport or the system failed; the text says how */
} dynm_err;

#define DYNM_ERROR_TEXT 160

typedef struct dynm_error {
	dynm_err code;
	char text[DYNM_ERROR_TEXT]; /* NUL-terminated, for people; "" with DYNM_OK */
} dynm_error;

/* A fixed description of code; never NULL. */
DYNM_API const char *dynm_strerror(dynm_err code);

/* ---- Runtime ----------------------------------------------------------- */

/* Zeroed means default. */
typedef struct dynm_options {
	const char *address; /* nanomsg URL, ipc:// only; default $DYN_METRICSD_ADDRESS,
			      * then ipc:///run/dynamo-metricsd/ingest.ipc */
	const char *worker;  /* a stable name for DYNM_EACH gauges, at most 63 bytes;
			      * default $DYN_WORKER_ID, then a slot of the daemon's */
	uint32_t flush_ms;   /* time between flushes, in ms; default 1000 */
	uint32_t max_series; /* default 100000; over it: null handles, one log line */
	/*
	 * Takes one line without a newline; default: silent. Called from any
	 * thread that calls the library and from the flush thread, also from
	 * several at once, and never while the library holds a lock.
	 */
	void (*log)(void *arg, const char *text);
	void *log_arg;
	uint64_t reserved_[4]; /* zero */
} dynm_options;

/*
 * Open a runtime. opts may be NULL for the defaults. The daemon need not be up:
 * updates are kept and sent when it comes. The flush thread is started with the
 * first metric; or later, when the system has no thread left then: at another
 * create, at dynm_flush(), or at an update.
 *
 * Returns DYNM_OK and sets *ret_rt, to be released with dynm_close(); or
 * DYNM_EINVAL or DYNM_ENOMEM, or DYNM_ESYS when the system denies something
 * else, sets *ret_rt to NULL and fills *err (which may be NULL).
 */
DYNM_API DYNM_USE_RESULT dynm_err dynm_open(
    dynm_runtime **ret_rt, const dynm_options *opts, dynm_error *err);

/*
 * Take the first error since the last call, if any: later ones are usually its
 * echo. Returns its code, or DYNM_OK. err may be NULL.
 */
DYNM_API dynm_err dynm_runtime_error(dynm_runtime *rt, dynm_error *err);

/*
 * Send what is pending now, waiting at most timeout_ms for the daemon to take
 * it (0: do not wait, -1: no limit). DYNM_OK: everything counted before the call
 * is the daemon's, and outlives this process, and that daemon too. DYNM_EAGAIN:
 * not in time, or called from within the callback of dynm_on_flush(). DYNM_ESYS:
 * the flush thread cannot be started. Nothing is lost on failure: the next flush
 * carries it.
 *
 * A metric that the daemon refuses (another shape of the name in another
 * worker, a limit) is reported once through log and dynm_runtime_error() and
 * counted in dynm_status; it does not make a flush fail. The library asks
 * again, every third of the daemon's lease (5 s) and after each new session:
 * when the other workers are gone, or there is room, it is taken, with all that
 * was counted meanwhile. So a new release may start beside the old one.
 */
DYNM_API dynm_err dynm_flush(dynm_runtime *rt, int timeout_ms);

/* How this worker stands with its daemon. */
typedef struct dynm_status {
	int connected;	       /* 1 while the daemon answers */
	uint32_t series;       /* existing here: created and not removed */
	uint32_t refused;      /* of these, refused by the daemon */
	uint64_t dropped;      /* updates dropped: NaN, infinite, negative, no memory */
	uint64_t acked_ms_ago; /* since the daemon last acknowledged; UINT64_MAX: never */
	char worker[64];       /* the name the daemon gave us; "" before */
	uint64_t reserved_[4]; /* zero */
} dynm_status;

/* Fills *ret_status. Never waits for the daemon. */
DYNM_API void dynm_runtime_status(dynm_runtime *rt, dynm_status *ret_status);

/*
 * Call fn in the flush thread before each flush: the place to set gauges that
 * are read rather than counted (queue depth, pool size). fn may create and
 * update metrics; it must not call dynm_close(), and dynm_flush() returns
 * DYNM_EAGAIN in it. It may fork: the child's thread ends when it returns from
 * fn. Removed with fn NULL: once that call has returned, the old fn is not
 * running (unless it is the caller) and will not run again.
 */
DYNM_API void dynm_on_flush(dynm_runtime *rt, void (*fn)(void *arg), void *arg);

/* Flush for at most one flush interval, then release everything. NULL is fine. */
DYNM_API void dynm_close(dynm_runtime *rt);

/* ---- Hierarchy --------------------------------------------------------- */

/*
 * The same name gives the same place. Names are label values: any UTF-8, at
 * least one byte and at most 128.
 */
DYNM_API dynm_scope dynm_runtime_scope(dynm_runtime *rt);
DYNM_API dynm_namespace dynm_runtime_namespace(dynm_runtime *rt, const char *name);
DYNM_API dynm_component dynm_namespace_component(dynm_namespace ns, const char *name);
DYNM_API dynm_endpoint dynm_component_endpoint(dynm_component comp, const char *name);

/*
 * What the daemon exposes at this level and below, in Prometheus text, after a
 * flush; constant labels of the scope do not narrow it. Sets *ret_text, to be
 * released with free(). Returns as dynm_flush() does; also DYNM_EINVAL for a
 * null scope, DYNM_ENOMEM, and what the daemon says when it refuses (a text
 * over its message limit: DYNM_ELIMIT), with the sentence in
 * dynm_runtime_error(). On failure *ret_text is NULL.
 */
DYNM_API DYNM_USE_RESULT dynm_err dynm_expose(
    dynm_scope at, int timeout_ms, char **ret_text);

/* The same place, with one more constant label on all that is created there. */
DYNM_API dynm_scope dynm_scope_label(dynm_scope at, const char *name, const char *value);

/* ---- Metrics ----------------------------------------------------------- */

/*
 * Create a metric, or find it if it exists with the same shape. A shape is
 * kind, merge and bounds; one name has one shape at all levels.
 *
 * name	 [a-zA-Z_:][a-zA-Z0-9_:]*, without prefix: the daemon adds it. A counter's
 *	 should end in _total.
 * help	 one sentence for the reader of the dashboard; may be empty or NULL. The
 *	 first one given stays.
 */
DYNM_API dynm_counter dynm_counter_create(
    dynm_scope at, const char *name, const char *help);
DYNM_API dynm_gauge dynm_gauge_create(dynm_scope at, const char *name, const char *help);
DYNM_API dynm_gauge dynm_gauge_create_merge(
    dynm_scope at, const char *name, const char *help, dynm_merge merge);
DYNM_API dynm_histogram dynm_histogram_create(
    dynm_scope at, const char *name, const char *help, dynm_buckets buckets);

/* Count. n must be finite and >= 0: anything else is dropped, counted and logged once. */
DYNM_API void dynm_counter_inc(dynm_counter c);
DYNM_API void dynm_counter_add(dynm_counter c, double n);

/*
 * A gauge is one value per worker: when the threads are quiet it equals the last
 * set plus the adds after it. A gauge that is only added to is as cheap as a
 * counter; once it was set, add is an atomic operation. Any double is allowed.
 */
DYNM_API void dynm_gauge_set(dynm_gauge g, double value);
DYNM_API void dynm_gauge_add(dynm_gauge g, double delta); /* may be negative */
DYNM_API void dynm_gauge_inc(dynm_gauge g);
DYNM_API void dynm_gauge_dec(dynm_gauge g);

/*
 * A value counts in the first bucket whose bound is not below it. NaN and
 * infinite values are dropped, counted and logged once. n times the same value: _n.
 */
DYNM_API void dynm_histogram_observe(dynm_histogram h, double value);
DYNM_API void dynm_histogram_observe_n(dynm_histogram h, double value, uint64_t n);

/* Seconds on a monotonic clock: dynm_histogram_observe(h, dynm_now() - start). */
DYNM_API double dynm_now(void);

/* ---- Metrics with labels ----------------------------------------------- */

/*
 * A vec is a family that shares a name and label names; a child is picked by
 * as many label values, in the same order.
 *
 *	dynm_counter_vec codes = dynm_counter_vec_create(ep.scope,
 *	    "responses_total", "Responses by code.", DYNM_LABELS("method", "code"));
 *
 *	dynm_counter_inc(dynm_with(codes, "POST", "200"));
 *
 * Picking a child hashes its values, without a lock once it exists; on a hot
 * path pick it once and keep it.
 */
DYNM_API dynm_counter_vec dynm_counter_vec_create(
    dynm_scope at, const char *name, const char *help, dynm_strings label_names);
DYNM_API dynm_gauge_vec dynm_gauge_vec_create(
    dynm_scope at, const char *name, const char *help, dynm_strings label_names);
DYNM_API dynm_gauge_vec dynm_gauge_vec_create_merge(dynm_scope at, const char *name,
    const char *help, dynm_strings label_names, dynm_merge merge);
DYNM_API dynm_histogram_vec dynm_histogram_vec_create(dynm_scope at, const char *name,
    const char *help, dynm_strings label_names, dynm_buckets buckets);

DYNM_API dynm_counter dynm_counter_vec_with(dynm_counter_vec vec, dynm_strings values);
DYNM_API dynm_gauge dynm_gauge_vec_with(dynm_gauge_vec vec, dynm_strings values);
DYNM_API dynm_histogram dynm_histogram_vec_with(
    dynm_histogram_vec vec, dynm_strings values);

/*
 * Take a child of ours away: the model was unloaded, the gpu removed. Updates
 * through its handles do nothing from then on. What was counted is sent first;
 * the series leaves the page when no live worker has it. Picking the same values
 * again gives a new child from 0. Unknown values are not an error.
 *
 * So that an old handle can never write to another series, a removed child keeps
 * its place in the process: a process can make about two million counters, or
 * 260000 histograms of default buckets, removed ones included. Then there are
 * null handles and DYNM_ELIMIT; what exists counts on.
 */
DYNM_API void dynm_counter_vec_remove(dynm_counter_vec vec, dynm_strings values);
DYNM_API void dynm_gauge_vec_remove(dynm_gauge_vec vec, dynm_strings values);
DYNM_API void dynm_histogram_vec_remove(dynm_histogram_vec vec, dynm_strings values);

#ifdef __cplusplus
} /* extern "C" */
#endif

/* ---- Macros ------------------------------------------------------------ */

/*
 * DYNM_LABELS("method", "code")	label names or values; at least one
 * DYNM_BUCKETS(0.1, 1, 10)		upper bounds, ascending; +Inf is implied
 * DYNM_BUCKETS_DEFAULT			.005 .01 .025 .05 .1 .25 .5 1 2.5 5 10 (s)
 * dynm_with(vec, "POST", "200")	the child of a vec of any kind
 * dynm_remove(vec, "POST", "200")	take that child away
 *
 * The count is taken from the list, so the two cannot disagree. In C++ the lists of
 * DYNM_LABELS and DYNM_BUCKETS live to the end of the full expression they stand in:
 * write them as arguments, do not keep them in a variable.
 */
#ifndef __cplusplus

#define DYNM_LABELS(...) \
	((dynm_strings){ sizeof((const char *[]){ __VA_ARGS__ }) / sizeof(const char *), \
	    (const char *const[]){ __VA_ARGS__ } })

#define DYNM_BUCKETS(...) \
	((dynm_buckets){ sizeof((double[]){ __VA_ARGS__ }) / sizeof(double), \
	    (const double[]){ __VA_ARGS__ } })

#define DYNM_BUCKETS_DEFAULT ((dynm_buckets){ 0, NULL })

#if defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
#define dynm_with(vec, ...) \
	_Generic((vec), dynm_counter_vec \
		 : dynm_counter_vec_with, dynm_gauge_vec \
		 : dynm_gauge_vec_with, dynm_histogram_vec \
		 : dynm_histogram_vec_with)((vec), DYNM_LABELS(__VA_ARGS__))

#define dynm_remove(vec, ...) \
	_Generic((vec), dynm_counter_vec \
		 : dynm_counter_vec_remove, dynm_gauge_vec \
		 : dynm_gauge_vec_remove, dynm_histogram_vec \
		 : dynm_histogram_vec_remove)((vec), DYNM_LABELS(__VA_ARGS__))
#endif

#else /* __cplusplus */

inline dynm_strings
dynm_strings_of_(const std::initializer_list<const char *> &list)
{
	dynm_strings s = { list.size(), list.begin() };
	return s;
}

inline dynm_buckets
dynm_buckets_of_(const std::initializer_list<double> &list)
{
	dynm_buckets b = { list.size(), list.begin() };
	return b;
}

inline dynm_buckets
dynm_buckets_default_()
{
	dynm_buckets b = { 0, nullptr };
	return b;
}

inline dynm_counter
dynm_with_(dynm_counter_vec vec, dynm_strings values)
{
	return dynm_counter_vec_with(vec, values);
}

inline dynm_gauge
dynm_with_(dynm_gauge_vec vec, dynm_strings values)
{
	return dynm_gauge_vec_with(vec, values);
}

inline dynm_histogram
dynm_with_(dynm_histogram_vec vec, dynm_strings values)
{
	return dynm_histogram_vec_with(vec, values);
}

inline void
dynm_remove_(dynm_counter_vec vec, dynm_strings values)
{
	dynm_counter_vec_remove(vec, values);
}

inline void
dynm_remove_(dynm_gauge_vec vec, dynm_strings values)
{
	dynm_gauge_vec_remove(vec, values);
}

inline void
dynm_remove_(dynm_histogram_vec vec, dynm_strings values)
{
	dynm_histogram_vec_remove(vec, values);
}

#define DYNM_LABELS(...)      (::dynm_strings_of_({ __VA_ARGS__ }))
#define DYNM_BUCKETS(...)     (::dynm_buckets_of_({ __VA_ARGS__ }))
#define DYNM_BUCKETS_DEFAULT  (::dynm_buckets_default_())
#define dynm_with(vec, ...)   (::dynm_with_((vec), DYNM_LABELS(__VA_ARGS__)))
#define dynm_remove(vec, ...) (::dynm_remove_((vec), DYNM_LABELS(__VA_ARGS__)))

#endif /* __cplusplus */

#endif /* DYNAMO_METRICS_H */
