/* kernel.c - the loops of attention against slow sums */
#include "attend/kernel.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attend/attend.h"
#include "base/mem.h"
#include "claim.h"
#include "mat/half.h"
#include "mat/mat.h"
#include "mat/sketch.h"
#include "tensor/tensor.h"
#include "vectors.h"

/* -- rows in every type -- */

struct rows {
	size_t n, dim;
	float *x;               /* what the stored numbers are, [n][dim] */
	void *kept[4];
	float *scale;
};

static struct rows
rows_new(size_t n, size_t dim, enum attend_type type)
{
	struct rows r = { n, dim, xmalloc(n * dim, sizeof(float)), {0}, xmalloc(n, sizeof(float)) };
	float *x = xmalloc(dim, sizeof *x);

	r.kept[type] = xaligned(n * dim, sizeof(float));
	for (size_t j = 0; j < n; j++) {
		unit(x, dim);
		r.scale[j] = .01f;
		for (size_t d = 0; d < dim; d++)
			r.x[j * dim + d] = keep_number(type, r.kept[type], j * dim + d, x[d], r.scale[j]);
	}
	free(x);
	return r;
}

static void
rows_free(struct rows *r)
{
	free(r->x);
	free(r->scale);
	for (int i = 0; i < 4; i++)
		free(r->kept[i]);
}

enum { N_QUERY = 19, MOST = 150 };      /* queries: as many as are taken together, and some more; rows */

