#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "belief/store.h"
#include "mat/mat.h"

enum { MAGIC = 0x4C434248, VERSION = 1, ELEMENT_F64 = 8 };     /* "HBCL" */

struct head {
	uint32_t magic;
	uint16_t version, element;
	uint32_t dim, zero;
	uint64_t n;
};
_Static_assert(sizeof(struct head) == 24, "no padding");

struct belief_cluster {
	size_t dim;
	uint64_t n;
	double *sum;            /* packed lower */
	double *l;              /* [dim][dim], I + sum = L L'; NULL until solved */
	int solved;
};

struct belief_cluster *
belief_cluster_new(size_t dim)
{
	struct belief_cluster *c = xcalloc(1, sizeof *c);

	assert(dim > 0 && dim < 1u << 20);
	c->dim = dim;
	c->sum = xcalloc(packed_size(dim), sizeof *c->sum);
	return c;
}

void
belief_cluster_free(struct belief_cluster *c)
{
	if (!c)
		return;
	free(c->sum);
	free(c->l);
	free(c);
}

void
belief_cluster_clear(struct belief_cluster *c)
{
	memset(c->sum, 0, packed_size(c->dim) * sizeof *c->sum);
	c->n = 0;
	c->solved = 0;
}

uint64_t
belief_cluster_n(const struct belief_cluster *c)
{
	return c->n;
}

void
belief_cluster_learn(struct belief_cluster *c, const float *q)
{
	double *row = c->sum;

	for (size_t i = 0; i < c->dim; i++) {
		double qi = q[i];
		for (size_t j = 0; j <= i; j++)
			row[j] += qi * q[j];
		row += i + 1;
	}
	c->n++;
	c->solved = 0;
}

void
belief_cluster_merge(struct belief_cluster *c, const struct belief_cluster *other)
{
	assert(c->dim == other->dim);
	for (size_t i = 0; i < packed_size(c->dim); i++)
		c->sum[i] += other->sum[i];
	c->n += other->n;
	c->solved = 0;
}

void
belief_cluster_encode(const struct belief_cluster *c, struct buf *out)
{
	struct head h = { MAGIC, VERSION, ELEMENT_F64, (uint32_t)c->dim, 0, c->n };

	buf_put(out, &h, sizeof h);
	buf_put(out, c->sum, packed_size(c->dim) * sizeof *c->sum);
}

void
belief_cluster_export(const struct belief_cluster *c, struct buf *numbers)
{
	buf_put(numbers, c->sum, packed_size(c->dim) * sizeof *c->sum);
}

int
belief_cluster_import(struct belief_cluster *c, uint64_t n, const double *number, size_t n_number, struct fault *f)
{
	belief_cluster_clear(c);
	if (n_number != packed_size(c->dim))
		return fault(f, EX_DATAERR, "expected %zu moments, got %zu numbers", packed_size(c->dim), n_number);
	for (size_t i = 0; i < n_number; i++)
		if (!isfinite(number[i]))
			return fault(f, EX_DATAERR, "moment %zu is not finite", i + 1);
	memcpy(c->sum, number, n_number * sizeof *number);
	c->n = n;
	return 0;
}

int
belief_cluster_decode(struct belief_cluster *c, const void *at, size_t n, struct fault *f)
{
	struct head h;

	belief_cluster_clear(c);
	if (n < sizeof h)
		return fault(f, EX_DATAERR, "cluster of %zu bytes is too short", n);
	memcpy(&h, at, sizeof h);
	if (h.magic != MAGIC || h.zero != 0)
		return fault(f, EX_DATAERR, "these bytes are no cluster");
	if (h.version != VERSION || h.element != ELEMENT_F64)
		return fault(f, EX_DATAERR, "cluster of format %u was written by a newer version of hare", h.version);
	if (h.dim != c->dim)
		return fault(f, EX_DATAERR, "cluster of dimension %u, expected %zu", h.dim, c->dim);
	if (n != sizeof h + packed_size(c->dim) * sizeof *c->sum)
		return fault(f, EX_DATAERR, "cluster of dimension %u has %zu bytes", h.dim, n);
	/* borrowed bytes need not be aligned */
	memcpy(c->sum, (const char *)at + sizeof h, n - sizeof h);
	for (size_t i = 0; i < packed_size(c->dim); i++)
		if (!isfinite(c->sum[i])) {
			belief_cluster_clear(c);
			return fault(f, EX_DATAERR, "moment %zu is not finite", i + 1);
		}
	c->n = h.n;
	return 0;
}

int
belief_cluster_solve(struct belief_cluster *c, struct fault *f)
{
	const double *row = c->sum;

	if (!c->l)
		c->l = xmalloc(c->dim * c->dim, sizeof *c->l);
	for (size_t i = 0; i < c->dim; i++) {
		for (size_t j = 0; j <= i; j++)
			c->l[i * c->dim + j] = row[j];
		c->l[i * c->dim + i] += 1;
		row += i + 1;
	}
	c->solved = mat_cholesky64(c->l, c->dim) == 0;
	return c->solved ? 0 : fault(f, EX_DATAERR, "cluster whose covariance is not positive definite");
}

double
belief_cluster_bonus(const struct belief_cluster *c, const float *q, double *scratch)
{
	assert(c->solved);
	for (size_t i = 0; i < c->dim; i++)
		scratch[i] = q[i];
	mat_solve64(c->l, c->dim, scratch, 0);
	return sqrt(mat_ddot64(scratch, scratch, c->dim));
}
