/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a runtime: where its address comes from, and what none is good for. */
#include <stdlib.h>

#include "runtime.h"
#include "suite.h"

START_TEST(an_address_that_is_not_ipc_is_refused_in_words)
{
	static const char *const bad[] = { "tcp://127.0.0.1:1", "ipc://relative",
		"/run/x", "ipc://", "ws://x" };
	dynm_error err;
	dynm_runtime *other = (dynm_runtime *)&err;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		dynm_options o = { .address = bad[i] };

		ck_assert_int_eq(dynm_open(&other, &o, &err), DYNM_EINVAL);
		ck_assert_ptr_null(other);
		ck_assert_ptr_nonnull(strstr(err.text, "ipc://"));
		ck_assert_ptr_nonnull(strstr(err.text, bad[i]));
	}
	ck_assert_int_eq(
	    dynm_open(&other, &(dynm_options){ .worker = "\xff" }, &err), DYNM_EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "worker name"));
}
END_TEST

START_TEST(address_and_worker_come_from_the_environment)
{
	dynm_runtime *other;

	setenv("DYN_METRICSD_ADDRESS", "ipc:///from/environment", 1);
	setenv("DYN_WORKER_ID", "decode-7", 1);
	ck_assert_int_eq(dynm_open(&other, NULL, NULL), DYNM_OK);
	ck_assert_str_eq(other->path, "/from/environment");
	ck_assert_str_eq(other->worker, "decode-7");
	dynm_close(other);
	setenv("DYN_METRICSD_ADDRESS", "", 1);
	setenv("DYN_WORKER_ID", "", 1);
	ck_assert_int_eq(dynm_open(&other, NULL, NULL), DYNM_OK);
	ck_assert_str_eq(other->path, "/run/dynamo-metricsd/ingest.ipc");
	ck_assert_str_eq(other->worker, "");
	dynm_close(other);
}
END_TEST

START_TEST(no_runtime_is_no_crash)
{
	dynm_status st;
	dynm_error err;

	dynm_close(NULL);
	ck_assert_int_eq(dynm_flush(NULL, 0), DYNM_EINVAL);
	ck_assert_int_eq(dynm_runtime_error(NULL, &err), DYNM_EINVAL);
	dynm_runtime_status(NULL, &st);
	ck_assert_uint_eq(st.series, 0);
	dynm_on_flush(NULL, NULL, NULL);
	ck_assert_ptr_null(dynm_runtime_scope(NULL).node_);
	ck_assert_ptr_null(dynm_runtime_namespace(NULL, "x").scope.node_);
}
END_TEST

START_TEST(every_code_has_a_description)
{
	for (int i = DYNM_OK; i <= DYNM_ESYS; i++)
		ck_assert_uint_gt(strlen(dynm_strerror((dynm_err)i)), 5);
	ck_assert_str_eq(dynm_strerror((dynm_err)99), "an unknown error");
	ck_assert_str_eq(dynm_strerror((dynm_err)-1), "an unknown error");
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("client_open");
	TCase *c = tcase_create("open");

	tcase_add_test(c, an_address_that_is_not_ipc_is_refused_in_words);
	tcase_add_test(c, address_and_worker_come_from_the_environment);
	tcase_add_test(c, no_runtime_is_no_crash);
	tcase_add_test(c, every_code_has_a_description);
	suite_add_tcase(s, c);
	return suite_run(s);
}
