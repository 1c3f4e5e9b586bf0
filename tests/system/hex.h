/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hex.h - messages as lines of hex, on standard input and output.
 */
#ifndef HEX_H
#define HEX_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEX_ROOM (1 << 21) /* the longest message */

static inline int
hex_digit(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* The bytes of the next line; ends the program at the end of the input. */
static inline size_t
hex_read(uint8_t out[HEX_ROOM])
{
	static char line[2 * HEX_ROOM + 2];
	size_t n = 0;

	if (fgets(line, sizeof(line), stdin) == NULL)
		exit(0);
	for (const char *p = line; hex_digit(p[0]) >= 0 && hex_digit(p[1]) >= 0; p += 2)
		out[n++] = (uint8_t)(hex_digit(p[0]) << 4 | hex_digit(p[1]));
	return n;
}

static inline void
hex_write(const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		printf("%02x", bytes[i]);
	putchar('\n');
	fflush(stdout);
}

/* What a program says when it can be talked to. */
static inline void
hex_ready(void)
{
	puts("ready");
	fflush(stdout);
}

#endif /* HEX_H */
