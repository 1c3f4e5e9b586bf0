/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

/* At file scope, as getrandom() has no argument for it, and as libFuzzer calls a target
 * without one. */
static uint64_t seed;
static uint8_t *copy;

/* In place of the C library's. */
ssize_t
getrandom(void *out, size_t n, unsigned flags)
{
	uint8_t *at = out;

	(void)flags;
	for (size_t i = 0; i < n; i++) {
		seed = seed * 6364136223846793005U + 1442695040888963407U;
		at[i] = (uint8_t)(seed >> 56);
	}
	return (ssize_t)n;
}

void
fuzz_must(bool holds, const char *format, ...)
{
	va_list arguments;

	if (holds)
		return;
	fputs("fuzz: this does not hold: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	abort();
}

struct fuzz_input
fuzz_begin(const uint8_t *bytes, size_t n)
{
	seed = 1;
	free(copy);
	copy = malloc(n ? n : 1);
	fuzz_must(copy != NULL, "memory is there");
	if (n)
		memcpy(copy, bytes, n);
	return (struct fuzz_input){ copy, n };
}

static uint64_t
number(struct fuzz_input *in, unsigned bytes)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < bytes && in->bytes > 0; i++) {
		v |= (uint64_t)*in->at++ << (8 * i);
		in->bytes--;
	}
	return v;
}

uint8_t
fuzz_u8(struct fuzz_input *in)
{
	return (uint8_t)number(in, 1);
}

uint16_t
fuzz_u16(struct fuzz_input *in)
{
	return (uint16_t)number(in, 2);
}

uint32_t
fuzz_u32(struct fuzz_input *in)
{
	return (uint32_t)number(in, 4);
}

uint64_t
fuzz_u64(struct fuzz_input *in)
{
	return number(in, 8);
}

uint32_t
fuzz_below(struct fuzz_input *in, uint32_t limit)
{
	uint64_t v = number(in, limit <= 256 ? 1 : limit <= 65536 ? 2 : 4);

	return (uint32_t)(v % limit);
}

struct wire_text
fuzz_bytes(struct fuzz_input *in, size_t n)
{
	struct wire_text t = { (const char *)in->at, n < in->bytes ? n : in->bytes };

	in->at += t.bytes;
	in->bytes -= t.bytes;
	return t;
}
