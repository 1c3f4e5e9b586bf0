/* SPDX-License-Identifier: Apache-2.0 */
#include "sp.h"

#include <string.h>
#include <sys/un.h>

void
sp_put_header(uint8_t out[SP_HEADER_BYTES], enum sp_protocol protocol)
{
	memcpy(out, (uint8_t[]){ 0, 'S', 'P', 0, 0, (uint8_t)protocol, 0, 0 },
	    SP_HEADER_BYTES);
}

int
sp_get_header(const uint8_t in[SP_HEADER_BYTES])
{
	if (in[0] != 0 || in[1] != 'S' || in[2] != 'P' || in[3] != 0 || in[6] != 0 ||
	    in[7] != 0)
		return -1;
	return in[4] << 8 | in[5];
}

void
sp_put_frame(uint8_t out[SP_FRAME_BYTES], uint64_t payload_bytes)
{
	out[0] = SP_FRAME_MESSAGE;
	for (int i = 0; i < 8; i++)
		out[1 + i] = (uint8_t)(payload_bytes >> (56 - 8 * i));
}

int
sp_get_frame(const uint8_t in[SP_FRAME_BYTES], uint64_t *ret_payload_bytes)
{
	uint64_t bytes = 0;

	if (in[0] != SP_FRAME_MESSAGE)
		return -1;
	for (int i = 0; i < 8; i++)
		bytes = bytes << 8 | in[1 + i];
	*ret_payload_bytes = bytes;
	return 0;
}

void
sp_put_request_id(uint8_t out[4], uint32_t id)
{
	id |= SP_REQUEST_ID_BIT;
	for (int i = 0; i < 4; i++)
		out[i] = (uint8_t)(id >> (24 - 8 * i));
}

uint32_t
sp_get_word(const uint8_t in[4])
{
	return (uint32_t)in[0] << 24 | (uint32_t)in[1] << 16 | (uint32_t)in[2] << 8 |
	       (uint32_t)in[3];
}

size_t
sp_backtrace_bytes(const uint8_t *payload, size_t bytes)
{
	for (size_t i = 0; i < SP_BACKTRACE_WORDS && 4 * (i + 1) <= bytes; i++)
		if (payload[4 * i] & 0x80)
			return 4 * (i + 1);
	return 0;
}

const char *
sp_ipc_path(const char *address)
{
	const char *path;

	if (strncmp(address, SP_IPC_PREFIX, strlen(SP_IPC_PREFIX)) != 0)
		return NULL;
	path = address + strlen(SP_IPC_PREFIX);
	if (path[0] != '/' || strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return NULL;
	return path;
}
