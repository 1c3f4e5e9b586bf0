/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What other threads ask of the flush thread.
 */
#include "flush_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ticks.h"

static int
init_conditions(struct flush *f)
{
	pthread_condattr_t attr;
	int error = pthread_condattr_init(&attr);

	if (error == 0)
		error = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	if (error == 0)
		error = pthread_cond_init(&f->wake, &attr);
	if (error == 0)
		error = pthread_cond_init(&f->done, &attr);
	(void)pthread_condattr_destroy(&attr);
	return error;
}

int
flush_init(struct flush *f, struct store *st, struct report *report, const char *path,
    const char *worker, uint32_t interval_ms, uint64_t random)
{
	int error;

	f->store = st;
	f->report = report;
	f->path = path;
	f->worker = worker;
	f->interval_ns = (uint64_t)interval_ms * NS_PER_MS;
	f->event_fd = -1;
	f->random = random;
	error = pthread_mutex_init(&f->lock, NULL);
	if (error == 0)
		error = init_conditions(f);
	transport_init(&f->transport, &f->lock, (uint32_t)random);
	f->map = blocks_map_wiped(session_map_bytes(SERIES_WIRE_MAX));
	return f->map ? error : ENOMEM;
}

void
flush_free(struct flush *f)
{
	if (f->map)
		(void)munmap(f->map, session_map_bytes(SERIES_WIRE_MAX));
	transport_free(&f->transport);
	if (f->event_fd >= 0)
		close(f->event_fd);
	free(f->expose_text);
	pthread_cond_destroy(&f->wake);
	pthread_cond_destroy(&f->done);
	pthread_mutex_destroy(&f->lock);
}

bool
flush_is_running(const struct flush *f)
{
	return __atomic_load_n(&f->running, __ATOMIC_ACQUIRE);
}

bool
flush_is_self(struct flush *f)
{
	return flush_is_running(f) && pthread_equal(pthread_self(), f->thread);
}

static void
wake_locked(struct flush *f)
{
	uint64_t one = 1;

	f->woken = true;
	pthread_cond_signal(&f->wake);
	if (f->event_fd >= 0)
		(void)!write(f->event_fd, &one, sizeof(one));
}

void
flush_wake(struct flush *f)
{
	pthread_mutex_lock(&f->lock);
	wake_locked(f);
	pthread_mutex_unlock(&f->lock);
}

/* Wait for a change; false when the time is up. */
static bool
wait_done(struct flush *f, bool for_ever, uint64_t until)
{
	struct timespec t = { (time_t)(until / NS_PER_S), (long)(until % NS_PER_S) };

	if (for_ever)
		return pthread_cond_wait(&f->done, &f->lock) == 0;
	return pthread_cond_timedwait(&f->done, &f->lock, &t) != ETIMEDOUT;
}

static uint64_t
until_ns(int timeout_ms)
{
	return ticks_ns() + (timeout_ms > 0 ? (uint64_t)timeout_ms * NS_PER_MS : 0);
}

/* There may be no thread, and none to come: whoever waited would wait for ever. */
static bool
is_closing(struct flush *f)
{
	bool closing;

	pthread_mutex_lock(&f->lock);
	closing = f->closing;
	pthread_mutex_unlock(&f->lock);
	return closing;
}

static dynm_err
begin_wait(struct flush *f)
{
	int error;

	if (flush_is_self(f))
		return DYNM_EAGAIN;
	error = flush_start(f);
	if (error == 0)
		return is_closing(f) ? DYNM_EAGAIN : DYNM_OK;
	report_error(f->report, DYNM_ESYS, "the flush thread cannot be started: %s",
	    strerror(error));
	return DYNM_ESYS;
}

static dynm_err
wait_pass(struct flush *f, bool for_ever, uint64_t until)
{
	uint64_t order;
	bool passed;

	if (!flush_is_used(f))
		return DYNM_OK;
	pthread_mutex_lock(&f->lock);
	order = ++f->ordered;
	wake_locked(f);
	while (f->passed < order && wait_done(f, for_ever, until))
		;
	passed = f->passed >= order;
	pthread_mutex_unlock(&f->lock);
	return passed ? DYNM_OK : DYNM_EAGAIN;
}