static void
kernels_agree(void)
{
	static const size_t dims[] = { 1, 2, 15, 16, 17, 48, 100, 128, 200 }, ns[] = { 1, 2, 15, 16, 33, MOST };
	double worst_score = 0, worst_z = 0, worst_exp = 0, plain = 0;
	int alone = 1, among = 1, some_same = 1, wide = 1, at_once = 1, few = 1, together = 1;

	for (size_t t = 0; t < 4; t++)
		for (size_t i = 0; i < sizeof dims / sizeof *dims; i++)
			for (size_t k = 0; k < sizeof ns / sizeof *ns; k++) {
				size_t dim = dims[i], n = ns[k], n_pad = kernel_pad(dim);
				if (n == MOST && (dim < 48 || dim > 128 || (t != ATTEND_F32 && dim != 100)))
					continue;
				enum attend_type type = (enum attend_type)t;
				struct rows r = rows_new(n, dim, type);
				float *a = xcalloc(N_QUERY * n_pad, sizeof *a), *w = xmalloc(N_QUERY * MOST, sizeof *w);
				float *first = NULL, *first_z = NULL;
				for (size_t q = 0; q < N_QUERY; q++) {
					unit(a + q * n_pad, dim);
					for (size_t j = 0; j < MOST; j++)
						w[q * MOST + j] = j % 3 ? (float)rng_uniform(&rng) : 0;
				}
				const struct attend_kernel *kernel;
				for (size_t at = 0; (kernel = attend_kernel_at(at)); at++) {
					float *score = xmalloc(N_QUERY * MOST, sizeof *score), *z = xcalloc(N_QUERY * n_pad, sizeof *z), one[MOST];
					float *out = xmalloc(n * dim, sizeof *out), *z1 = xmalloc(n_pad, sizeof *z1);
					int is_plain = strcmp(kernel->name, "plain") == 0;
					kernel->scores(type, r.kept[t], r.scale, n, dim, a, N_QUERY, score, MOST);
					kernel->blend(type, r.kept[t], r.scale, n, dim, w, MOST, N_QUERY, z);
					/* fewer queries, which go other ways; and by the way of many */
					for (size_t m = 2; m <= N_QUERY; m++) {
						float *less = xmalloc(m * MOST, sizeof *less), *less_z = xcalloc(m * n_pad, sizeof *less_z);
						float *many = xmalloc(m * MOST, sizeof *many), *grouped = xmalloc(m * n_pad, sizeof *grouped);
						kernel->scores(type, r.kept[t], r.scale, n, dim, a, m, less, MOST);
						kernel->blend(type, r.kept[t], r.scale, n, dim, w, MOST, m, less_z);
						if (type == ATTEND_F32) {
							kernel->group(a, m, dim, grouped);
							kernel->scores_many(r.kept[t], n, dim, grouped, m, many, MOST);
							for (size_t q = 0; q < m; q++)
								together &= memcmp(many + q * MOST, score + q * MOST, n * sizeof *many) == 0;
						}
						for (size_t q = 0; q < m; q++)
							few &= memcmp(less + q * MOST, score + q * MOST, n * sizeof *less) == 0 &&
							    memcmp(less_z + q * n_pad, z + q * n_pad, dim * sizeof *less_z) == 0;
						free(grouped);
						free(many);
						free(less);
						free(less_z);
					}
					kernel->widen(type, r.kept[t], n, dim, out);
					for (size_t j = 0; j < n * dim; j++)
						wide &= (type == ATTEND_I8 ? r.scale[j / dim] * out[j] : out[j]) == r.x[j];
					for (size_t q = 0; q < N_QUERY; q++) {
						for (size_t j = 0; j < n; j++) {
							worst_score = fmax(worst_score, fabs(score[q * MOST + j] - mat_dot64(a + q * n_pad, r.x + j * dim, dim)));
							kernel->scores(type, (char *)r.kept[t] + j * dim * (type == ATTEND_F32 ? 4 : type == ATTEND_I8 ? 1 : 2),
							    r.scale + j, 1, dim, a + q * n_pad, 1, one, 0);
							alone &= memcmp(one, &score[q * MOST + j], sizeof *one) == 0;
						}
						/* the rows with a weight alone, by their numbers */
						uint32_t some[MOST], n_some = 0;
						float some_w[MOST];
						for (size_t j = 0; j < n; j++)
							if (w[q * MOST + j] > 0) {
								some[n_some] = (uint32_t)j;
								some_w[n_some++] = w[q * MOST + j];
							}
						memset(z1, 0, n_pad * sizeof *z1);
						kernel->blend_some(type, r.kept[t], r.scale, some, n_some, dim, some_w, z1, NULL);
						some_same &= memcmp(z1, z + q * n_pad, dim * sizeof *z1) == 0;
						/* scored, weighed and blended at once: every row, some, none */
						for (int how = 0; how < 6; how++) {
							double add[MOST], sum[2], sum_at_once[2];
							float weight[MOST], z_at_once[208] = {0};
							struct kernel_pass p = { a + q * n_pad, 20, 3, .7, -80, how % 3 == 0 ? 0 : how % 3 == 1 ? .1f : 1e30f };
							for (size_t j = 0; j < n; j++)
								add[j] = how < 3 ? 0 : j % 5;
							memcpy(one, score + q * MOST, n * sizeof *one);
							kernel->weigh(&p, one, how < 3 ? NULL : add, n, one, NULL, sum);
							for (size_t j = n_some = 0; j < n; j++)
								if (one[j] >= p.least) {
									some[n_some] = (uint32_t)j;
									some_w[n_some++] = one[j];
								}
							memset(z1, 0, n_pad * sizeof *z1);
							kernel->blend_some(type, r.kept[t], r.scale, some, n_some, dim, some_w, z1, NULL);
							kernel->pass(&p, type, r.kept[t], r.scale, n, dim, how < 3 ? NULL : add, weight, z_at_once, sum_at_once);
							at_once &= memcmp(weight, one, n * sizeof *one) == 0 && memcmp(z_at_once, z1, dim * sizeof *z1) == 0 &&
							    memcmp(sum, sum_at_once, sizeof sum) == 0;
						}
						for (size_t d = 0; d < dim; d++) {
							double sum = 0;
							for (size_t j = 0; j < n; j++)
								sum += (double)w[q * MOST + j] * r.x[j * dim + d];
							worst_z = fmax(worst_z, fabs(z[q * n_pad + d] - sum));
						}
					}
					if (!first && !is_plain) {
						first = score;
						first_z = z;
						score = z = NULL;
					} else if (first && !is_plain)
						for (size_t q = 0; q < N_QUERY; q++)
							among &= memcmp(first + q * MOST, score + q * MOST, n * sizeof *score) == 0 &&
							    memcmp(first_z + q * n_pad, z + q * n_pad, dim * sizeof *z) == 0;
					else
						for (size_t q = 0; first && q < N_QUERY; q++)
							for (size_t j = 0; j < n; j++)
								plain = fmax(plain, fabs(first[q * MOST + j] - score[q * MOST + j]));
					free(score);
					free(z);
					free(out);
					free(z1);
				}
				free(first);
				free(first_z);
				free(a);
				free(w);
				rows_free(&r);
			}
	claim(worst_score < 1e-6 && worst_z < 3e-6, "scores and blends are those of slow sums (%.1e, %.1e), in all four types", worst_score, worst_z);
	claim(wide, "widened rows are the numbers that were kept");
	claim(alone, "a row's score is the same bits alone, and among any rows and queries");
	claim(few, "and among few queries");
	claim(together, "and by the way that many queries go, however many there are");
	claim(some_same, "rows of weight 0 left out change no bit of a blend");
	claim(at_once, "scored, weighed and blended at once, rows give the same bits as one step after the other");
	claim(among, "kernels that fuse give the same bits");
	claim(plain < 1e-6, "and the plain one the same up to rounding (%.1e)", plain);

	/* weights */
	const struct attend_kernel *kernel, *best = attend_kernel_best();
	int same = 1, zero = 1, keeps = 1;
	double off_sum = 0, off_wl = 0;
	for (size_t at = 0; (kernel = attend_kernel_at(at)); at++)
		for (size_t n = 1; n < 300; n += n < 80 ? 3 : 41) {
			float s[300], w[300], w2[300], kept[300];
			double add[300], sum[2], sum2[2], all = 0, all_wl = 0;
			int is_added = n % 2;
			for (size_t j = 0; j < n; j++) {
				s[j] = j == 3 ? -3e38f : (float)(rng_uniform(&rng) * 4 - 3);
				add[j] = is_added ? rng_uniform(&rng) : 0;
			}
			const struct kernel_pass p = { NULL, 30, 31, .9, -80, .01f };
			size_t n_kept = kernel->weigh(&p, s, is_added ? add : NULL, n, w, kept, sum);
			best->weigh(&p, s, is_added ? add : NULL, n, w2, NULL, sum2);
			for (size_t j = 0; j < n; j++) {
				double l = (30. * s[j] + add[j] - 31) * .9, e = l < -80 ? 0 : exp(l);
				/* l is rounded to a float first, or to two that are added */
				worst_exp = fmax(worst_exp, fabs(w[j] - e) / fmax(e, 1e-34) / (2e-7 + (is_added ? 6e-8 : 1.2e-7) * fmin(fabs(l), 80)));
				zero &= l >= -80 || w[j] == 0;
				keeps &= kept[j] == (w[j] >= .01f ? w[j] : 0);
				n_kept -= w[j] >= .01f;
				all += w[j];
				all_wl += l < -80 ? 0 : w[j] * l;
			}
			keeps &= n_kept == 0;
			off_sum = fmax(off_sum, fabs(sum[0] - all));
			off_wl = fmax(off_wl, fabs(sum[1] - all_wl) / (1e-7 + fabs(all_wl)));
			if (strcmp(kernel->name, "plain") != 0)
				same &= memcmp(w, w2, n * sizeof *w) == 0 && memcmp(sum, sum2, sizeof sum) == 0;
		}
	claim(worst_exp < 1, "weights are exp of the logits, as near as floats are (%.2f of that)", worst_exp);
	claim(zero && keeps && off_sum < 1e-9 && off_wl < 2e-7 && same, "far ones weigh 0, sums are theirs, and kernels that fuse agree to the bit");
	int refuses = 1, far = 1;
	for (size_t at = 0; (kernel = attend_kernel_at(at)); at++)
		for (int how = 0; how < 12; how++) {
			/* among 16 or at the end, with something added or not, in steps whose float is above or below them */
			static const float bad[] = { INFINITY, -INFINITY, NAN };
			float s[21] = {0}, w[21];
			double add[21] = {0}, sum[2];
			struct kernel_pass p = { NULL, how % 4 < 2 ? 30.1 : 30.2, 31, .9, -80, 0 };
			s[how % 2 ? 4 : 18] = bad[how / 4];
			for (int is_added = 0; is_added < 2; is_added++) {
				kernel->weigh(&p, s, is_added ? add : NULL, 21, w, NULL, sum);
				refuses &= !isfinite(sum[1]);
			}
			/* rows set aside, at any steepness */
			p.beta = how % 2 ? 123456789 : 1e12;
			p.best = p.beta;
			s[4] = s[18] = -FLT_MAX;
			kernel->weigh(&p, s, NULL, 21, w, NULL, sum);
			far &= isfinite(sum[0]) && isfinite(sum[1]) && w[4] == 0 && w[18] == 0;
		}
	claim(refuses, "a score that is no number, or infinite, leaves no sum");
	claim(far, "and one that is far below all leaves what it was");
	claim(!attend_kernel_named("none") && attend_kernel_named("plain") && attend_kernel_named(best->name) == best, "kernels have names");
}

