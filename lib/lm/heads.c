/* One head of one row over kept keys and values. */
#include "lm/lanes.h"
#include "lm/run_inside.h"

CLONES void
lm_head_scores(const float *q, const float *k, size_t n, size_t stride, size_t size, float *score)
{
	size_t j = 0, d;

	for (; j + 4 <= n; j += 4, k += 4 * stride) {
		lanes sum[4] = { 0 };
		for (d = 0; d + LANES <= size; d += LANES)
			for (size_t i = 0; i < 4; i++)
				sum[i] += *(const lanes *)(q + d) * *(const lanes *)(k + i * stride + d);
		fold_four(sum, score + j);
		for (; d < size; d++)
			for (size_t i = 0; i < 4; i++)
				score[j + i] += q[d] * k[i * stride + d];
	}
	for (; j < n; j++, k += stride) {
		lanes sum = { 0 };
		for (d = 0; d + LANES <= size; d += LANES)
			sum += *(const lanes *)(q + d) * *(const lanes *)(k + d);
		score[j] = fold(&sum);
		for (; d < size; d++)
			score[j] += q[d] * k[d];
	}
}

CLONES void
lm_head_mix(const float *p, const float *v, size_t n, size_t stride, size_t size, float *y)
{
	size_t d = 0;

	for (; d + 4 * LANES <= size; d += 4 * LANES) {
		lanes *to = (lanes *)(y + d), sum[4] = { to[0], to[1], to[2], to[3] };
		for (size_t j = 0; j < n; j++)
			for (size_t i = 0; i < 4; i++)
				sum[i] += p[j] * *(const lanes *)(v + j * stride + d + i * LANES);
		for (size_t i = 0; i < 4; i++)
			to[i] = sum[i];
	}
	for (size_t j = 0; j < n && d < size; j++)
		for (size_t e = d; e < size; e++)
			y[e] += p[j] * v[j * stride + e];
}
