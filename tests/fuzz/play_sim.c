/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workers with the library's own session against a daemon with its own files, as in
 * tests/sim.h, where the input is what decides.
 */
#include "fuzz.h"
#include "play_sim.h"
#include "sim.h"

#define STEPS 64
/* A message in JSON is known again for 600 s: it may come again as long as the world is.
 */
#define WORLD_MS 400000

void
play_sim(struct fuzz_input *in)
{
	unsigned faults = fuzz_u16(in);
	uint8_t how = fuzz_u8(in);
	struct sim *s = sim_new(1, faults & SIM_ALL, how & 1 ? 1 + how / 64 : 0);
	bool well = true;
	uint64_t end_ms;

	fuzz_must(s != NULL, "memory is there");
	end_ms = s->mono_ms + WORLD_MS;
	for (int i = 0; i < STEPS && in->bytes > 0 && well && s->mono_ms < end_ms; i++) {
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
