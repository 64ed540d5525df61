/* hare-eval titles reads: inputs, whose rows each is given, and of the pool those */
#include "eval_titles.h"

#include <stdlib.h>
#include <string.h>

enum { BATCH = 1024, PROFILE_MAX = 4096 };

static void
texts_add(struct texts *t, struct span s)
{
	buf_put(&t->bytes, s.at, s.n);
	t->end = xgrow(t->end, &t->n_cap, t->n + 1, sizeof *t->end);
	t->end[t->n++] = t->bytes.n;
}

struct span
texts_at(const struct texts *t, size_t i)
{
	size_t from = i ? t->end[i - 1] : 0;

	return (struct span){ t->bytes.at ? t->bytes.at + from : "", t->end[i] - from };
}

void
texts_free(struct texts *t)
{
	buf_free(&t->bytes);
	free(t->end);
}

/* -- reading -- */

int
titles_each_row(const struct opt_list *names,
    int (*row)(struct titles *t, struct record_in *in, size_t i, const int *column, struct fault *f), struct titles *t,
    const char *const *need, size_t n_need, const char *const *find, size_t n_find, struct fault *f)
{
	struct record_in *in = record_open((int)names->n, (char *const *)(uintptr_t)names->at, f);
	int column[8], status = in ? 0 : -1;
	ptrdiff_t n = 0;

	for (size_t k = 0; k < n_need && status == 0; k++)
		status = (column[k] = record_need_name(in, need[k], f)) < 0 ? -1 : 0;
	for (size_t k = 0; k < n_find && status == 0; k++) {
		column[n_need + k] = -1;
		for (size_t c = 0; c < record_n_column(in); c++)
			if (span_is(record_name(in, c), find[k]))
				column[n_need + k] = (int)c;
	}
	while (status == 0 && (n = record_batch(in, BATCH, f)) > 0)
		for (size_t i = 0; status == 0 && i < (size_t)n; i++)
			status = row(t, in, i, column, f);
	record_close(in);
	return status < 0 || n < 0 ? -1 : 0;
}

static int
input_row(struct titles *t, struct record_in *in, size_t i, const int *column, struct fault *f)
{
	struct span id = record_cell(in, i, column[0]);
	size_t n = t->id.n;

	if (names_add(&t->id, id) < n)
		return record_fault(in, i, column[0], f, "expected an id of its own, got \"%s\" again", fault_quote(id.at, id.n));
	texts_add(&t->input, record_cell(in, i, column[1]));
	if (t->score_name)
		texts_add(&t->target, record_cell(in, i, column[2]));
	int author = column[2 + (t->score_name != NULL)];
	t->has_author = author >= 0;
	t->author = xgrow(t->author, &t->n_author_cap, n + 1, sizeof *t->author);
	t->author[n] = (uint32_t)(author >= 0 ? names_add(&t->authors, record_cell(in, i, author)) : n);
	return 0;
}

static int
profile_row(struct titles *t, struct record_in *in, size_t i, const int *column, struct fault *f)
{
	struct span id = record_cell(in, i, column[1]);
	size_t sample = names_find(&t->id, record_cell(in, i, column[0])), n = t->item.n, item;

	if (sample == SIZE_MAX) {
		t->n_stray++;
		return 0;
	}
	if (id.n == 0)
		return record_fault(in, i, column[1], f, "expected an item, got nothing");
	if ((item = names_add(&t->item, id)) == n) {
		const char *where = record_where(in, i);
		texts_add(&t->where, (struct span){ where, strlen(where) });
	}
	t->link = xgrow(t->link, &t->n_link_cap, t->n_link + 1, sizeof *t->link);
	t->link[t->n_link][0] = (uint32_t)sample;
	t->link[t->n_link++][1] = (uint32_t)item;
	return 0;
}

static int
pool_row(struct titles *t, struct record_in *in, size_t i, const int *column, struct fault *f)
{
	size_t item = names_find(&t->item, record_cell(in, i, column[0]));
	struct span title = record_cell(in, i, column[1]), text = record_cell(in, i, column[2]);
	struct buf both = {0};

	(void)f;
	if (item == SIZE_MAX || t->found[item])
		return 0;
	texts_add(&t->title, title);
	buf_put(&both, title.at, title.n);
	buf_putc(&both, '\n');
	buf_put(&both, text.at, text.n);
	texts_add(&t->item_text, buf_span(&both));
	buf_free(&both);
	t->found[item] = (uint32_t)t->title.n;
	return 0;
}

int
titles_read(struct titles *t, struct fault *f)
{
	const char *in_need[3] = { "id", "input", t->score_name };

	if (titles_each_row(t->inputs_names, input_row, t, in_need, t->score_name ? 3 : 2, &t->author_name, 1, f) < 0)
		return -1;
	if (t->id.n == 0)
		return fault(f, EX_DATAERR, "%s: no inputs", t->inputs_names->at[0]);
	if (titles_each_row(t->profiles_names, profile_row, t, (const char *[]){ "sample_id", "item_id" }, 2, NULL, 0, f) < 0)
		return -1;
	t->found = xcalloc(t->item.n + 1, sizeof *t->found);
	if (titles_each_row(t->pool_names, pool_row, t, (const char *[]){ "id", "title", "text" }, 3, NULL, 0, f) < 0)
		return -1;
	for (size_t i = 0; i < t->item.n; i++)
		if (!t->found[i]) {
			struct span where = texts_at(&t->where, i), id = names_at(&t->item, i);
			return fault(f, EX_DATAERR, "%.*s: column item_id: expected an item of the pool, got \"%s\"", (int)where.n, where.at,
			    fault_quote(id.at, id.n));
		}
	t->from = xcalloc(t->id.n + 2, sizeof *t->from);
	t->list = xmalloc(t->n_link + 1, sizeof *t->list);
	for (size_t i = 0; i < t->n_link; i++)
		t->from[t->link[i][0] + 2]++;
	for (size_t s = 0; s < t->id.n; s++) {
		if (t->from[s + 2] > PROFILE_MAX)
			return fault(f, EX_DATAERR, "%s: expected at most %d rows for a sample, got %zu", t->profiles_names->at[0], PROFILE_MAX,
			    t->from[s + 2]);
		if (t->from[s + 2] > t->n_profile_most)
			t->n_profile_most = t->from[s + 2];
		t->from[s + 2] += t->from[s + 1];
	}
	for (size_t i = 0; i < t->n_link; i++)
		t->list[t->from[t->link[i][0] + 1]++] = t->link[i][1];
	return 0;
}
