/* SPDX-License-Identifier: Apache-2.0 */
/*
 * decimal.h - doubles as text, as Prometheus text has them.
 */
#ifndef DECIMAL_H
#define DECIMAL_H

#include <stddef.h>

#define DECIMAL_BYTES 32

/*
 * The shortest decimal that reads back equal, integers without a point, +Inf, -Inf, NaN,
 * exponents from 1e+21 and below 1e-4 as Go prints them, whatever the locale. Writes
 * anywhere in the 32 bytes; NUL-terminated. Returns the length.
 */
size_t decimal_format(char out[DECIMAL_BYTES], double v);

#endif /* DECIMAL_H */
