/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file that is not what was written is not loaded, not even a part of it; and one that
 * says anything at all under right checksums does no harm.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "apply_parts.h"
#include "life.h"
#include "registry_parts.h"
#include "suite.h"

/* A state with something of everything, in a small file. */
static void
make_file(uint64_t seed, unsigned steps, struct strbuf *file)
{
	struct talk *t = talk_new(NULL, NULL);
	struct life life = life_new(t, seed);

	life_steps(&life, steps);
	life_save(t, file);
	talk_free(t);
}

static enum snapshot_verdict
read_into(struct talk *t, const void *bytes, size_t n)
{
	struct journal_head head;
	char why[SNAPSHOT_TEXT] = "";
	enum snapshot_verdict verdict =
	    snapshot_read(t->apply, bytes, n, &head, NULL, why);

	ck_assert(verdict == SNAPSHOT_OK || why[0] != '\0');
	return verdict;
}

/* What the file of an empty state is. */
static void
must_be_empty(struct talk *t)
{
	struct talk *none = talk_new(NULL, NULL);
	struct strbuf file = STRBUF_EMPTY, empty = STRBUF_EMPTY;

	life_save(none, &empty);
	t->now_ms = none->now_ms;
	life_save(t, &file);
	ck_assert_uint_eq(file.bytes, empty.bytes);
	ck_assert_int_eq(memcmp(file.at, empty.at, file.bytes), 0);
	strbuf_free(&file);
	strbuf_free(&empty);
	talk_free(none);
}

/* ---- Cut and flipped ------------------------------------------------------- */

START_TEST(a_file_that_is_cut_anywhere_is_damaged)
{
	struct strbuf file = STRBUF_EMPTY;
	struct talk *t = talk_new(NULL, NULL);

	make_file(3, 400, &file);
	for (size_t n = 0; n < file.bytes; n++) {
		/* Of its own, so that a sanitizer sees a read past it. */
		char *alone = malloc(n ? n : 1);

		memcpy(alone, file.at, n);
		ck_assert_int_eq(read_into(t, alone, n), SNAPSHOT_DAMAGED);
		free(alone);
	}
	must_be_empty(t);
	strbuf_free(&file);
	talk_free(t);
}
END_TEST

START_TEST(a_file_with_any_bit_flipped_is_damaged)
{
	struct strbuf file = STRBUF_EMPTY;
	struct talk *t = talk_new(NULL, NULL);

	make_file(5, 120, &file);
	for (size_t bit = 0; bit < 8 * file.bytes; bit++) {
		file.at[bit / 8] ^= (char)(1 << bit % 8);
		ck_assert_int_eq(read_into(t, file.at, file.bytes), SNAPSHOT_DAMAGED);
		file.at[bit / 8] ^= (char)(1 << bit % 8);
	}
	must_be_empty(t);
	ck_assert_int_eq(read_into(t, file.at, file.bytes), SNAPSHOT_OK);
	strbuf_free(&file);
	talk_free(t);
}
END_TEST

START_TEST(a_file_with_more_behind_its_end_is_damaged)
{
	struct strbuf file = STRBUF_EMPTY;
	struct talk *t = talk_new(NULL, NULL);

	make_file(3, 100, &file);
	strbuf_addc(&file, 'x');
	ck_assert_int_eq(read_into(t, file.at, file.bytes), SNAPSHOT_DAMAGED);
	must_be_empty(t);
	strbuf_free(&file);
	talk_free(t);
}
END_TEST

/* ---- Other files -------------------------------------------------------------- */

/* The head of a file, of another type or format, with a right checksum. */
static enum snapshot_verdict
read_head_of(uint8_t type, uint32_t format)
{
	struct strbuf out = STRBUF_EMPTY;
	struct journal_head head = { .store = 1 };
	struct journal_record record;
	struct journal_reader r;
	struct journal *j = journal_new();
	struct talk *t = talk_new(NULL, NULL);
	enum snapshot_verdict verdict;
	const void *bytes;
	size_t n;

	journal_put_head_of(&out, type, &head);
	r = (struct journal_reader){ .bytes = (const uint8_t *)out.at, .n = out.bytes };
	ck_assert(journal_next(&r, &record));
	wire_store_u32((uint8_t *)(uintptr_t)record.body + 8, format);
	journal_add(j, record.type, record.body, record.bytes);
	bytes = journal_bytes(j, &n);
	verdict = read_into(t, bytes, n);
	must_be_empty(t);
	journal_free(j);
	strbuf_free(&out);
	talk_free(t);
	return verdict;
}

START_TEST(a_file_of_another_kind_or_format_is_told_apart)
{
	ck_assert_int_eq(read_head_of(JOURNAL_HEAD, JOURNAL_FORMAT), SNAPSHOT_FOREIGN);
	ck_assert_int_eq(read_head_of(SNAPSHOT_HEAD, JOURNAL_FORMAT + 1), SNAPSHOT_NEWER);
	ck_assert_int_eq(read_head_of(SNAPSHOT_HEAD, JOURNAL_FORMAT - 1), SNAPSHOT_OLDER);
	/* The head alone is a file that was cut. */
	ck_assert_int_eq(read_head_of(SNAPSHOT_HEAD, JOURNAL_FORMAT), SNAPSHOT_DAMAGED);
}
END_TEST

