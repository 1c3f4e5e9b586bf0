/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>

#include "ctl.h"

enum ctl_exit
ctl_fail(struct ctl_error *error, enum ctl_exit code, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(error->text, sizeof(error->text), format, arguments);
	va_end(arguments);
	return code;
}

void
ctl_print(FILE *out, struct wire_text text)
{
	for (size_t i = 0; i < text.bytes; i++) {
		unsigned char c = (unsigned char)text.at[i];
		/* U+0080 to U+009F are controls too; in UTF-8 they are c2 80 to c2 9f. */
		bool c1 = c == 0xc2 && i + 1 < text.bytes &&
			  (unsigned char)text.at[i + 1] < 0xa0;

		fputc(c < 0x20 || c == 0x7f || c1 ? '?' : c, out);
		i += c1;
	}
}
