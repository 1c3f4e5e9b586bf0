/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker.c - a worker that does what it is told: the library's API, driven over stdin.
 *
 * Each command is a line (lines.h) and is answered with one. Things that are made are
 * kept under numbers that the driver chooses. harness.py holds the other end.
 *
 * After "fork" the child answers and the parent waits for it to exit, so that both can be
 * driven over one pair of pipes.
 */
#include <dynamo/metrics.h>
#include <locale.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lines.h"

#define OBJECTS	    4096
#define BOUNDS_MAX  256
#define THREADS_MAX 64
#define LOG_BYTES   65536

struct object {
	enum {
		NOTHING,
		SCOPE,
		COUNTER,
		GAUGE,
		HISTOGRAM,
		COUNTER_VEC,
		GAUGE_VEC,
		HISTOGRAM_VEC
	} what;
	union {
		dynm_scope scope;
		dynm_counter counter;
		dynm_gauge gauge;
		dynm_histogram histogram;
		dynm_counter_vec counter_vec;
		dynm_gauge_vec gauge_vec;
		dynm_histogram_vec histogram_vec;
	};
};

static dynm_runtime *runtime;
static struct {
	pthread_mutex_t lock;
	char text[LOG_BYTES];
	size_t bytes;
} logged = { .lock = PTHREAD_MUTEX_INITIALIZER };
static struct object objects[OBJECTS];
static int on_flush_gauge;

/* ---- Fields ------------------------------------------------------ */

static void
answer_error(dynm_err code, const char *text)
{
	char how[32];

	if (code == DYNM_OK)
		return;
	snprintf(how, sizeof(how), "error\t%d", (int)code);
	answer(how, text);
}

/* ---- Fields ------------------------------------------------------ */

static struct object *
object_at(const struct command *c, size_t i)
{
	return &objects[strtoul(text_at(c, i), NULL, 10) % OBJECTS];
}

static dynm_scope
scope_at(const struct command *c, size_t i)
{
	return object_at(c, i)->scope;
}

static dynm_strings
strings_from(const struct command *c, size_t i)
{
	size_t n = i < c->n ? c->n - i : 0;

	return (dynm_strings){ n, (const char *const *)&c->field[i] };
}

/* "0.1 1 10", or "" for the default ladder. */
static dynm_buckets
bounds_at(const struct command *c, size_t i, double bounds[BOUNDS_MAX])
{
	const char *at = text_at(c, i);
	size_t n = 0;
	char *end;

	while (*at && n < BOUNDS_MAX) {
		bounds[n++] = strtod_l(at, &end, plain);
		if (end == at)
			break;
		at = end;
		while (*at == ' ')
			at++;
	}
	return (dynm_buckets){ n, n ? bounds : NULL };
}

static dynm_merge
merge_at(const struct command *c, size_t i)
{
	static const char *const names[] = { "sum", "min", "max", "last", "each" };

	for (size_t m = 0; m < sizeof(names) / sizeof(names[0]); m++) {
		if (strcmp(names[m], text_at(c, i)) == 0)
			return (dynm_merge)m;
	}
	return DYNM_SUM;
}

/* ---- Commands ---------------------------------------------------- */

/* What the library says, line by line, until somebody asks for it. */
static void
take_log(void *arg, const char *text)
{
	size_t n = strlen(text) + 1;

	(void)arg;
	pthread_mutex_lock(&logged.lock);
	if (logged.bytes + n < LOG_BYTES) {
		memcpy(logged.text + logged.bytes, text, n);
		logged.bytes += n;
		logged.text[logged.bytes - 1] = '\n';
	}
	pthread_mutex_unlock(&logged.lock);
}

/* log: the lines since the last call */
static void
do_log(const struct command *c)
{
	char *text;

	(void)c;
	pthread_mutex_lock(&logged.lock);
	text = strndup(logged.text, logged.bytes);
	logged.bytes = 0;
	pthread_mutex_unlock(&logged.lock);
	answer("ok", text);
	free(text);
}

/* open FLUSH_MS WORKER MAX_SERIES */
static void
do_open(const struct command *c)
{
	dynm_options options = { .flush_ms = (uint32_t)number_at(c, 0),
		.worker = *text_at(c, 1) ? text_at(c, 1) : NULL,
		.log = getenv("WORKER_WITHOUT_LOG") ? NULL : take_log,
		.max_series = (uint32_t)number_at(c, 2) };
	dynm_error error = { 0 };

	answer_error(dynm_open(&runtime, &options, &error), error.text);
}

