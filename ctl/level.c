/* SPDX-License-Identifier: Apache-2.0 */
#include "level.h"

#include "names.h"

static enum ctl_exit
check(const struct message_level *level, struct ctl_error *error)
{
	struct refusal r = { 0 };

	if (names_check_level(level, &r) != REASON_NONE)
		return ctl_fail(error, CTL_USAGE, "%s", r.text);
	return CTL_OK;
}

enum ctl_exit
level_from_path(const char *path, struct message_level *ret, struct ctl_error *error)
{
	const char *at = path;

	while (at) {
		size_t n = strcspn(at, "/");

		if (ret->depth == MESSAGE_LEVELS_MAX)
			return ctl_fail(error, CTL_USAGE,
			    "the level '%s' has more than three parts", path);
		ret->name[ret->depth++] = (struct wire_text){ at, n };
		at = at[n] ? at + n + 1 : NULL;
	}
	return check(ret, error);
}

enum ctl_exit
level_from_names(int n, char **names, struct message_level *ret, struct ctl_error *error)
{
	while (n > 1 && names[n - 1][0] == '\0')
		n--;
	if (n > MESSAGE_LEVELS_MAX)
		return ctl_fail(error, CTL_USAGE,
		    "a level is at most a namespace, a component and an endpoint");
	for (int i = 0; i < n; i++)
		ret->name[ret->depth++] = wire_text(names[i]);
	return check(ret, error);
}
