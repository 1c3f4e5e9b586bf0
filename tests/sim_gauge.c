/* SPDX-License-Identifier: Apache-2.0 */
#include "cells.h"
#include "sim_inside.h"

uint64_t
sim_gauge_bits(double value)
{
	return gauge_encode(value);
}
