#include "base/opt_text.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* "hare-pool" as part of the name of a shell function */
static char *
identifier(const char *name)
{
	char *id = xstrdup(name);

	for (char *p = id; *p; p++)
		if (*p == '-')
			*p = '_';
	return id;
}

/* Text within single quotes of a shell. bash and zsh leave the quotes for a quote, fish takes a backslash. special:
   further bytes that want a backslash. */
static void
put_quoted(FILE *out, const char *text, int is_fish, const char *special)
{
	for (const char *p = text ? text : ""; *p; p++) {
		if (*p == '\'')
			fputs(is_fish ? "\\'" : "'\\''", out);
		else if ((is_fish && *p == '\\') || strchr(special, *p))
			fprintf(out, "\\%c", *p);
		else
			fputc(*p, out);
	}
}

/* The words that may be typed: verbs' names, options. */
static void
put_words(FILE *out, const struct opt_program *p)
{
	const struct opt **all;
	size_t n = opt_flatten(p, &all);

	for (size_t i = 0; i < n; i++) {
		if (all[i]->letter)
			fprintf(out, "-%c ", all[i]->letter);
		if (all[i]->name)
			fprintf(out, "--%s ", all[i]->name);
	}
	fputs("--help --version", out);
	free(all);
}

static void
put_bash_values(FILE *out, const struct opt_program *p)
{
	const struct opt **all;
	size_t n = opt_flatten(p, &all);

	fputs("\t\tcase \"$prev\" in\n", out);
	for (size_t i = 0; i < n; i++) {
		const struct opt *o = all[i];
		if (o->kind == OPT_FLAG)
			continue;
		fputs("\t\t", out);
		if (o->letter)
			fprintf(out, "-%c%s", o->letter, o->name ? "|" : "");
		if (o->name)
			fprintf(out, "--%s", o->name);
		if (o->kind == OPT_CHOICE)
			fprintf(out, ") COMPREPLY=($(compgen -W '%s' -- \"$cur\")); return ;;\n", o->choices);
		else if (o->kind == OPT_FILE || o->kind == OPT_LIST)
			fputs(") COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n", out);
		else
			fputs(") return ;;\n", out);
	}
	fputs("\t\tesac\n\t\twords='", out);
	put_words(out, p);
	fputs("' ;;\n", out);
	free(all);
}

static void
put_bash(FILE *out, const struct opt_program *top)
{
	char *id = identifier(top->name);

	fprintf(out, "# completion of %s for bash\n_%s()\n{\n", top->name, id);
	fputs("\tlocal cur=\"${COMP_WORDS[COMP_CWORD]}\" prev=\"${COMP_WORDS[COMP_CWORD-1]}\" words= verbs=\n", out);
	fputs("\tcase \"${COMP_WORDS[1]}\" in\n", out);
	for (const struct opt_program *const *v = top->verbs; v && *v; v++) {
		fprintf(out, "\t%s)\n", (*v)->name);
		put_bash_values(out, *v);
	}
	fputs("\t*)\n", out);
	put_bash_values(out, top);
	fputs("\tesac\n", out);
	if (top->verbs) {
		fputs("\t[ \"$COMP_CWORD\" -eq 1 ] && verbs='", out);
		for (const struct opt_program *const *v = top->verbs; *v; v++)
			fprintf(out, "%s%s", v == top->verbs ? "" : " ", (*v)->name);
		fputs("'\n", out);
	}
	fputs("\tcase \"$cur\" in\n\t-*) COMPREPLY=($(compgen -W \"$words\" -- \"$cur\")) ;;\n"
	    "\t*) COMPREPLY=($(compgen -W \"$verbs\" -- \"$cur\") $(compgen -f -- \"$cur\")) ;;\n\tesac\n}\n", out);
	fprintf(out, "complete -o filenames -F _%s %s\n", id, top->name);
	free(id);
}

static void
put_zsh_spec(FILE *out, const struct opt *o, int as_letter)
{
	fputs(" \\\n\t\t'", out);
	if (o->kind == OPT_LIST)
		fputc('*', out);
	if (as_letter)
		fprintf(out, "-%c", o->letter);
	else
		fprintf(out, "--%s", o->name);
	if (o->kind != OPT_FLAG)
		fputs(as_letter ? "+" : "=", out);
	fputc('[', out);
	put_quoted(out, o->help, 0, "[]:\\");
	fputc(']', out);
	if (o->kind != OPT_FLAG) {
		fputc(':', out);
		put_quoted(out, o->arg, 0, "[]:\\");
		fputc(':', out);
		if (o->kind == OPT_CHOICE)
			fprintf(out, "(%s)", o->choices);
		else if (o->kind == OPT_FILE || o->kind == OPT_LIST)
			fputs("_files", out);
		else
			fputc(' ', out);
	}
	fputc('\'', out);
}

