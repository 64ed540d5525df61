/*
 * codebook.h - the mean of the texts' vectors, and clusters of their directions
 *
 *   clusters  spherical k-means (Dhillon and Modha 2001), seeded by k-means++ (Arthur and Vassilvitskii 2007), on a
 *             sample of at most CODEBOOK_SAMPLE vectors for each cluster, drawn by reservoir (Vitter's algorithm R):
 *             more of them do not move the centres, and memory stays bounded
 *   order     the same vectors in the same order give the same bits, whatever the threads
 */
#ifndef HARE_EMBED_CODEBOOK_H
#define HARE_EMBED_CODEBOOK_H

#include <stddef.h>
#include <stdint.h>

enum { CODEBOOK_SAMPLE = 128, CODEBOOK_ROUNDS = 20 };

struct codebook {
	size_t dim, n_sample_max, n_seen, n_sample, n_sample_cap;
	uint64_t n_drawn, seed;         /* n_drawn: not zero */
	float *sample;                  /* [n_sample][dim] */
	double *sum;                    /* [dim] */
};
/* n_cluster_max: what codebook_make() may be asked for. */
void codebook_init(struct codebook *c, size_t dim, size_t n_cluster_max, uint64_t seed);
void codebook_free(struct codebook *c);
/* x [dim], of unit length or zero; a zero counts in the mean only. */
void codebook_add(struct codebook *c, const float *x);
void codebook_mean(const struct codebook *c, float *mean);      /* [dim] */
/* Unit rows [n][dim] that the caller frees. Returns n: n_cluster, or fewer where there are fewer distinct vectors; 1
   zero row where there is none at all. */
size_t codebook_make(const struct codebook *c, size_t n_cluster, size_t n_thread, float **centre);

#endif
