#include "base/opt.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/opt_text.h"

/* The program that runs, for messages: a verb does not know whose it is. */
static const struct opt_program *top;

static void
flatten(const struct opt *table, const struct opt ***all, size_t *n, size_t *n_cap)
{
	for (const struct opt *o = table; o && o->kind != OPT_END; o++) {
		if (o->kind == OPT_TABLE) {
			flatten(o->into, all, n, n_cap);
			continue;
		}
		*all = xgrow(*all, n_cap, *n + 1, sizeof **all);
		(*all)[(*n)++] = o;
	}
}

size_t
opt_flatten(const struct opt_program *p, const struct opt ***all)
{
	size_t n = 0, n_cap = 0;

	*all = NULL;
	flatten(p->opts, all, &n, &n_cap);
	return n;
}

_Noreturn void
opt_usage(const struct opt_program *p, const char *format, ...)
{
	va_list ap;

	fflush(stdout);
	fprintf(stderr, "%s: ", (top ? top : p)->name);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
	opt_put_usage(stderr, top ? top : p, p);
	exit(EX_USAGE);
}

/* Edits that lead from a to b: a letter added, dropped or changed, or two neighbours swapped. */
static size_t
distance(const char *a, const char *b)
{
	enum { N_MAX = 40 };
	size_t row[3][N_MAX + 1], n_a = strlen(a), n_b = strlen(b);

	if (n_a > N_MAX || n_b > N_MAX)
		return N_MAX;
	for (size_t j = 0; j <= n_b; j++)
		row[0][j] = j;
	for (size_t i = 1; i <= n_a; i++) {
		size_t *now = row[i % 3], *before = row[(i + 2) % 3], *earlier = row[(i + 1) % 3];
		now[0] = i;
		for (size_t j = 1; j <= n_b; j++) {
			size_t least = before[j - 1] + (a[i - 1] != b[j - 1]);
			if (before[j] + 1 < least)
				least = before[j] + 1;
			if (now[j - 1] + 1 < least)
				least = now[j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && earlier[j - 2] + 1 < least)
				least = earlier[j - 2] + 1;
			now[j] = least;
		}
	}
	return row[n_a % 3][n_b];
}

/* Keeps in *best the name nearest to what was typed, if it may have been meant. */
static void
nearer(const char *typed, const char *name, const char **best, size_t *least)
{
	size_t n = strlen(typed), d = n > 1 && strncmp(typed, name, n) == 0 ? 1 : distance(typed, name);

	if (d < *least && d <= (n > 4 ? 2u : 1u)) {
		*least = d;
		*best = name;
	}
}

static const char *
nearest_verb(const struct opt_program *p, const char *typed)
{
	const char *best = NULL;
	size_t least = SIZE_MAX;

	for (const struct opt_program *const *v = p->verbs; v && *v; v++)
		nearer(typed, (*v)->name, &best, &least);
	return best;
}

static const char *
nearest_name(const struct opt **all, size_t n, const char *typed)
{
	const char *best = NULL;
	size_t least = SIZE_MAX;

	nearer(typed, "help", &best, &least);
	nearer(typed, "version", &best, &least);
	for (size_t i = 0; i < n; i++)
		if (all[i]->name)
			nearer(typed, all[i]->name, &best, &least);
	return best;
}

/* How an option is called in messages: as the user wrote it. */
static const char *
shown_name(const struct opt *o, int as_letter, char out[80])
{
	if (as_letter)
		snprintf(out, 80, "-%c", o->letter);
	else
		snprintf(out, 80, "--%s", o->name);
	return out;
}

static int
is_choice(const char *choices, const char *value)
{
	size_t n = strlen(value);

	for (const char *c = choices; *c; ) {
		size_t n_word = strcspn(c, " ");
		if (n_word > 0 && n_word == n && memcmp(c, value, n) == 0)
			return 1;
		c += n_word;
		c += strspn(c, " ");
	}
	return 0;
}