/* What is never less than the sum of weights, and hardly more. */
static void
sums_over(void)
{
	enum { N = 70, MANY = 1000000 };
	static const double beta[] = { .5, 43, 3000, 1e6 }, t[] = { 1, .3, 1e-3 };
	const struct attend_kernel *kernel;
	double lowest = INFINITY, highest = 0, least = INFINITY;
	int same = 1, right = 1;

	for (size_t n = 0; n <= N; n++)
		for (size_t i = 0; i < 4; i++)
			for (size_t k = 0; k < 3; k++)
				for (int how = 0; how < 4; how++) {
					/* near the best, far below, above it as bounds may be, and from one weight to the next */
					struct kernel_pass p = { NULL, beta[i], beta[i] * (how == 2 ? .5 : 1), t[k], -80, 0 };
					double first = -1;
					long double sum = 0;
					float s[N];
					for (size_t j = 0; j < n; j++) {
						double l = how == 0 ? -3 * rng_uniform(&rng) : how == 1 ? -78 * rng_uniform(&rng) : how == 2 ? 70 * rng_uniform(&rng) : -1e-3 * (double)j;
						s[j] = j % 13 == 12 ? -FLT_MAX : (float)((l / t[k] + p.best) / beta[i]);
						long double exact = ((long double)beta[i] * s[j] - p.best) * t[k];
						sum += exact < -80 ? 0 : expl(exact);
					}
					/* floats of scores tell weights apart to so many nats */
					double slack = (beta[i] * t[k] + 130) * 0x1p-21;
					for (size_t at = 0; (kernel = attend_kernel_at(at)); at++) {
						double over = kernel->weigh_over(&p, s, n);
						if (n == 0 || sum == 0) {
							right &= over == 0;
							continue;
						}
						lowest = fmin(lowest, (double)(over / sum));
						highest = fmax(highest, (double)(over / sum) * exp(-slack));
						if (strcmp(kernel->name, "plain") != 0) {
							same &= first < 0 || over == first;
							first = over;
						}
					}
				}
	claim(lowest >= 1 && highest < 1.0625 && right, "weights are summed from above, never short of their sum (%.6f to %.4f of it)", lowest, highest);
	claim(same, "to the same bits by kernels that fuse");
	for (size_t at = 0; (kernel = attend_kernel_at(at)); at++) {
		const struct kernel_pass far = { NULL, 1e30, 1e38, 1e5, -80, 0 }, above = { NULL, 50, -500, 1, -80, 0 };
		float s[20] = { 0, 1, -FLT_MAX };
		right &= kernel->weigh_over(&far, s, 3) >= 3 * exp(80) && kernel->weigh_over(&above, s, 2) >= 2 * exp(80);
		right &= isfinite(kernel->weigh_over(&above, s, 3));
		s[2] = 1;
		right &= kernel->weigh_over(&above, s, 20) >= 20 * exp(80) && kernel->weigh_over(&above, s, 20) < 20 * 1.07 * exp(80);
		/* many of one weight, in floats that round down */
		for (int i = 0; i < 9; i++) {
			const struct kernel_pass p = { NULL, 40, 40, 1, -80, 0 };
			float *many = xmalloc(MANY, sizeof *many);
			for (size_t j = 0; j < MANY; j++)
				many[j] = 1 + 2.5e-5f * (float)i;
			long double one = expl(40.l * many[0] - 40);
			least = fmin(least, (double)(kernel->weigh_over(&p, many, MANY) / (MANY * one)));
			free(many);
		}
	}
	claim(right, "and what floats cannot hold counts as e^80 each");
	claim(least >= 1, "a million weights are not short of their sum (%.6f of it)", least);
}

