/* SPDX-License-Identifier: Apache-2.0 */
/* Any text, packed in pieces, is read back by zlib; pages get small. */
#include <stdio.h>
#include <zlib.h>

#include "deflate_match.h"
#include "failing.h"
#include "gzip.h"
#include "suite.h"

#define PIECE (192 << 10)

struct text {
	uint8_t *at;
	size_t n;
};

static uint64_t
random_next(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/* Pack it in pieces of so many bytes; 0: of random lengths, some of them empty. */
static struct strbuf
pack(struct text text, size_t piece)
{
	struct strbuf out = STRBUF_EMPTY;
	struct gzip *g = gzip_new();
	uint64_t seed = 0x9e3779b97f4a7c15u + text.n;
	size_t at = 0;
	bool last;

	ck_assert_ptr_nonnull(g);
	do {
		size_t n = piece ? piece : random_next(&seed) % 5 * (seed >> 48);

		n = n < text.n - at ? n : text.n - at;
		strbuf_add(gzip_text(g), text.at + at, n);
		at += n;
		last = at == text.n && (piece != 0 || seed % 2 == 0);
		ck_assert(gzip_pack(g, last, &out));
	} while (!last);
	gzip_free(g);
	return out;
}

/* One member, its checksum and length right, with nothing behind it. */
static void
must_be(const struct strbuf *packed, struct text text, const char *what)
{
	z_stream z = { .next_in = (uint8_t *)packed->at,
		.avail_in = (unsigned)packed->bytes };
	uint8_t *back = malloc(text.n + 1);
	int rc;

	ck_assert_int_eq(inflateInit2(&z, 15 + 16), Z_OK);
	z.next_out = back;
	z.avail_out = (unsigned)text.n + 1;
	rc = inflate(&z, Z_FINISH);
	ck_assert_msg(rc == Z_STREAM_END, "%s: %s", what, z.msg ? z.msg : "no end");
	ck_assert_uint_eq(z.avail_in, 0);
	ck_assert_uint_eq(z.total_out, text.n);
	ck_assert_msg(text.n == 0 || memcmp(back, text.at, text.n) == 0, "%s", what);
	inflateEnd(&z);
	free(back);
}

static size_t
must_come_back(struct text text, size_t piece, const char *what)
{
	struct strbuf packed = pack(text, piece);
	size_t bytes = packed.bytes;

	must_be(&packed, text, what);
	strbuf_free(&packed);
	return bytes;
}

static size_t
zlib_6(struct text text)
{
	z_stream z = { .next_in = text.at, .avail_in = (unsigned)text.n };
	size_t room = text.n + text.n / 8 + 1000;
	uint8_t *out = malloc(room);
	size_t bytes;

	ck_assert_int_eq(
	    deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_out = out;
	z.avail_out = (unsigned)room;
	ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
	bytes = z.total_out;
	deflateEnd(&z);
	free(out);
	return bytes;
}

/* ---- Any bytes --------------------------------------------------------- */

/* n bytes out of an alphabet, all values for an empty one. */
static struct text
random_text(size_t n, const char *alphabet, uint64_t seed)
{
	struct text t = { malloc(n + 1), n };
	size_t letters = strlen(alphabet);

	for (size_t i = 0; i < n; i++) {
		uint64_t r = random_next(&seed) >> 20;

		t.at[i] = (uint8_t)(letters ? (uint8_t)alphabet[r % letters] : r);
	}
	return t;
}

static const struct {
	const char *alphabet;
	size_t n;
} shapes[] = {
	{ "", 0 },
	{ "", 1 },
	{ "", 2 },
	{ "", 100 },
	{ "", 70000 },
	{ "", 1000000 },
	{ "a", 3 },
	{ "a", 4 },
	{ "a", 258 },
	{ "a", 259 },
	{ "a", 261 },
	{ "a", 262 },
	{ "a", 4096 },
	{ "a", 4097 },
	{ "a", 10000000 }, /* one line that does not end */
	{ "\n", 300000 },
	{ "ab", 200000 },
	{ "a\"", 200000 },
	{ "a\n", 200000 },
	{ "ab\n\"{ ", 400000 },
	{ "0123456789\n", 400000 },
	{ "0123456789abcdef-\"\n", 400000 },
	{ "\xc3\xa9\xe2\x82\xac\n", 100000 },
	{ "\x01\x7f\x80\xff{\n", 100000 },
};

START_TEST(any_text_comes_back_equal)
{
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		struct text t = random_text(shapes[i].n, shapes[i].alphabet, i + 1);
		char what[32];

		snprintf(what, sizeof(what), "shape %zu", i);
		must_come_back(t, PIECE, what);
		must_come_back(t, 0, what);
		if (t.n < 5000)
			must_come_back(t, 1, what);
		free(t.at);
	}
}
END_TEST

/* Pieces of earlier text at random distances, changed here and there: what copies are
 * made of, up to the window's end and past it. */
static struct text
patchwork(size_t n, uint64_t seed)
{
	struct text t = random_text(n, "0123456789 \"{},\nab", seed);
	size_t at = 1;

	while (at < n) {
		size_t back = 1 + random_next(&seed) % (seed % 3 ? 300 : 33000);
		size_t length = 1 + random_next(&seed) % (seed % 7 ? 40 : 700);

		if (back <= at)
			for (size_t i = 0; i < length && at + i < n; i++)
				t.at[at + i] = t.at[at + i - back];
		at += length + random_next(&seed) % 4;
	}
	return t;
}

START_TEST(random_texts_come_back_equal)
{
	int rounds = suite_is_under_valgrind() ? 10 : 300;

	for (int i = 1; i <= rounds; i++) {
		struct text t = patchwork((size_t)i * 997 % 150000, (uint64_t)i);
		char what[32];

		snprintf(what, sizeof(what), "round %d", i);
		must_come_back(t, 0, what);
		free(t.at);
	}
}
END_TEST

START_TEST(what_cannot_be_packed_hardly_grows)
{
	for (size_t n = 0; n < 1000000; n = n * 3 + 1) {
		struct text t = random_text(n, "", n + 1);
		size_t pieces = n / PIECE + 1;

		ck_assert_uint_le(must_come_back(t, PIECE, "random bytes"),
		    n + 18 + 5 * (n / 65535 + 1) + 10 * pieces);
		free(t.at);
	}
}
END_TEST

START_TEST(a_code_of_the_greatest_depth_is_bounded)
{
	/* Each letter as often as the two before it together. */
	struct text t = { malloc(800000), 0 };
	size_t many = 1, before = 1;

	for (int c = 0; c < 26; c++) {
		memset(t.at + t.n, 'a' + c, many);
		t.n += many;
		before += many;
		many = before - many;
	}
	/* Not in order, so that they are no copies. */
	for (uint64_t i = t.n - 1, seed = 5; i > 0; i--) {
		size_t k = random_next(&seed) % (i + 1);
		uint8_t c = t.at[i];

		t.at[i] = t.at[k];
		t.at[k] = c;
	}
	must_come_back(t, 1 << 20, "deep");
	free(t.at);
}
END_TEST

/* The text that the copies tell. */
static void
check_copies(
    const struct deflate_copies *copies, struct text text, size_t start, size_t end)
{
	size_t at = start;
	bool true_so_far = true; /* a million assertions take their time */

	ck_assert_uint_ge(copies->n, 1);
	for (size_t i = 0; i < copies->n; i++) {
		const struct deflate_copy *c = &copies->at[i];

		at += c->literals;
		if (c->length == 0) {
			ck_assert_uint_eq(i + 1, copies->n);
			continue;
		}
		ck_assert_uint_ge(c->length, 4);
		ck_assert_uint_le(c->length, 258);
		ck_assert_uint_ge(c->distance, 1);
		ck_assert_uint_le(c->distance, at < 32768 ? at : 32768);
		for (size_t k = 0; k < c->length; k++, at++)
			true_so_far &= text.at[at] == text.at[at - c->distance];
	}
	ck_assert(true_so_far);
	ck_assert_uint_eq(at, end);
}

START_TEST(copies_are_true_before_and_after_four_gigabytes)
{
	struct deflate_matcher *m = malloc(sizeof(*m));
	struct text t = patchwork(200000, 7);
	struct deflate_copy room[500];
	struct deflate_copies copies = { .room = 500, .at = room };
	size_t at = 0, calls = 0;

	t.at = realloc(t.at, t.n + DEFLATE_SLACK);
	memset(t.at + t.n, 0, DEFLATE_SLACK);
	deflate_matcher_init(m);
	m->base = UINT32_MAX - 100000;
	for (; at < t.n; calls++) {
		size_t next = deflate_match(m, t.at, at, t.n, &copies);

		ck_assert_uint_gt(next, at);
		ck_assert_uint_le(copies.n, copies.room);
		check_copies(&copies, t, at, next);
		at = next;
	}
	ck_assert_uint_gt(calls, 3);
	free(t.at);
	free(m);
}
END_TEST

/* The longest that one comparison finds become many copies at once. */
START_TEST(copies_take_no_more_room_than_there_is)
{
	enum { PERIOD = 9000, TIMES = 20 };
	struct deflate_matcher *m = malloc(sizeof(*m));
	uint8_t *t = calloc(1, PERIOD * TIMES + DEFLATE_SLACK);
	struct deflate_copy found[256];
	uint64_t seed = 9;

	for (size_t i = 0; i < PERIOD; i++)
		t[i] = (uint8_t)('a' + random_next(&seed) % 26);
	for (size_t i = PERIOD; i < PERIOD * TIMES; i++)
		t[i] = t[i - PERIOD];
	for (size_t room = 64; room < 128; room++) {
		struct deflate_copies copies = { .room = room, .at = found };
		struct text text = { t, PERIOD * TIMES };
		size_t next;

		deflate_matcher_init(m);
		for (size_t at = 0; at < text.n; at = next) {
			next = deflate_match(m, t, at, text.n, &copies);
			ck_assert_uint_gt(next, at);
			ck_assert_uint_le(copies.n, room);
			check_copies(&copies, text, at, next);
		}
	}
	free(t);
	free(m);
}
END_TEST

/* ---- Pages ------------------------------------------------------------- */

static const char place[] =
    "namespace=\"prod\",component=\"backend\",endpoint=\"generate\"";

static void
add_counters(struct strbuf *s, uint64_t *seed)
{
	for (int f = 0; f < 20; f++) {
		strbuf_addf(s, "# HELP app_requests_%d_total Served.\n", f);
		strbuf_addf(s, "# TYPE app_requests_%d_total counter\n", f);
		for (int i = 0; i < 500; i++)
			strbuf_addf(s,
			    "app_requests_%d_total{%s,model=\"llama-%d-instruct\","
			    "worker_id=\"w%d\"} %llu\n",
			    f, place, i % 10, i / 10,
			    (unsigned long long)(random_next(seed) >> 20 >> *seed % 40));
	}
}

static void
add_idle(struct strbuf *s, uint64_t *seed)
{
	(void)seed;
	for (int i = 0; i < 10000; i++)
		strbuf_addf(s, "app_idle_total{%s,worker_id=\"w%d\"} 0\n", place, i);
}

static void
add_numbered(struct strbuf *s, uint64_t *seed)
{
	(void)seed;
	for (int i = 0; i < 10000; i++)
		strbuf_addf(s, "app_n_total{%s,a=\"m%d\",b=\"%d\"} %d\n", place, i % 10,
		    i / 10, i);
}

static void
add_histograms(struct strbuf *s, uint64_t *seed)
{
	static const char *const bounds[] = { "0.005", "0.01", "0.025", "0.05", "0.1",
		"0.25", "0.5", "1", "2.5", "5", "10", "+Inf" };

	for (int i = 0; i < 700; i++) {
		unsigned count = 0;

		for (unsigned k = 0; k < 12; k++) {
			count += (unsigned)(random_next(seed) >> 20) % (k % 5 * 100 + 1);
			strbuf_addf(s, "app_seconds_bucket{%s,w=\"%d\",le=\"%s\"} %u\n",
			    place, i, bounds[k], count);
		}
		strbuf_addf(
		    s, "app_seconds_sum{%s,w=\"%d\"} %.9f\n", place, i, count / 7.0);
		strbuf_addf(s, "app_seconds_count{%s,w=\"%d\"} %u\n", place, i, count);
	}
}

static void
add_doubles(struct strbuf *s, uint64_t *seed)
{
	for (int i = 0; i < 8000; i++)
		strbuf_addf(s, "app_share{%s,w=\"%d\"} %.17g\n", place, i,
		    (double)(random_next(seed) >> 11) / 0x1p53);
}

static void
add_random_labels(struct strbuf *s, uint64_t *seed)
{
	for (int i = 0; i < 8000; i++) {
		uint64_t high = random_next(seed), low = random_next(seed);

		strbuf_addf(s, "app_seen_total{%s,id=\"%016llx%016llx\"} %d\n", place,
		    (unsigned long long)high, (unsigned long long)low, i % 7);
	}
}

static void
add_tiny(struct strbuf *s, uint64_t *seed)
{
	(void)seed;
	strbuf_adds(s, "# TYPE up gauge\nup 1\n");
}

static const struct {
	const char *name;
	void (*add)(struct strbuf *s, uint64_t *seed);
	double most; /* of what zlib -6 makes of it */
} pages[] = {
	{ "counters", add_counters, 1.0 },
	{ "idle", add_idle, 1.05 },
	{ "numbered", add_numbered, 1.05 },
	{ "histograms", add_histograms, 1.0 },
	{ "doubles", add_doubles, 0.95 },
	{ "random labels", add_random_labels, 1.0 },
	{ "tiny", add_tiny, 1.06 },
};

START_TEST(pages_pack_as_small_as_zlib_packs_them)
{
	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		struct strbuf page = STRBUF_EMPTY;
		struct text t;
		uint64_t seed = 77;
		size_t own, zlib;

		pages[i].add(&page, &seed);
		t = (struct text){ (uint8_t *)page.at, page.bytes };
		own = must_come_back(t, PIECE, pages[i].name);
		zlib = zlib_6(t);
		ck_assert_msg((double)own <= (double)zlib * pages[i].most,
		    "%s: %zu bytes, zlib -6: %zu", pages[i].name, own, zlib);
		strbuf_free(&page);
	}
}
END_TEST

