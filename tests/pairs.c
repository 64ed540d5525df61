/* What a decoder learns from: what is found for a row, what is kept from it, and in which order rows come. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "claim.h"
#include "embed/embed.h"
#include "mat/mat.h"
#include "scratch.h"
#include "train/pairs.h"

enum { N = 60, N_USER = 4, DIM = 8 };

static const char *const kind[] = { "parser", "viewer", "server", "driver", "editor" };
static const char *const what[] = { "mail", "maps", "music", "chess", "fonts", "logs", "genes" };

static struct span
span(const char *s)
{
	return (struct span){ s, strlen(s) };
}

/* Rows 0 and 4 of one user say nearly the same. */
static void
row_text(size_t i, char input[120], char output[60], char user[8])
{
	size_t at = i == 4 ? 0 : i;

	snprintf(output, 60, "u%zu %s of %s %zu", i % N_USER, kind[at % 5], what[at % 7], at);
	snprintf(input, 120, "this is a %s for all who have %s, and is the one of number %zu%s", kind[at % 5], what[at % 7], at,
	    at % 3 ? "" : " which is longer than most of the others are");
	snprintf(user, 8, "u%zu", i % N_USER);
}

static struct model *
make_model(struct embed **e)
{
	struct embed_options o = { .dim = DIM, .n_term_max = 500, .bigrams = 1, .idf_power = -1, .pair_weight = .5, .n_thread = 1 };
	struct embed_fit *fit = embed_fit_new(&o);
	struct embed_report report;
	struct fault f = {0};
	char text[3][120];

	for (size_t i = 0; i < N; i++) {
		row_text(i, text[0], text[1], text[2]);
		struct span s = span(text[0]);
		embed_fit_add(fit, &s, 1, &f);
	}
	int failed = embed_fit_write(fit, "m", &report, &f) < 0;
	embed_fit_free(fit);
	struct model *m = failed ? NULL : model_open("m", &f);
	*e = m ? embed_open(m, &f) : NULL;
	claim(*e != NULL, "a MODEL is made %s", *e ? "" : f.text);
	return m;
}

static struct pairs *
make_pairs(const struct model *m, struct embed *e, int users, size_t n_thread, double alone)
{
	struct pairs_options o;
	struct fault f;
	char text[3][120];

	pairs_defaults(&o);
	o.n_thread = n_thread;
	o.alone = alone;
	o.n_profile = 9;
	struct pairs *p = pairs_new(m, &o);
	for (size_t i = 0; i < N; i++) {
		row_text(i, text[0], text[1], text[2]);
		pairs_add(p, span(text[0]), span(text[1]), users ? span(text[2]) : (struct span){0});
	}
	claim(pairs_end(p, e, NULL, &f) == 0 && pairs_n(p) == N && pairs_n_user(p) == (users ? N_USER : 0), "%d rows %s users", N,
	    users ? "of" : "without");
	return p;
}

static struct bpe *
vocabulary(void)
{
	struct bpe_learn *l = bpe_learn_new();
	char text[3][120];

	for (size_t i = 0; i < N; i++) {
		row_text(i, text[0], text[1], text[2]);
		bpe_learn_add(l, text[0], strlen(text[0]));
		bpe_learn_add(l, text[1], strlen(text[1]));
	}
	return bpe_learn_end(l, 400);
}

static void
looks(const struct model *m, struct embed *e)
{
	struct pairs_look *l = pairs_look_new(m, 12);
	struct embed_scratch *s = embed_scratch_new(e);
	float x[13 * DIM], given[2 * DIM], again[2 * DIM];
	const float *row[12];
	struct pairs_seen seen[12];
	struct fault f;
	char text[3][120];
	double sum = 0, worst = 0;
	int falls = 1;

	for (size_t i = 0; i < 13; i++) {
		row_text(i, text[0], text[1], text[2]);
		embed_text(e, s, text[0], strlen(text[0]), x + i * DIM);
		if (i > 0)
			row[i - 1] = x + i * DIM;
	}
	claim(pairs_look(l, x, row, 12, given, seen, &f) == 0, "rows are looked at");
	for (size_t i = 0; i < 12; i++) {
		sum += seen[i].weight;
		falls &= i == 0 || seen[i].weight <= seen[i - 1].weight;
	}
	for (size_t d = 0; d < DIM; d++) {
		double z = 0;
		for (size_t i = 0; i < 12; i++)
			z += seen[i].weight * row[seen[i].row][d];
		worst = fmax(worst, fabs(z - given[d]));
	}
	claim(fabs(sum - 1) < 1e-6 && falls, "weights fall and sum to 1");
	claim(worst < 1e-5, "z is the rows by their weights, to %.1g", worst);
	claim(mat_norm(given + DIM, DIM) > .05, "something is believed of the person");
	claim(pairs_look(l, x, row, 12, again, seen, &f) == 0 && memcmp(given, again, sizeof given) == 0, "a look leaves nothing behind");
	pairs_look(l, x, row, 0, given, seen, &f);
	claim(mat_norm(given, 2 * DIM) == 0, "without rows all is 0");
	claim(pairs_look(l, x, row, 1, given, seen, &f) == 0 && seen[0].weight == 1, "one row has all the weight");
	embed_scratch_free(s);
	pairs_look_free(l);
}

