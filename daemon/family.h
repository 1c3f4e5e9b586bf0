/* SPDX-License-Identifier: Apache-2.0 */
/*
 * family.h - families: a name, one shape, and the series that are its members. Kept
 * sorted by name, as they are printed. One thread.
 */
#ifndef FAMILY_H
#define FAMILY_H

#include "message.h"

/* In family.member: a hole, with the position + 1 of the next one. */
#define FAMILY_HOLE 0x80000000U

struct family {
	uint32_t number;   /* never used again */
	char *name;	   /* without prefix */
	char *help;	   /* escaped; "" if there is none */
	bool help_differs; /* another help was seen, and logged */
	enum message_kind kind;
	enum message_merge merge;
	uint32_t n_bounds;
	double *bounds;
	uint32_t owner;	   /* who made it, for the registry; 0: nobody */
	uint32_t live;	   /* definitions by live workers */
	uint32_t n_series; /* members that are no holes */
	/* Numbers of series. A member never moves, so that a walk by position survives
	 * what comes and goes. */
	uint32_t *member;
	/* So that a walk can tell what came after it had begun: how many holes were used
	 * again, and of each member whether it was put into one: births then, else 0.
	 * NULL, as long as there was none. */
	uint32_t *born;
	uint32_t births;
	uint32_t n_members;
	uint32_t room;
	uint32_t hole; /* position + 1 of the first hole */
};

struct families {
	struct family **by_name;
	uint32_t n;
	uint32_t room;
	uint32_t next_number;
};

void families_free(struct families *f);
/* The position of the first family whose name is not below name. */
uint32_t families_from(const struct families *f, struct wire_text name);
struct family *families_find(const struct families *f, struct wire_text name);

/* A new family without members, that is not yet among the families; there is room for it
 * until the next is made. NULL when memory is out. */
struct family *family_new(struct families *f, const struct message_metric *m);
/* Its name must be free now. */
void family_add(struct families *f, struct family *family);
/* A help text as the page has it: escaped, no space around it. NULL when memory is out.
 */
char *family_help(struct wire_text help);
/* Of one that was not added. */
void family_discard(struct family *family);
void family_free(struct families *f, struct family *family);

/* REASON_NONE if m has the shape of the family, else a reason with its sentence. */
enum reason family_check_shape(
    const struct family *family, const struct message_metric *m, struct refusal *refusal);

/*
 * The family, if any, whose samples would have the names of m's, or m that of its own:
 * a histogram x is printed as x_bucket, x_sum and x_count. position starts at 0 and
 * counts on; NULL at the end.
 */
struct family *families_collision(
    const struct families *f, const struct message_metric *m, uint32_t *position);

/* False when memory is out. */
bool family_add_member(struct family *family, uint32_t series, uint32_t *ret_position);
void family_remove_member(struct family *family, uint32_t position);

/* Positions as they were saved, of a family without members: first room for so many,
 * then holes in the order in which they are to be used, then a member for each of the
 * other positions, but those that are made holes after all. False when memory is out. */
bool family_make_positions(struct family *family, uint32_t n);
bool family_is_hole(const struct family *family, uint32_t position);
/* last: where the last hole was put plus 1, 0 at first. */
void family_put_hole(struct family *family, uint32_t position, uint32_t *last);
void family_put_member(struct family *family, uint32_t series, uint32_t position);
/* No member will be there. */
void family_skip_member(struct family *family, uint32_t position);

/* True if the member came after the family had had so many births, to a position that it
 * had by then. (All that come to others are younger: whoever walks stops before them.) */
static inline bool
family_is_younger(const struct family *family, uint32_t position, uint32_t births)
{
	return family->born && family->born[position] &&
	       (int32_t)(family->born[position] - births) > 0;
}

/* Totals of a series of this family: 0 for a gauge. */
uint32_t family_totals(const struct family *family);

#endif /* FAMILY_H */