/* level ID [NAMESPACE [COMPONENT [ENDPOINT]]] */
static void
do_level(const struct command *c)
{
	dynm_namespace ns;
	dynm_component component;
	dynm_scope scope = dynm_runtime_scope(runtime);

	if (c->n > 1) {
		ns = dynm_runtime_namespace(runtime, c->field[1]);
		scope = ns.scope;
	}
	if (c->n > 2) {
		component = dynm_namespace_component(ns, c->field[2]);
		scope = component.scope;
	}
	if (c->n > 3)
		scope = dynm_component_endpoint(component, c->field[3]).scope;
	*object_at(c, 0) = (struct object){ .what = SCOPE, .scope = scope };
}

/* label ID SCOPE NAME VALUE */
static void
do_label(const struct command *c)
{
	*object_at(c, 0) = (struct object){ .what = SCOPE,
		.scope = dynm_scope_label(scope_at(c, 1), text_at(c, 2), text_at(c, 3)) };
}

/* counter ID SCOPE NAME HELP */
static void
do_counter(const struct command *c)
{
	*object_at(c, 0) = (struct object){ .what = COUNTER,
		.counter =
		    dynm_counter_create(scope_at(c, 1), text_at(c, 2), text_at(c, 3)) };
}

/* gauge ID SCOPE NAME HELP MERGE */
static void
do_gauge(const struct command *c)
{
	*object_at(c, 0) = (struct object){ .what = GAUGE,
		.gauge = dynm_gauge_create_merge(
		    scope_at(c, 1), text_at(c, 2), text_at(c, 3), merge_at(c, 4)) };
}

/* histogram ID SCOPE NAME HELP BOUNDS */
static void
do_histogram(const struct command *c)
{
	double bounds[BOUNDS_MAX];

	*object_at(c, 0) = (struct object){ .what = HISTOGRAM,
		.histogram = dynm_histogram_create(scope_at(c, 1), text_at(c, 2),
		    text_at(c, 3), bounds_at(c, 4, bounds)) };
}

/* counter_vec ID SCOPE NAME HELP LABEL... */
static void
do_counter_vec(const struct command *c)
{
	*object_at(c, 0) = (struct object){ .what = COUNTER_VEC,
		.counter_vec = dynm_counter_vec_create(
		    scope_at(c, 1), text_at(c, 2), text_at(c, 3), strings_from(c, 4)) };
}

/* gauge_vec ID SCOPE NAME HELP MERGE LABEL... */
static void
do_gauge_vec(const struct command *c)
{
	*object_at(c, 0) = (struct object){ .what = GAUGE_VEC,
		.gauge_vec = dynm_gauge_vec_create_merge(scope_at(c, 1), text_at(c, 2),
		    text_at(c, 3), strings_from(c, 5), merge_at(c, 4)) };
}

/* histogram_vec ID SCOPE NAME HELP BOUNDS LABEL... */
static void
do_histogram_vec(const struct command *c)
{
	double bounds[BOUNDS_MAX];

	*object_at(c, 0) = (struct object){ .what = HISTOGRAM_VEC,
		.histogram_vec = dynm_histogram_vec_create(scope_at(c, 1), text_at(c, 2),
		    text_at(c, 3), strings_from(c, 5), bounds_at(c, 4, bounds)) };
}

/* with ID VEC VALUE... */
static void
do_with(const struct command *c)
{
	struct object *to = object_at(c, 0);
	struct object *vec = object_at(c, 1);
	dynm_strings values = strings_from(c, 2);

	switch (vec->what) {
	case COUNTER_VEC:
		*to = (struct object){ .what = COUNTER,
			.counter = dynm_counter_vec_with(vec->counter_vec, values) };
		break;
	case GAUGE_VEC:
		*to = (struct object){ .what = GAUGE,
			.gauge = dynm_gauge_vec_with(vec->gauge_vec, values) };
		break;
	case HISTOGRAM_VEC:
		*to = (struct object){ .what = HISTOGRAM,
			.histogram =
			    dynm_histogram_vec_with(vec->histogram_vec, values) };
		break;
	case NOTHING:
	case SCOPE:
	case COUNTER:
	case GAUGE:
	case HISTOGRAM:
		answer("error", "with: not a vec");
		break;
	}
}

