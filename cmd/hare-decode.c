/* hare-decode - writes the answer: a text blended from attended items, a prompt, or what a language model says to it, our
   own or another's */
#include <err.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/num.h"
#include "base/thread.h"
#include "decoding.h"
#include "filter.h"
#include "mat/mat.h"

enum { LENGTH_MAX = 1 << 28, BEAM_MAX = 64, CONSENSUS_MAX = 1024 };

static struct decode_set set = { .n_word = 120, .budget_token = 2000, .repetition = 1 };
static int blend, prompt;

static const struct opt opts[] = {
	{ 'p', "pool", OPT_LIST, &set.pool, "POOL", "texts of the items; several act as one", NULL, "HARE_POOL" },
	{ 's', "state", OPT_FILE, &set.state, "STATE", "what is known of the users, for the prompt", NULL, "HARE_STATE" },
	{ 'm', "decoder", OPT_LIST, &set.decoder, "DECODER",
	    "write by this language model, of hare-train or a GPT-2 checkpoint; given again: they write together", NULL, NULL },
	{ 0, "title", OPT_STRING, &set.title, "COLUMN", "the pool's titles (title, else name, else the id)", NULL, NULL },
	{ 0, "text-columns", OPT_STRING, &set.text_columns, "COLUMN,...", "the pool's texts (text, else description and instructions, else all)",
	    NULL, NULL },
	{ 0, "plain", OPT_FLAG, &set.plain, NULL, "print the answers only, a blank line between them", NULL, NULL },
	{ 0, "blend", OPT_FLAG, &blend, NULL, "a new text from sentences of the items: the default without --endpoint", NULL, NULL },
	{ 'w', "words", OPT_SIZE, &set.n_word, "N", "length of a blend", NULL, NULL },
	{ 0, "sources", OPT_FLAG, &set.sources, NULL, "mark what comes from which item", NULL, NULL },
	{ 0, "prompt", OPT_FLAG, &prompt, NULL, "the prompt that a language model would get", NULL, NULL },
	{ 0, "budget", OPT_SIZE, &set.budget_token, "TOKENS", "of a prompt, at 4 bytes a token", NULL, NULL },
	{ 0, "template", OPT_FILE, &set.template, "FILE", "of the prompt, with {query}, {user} and {items}", NULL, NULL },
	{ 0, "system", OPT_STRING, &set.system, "TEXT", "the system's message to the language model", NULL, NULL },
	{ 0, "beam", OPT_SIZE, &set.n_beam, "N", "of -m: search with so many beams, 4 unless something is drawn", NULL, NULL },
	{ 0, "consensus", OPT_SIZE, &set.n_consensus, "N", "of -m: of N texts that beams end, the one that agrees best with the others", NULL, NULL },
	{ 0, "top-k", OPT_SIZE, &set.top_k, "K", "of -m: draw from the K likeliest tokens", NULL, NULL },
	{ 0, "repetition-penalty", OPT_REAL, &set.repetition, "R", "of -m: how unlikely what was written becomes", NULL, NULL },
	{ 0, "faithful", OPT_FLAG, &set.faithful, NULL, "of -m: only words of the query and the items, function words apart", NULL, NULL },
	{ 0, "per-record", OPT_FLAG, &set.per_record, NULL, "of -m: seed and temperature come from columns of these names", NULL, NULL },
	{ 0, NULL, OPT_TABLE, (void *)net_opts, NULL, NULL, NULL, NULL },
	{ 0, NULL, OPT_TABLE, (void *)record_opts, NULL, NULL, NULL, NULL },
	{ 0, NULL, OPT_END, NULL, NULL, NULL, NULL, NULL },
};

static void
blend_row(void *arg, size_t i, size_t worker)
{
	struct decoding *d = arg;
	struct answer *a = &d->answers[i];

	a->failed = decoding_items(d, i, a, &a->fault) < 0;
	if (!a->failed && decode_blend(d->decode[worker], decoding_query(d, i), a->items, a->n_item, set.n_word, set.sources, &a->text,
	    &a->fault) < 0)
		a->failed = decoding_at_row(d, i, &a->fault) < 0;
}

