/* SPDX-License-Identifier: Apache-2.0 */
/*
 * decimal_powers.h - 10^e for the digits of doubles: 10^e x 2^(127 - floor(log2(10^e))),
 * rounded up, the upper 64 bits first.
 */
#ifndef DECIMAL_POWERS_H
#define DECIMAL_POWERS_H

#include <stdint.h>

#define DECIMAL_POWER_FIRST (-292)
#define DECIMAL_POWER_LAST  324
#define DECIMAL_POWERS	    (DECIMAL_POWER_LAST - DECIMAL_POWER_FIRST + 1)

/* The one of 10^e stands at e - DECIMAL_POWER_FIRST. */
extern const uint64_t decimal_powers[DECIMAL_POWERS][2];

#endif /* DECIMAL_POWERS_H */
