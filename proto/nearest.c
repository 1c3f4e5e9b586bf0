/* SPDX-License-Identifier: Apache-2.0 */
#include "nearest.h"

#include <stdint.h>
#include <string.h>

#define WORD_BYTES 64

size_t
nearest_distance(const char *a, const char *b)
{
	size_t row[WORD_BYTES]; /* from the part of a that was read, to each part of b */
	size_t n = strlen(b);

	if (n >= WORD_BYTES)
		return SIZE_MAX;
	for (size_t j = 0; j <= n; j++)
		row[j] = j;
	for (size_t i = 1; a[i - 1]; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= n; j++) {
			size_t changed = diagonal + (a[i - 1] != b[j - 1]);
			size_t shifted = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;

			diagonal = row[j];
			row[j] = changed < shifted ? changed : shifted;
		}
	}
	return row[n];
}

const char *
nearest_word(const char *const *words, const char *word)
{
	/* A third of it may be wrong, and a letter of a short one. */
	size_t n = strlen(word), most = n < 3 ? 1 : (n + 2) / 3;
	const char *nearest = NULL;

	if (n >= WORD_BYTES)
		return NULL;
	for (size_t i = 0; words[i]; i++) {
		size_t distance = nearest_distance(word, words[i]);

		if (distance > most)
			continue;
		nearest = words[i];
		most = distance ? distance - 1 : 0;
	}
	return nearest;
}
