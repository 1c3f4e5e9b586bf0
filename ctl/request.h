/* SPDX-License-Identifier: Apache-2.0 */
/*
 * request.h - requests to the daemon and their answers, over libnanomsg.
 *
 * Nothing is sent twice: when the connection breaks, the request has failed, for a
 * message that counts must not count again.
 */
#ifndef REQUEST_H
#define REQUEST_H

#include "ctl.h"
#include "message.h"

struct connection;

/* Whether a daemon can be at an address: CTL_OK, or CTL_USAGE or CTL_UNREACHABLE with
 * error filled. */
enum ctl_exit request_check_address(const char *address, struct ctl_error *error);

/* A connection for many requests, to be closed; closing NULL is fine. */
enum ctl_exit request_open(
    const struct ctl_options *o, struct connection **ret, struct ctl_error *error);
void request_close(struct connection *c);

/*
 * Send a request and wait for the answer, o->timeout_ms at most. CTL_OK sets *ret, to be
 * released with free(), and *ret_bytes; else CTL_USAGE (the address) or CTL_UNREACHABLE,
 * with error filled.
 */
enum ctl_exit request(struct connection *c, const void *payload, size_t bytes,
    uint8_t **ret, size_t *ret_bytes, struct ctl_error *error);

/*
 * The same for a binary request that TEXT answers. *ret_text borrows from *ret.
 * CTL_REFUSED with the daemon's sentence if it answered ERROR, CTL_UNREACHABLE if what is
 * there does not talk like the daemon.
 */
enum ctl_exit request_text_on(struct connection *c, const struct wire_writer *request,
    uint8_t **ret, struct wire_text *ret_text, struct ctl_error *error);
/* On a connection of its own. */
enum ctl_exit request_text(const struct ctl_options *o, const struct wire_writer *request,
    uint8_t **ret, struct wire_text *ret_text, struct ctl_error *error);

/* What to make of a binary reply that was not expected: CTL_REFUSED for ERROR. */
enum ctl_exit request_fail(const uint8_t *reply, size_t bytes, struct ctl_error *error);

#endif /* REQUEST_H */
