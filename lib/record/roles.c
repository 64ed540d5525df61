#include "record/inside.h"

#include <stdlib.h>
#include <string.h>

struct record_options record_options = { .vec = "text" };

const struct opt record_opts[] = {
	{ 'T', "tsv", OPT_FLAG, &record_options.tsv, NULL, "records are TSV with \\t \\n \\r \\\\ escapes, in and out", NULL, NULL },
	{ 'J', "json", OPT_FLAG, &record_options.json, NULL, "write JSON Lines", NULL, NULL },
	{ 0, "vec", OPT_CHOICE, &record_options.vec, "text|b64", "how vectors are written: decimal, or f32: and base64",
	    "text b64", NULL },
	{ 0, "overwrite", OPT_FLAG, &record_options.overwrite, NULL, "a new column replaces one of the same name", NULL, NULL },
	{ 0, "skip-bad", OPT_FLAG, &record_options.skip_bad, NULL, "count and report bad rows instead of stopping", NULL, NULL },
	{ 'u', "unbuffered", OPT_FLAG, &record_options.unbuffered, NULL, "write every batch of rows at once", NULL, NULL },
	{ 0, "col", OPT_LIST, &record_options.col, "ROLE=NAME", "the column of that role is called NAME (x=vec,user=who)",
	    NULL, NULL },
	{ 0, "threads", OPT_SIZE, &record_options.n_thread, "N", "threads to use; 0: all processors", NULL, NULL },
	{ 'q', "quiet", OPT_FLAG, &record_options.quiet, NULL, "no progress, no warnings", NULL, NULL },
	{ 'v', "verbose", OPT_FLAG, &record_options.verbose, NULL, "say more on stderr", NULL, NULL },
	{ 0, NULL, OPT_END, NULL, NULL, NULL, NULL, NULL },
};

static const char *const role[] = {
	"id", "user", "query", "text", "x", "z", "items", "weights", "entropy", "uncertainty", "item", "propensity",
	"reward", "arm", "output", "label", "score", "event", "time", "error", "finish_reason", "tokens_in",
	"tokens_out", "certificate", "read", "partial",
};
enum { N_ROLE = sizeof role / sizeof role[0] };
static char *renamed[N_ROLE];           /* by --col; kept until the program ends */
static size_t n_col_read;               /* entries of record_options.col that are understood */

static int
role_index(const char *name, size_t n)
{
	for (int i = 0; i < N_ROLE; i++)
		if (strlen(role[i]) == n && memcmp(role[i], name, n) == 0)
			return i;
	return -1;
}

static int
one_role(const char *at, size_t n, struct fault *f)
{
	const char *equals = memchr(at, '=', n);
	int i;

	if (!equals || equals == at || equals == at + n - 1)
		return fault(f, EX_USAGE, "--col: expected ROLE=NAME, got \"%s\"", fault_quote(at, n));
	i = role_index(at, (size_t)(equals - at));
	if (i < 0) {
		struct buf all = {0};

		for (int r = 0; r < N_ROLE; r++)
			buf_printf(&all, "%s%s", r ? ", " : "", role[r]);
		fault(f, EX_USAGE, "--col: no role is called \"%s\": the roles are %s",
		    fault_quote(at, (size_t)(equals - at)), buf_string(&all));
		buf_free(&all);
		return -1;
	}
	free(renamed[i]);
	renamed[i] = xstrndup(equals + 1, (size_t)(at + n - equals - 1));
	return 0;
}

int
record_roles_read(struct fault *f)
{
	for (; n_col_read < record_options.col.n; n_col_read++) {
		const char *at = record_options.col.at[n_col_read];

		for (;;) {
			size_t n = strcspn(at, ",");

			if (one_role(at, n, f) < 0)
				return -1;
			if (!at[n])
				break;
			at += n + 1;
		}
	}
	return 0;
}

const char *
record_column_name(const char *name)
{
	struct fault unused;    /* record_open() tells the user */
	int i = role_index(name, strlen(name));

	record_roles_read(&unused);
	return i >= 0 && renamed[i] ? renamed[i] : name;
}