/* ---- Memory ------------------------------------------------------------ */

START_TEST(without_memory_it_fails_and_leaks_nothing)
{
	struct text t = patchwork(100000, 3);

	for (size_t n = 0; failing_more(n); n++) {
		struct strbuf out = STRBUF_EMPTY;
		struct gzip *g;
		bool packed = true;

		failing_after(n);
		g = gzip_new();
		for (int i = 0; g && i < 4; i++) {
			strbuf_add(gzip_text(g), t.at + i * 25000, 25000);
			packed = gzip_pack(g, i == 3, &out) && packed;
		}
		ck_assert(failing_end() != (g && packed));
		if (g && packed)
			must_be(&out, t, "after all");
		gzip_free(g);
		strbuf_free(&out);
	}
	gzip_free(NULL);
	free(t.at);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("gzip");
	TCase *t = tcase_create("gzip");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, any_text_comes_back_equal);
	tcase_add_test(t, random_texts_come_back_equal);
	tcase_add_test(t, what_cannot_be_packed_hardly_grows);
	tcase_add_test(t, a_code_of_the_greatest_depth_is_bounded);
	tcase_add_test(t, copies_are_true_before_and_after_four_gigabytes);
	tcase_add_test(t, copies_take_no_more_room_than_there_is);
	tcase_add_test(t, pages_pack_as_small_as_zlib_packs_them);
	tcase_add_test(t, without_memory_it_fails_and_leaks_nothing);
	suite_add_tcase(suite, t);
	return suite_run(suite);
}