/* What the items of a prompt say, each on a line. */
static void
items_of(const struct lm *m, const struct lm_example *e, struct buf *out)
{
	buf_clear(out);
	for (size_t i = 0; i < e->prompt.n; i++) {
		const struct lm_row *r = &e->prompt.row[i];
		if (r->source < 2)
			continue;
		if (r->token == BPE_ITEM)
			buf_putc(out, '\n');
		else
			bpe_decode(m->bpe, &r->token, 1, out);
	}
}

static int
says(struct buf *b, const char *text)
{
	return strstr(buf_string(b), text) != NULL;
}

static void
examples(const struct model *m, struct embed *e, const struct lm *lm, const struct compose_limits *l, int users)
{
	struct pairs *p[2] = { make_pairs(m, e, users, 1, 0), make_pairs(m, e, users, 3, 0) };
	struct pairs_example made[2][N];
	size_t row[N];
	uint64_t stream[N];
	struct fault f;
	struct buf b = {0};
	int same = 1, own = 0, others = 0, repeated = 0, u = 0;

	memset(made, 0, sizeof made);
	for (size_t i = 0; i < N; i++) {
		row[i] = i;
		stream[i] = 7 * i;
	}
	for (size_t k = 0; k < 2; k++)
		claim(pairs_examples(p[k], lm, l, row, stream, N, 0, made[k], &f) == 0, "examples are made");
	for (size_t i = 0; i < N; i++) {
		const struct lm_example *x = &made[0][i].example, *y = &made[1][i].example;
		char text[3][120], mine[8];
		same &= x->prompt.n == y->prompt.n && x->n == y->n && memcmp(x->prompt.row, y->prompt.row, x->prompt.n * sizeof *x->row) == 0 &&
		    memcmp(x->target, y->target, x->n * sizeof *x->target) == 0 &&
		    memcmp(made[0][i].given, made[1][i].given, 2 * DIM * sizeof(float)) == 0;
		items_of(lm, x, &b);
		row_text(i, text[0], text[1], text[2]);
		own |= says(&b, text[1]);
		snprintf(mine, sizeof mine, " u%zu ", i % N_USER);
		for (size_t k = 0; k < N_USER; k++) {
			snprintf(text[2], sizeof text[2], " u%zu ", k);
			others |= k != i % N_USER && says(&b, text[2]);
		}
		if (i == 4 || i == 0)
			repeated |= says(&b, " u0 parser of mail 0");
		for (size_t d = 0; d < DIM; d++)
			u |= made[0][i].given[DIM + d] != 0;
	}
	claim(same, "the same for any threads");
	claim(!own && !repeated, "no row is an item of its own, nor of one that nearly repeats it");
	claim(users ? !others && u : others && !u, "items are %s", users ? "the user's own, and something is believed" :
	    "of all, and nothing is believed");

	uint8_t use[N];
	for (size_t i = 0; i < N; i++)
		use[i] = i >= N / 2;
	pairs_use(p[0], use);
	int unused = 0;
	pairs_examples(p[0], lm, l, row, stream, N, 0, made[0], &f);
	for (size_t i = 0; i < N; i++) {
		items_of(lm, &made[0][i].example, &b);
		for (size_t j = 0; j < N / 2; j++) {
			char text[3][120];
			row_text(j, text[0], text[1], text[2]);
			strcat(text[1], "\n");
			unused |= says(&b, text[1]);
		}
	}
	claim(!unused, "rows that are held out are no items");
	for (size_t k = 0; k < 2; k++) {
		for (size_t i = 0; i < N; i++)
			pairs_example_free(&made[k][i]);
		pairs_free(p[k]);
	}
	buf_free(&b);
}