/* Weights that are enough, by their numbers, into another place and into the same. */
static void
lists(void)
{
	enum { N = 90 };
	const struct attend_kernel *kernel;
	int right = 1;

	for (size_t at = 0; (kernel = attend_kernel_at(at)); at++)
		for (size_t n = 0; n <= N; n++)
			for (int share = 0; share <= 4; share++) {
				float w[N], kept[N + 1];
				uint32_t row[N + 1], own[N], wanted[N];
				size_t n_wanted = 0;
				for (size_t j = 0; j < n; j++) {
					w[j] = j % 31 == 7 ? NAN : j % 31 == 8 ? .25f : .25f + (float)(share / 4. - rng_uniform(&rng) + (share < 4 ? -1e-6 : 0));
					if (w[j] >= .25f)
						wanted[n_wanted++] = (uint32_t)j;
				}
				row[n] = 4711;
				kept[n] = 4711;
				right &= kernel->list(w, n, .25f, row, kept) == n_wanted && row[n] == 4711 && kept[n] == 4711;
				for (size_t k = 0; k < n_wanted; k++)
					right &= row[k] == wanted[k] && kept[k] == w[wanted[k]];
				right &= kernel->list(w, n, .25f, own, w) == n_wanted && memcmp(own, wanted, n_wanted * sizeof *own) == 0 &&
				    memcmp(w, kept, n_wanted * sizeof *w) == 0;
			}
	claim(right, "weights that are enough are listed in order, also over themselves, and nothing behind");
}

