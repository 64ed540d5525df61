#include "eval/plot.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/num.h"
#include "eval/system.h"

static int
write_file(const struct eval_figure *figure, const char *ending, const struct buf *text, struct fault *f)
{
	struct buf path = {0};

	buf_printf(&path, "%s/%s.%s", figure->folder, figure->name, ending);
	struct file_out *out = file_out_open(buf_string(&path), 0666, f);
	int status = out ? file_out_write(out, text->at, text->n, f) : -1;
	if (status < 0)
		file_out_abort(out);
	else
		status = file_out_commit(out, f);
	buf_free(&path);
	return status;
}

/* In single quotes, as gnuplot reads them; marks of its enhanced text are taken out of their meaning. */
static void
put_quoted(struct buf *text, const char *s, size_t n)
{
	buf_putc(text, '\'');
	for (size_t i = 0; i < n; i++) {
		if (s[i] == '\'')
			buf_putc(text, '\'');
		buf_putc(text, (unsigned char)s[i] < ' ' ? ' ' : s[i]);
	}
	buf_putc(text, '\'');
}

static void
put_titles(struct buf *text, const struct eval_figure *figure)
{
	const char *what[] = { "title", "xlabel", "ylabel" }, *is[] = { figure->title, figure->x_name, figure->y_name };

	for (size_t i = 0; i < 3; i++) {
		buf_printf(text, "set %s ", what[i]);
		put_quoted(text, is[i], strlen(is[i]));
		buf_puts(text, " noenhanced\n");
	}
}

/* What is drawn once as SVG and once as PNG. */
static void
put_terminals(struct buf *text, const struct eval_figure *figure, const char *plot)
{
	buf_printf(text, "set terminal svg size 900,560 background 'white'\nset output '%s.svg'\n%s\n", figure->name, plot);
	buf_printf(text, "set terminal pngcairo size 900,560\nset output '%s.png'\nreplot\n", figure->name);
}

static int
is_ablation(const char *name)
{
	for (size_t i = 0; eval_systems[i]; i++)
		if (strcmp(eval_systems[i]->name, name) == 0)
			return eval_systems[i]->is_ablation;
	return 0;
}

static void
put_value(struct buf *text, double value)
{
	char number[NUM_F64_MAX];

	buf_put(text, number, num_put_f64(number, value));
}

int
eval_plot_lines(const struct eval_figure *figure, const struct eval_table *t, const char *table, const char *measure,
    int with_ablations, struct fault *f)
{
	struct buf data = {0}, script = {0}, names = {0};
	const char *last = NULL;
	int n_line = 0;

	for (size_t i = 0; i < t->n_line; i++) {
		const struct eval_line *l = &t->line[i];
		double x, error = isfinite(l->error) ? l->error : 0;
		if (strcmp(l->table, table) != 0 || (measure && strcmp(l->measure, measure) != 0) || !isfinite(l->value) ||
		    num_read_f64(l->block, strlen(l->block), &x) < 0 || (!with_ablations && is_ablation(l->system)))
			continue;
		if (l->system != last) {        /* texts are kept once */
			buf_printf(&data, "%s# %s\n", n_line ? "\n\n" : "", l->system);
			buf_printf(&names, "%s%s", n_line ? " " : "", l->system);
			n_line++;
			last = l->system;
		}
		put_value(&data, x);
		buf_putc(&data, ' ');
		put_value(&data, l->value);
		buf_putc(&data, ' ');
		put_value(&data, error);
		buf_putc(&data, '\n');
	}
	int status = n_line;
	if (n_line > 0) {
		struct buf plot = {0};
		put_titles(&script, figure);
		buf_printf(&script, "names = '%s'\nset key outside noenhanced\nset grid\nset style fill transparent solid .15 noborder\n",
		    buf_string(&names));
		buf_printf(&plot, "plot for [i = 0:%d] '%s.dat' index i using 1:($2 - $3):($2 + $3) with filledcurves linecolor i + 1 "
		    "notitle, for [i = 0:%d] '%s.dat' index i using 1:2 with linespoints linewidth 2 pointsize .4 linecolor i + 1 "
		    "title word(names, i + 1)", n_line - 1, figure->name, n_line - 1, figure->name);
		put_terminals(&script, figure, buf_string(&plot));
		buf_free(&plot);
		if (write_file(figure, "dat", &data, f) < 0 || write_file(figure, "gp", &script, f) < 0)
			status = -1;
	}
	buf_free(&names);
	buf_free(&script);
	buf_free(&data);
	return status;
}

/* -- heat -- */

/* The candidates with the most attention, by cluster and number. */
static size_t
heat_items(const struct eval_run *r, const struct eval_space *space, size_t n_user, uint32_t *item)
{
	float *sum = xcalloc(space->n, sizeof *sum);
	size_t n = space->n < HEAT_ITEMS ? space->n : HEAT_ITEMS;

	for (size_t u = 0; u < n_user; u++)
		for (size_t i = 0; i < space->n; i++)
			sum[i] += r->heat[u * space->n + i];
	eval_top(sum, space->n, n, item);
	for (size_t i = 1; i < n; i++)          /* few: by insertion */
		for (size_t j = i; j > 0; j--) {
			uint32_t a = item[j - 1], b = item[j];
			if (space->cluster[a] < space->cluster[b] || (space->cluster[a] == space->cluster[b] && a < b))
				break;
			item[j - 1] = b;
			item[j] = a;
		}
	free(sum);
	return n;
}

int
eval_plot_heat(const struct eval_figure *figure, const struct eval_run *r, const struct eval_space *space,
    struct eval_labels labels, struct fault *f)
{
	struct buf data = {0}, script = {0}, plot = {0};
	uint32_t item[HEAT_ITEMS];
	size_t n_user = r->n_probe_user < HEAT_USERS ? r->n_probe_user : HEAT_USERS;

	if (!r->heat || n_user == 0)
		return 0;
	size_t n = heat_items(r, space, n_user, item);
	for (size_t u = 0; u < n_user; u++)
		for (size_t i = 0; i < n; i++) {
			put_value(&data, (double)r->heat[u * space->n + item[i]]);
			buf_putc(&data, i + 1 < n ? ' ' : '\n');
		}
	put_titles(&script, figure);
	buf_puts(&script, "set palette defined (0 'white', .2 'light-blue', 1 'dark-blue')\nset cblabel 'attention'\n"
	    "set xtics rotate by 90 right noenhanced font ',7' (");
	for (size_t i = 0; i < n; i++) {
		struct span label = labels.label(labels.arg, item[i]);
		put_quoted(&script, label.at, label.n < 24 ? label.n : 24);
		buf_printf(&script, " %zu%s", i, i + 1 < n ? ", " : ")\nunset key\n");
	}
	buf_printf(&script, "set xrange [-.5:%zu.5]\nset yrange [-.5:%zu.5]\n", n - 1, n_user - 1);
	buf_printf(&plot, "plot '%s.dat' matrix with image", figure->name);
	put_terminals(&script, figure, buf_string(&plot));
	int status = write_file(figure, "dat", &data, f) < 0 || write_file(figure, "gp", &script, f) < 0 ? -1 : 1;
	buf_free(&plot);
	buf_free(&script);
	buf_free(&data);
	return status;
}
