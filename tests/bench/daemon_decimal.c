/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon_decimal KIND [MAKER] - ns for the text of a double, made by decimal_format(), or
 * by "printf" (%.17g), or by "nobody": the call alone.
 */
#include "decimal.h"
#include "decimal_values.h"

static size_t
ours(char *out, double v)
{
	return decimal_format(out, v);
}

static size_t
by_printf(char *out, double v)
{
	return (size_t)snprintf(out, DECIMAL_TEXT, "%.17g", v);
}

static size_t
by_nobody(char *out, double v)
{
	memcpy(out, &v, sizeof(v));
	return sizeof(v);
}

int
main(int argc, char **argv)
{
	const char *maker = argc > 2 ? argv[2] : "ours";

	if (argc < 2)
		return 1;
	return bench_print(decimal_ns(argv[1], strcmp(maker, "printf") == 0   ? by_printf
					       : strcmp(maker, "nobody") == 0 ? by_nobody
									      : ours));
}