/* remove VEC VALUE... */
static void
do_remove(const struct command *c)
{
	struct object *vec = object_at(c, 0);
	dynm_strings values = strings_from(c, 1);

	if (vec->what == COUNTER_VEC)
		dynm_counter_vec_remove(vec->counter_vec, values);
	else if (vec->what == GAUGE_VEC)
		dynm_gauge_vec_remove(vec->gauge_vec, values);
	else if (vec->what == HISTOGRAM_VEC)
		dynm_histogram_vec_remove(vec->histogram_vec, values);
}

static void
update(const struct object *o, double value)
{
	if (o->what == COUNTER)
		dynm_counter_add(o->counter, value);
	else if (o->what == GAUGE)
		dynm_gauge_add(o->gauge, value);
	else if (o->what == HISTOGRAM)
		dynm_histogram_observe(o->histogram, value);
}

/* inc ID: a counter or a gauge */
static void
do_inc(const struct command *c)
{
	const struct object *o = object_at(c, 0);

	if (o->what == COUNTER)
		dynm_counter_inc(o->counter);
	else if (o->what == GAUGE)
		dynm_gauge_inc(o->gauge);
}

/* add ID VALUE: a counter or a gauge; or an observation */
static void
do_add(const struct command *c)
{
	update(object_at(c, 0), number_at(c, 1));
}

/* set ID VALUE */
static void
do_set(const struct command *c)
{
	dynm_gauge_set(object_at(c, 0)->gauge, number_at(c, 1));
}

struct load {
	const struct object *object;
	double value;
	unsigned long times;
};

static void *
load_main(void *arg)
{
	const struct load *load = arg;

	for (unsigned long i = 0; i < load->times; i++)
		update(load->object, load->value);
	return NULL;
}

/* many ID VALUE TIMES THREADS: each thread adds VALUE so many times */
static void
do_many(const struct command *c)
{
	struct load load = { object_at(c, 0), number_at(c, 1),
		strtoul(text_at(c, 2), NULL, 10) };
	unsigned long n = strtoul(text_at(c, 3), NULL, 10);
	pthread_t thread[THREADS_MAX];

	if (n > THREADS_MAX) {
		answer("error", "many: too many threads");
		return;
	}
	for (unsigned long i = 0; i < n; i++) {
		if (pthread_create(&thread[i], NULL, load_main, &load) != 0)
			abort();
	}
	for (unsigned long i = 0; i < n; i++)
		pthread_join(thread[i], NULL);
}

/* The child of a counter vec that has a number for its value. */
static dynm_counter
numbered(const struct object *vec, unsigned long i)
{
	char value[24];

	snprintf(value, sizeof(value), "%lu", i);
	return dynm_with(vec->counter_vec, value);
}

static void
remove_numbered(const struct object *vec, unsigned long i)
{
	char value[24];

	snprintf(value, sizeof(value), "%lu", i);
	dynm_remove(vec->counter_vec, value);
}

/* children VEC N: make so many of a counter vec, and add 1 to 7 to each */
static void
do_children(const struct command *c)
{
	unsigned long n = strtoul(text_at(c, 1), NULL, 10);

	for (unsigned long i = 0; i < n; i++)
		dynm_counter_add(numbered(object_at(c, 0), i), (double)(i % 7 + 1));
}

/* churn VEC N BEHIND: the same, but each even one is removed when so many more are made
 */
static void
do_churn(const struct command *c)
{
	unsigned long n = strtoul(text_at(c, 1), NULL, 10);
	unsigned long behind = strtoul(text_at(c, 2), NULL, 10);

	for (unsigned long i = 0; i < n + behind; i++) {
		if (i < n)
			dynm_counter_add(
			    numbered(object_at(c, 0), i), (double)(i % 7 + 1));
		if (i >= behind && (i - behind) % 2 == 0)
			remove_numbered(object_at(c, 0), i - behind);
	}
}

static bool ticking;
static pthread_t ticker;
static unsigned long ticks;

static void *
tick_main(void *arg)
{
	const struct object *o = arg;

	while (__atomic_load_n(&ticking, __ATOMIC_RELAXED)) {
		dynm_counter_inc(o->counter);
		ticks++;
		usleep(500);
	}
	return NULL;
}

/* tick ID: a thread counts on this counter; without ID it ends, and says how often it did
 */
static void
do_tick(const struct command *c)
{
	char text[32];

	if (c->n > 0) {
		ticking = true;
		if (pthread_create(&ticker, NULL, tick_main, object_at(c, 0)) != 0)
			abort();
		return;
	}
	__atomic_store_n(&ticking, false, __ATOMIC_RELAXED);
	pthread_join(ticker, NULL);
	snprintf(text, sizeof(text), "%lu", ticks);
	answer("ok", text);
}