/* Texts by the language model for the rows before limit. Returns the row that ends the run as it is bad; limit: none. */
static size_t
write_rows(struct decoding *d, size_t n_row, size_t limit)
{
	for (size_t i = 0; i < n_row; i++)
		d->answers[i].was_bad = d->answers[i].failed;
	decoding_write(d, limit);
	d->n_read += n_row;
	for (size_t i = 0; i < limit; i++) {
		if (d->answers[i].failed && !d->answers[i].was_bad && record_bad(d->in, &d->answers[i].fault) < 0)
			return i;
	}
	return limit;
}

static int
work(struct decoding *d, size_t n_row, struct fault *f)
{
	size_t limit = n_row;

	for (size_t i = 0; i < n_row; i++) {
		buf_clear(&d->answers[i].text);
		d->answers[i].failed = 0;
	}
	if (d->set->mode == DECODE_BLEND)
		thread_for(record_options.n_thread, n_row, blend_row, d);
	for (size_t i = 0; i < limit; i++) {
		int broken = (d->set->mode == DECODE_PROMPT || d->set->mode == DECODE_ENDPOINT) && decoding_prompt(d, i) < 0;
		broken = broken || (d->set->mode == DECODE_LM && decoding_request(d, i) < 0);
		if (broken || (d->answers[i].failed && record_bad(d->in, &d->answers[i].fault) < 0))
			limit = i;
	}
	if (d->set->mode == DECODE_LM)
		limit = write_rows(d, n_row, limit);
	if (d->set->mode == DECODE_ENDPOINT) {
		if (decoding_ask(d, limit, f) < 0)
			return -1;
	} else {
		for (size_t i = 0; i < limit; i++) {
			if (!d->answers[i].failed && decoding_put(d, i, d->set->mode == DECODE_LM ? &d->replies[i] : NULL, f) < 0)
				return -1;
		}
	}
	if (limit < n_row) {            /* the rows before the bad one are out */
		*f = d->answers[limit].fault;
		return -1;
	}
	return 0;
}

static void
check_decoder(const struct opt_program *p)
{
	const struct net_options *o = &net_options;

	if (o->url && o->url != getenv("HARE_ENDPOINT"))
		opt_usage(p, "-m and --endpoint are two things: choose one");
	if ((set.n_beam > 0 || set.n_consensus > 0) && (!isnan(o->temperature) || set.top_k > 0 || !isnan(o->top_p)))
		opt_usage(p, "--beam and --consensus draw nothing: they go without --temperature, --top-k and --top-p");
	if (set.n_consensus > 0 && set.n_beam == 1)
		opt_usage(p, "--consensus: expected two beams or more to choose among, got 1");
	if (set.n_consensus > CONSENSUS_MAX)
		opt_usage(p, "--consensus: expected at most %d, got %zu", CONSENSUS_MAX, set.n_consensus);
	if (set.n_beam > BEAM_MAX)
		opt_usage(p, "--beam: expected 1 to %d, got %zu", BEAM_MAX, set.n_beam);
	if (o->temperature < 0 || !(isnan(o->top_p) || (o->top_p > 0 && o->top_p <= 1)) || !(set.repetition > 0))
		opt_usage(p, "--temperature: 0 or more; --top-p: above 0, at most 1; --repetition-penalty: above 0");
	if (o->n_parallel < 1)
		opt_usage(p, "--jobs: expected 1 or more, got 0");
	if (o->seed && num_read_u64(o->seed, strlen(o->seed), &set.seed) < 0)
		opt_usage(p, "--seed: expected a whole number, got %s", fault_quote(o->seed, strlen(o->seed)));
	for (size_t i = 0; i < o->stop.n; i++) {
		if (!*o->stop.at[i])
			opt_usage(p, "--stop: expected a text, got nothing");
	}
}

