/* SPDX-License-Identifier: Apache-2.0 */
#include "noticed.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static struct {
	pthread_mutex_t lock;
	char text[NOTICED_MAX][NOTICED_TEXT];
	unsigned n;
} seen = { .lock = PTHREAD_MUTEX_INITIALIZER };

void
noticed(const char *format, ...)
{
	char text[NOTICED_TEXT];
	bool known = false;
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	pthread_mutex_lock(&seen.lock);
	for (unsigned i = 0; i < seen.n; i++)
		known = known || strcmp(seen.text[i], text) == 0;
	if (!known && seen.n < NOTICED_MAX)
		memcpy(seen.text[seen.n++], text, sizeof(text));
	pthread_mutex_unlock(&seen.lock);
}

void
noticed_all(char *out, size_t room)
{
	size_t at = 0;

	out[0] = '\0';
	pthread_mutex_lock(&seen.lock);
	for (unsigned i = 0; i < seen.n && at < room; i++)
		at += (size_t)snprintf(
		    out + at, room - at, "%s%s", i ? "; " : "", seen.text[i]);
	pthread_mutex_unlock(&seen.lock);
}

void
noticed_forget(void)
{
	pthread_mutex_init(&seen.lock, NULL);
	seen.n = 0;
}

bool
noticed_any(void)
{
	return seen.n > 0;
}
