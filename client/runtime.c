/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "scope.h"
#include "sums.h"
#include "ticks.h"

#define ADDRESS_VARIABLE   "DYN_METRICSD_ADDRESS"
#define WORKER_VARIABLE	   "DYN_WORKER_ID"
#define ADDRESS_DEFAULT	   "ipc:///run/dynamo-metricsd/ingest.ipc"
#define FLUSH_MS_DEFAULT   1000
#define MAX_SERIES_DEFAULT 100000

/* fork() has to reach all runtimes, and so has a thread's first update in a child. */
static struct {
	pthread_mutex_t lock;
	struct dynm_runtime *first;
} runtimes = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* ---- fork() ------------------------------------------------------------ */

static void
fork_prepare(void)
{
	pthread_mutex_lock(&runtimes.lock);
	for (struct dynm_runtime *rt = runtimes.first; rt; rt = rt->next) {
		pthread_mutex_lock(&rt->store.lock);
		pthread_mutex_lock(&rt->flush.lock);
		pthread_mutex_lock(&rt->report.lock);
	}
	blocks_fork_prepare();
}

static void
unlock_all(void)
{
	for (struct dynm_runtime *rt = runtimes.first; rt; rt = rt->next) {
		pthread_mutex_unlock(&rt->report.lock);
		pthread_mutex_unlock(&rt->flush.lock);
		pthread_mutex_unlock(&rt->store.lock);
	}
	pthread_mutex_unlock(&runtimes.lock);
}

static void
fork_parent(void)
{
	blocks_fork_parent();
	unlock_all();
}

/* No thread is started here: a child that only execs pays nothing. */
static void
fork_child(void)
{
	blocks_fork_child();
	for (struct dynm_runtime *rt = runtimes.first; rt; rt = rt->next) {
		flush_fork_child(&rt->flush);
		__atomic_store_n(&rt->report.dropped, 0, __ATOMIC_RELAXED);
	}
	unlock_all();
}

/* A thread's first update: in a forked child the flush threads have to be started. */
static bool
start_all(void)
{
	bool all = true;

	pthread_mutex_lock(&runtimes.lock);
	for (struct dynm_runtime *rt = runtimes.first; rt; rt = rt->next)
		if (flush_is_used(&rt->flush))
			all = flush_start(&rt->flush) == 0 && all;
	pthread_mutex_unlock(&runtimes.lock);
	return all;
}

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int once_error;

static void
register_fork(void)
{
	once_error = pthread_atfork(fork_prepare, fork_parent, fork_child);
}

static int
prepare_process(void)
{
	static const struct blocks_hooks hooks = { start_all, sums_fold };
	int error = pthread_once(&once, register_fork);

	if (error == 0)
		error = once_error;
	return error ? error : blocks_init(&hooks);
}

/* ---- Options ----------------------------------------------------------- */

static const char *
option(const char *given, const char *variable, const char *otherwise)
{
	const char *value = given ? given : getenv(variable);

	return value && value[0] ? value : otherwise;
}

static dynm_err
take_options(struct dynm_runtime *rt, const dynm_options *opts, dynm_error *err)
{
	const char *address = option(opts->address, ADDRESS_VARIABLE, ADDRESS_DEFAULT);
	const char *worker = option(opts->worker, WORKER_VARIABLE, "");
	const char *path = sp_ipc_path(address);
	struct refusal r = { 0 };

	if (!path)
		return report_fill(err, DYNM_EINVAL,
		    "the address '%.60s' is not ipc:// and an absolute path of at most "
		    "%d "
		    "bytes",
		    address, TRANSPORT_PATH_BYTES - 1);
	if (names_check_worker(wire_text(worker), &r) != REASON_NONE)
		return report_fill(err, DYNM_EINVAL, "%s", r.text);
	memcpy(rt->path, path, strlen(path) + 1);
	memcpy(rt->worker, worker, strlen(worker) + 1);
	return DYNM_OK;
}

/* ---- Open and close ---------------------------------------------------- */

/* A child was made: the flush thread may not be there yet, or not know that there is
 * something to do. */
static void
on_created(void *arg)
{
	struct dynm_runtime *rt = arg;
	bool first = !__atomic_exchange_n(&rt->counts, true, __ATOMIC_RELAXED);
	int error = 0;

	if (!flush_is_running(&rt->flush))
		error = flush_start(&rt->flush);
	if (first && error != 0)
		report_line(&rt->report, "the flush thread cannot be started yet: %s",
		    strerror(error));
	if (first)
		flush_wake(&rt->flush);
}

static uint64_t
seed(const void *address)
{
	uint64_t s;

	if (getrandom(&s, sizeof(s), GRND_NONBLOCK) != sizeof(s))
		s = ticks_ns() ^ (uint64_t)(uintptr_t)address;
	return s;
}

