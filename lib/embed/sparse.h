/*
 * sparse.h - a sparse matrix by rows, and its products with dense blocks
 *
 *   A = diag(row_scale) W diag(column_scale), W [n_row][n_column]; most entries of W are 1 (a term that occurs once
 *   in its document) and take four bytes, the others eight
 *   order   every sum runs over rows upwards and over a row's entries as they stand, whatever the number of threads;
 *           the lanes of a processor's vectors are columns of the dense block, so they do not change it either
 */
#ifndef HARE_EMBED_SPARSE_H
#define HARE_EMBED_SPARSE_H

#include <stddef.h>
#include <stdint.h>

struct sparse {
	size_t n_row, n_column;
	size_t *start;                  /* [n_row + 1] into column */
	size_t *value_start;            /* [n_row + 1] into value: the last entries of a row have one, those before are 1 */
	uint32_t *column;
	float *value;
	float *row_scale;               /* [n_row] */
	float *column_scale;            /* [n_column] */
};
void sparse_free(struct sparse *a);     /* {0} again */
/* Scales each row to unit length (column_scale counted in); empty rows get scale 0. Returns the number of others. */
size_t sparse_unit_rows(struct sparse *a);

enum { SPARSE_PANEL = 8 };             /* columns of a dense block that are worked on together */

/* y [n_column of B] = row of A times B [A.n_column][width], rows of B stride floats apart. */
void sparse_row_mul(const struct sparse *a, size_t row, const float *b, size_t stride, size_t width, float *y);
/* to = A' G for a panel: G [n_row][SPARSE_PANEL] of random numbers, the same for the same seed and panel.
   to [n_column][SPARSE_PANEL], 64-byte aligned. */
void sparse_sketch(const struct sparse *a, uint64_t seed, size_t panel, float *to);
/* to = A' (A from), one pass over A; from is scaled by column_scale on the way and spoilt. */
void sparse_gram(const struct sparse *a, float *from, float *to);

/* y += weight x over n floats. */
void sparse_add(float *y, const float *x, float weight, size_t n);

#endif
