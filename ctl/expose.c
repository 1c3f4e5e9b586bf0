/* SPDX-License-Identifier: Apache-2.0 */
/* expose: the page of a level and all below it. */
#include <stdlib.h>

#include "ctl.h"
#include "names.h"
#include "request.h"

/* One argument is a path; several are the names themselves, which may then have a slash.
 */
static enum ctl_exit
get_level(int argc, char **argv, struct message_level *level, struct ctl_error *error)
{
	struct refusal r = { 0 };
	const char *at = argc == 1 ? argv[0] : NULL;
	size_t n;

	if (argc > MESSAGE_LEVELS_MAX)
		return ctl_fail(error, CTL_USAGE,
		    "a level is at most a namespace, a component and an endpoint");
	for (int i = 0; argc > 1 && i < argc; i++)
		level->name[level->depth++] = wire_text(argv[i]);
	while (at) {
		if (level->depth == MESSAGE_LEVELS_MAX)
			return ctl_fail(error, CTL_USAGE,
			    "the level '%s' has more than three parts", argv[0]);
		n = strcspn(at, "/");
		level->name[level->depth++] = (struct wire_text){ at, n };
		at = at[n] ? at + n + 1 : NULL;
	}
	if (names_check_level(level, &r) != REASON_NONE)
		return ctl_fail(error, CTL_USAGE, "%s", r.text);
	return CTL_OK;
}

enum ctl_exit
ctl_expose(const struct ctl_options *o, int argc, char **argv, struct ctl_error *error)
{
	uint8_t bytes[1024], *reply = NULL;
	struct message_level level = { 0 };
	struct wire_text page;
	struct wire_writer w;
	enum ctl_exit code = get_level(argc, argv, &level, error);

	if (code != CTL_OK)
		return code;
	wire_writer_init(&w, bytes, sizeof(bytes));
	message_put_expose(&w, &level);
	code = request_text(o, &w, &reply, &page, error);
	if (code == CTL_OK)
		fwrite(page.at, 1, page.bytes, stdout);
	free(reply);
	return code;
}
