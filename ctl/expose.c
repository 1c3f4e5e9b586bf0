/* SPDX-License-Identifier: Apache-2.0 */
/* expose: the page of a level and all below it. */
#include <stdlib.h>

#include "ctl.h"
#include "level.h"
#include "request.h"

enum ctl_exit
ctl_expose(const struct ctl_options *o, int argc, char **argv, struct ctl_error *error)
{
	uint8_t bytes[1024], *reply = NULL;
	struct message_level level = { 0 };
	struct wire_text page;
	struct wire_writer w;
	enum ctl_exit code;

	if (argc == 1)
		code = level_from_path(argv[0], &level, error);
	else
		code = level_from_names(argc, argv, &level, error);
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
