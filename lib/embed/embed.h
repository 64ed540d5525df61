/*
 * embed.h - text to unit vector
 *
 *   tfidf     x = unit(V' w), w_t = (1 + log tf) idf_t^p for words, half of that for pairs of neighbouring words,
 *             idf_t = log((1 + n) / (1 + df_t)) + 1, p from 1 for few texts to 2 for many; V the right singular vectors of
 *             the texts' matrix of unit rows w (Deerwester et al., Indexing by Latent Semantic Analysis, 1990). With p = 1
 *             many texts would spend their few dimensions on common words
 *   vectors   x = unit(y - u u'y), y = sum of a / (a + p(word)) v(word) over the words of a text, a = 1e-3, p from the
 *             texts of the fit, u the first singular vector of their y (Arora, Liang, Ma, A Simple but Tough-to-Beat
 *             Baseline for Sentence Embeddings, 2017)
 *   endpoint  x = unit(what a server gives for the text)
 *   trained   any of these, and then the map of queries or of items that hare-train(1) found (trained.h): queries are then
 *             of any length, items of unit length
 *   file      besides what model.h tells, tensors for the first two: term_bytes U8, term_start U32 [n + 1] (terms
 *             sorted by their bytes), term_slot U32 [n_slot][2] (hash table: high half of XXH3-64 of the term's bytes,
 *             number of the term plus one or 0; n_slot a power of two, the first slot tried is the hash's low bits),
 *             term_weight F32 [n] (as above, or a / (a + p)), components F32 [n][dim] (V or v), common F32 [dim] (u)
 *   order     the vector of a text depends on the model and the text alone; the same texts, options and seed give the
 *             same bytes of MODEL, whatever the threads and batches
 */
#ifndef HARE_EMBED_EMBED_H
#define HARE_EMBED_EMBED_H

#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/mem.h"
#include "model/model.h"
#include "net/net.h"

/* -- fit -- */

struct embed_options {
	size_t dim;             /* 0: for tfidf 2 sqrt(texts), 16 to 128, else that of the source, from which another is an error */
	size_t n_cluster;       /* 0: an eighth of the texts, 1 to 64 */
	size_t n_term_max;      /* terms kept; with vectors those of the file that are kept besides the texts' words */
	size_t min_df;          /* 0: 2, or for fewer than EMBED_SMALL texts 1 for words and 2 for pairs */
	double max_df;          /* 0: .5 of the texts, or all for fewer than EMBED_FEW */
	int bigrams;
	int stop_words;         /* English function words make no terms */
	double idf_power;       /* a term weighs idf^idf_power; < 0: 1 up to 300 texts, 2 from 10,000 on */
	double pair_weight;     /* a pair of words times this */
	double query_share, query_var, query_least;     /* constants of the MODEL */
	uint64_t seed;
	size_t n_thread;
	const char *vectors;    /* file of word vectors: the source is then "vectors" */
	struct net *net;        /* server: the source is then "endpoint"; url is what the MODEL remembers */
	const char *url;
};
enum { EMBED_FEW = 50, EMBED_SMALL = 10000, EMBED_DIM = 128, EMBED_TERMS = 50000, EMBED_SERVER_BATCH = 64 };

struct embed_report {
	size_t n_text, n_empty; /* texts without any term have a zero vector */
	size_t n_term, dim, n_cluster;
	double share;           /* of the squares of the texts' rows that the components keep; NAN but for tfidf */
};

struct embed_fit;
struct embed_fit *embed_fit_new(const struct embed_options *o);         /* o is copied, its texts are borrowed */
void embed_fit_free(struct embed_fit *fit);             /* NULL is allowed */
/* Takes in texts, which may go afterwards. 0, or -1 with *f set. */
int embed_fit_add(struct embed_fit *fit, const struct span *text, size_t n, struct fault *f);
/* Fits and writes the MODEL; once. 0, or -1 with *f set (EX_DATAERR if no text has a usable term). */
int embed_fit_write(struct embed_fit *fit, const char *path, struct embed_report *report, struct fault *f);

/* -- apply -- */

struct embed;
/* All of the file is verified. m must outlive the result. NULL with *f set, also if the file lacks what its source needs. */
struct embed *embed_open(const struct model *m, struct fault *f);
void embed_close(struct embed *e);                      /* NULL is allowed */
int embed_is_remote(const struct embed *e);             /* then only embed_remote() makes vectors */
const char *embed_remote_url(const struct embed *e);    /* what the fit asked, and the model's name there */
const char *embed_remote_model(const struct embed *e);

/* What texts are, which matters to a trained MODEL only; queries unless said. */
enum embed_as { EMBED_QUERY, EMBED_ITEM };
void embed_set_as(struct embed *e, enum embed_as as);
int embed_is_trained(const struct embed *e);
/* The trained vector x [dim] of what the embedding underneath gave, x0 [embed_base_dim()]; a copy if not trained. */
size_t embed_base_dim(const struct embed *e);
void embed_from_base(const struct embed *e, enum embed_as as, const float *x0, float *x);

struct embed_scratch;                                   /* one for each thread */
struct embed_scratch *embed_scratch_new(const struct embed *e);
void embed_scratch_free(struct embed_scratch *s);       /* NULL is allowed */
/* x [dim], of unit length; zero if the text has no known term. Returns the number of different terms, 0 if x is zero. */
size_t embed_text(const struct embed *e, struct embed_scratch *s, const char *text, size_t n, float *x);
/* x [n][dim] from the server, at most EMBED_SERVER_BATCH texts a request; blank texts are not sent and give zero.
   0, or -1 with *f set (also if the server's model is not that of the fit). */
int embed_remote(const struct embed *e, struct net *net, const struct span *text, size_t n, float *x, struct fault *f);

#endif
