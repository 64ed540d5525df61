/* What the files of lm/fit.h share: a batch as one matrix of rows, what is kept of it, and the loops over single rows. */
#ifndef HARE_LM_FIT_INSIDE_H
#define HARE_LM_FIT_INSIDE_H

#include <stddef.h>
#include <stdint.h>

#include "lm/fit.h"
#include "lm/lm.h"
#include "mat/mat.h"

/* -- loops over one row, vectorised; sums in 16 lanes and one order, so that every processor gives the same bits -- */
float fit_norm(const float *x, const float *g, const float *b, size_t n, float *out, float *mean);      /* 1 / deviation */
/* dx += what d_out says of x; dg, db += */
void fit_norm_back(const float *x, float mean, float scale, const float *g, const float *d_out, size_t n, float *dx, float *dg,
    float *db);
void fit_gelu(float *x, const float *b, size_t n, float *out);  /* out = gelu(x + b), x becomes gelu'(x + b) */
void fit_gelu_value(float *x, size_t n);        /* x becomes gelu(x): the bits of fit_gelu() */
void fit_log_softmax(float *x, size_t n);
/* x, ln of a mean over n_before, becomes that with e^y as one more: ln((n_before e^x + e^y) / (n_before + 1)). */
void fit_log_mean(float *x, const float *y, size_t n, size_t n_before);
void fit_add(float *y, const float *x, size_t n);               /* y += x */
void fit_add_scaled(float *y, float a, const float *x, size_t n);
void fit_add_product(float *y, const float *a, const float *x, size_t n);       /* y += a x, entry by entry */
void fit_scale(float *y, const float *x, size_t n);             /* y *= x, entry by entry */
void fit_softmax(float *x, size_t n_seen, size_t n, float scale);       /* of scale x; those from n_seen to n become 0 */
void fit_softmax_back(const float *p, float *d, size_t n, float scale); /* d = scale p (d - p.d) */
double fit_logits(float *x, size_t n, size_t target, double *log_p);    /* softmax in place */
struct fit_drop {                       /* {0}: nothing is dropped */
	uint32_t below;                 /* a random number below this drops */
	float scale;                    /* 1 / (1 - rate) */
	uint64_t seed;                  /* of seed and step */
};
/* out = x + mask scale (y + b); x, b may be NULL. row and site say which mask. */
void fit_drop(const struct fit_drop *drop, size_t site, size_t row, const float *x, const float *y, const float *b, size_t n,
    float *out);
double fit_square(const float *x, size_t n);
struct fit_adam {
	float rate, beta1, beta2, correct1, correct2, epsilon, decay, scale;
};
void fit_adam(const struct fit_adam *a, float *x, float *m, float *v, const float *g, size_t n);

/* -- a batch: all rows of all examples, one after the other -- */
struct fit_example {
	size_t row, n_row;              /* prefix, prompt and text */
	size_t n_seen;                  /* prefix and prompt */
	size_t target, n_target;        /* among all rows with targets */
	size_t prompt, n_prompt;        /* among all rows of prompts, for the copy head */
	size_t p, alpha;                /* where its attention weights are, and those of the copy head */
};
struct fit_strip {                      /* whole examples, one task; strips depend on the batch alone */
	size_t example, n_example;
	double loss;
};
struct fit_kept {                       /* of one layer, for the way back */
	float *x, *n1, *qkv, *p, *y, *x2, *n2, *slope, *gelu;
	float *mean1, *scale1, *mean2, *scale2;
};
struct fit_grown {                      /* gradients of one layer's products; two sets, as they are used one layer later */
	float *qkv, *proj, *fc, *out;
};
struct lm_fit {
	struct lm *m, *g;               /* g: the same shape over gradient */
	float *numbers, *gradient, *moment1, *moment2;
	struct lm_fit_options o;
	uint8_t *frozen;
	struct lm_part *part;
	size_t n_part, n_number, n_done;

	/* the batch */
	const struct lm_example *batch;
	size_t n_example, n_row, n_target, n_prompt, n_strip;
	size_t first_row;               /* rows of pieces before this one */
	size_t n_p, n_alpha;
	float per_target;               /* 1 / targets of the whole batch */
	int learning, more;             /* more: gradients are added to those of pieces before */
	struct fit_drop drop;
	struct fit_example *example;
	struct fit_strip *strip;
	struct lm_row *row;             /* [n_row]; token LM_NONE: a prefix */
	uint32_t *target_row, *target;  /* [n_target] */
	size_t n_example_cap, n_strip_cap, n_row_cap, n_target_cap;

	/* numbers of the batch, all in one allocation */
	float *arena;
	size_t n_arena, n_arena_cap;
	struct fit_kept *kept;          /* [n_layer] */
	float *x, *h, *mean, *scale;    /* what leaves the last layer, after its norm */
	float *dx, *dh, *d_part;        /* [n_row][dim] */
	struct fit_grown grown[2];
	float *norm_part;               /* [2 n_layer + 1][n_strip][2 dim] */
	float *given, *z1, *slope1, *p2, *d_p2, *d_g1;         /* prefix */
	float *h_target, *h_dropped, *dh_target, *logits;       /* [n_target][...] */
	float *h_prompt, *dh_prompt, *q, *k, *dq, *dk, *c, *alpha, *d_alpha;
	float *copy_part;               /* [n_strip][2 dim + 4] */
	float *scratch;                 /* [n_thread][n_scratch] */
	size_t n_scratch;
	struct fit_chunk {              /* numbers of one part, one task */
		size_t part, from, n;
		double square;
	} *chunk;
	size_t n_chunk;
};
/* The numbers behind lm.h's const views, where they are ours to write. */
static inline float *of(const float *at) { return (float *)(uintptr_t)at; }
static inline struct mat
part_of(const float *at, size_t n_row, size_t n_col, size_t stride)
{
	return (struct mat){ .at = of(at), .n_row = n_row, .n_col = n_col, .stride = stride };
}
/* How many rows of an example its rows [from, to) see at most. */
size_t fit_seen(const struct lm_fit *t, const struct fit_example *e, size_t from, size_t to);
/* For the copy head: do the tokens before j go on from row r? 0, 1 (the last one agrees) or 2 (both do). What begins a part
   goes on from the text's begin. */
int fit_goes_on(const struct lm_row *j, const struct lm_row *r);

/* Rows of a strip, about; of attention's tiles; columns of W's. */
enum { FIT_STRIP = 512, FIT_ROWS = 64, FIT_COLS = 512 };

void fit_forward(struct lm_fit *t, size_t strip);        /* to the loss */
void fit_head_back(struct lm_fit *t, size_t strip);                     /* from the loss to dx */
void fit_layer_back(struct lm_fit *t, size_t layer, size_t strip, size_t worker);
void fit_prefix_back(struct lm_fit *t, size_t strip);
/* Tasks [fit_n_tile()] that make the gradients of matrices and biases of a layer; n_layer: of logits and copy head;
   n_layer + 1: of the prefix. */
size_t fit_n_tile(const struct lm_fit *t, size_t layer);
void fit_tile(struct lm_fit *t, size_t layer, size_t tile);
void fit_rest(struct lm_fit *t, size_t column, size_t n_column);        /* embeddings */
void fit_norms(struct lm_fit *t);                                       /* norms, gate, scalars */
int fit_update(struct lm_fit *t);       /* AdamW; -1, and nothing moves, if the gradient's length is no number */

#endif
