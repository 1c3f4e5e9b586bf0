/* SPDX-License-Identifier: Apache-2.0 */
/* A worker in which nothing happens: how often it wakes up, and what it says. */
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "client_rig.h"
#include "suite.h"

#define INTERVALS 100

/* What the flush thread knows of itself at each pass; atomic. */
static struct {
	unsigned passes;
	unsigned slept; /* how often it has waited for something */
} at_pass;

/* How often the calling thread has waited. Context switches would count locks and
 * page faults, too, which a loaded machine has more of. */
static _Thread_local unsigned waited;

/* In place of the C library's, for the library under test. Named for the linker alone:
 * headers may have made ppoll() an inline function. */
int counted_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout,
    const sigset_t *mask) __asm__("ppoll");

int
counted_ppoll(
    struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask)
{
	struct timespec left = { 0 };

	if (timeout != NULL)
		left = *timeout; /* the system call writes into it */
	waited++;
	return (int)syscall(SYS_ppoll, fds, n, timeout != NULL ? &left : NULL, mask,
	    sizeof(uint64_t)); /* of the kernel's set of signals */
}

static void
look(void *arg)
{
	(void)arg;
	__atomic_store_n(&at_pass.slept, waited, __ATOMIC_RELAXED);
	__atomic_fetch_add(&at_pass.passes, 1, __ATOMIC_RELEASE);
}

/* How often it has slept when it began a later pass, and which one that was. */
static unsigned
slept_after(unsigned passes, unsigned *ret_pass)
{
	uint64_t began = 0;

	while (__atomic_load_n(&at_pass.passes, __ATOMIC_ACQUIRE) < passes)
		responder_again(&began, "passes");
	*ret_pass = __atomic_load_n(&at_pass.passes, __ATOMIC_ACQUIRE);
	return __atomic_load_n(&at_pass.slept, __ATOMIC_RELAXED);
}

static void
begin_idling(void)
{
	dynm_counter_inc(dynm_counter_create(at, "c_total", ""));
	flush();
	dynm_on_flush(rt, look, NULL);
}

/* A heartbeat goes out every sixth interval or so, and its answer comes at once. */
START_TEST(an_idle_worker_wakes_up_once_an_interval)
{
	unsigned first, last, slept;
	uint32_t pings;

	d.lease_ms = 18 * FLUSH_MS;
	begin_idling();
	slept = slept_after(5, &first);
	pings = responder_seen(&d, MESSAGE_PING);
	slept = slept_after(first + INTERVALS, &last) - slept;
	pings = responder_seen(&d, MESSAGE_PING) - pings;
	ck_assert_uint_ge(pings, 8);
	/* Either look may fall beside its pass by one. */
	ck_assert_uint_ge(slept + 2, last - first);
	ck_assert_uint_le(slept, last - first + 2);
}
END_TEST

START_TEST(an_idle_worker_says_nothing_but_that_it_lives)
{
	unsigned first, last;
	uint32_t seen[256];

	d.lease_ms = 18 * FLUSH_MS;
	begin_idling();
	(void)slept_after(5, &first);
	for (unsigned type = 0; type < 256; type++)
		seen[type] = responder_seen(&d, (enum message_type)type);
	(void)slept_after(first + INTERVALS, &last);
	for (unsigned type = 0; type < 256; type++)
		if (type != MESSAGE_PING)
			ck_assert_uint_eq(
			    responder_seen(&d, (enum message_type)type), seen[type]);
	ck_assert_uint_gt(responder_seen(&d, MESSAGE_PING), seen[MESSAGE_PING]);
	ck_assert_uint_eq(responder_connections(&d), 1);
}
END_TEST

/* The flush thread does not look for the answer to a heartbeat, but for orders. */
START_TEST(a_flush_comes_through_behind_a_heartbeat)
{
	dynm_counter c;

	d.lease_ms = 18 * FLUSH_MS;
	c = dynm_counter_create(at, "n_total", "");
	begin_idling();
	for (int i = 1; i <= 10; i++) {
		responder_wait_seen(
		    &d, MESSAGE_PING, responder_seen(&d, MESSAGE_PING) + 1);
		dynm_counter_inc(c);
		flush();
		ck_assert_double_eq(responder_value(&d, "n_total", 0), i);
	}
}
END_TEST

START_TEST(where_nothing_is_defined_there_is_no_thread)
{
	dynm_status st;
	size_t n;

	dynm_close(rt);
	n = threads();
	client_open(FLUSH_MS, 0);
	(void)dynm_runtime_namespace(rt, "prod");
	(void)dynm_counter_vec_create(at, "v_total", "", DYNM_LABELS("i"));
	dynm_on_flush(rt, look, NULL);
	dynm_runtime_status(rt, &st);
	ck_assert_int_eq(st.connected, 0);
	ck_assert_int_eq(dynm_flush(rt, PATIENT_MS), DYNM_OK);
	ck_assert_uint_eq(threads(), n);
	ck_assert_uint_eq(responder_connections(&d), 0);
	dynm_counter_inc(dynm_counter_create(at, "c_total", ""));
	ck_assert_uint_eq(threads(), n + 1);
	responder_wait_value(&d, "c_total", 0, 1);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("client_idle");
	TCase *idle = tcase_create("idle");

	tcase_add_checked_fixture(idle, client_set_up, client_tear_down);
	tcase_set_timeout(idle, 60);
	tcase_add_test(idle, an_idle_worker_wakes_up_once_an_interval);
	tcase_add_test(idle, an_idle_worker_says_nothing_but_that_it_lives);
	tcase_add_test(idle, a_flush_comes_through_behind_a_heartbeat);
	tcase_add_test(idle, where_nothing_is_defined_there_is_no_thread);
	suite_add_tcase(s, idle);
	return suite_run(s);
}