/* from: the option or the environment variable that the value stands in. */
static void
set(const struct opt_program *p, const struct opt *o, const char *from, const char *value)
{
	size_t n = value ? strlen(value) : 0;
	uint64_t whole;

	switch (o->kind) {
	case OPT_FLAG:
		*(int *)o->into = 1;
		break;
	case OPT_STRING:
	case OPT_FILE:
		*(const char **)o->into = value;
		break;
	case OPT_LIST: {
		struct opt_list *list = o->into;
		list->at = xrealloc(list->at, list->n + 1, sizeof *list->at);
		list->at[list->n++] = value;
		break;
	}
	case OPT_SIZE:
	case OPT_U64:
		if (num_read_u64(value, n, &whole) < 0 || (o->kind == OPT_SIZE && whole > SIZE_MAX))
			opt_usage(p, "%s: expected a whole number, got \"%s\"", from, fault_quote(value, n));
		if (o->kind == OPT_SIZE)
			*(size_t *)o->into = (size_t)whole;
		else
			*(uint64_t *)o->into = whole;
		break;
	case OPT_REAL:
		if (num_read_f64(value, n, o->into) < 0)
			opt_usage(p, "%s: expected a number, got \"%s\"", from, fault_quote(value, n));
		break;
	case OPT_CHOICE:
		if (!is_choice(o->choices, value))
			opt_usage(p, "%s: expected one of %s, got \"%s\"", from, o->choices, fault_quote(value, n));
		*(const char **)o->into = value;
		break;
	case OPT_END:
	case OPT_TABLE:
		break;
	}
}

/* What the command line says, not yet believed: --help must still show the defaults after it was read. */
struct given {
	const struct opt *opt;
	const char *value;
	int as_letter;
};

struct command_line {
	const struct opt **all;
	size_t n_all;
	struct given *given;
	size_t n_given, n_given_cap;
	char **operand;
	int n_operand;
};

static void
give(struct command_line *c, const struct opt *o, const char *value, int as_letter)
{
	c->given = xgrow(c->given, &c->n_given_cap, c->n_given + 1, sizeof *c->given);
	c->given[c->n_given++] = (struct given){ o, value, as_letter };
}

static void
forget(struct command_line *c)
{
	free(c->all);
	free(c->given);
	free(c->operand);
}

/* --help and its like end the program; word stands behind the two dashes. */
static void
try_builtin(const struct opt_program *p, const char *word, const char *next)
{
	if (strcmp(word, "help") == 0)
		opt_put_help(stdout, top, p);
	else if (strcmp(word, "version") == 0)
		printf("%s %s\n", top->name, HARE_VERSION);
	else if (strcmp(word, "list-options") == 0)
		opt_put_list(stdout, top);
	else if (strcmp(word, "completion") == 0) {
		if (!next || opt_put_completion(stdout, top, next) < 0)
			opt_usage(p, "--completion: expected bash, zsh or fish, got \"%s\"", next ? next : "");
	} else {
		return;
	}
	exit(file_stdout_close(EX_OK));
}

/* word: "name" or "name=value". Returns how many further arguments were used. */
static int
read_name(const struct opt_program *p, struct command_line *c, const char *word, char *next)
{
	size_t n_name = strcspn(word, "=");
	const char *value = word[n_name] ? word + n_name + 1 : NULL;

	for (size_t i = 0; i < c->n_all; i++) {
		const struct opt *o = c->all[i];
		if (!o->name || strlen(o->name) != n_name || memcmp(o->name, word, n_name) != 0)
			continue;
		if (o->kind == OPT_FLAG) {
			if (value)
				opt_usage(p, "--%s takes no value", o->name);
			give(c, o, NULL, 0);
			return 0;
		}
		if (!value && !next)
			opt_usage(p, "--%s needs a value: %s", o->name, o->arg ? o->arg : "VALUE");
		give(c, o, value ? value : next, 0);
		return !value;
	}
	if (!value)
		try_builtin(p, word, next);
	char *name = xstrndup(word, n_name);
	const char *meant = nearest_name(c->all, c->n_all, name);
	free(name);
	opt_usage(p, "unknown option --%s%s%s%s", fault_quote(word, n_name), meant ? " (did you mean --" : "",
	    meant ? meant : "", meant ? "?)" : "");
}

