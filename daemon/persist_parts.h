/* SPDX-License-Identifier: Apache-2.0 */
/*
 * persist_parts.h - what persist.c (the journal, what is told of it), persist_snapshot.c
 * (the next generation, the child, the end) and persist_recover.c (the start) share.
 * Nobody else includes it.
 */
#ifndef PERSIST_PARTS_H
#define PERSIST_PARTS_H

#include "persist.h"

#define PERSIST_SNAPSHOT   "snapshot"
#define PERSIST_JOURNAL	   "journal."
#define PERSIST_TEMPORARY  "tmp."
#define PERSIST_NAME_BYTES 64

/* What is wrong, until it is put right. */
enum persist_problem { PROBLEM_JOURNAL, PROBLEM_SNAPSHOT, PROBLEMS };
#define PROBLEM_TEXT 400

/* What the child of a snapshot is at. */
enum persist_stage {
	STAGE_WRITES,
	STAGE_SYNCS, /* the image has its name, and the folder is forced to the disk */
	STAGE_ENDS   /* the image is the snapshot */
};

struct persist {
	struct persist_options options;
	const struct disk *disk;
	struct apply *apply;
	struct journal *journal;
	struct self_metrics *self;
	struct log *log;
	bool off;	   /* nothing is kept */
	bool is_recovered; /* what was there has been dealt with */

	/* How the files of this run begin; generation: of the newest journal, or the one
	 * that would be it. */
	struct journal_head head;
	bool open[DISK_PLACES]; /* and what was in the folder has been dealt with */
	int file;		/* the journal under way; -1: none, or given up */
	uint64_t file_bytes;	/* of it, whole records */
	uint64_t head_bytes;	/* of it, without any record of a turn */
	uint64_t before_bytes;	/* of the generations before it */
	uint64_t stuck_bytes; /* of those, what the snapshot has, and cannot be removed */
	uint64_t lowest;      /* no journal before this generation is there */
	bool hole;	      /* records are in no journal, and the snapshot is older */

	struct disk_child child;
	bool child_runs;
	bool child_woke; /* its descriptor was readable */
	enum persist_stage child_stage;
	uint64_t child_bytes;		/* of its image, when that is written */
	struct journal_head child_head; /* of its snapshot */
	uint64_t child_began_ms;

	uint64_t tried_ms; /* the last snapshot, or the start */
	bool has_failed;   /* that snapshot did */
	bool has_snapshot;
	uint64_t snapshot_ms; /* the moment of the last one, by the state's clock */
	bool has_duration;
	uint64_t snapshot_duration_ms;
	uint64_t snapshot_bytes;
	uint64_t snapshot_failures;
	char problem[PROBLEMS][PROBLEM_TEXT]; /* "": none */
	unsigned set_aside;		      /* files, in this life */
	unsigned aside_number; /* that no file has yet which was set aside; 0: look */
};

/* What is known of the state while it is loaded. */
struct recovery {
	struct persist *p;
	const struct persist_now *now;
	uint64_t *journal; /* the generations that are there, ascending */
	size_t n_journals, room;
	int passing;	/* why what is there cannot be read now: an errno value */
	bool has_state; /* there is a snapshot, or a first journal was read */
	struct journal_head last; /* of the newest file that was read */
	bool has_strangers;	  /* a file was written where numbers of processes say
				   * nothing here: another namespace, an unknown boot */
	uint64_t lowest; /* the first journal that follows the snapshot; 0: none */
	uint64_t next;	 /* the generation that follows what was replayed */
	uint64_t snapshot_bytes, replayed_bytes;
	uint64_t dropped;
};