/* ---- Anything at all ------------------------------------------------------------ */

#define RECORDS 8

struct pieces {
	uint8_t type[RECORDS];
	struct strbuf body[RECORDS];
	size_t n;
};

static void
take_apart(const struct strbuf *file, struct pieces *p)
{
	struct journal_reader r = { .bytes = (const uint8_t *)file->at,
		.n = file->bytes };
	struct journal_record record;

	p->n = 0;
	while (journal_next(&r, &record)) {
		ck_assert_uint_lt(p->n, RECORDS);
		p->type[p->n] = record.type;
		strbuf_reset(&p->body[p->n]);
		strbuf_add(&p->body[p->n++], record.body, record.bytes);
	}
	ck_assert_uint_eq(r.good, r.n);
}

static uint64_t random_state;

static uint32_t
any(uint32_t below)
{
	random_state = random_state * 6364136223846793005U + 1442695040888963407U;
	return (uint32_t)(random_state >> 33) % below;
}

static uint32_t
wild(void)
{
	static const uint32_t numbers[] = { 0, 1, 2, 3, 255, 65535, 65536, 0x7fffffff,
		0x80000000U, 0xfffffffeU, UINT32_MAX, 1 << 29, 1 << 20 };

	return any(3) ? numbers[any(sizeof(numbers) / sizeof(numbers[0]))] : any(300);
}

static void
change(struct strbuf *body)
{
	size_t at = body->bytes ? any((uint32_t)body->bytes) : 0, to, n;

	if (body->bytes < 8)
		return;
	switch (any(6)) {
	case 0:
		body->at[at] = (char)any(256);
		return;
	case 1:
	case 2:
		if (at + 4 <= body->bytes)
			wire_store_u32((uint8_t *)body->at + at, wild());
		return;
	case 3: /* a small step */
		body->at[at] = (char)(body->at[at] + (any(2) ? 1 : -1));
		return;
	case 4: /* some of it over another place */
		to = any((uint32_t)body->bytes);
		n = 1 + any(60);
		if (at + n <= body->bytes && to + n <= body->bytes)
			memmove(body->at + to, body->at + at, n);
		return;
	case 5: /* some of it is not there */
		n = 1 + any(40);
		if (at + n <= body->bytes) {
			memmove(body->at + at, body->at + at + n, body->bytes - at - n);
			body->bytes -= n;
		}
		return;
	}
}

/* What a column says of its cells is so. */
static void
must_fit(const struct registry *r, const struct column *c, uint32_t *live)
{
	uint32_t n_series = 0, n_cells = 0;

	for (uint32_t cell = 0; cell < c->room; cell++) {
		const struct series *s;

		n_cells += c->slot[cell] != 0;
		if (!slot_is_first(slot_kind(c->slot[cell])))
			continue;
		s = registry_series(r, registry_cell_series(r, c, cell));
		ck_assert_uint_ne(s->group, 0);
		if (c != r->own)
			live[registry_cell_series(r, c, cell)]++;
		for (uint32_t i = 0; i < registry_cells_of(series_family(r, s)); i++)
			ck_assert_uint_ne(c->slot[cell + i], 0);
		n_series++;
	}
	ck_assert_uint_eq(n_series, c->n_series);
	ck_assert_uint_eq(n_cells, c->n_cells);
}

static void
must_be_sound(struct talk *t)
{
	const struct registry *r = t->registry;
	uint32_t *live = calloc(r->series.used + 1, sizeof(*live));

	for (const struct session *s = t->apply->sessions.first; s; s = s->next)
		must_fit(r, s->column, live);
	if (r->own)
		must_fit(r, r->own, live);
	for (uint32_t i = 1; i <= r->series.used; i++)
		if (registry_series(r, i)->group)
			ck_assert_uint_eq(registry_series(r, i)->live, live[i]);
	free(live);
}

/* Load it; whatever was loaded can be shown, saved and freed. */
static enum snapshot_verdict
try_pieces(const struct pieces *p)
{
	struct journal *j = journal_new();
	struct talk *t = talk_new(NULL, NULL);
	struct strbuf shown = STRBUF_EMPTY;
	enum snapshot_verdict verdict;
	const void *bytes;
	size_t n;

	for (size_t i = 0; i < p->n; i++)
		journal_add(j, p->type[i], p->body[i].at, p->body[i].bytes);
	bytes = journal_bytes(j, &n);
	verdict = read_into(t, bytes, n);
	if (verdict == SNAPSHOT_OK) {
		struct life life = life_new(t, 1);

		must_be_sound(t);
		life_show(t, &shown);
		for (int i = 0; i < 30; i++) {
			life_step(&life);
			must_be_sound(t);
		}
		strbuf_reset(&shown);
		life_save(t, &shown);
	} else if (verdict != SNAPSHOT_MEMORY) {
		must_be_empty(t);
	}
	strbuf_free(&shown);
	journal_free(j);
	talk_free(t);
	return verdict;
}