/* word: letters, flags first; the rest behind a letter with a value is that value. As read_name(). */
static int
read_letters(const struct opt_program *p, struct command_line *c, const char *word, char *next)
{
	for (; *word; word++) {
		const struct opt *o = NULL;
		for (size_t i = 0; i < c->n_all && !o; i++)
			if (c->all[i]->letter && c->all[i]->letter == (unsigned char)*word)
				o = c->all[i];
		if (!o) {
			size_t n = 1;           /* the whole of a character that takes several bytes */
			while (((unsigned char)word[n] & 0xC0) == 0x80)
				n++;
			opt_usage(p, "unknown option -%s", fault_quote(word, n));
		}
		if (o->kind == OPT_FLAG) {
			give(c, o, NULL, 1);
			continue;
		}
		if (!word[1] && !next)
			opt_usage(p, "-%c needs a value: %s", o->letter, o->arg ? o->arg : "VALUE");
		give(c, o, word[1] ? word + 1 : next, 1);
		return !word[1];
	}
	return 0;
}

static int
run(const struct opt_program *p, int argc, char *argv[])
{
	struct command_line c = { .operand = xcalloc((size_t)argc + 1, sizeof *c.operand) };
	char name[80];

	c.n_all = opt_flatten(p, &c.all);
	for (int i = 0; i < argc; i++) {
		char *word = argv[i], *next = i + 1 < argc ? argv[i + 1] : NULL;
		if (strcmp(word, "--") == 0) {
			while (++i < argc)
				c.operand[c.n_operand++] = argv[i];
		} else if (strncmp(word, "--", 2) == 0) {
			i += read_name(p, &c, word + 2, next);
		} else if (word[0] == '-' && word[1]) {
			i += read_letters(p, &c, word + 1, next);
		} else {
			c.operand[c.n_operand++] = word;
		}
	}
	for (size_t i = 0; i < c.n_all; i++) {
		const struct opt *o = c.all[i];
		const char *value = o->env ? getenv(o->env) : NULL;
		int is_given = 0;
		for (size_t j = 0; j < c.n_given; j++)
			is_given |= c.given[j].opt == o;
		if (value && *value && !is_given)
			set(p, o, o->env, value);
	}
	for (size_t j = 0; j < c.n_given; j++)
		set(p, c.given[j].opt, shown_name(c.given[j].opt, c.given[j].as_letter, name), c.given[j].value);
	int status = p->run(p, c.n_operand, c.operand);
	forget(&c);
	return status;
}

int
opt_run(const struct opt_program *p, int argc, char *argv[])
{
	const char *word = argc > 1 ? argv[1] : NULL;

	top = p;
	for (const struct opt_program *const *v = p->verbs; word && v && *v; v++)
		if (strcmp((*v)->name, word) == 0)
			return run(*v, argc - 2, argv + 2);
	if (p->run)
		return run(p, argc > 0 ? argc - 1 : 0, argv + 1);
	if (!word)
		opt_usage(p, "expected a verb");
	if (strncmp(word, "--", 2) == 0)
		try_builtin(p, word + 2, argc > 2 ? argv[2] : NULL);
	if (word[0] == '-')
		opt_usage(p, "expected a verb before %s", fault_quote(word, strlen(word)));
	const char *meant = nearest_verb(p, word);
	opt_usage(p, "unknown verb %s%s%s%s", fault_quote(word, strlen(word)), meant ? " (did you mean " : "",
	    meant ? meant : "", meant ? "?)" : "");
}
