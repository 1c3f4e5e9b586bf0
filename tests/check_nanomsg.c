/* SPDX-License-Identifier: Apache-2.0 */
/* Our SP numbers are nanomsg's: proved by the compiler, against its headers. */

#include <nanomsg/nn.h>
#include <nanomsg/ipc.h>
#include <nanomsg/pipeline.h>
#include <nanomsg/reqrep.h>

#include <sys/un.h>

#include "sp.h"
#include "suite.h"

_Static_assert((int)SP_REQ == NN_REQ, "REQ");
_Static_assert((int)SP_REP == NN_REP, "REP");
_Static_assert((int)SP_PUSH == NN_PUSH, "PUSH");
_Static_assert((int)SP_PULL == NN_PULL, "PULL");
/* Every address that sp_ipc_path() takes, nanomsg takes too. */
_Static_assert(sizeof(SP_IPC_PREFIX) - 1 + sizeof(((struct sockaddr_un *)0)->sun_path) <=
		   NN_SOCKADDR_MAX,
    "address");

START_TEST(the_numbers_are_those_of_the_library_that_is_there)
{
	static const struct {
		const char *name;
		int value;
	} rows[] = { { "NN_REQ", SP_REQ }, { "NN_REP", SP_REP }, { "NN_PUSH", SP_PUSH },
		{ "NN_PULL", SP_PULL } };
	const char *name;
	int value, seen = 0;

	for (int i = 0; (name = nn_symbol(i, &value)) != NULL; i++)
		for (size_t k = 0; k < sizeof(rows) / sizeof(rows[0]); k++)
			if (strcmp(name, rows[k].name) == 0) {
				ck_assert_int_eq(value, rows[k].value);
				seen++;
			}
	ck_assert_int_eq(seen, 4);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("nanomsg");
	TCase *t = tcase_create("numbers");

	tcase_add_test(t, the_numbers_are_those_of_the_library_that_is_there);
	suite_add_tcase(s, t);
	return s;
}

int
main(void)
{
	return suite_run(suite());
}
