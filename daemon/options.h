/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options.h - what each part of the daemon takes from the configuration, at the start and
 * again when it is reloaded. Pure functions; texts are borrowed from the configuration.
 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "apply.h"
#include "config.h"
#include "http.h"
#include "ingest.h"
#include "registry.h"

struct registry_limits options_limits(const struct config *c);
struct naming options_naming(const struct config *c);
/* Sets the members that are configured, and no others. */
void options_apply(const struct config *c, struct apply_options *o);
void options_ingest(const struct config *c, struct ingest_options *o);
void options_http(const struct config *c, struct http_options *o);

/* How many descriptors a configuration may come to need. */
uint64_t options_fds(const struct config *c);
/* How many connections there may be with so many descriptors, so that some are left for
 * files. */
struct options_room {
	uint32_t ingest, http;
};
struct options_room options_room(const struct config *c, uint64_t fds);

#endif /* OPTIONS_H */
