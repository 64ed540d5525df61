/* Rows that are far from the centre of their cell get centres of their own: those of a group that has none lie alone in cells of
   others, and nothing that is kept of such a cell foretells them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/thread.h"
#include "mat/mat.h"
#include "pool/index_inside.h"

enum { BLOCK = 2048, PIECE = 256, N_TYPICAL = 4095, SAMPLE_PER_CELL = 32, CENTRES = 1024, MEANS_ROUNDS = 4,
	GATHER_ROUNDS = 4 };
enum { STREAM_FAR = 5 };        /* high byte of a stream's number, behind those of index.c and index_probe.c */

/* Rows beyond LOOK times the typical squared distance look for a nearer centre among all, not just those near the nearest
   coarse ones; beyond FAR times they are far. At most so many more cells than there were. */
static const double LOOK = 1.4, FAR = 2, MORE_CELLS = .25;

struct far {
	struct made *m;
	float *off;                     /* [n], squared distance from the centre */
	uint32_t *row;                  /* [n_row], those at hand */
	size_t n_row, n_sample;
	float *sample;                  /* [n_sample][dim] */
	float *half;                    /* of centres, half the squared length */
	size_t first, end;              /* centres [first, end) are looked at */
};

static void
measure_block(void *arg, size_t task, size_t worker)
{
	struct far *f = arg;
	const struct made *m = f->m;
	float *x = xmalloc(m->dim, sizeof *x);

	(void)worker;
	for (size_t i = task * BLOCK; i < (task + 1) * BLOCK && i < m->in->n; i++) {
		const float *centre = m->fine + m->of[i] * m->dim;
		double sum = 0;
		pool_index_row(m, i, x);
		for (size_t d = 0; d < m->dim; d++)
			sum += (double)(x[d] - centre[d]) * (x[d] - centre[d]);
		f->off[i] = (float)sum;
	}
	free(x);
}

/* The median of some, taken all over the pool. */
static float
typical(const struct far *f)
{
	size_t n = f->m->in->n < N_TYPICAL ? f->m->in->n : N_TYPICAL;
	float *some = xmalloc(n, sizeof *some), middle;

	for (size_t i = 0; i < n; i++)
		some[i] = f->off[f->m->in->n * i / n];
	pool_index_sort(some, n);
	middle = some[n / 2];
	free(some);
	return middle;
}

static void
sample_block(void *arg, size_t task, size_t worker)
{
	struct far *f = arg;

	(void)worker;
	for (size_t i = task * BLOCK; i < (task + 1) * BLOCK && i < f->n_sample; i++)
		pool_index_row(f->m, f->row[f->n_row * i / f->n_sample], f->sample + i * f->m->dim);
}

/* Each of them goes to the nearest of those centres, if that is nearer than its own. */
static void
move_piece(void *arg, size_t task, size_t worker)
{
	struct far *f = arg;
	struct made *m = f->m;
	size_t dim = m->dim, from = task * PIECE, n = f->n_row - from < PIECE ? f->n_row - from : PIECE;
	float *rows = xaligned(n * dim, sizeof *rows), *score = xaligned(n * CENTRES, sizeof *score);

	(void)worker;
	for (size_t i = 0; i < n; i++)
		pool_index_row(m, f->row[from + i], rows + i * dim);
	for (size_t c = f->first, n_here; c < f->end; c += n_here) {
		n_here = f->end - c < CENTRES ? f->end - c : CENTRES;
		pool_index_nearness(rows, n, m->fine + c * dim, f->half + c, n_here, dim, score);
		for (size_t i = 0; i < n; i++) {
			size_t best = pool_index_largest(score + i * n_here, n_here);
			float off = (float)(mat_dot64(rows + i * dim, rows + i * dim, dim) - 2 * score[i * n_here + best]);
			if (off < f->off[f->row[from + i]]) {
				f->off[f->row[from + i]] = off;
				m->of[f->row[from + i]] = (uint32_t)(c + best);
			}
		}
	}
	free(score);
	free(rows);
}

static void
move_rows(struct far *f, size_t first, size_t end)
{
	f->first = first;
	f->end = end;
	pool_index_halves(f->m->fine + first * f->m->dim, end - first, f->m->dim, f->half + first);
	thread_for(f->m->n_thread, (f->n_row + PIECE - 1) / PIECE, move_piece, f);
}

static void
list_beyond(struct far *f, double off)
{
	f->n_row = 0;
	for (size_t i = 0; i < f->m->in->n; i++)
		if (f->off[i] > off)
			f->row[f->n_row++] = (uint32_t)i;
}

void
pool_index_gather(struct made *m)
{
	size_t n = m->in->n, dim = m->dim, n_first = m->n_fine, n_most = n_first + (size_t)(MORE_CELLS * (double)n_first);
	float *fine = xaligned(n_most * dim, sizeof *fine);
	struct far f = { .m = m, .off = xmalloc(n, sizeof *f.off), .row = xmalloc(n, sizeof *f.row),
	    .half = xmalloc(n_most, sizeof *f.half) };

	memcpy(fine, m->fine, n_first * dim * sizeof *fine);
	free(m->fine);
	m->fine = fine;
	thread_for(m->n_thread, (n + BLOCK - 1) / BLOCK, measure_block, &f);
	double off = typical(&f);
	list_beyond(&f, LOOK * off);
	move_rows(&f, 0, m->n_fine);
	for (uint64_t round = 0; round < GATHER_ROUNDS && m->n_fine < n_most; round++) {
		list_beyond(&f, FAR * off);
		/* twice as many as such a number of rows has elsewhere */
		size_t n_more = (size_t)ceil(2. * (double)f.n_row * (double)n_first / (double)n);
		if (n_more > n_most - m->n_fine)
			n_more = n_most - m->n_fine;
		if (n_more == 0)
			break;
		f.n_sample = SAMPLE_PER_CELL * n_more < f.n_row ? SAMPLE_PER_CELL * n_more : f.n_row;
		f.sample = xaligned(f.n_sample * dim, sizeof *f.sample);
		thread_for(m->n_thread, (f.n_sample + BLOCK - 1) / BLOCK, sample_block, &f);
		pool_index_means(f.sample, f.n_sample, dim, m->fine + m->n_fine * dim, n_more, MEANS_ROUNDS,
		    rng_at(0, ((uint64_t)STREAM_FAR << 56) + round));
		free(f.sample);
		move_rows(&f, m->n_fine, m->n_fine + n_more);
		m->n_fine += n_more;
	}
	free(f.half);
	free(f.row);
	free(f.off);
}
