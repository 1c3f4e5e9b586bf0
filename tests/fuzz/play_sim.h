/* SPDX-License-Identifier: Apache-2.0 */
/* play_sim.h - apart from play.h: no file can include the library's sessions and the
 * daemon's. */
#ifndef PLAY_SIM_H
#define PLAY_SIM_H

#include "fuzz.h"

void play_sim(struct fuzz_input *in);

#endif /* PLAY_SIM_H */
