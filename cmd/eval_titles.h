/*
 * eval_titles.h - what the parts of hare-eval titles share: reading (eval_titles_read.c), writing (eval_titles.c), figures
 * (eval_titles_score.c)
 */
#ifndef HARE_CMD_EVAL_TITLES_H
#define HARE_CMD_EVAL_TITLES_H

#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/opt.h"
#include "eval/writer.h"
#include "record/record.h"

enum titles_whose { TITLES_OWN, TITLES_OTHER, TITLES_NONE, TITLES_N_WHOSE };

/* Texts end to end. */
struct texts {
	struct buf bytes;
	size_t *end, n, n_cap;
};

struct titles {
	/* what is asked for */
	const struct opt_list *inputs_names, *profiles_names, *pool_names;
	const char *score_name, *author_name;   /* score_name NULL: nothing is scored */
	uint64_t seed;
	struct eval_decoder decoder;
	/* inputs */
	struct names id;                /* number of a sample: its place */
	struct texts input, target;
	struct names authors;
	uint32_t *author;               /* [n] */
	size_t n_author_cap;
	int has_author;
	/* profiles: of sample s list[from[s] .. from[s + 1]) */
	struct names item;
	struct texts where;             /* [items], the first row that asks for it */
	uint32_t (*link)[2];            /* [n_link] sample, item */
	size_t n_link, n_link_cap, n_stray;
	size_t *from;
	uint32_t *list;
	struct texts title;             /* [items], in the order in which they were found */
	uint32_t *found;                /* [items]: place in title plus one */
	float *x, *f;                   /* [n][dim] of inputs, [items][dim] */
	struct texts item_text;         /* "title\ntext" */
	size_t n_profile_most;
	/* at work */
	int as_items;                   /* the items are embedded, else the inputs */
	uint32_t *of;                   /* [n]: whose profile each gets; n: none */
	uint8_t *allowed;               /* [n_vocab], of --faithful before the prompt is known */
	struct writer {
		struct embed_scratch *embed;
		struct pairs_look *look;
		struct lm_run *run;
		struct fault fault;
		size_t fault_at;
	} *writer;                      /* [n_thread] */
	struct buf *written;            /* [n] */
	uint32_t *seen;                 /* [n][n_item]: items of the prompt, plus one */
	uint8_t *was_cut, *was_empty;   /* [n] */
};


struct span texts_at(const struct texts *t, size_t i);
void texts_free(struct texts *t);

/* Calls row() for each row of the files, column [n_need + n_find] being those of need, which have to be there, and of find: -1
   if not there. 0, or -1 with *f set. */
int titles_each_row(const struct opt_list *names,
    int (*row)(struct titles *t, struct record_in *in, size_t i, const int *column, struct fault *f), struct titles *t,
    const char *const *need, size_t n_need, const char *const *find, size_t n_find, struct fault *f);
/* Inputs, profiles, and of the pool what these name. */
int titles_read(struct titles *t, struct fault *f);

struct titles_scores {
	double *one, *l;                /* [n] ROUGE-1 and ROUGE-L; freed by titles_scores_free() */
	double unfaithful, distinct, copied, elsewhere, words;
};
/* Of what was written; reads the pool once more. 0, or -1 with *f set; out to be freed in either case. */
int titles_score(struct titles *t, struct titles_scores *out, struct fault *f);
void titles_scores_free(struct titles_scores *s);
/* Rows of the table to stdout: the figures, and what the own profile gains over another, sample by sample; that also without
   the author who has most samples. */
void titles_report(const struct titles *t, const char *profile, const struct titles_scores *s);
void titles_compare(const struct titles *t, const char *other, const struct titles_scores *own, const struct titles_scores *s);

#endif
