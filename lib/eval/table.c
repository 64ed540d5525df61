#include "eval/table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static const char *const columns[] = { "table", "system", "against", "measure", "block", "value", "error", "n" };

int
eval_table_open(struct eval_table *t, struct fault *f)
{
	*t = (struct eval_table){0};
	t->out = record_out_open(NULL, NULL, columns, sizeof columns / sizeof *columns, f);
	return t->out ? 0 : -1;
}

static void
put_number(struct record_row *row, double value)
{
	if (isfinite(value))
		record_put_number(row, nearbyint(value * 1e6) / 1e6 + 0.0);
	else
		record_put_text(row, "", 0);
}

static const char *
keep_text(struct eval_table *t, const char *text)
{
	if (!text)
		text = "";
	for (size_t i = t->n_text; i-- > 0; )
		if (strcmp(t->text[i], text) == 0)
			return t->text[i];
	t->text = xgrow(t->text, &t->n_text_max, t->n_text + 1, sizeof *t->text);
	return t->text[t->n_text++] = xstrdup(text);
}

int
eval_table_put(struct eval_table *t, struct eval_line line, struct fault *f)
{
	const char **text[] = { &line.table, &line.system, &line.against, &line.measure, &line.block };

	t->line = xgrow(t->line, &t->n_line_max, t->n_line + 1, sizeof *t->line);
	for (size_t i = 0; i < sizeof text / sizeof *text; i++)
		*text[i] = keep_text(t, *text[i]);
	t->line[t->n_line++] = line;
	if (!t->out)
		return 0;
	record_row_begin(&t->row, t->out);
	for (size_t i = 0; i < sizeof text / sizeof *text; i++)
		record_put_text(&t->row, *text[i], strlen(*text[i]));
	put_number(&t->row, line.value);
	put_number(&t->row, line.error);
	if (line.n > 0)
		record_put_integer(&t->row, (int64_t)line.n);
	else
		record_put_text(&t->row, "", 0);
	return record_emit(t->out, NULL, 0, &t->row, f);
}

void
eval_table_free(struct eval_table *t)
{
	record_row_free(&t->row);
	for (size_t i = 0; i < t->n_text; i++)
		free(t->text[i]);
	free(t->text);
	free(t->line);
	*t = (struct eval_table){0};
}

size_t
eval_mean(const double *value, size_t n, double *mean, double *error)
{
	double sum = 0, sum2 = 0;
	size_t m = 0;

	for (size_t i = 0; i < n; i++)
		if (!isnan(value[i])) {
			sum += value[i];
			m++;
		}
	*mean = m ? sum / (double)m : NAN;
	for (size_t i = 0; i < n; i++)
		if (!isnan(value[i]))
			sum2 += (value[i] - *mean) * (value[i] - *mean);
	*error = m > 1 ? sqrt(sum2 / (double)(m - 1) / (double)m) : NAN;
	return m;
}
