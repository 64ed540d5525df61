/* hare-eval titles measures: what was written beside what should have been, and beside what was read */
#include "eval_titles.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eval/rouge.h"
#include "text/stop.h"

enum { GRAM = 5, CONTENT_LEAST = 3 };

/* Content words of a text in neither its input nor the items of its prompt. */
static void
count_faith(const struct titles *t, size_t s, const struct rouge_words *words, size_t *n_content, size_t *n_outside)
{
	struct rouge_words part = {0};
	struct names seen = {0};

	for (size_t i = 0; i <= t->decoder.limits.n_item; i++) {
		uint32_t at = i ? t->seen[s * (t->decoder.limits.n_item + 1) + i - 1] : 0;
		if (i && !at)
			break;
		rouge_words(&part, i ? texts_at(&t->title, at - 1) : texts_at(&t->input, s));
		for (size_t k = 0; k < part.n; k++)
			names_add(&seen, part.at[k]);
	}
	for (size_t k = 0; k < words->n; k++) {
		if (words->at[k].n < CONTENT_LEAST || stop_is_word(words->at[k]))
			continue;
		++*n_content;
		*n_outside += names_find(&seen, words->at[k]) == SIZE_MAX;
	}
	names_free(&seen);
	rouge_words_free(&part);
}

/* Runs of n words, one blank between. */
static struct span
gram(struct buf *b, const struct rouge_words *w, size_t at, size_t n)
{
	buf_clear(b);
	for (size_t i = 0; i < n; i++) {
		if (i)
			buf_putc(b, ' ');
		buf_put(b, w->at[at + i].at, w->at[at + i].n);
	}
	return buf_span(b);
}

struct grams {
	struct names all;               /* different runs of GRAM words of what was written */
	uint32_t (*run)[2];             /* [n_run] sample, number of the run */
	size_t n_run, n_run_cap;
	uint32_t *n_row, *last_row;     /* [all.n] rows of the pool that hold it, and the last of them */
	uint32_t row;
	struct names inputs;            /* whole inputs, which may be texts of the pool */
	struct rouge_words *own;        /* [inputs.n] words of the row whose text that is */
};

static struct grams *grams_of_pool;     /* for gram_row(): one at a time */

static int
gram_row(struct titles *t, struct record_in *in, size_t i, const int *column, struct fault *f)
{
	struct grams *g = grams_of_pool;
	struct span title = record_cell(in, i, column[0]), text = record_cell(in, i, column[1]);
	struct rouge_words words = {0};
	struct buf b = {0}, both = {0};
	size_t own = names_find(&g->inputs, text);

	(void)t, (void)f;
	g->row++;
	/* what would be a run from the end of the title into the text is none */
	for (size_t c = 0; c < 2; c++) {
		rouge_words(&words, c ? text : title);
		for (size_t k = 0; k + GRAM <= words.n; k++) {
			size_t at = names_find(&g->all, gram(&b, &words, k, GRAM));
			if (at != SIZE_MAX && g->last_row[at] != g->row) {
				g->last_row[at] = g->row;
				g->n_row[at]++;
			}
		}
	}
	if (own != SIZE_MAX && g->own[own].n == 0) {
		buf_put(&both, title.at, title.n);
		buf_puts(&both, " | ");
		buf_put(&both, text.at, text.n);
		rouge_words(&g->own[own], buf_span(&both));
	}
	buf_free(&both);
	buf_free(&b);
	rouge_words_free(&words);
	return 0;
}

static int
holds(const struct rouge_words *w, struct span run)
{
	struct buf b = {0};
	int found = 0;

	for (size_t k = 0; k + GRAM <= w->n && !found; k++) {
		struct span s = gram(&b, w, k, GRAM);
		found = s.n == run.n && memcmp(s.at, run.at, s.n) == 0;
	}
	buf_free(&b);
	return found;
}

/* Of all runs, those that the pool holds; and those that it holds elsewhere than in the row that is the sample's own. */
static int
share_copied(struct titles *t, struct grams *g, double *share, double *elsewhere, struct fault *f)
{
	size_t n_found = 0, n_elsewhere = 0, own;
	int status = 0;

	g->n_row = xcalloc(g->all.n + 1, sizeof *g->n_row);
	g->last_row = xcalloc(g->all.n + 1, sizeof *g->last_row);
	for (size_t s = 0; s < t->id.n; s++)
		names_add(&g->inputs, texts_at(&t->input, s));
	g->own = xcalloc(g->inputs.n, sizeof *g->own);
	grams_of_pool = g;
	if (g->all.n > 0)
		status = titles_each_row(t->pool_names, gram_row, t, (const char *[]){ "title", "text" }, 2, NULL, 0, f);
	for (size_t i = 0; i < g->n_run && status == 0; i++) {
		uint32_t at = g->run[i][1], n = g->n_row[at];
		own = names_find(&g->inputs, texts_at(&t->input, g->run[i][0]));
		n_found += n > 0;
		n_elsewhere += n > 1 || (n == 1 && !holds(&g->own[own], names_at(&g->all, at)));
	}
	*share = g->n_run ? (double)n_found / (double)g->n_run : 0;
	*elsewhere = g->n_run ? (double)n_elsewhere / (double)g->n_run : 0;
	for (size_t i = 0; i < g->inputs.n; i++)
		rouge_words_free(&g->own[i]);
	names_free(&g->inputs);
	names_free(&g->all);
	free(g->own);
	free(g->run);
	free(g->n_row);
	free(g->last_row);
	return status;
}

