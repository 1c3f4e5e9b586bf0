/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cxx_decimal KIND - ns for the text of a double, made by the C++ library: the shortest
 * too.
 */
#include <charconv>

#include "decimal_values.h"

static size_t
to_chars(char *out, double v)
{
	return static_cast<size_t>(std::to_chars(out, out + DECIMAL_TEXT, v).ptr - out);
}

int
main(int argc, char **argv)
{
	return argc < 2 || bench_print(decimal_ns(argv[1], to_chars));
}
