#include "decode/inside.h"

#include <stdlib.h>
#include <string.h>

/* -- columns -- */

static int
named_among(const char *name, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(name, names[i]) == 0)
			return 1;
	}
	return 0;
}

static int
no_column(const struct pool *p, const char *option, const char *name, size_t n, struct fault *f)
{
	struct buf names = { 0 };

	for (size_t i = 0; i < pool_n_column(p) && names.n < 600; i++)
		buf_printf(&names, "%s%s", i ? ", " : "", pool_column_name(p, i));
	fault(f, EX_USAGE, "%s: no column \"%s\" in the pool: the columns are %s", option, fault_quote(name, n),
	    names.n ? buf_string(&names) : "none");
	buf_free(&names);
	return -1;
}

static void
add_column(struct decode_columns *c, size_t column)
{
	c->text = xrealloc(c->text, c->n_text + 1, sizeof *c->text);
	c->text[c->n_text++] = column;
}

static int
add_named(struct decode_columns *c, const struct pool *p, const char *texts, struct fault *f)
{
	while (*texts) {
		size_t n = strcspn(texts, ",");
		char *name = xstrndup(texts, n);
		size_t column = pool_column(p, name);
		free(name);
		if (column == SIZE_MAX)
			return no_column(p, "--text-columns", texts, n, f);
		add_column(c, column);
		texts += n + (texts[n] == ',');
	}
	return c->n_text > 0 ? 0 : fault(f, EX_USAGE, "--text-columns: expected names of columns, got none");
}

/* Names and labels are no sentences. */
static int
is_label(const char *name)
{
	static const char *const labels[] = { "title", "name", "category", "section", "tags", "author", "authors", "url",
		"link", "department", "level", "prerequisites", "date", "time", "year", "language", "lang", "source", "type", "kind",
		"version", "score" };

	return named_among(name, labels, sizeof labels / sizeof *labels);
}

int
decode_columns(struct decode_columns *c, const struct pool *p, const char *title, const char *texts, struct fault *f)
{
	static const char *const usual[] = { "text", "description", "instructions" };

	*c = (struct decode_columns){ 0 };
	c->title = pool_column(p, title ? title : "title");
	if (c->title == SIZE_MAX && title)
		return no_column(p, "--title", title, strlen(title), f);
	if (c->title == SIZE_MAX)
		c->title = pool_column(p, "name");
	if (texts) {
		if (add_named(c, p, texts, f) == 0)
			return 0;
		decode_columns_free(c);
		return -1;
	}
	for (size_t i = 0; i < 3; i++) {
		if (pool_column(p, usual[i]) != SIZE_MAX)
			add_column(c, pool_column(p, usual[i]));
		if (i == 0 && c->n_text > 0)
			return 0;
	}
	for (int labels = 0; labels <= 1 && c->n_text == 0; labels++) {
		for (size_t i = 0; i < pool_n_column(p); i++) {
			if (labels || !is_label(pool_column_name(p, i)))
				add_column(c, i);
		}
	}
	return 0;
}

void
decode_columns_free(struct decode_columns *c)
{
	free(c->text);
	*c = (struct decode_columns){ 0 };
}

/* -- scratch -- */

struct decode *
decode_new(struct pool *p, const struct decode_columns *c)
{
	struct decode *d = xcalloc(1, sizeof *d);

	d->pool = p;
	d->columns = c;
	return d;
}

void
decode_free(struct decode *d)
{
	if (!d)
		return;
	text_sentences_free(&d->cut);
	text_words_free(&d->words);
	free(d->items);
	free(d->used);
	free(d->units);
	free(d->sentences);
	free(d->terms);
	free(d->slots);
	free(d->df);
	free(d->centre);
	free(d->rows);
	buf_free(&d->text);
	free(d);
}

/* Weights fall in the lists that attention writes, so that insertion costs one comparison each. */
void
decode_sort(struct decode *d, const struct decode_item *items, size_t n_item)
{
	d->items = xgrow(d->items, &d->n_item_cap, n_item + 1, sizeof *d->items);
	for (size_t i = 0; i < n_item; i++) {
		size_t at = i;
		for (; at > 0 && d->items[at - 1].weight < items[i].weight; at--)
			d->items[at] = d->items[at - 1];
		d->items[at] = items[i];
	}
}

struct span
decode_title(const struct decode *d, size_t row)
{
	struct span title = { NULL, 0 };

	if (d->columns->title != SIZE_MAX)
		title = pool_text(d->pool, row, d->columns->title);
	return title.n > 0 ? title : pool_id(d->pool, row);
}
