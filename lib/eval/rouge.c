#include "eval/rouge.h"

#include <stdlib.h>
#include <string.h>

#include "base/rng.h"

void
rouge_words_free(struct rouge_words *w)
{
	free(w->at);
	buf_free(&w->folded);
	*w = (struct rouge_words){0};
}

void
rouge_words(struct rouge_words *w, struct span text)
{
	size_t start = 0;

	buf_clear(&w->folded);
	buf_reserve(&w->folded, text.n + 1);
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.at[i], d = i + 1 < text.n ? (unsigned char)text.at[i + 1] : 0;
		/* two letters beyond ASCII whose small form is within: Kelvin, and I with a dot */
		if (c == 0xE2 && d == 0x84 && i + 2 < text.n && (unsigned char)text.at[i + 2] == 0xAA) {
			c = 'k';
			i += 2;
		} else if (c == 0xC4 && d == 0xB0) {
			c = 'i';
			buf_putc(&w->folded, c);
			c = ' ';        /* the dot, which ends the run */
			i++;
		}
		buf_putc(&w->folded, c >= 'A' && c <= 'Z' ? c + 32 : (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ? c : ' ');
	}
	buf_putc(&w->folded, ' ');
	w->n = 0;
	for (size_t i = 0; i < w->folded.n; i++) {
		if (w->folded.at[i] != ' ')
			continue;
		if (i > start) {
			w->at = xgrow(w->at, &w->n_cap, w->n + 1, sizeof *w->at);
			w->at[w->n++] = (struct span){ w->folded.at + start, i - start };
		}
		start = i + 1;
	}
}

static int
same(struct span a, struct span b)
{
	return a.n == b.n && memcmp(a.at, b.at, a.n) == 0;
}

static double
f1(size_t n, size_t n_a, size_t n_b)
{
	return n ? 2. * (double)n / (double)(n_a + n_b) : 0;
}

struct rouge
rouge_of(const struct rouge_words *a, const struct rouge_words *b)
{
	size_t n_both = 0, *row;
	unsigned char *used;

	if (a->n == 0 || b->n == 0)
		return (struct rouge){0};
	used = xcalloc(b->n, 1);
	row = xcalloc(b->n + 1, sizeof *row);
	for (size_t i = 0; i < a->n; i++) {
		size_t before = 0, left;
		int taken = 0;
		for (size_t j = 0; j < b->n; j++) {
			int is = same(a->at[i], b->at[j]);
			if (is && !taken && !used[j]) {
				used[j] = 1;
				taken = 1;
				n_both++;
			}
			left = row[j + 1];
			row[j + 1] = is ? before + 1 : row[j] > left ? row[j] : left;
			before = left;
		}
	}
	struct rouge r = { f1(n_both, a->n, b->n), f1(row[b->n], a->n, b->n) };
	free(used);
	free(row);
	return r;
}

static int
by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* By the nearest ranks, and between them linearly. */
static double
quantile(const double *sorted, size_t n, double q)
{
	double at = q * (double)(n - 1);
	size_t i = (size_t)at;

	return i + 1 < n ? sorted[i] + (at - (double)i) * (sorted[i + 1] - sorted[i]) : sorted[n - 1];
}

struct rouge_interval
rouge_interval(const double *value, const uint32_t *group, size_t n, size_t n_group, size_t skip, uint64_t seed)
{
	enum { N_DRAW = 2000 };
	double *sum = xcalloc(n_group + 1, sizeof *sum), *count = xcalloc(n_group + 1, sizeof *count);
	double draw[N_DRAW], total = 0, all = 0;
	uint32_t *have = xmalloc(n_group + 1, sizeof *have);
	size_t n_have = 0;
	struct rng r = rng_at(seed, 0);
	struct rouge_interval out = {0};

	for (size_t i = 0; i < n; i++) {
		if (group[i] == skip)
			continue;
		sum[group[i]] += value[i];
		count[group[i]]++;
		total += value[i];
		all++;
	}
	for (size_t g = 0; g < n_group; g++)
		if (count[g] > 0)
			have[n_have++] = (uint32_t)g;
	if (n_have > 0) {
		for (size_t d = 0; d < N_DRAW; d++) {
			double s = 0, c = 0;
			for (size_t k = 0; k < n_have; k++) {
				uint32_t g = have[rng_below(&r, n_have)];
				s += sum[g];
				c += count[g];
			}
			draw[d] = s / c;
		}
		qsort(draw, N_DRAW, sizeof *draw, by_value);
		out = (struct rouge_interval){ total / all, quantile(draw, N_DRAW, .025), quantile(draw, N_DRAW, .975) };
	}
	free(sum);
	free(count);
	free(have);
	return out;
}