int
titles_score(struct titles *t, struct titles_scores *out, struct fault *f)
{
	struct rouge_words words = {0}, target = {0};
	struct names pairs = {0};
	struct grams g = {0};
	struct buf b = {0};
	size_t n_content = 0, n_outside = 0, n_pair = 0, n_word = 0;

	out->one = xmalloc(t->id.n, sizeof *out->one);
	out->l = xmalloc(t->id.n, sizeof *out->l);
	for (size_t s = 0; s < t->id.n; s++) {
		rouge_words(&words, buf_span(&t->written[s]));
		rouge_words(&target, texts_at(&t->target, s));
		struct rouge r = rouge_of(&words, &target);
		out->one[s] = r.one;
		out->l[s] = r.l;
		count_faith(t, s, &words, &n_content, &n_outside);
		n_word += words.n;
		for (size_t k = 0; k + 2 <= words.n; k++, n_pair++)
			names_add(&pairs, gram(&b, &words, k, 2));
		for (size_t k = 0; k + GRAM <= words.n; k++) {
			g.run = xgrow(g.run, &g.n_run_cap, g.n_run + 1, sizeof *g.run);
			g.run[g.n_run][0] = (uint32_t)s;
			g.run[g.n_run++][1] = (uint32_t)names_add(&g.all, gram(&b, &words, k, GRAM));
		}
	}
	out->unfaithful = n_content ? (double)n_outside / (double)n_content : 0;
	out->distinct = n_pair ? (double)pairs.n / (double)n_pair : 0;
	out->words = (double)n_word / (double)t->id.n;
	int status = share_copied(t, &g, &out->copied, &out->elsewhere, f);
	names_free(&pairs);
	buf_free(&b);
	rouge_words_free(&words);
	rouge_words_free(&target);
	return status;
}

void
titles_scores_free(struct titles_scores *s)
{
	free(s->one);
	free(s->l);
	*s = (struct titles_scores){0};
}

/* -- the table -- */

static void
put_figure(const char *profile, const char *measure, struct rouge_interval i)
{
	printf("%s,%s,%.4f", profile, measure, i.mean);
	if (isfinite(i.low))
		printf(",%.4f,%.4f\n", i.low, i.high);
	else
		printf(",,\n");
}

static void
put_plain(const char *profile, const char *measure, double value)
{
	put_figure(profile, measure, (struct rouge_interval){ value, NAN, NAN });
}

static size_t
n_group(const struct titles *t)
{
	return t->has_author ? t->authors.n : t->id.n;
}

void
titles_report(const struct titles *t, const char *profile, const struct titles_scores *s)
{
	put_figure(profile, "rouge-1", rouge_interval(s->one, t->author, t->id.n, n_group(t), SIZE_MAX, t->seed));
	put_figure(profile, "rouge-l", rouge_interval(s->l, t->author, t->id.n, n_group(t), SIZE_MAX, t->seed));
	put_plain(profile, "unfaithful", s->unfaithful);
	put_plain(profile, "distinct-2", s->distinct);
	put_plain(profile, "copied-5", s->copied);
	put_plain(profile, "copied-5 elsewhere", s->elsewhere);
	put_plain(profile, "words", s->words);
}

void
titles_compare(const struct titles *t, const char *other, const struct titles_scores *own, const struct titles_scores *s)
{
	double *d = xmalloc(t->id.n, sizeof *d);
	size_t *n_of = xcalloc(n_group(t), sizeof *n_of), most = 0;
	char name[40];

	for (size_t i = 0; i < t->id.n; i++)
		if (++n_of[t->author[i]] > n_of[most])
			most = t->author[i];
	for (int l = 0; l < 2; l++) {
		for (size_t i = 0; i < t->id.n; i++)
			d[i] = l ? own->l[i] - s->l[i] : own->one[i] - s->one[i];
		snprintf(name, sizeof name, "own-%s", other);
		put_figure(name, l ? "rouge-l" : "rouge-1", rouge_interval(d, t->author, t->id.n, n_group(t), SIZE_MAX, t->seed));
		if (!t->has_author || t->authors.n < 2)
			continue;
		snprintf(name, sizeof name, "own-%s but largest", other);
		put_figure(name, l ? "rouge-l" : "rouge-1", rouge_interval(d, t->author, t->id.n, n_group(t), most, t->seed));
	}
	free(n_of);
	free(d);
}
