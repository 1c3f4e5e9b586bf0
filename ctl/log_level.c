/* SPDX-License-Identifier: Apache-2.0 */
/* log-level: how much the daemon logs, from now until it starts again. */
#include "ask.h"
#include "ctl.h"

enum ctl_exit
ctl_log_level(const struct ctl_options *o, int argc, char **argv, struct ctl_error *error)
{
	struct connection *c = NULL;
	json_t *answer = NULL;
	enum ctl_exit code;

	if (argc != 1)
		return ctl_fail(error, CTL_USAGE,
		    "log-level takes one level: error, warning, info or debug");
	code = request_open(o, &c, error);
	if (code == CTL_OK)
		code = ask_admin(c,
		    json_pack("{s:s,s:s}", "command", "log_level", "level", argv[0]),
		    &answer, NULL, error);
	if (code == CTL_OK)
		printf("the log level is %s; it was %s\n", ask_text(answer, "level"),
		    ask_text(answer, "was"));
	request_close(c);
	json_decref(answer);
	return code;
}
