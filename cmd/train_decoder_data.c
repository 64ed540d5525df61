/* hare-train decoder reads: pairs of input and output, and which of them tell how well */
#include "train_decoder.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/thread.h"
#include "decode/decode.h"
#include "pool/pool.h"

enum { BATCH = 1024, HELD_MOST = 384 };

static int
read_rows(struct teaching *t, int n_file, char **file, struct fault *f)
{
	int in_column, out_column, user = -1;
	ptrdiff_t n;

	if (!(t->in = record_open(n_file, file, f)) || (in_column = record_need_name(t->in, t->set->input_name, f)) < 0 ||
	    (out_column = record_need_name(t->in, t->set->output_name, f)) < 0)
		return -1;
	if (t->set->user_name && (user = record_need_name(t->in, t->set->user_name, f)) < 0)
		return -1;
	if (!t->set->user_name)
		user = record_find(t->in, "user");
	buf_printf(&t->columns, "%s,%s%s%s", t->set->input_name, t->set->output_name, user >= 0 ? "," : "",
	    user < 0 ? "" : t->set->user_name ? t->set->user_name : record_column_name("user"));
	while ((n = record_batch(t->in, BATCH, f)) > 0) {
		for (size_t i = 0; i < (size_t)n; i++) {
			struct span text = record_cell(t->in, i, out_column);
			struct span who = user < 0 ? (struct span){0} : record_cell(t->in, i, user);
			if (text.n == 0 || (user >= 0 && who.n == 0)) {
				record_fault(t->in, i, text.n == 0 ? out_column : user, f, "expected %s, got nothing",
				    text.n == 0 ? "a text to learn" : "a user");
				if (record_bad(t->in, f) < 0)
					return -1;
				continue;
			}
			pairs_add(t->pairs, record_cell(t->in, i, in_column), text, who);
		}
	}
	return n < 0 ? -1 : pairs_end(t->pairs, t->embed, NULL, f);
}

static int
read_pool_rows(struct teaching *t, struct pool *pool, const struct decode_columns *c, size_t user, struct fault *f)
{
	size_t n = pool_n(pool), dim = pool_dim(pool), n_kept = 0;
	float *item = xaligned(n * dim + 1, sizeof *item), *scratch = xmalloc(dim, sizeof *scratch);
	struct buf text = {0};
	int status = 0;

	for (size_t i = 0; i < n && status == 0; i++) {
		const float *x = pool_rows(pool, i, 1, scratch, f);
		if (!x || pool_check_row(pool, i, f) < 0) {
			status = -1;
			break;
		}
		struct span title = c->title == SIZE_MAX ? pool_id(pool, i) : pool_text(pool, i, c->title);
		struct span who = user == SIZE_MAX ? (struct span){0} : pool_text(pool, i, user);
		buf_clear(&text);
		for (size_t k = 0; k < c->n_text; k++) {
			struct span part = pool_text(pool, i, c->text[k]);
			if (k && part.n)
				buf_putc(&text, '\n');
			buf_put(&text, part.at, part.n);
		}
		if (title.n == 0 || text.n == 0 || (user != SIZE_MAX && who.n == 0)) {
			t->n_empty++;
			continue;
		}
		memcpy(item + n_kept++ * dim, x, dim * sizeof *x);
		pairs_add(t->pairs, buf_span(&text), title, who);
	}
	if (status == 0)
		status = pairs_end(t->pairs, t->embed, item, f);
	buf_free(&text);
	free(scratch);
	free(item);
	return status;
}

static int
read_pool(struct teaching *t, struct fault *f)
{
	struct pool *pool = pool_open(t->set->pools.at, t->set->pools.n, t->model->space, t->set->model_path, f);
	struct decode_columns c = {0};
	size_t user = SIZE_MAX;
	int status = !pool || decode_columns(&c, pool, t->set->title_name, t->set->text_names, f) < 0 ? -1 : 0;

	if (status == 0 && t->set->user_name && (user = pool_column(pool, t->set->user_name)) == SIZE_MAX)
		status = fault(f, EX_USAGE, "--user-column: no column \"%s\" in the pool", t->set->user_name);
	if (status == 0) {
		for (size_t k = 0; k < c.n_text; k++)
			buf_printf(&t->columns, "%s%s", k ? "+" : "", pool_column_name(pool, c.text[k]));
		buf_printf(&t->columns, ",%s%s%s", c.title == SIZE_MAX ? "id" : pool_column_name(pool, c.title), t->set->user_name ? "," : "",
		    t->set->user_name ? t->set->user_name : "");
		status = read_pool_rows(t, pool, &c, user, f);
	}
	decode_columns_free(&c);
	pool_close(pool);
	return status;
}

int
decoder_read_data(struct teaching *t, int n_file, char **file, struct fault *f)
{
	struct pairs_options o;

	pairs_defaults(&o);
	o.n_profile = t->set->n_profile;
	o.alone = t->set->alone;
	o.seed = t->set->seed;
	o.n_thread = record_options.n_thread = record_options.n_thread ? record_options.n_thread : thread_count();
	t->pairs = pairs_new(t->model, &o);
	return n_file == 0 && t->set->pools.n > 0 ? read_pool(t, f) : read_rows(t, n_file, file, f);
}

/* -- what is held out -- */

int
decoder_hold_out(struct teaching *t, struct fault *f)
{
	size_t n = pairs_n(t->pairs), n_all, stride;
	int by_row = 0;

	t->held = xcalloc(n, 1);
	t->use = xmalloc(n, 1);
	n_all = t->set->held_share > 0 ? pairs_hold_out(t->pairs, t->set->held_share, t->held, &by_row) : 0;
	for (size_t i = 0; i < n; i++)
		t->use[i] = !t->held[i];
	t->best_loss = t->last_loss = NAN;
	if (by_row)
		pairs_use(t->pairs, t->use);
	if (n_all == 0)
		return 0;
	size_t *row = xmalloc(n_all, sizeof *row);
	uint64_t *stream = xmalloc(n_all, sizeof *stream);
	stride = (n_all + HELD_MOST - 1) / HELD_MOST;
	for (size_t i = 0, k = 0; i < n; i++)
		if (t->held[i] && k++ % stride == 0) {
			row[t->n_held] = i;
			stream[t->n_held++] = UINT64_MAX - i;
		}
	t->held_made = xcalloc(t->n_held, sizeof *t->held_made);
	t->held_example = xcalloc(t->n_held, sizeof *t->held_example);
	int status = pairs_examples(t->pairs, t->lm, &t->limits, row, stream, t->n_held, 1, t->held_made, f);
	for (size_t i = 0; i < t->n_held; i++)
		t->held_example[i] = t->held_made[i].example;
	free(row);
	free(stream);
	return status;
}
