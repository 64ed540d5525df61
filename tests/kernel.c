/* kernel.c - the loops of attention against slow sums; heads; what bounds promise, over pools made to break them */
#include "attend/kernel.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attend/attend.h"
#include "attend/heads.h"
#include "base/mem.h"
#include "base/rng.h"
#include "claim.h"
#include "mat/half.h"
#include "mat/mat.h"
#include "mat/sketch.h"
#include "tensor/tensor.h"

static struct rng rng;

static void
unit(float *x, size_t dim)
{
	for (size_t d = 0; d < dim; d++)
		x[d] = (float)rng_normal(&rng);
	mat_normalise(x, dim);
}

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
	char *kept = r.kept[type] = xaligned(n * dim, sizeof(float));

	for (size_t j = 0; j < n; j++) {
		unit(x, dim);
		r.scale[j] = .01f;
		for (size_t d = 0; d < dim; d++) {
			size_t i = j * dim + d;
			switch (type) {
			case ATTEND_F32: ((float *)(void *)kept)[i] = r.x[i] = x[d]; break;
			case ATTEND_F16: r.x[i] = mat_f16_float(((uint16_t *)(void *)kept)[i] = mat_f16(x[d])); break;
			case ATTEND_BF16: r.x[i] = mat_bf16_float(((uint16_t *)(void *)kept)[i] = mat_bf16(x[d])); break;
			case ATTEND_I8: r.x[i] = r.scale[j] * (((int8_t *)kept)[i] = (int8_t)lrintf(fmaxf(-127, fminf(127, 100 * x[d]))));
			}
		}
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

/* -- pools -- */

struct world {
	size_t n, dim;
	float *x;
	uint32_t *cluster;
	uint8_t *block;
	double *mean;
};

static const float *
rows_of(void *arg, size_t from, size_t n, float *scratch, struct fault *f)
{
	const struct world *w = arg;

	(void)n;
	(void)scratch;
	(void)f;
	return w->x + from * w->dim;
}

static int
span_of(void *arg, size_t from, size_t n, struct attend_span *out, struct fault *f)
{
	const struct world *w = arg;

	(void)f;
	/* in pieces that begin and end anywhere */
	*out = (struct attend_span){ ATTEND_F32, w->x + from * w->dim, NULL, w->cluster + from, n > 700 ? 700 : n };
	return 0;
}

/* The same rows in shorter pieces. */
static int
span_short(void *arg, size_t from, size_t n, struct attend_span *out, struct fault *f)
{
	return span_of(arg, from, n > 90 ? 90 : n, out, f);
}

static int
sketch_of(void *arg, size_t from, size_t n, struct attend_sketch *out, struct fault *f)
{
	const struct world *w = arg;

	(void)f;
	*out = (struct attend_sketch){ w->block + from / 16 * mat_sketch_block(w->dim), from % 16, w->cluster + from, n > 500 ? 500 : n };
	return 0;
}

static struct world
world_new(size_t n, size_t dim)
{
	return (struct world){ n, dim, xcalloc(n * dim, sizeof(float)), xcalloc(n, sizeof(uint32_t)),
	    xcalloc((n + 15) / 16, mat_sketch_block(dim)), xcalloc(dim, sizeof(double)) };
}

static struct attend_pool
pool_of(struct world *w)
{
	double *turned = xmalloc(mat_sketch_codes(w->dim), sizeof *turned);

	memset(w->block, 0, (w->n + 15) / 16 * mat_sketch_block(w->dim));
	for (size_t j = 0; j < w->n; j++) {
		w->cluster[j] = (uint32_t)(j % 5);
		mat_sketch_put(w->block + j / 16 * mat_sketch_block(w->dim), j % 16, w->x + j * w->dim, w->dim, turned);
	}
	free(turned);
	return (struct attend_pool){ .n_row = w->n, .dim = w->dim, .n_cluster = 5, .mean = w->mean, .rows = rows_of, .span = span_of,
	    .sketch = sketch_of, .arg = w };
}

static void
world_free(struct world *w)
{
	free(w->x);
	free(w->cluster);
	free(w->block);
	free(w->mean);
}

static void
variances(const void *user, const float *x, const float *f, size_t n, double *variance, double *scratch)
{
	(void)x;
	(void)f;
	(void)scratch;
	for (size_t i = 0; i < n; i++)
		variance[i] = *(const double *)user;
}

enum { PLAIN, IDENTICAL, OUTLIER, LONG, TIES, ZERO, GROUPS, N_KIND };
static const char *const kind_name[] = { "random rows", "identical rows", "one outlier", "rows of many lengths", "near ties", "rows of zeros",
    "groups" };

static void
fill(struct world *w, int kind)
{
	float *centre = xmalloc(50 * w->dim, sizeof *centre);

	for (size_t c = 0; c < 50; c++)
		unit(centre + c * w->dim, w->dim);
	for (size_t j = 0; j < w->n; j++) {
		float *x = w->x + j * w->dim;
		unit(x, w->dim);
		for (size_t d = 0; d < w->dim; d++)
			switch (kind) {
			case IDENTICAL: x[d] = centre[d]; break;
			case OUTLIER: x[d] = j == 6789 ? centre[d] : .3f * x[d] - .9f * centre[d]; break;
			case LONG: x[d] *= j % 7 == 0 ? 1.7f : j % 7 == 1 ? 1e-3f : 1; break;
			case TIES: x[d] = centre[d] + 1e-4f * x[d]; break;
			case ZERO: x[d] = j % 100 ? 0 : x[d]; break;
			case GROUPS: x[d] = centre[j % 50 * w->dim + d] + .7f * x[d]; break;
			}
		if (kind != LONG && kind != ZERO)
			mat_normalise(x, w->dim);
	}
	free(centre);
}

/* The true distance of what is told with epsilon from what is told without it is never above what is certified, and that
   never above epsilon; T is the same to the bit; and with epsilon 0 all is. */
static void
bounds_hold(int kind)
{
	enum { N = 9500, DIM = 40, N_ASK = 6 };
	static const double epsilon[] = { .3, .05, 1e-3, 1e-5 };
	static const double known = 1e-4;
	struct world w = world_new(N, DIM);
	double bonus[5] = { 1, .2, .7, .9, .4 }, user_mean[DIM], worst = 0, n_read = 0;
	int kept = 1, below = 1, same_t = 1, same_top = 1, exact = 1, threads = 1, sums = 1;
	struct attend_result r, e;
	struct fault f;
	size_t n_sparse = 0;

	fill(&w, kind);
	struct attend_pool pool = pool_of(&w), bare = pool;
	bare.sketch = NULL;
	for (size_t i = 0; i < N_ASK; i++) {
		float x[DIM];
		unit(x, DIM);
		for (size_t d = 0; d < DIM; d++) {
			x[d] = i % 2 ? .3f * x[d] + w.x[6789 * DIM + d] : x[d];
			user_mean[d] = .4 * w.x[(100 + i) * DIM + d];
		}
		struct attend_query q = { .x = x, .bonus = i % 3 == 2 ? bonus : NULL };
		if (i >= 2) {
			q.user_mean = user_mean;
			q.query_weight = .8;
			q.variances = variances;
			q.user = &known;
		}
		struct attend_settings set = { .gain = 2, .beta = i == 5 ? 200 : i == 4 ? 3000 : 60, .alpha = 6, .kappa = .2, .lambda = 100, .n_top = 10, .n_thread = 1 };
		struct attend *all = attend_new(&bare, &set, 1);
		if (attend_run(all, 1, &q, &r, &f) < 0)
			claim(0, "%s", f.text);
		/* epsilon 0, T before the pass */
		struct attend *first = attend_new(&pool, &set, 1);
		attend_run(first, 1, &q, &e, &f);
		exact &= memcmp(e.z, r.z, sizeof x) == 0 && e.entropy_nats == r.entropy_nats && e.temperature == r.temperature &&
		    memcmp(e.item, r.item, r.n_item * sizeof *r.item) == 0 && e.certificate == 0 && e.read == 1;
		attend_free(first);
		for (size_t k = 0; k < sizeof epsilon / sizeof *epsilon; k++) {
			set.epsilon = epsilon[k];
			struct attend *some = attend_new(&pool, &set, 2);
			struct attend_query twice[2] = { q, q };
			struct attend_result both[2];
			attend_run(some, 2, twice, both, &f);
			e = both[0];
			double off = 0, total = 0;
			for (size_t j = 0; j < N; j++) {
				double a = attend_weight(some, 0, j);
				off += .5 * fabs(a - attend_weight(all, 0, j));
				total += a;
			}
			/* float weights: what two ways of summing differ by */
			kept &= off <= e.certificate + 2e-6;
			below &= e.certificate <= epsilon[k];
			sums &= fabs(total - 1) < 1e-9;
			worst = fmax(worst, off / epsilon[k]);
			same_t &= e.temperature == r.temperature && e.uncertainty == r.uncertainty;
			for (size_t t = 0; t < r.n_item; t++)
				same_top &= e.item[t].row == r.item[t].row && e.item[t].logit == r.item[t].logit;
			threads &= memcmp(both[0].z, both[1].z, sizeof x) == 0 && both[0].entropy_nats == both[1].entropy_nats;
			n_sparse += e.read < 1;
			n_read += e.read;
			struct rng draw = rng_at(4, i);
			size_t row[3];
			double propensity[3];
			sums &= attend_choose(some, 0, &draw, 3, row, propensity) > 0 && fabs(propensity[0] - attend_weight(some, 0, row[0])) < 1e-12;
			attend_free(some);
			set.n_thread = 3;
			some = attend_new(&pool, &set, 1);
			struct attend_result t3;
			attend_run(some, 1, &q, &t3, &f);
			set.n_thread = 1;
			threads &= t3.certificate == e.certificate && t3.read == e.read && t3.temperature == e.temperature;
			attend_free(some);
		}
		set.epsilon = 0;
		attend_free(all);
	}
	claim(kept && below, "%s: the true distance is within the certificate, that within epsilon (at most %.2f of epsilon)", kind_name[kind], worst);
	claim(same_t && same_top, "%s: T and the best rows are those of the exact pass", kind_name[kind]);
	claim(exact, "%s: with sketches and epsilon 0 the answer is the exact one, bit for bit", kind_name[kind]);
	claim(threads && sums, "%s: the same from any thread and place; weights sum to 1, draws follow them (%zu of 24 read %.2f of the rows)",
	    kind_name[kind], n_sparse, n_read / 24);
	if (kind == GROUPS)
		claim(n_sparse > 0, "%s: some queries read less than all", kind_name[kind]);
	world_free(&w);
}

/* -- heads -- */

struct scored_row {
	double score;
	const float *x;
};

static int
by_score(const void *s, const void *t)
{
	double a = ((const struct scored_row *)s)->score, b = ((const struct scored_row *)t)->score;

	return a < b ? -1 : a > b;
}

/* Rows in the order of their scores: a head that meets them has ever better ones. */
static void
sort_rows(struct world *w, const float *a)
{
	struct scored_row *row = xmalloc(w->n, sizeof *row);
	float *x = xmalloc(w->n * w->dim, sizeof *x);

	for (size_t j = 0; j < w->n; j++)
		row[j] = (struct scored_row){ mat_dot64(a, w->x + j * w->dim, w->dim), w->x + j * w->dim };
	qsort(row, w->n, sizeof *row, by_score);
	for (size_t j = 0; j < w->n; j++)
		memcpy(x + j * w->dim, row[j].x, w->dim * sizeof *x);
	memcpy(w->x, x, w->n * w->dim * sizeof *x);
	free(x);
	free(row);
}

static void
heads(size_t n, size_t dim, float steep, int is_sorted)
{
	enum { N_HEAD = 3, N_ASK = 13, N_TOP = 4 };   /* alone few, in a batch many, as the kernel has it */
	_Static_assert((int)N_HEAD < (int)KERNEL_HEADS && (int)N_HEAD * (int)N_ASK >= (int)KERNEL_MANY, "both ways are gone");
	struct world w = world_new(n, dim);
	struct attend_head_result r[N_ASK * N_HEAD], one[N_HEAD], other[N_ASK * N_HEAD];
	float *a = xmalloc(N_ASK * N_HEAD * dim, sizeof *a);
	double off = 0, off_e = 0, off_w = 0;
	int same = 1, order = 1;
	struct fault f;

	fill(&w, GROUPS);
	struct attend_pool pool = pool_of(&w);
	for (size_t i = 0; i < N_ASK * N_HEAD; i++) {
		unit(a + i * dim, dim);
		for (size_t d = 0; d < dim; d++)
			a[i * dim + d] *= i % 3 ? steep : 1;
	}
	if (is_sorted)
		sort_rows(&w, a + dim);
	struct attend_heads *h = attend_heads_new(&pool, N_HEAD, N_TOP, N_ASK, 1, NULL), *h3 = attend_heads_new(&pool, N_HEAD, N_TOP, N_ASK, 3, NULL);
	claim(attend_heads_run(h, N_ASK, a, r, &f) == 0, "%zu rows of %zu: heads run", n, dim);
	long double *weight = xmalloc(n, sizeof *weight);
	for (size_t i = 0; i < N_ASK * N_HEAD; i++) {
		long double most = -1e9L, total = 0, entropy = 0;
		for (size_t j = 0; j < n; j++) {
			weight[j] = mat_dot64(a + i * dim, w.x + j * dim, dim);
			most = fmaxl(most, weight[j]);
		}
		for (size_t j = 0; j < n; j++)
			total += weight[j] = expl(weight[j] - most);
		for (size_t j = 0; j < n; j++) {
			weight[j] /= total;
			entropy -= weight[j] > 0 ? weight[j] * logl(weight[j]) : 0;
		}
		double z_off = 0, z_length = 0;
		for (size_t d = 0; d < dim; d++) {
			long double z = 0;
			for (size_t j = 0; j < n; j++)
				z += weight[j] * w.x[j * dim + d];
			z_off += (double)((r[i].z[d] - z) * (r[i].z[d] - z));
			z_length += (double)(z * z);
		}
		off = fmax(off, sqrt(z_off / z_length));
		off_e = fmax(off_e, (double)fabsl(r[i].entropy_nats - entropy));
		off_e = fmax(off_e, (double)fabsl(r[i].log_sum - (most + logl(total))) / 10);
		for (size_t k = 0; k < r[i].n_item; k++) {
			off_w = fmax(off_w, (double)fabsl(r[i].item[k].weight - weight[r[i].item[k].row]));
			order &= k == 0 || r[i].item[k].logit <= r[i].item[k - 1].logit;
		}
		order &= r[i].n_item == (N_TOP < n ? N_TOP : n);
	}
	claim(off < 2e-5 && off_e < 2e-5 && off_w < 2e-5 && order, "z, entropy and items of each head are those of long sums (%.1e %.1e %.1e)", off, off_e, off_w);
	struct attend_heads *alone = attend_heads_new(&pool, N_HEAD, N_TOP, 1, 2, NULL);
	attend_heads_run(h3, N_ASK, a, other, &f);
	for (size_t i = 0; i < N_ASK; i++) {
		attend_heads_run(alone, 1, a + i * N_HEAD * dim, one, &f);
		for (size_t k = 0; k < N_HEAD; k++) {
			const struct attend_head_result *s = &r[i * N_HEAD + k];
			same &= memcmp(s->z, one[k].z, dim * sizeof *s->z) == 0 && s->entropy_nats == one[k].entropy_nats && s->log_sum == one[k].log_sum;
			same &= memcmp(s->z, other[i * N_HEAD + k].z, dim * sizeof *s->z) == 0 && s->entropy_nats == other[i * N_HEAD + k].entropy_nats;
			same &= memcmp(s->item, one[k].item, s->n_item * sizeof *s->item) == 0;
		}
	}
	claim(same, "the same bits alone and in a batch, on one, two and three threads");
	pool.span = span_short;
	struct attend_heads *in_pieces = attend_heads_new(&pool, N_HEAD, N_TOP, 1, 2, NULL);
	attend_heads_run(in_pieces, 1, a, one, &f);
	for (size_t k = 0; k < N_HEAD; k++)
		same &= memcmp(r[k].z, one[k].z, dim * sizeof *r[k].z) == 0 && r[k].entropy_nats == one[k].entropy_nats && r[k].log_sum == one[k].log_sum;
	claim(same, "and of rows in pieces");
	/* alone, in pieces, and in a batch: a row that no pool has is told, wherever it stands among its 16 */
	size_t n_told = 0, n_bad = 0;
	for (size_t j = 0; j < n && j < 300; j += 37)
		for (int how = 0; how < 18; how++, n_bad++) {
			/* the sign makes the score of the first head positive */
			static const float bad[] = { INFINITY, -INFINITY, NAN, 1e9f, 1e11f, 1e30f };
			float was = w.x[j * dim], *at = &w.x[j * dim];
			*at = how % 6 < 3 ? bad[how % 6] : copysignf(bad[how % 6], a[0]);
			n_told += attend_heads_run(how < 6 ? alone : how < 12 ? in_pieces : h3, how < 12 ? 1 : N_ASK, a, other, &f) < 0 &&
			    strstr(f.text, "rows from 0 on") != NULL;
			*at = was;
		}
	claim(n_told == n_bad, "a row that is no row is told of, not summed (%zu of %zu)", n_told, n_bad);
	attend_heads_free(in_pieces);
	attend_heads_free(alone);
	attend_heads_free(h3);
	attend_heads_free(h);
	free(weight);
	free(a);
	world_free(&w);
}

/* A sketch made wrong on purpose: its bounds are no numbers, or none is below infinity. */
static void
impossible_sketches(void)
{
	enum { N = 9500, DIM = 40 };
	static const uint16_t bad[] = { 0x7E00, 0x7C00, 0xFC00 };
	struct world w = world_new(N, DIM);
	const size_t n_block = mat_sketch_block(DIM);
	size_t n_refused = 0;
	struct attend_result r;
	struct fault f;
	float x[DIM];

	fill(&w, PLAIN);
	unit(x, DIM);
	for (size_t how = 0; how < 12; how++) {
		struct attend_pool pool = pool_of(&w);
		struct attend_settings set = { .gain = 2, .beta = 20, .kappa = .2, .lambda = 100, .epsilon = how % 2 ? .01 : 0, .n_top = 10, .n_thread = 1 };
		struct attend_query q = { .x = x };
		for (size_t b = how / 2 % 2 ? 77 : 0; b < (how / 2 % 2 ? 78 : (N + 15) / 16); b++)
			for (size_t k = 0; k < 16; k++)
				memcpy(w.block + (b + 1) * n_block - 64 + 2 * k, &bad[how / 4], sizeof *bad);
		struct attend *a = attend_new(&pool, &set, 1);
		n_refused += attend_run(a, 1, &q, &r, &f) < 0;
		attend_free(a);
	}
	claim(n_refused == 12, "bounds that are no numbers end in a fault, not in a wait without end");
	world_free(&w);
}

int
main(void)
{
	struct fault f;

	rng = rng_at(31, 5);
	claim(mat_check(&f) == 0, "the BLAS of this machine computes right");
	kernels_agree();
	lists();
	long_rows();
	heads_at_once();
	halves();
	sketches();
	for (int kind = 0; kind < N_KIND; kind++)
		bounds_hold(kind);
	impossible_sketches();
	heads(1, 3, 1, 0);
	heads(3000, 33, 60, 0);
	heads(5000, 64, 300, 0);
	heads(3000, 48, 200, 1);
	return claim_n_failed != 0;
}