static void
put_zsh_arguments(FILE *out, const struct opt_program *p)
{
	const struct opt **all;
	size_t n = opt_flatten(p, &all);

	fputs("\t_arguments -s", out);
	for (size_t i = 0; i < n; i++) {
		if (all[i]->letter)
			put_zsh_spec(out, all[i], 1);
		if (all[i]->name)
			put_zsh_spec(out, all[i], 0);
	}
	fputs(" \\\n\t\t'--help[show help and exit]' \\\n\t\t'--version[show the version and exit]' \\\n\t\t'*:file:_files'\n", out);
	free(all);
}

static void
put_zsh(FILE *out, const struct opt_program *top)
{
	char *id = identifier(top->name);

	fprintf(out, "#compdef %s\n# completion of %s for zsh\n_%s()\n{\n", top->name, top->name, id);
	if (top->verbs) {
		fputs("\tlocal -a verbs\n\tverbs=(", out);
		for (const struct opt_program *const *v = top->verbs; *v; v++) {
			fprintf(out, "\n\t\t'%s:", (*v)->name);
			put_quoted(out, (*v)->summary, 0, ":\\");
			fputc('\'', out);
		}
		fputs(")\n\tif (( CURRENT == 2 )) && [[ $words[2] != -* ]]; then\n"
		    "\t\t_describe verb verbs\n\t\t_files\n\t\treturn\n\tfi\n\tcase $words[2] in\n", out);
		for (const struct opt_program *const *v = top->verbs; *v; v++) {
			fprintf(out, "\t%s)\n\tshift words; (( CURRENT-- ))\n", (*v)->name);
			put_zsh_arguments(out, *v);
			fputs("\treturn ;;\n", out);
		}
		fputs("\tesac\n", out);
	}
	put_zsh_arguments(out, top);
	fprintf(out, "}\n_%s \"$@\"\n", id);
	free(id);
}

static void
put_fish_options(FILE *out, const struct opt_program *top, const struct opt_program *p)
{
	const struct opt **all;
	size_t n = opt_flatten(p, &all);

	for (size_t i = 0; i < n; i++) {
		const struct opt *o = all[i];
		fprintf(out, "complete -c %s", top->name);
		if (p != top)
			fprintf(out, " -n '__fish_seen_subcommand_from %s'", p->name);
		else if (top->verbs) {
			fputs(" -n 'not __fish_seen_subcommand_from", out);
			for (const struct opt_program *const *v = top->verbs; *v; v++)
				fprintf(out, " %s", (*v)->name);
			fputc('\'', out);
		}
		if (o->letter)
			fprintf(out, " -s %c", o->letter);
		if (o->name)
			fprintf(out, " -l %s", o->name);
		if (o->kind == OPT_CHOICE)
			fprintf(out, " -x -a '%s'", o->choices);
		else if (o->kind == OPT_FILE || o->kind == OPT_LIST)
			fputs(" -r -F", out);
		else if (o->kind != OPT_FLAG)
			fputs(" -x", out);
		fputs(" -d '", out);
		put_quoted(out, o->help, 1, "");
		fputs("'\n", out);
	}
	free(all);
}

static void
put_fish(FILE *out, const struct opt_program *top)
{
	fprintf(out, "# completion of %s for fish\n", top->name);
	for (const struct opt_program *const *v = top->verbs; v && *v; v++) {
		fprintf(out, "complete -c %s -n __fish_use_subcommand -a %s -d '", top->name, (*v)->name);
		put_quoted(out, (*v)->summary, 1, "");
		fputs("'\n", out);
	}
	put_fish_options(out, top, top);
	for (const struct opt_program *const *v = top->verbs; v && *v; v++)
		put_fish_options(out, top, *v);
	fprintf(out, "complete -c %s -l help -d 'show help and exit'\n", top->name);
	fprintf(out, "complete -c %s -l version -d 'show the version and exit'\n", top->name);
}

int
opt_put_completion(FILE *out, const struct opt_program *top, const char *shell)
{
	if (strcmp(shell, "bash") == 0)
		put_bash(out, top);
	else if (strcmp(shell, "zsh") == 0)
		put_zsh(out, top);
	else if (strcmp(shell, "fish") == 0)
		put_fish(out, top);
	else
		return -1;
	return 0;
}
