/*
 * sketch.h - a row of numbers in half a byte each: turned, rounded, and how far off that is
 *
 *   turn     R, orthogonal: twice signs and Walsh-Hadamard transforms of blocks of 64 (16 up to dim 16), with a perfect
 *            shuffle of the blocks between; what any vector looks like afterwards is as good as random (Ailon and Chazelle
 *            2006). The signs are fixed, so sketches of all files are of one kind
 *   row      Rx ~ s (c - 7.5), codes c of 0 to 15, one scale s; e >= |Rx - s (c - 7.5)|, s and e float16
 *   bound    |a.x - (Ra).s(c - 7.5)| <= |a| e for any a: by Cauchy and Schwarz, whatever R is, as a.x = (Ra).(Rx)
 *   block    16 rows: for every 8 codes, 64 bytes: of row r bytes 4 r to 4 r + 3, codes 0 to 3 in their lower halves, 4 to 7
 *            in the upper; then 16 scales, then 16 errors. So 32 lanes of 4 codes meet 4 numbers of a query at once
 */
#ifndef HARE_MAT_SKETCH_H
#define HARE_MAT_SKETCH_H

#include <stddef.h>
#include <stdint.h>

enum { MAT_SKETCH_ROWS = 16, MAT_SKETCH_DIM_MAX = 2048 };

size_t mat_sketch_codes(size_t dim);            /* of a row: dim rounded up to a multiple of 64, or 16 */
size_t mat_sketch_block(size_t dim);            /* bytes of a block, a multiple of 64 */
void mat_sketch_turn(const float *x, size_t dim, double *out);          /* out [mat_sketch_codes(dim)] = R x */
/* Row r of a block; turned [mat_sketch_codes(dim)] is scratch. The block must be zeroed before its first row. */
void mat_sketch_put(uint8_t *block, size_t r, const float *x, size_t dim, double *turned);

#endif