/* Rows too long to be turned. */
static void
long_rows(void)
{
	enum { DIM = 1030, N = 21, MANY = 11 };
	struct rows r = rows_new(N, DIM, ATTEND_F32);
	size_t n_pad = kernel_pad(DIM);
	float *a = xcalloc(MANY * n_pad, sizeof *a), *grouped = xmalloc(MANY * n_pad, sizeof *grouped);
	float score[MANY * N], many[MANY * N];
	const struct attend_kernel *kernel;
	double worst = 0;
	int same = 1;

	for (size_t q = 0; q < MANY; q++)
		unit(a + q * n_pad, DIM);
	for (size_t at = 0; (kernel = attend_kernel_at(at)); at++) {
		kernel->scores(ATTEND_F32, r.kept[ATTEND_F32], NULL, N, DIM, a, MANY, score, N);
		kernel->group(a, MANY, DIM, grouped);
		kernel->scores_many(r.kept[ATTEND_F32], N, DIM, grouped, MANY, many, N);
		same &= memcmp(score, many, sizeof score) == 0;
		for (size_t i = 0; i < MANY * N; i++)
			worst = fmax(worst, fabs(many[i] - mat_dot64(a + i / N * n_pad, r.x + i % N * DIM, DIM)));
	}
	claim(same && worst < 1e-6, "long rows go the way of many queries too (%.1e)", worst);
	free(grouped);
	free(a);
	rows_free(&r);
}

