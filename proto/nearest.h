/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nearest.h - which known word somebody who mistyped one may have meant. Pure functions.
 */
#ifndef NEAREST_H
#define NEAREST_H

#include <stddef.h>

/* How many bytes to change, add or take away to make b of a; SIZE_MAX if b has 64 bytes
 * or more. */
size_t nearest_distance(const char *a, const char *b);

/* The nearest of some words (NULL-terminated) to one that is none of them, or NULL if
 * none is so near that it may be meant. */
const char *nearest_word(const char *const *words, const char *word);

#endif /* NEAREST_H */
