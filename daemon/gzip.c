/* SPDX-License-Identifier: Apache-2.0 */
#include "gzip.h"

#include <isa-l/crc.h>
#include <stdlib.h>

#include "deflate_block.h"
#include "deflate_match.h"

#define COPIES 8192
#define PIECE_MOST \
	(1 << 20) /* into one block; what a turn takes is not for this to say */

struct gzip {
	struct strbuf text;
	size_t packed; /* of the text: what is kept to be copied from */
	bool began;
	uint32_t crc;
	uint32_t bytes; /* of the whole, modulo 2 to the 32, as the format has it */
	struct deflate_bits bits;
	struct deflate_matcher matcher;
	struct deflate_copy copy[COPIES];
};

struct gzip *
gzip_new(void)
{
	struct gzip *g = malloc(sizeof(*g));

	if (g == NULL)
		return NULL;
	g->text = STRBUF_EMPTY;
	g->packed = 0;
	g->began = false;
	g->crc = 0;
	g->bytes = 0;
	g->bits = (struct deflate_bits){ 0 };
	deflate_matcher_init(&g->matcher);
	return g;
}

void
gzip_free(struct gzip *g)
{
	if (g == NULL)
		return;
	strbuf_free(&g->text);
	free(g);
}

struct strbuf *
gzip_text(struct gzip *g)
{
	return &g->text;
}

size_t
gzip_bytes(const struct gzip *g)
{
	return sizeof(*g) + g->text.room;
}

/* No name, no time; the last byte: of an unknown system. */
static void
begin(struct gzip *g, struct strbuf *out)
{
	static const char head[10] = { '\x1f', '\x8b', 8, 0, 0, 0, 0, 0, 0, '\xff' };

	if (!g->began)
		strbuf_add(out, head, sizeof(head));
	g->began = true;
}

static void
end(struct gzip *g, struct strbuf *out)
{
	uint32_t v[2] = { g->crc, g->bytes };

	deflate_bits_end(&g->bits, out);
	for (unsigned i = 0; i < 8; i++)
		strbuf_addc(out, (char)(v[i / 4] >> i % 4 * 8));
}

/* Drop what no copy can reach any more. */
static void
keep_window(struct gzip *g)
{
	size_t drop = g->text.bytes < DEFLATE_WINDOW ? 0 : g->text.bytes - DEFLATE_WINDOW;

	if (drop > 0)
		memmove(g->text.at, g->text.at + drop, DEFLATE_WINDOW);
	g->text.bytes -= drop;
	g->packed = g->text.bytes;
	g->matcher.base += (uint32_t)drop;
}

bool
gzip_pack(struct gzip *g, bool last, struct strbuf *out)
{
	struct deflate_copies copies = { .room = COPIES, .at = g->copy };
	size_t at = g->packed;
	size_t most = g->text.bytes;
	const uint8_t *text;

	if (!strbuf_reserve(&g->text, DEFLATE_SLACK)) {
		out->failed = true;
		return false;
	}
	memset(g->text.at + most, 0, DEFLATE_SLACK);
	text = (const uint8_t *)g->text.at;
	begin(g, out);
	g->crc = crc32_gzip_refl(g->crc, text + at, most - at);
	g->bytes += (uint32_t)(most - at);
	while (!out->failed && (at < most || last)) {
		size_t piece = most - at < PIECE_MOST ? most : at + PIECE_MOST;
		size_t next = deflate_match(&g->matcher, text, at, piece, &copies);
		bool ends = last && next == most;

		deflate_block(
		    &g->bits, &copies, text + at, next - at, ends, out, &g->matcher.cost);
		at = next;
		if (ends)
			break;
	}
	if (last)
		end(g, out);
	keep_window(g);
	return !out->failed;
}
