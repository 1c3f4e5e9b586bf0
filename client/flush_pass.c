/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The passes of the flush thread: what is due, and when.
 */
#include "flush_parts.h"

/* False when this process is a child that fn has forked. */
static bool
call_back(struct flush *f)
{
	void (*fn)(void *arg);
	void *arg;

	pthread_mutex_lock(&f->lock);
	fn = f->callback;
	arg = f->callback_arg;
	f->in_callback = fn != NULL;
	pthread_mutex_unlock(&f->lock);
	if (!fn)
		return true;
	fn(arg);
	if (!flush_is_self(f))
		return false;
	pthread_mutex_lock(&f->lock);
	f->in_callback = false;
	pthread_cond_broadcast(&f->done);
	pthread_mutex_unlock(&f->lock);
	return true;
}

/* What was refused for what others have is asked again now and then. */
static void
ask_again(struct flush *f, uint64_t now)
{
	if (collect_waits(&f->collect) && now < f->ask_again_ns &&
	    !collect_is_lucky(&f->collect))
		return;
	collect_retry(&f->collect);
	f->ask_again_ns = now + flush_lease_ns(f) / 3;
}

bool
flush_begin_pass(struct flush *f, uint64_t now)
{
	pthread_mutex_lock(&f->lock);
	f->pass_order = f->ordered;
	f->final = f->closing;
	pthread_mutex_unlock(&f->lock);
	f->passing = true;
	f->next_pass_ns = now + f->interval_ns;
	if (!call_back(f))
		return false;
	ask_again(f, now);
	collect_pass(&f->collect);
	return true;
}

bool
flush_refresh_pass(struct flush *f, uint64_t now)
{
	if (now < f->next_pass_ns || !collect_is_defining(&f->collect))
		return true;
	f->next_pass_ns = now + f->interval_ns;
	if (!call_back(f))
		return false;
	collect_changes(&f->collect);
	return true;
}

void
flush_end_pass(struct flush *f)
{
	f->passing = false;
	collect_show(&f->collect);
	pthread_mutex_lock(&f->lock);
	f->passed = f->pass_order;
	pthread_cond_broadcast(&f->done);
	pthread_mutex_unlock(&f->lock);
}

bool
flush_pass_is_due(struct flush *f, uint64_t now)
{
	bool due;

	pthread_mutex_lock(&f->lock);
	due = f->ordered > f->passed || (f->closing && !f->final);
	pthread_mutex_unlock(&f->lock);
	return due || now >= f->next_pass_ns;
}
