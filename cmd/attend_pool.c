/* A pool of lib/pool as attention reads it. */
#include "attend_job.h"

_Static_assert((int)ATTEND_F32 == (int)POOL_F32 && (int)ATTEND_F16 == (int)POOL_F16 && (int)ATTEND_BF16 == (int)POOL_BF16 &&
    (int)ATTEND_I8 == (int)POOL_I8, "rows are called alike");
_Static_assert((int)ATTEND_TILE == (int)POOL_TILE, "shards end where tiles do");

static const float *
rows(void *arg, size_t from, size_t n, float *scratch, struct fault *f)
{
	return pool_rows(arg, from, n, scratch, f);
}

static size_t
cluster(void *arg, size_t row)
{
	return pool_cluster(arg, row);
}

static int
span(void *arg, size_t from, size_t n, struct attend_span *out, struct fault *f)
{
	struct pool_kept kept;

	if (pool_kept(arg, from, n, POOL_VECTORS, &kept, f) < 0)
		return -1;
	*out = (struct attend_span){ (enum attend_type)kept.store, kept.x, kept.scale, kept.cluster, kept.n };
	return 0;
}

static int
sketch(void *arg, size_t from, size_t n, struct attend_sketch *out, struct fault *f)
{
	struct pool_kept kept;

	if (pool_kept(arg, from, n, POOL_SKETCH, &kept, f) < 0)
		return -1;
	*out = (struct attend_sketch){ kept.sketch, kept.i_sketch, kept.cluster, kept.n, (enum attend_type)kept.store, kept.x, kept.scale };
	return 0;
}

static int
indexed(void *arg, size_t from, size_t n, struct attend_span *out, const uint32_t **row, struct fault *f)
{
	struct pool_kept kept;

	if (pool_index_kept(arg, from, n, &kept, row, f) < 0)
		return -1;
	*out = (struct attend_span){ (enum attend_type)kept.store, kept.x, kept.scale, NULL, kept.n };
	return 0;
}

struct attend_pool
attending_pool(struct pool *p, const double *mean)
{
	return (struct attend_pool){ .n_row = pool_n(p), .dim = pool_dim(p), .n_cluster = pool_n_cluster(p), .mean = mean, .rows = rows,
	    .cluster = cluster, .span = span,
	    .sketch = pool_has_sketch(p) ? sketch : NULL, .indexed = indexed, .arg = p };
}
