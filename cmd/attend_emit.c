/* What hare-attend appends to a record, and the draws. */
#include <stdlib.h>

#include "attend_job.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/thread.h"

/* A row draws by its own bytes, so its draws are the same in any order, batch and file. */
static void
choose(void *arg, size_t i, size_t worker)
{
	struct attending *a = arg;
	struct span raw = record_raw(a->in, a->row[i]);
	struct rng rng = rng_at(attend_wish.seed, hash64(raw.at, raw.n, 0));

	(void)worker;
	a->n_chosen[i] = attend_choose(a->attend, i, &rng, attend_wish.n_choose, a->chosen + i * attend_wish.n_choose,
	    a->propensity + i * attend_wish.n_choose);
}

static void
put_chosen(const struct attending *a, size_t i, struct record_row *cells)
{
	size_t n = a->n_chosen[i];
	struct span *id = xmalloc(n, sizeof *id);
	float *propensity = xmalloc(n, sizeof *propensity);

	for (size_t c = 0; c < n; c++) {
		id[c] = pool_id(a->pool, a->chosen[i * attend_wish.n_choose + c]);
		propensity[c] = (float)a->propensity[i * attend_wish.n_choose + c];
	}
	if (!attend_wish.as_list) {
		record_put_text(cells, id[0].at, id[0].n);
		record_put_float(cells, propensity[0]);
	} else {
		record_put_list(cells, id, n);
		record_put_floats(cells, propensity, n);
	}
	free(propensity);
	free(id);
}

/* The new cells of one query; on any thread. */
static void
put_result(void *arg, size_t i, size_t worker)
{
	struct attending *a = arg;
	const struct attend_result *r = &a->result[i];
	struct record_row *cells = &a->cells[i];
	struct span *id = xmalloc(r->n_item, sizeof *id);
	float *weight = xmalloc(r->n_item, sizeof *weight);

	(void)worker;
	for (size_t k = 0; k < r->n_item; k++) {
		id[k] = pool_id(a->pool, r->item[k].row);
		weight[k] = (float)r->item[k].weight;
	}
	record_row_begin(cells, a->out);
	if (!attend_wish.no_z)
		record_put_vector(cells, r->z, a->model->dim);
	record_put_list(cells, id, r->n_item);
	record_put_floats(cells, weight, r->n_item);
	record_put_float(cells, (float)r->entropy_nats);
	record_put_float(cells, (float)r->uncertainty);
	if (attend_wish.has_certificate) {
		record_put_float(cells, (float)r->certificate);
		record_put_float(cells, (float)r->read);
		if (attend_wish.has_confidence)
			record_put_float(cells, (float)r->confidence);
	}
	if (attend_wish.n_choose > 0)
		put_chosen(a, i, cells);
	free(weight);
	free(id);
}

static int
emit_explanation(struct attending *a, size_t i, struct fault *f)
{
	const struct attend_result *r = &a->result[i];
	struct record_row *cells = &a->cells[i];

	for (size_t k = 0; k < r->n_item; k++) {
		const struct attend_item *item = &r->item[k];
		struct span id = pool_id(a->pool, item->row);
		record_row_begin(cells, a->out);
		record_put_integer(cells, (int64_t)k + 1);
		record_put_text(cells, id.at, id.n);
		record_put_float(cells, (float)item->weight);
		record_put_number(cells, item->content);
		record_put_number(cells, item->personal);
		record_put_number(cells, item->bonus);
		record_put_number(cells, r->temperature);
		record_put_number(cells, item->logit);
		if (attend_wish.text_name) {
			struct span text = a->text_column == SIZE_MAX ? id :
			    pool_text(a->pool, item->row, a->text_column);
			record_put_text(cells, text.at, text.n);
		}
		if (record_emit(a->out, a->in, a->row[i], cells, f) < 0)
			return -1;
	}
	return 0;
}

/* Ids are about to be shown: they must be those that were written. */
static int
check_ids(struct attending *a, struct fault *f)
{
	for (size_t i = 0; i < a->n_query; i++) {
		for (size_t k = 0; k < a->result[i].n_item; k++)
			if (pool_check_row(a->pool, a->result[i].item[k].row, f) < 0)
				return -1;
		for (size_t c = 0; c < a->n_chosen[i]; c++)
			if (pool_check_row(a->pool, a->chosen[i * attend_wish.n_choose + c], f) < 0)
				return -1;
	}
	return 0;
}

int
attending_emit(struct attending *a, struct fault *f)
{
	if (attend_wish.n_choose > 0)
		thread_for(record_options.n_thread, a->n_query, choose, a);
	if (check_ids(a, f) < 0)
		return -1;
	if (!attend_wish.explain)
		thread_for(record_options.n_thread, a->n_query, put_result, a);
	for (size_t i = 0; i < a->n_query; i++) {
		if (attend_wish.explain ? emit_explanation(a, i, f) < 0 : record_emit(a->out, a->in, a->row[i], &a->cells[i], f) < 0)
			return -1;
		if (a->npy && npy_put(a->npy, a->result[i].z, 1, f) < 0)
			return -1;
	}
	return 0;
}
