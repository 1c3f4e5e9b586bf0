/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The passes of the flush thread: what is due, and when.
 */
#include "flush_parts.h"

static void
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
		return;
	fn(arg);
	pthread_mutex_lock(&f->lock);
	f->in_callback = false;
	pthread_cond_broadcast(&f->done);
	pthread_mutex_unlock(&f->lock);
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

void
flush_begin_pass(struct flush *f, uint64_t now)
{
	pthread_mutex_lock(&f->lock);
	f->pass_order = f->ordered;
	f->final = f->closing;
	pthread_mutex_unlock(&f->lock);
	f->passing = true;
	f->next_pass_ns = now + f->interval_ns;
	call_back(f);
	ask_again(f, now);
	collect_pass(&f->collect);
}

void
flush_refresh_pass(struct flush *f, uint64_t now)
{
	if (now < f->next_pass_ns || !collect_is_defining(&f->collect))
		return;
	f->next_pass_ns = now + f->interval_ns;
	call_back(f);
	collect_changes(&f->collect);
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
