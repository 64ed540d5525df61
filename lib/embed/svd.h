/*
 * svd.h - the leading singular vectors of a sparse matrix
 *
 *   A ~ U diag(s) V'   with A [n_row][n_column], V [n_column][rank]
 *   source   Halko, Martinsson, Tropp, Finding Structure with Randomness (SIAM Review 53, 2011), algorithm 4.4, with
 *            the dynamic shift of dashSVD (Feng, Yu, Xie, Tang, Algorithm 1043, ACM TOMS 50, 2024), which has the
 *            subspace turn about twice as fast for nothing; then Rayleigh-Ritz on the subspace
 *   cost     SVD_STEPS + 2 passes over A, each 4 (rank + SVD_MORE) n_entry flops; n_column (rank + SVD_MORE) floats,
 *            and n_column * 32 floats for each thread
 *   order    the same seed gives the same bits with any number of threads
 */
#ifndef HARE_EMBED_SVD_H
#define HARE_EMBED_SVD_H

#include <stddef.h>
#include <stdint.h>

#include "embed/sparse.h"

enum { SVD_STEPS = 5, SVD_MORE = 16 };

struct svd {
	size_t rank;            /* at most that asked for: no more than A has within float32 */
	float *v;               /* [n_column][rank]; in each column the entry of largest size is positive */
	float *s;               /* [rank] singular values, descending */
};
/* 0, or -1 if the eigenvalues did not converge (numbers that are not finite). End with svd_free(). */
int svd_sparse(struct svd *out, const struct sparse *a, size_t rank, uint64_t seed, size_t n_thread);
void svd_free(struct svd *s);

#endif