/* Heads that pass over rows together, against one step after the other: how far they come, and with what. */
static void
heads_at_once(void)
{
	static const size_t dims[] = { 1, 15, 16, 17, 40, 100, 128, 200 }, ns[] = { 1, 2, 15, 16, 33, MOST };
	enum { N_HEAD_MAX = KERNEL_HEADS - 1 };
	const struct attend_kernel *kernel;
	int same = 1, stops = 1, goes_on = 1;

	for (size_t i = 0; i < sizeof dims / sizeof *dims; i++)
		for (size_t k = 0; k < sizeof ns / sizeof *ns; k++)
			for (size_t n_head = 1; n_head <= N_HEAD_MAX; n_head++) {
				size_t dim = dims[i], n = ns[k], n_pad = kernel_pad(dim), over_row = n - 1 - n / 5, over_head = n / 2 % n_head;
				struct rows r = rows_new(n, dim, ATTEND_F32);
				const float *x = r.kept[ATTEND_F32];
				float *a = xcalloc(n_head * n_pad, sizeof *a), *z = xmalloc(n_head * n_pad, sizeof *z), *z1 = xmalloc(n_head * n_pad, sizeof *z1);
				float score[N_HEAD_MAX * MOST], w[N_HEAD_MAX * MOST], one[N_HEAD_MAX * MOST];
				for (size_t q = 0; q < n_head; q++) {
					unit(a + q * n_pad, dim);
					for (size_t d = 0; d < dim; d++)
						a[q * n_pad + d] *= 20 * (float)(q + 1);
				}
				for (size_t at = 0; (kernel = attend_kernel_at(at)); at++)
					for (int is_over = 0; is_over < 2; is_over++) {
						struct kernel_head head[N_HEAD_MAX] = {{ 0 }};
						kernel->scores(ATTEND_F32, x, NULL, n, dim, a, n_head, score, MOST);
						size_t n_in = n;
						for (size_t q = 0; q < n_head; q++)
							head[q] = (struct kernel_head){ .base = 3 * (double)q, .floor = -20, .over = INFINITY };
						if (is_over) {
							head[over_head].over = score[over_head * MOST + over_row];
							for (size_t j = n; j-- > 0; )
								n_in = score[over_head * MOST + j] >= head[over_head].over ? j / 16 * 16 : n_in;
						}
						for (size_t d = 0; d < n_head * n_pad; d++)
							z[d] = z1[d] = (float)(d % 7);
						memset(w, 0, sizeof w);
						memset(one, 0, sizeof one);
						size_t n_done = kernel->pass_heads(head, n_head, a, x, n, dim, one, MOST, z);
						stops &= n_done == n_in;
						for (size_t q = 0; q < n_head && n_in > 0; q++) {
							const struct kernel_pass p = { .beta = 1, .best = head[q].base, .t = 1, .floor = -20 };
							double sum[2];
							kernel->weigh(&p, score + q * MOST, NULL, n_in, w + q * MOST, NULL, sum);
							same &= kernel_fold(head[q].sum[0]) == sum[0] && kernel_fold(head[q].sum[1]) == sum[1];
						}
						if (n_in > 0)
							kernel->blend(ATTEND_F32, x, NULL, n_in, dim, w, MOST, n_head, z1);
						for (size_t q = 0; q < n_head; q++) {
							size_t n_scored = n_in + 16 < n ? n_in + 16 : n;
							same &= memcmp(z + q * n_pad, z1 + q * n_pad, dim * sizeof *z) == 0;
							same &= memcmp(one + q * MOST, score + q * MOST, n_scored * sizeof *one) == 0;
						}
						/* the rest, in a second call */
						if (n_in == n || n_in == 0)
							continue;
						head[over_head].over = INFINITY;
						for (size_t q = 0; q < n_head; q++)
							memset(head[q].sum, 0, sizeof head[q].sum);
						n_done += kernel->pass_heads(head, n_head, a, x + n_in * dim, n - n_in, dim, one + n_in, MOST, z);
						for (size_t q = 0; q < n_head; q++) {
							const struct kernel_pass p = { .beta = 1, .best = head[q].base, .t = 1, .floor = -20 };
							double sum[2];
							kernel->weigh(&p, score + q * MOST + n_in, NULL, n - n_in, w + q * MOST + n_in, NULL, sum);
							goes_on &= kernel_fold(head[q].sum[0]) == sum[0] && kernel_fold(head[q].sum[1]) == sum[1];
						}
						kernel->blend(ATTEND_F32, x + n_in * dim, NULL, n - n_in, dim, w + n_in, MOST, n_head, z1);
						for (size_t q = 0; q < n_head; q++)
							goes_on &= memcmp(z + q * n_pad, z1 + q * n_pad, dim * sizeof *z) == 0;
						goes_on &= n_done == n;
					}
				free(z1);
				free(z);
				free(a);
				rows_free(&r);
			}
	claim(same, "heads at once have the bits of one step after the other");
	claim(stops, "and end before the 16 rows that one of them does not take");
	claim(goes_on, "and go on from there");
}