/* How many: DYNM_FUZZ says more. */
static unsigned
rounds(void)
{
	const char *text = getenv("DYNM_FUZZ");

	return text ? (unsigned)atoi(text) : 2000;
}

START_TEST(items_that_say_anything_are_loaded_whole_or_not_at_all)
{
	struct strbuf file = STRBUF_EMPTY;
	struct pieces p = { .n = 0 };
	unsigned loaded = 0, damaged = 0;

	random_state = rounds();
	for (unsigned i = 0; i < rounds(); i++) {
		enum snapshot_verdict verdict;

		if (i % 100 == 0) {
			strbuf_reset(&file);
			make_file(i, 100 + i % 700, &file);
		}
		take_apart(&file, &p);
		for (uint32_t k = any(3) + 1; k > 0; k--)
			change(&p.body[any(12) ? 1 + any((uint32_t)p.n - 2)
					       : (uint32_t)p.n - 1]);
		verdict = try_pieces(&p);
		loaded += verdict == SNAPSHOT_OK;
		damaged += verdict == SNAPSHOT_DAMAGED;
	}
	/* Both happen a lot. */
	ck_assert_uint_gt(loaded, rounds() / 20);
	ck_assert_uint_gt(damaged, rounds() / 10);
	for (size_t i = 0; i < RECORDS; i++)
		strbuf_free(&p.body[i]);
	strbuf_free(&file);
}
END_TEST

/* Before memory is taken for so many. */
START_TEST(more_items_than_the_bytes_can_have_are_damage)
{
	static const uint32_t counts[] = { UINT32_MAX, UINT32_MAX / 2, 1U << 30 };
	struct strbuf file = STRBUF_EMPTY;
	struct pieces p = { .n = 0 };

	make_file(1, 200, &file);
	for (size_t kind = 1; kind < ITEM_END; kind++) {
		uint8_t *end;

		take_apart(&file, &p);
		end = (uint8_t *)p.body[p.n - 1].at;
		wire_store_u32(end + 4 * (kind - 1), counts[kind % 3]);
		ck_assert_int_eq(try_pieces(&p), SNAPSHOT_DAMAGED);
	}
	for (size_t i = 0; i < RECORDS; i++)
		strbuf_free(&p.body[i]);
	strbuf_free(&file);
}
END_TEST

static const struct talk_metric counts = {
	.kind = MESSAGE_COUNTER, .level = "", .name = "c"
};

/* A counter of a worker as a file would have it that somebody wrote. */
static enum snapshot_verdict
with_counts(double total, double counted)
{
	struct talk *t = talk_new(NULL, NULL), *into = talk_new(NULL, NULL);
	struct talk_worker *w = talk_worker(t, 7);
	struct strbuf file = STRBUF_EMPTY;
	enum snapshot_verdict verdict;

	talk_hello(w, "w");
	talk_define(w, &counts, "", 0);
	*registry_series_totals(t->registry, 1) = total;
	t->apply->sessions.first->column->old[0] = wire_bits(counted);
	life_save(t, &file);
	verdict = read_into(into, file.at, file.bytes);
	if (verdict != SNAPSHOT_OK)
		must_be_empty(into);
	strbuf_free(&file);
	talk_free(into);
	talk_free(t);
	return verdict;
}

START_TEST(counts_that_cannot_be_are_damage)
{
	ck_assert_int_eq(with_counts(5, 3), SNAPSHOT_OK);
	ck_assert_int_eq(with_counts(0, 0), SNAPSHOT_OK);
	ck_assert_int_eq(with_counts(-0.5, 0), SNAPSHOT_DAMAGED);
	ck_assert_int_eq(with_counts(5, -1), SNAPSHOT_DAMAGED);
	ck_assert_int_eq(with_counts((double)NAN, 0), SNAPSHOT_DAMAGED);
	ck_assert_int_eq(with_counts(5, (double)NAN), SNAPSHOT_DAMAGED);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("snapshot_damage");
	TCase *all = tcase_create("all");

	tcase_set_timeout(all, 600);
	tcase_add_test(all, a_file_that_is_cut_anywhere_is_damaged);
	tcase_add_test(all, a_file_with_any_bit_flipped_is_damaged);
	tcase_add_test(all, a_file_with_more_behind_its_end_is_damaged);
	tcase_add_test(all, a_file_of_another_kind_or_format_is_told_apart);
	tcase_add_test(all, items_that_say_anything_are_loaded_whole_or_not_at_all);
	tcase_add_test(all, more_items_than_the_bytes_can_have_are_damage);
	tcase_add_test(all, counts_that_cannot_be_are_damage);
	suite_add_tcase(suite, all);
	return suite_run(suite);
}