/* persist.c */
/* A problem's sentence, logged if it is another than before. */
void persist_say(struct persist *p, enum persist_problem which, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void persist_well(struct persist *p, enum persist_problem which);
/* True if records can be appended to the journal under way. */
bool persist_is_writing(const struct persist *p);
/* True if what is counted is not being kept. */
bool persist_is_degraded(const struct persist *p);
/* The journal under way gets no more: what failed, and why. */
void persist_give_up(struct persist *p, const char *what, const char *why);
/* The turn's records, to the journal. */
void persist_write_records(struct persist *p);
/* Append bytes to the journal under way. 0, or an errno value, and it is cut back. */
int persist_append(struct persist *p, const void *bytes, size_t n);
/* Open a folder, and once it is open deal with what is in it. 0 or an errno value. */
int persist_open(struct persist *p, enum disk_place place);
/* What to say when that failed. */
const char *persist_open_error(int error);
const char *persist_path(const struct persist *p, enum disk_place place);
bool persist_syncs(const struct persist *p);
void persist_journal_name(uint64_t generation, char out[PERSIST_NAME_BYTES]);

/* persist_snapshot.c */
/* Open the journal of head.generation, empty; or it is given up. */
void persist_begin_journal(struct persist *p, uint64_t now_ms);
/* Time between snapshots: sooner when the last one failed or records are lost. */
uint64_t persist_interval_ms(const struct persist *p, bool again);
/* The moment of the next snapshot. */
uint64_t persist_snapshot_due_ms(const struct persist *p);
void persist_snapshot_failed(struct persist *p, const char *why);
/* A snapshot if one is due; what became of the one under way. */
void persist_snapshot_turn(struct persist *p, uint64_t now_ms);

/* persist_image.c */
struct persist_image {
	const struct persist *p;
	const struct journal_head *head;
	const struct disk_child *child; /* whose number is in the name */
};
/* The name of its temporary file. */
void persist_image_name(const struct persist_image *image, char out[PERSIST_NAME_BYTES]);
/* Write the image of now there. arg: a struct persist_image. */
void persist_image_write(void *arg, struct disk_result *ret);
/* The same in a child, which holds what the snapshot is about to make superfluous. */
void persist_image_child(void *arg, struct disk_result *ret);

/* persist_read.c */
/* Append a file to ret, up to where no record can follow. 0 or an errno value. */
int persist_read(
    const struct persist *p, enum disk_place place, const char *name, struct strbuf *ret);
/* As much of it as its head may take. */
int persist_read_start(
    const struct persist *p, enum disk_place place, const char *name, struct strbuf *ret);
/* What to say when that failed. */
const char *persist_read_error(int error);
/* True for what says nothing of the file or the folder: out of memory, or descriptors. */
bool persist_is_passing(int error);

/* persist_aside.c: names, and files that cannot be used */
/* The names in a folder, one after the other, each with its NUL. 0 or an errno value. */
int persist_list_names(
    const struct persist *p, enum disk_place place, struct strbuf *ret);
/* The name after that one, or the first (NULL); NULL at the end. */
const char *persist_next_name(const struct strbuf *names, const char *name);
/* True for what the process that writes a snapshot writes. */
bool persist_is_temporary(const char *name);
/* The generation of a journal's name; 0: it is another file's. */
uint64_t persist_generation_of(const char *name);
/* Rename a file to NAME.HOW-N, log why, and count it. 0 or an errno value. */
int persist_set_aside(struct persist *p, enum disk_place place, const char *name,
    const char *how, const char *why);
/* Many are about to be set aside, or were: the names that are there are looked at once,
 * and not for each. */
void persist_set_many_aside(struct persist *p, enum disk_place place, bool begin);
/* Put a copy of a file's text there, log why and count it: the file is about to be cut.
 */
void persist_set_copy_aside(struct persist *p, enum disk_place place, const char *name,
    const struct strbuf *text, const char *why);
/* What is in a folder that could not be looked at when the state was loaded belongs to
 * another state: set it aside. 0 or an errno value. */
int persist_set_all_aside(struct persist *p, enum disk_place place);

/* persist_recover.c */
/* A file that is used begins so. */
void persist_took_head(struct recovery *r, const struct journal_head *head);

/* persist_replay.c */
/* The journals that follow the snapshot. 0; -1: memory is out, or r->passing says what.
 */
int persist_load_journals(struct recovery *r);

#endif /* PERSIST_PARTS_H */
