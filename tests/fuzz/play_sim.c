/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workers with the library's own session against a daemon with its own files, as in
 * tests/sim.h, where the input is what decides.
 */
#include "fuzz.h"
#include "play_sim.h"
#include "sim.h"

#define STEPS 64

void
play_sim(struct fuzz_input *in)
{
	unsigned faults = fuzz_u16(in);
	uint8_t how = fuzz_u8(in);
	struct sim *s = sim_new(1, faults & SIM_ALL, how & 1 ? 1 + how / 64 : 0);
	bool well = true;

	fuzz_must(s != NULL, "memory is there");
	for (int i = 0; i < STEPS && in->bytes > 0 && well; i++) {
		/* The input decides, but no chance comes twice: ids are random numbers.
		 */
		s->random = (uint64_t)(i + 1) << 40 | (uint64_t)fuzz_u16(in) << 16;
		well = sim_step(s);
	}
	s->random = (uint64_t)(STEPS + 1) << 40;
	if (well && (how & 0x0e) == 2)
		well = sim_settle(s);
	if (!well)
		sim_print(s, 1);
	fuzz_must(well, "%s", s->failed);
	sim_free(s);
}