dynm_err
flush_wait(struct flush *f, int timeout_ms)
{
	dynm_err err;

	if (!flush_is_used(f)) /* no thread is needed to send nothing */
		return is_closing(f) || flush_is_self(f) ? DYNM_EAGAIN : DYNM_OK;
	err = begin_wait(f);
	return err == DYNM_OK ? wait_pass(f, timeout_ms < 0, until_ns(timeout_ms)) : err;
}

dynm_err
flush_expose(
    struct flush *f, const struct message_level *level, int timeout_ms, char **ret_text)
{
	uint64_t until = until_ns(timeout_ms);
	bool for_ever = timeout_ms < 0;
	dynm_err err = begin_wait(f);

	if (err == DYNM_OK)
		err = wait_pass(f, for_ever, until);
	if (err != DYNM_OK)
		return err;
	pthread_mutex_lock(&f->lock);
	while (f->expose != EXPOSE_NONE && wait_done(f, for_ever, until))
		;
	if (f->expose != EXPOSE_NONE) {
		pthread_mutex_unlock(&f->lock);
		return DYNM_EAGAIN;
	}
	f->expose = EXPOSE_WANTED;
	f->expose_level = *level;
	wake_locked(f);
	while (f->expose != EXPOSE_DONE && wait_done(f, for_ever, until))
		;
	err = f->expose == EXPOSE_DONE ? f->expose_code : DYNM_EAGAIN;
	*ret_text = f->expose_text;
	f->expose_text = NULL;
	f->expose = EXPOSE_NONE;
	pthread_cond_broadcast(&f->done);
	pthread_mutex_unlock(&f->lock);
	return err;
}

void
flush_on(struct flush *f, void (*fn)(void *arg), void *arg)
{
	bool self = flush_is_self(f);

	pthread_mutex_lock(&f->lock);
	f->callback = fn;
	f->callback_arg = arg;
	while (f->in_callback && !self)
		pthread_cond_wait(&f->done, &f->lock);
	pthread_mutex_unlock(&f->lock);
}

void
flush_status(struct flush *f, dynm_status *ret)
{
	pthread_mutex_lock(&f->lock);
	ret->connected = f->connected;
	memcpy(ret->worker, f->given, sizeof(ret->worker));
	ret->acked_ms_ago =
	    f->acked_ns ? (ticks_ns() - f->acked_ns) / NS_PER_MS : UINT64_MAX;
	pthread_mutex_unlock(&f->lock);
}

void
flush_order_close(struct flush *f)
{
	pthread_mutex_lock(&f->lock);
	if (!f->closing) {
		f->closing = true;
		f->close_ns = ticks_ns() + f->interval_ns;
		wake_locked(f);
	}
	pthread_mutex_unlock(&f->lock);
}

void
flush_stop(struct flush *f)
{
	if (!flush_is_running(f))
		return;
	flush_order_close(f);
	pthread_join(f->thread, NULL);
}

/* The thread, those who waited, and the connection are the parent's. What another thread
 * was closing stays closed. */
void
flush_fork_child(struct flush *f)
{
	(void)init_conditions(f);
	flush_forget_threads();
	__atomic_store_n(&f->running, false, __ATOMIC_RELEASE);
	f->forked = true;
	f->woken = f->in_callback = f->connected = false;
	f->ordered = f->passed = f->pass_order = 0;
	f->acked_ns = 0;
	f->given[0] = '\0';
	f->expose = EXPOSE_NONE;
	f->outage = false;
	f->trouble[0] = '\0';
	__atomic_store_n(&f->collect.shown, 0, __ATOMIC_RELAXED);
	f->random ^= (uint64_t)getpid() << 32; /* siblings do not come back in step */
	transport_abandon(&f->transport);
	if (f->event_fd >= 0)
		close(f->event_fd);
	f->event_fd = -1;
}
