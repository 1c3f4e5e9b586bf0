/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sp.h - the part of nanomsg's SP wire format that both sides speak: the eight-byte
 * header of an IPC connection, the head of a frame, and the backtrace of a request.
 *
 * A connection starts with one header from each side. Then frames: a type byte (1), the
 * payload's length (64 bits, big-endian), the payload. A REQ's payload starts with its
 * backtrace: 32-bit big-endian words, the last and only the last with its top bit set; a
 * REP echoes them. Source: the SP RFCs in nanomsg's tree (sp-protocol, sp-ipc-mapping,
 * sp-request-reply). Pure functions: no I/O, no memory of their own.
 */
#ifndef SP_H
#define SP_H

#include <stddef.h>
#include <stdint.h>

enum sp_protocol { SP_REQ = 0x30, SP_REP = 0x31, SP_PUSH = 0x50, SP_PULL = 0x51 };

#define SP_HEADER_BYTES	   8
#define SP_FRAME_BYTES	   9 /* type and length, before a payload */
#define SP_FRAME_MESSAGE   1 /* the only frame type there is */
#define SP_BACKTRACE_WORDS 8 /* the most that is accepted: 7 devices and the REQ */
#define SP_REQUEST_ID_BIT  0x80000000U
#define SP_IPC_PREFIX	   "ipc://"

void sp_put_header(uint8_t out[SP_HEADER_BYTES], enum sp_protocol protocol);
/* The protocol that a peer's header names (any 16 bits), or -1 if it is not SP's. */
int sp_get_header(const uint8_t in[SP_HEADER_BYTES]);

void sp_put_frame(uint8_t out[SP_FRAME_BYTES], uint64_t payload_bytes);
/* 0 and the payload's length, or -1 for a frame that is no message. */
int sp_get_frame(const uint8_t in[SP_FRAME_BYTES], uint64_t *ret_payload_bytes);

void sp_put_request_id(uint8_t out[4], uint32_t id);
/* A word of a backtrace, as it is. */
uint32_t sp_get_word(const uint8_t in[4]);
/* The bytes of the backtrace at the start of a payload, or 0 if it has none or more than
 * SP_BACKTRACE_WORDS. */
size_t sp_backtrace_bytes(const uint8_t *payload, size_t bytes);

/*
 * The path of an ipc:// address, which is returned in place, or NULL: not ipc://, not
 * absolute, or too long for a socket address.
 */
const char *sp_ipc_path(const char *address);

#endif /* SP_H */