static void
halves(void)
{
	int f16 = 1, bf16 = 1, up = 1;

	for (uint32_t h = 0; h < 0x7C00; h++) {
		float x = mat_f16_float((uint16_t)h), next = mat_f16_float((uint16_t)(h + 1));
		f16 &= mat_f16(x) == h && mat_f16(-x) == (h | 0x8000) && x == tensor_f16_to_f32((uint16_t)h);
		/* halfway to the even one, and to the nearer one on both sides of it */
		if (h + 1 < 0x7C00) {
			float half = x + (next - x) / 2;
			f16 &= mat_f16(half) == (h % 2 ? h + 1 : h) && mat_f16(nextafterf(half, 2 * half + 1)) == h + 1 && mat_f16(nextafterf(half, 0)) == h;
			up &= mat_f16_float(mat_f16_up(half)) >= half && mat_f16_up(x) == h;
		}
	}
	for (uint32_t h = 0; h < 0x7F00; h++) {
		float x = mat_bf16_float((uint16_t)h), next = mat_bf16_float((uint16_t)(h + 1)), half = x + (next - x) / 2;
		bf16 &= mat_bf16(x) == h && mat_bf16(half) == (h % 2 ? h + 1 : h) && mat_bf16(nextafterf(half, INFINITY)) == h + 1;
	}
	claim(f16 && bf16, "all floats of 16 bits read back, and what lies between goes to the nearer, or the even one");
	claim(up, "rounding up does not round down");
}

/* -- sketches -- */

static void
sketches(void)
{
	static const size_t dims[] = { 1, 2, 16, 17, 64, 100, 128, 300, 384 };
	double worst = 0, turned_off = 0;
	int bounded = 1, same = 1;

	for (size_t i = 0; i < sizeof dims / sizeof *dims; i++) {
		size_t dim = dims[i], n = mat_sketch_codes(dim), n_block = mat_sketch_block(dim);
		uint8_t *block = xaligned(n_block, 1);
		float x[16][384], q[384], bound[16], other[16];
		double turned[448], length = 0, most = 0, reach = 0, rest = 0, sum = 0;
		int8_t whole[448];
		memset(block, 0, n_block);
		unit(q, dim);
		for (size_t r = 0; r < 16; r++) {
			unit(x[r], dim);
			if (r == 3)
				memset(x[r], 0, sizeof x[r]);
			if (r == 4)
				memcpy(x[r], q, sizeof q);
			if (r == 5)
				for (size_t d = 0; d < dim; d++)
					x[r][d] = d == 0;
			mat_sketch_put(block, r, x[r], dim, turned);
		}
		mat_sketch_turn(q, dim, turned);
		for (size_t k = 0; k < n; k++) {
			length += turned[k] * turned[k];
			most = fmax(most, fabs(turned[k]));
		}
		turned_off = fmax(turned_off, fabs(length - mat_dot64(q, q, dim)));
		for (size_t k = 0; k < n; k++) {
			int v = (int)rint(turned[k] / most * 127);
			whole[k] = (int8_t)v;
			sum += v;
			reach += v * (most / 127) * v * (most / 127);
			rest += (turned[k] - v * most / 127) * (turned[k] - v * most / 127);
		}
		struct kernel_sketch_query sq = { whole, n, (int32_t)(15 * sum), (float)(most / 127 / 2), (float)(sqrt(reach) * (1 + 1e-6)),
		    (float)(sqrt(rest) + 1e-5) };
		const struct attend_kernel *kernel;
		for (size_t at = 0; (kernel = attend_kernel_at(at)); at++) {
			kernel->sketch(&sq, block, 1, at == 0 ? bound : other);
			if (at > 0)
				for (size_t r = 0; r < 16; r++)
					same &= fabsf(bound[r] - other[r]) < 1e-6f;
		}
		for (size_t r = 0; r < 16; r++) {
			double s = mat_dot64(q, x[r], dim);
			bounded &= bound[r] >= s;
			if (dim >= 64)
				worst = fmax(worst, bound[r] - s);
		}
		free(block);
	}
	claim(turned_off < 1e-12, "turning keeps lengths (%.1e)", turned_off);
	claim(bounded, "no score is above the bound of its sketch");
	claim(worst < .45, "and no bound is far above the score (%.2f)", worst);
	claim(same, "all kernels find the same bounds");
}

int
main(void)
{
	struct fault f;

	rng = rng_at(31, 5);
	claim(mat_check(&f) == 0, "the BLAS of this machine computes right");
	kernels_agree();
	sums_over();
	lists();
	long_rows();
	heads_at_once();
	halves();
	sketches();
	return claim_n_failed != 0;
}
