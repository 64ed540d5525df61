#include "base/opt_text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/num.h"

enum { HELP_COLUMN = 26, N_COLUMN = 100 };

static void
put_usage_lines(FILE *out, const struct opt_program *top, const struct opt_program *p, int *is_first)
{
	const char *line = p->usage ? p->usage : "";

	do {
		size_t n = strcspn(line, "\n");
		fprintf(out, "%s%s", *is_first ? "usage: " : "       ", top->name);
		if (p != top)
			fprintf(out, " %s", p->name);
		if (n > 0)
			fprintf(out, " %.*s", (int)n, line);
		fputc('\n', out);
		*is_first = 0;
		line += n;
	} while (*line++ == '\n' && *line);
}

void
opt_put_usage(FILE *out, const struct opt_program *top, const struct opt_program *p)
{
	int is_first = 1;

	if (p != top || p->run)
		put_usage_lines(out, top, p, &is_first);
	if (p == top)
		for (const struct opt_program *const *v = p->verbs; v && *v; v++)
			put_usage_lines(out, top, *v, &is_first);
	fprintf(out, "       %s%s%s --help\n", top->name, p == top ? "" : " ", p == top ? "" : p->name);
}

/* The value an option has unless it is given, or nothing if that is best not shown. */
static void
put_default(struct buf *b, const struct opt *o)
{
	char text[NUM_F64_MAX];

	switch (o->kind) {
	case OPT_STRING:
	case OPT_FILE:
	case OPT_CHOICE: {
		const char *value = *(const char **)o->into;
		if (value && *value)
			buf_puts(b, value);
		break;
	}
	case OPT_SIZE:
		/* 0 is how a program says "all" or "as many as it finds best" */
		if (*(size_t *)o->into > 0)
			buf_printf(b, "%zu", *(size_t *)o->into);
		break;
	case OPT_U64:
		buf_printf(b, "%llu", (unsigned long long)*(uint64_t *)o->into);
		break;
	case OPT_REAL:
		if (isfinite(*(double *)o->into))
			buf_put(b, text, num_put_f64(text, *(double *)o->into));
		break;
	default:
		break;
	}
}

/* Words of text from column HELP_COLUMN on, in lines of at most N_COLUMN. */
static void
put_wrapped(FILE *out, const char *text)
{
	size_t column = HELP_COLUMN;

	for (const char *word = text; *word; ) {
		size_t n = strcspn(word, " ");
		if (column > HELP_COLUMN && column + 1 + n > N_COLUMN) {
			fprintf(out, "\n%*s", HELP_COLUMN, "");
			column = HELP_COLUMN;
		}
		if (column > HELP_COLUMN) {
			fputc(' ', out);
			column++;
		}
		fwrite(word, 1, n, out);
		column += n;
		word += n;
		word += strspn(word, " ");
	}
	fputc('\n', out);
}

static void
put_option(FILE *out, int letter, const char *name, const char *arg, const char *help)
{
	struct buf b = {0};

	if (letter)
		buf_printf(&b, "  -%c%s", letter, name ? ", " : "");
	else
		buf_puts(&b, "      ");
	if (name)
		buf_printf(&b, "--%s", name);
	if (arg)
		buf_printf(&b, " %s", arg);
	fputs(buf_string(&b), out);
	if (b.n + 2 > HELP_COLUMN)
		fprintf(out, "\n%*s", HELP_COLUMN, "");
	else
		fprintf(out, "%*s", (int)(HELP_COLUMN - b.n), "");
	put_wrapped(out, help);
	buf_free(&b);
}

void
opt_put_help(FILE *out, const struct opt_program *top, const struct opt_program *p)
{
	const struct opt **all;
	size_t n = opt_flatten(p, &all);
	struct buf help = {0}, value = {0};

	fprintf(out, "%s%s%s - %s\n\n", top->name, p == top ? "" : " ", p == top ? "" : p->name, p->summary);
	opt_put_usage(out, top, p);
	if (p == top && p->verbs) {
		fputs("\nverbs:\n", out);
		for (const struct opt_program *const *v = p->verbs; *v; v++)
			fprintf(out, "  %-*s%s\n", HELP_COLUMN - 2, (*v)->name, (*v)->summary);
	}
	fputs("\noptions:\n", out);
	for (size_t i = 0; i < n; i++) {
		const struct opt *o = all[i];
		buf_clear(&help);
		buf_clear(&value);
		buf_puts(&help, o->help ? o->help : "");
		if (o->choices && !(o->arg && strchr(o->arg, '|')))
			buf_printf(&help, " (one of: %s)", o->choices);
		put_default(&value, o);
		/* a text that speaks of its default itself knows better */
		if (value.n > 0 && !(o->help && strstr(o->help, "default")))
			buf_printf(&help, " (default: %s)", buf_string(&value));
		if (o->env)
			buf_printf(&help, " [$%s]", o->env);
		put_option(out, o->letter, o->name, o->arg, buf_string(&help));
	}
	put_option(out, 0, "help", NULL, "show this and exit");
	put_option(out, 0, "version", NULL, "show the version and exit");
	if (p->examples && *p->examples) {
		fputs("\nexamples:\n", out);
		for (const char *line = p->examples; *line; ) {
			size_t n_line = strcspn(line, "\n");
			fprintf(out, "%s%.*s\n", n_line > 0 ? "  " : "", (int)n_line, line);
			line += n_line;
			line += *line == '\n';
		}
	}
	free(all);
	buf_free(&help);
	buf_free(&value);
}

static void
put_list(FILE *out, const struct opt_program *p, const char *verb)
{
	const struct opt **all;
	size_t n = opt_flatten(p, &all);

	for (size_t i = 0; i < n; i++) {
		char letter[2] = { all[i]->letter ? (char)all[i]->letter : '-', '\0' };
		const char *arg = all[i]->kind == OPT_FLAG ? "-" : all[i]->arg ? all[i]->arg : "VALUE";
		fprintf(out, "%s\t%s\t%s\t%s\n", verb, letter, all[i]->name ? all[i]->name : "-", arg);
	}
	free(all);
}

void
opt_put_list(FILE *out, const struct opt_program *top)
{
	put_list(out, top, "-");
	for (const struct opt_program *const *v = top->verbs; v && *v; v++)
		put_list(out, *v, (*v)->name);
}
