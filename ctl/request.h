/* SPDX-License-Identifier: Apache-2.0 */
/*
 * request.h - one request to the daemon and its answer, over libnanomsg.
 *
 * Nothing is sent twice: when the connection breaks, the request has failed, for a
 * message that counts must not count again.
 */
#ifndef REQUEST_H
#define REQUEST_H

#include "ctl.h"
#include "message.h"

/*
 * Send a request and wait for the answer, o->timeout_ms at most. CTL_OK sets *ret, to be
 * released with free(), and *ret_bytes; else CTL_USAGE (the address) or CTL_UNREACHABLE,
 * with error filled.
 */
enum ctl_exit request(const struct ctl_options *o, const void *payload, size_t bytes,
    uint8_t **ret, size_t *ret_bytes, struct ctl_error *error);

/*
 * The same for a binary request that TEXT answers. *ret_text borrows from *ret.
 * CTL_REFUSED with the daemon's sentence if it answered ERROR, CTL_UNREACHABLE if what is
 * there does not talk like the daemon.
 */
enum ctl_exit request_text(const struct ctl_options *o, const struct wire_writer *request,
    uint8_t **ret, struct wire_text *ret_text, struct ctl_error *error);

/* What to make of a binary reply that was not expected: CTL_REFUSED for ERROR. */
enum ctl_exit request_fail(const uint8_t *reply, size_t bytes, struct ctl_error *error);

#endif /* REQUEST_H */