static void
release(struct dynm_runtime *rt)
{
	flush_free(&rt->flush);
	store_free(&rt->store);
	report_free(&rt->report);
	free(rt);
}

static int
build(struct dynm_runtime *rt, const dynm_options *opts)
{
	uint32_t flush_ms = opts->flush_ms ? opts->flush_ms : FLUSH_MS_DEFAULT;
	uint32_t max_series = opts->max_series ? opts->max_series : MAX_SERIES_DEFAULT;
	uint64_t random = seed(rt);
	int error, flush_error;

	report_init(&rt->report, opts);
	error = store_init(&rt->store, &rt->report, random, max_series);
	flush_error = flush_init(
	    &rt->flush, &rt->store, &rt->report, rt->path, rt->worker, flush_ms, random);
	rt->store.created = on_created;
	rt->store.created_arg = rt;
	rt->store.root = scope_root(&rt->store);
	if (error == 0)
		error = flush_error;
	if (error == 0 && !rt->store.root)
		error = ENOMEM;
	return error ? error : prepare_process();
}

DYNM_API dynm_err
dynm_open(dynm_runtime **ret_rt, const dynm_options *opts, dynm_error *err)
{
	static const dynm_options defaults;
	struct dynm_runtime *rt = calloc(1, sizeof(*rt));
	dynm_err code;
	int error;

	*ret_rt = NULL;
	(void)report_fill(err, DYNM_OK, "%s", "");
	if (!rt)
		return report_fill(err, DYNM_ENOMEM, "no memory for a runtime");
	if (!opts)
		opts = &defaults;
	code = take_options(rt, opts, err);
	if (code != DYNM_OK) {
		free(rt);
		return code;
	}
	error = build(rt, opts);
	if (error != 0) {
		release(rt);
		code = error == ENOMEM ? DYNM_ENOMEM : DYNM_ESYS;
		return report_fill(
		    err, code, "the runtime cannot be set up: %s", strerror(error));
	}
	pthread_mutex_lock(&runtimes.lock);
	rt->next = runtimes.first;
	runtimes.first = rt;
	pthread_mutex_unlock(&runtimes.lock);
	*ret_rt = rt;
	return DYNM_OK;
}

DYNM_API void
dynm_close(dynm_runtime *rt)
{
	if (!rt)
		return;
	if (flush_is_self(&rt->flush)) {
		report_error(&rt->report, DYNM_EINVAL,
		    "dynm_close() was called in the callback of dynm_on_flush()");
		return;
	}
	flush_stop(&rt->flush);
	pthread_mutex_lock(&runtimes.lock);
	for (struct dynm_runtime **at = &runtimes.first; *at; at = &(*at)->next)
		if (*at == rt) {
			*at = rt->next;
			break;
		}
	pthread_mutex_unlock(&runtimes.lock);
	release(rt);
}

/* ---- Asking ------------------------------------------------------------ */

DYNM_API dynm_scope
dynm_runtime_scope(dynm_runtime *rt)
{
	return (dynm_scope){ rt ? rt->store.root : NULL };
}

DYNM_API dynm_err
dynm_runtime_error(dynm_runtime *rt, dynm_error *err)
{
	if (rt)
		return report_take(&rt->report, err);
	return report_fill(err, DYNM_EINVAL, "there is no runtime");
}

DYNM_API dynm_err
dynm_flush(dynm_runtime *rt, int timeout_ms)
{
	return rt ? flush_wait(&rt->flush, timeout_ms) : DYNM_EINVAL;
}

DYNM_API void
dynm_runtime_status(dynm_runtime *rt, dynm_status *ret_status)
{
	memset(ret_status, 0, sizeof(*ret_status));
	if (!rt)
		return;
	if (flush_is_used(&rt->flush))
		(void)flush_start(&rt->flush);
	flush_status(&rt->flush, ret_status);
	ret_status->series = __atomic_load_n(&rt->store.n_series, __ATOMIC_RELAXED);
	ret_status->refused = __atomic_load_n(&rt->flush.collect.shown, __ATOMIC_RELAXED);
	ret_status->dropped = report_dropped(&rt->report);
}

DYNM_API void
dynm_on_flush(dynm_runtime *rt, void (*fn)(void *arg), void *arg)
{
	if (rt)
		flush_on(&rt->flush, fn, arg);
}

DYNM_API dynm_err
dynm_expose(dynm_scope at, int timeout_ms, char **ret_text)
{
	struct message_level level;
	struct dynm_runtime *rt;

	*ret_text = NULL;
	if (!at.node_)
		return DYNM_EINVAL;
	rt = at.node_->store->created_arg;
	scope_level(at.node_, &level);
	return flush_expose(&rt->flush, &level, timeout_ms, ret_text);
}