static enum decode_mode
mode_of(const struct opt_program *p)
{
	if (blend + prompt + (set.decoder.n > 0) > 1)
		opt_usage(p, "--blend, --prompt and -m are different things: choose one");
	if (net_options.dry_run && (blend || prompt || set.decoder.n || !net_options.url))
		opt_usage(p, "--dry-run shows what --endpoint would send");
	enum decode_mode mode = set.decoder.n ? DECODE_LM : prompt ? DECODE_PROMPT : blend || !net_options.url ? DECODE_BLEND :
	    DECODE_ENDPOINT;
	const struct net_options *o = &net_options;
	if ((!o->url || set.decoder.n) &&
	    (o->model || o->key_file || o->extra || o->cache || o->stream || o->keep_going || set.system))
		opt_usage(p, "--model and its like are for --endpoint, which is not given");
	if (!o->url && !set.decoder.n && o->max_tokens)
		opt_usage(p, "--max-tokens is for --endpoint or -m, neither of which is given");
	if (!set.decoder.n && (set.n_beam || set.n_consensus || set.top_k || set.repetition < 1 || set.repetition > 1 || set.faithful ||
	    set.per_record))
		opt_usage(p, "--beam and its like are for -m DECODER, which is not given");
	if (mode == DECODE_LM)
		check_decoder(p);
	if (set.n_word > LENGTH_MAX || set.budget_token > LENGTH_MAX)
		opt_usage(p, "--words, --budget: expected at most %d", LENGTH_MAX);
	if (mode == DECODE_BLEND && set.pool.n == 0)
		opt_usage(p, "a pool is needed: -p POOL, or HARE_POOL");
	if (mode != DECODE_ENDPOINT)
		return mode;
	/* a request that is printed is no record */
	set.plain |= net_options.dry_run;
	return mode;
}

static int
run(const struct opt_program *p, int n_file, char **file)
{
	struct decoding d = { .set = &set };
	struct fault f = { 0 };
	ptrdiff_t n = 0;

	set.mode = mode_of(p);
	n_file = filter_take_pools(&set.pool, n_file, file);
	if (mat_check(&f) < 0 || decoding_open(&d, n_file, file, &f) < 0)
		return decoding_close(&d, f.status, &f);
	while ((n = record_batch(d.in, d.n_batch, &f)) > 0) {
		if (work(&d, (size_t)n, &f) < 0)
			break;
		if ((record_options.unbuffered || record_would_block(d.in)) && decoding_flush(&d, &f) < 0)
			break;
	}
	if (d.n_failed > 0 && !record_options.quiet)
		warnx("%zu request%s failed%s", d.n_failed, d.n_failed == 1 ? "" : "s", d.out ? ": see the column error" : "");
	return decoding_close(&d, n == 0 ? EX_OK : f.status, &f);
}

static const struct opt_program program = {
	.name = "hare-decode",
	.summary = "write answers from attended items",
	.usage = "-p POOL... [--blend] [--words N] [--sources] [file ...]\n"
	    "[-p POOL...] [-s STATE] --prompt [--budget TOKENS] [file ...]\n"
	    "[-p POOL...] [-s STATE] -m DECODER... [--max-tokens N] [--temperature T] [--faithful] [-j N] [file ...]\n"
	    "[-p POOL...] [-s STATE] --endpoint URL [--model NAME] [-j N] [file ...]",
	.opts = opts,
	.examples = "hare-embed -m skills.model -c query questions.csv | hare-attend -m skills.model -p skills.pool |\n"
	    "  hare-decode -p skills.pool --plain\n"
	    "hare-decode -p skills.pool -s team.state -m skills.decoder < attended.csv\n"
	    "hare-decode -p skills.pool -s team.state --endpoint http://localhost:8080 < attended.csv",
	.run = run,
};

int
main(int argc, char *argv[])
{
	file_init();
	return opt_run(&program, argc, argv);
}