static void
courses(const struct model *m, struct embed *e, const struct lm *lm, const struct compose_limits *l)
{
	struct pairs *p = make_pairs(m, e, 1, 1, .3);
	uint8_t held[N], use[N];
	int by_row;
	size_t n_held = pairs_hold_out(p, .3, held, &by_row), n_seen = 0, n_known = 0, n_use = 0;
	struct course_options o = { .n_row = 400, .seed = 3 };
	const struct lm_example *batch;
	struct fault f;
	struct buf place = {0};
	size_t n;

	claim(n_held > 0 && !by_row, "some users are held out: %zu rows", n_held);
	int whole = 1;
	for (size_t i = 0; i < N; i++) {
		whole &= held[i] == held[i % N_USER];
		use[i] = !held[i];
		n_use += use[i];
	}
	claim(whole && n_held <= .3 * N + 1, "whole users, and no more rows than their share");
	claim(pairs_hold_out(p, .05, held, &by_row) > 0 && by_row, "rows, where every user has too many");
	struct course *c = course_new(p, lm, l, use, &o), *d = course_new(p, lm, l, use, &o);
	size_t times[N] = {0}, n_batch = 0, most = 0, least = SIZE_MAX;
	while (course_epoch(c) < 3 && course_next(c, &batch, &n, &f) == 0 && course_epoch(c) <= 3) {
		n_batch++;
		most = n > most ? n : most;
		least = n < least ? n : least;
		for (size_t i = 0; i < n; i++) {
			char text[3][120];
			struct buf b = {0};
			bpe_decode(lm->bpe, batch[i].target, batch[i].n, &b);
			for (size_t j = 0; j < N; j++) {
				row_text(j, text[0], text[1], text[2]);
				times[j] += b.n == strlen(text[1]) + 1 && memcmp(b.at + 1, text[1], b.n - 1) == 0;
			}
			buf_free(&b);
			n_seen++;
			n_known += batch[i].prompt.n > 0 && batch[i].prompt.row[batch[i].prompt.n - 1].source > 1;
		}
	}
	int right = n_seen == 3 * n_use;
	for (size_t j = 0; j < N; j++)
		right &= j == 0 || j == 4 || times[j] == (use[j] ? 3 : 0);
	claim(right, "in three epochs each row that is used comes three times, in %zu batches, and no other", n_batch);
	claim(most - least <= 1 && n_batch > 6, "batches have as many examples: %zu to %zu", least, most);
	claim(n_known > n_seen / 2 && n_known < n_seen, "some examples know nothing: %zu of %zu do know", n_known, n_seen);

	/* d goes on from where c stood */
	course_free(c);
	c = course_new(p, lm, l, use, &o);
	for (int i = 0; i < 8; i++)
		course_next(c, &batch, &n, &f);
	course_place(c, &place);
	right = course_go(d, buf_string(&place)) == 0;
	for (int i = 0; i < 9 && right; i++) {
		const struct lm_example *other;
		size_t n_other;
		course_next(c, &batch, &n, &f);
		course_next(d, &other, &n_other, &f);
		right = n == n_other;
		for (size_t k = 0; k < n && right; k++)
			right = batch[k].n == other[k].n && batch[k].prompt.n == other[k].prompt.n &&
			    memcmp(batch[k].prompt.row, other[k].prompt.row, batch[k].prompt.n * sizeof *batch[k].row) == 0;
	}
	claim(right, "a course goes on from \"%s\"", buf_string(&place));
	claim(course_go(d, "3 rows, batches of 400, seed 3: epoch 0, chunk 0, batch 1") < 0 && course_go(d, "nonsense") < 0,
	    "and from no other's place");
	buf_free(&place);
	course_free(c);
	course_free(d);
	pairs_free(p);
}

int
main(void)
{
	char folder[SCRATCH];
	struct embed *e;
	struct compose_limits l = { .n_question = 24, .n_item = 3, .n_item_token = 24, .n_text = 24 };

	if (!claim(scratch_folder(folder) == 0 && chdir(folder) == 0, "a folder for the test's files"))
		return 1;
	struct model *m = make_model(&e);
	if (!e)
		return 1;
	struct bpe *b = vocabulary();
	struct lm_shape s = { .n_layer = 1, .n_head = 2, .dim = 8, .n_inner = 16, .n_place = COMPOSE_TEXT_PLACE + 24, .n_vocab = bpe_n(b),
		.n_source = 5, .n_prefix = 2, .n_given = 2 * m->dim, .n_prefix_inner = 8, .two_way = 1, .copy = 1, .shift = 1 };
	float *numbers = xcalloc(lm_count(&s), sizeof *numbers);
	struct lm *lm = lm_new(&s, numbers, b);
	claim(m->dim == DIM, "the vectors have %d numbers", DIM);
	if (m->dim == DIM) {
		looks(m, e);
		examples(m, e, lm, &l, 1);
		examples(m, e, lm, &l, 0);
		courses(m, e, lm, &l);
	}
	lm_free(lm);
	bpe_free(b);
	free(numbers);
	embed_close(e);
	model_close(m);
	unlink("m");
	claim(chdir("/") == 0 && rmdir(folder) == 0, "nothing else was left behind");
	return claim_n_failed > 0;
}