static void
set_on_flush(void *arg)
{
	struct object *o = arg;

	dynm_gauge_set(o->gauge, ++on_flush_gauge);
}

/* on_flush ID: a gauge that counts the flushes */
static void
do_on_flush(const struct command *c)
{
	dynm_on_flush(runtime, set_on_flush, object_at(c, 0));
}

/* flush TIMEOUT_MS */
static void
do_flush(const struct command *c)
{
	dynm_err code = dynm_flush(runtime, (int)number_at(c, 0));

	answer_error(code, dynm_strerror(code));
}

/* error: the first since the last call */
static void
do_error(const struct command *c)
{
	dynm_error error = { 0 };
	dynm_err code = dynm_runtime_error(runtime, &error);

	(void)c;
	answer_error(code, error.text);
}

/* status: CONNECTED SERIES REFUSED DROPPED WORKER */
static void
do_status(const struct command *c)
{
	dynm_status status;
	char line[256];

	(void)c;
	dynm_runtime_status(runtime, &status);
	snprintf(line, sizeof(line), "%d %u %u %llu %s", status.connected, status.series,
	    status.refused, (unsigned long long)status.dropped, status.worker);
	answer("ok", line);
}

/* expose SCOPE TIMEOUT_MS */
static void
do_expose(const struct command *c)
{
	char *text = NULL;
	dynm_err code = dynm_expose(scope_at(c, 0), (int)number_at(c, 1), &text);

	if (code == DYNM_OK)
		answer("ok", text);
	else
		answer_error(code, dynm_strerror(code));
	free(text);
}

/* locale: take the environment's, and answer how it writes one and a half */
static void
do_locale(const struct command *c)
{
	char text[32];

	(void)c;
	setlocale(LC_ALL, "");
	snprintf(text, sizeof(text), "%.1f", 1.5);
	answer("ok", text);
}

/* fork: the child answers from here on; when it has exited, the parent does */
static void
do_fork(const struct command *c)
{
	char text[32];
	pid_t pid;
	int status = -1;

	(void)c;
	fflush(stdout);
	pid = fork();
	if (pid > 0) {
		while (waitpid(pid, &status, 0) != pid)
			continue;
		snprintf(text, sizeof(text), "%d",
		    WIFEXITED(status) ? WEXITSTATUS(status) : -1);
		answer("ok", text);
	} else {
		/* The parent's flush thread may have been in take_log(). */
		if (pid == 0)
			pthread_mutex_init(&logged.lock, NULL);
		snprintf(text, sizeof(text), "%ld", (long)getpid());
		answer(pid < 0 ? "error" : "ok", text);
	}
}

static void
do_close(const struct command *c)
{
	(void)c;
	dynm_close(runtime);
	runtime = NULL;
}

/* exit STATUS: at once, without a word to the daemon */
static void
do_exit(const struct command *c)
{
	_exit((int)number_at(c, 0));
}

static const struct {
	const char *name;
	void (*run)(const struct command *c);
} commands[] = {
	{ "open", do_open },
	{ "level", do_level },
	{ "label", do_label },
	{ "counter", do_counter },
	{ "gauge", do_gauge },
	{ "histogram", do_histogram },
	{ "counter_vec", do_counter_vec },
	{ "gauge_vec", do_gauge_vec },
	{ "histogram_vec", do_histogram_vec },
	{ "with", do_with },
	{ "remove", do_remove },
	{ "inc", do_inc },
	{ "add", do_add },
	{ "set", do_set },
	{ "many", do_many },
	{ "children", do_children },
	{ "churn", do_churn },
	{ "tick", do_tick },
	{ "on_flush", do_on_flush },
	{ "flush", do_flush },
	{ "error", do_error },
	{ "log", do_log },
	{ "status", do_status },
	{ "expose", do_expose },
	{ "locale", do_locale },
	{ "fork", do_fork },
	{ "close", do_close },
	{ "exit", do_exit },
};

static void
run(const char *name, const struct command *c)
{
	answered = false;
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(commands[i].name, name) == 0) {
			commands[i].run(c);
			if (!answered)
				answer("ok", NULL);
			return;
		}
	}
	answer("error", "no such command");
}

int
main(void)
{
	struct command c;
	const char *name;

	lines_init();
	while ((name = next_command(&c)) != NULL)
		run(name, &c);
	return 0;
}
