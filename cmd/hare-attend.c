/* hare-attend - attention of queries and their users over pools of knowledge */
#include <err.h>
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "attend_job.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/num.h"
#include "base/opt.h"
#include "base/rng.h"
#include "base/thread.h"
#include "belief/belief.h"
#include "filter.h"
#include "learn/learn.h"
#include "mat/mat.h"
#include "model/model.h"
#include "pool/pool.h"
#include "record/record.h"
#include "state/state.h"
#include "tensor/tensor.h"

enum { BATCH_ROWS = 256 };
/* No vector of a text is as long, and no constant as large; beyond it scores would leave the range of float. */
static const double LARGEST = 1e12;

struct attend_wish attend_wish;
static const char *model_name, *state_name, *npy_path;
static struct opt_list pool_name;
static double alpha = NAN, kappa = NAN, gain = NAN, beta = NAN, query_var = NAN, epsilon = NAN, delta = NAN;
static size_t n_top = 10;
static int no_x, trust, partial, merge;

static const struct opt opts[] = {
	{ 'm', "model", OPT_FILE, &model_name, "MODEL", "the embedding space, and the constants of attention", NULL,
	    "HARE_MODEL" },
	{ 'p', "pool", OPT_LIST, &pool_name, "POOL", "what is attended to; several act as one", NULL, "HARE_POOL" },
	{ 's', "state", OPT_FILE, &state_name, "STATE", "what is known of the users; without it, nobody is known", NULL,
	    "HARE_STATE" },
	{ 'k', "top", OPT_SIZE, &n_top, "N", "items to list", NULL, NULL },
	{ 'a', "alpha", OPT_REAL, &alpha, "A", "weight of the exploration bonus; default: the model's, times beta", NULL,
	    NULL },
	{ 0, "kappa", OPT_REAL, &kappa, "K", "widening by uncertainty, 0 for none; default: the model's", NULL, NULL },
	{ 0, "gain", OPT_REAL, &gain, "G", "weight of the user beside the query; default: the model's", NULL, NULL },
	{ 0, "query-var", OPT_REAL, &query_var, "V", "how far users differ in what their queries say; default: the state's, or the "
	    "model's", NULL, NULL },
	{ 0, "beta", OPT_REAL, &beta, "B", "scale of the logits; default: from the pool", NULL, NULL },
	{ 0, "choose", OPT_SIZE, &attend_wish.n_choose, "N", "also draw N items from the attention, with their propensity", NULL, NULL },
	{ 0, "seed", OPT_U64, &attend_wish.seed, "S", "of the draws, and of what --delta samples", NULL, NULL },
	{ 'e', "explain", OPT_FLAG, &attend_wish.explain, NULL, "one row per item instead: the parts of its logit", NULL, NULL },
	{ 0, "text", OPT_STRING, &attend_wish.text_name, "COLUMN", "with --explain: also this text column of the pool", NULL, NULL },
	{ 0, "epsilon", OPT_REAL, &epsilon, "E", "read only what is needed to know the weights within E; 0: all", NULL, NULL },
	{ 0, "delta", OPT_REAL, &delta, "D", "with --epsilon: more than E may be unread with this chance", NULL, NULL },
	{ 0, "trust", OPT_FLAG, &trust, NULL, "do not verify vectors and sketches of POOL before they are used", NULL, NULL },
	{ 0, "partial", OPT_FLAG, &partial, NULL, "what one shard of a pool adds to the answer", NULL, NULL },
	{ 0, "merge", OPT_FLAG, &merge, NULL, "puts together what all shards have said", NULL, NULL },
	{ 0, "npy", OPT_FILE, &npy_path, "FILE", "also write all z to FILE, as NPY", NULL, NULL },
	{ 0, "no-z", OPT_FLAG, &attend_wish.no_z, NULL, "leave out the column z", NULL, NULL },
	{ 0, "no-x", OPT_FLAG, &no_x, NULL, "do not pass on the column x", NULL, NULL },
	{ 0, NULL, OPT_TABLE, (void *)record_opts, NULL, NULL, NULL, NULL },
	{ 0, NULL, OPT_END, NULL, NULL, NULL, NULL, NULL },
};

/* -- opening -- */

static void
variances_of_user(const void *user, const float *x, const float *f, size_t n, double *variance, double *scratch)
{
	belief_variances(user, f, x, n, variance, scratch);
}

/* What the whole pool tells, of which this is a shard or all; merging has neither. */
static int
open_whole(struct attending *a, struct pool_whole *whole, struct fault *f)
{
	*whole = (struct pool_whole){ 1, 0, 0 };
	if (merge)
		return 0;
	if (!(a->pool = pool_open(pool_name.at, pool_name.n, a->model->space, model_name, f)))
		return -1;
	if (trust)
		pool_trust(a->pool);
	if (!isnan(delta) && (a->has_index = pool_index(a->pool, &a->index, f)) < 0)
		return -1;
	*whole = pool_whole(a->pool);
	if (!partial || whole->n == 0)
		*whole = (struct pool_whole){ pool_n(a->pool), 0, pool_score_sd(a->pool, NULL) };
	a->whole = *whole;
	if (whole->n == 0)
		return fault(f, EX_DATAERR, "%s: has no rows", pool_name.at[0]);
	if (whole->n - whole->first < pool_n(a->pool))
		return fault(f, EX_DATAERR, "%s: %zu rows from row %zu on are more than the %zu of the whole", pool_name.at[0], pool_n(a->pool),
		    whole->first, whole->n);
	return 0;
}

static int
open_pool(struct attending *a, struct fault *f)
{
	struct pool_whole whole;

	if (!(a->model = model_open(model_name, f)) || open_whole(a, &whole, f) < 0)
		return -1;
	size_t dim = a->model->dim;
	a->text_column = SIZE_MAX;
	if (attend_wish.text_name && strcmp(attend_wish.text_name, "id") != 0 &&
	    (a->text_column = pool_column(a->pool, attend_wish.text_name)) == SIZE_MAX)
		return fault(f, EX_DATAERR, "%s: no text column \"%s\"", pool_name.at[0],
		    fault_quote(attend_wish.text_name, strlen(attend_wish.text_name)));
	a->mean = xmalloc(dim, sizeof *a->mean);
	/* A belief lives with the MODEL, not with one POOL, and so do the features it was learnt from. */
	for (size_t d = 0; d < dim; d++)
		a->mean[d] = a->model->mean[d];
	a->prior = a->model->prior;
	if (!isnan(query_var))
		a->prior.query_var = query_var;
	a->set = (struct attend_settings){
		.gain = isnan(gain) ? a->model->gain : gain,
		.kappa = isnan(kappa) ? a->model->widening : kappa,
		.beta = !isnan(beta) ? beta : a->model->beta > 0 ? a->model->beta : attend_beta(whole.n, dim, whole.score_sd),
		.n_top = n_top,
		.n_thread = record_options.n_thread,
		.epsilon = isnan(epsilon) ? 0 : epsilon,
		.delta = isnan(delta) ? 0 : delta,
		.seed = attend_wish.seed,
		.n_whole = whole.n,
	};
	a->set.alpha = isnan(alpha) ? a->model->bonus * a->set.beta : alpha;
	double most = fmax(fmax(fabs(a->set.alpha), a->set.beta), fmax(fabs(a->set.gain), a->set.kappa));
	if (most > LARGEST)
		return fault(f, EX_USAGE, "alpha, beta, gain, kappa: expected at most %g, got %g", LARGEST, most);
	return 0;
}

/* 1 if the state is open, 0 if it is not there yet: then everybody is new. */
static int
open_state(struct attending *a, struct fault *f)
{
	if (a->has_learnt)
		return 1;
	if (!a->state && (!state_name || (access(state_name, F_OK) != 0 && errno == ENOENT)))
		return 0;
	if (!a->state && !(a->state = state_open(state_name, STATE_READ, f)))
		return -1;
	struct learn_settings known;
	a->has_learnt = learn_settings(a->state, &known, f);
	if (a->has_learnt < 0 || learn_check_space(&known, state_name, a->model->space, model_name, f) < 0)
		return -1;
	if (!a->has_learnt)
		return 1;
	if (known.dim != a->model->dim)
		return fault(f, EX_DATAERR, "%s: users have %zu dimensions, %s has %zu", state_name, known.dim, model_name,
		    a->model->dim);
	a->prior = known.prior;
	a->belief_dim = learn_belief_dim(&known);
	if (!isnan(query_var) && a->prior.has_query)
		a->prior.query_var = query_var;
	/* Features "x" are vectors as they are. */
	if (strcmp(known.feature, "x") == 0)
		memset(a->mean, 0, known.dim * sizeof *a->mean);
	return 1;
}

static int
open_records(struct attending *a, int n_file, char *const *file, struct fault *f)
{
	static const char *const explained[] = { "rank", "item", "weight", "content", "personal", "bonus", "temperature",
	    "logit" };
	static const char *const found[] = { "items", "weights", "entropy", "uncertainty" };
	static const char *const drawn[] = { "item", "propensity" };
	static const char *const certified[] = { "certificate", "read", "confidence" };
	const char *name[12];
	size_t n_name = 0;

	if (!(a->in = record_open(n_file, file, f)) || (a->x_column = record_need(a->in, "x", f)) < 0)
		return -1;
	/* Who names the column means it to be there. */
	const char *user = record_column_name("user");
	a->user_column = strcmp(user, "user") == 0 ? record_find(a->in, "user") : record_need(a->in, "user", f);
	if (a->user_column < 0 && strcmp(user, "user") != 0)
		return -1;
	if (attend_wish.explain) {
		for (size_t i = 0; i < sizeof explained / sizeof *explained; i++)
			name[n_name++] = explained[i];
		if (attend_wish.text_name)
			name[n_name++] = attend_wish.text_name;
	} else {
		if (!attend_wish.no_z)
			name[n_name++] = record_column_name("z");
		for (size_t i = 0; i < sizeof found / sizeof *found; i++)
			name[n_name++] = record_column_name(found[i]);
		for (size_t i = 0; attend_wish.has_certificate && i < 2 + (size_t)attend_wish.has_confidence; i++)
			name[n_name++] = record_column_name(certified[i]);
		for (size_t i = 0; attend_wish.n_choose > 0 && i < sizeof drawn / sizeof *drawn; i++)
			name[n_name++] = record_column_name(drawn[i]);
	}
	if (partial || merge)
		return attending_open_partial(a, merge, no_x, name, n_name, f);
	const int drop[] = { no_x ? a->x_column : -1, -1 };
	a->out = record_out_open(a->in, drop, name, n_name, f);
	return a->out ? 0 : -1;
}

/* Everything that a batch needs, taken once. */
static void
take_scratch(struct attending *a)
{
	size_t dim = a->model->dim, n_thread = record_options.n_thread;
	struct attend_pool pool = { .n_row = 1, .dim = dim, .n_cluster = a->model->n_cluster };
	if (a->pool)
		pool = attending_pool(a->pool, a->mean);
	pool.index = a->has_index ? &a->index : NULL;

	a->set.lambda = a->prior.lambda;
	a->set.query_var = belief_query_var(&a->prior);
	a->set.n_thread = n_thread;
	a->n_cluster = pool.n_cluster;
	/* A user's covariance, and its factor, may take dim x dim doubles each. */
	a->n_batch = attend_batch(pool.n_row ? pool.n_row : 1, state_name ? 2 * dim * dim * sizeof(double) : 0, BATCH_ROWS);
	if (a->pool && pool.n_row > 0)
		a->attend = attend_new(&pool, &a->set, a->n_batch);
	a->row = xcalloc(a->n_batch, sizeof *a->row);
	a->x = xcalloc(a->n_batch * dim, sizeof *a->x);
	a->bonus = xcalloc(a->n_batch * a->n_cluster, sizeof *a->bonus);
	a->query = xcalloc(a->n_batch, sizeof *a->query);
	a->result = xcalloc(a->n_batch, sizeof *a->result);
	a->cells = xcalloc(a->n_batch, sizeof *a->cells);
	a->person = xcalloc(a->n_batch, sizeof *a->person);
	for (a->n_slot = 1; a->n_slot < 2 * a->n_batch; a->n_slot *= 2)
		;
	a->by_name = xcalloc(a->n_slot, sizeof *a->by_name);
	a->aim = xcalloc(n_thread * dim, sizeof *a->aim);
	a->scratch = xcalloc(n_thread * dim, sizeof *a->scratch);
	a->cluster = xcalloc(a->n_cluster, sizeof *a->cluster);
	attend_wish.as_list = attend_wish.n_choose > 1;
	attend_wish.n_choose = attend_wish.n_choose < pool.n_row ? attend_wish.n_choose : pool.n_row;
	a->chosen = xcalloc(a->n_batch * attend_wish.n_choose, sizeof *a->chosen);
	a->propensity = xcalloc(a->n_batch * attend_wish.n_choose, sizeof *a->propensity);
	a->n_chosen = xcalloc(a->n_batch, sizeof *a->n_chosen);
}

static void
let_go(struct attending *a)
{
	for (size_t c = 0; a->cluster && c < a->n_cluster; c++)
		belief_cluster_free(a->cluster[c]);
	for (size_t i = 0; a->person && i < a->n_batch; i++) {
		belief_free(a->person[i].belief);
		belief_posterior_free(a->person[i].posterior);
		record_row_free(&a->cells[i]);
	}
	attending_partial_free(a);
	free(a->n_chosen);
	free(a->propensity);
	free(a->chosen);
	free(a->cluster);
	free(a->scratch);
	free(a->aim);
	free(a->by_name);
	free(a->person);
	free(a->cells);
	free(a->result);
	free(a->query);
	free(a->bonus);
	free(a->x);
	free(a->row);
	attend_free(a->attend);
	free(a->mean);
	pool_close(a->pool);
	model_close(a->model);
}

/* -- what the state knows -- */

static struct person *
find_person(struct attending *a, struct span name)
{
	uint64_t hash = hash64(name.at, name.n, 0);
	size_t slot = hash & (a->n_slot - 1);

	for (; a->by_name[slot]; slot = (slot + 1) & (a->n_slot - 1)) {
		struct person *p = a->by_name[slot];
		if (p->hash == hash && p->name.n == name.n && memcmp(p->name.at, name.at, name.n) == 0)
			return p;
	}
	struct person *p = a->by_name[slot] = &a->person[a->n_person++];
	p->name = name;
	p->hash = hash;
	p->is_known = p->failed = 0;
	return p;
}

static int
read_person(struct attending *a, struct person *p, struct buf *value, struct fault *f)
{
	int found;

	buf_clear(value);
	if ((found = state_get(a->state, "user", p->name, value, f)) <= 0)
		return found;
	if (!p->belief)
		p->belief = belief_new(a->belief_dim);
	if (belief_decode(p->belief, value->at, value->n, f) < 0) {
		struct fault why = *f;
		return fault(f, why.status, "%s: user \"%s\": %s", state_name, fault_quote(p->name.at, p->name.n), why.text);
	}
	p->is_known = belief_n(p->belief) > 0;
	return 0;
}

static void
solve_person(void *arg, size_t i, size_t worker)
{
	struct attending *a = arg;
	struct person *p = &a->person[i];

	(void)worker;
	if (!p->is_known)
		return;
	if (!p->posterior)
		p->posterior = belief_posterior_new(a->belief_dim);
	p->failed = belief_solve(p->posterior, p->belief, &a->prior, &p->fault) < 0;
}

/* A cluster of the state; those that did not change since the last batch are solved already. */
static int
read_cluster(void *arg, struct span key, uint64_t n, double last_time, struct span value, struct fault *f)
{
	struct attending *a = arg;
	uint64_t c;

	(void)last_time;
	if (num_read_u64(key.at, key.n, &c) < 0 || c >= a->n_cluster)
		return fault(f, EX_DATAERR, "%s: cluster %s: the pool has %zu clusters", state_name,
		    fault_quote(key.at, key.n), a->n_cluster);
	if (a->cluster[c] && belief_cluster_n(a->cluster[c]) == n)
		return 0;
	if (!a->cluster[c])
		a->cluster[c] = belief_cluster_new(a->model->dim);
	if (belief_cluster_decode(a->cluster[c], value.at, value.n, f) < 0 || belief_cluster_solve(a->cluster[c], f) < 0) {
		struct fault why = *f;
		return fault(f, why.status, "%s: cluster %s: %s", state_name, fault_quote(key.at, key.n), why.text);
	}
	a->has_bonus |= n > 0;
	return 0;
}

static int
read_clusters(struct attending *a, struct fault *f)
{
	char uuid[33];
	uint64_t generation;

	if (state_identity(a->state, uuid, &generation, f) < 0)
		return -1;
	if (generation + 1 == a->generation)
		return 0;
	a->generation = generation + 1;
	return state_each(a->state, "cluster", read_cluster, a, f);
}

/* Users and clusters as of one commit. */
static int
read_state(struct attending *a, struct fault *f)
{
	struct buf value = {0};
	int status = 0;

	if (state_begin_read(a->state, f) < 0)
		return -1;
	for (size_t i = 0; status == 0 && i < a->n_person; i++)
		status = read_person(a, &a->person[i], &value, f);
	if (status == 0 && a->set.alpha != 0)
		status = read_clusters(a, f);
	state_rollback(a->state);
	buf_free(&value);
	if (status < 0)
		return -1;
	thread_for(record_options.n_thread, a->n_person, solve_person, a);
	for (size_t i = 0; i < a->n_person; i++)
		if (a->person[i].failed)
			return fault(f, a->person[i].fault.status, "%s: user \"%s\": %s", state_name,
			    fault_quote(a->person[i].name.at, a->person[i].name.n), a->person[i].fault.text);
	return 0;
}

/* U_c of every cluster for one query; without observations it is the length of a unit vector. */
static void
find_bonus(void *arg, size_t i, size_t worker)
{
	struct attending *a = arg;
	size_t dim = a->model->dim;
	float *q = a->aim + worker * dim;

	attend_aim(a->query[i].x, a->query[i].query_weight, a->query[i].user_mean, attend_gain(a->set.gain, a->query[i].user_times), dim, q);
	double length = mat_normalise(q, dim);
	for (size_t c = 0; c < a->n_cluster; c++)
		a->bonus[i * a->n_cluster + c] = a->cluster[c] ?
		    belief_cluster_bonus(a->cluster[c], q, a->scratch + worker * dim) : length > 0;
	a->query[i].bonus = a->bonus + i * a->n_cluster;
}

/* -- a batch -- */

/* The queries of n records. Returns 0, or -1 with *f set for a record that ends the run: the queries before it are
   there nevertheless. */
int
attending_read_queries(struct attending *a, size_t n, struct fault *f)
{
	size_t dim = a->model->dim;

	a->n_query = 0;
	for (size_t i = 0; i < n; i++) {
		float *x = a->x + a->n_query * dim;
		if (a->passes && !a->passes[i])
			continue;
		int status = record_vector(a->in, i, a->x_column, x, dim, f);
		if (status == 0 && mat_norm(x, dim) > LARGEST)
			status = record_fault(a->in, i, a->x_column, f, "expected a vector of about unit length, got length %g",
			    mat_norm(x, dim));
		if (status < 0) {
			if (record_bad(a->in, f) < 0)
				return -1;
			continue;
		}
		a->query[a->n_query] = (struct attend_query){ .x = x };
		a->row[a->n_query++] = i;
	}
	return 0;
}

int
attending_ask_state(struct attending *a, struct fault *f)
{
	int is_open = open_state(a, f);

	if (is_open <= 0)
		return is_open;
	memset(a->by_name, 0, a->n_slot * sizeof(*a->by_name));
	a->n_person = 0;
	struct person **who = xcalloc(a->n_query, sizeof(*who));
	for (size_t i = 0; a->user_column >= 0 && i < a->n_query; i++) {
		struct span name = record_cell(a->in, a->row[i], a->user_column);
		if (name.n > 0)
			who[i] = find_person(a, name);
	}
	int status = read_state(a, f);
	for (size_t i = 0; status == 0 && i < a->n_query; i++)
		if (who[i] && who[i]->is_known) {
			a->query[i].user_mean = belief_mean(who[i]->posterior);
			belief_weights(a->query[i].user_mean, a->belief_dim, &a->prior, &a->query[i].query_weight, &a->query[i].user_times);
			if (!(fabs(a->query[i].query_weight) <= LARGEST) && status == 0)
				status = fault(f, EX_DATAERR, "%s: user \"%s\": what was learnt leads to numbers beyond %g", state_name,
				    fault_quote(who[i]->name.at, who[i]->name.n), LARGEST);
			a->query[i].variances = variances_of_user;
			a->query[i].user = who[i]->posterior;
			a->query[i].n_scratch = belief_scratch_many(who[i]->posterior, ATTEND_N_SHARP);
			a->n_known++;
		}
	free(who);
	/* Where no cluster has been observed the bonus is the same everywhere, and cancels. */
	if (status == 0 && a->has_bonus)
		thread_for(record_options.n_thread, a->n_query, find_bonus, a);
	return status;
}

static int
attend_batch_of(struct attending *a, size_t n, struct fault *f)
{
	struct fault bad;
	int stopped = attending_read_queries(a, n, &bad) < 0;

	if (a->n_query > 0) {
		if (attending_ask_state(a, f) < 0 || attend_run(a->attend, a->n_query, a->query, a->result, f) < 0 || attending_emit(a, f) < 0)
			return -1;
		a->n_asked += a->n_query;
		for (size_t i = 0; i < a->n_query; i++) {
			a->n_exact += a->result[i].read == 1;
			a->n_by_index += a->result[i].confidence < 1;
		}
	}
	if (stopped)
		*f = bad;
	return stopped ? -1 : 0;
}

static int
attend_all(struct attending *a, struct fault *f)
{
	ptrdiff_t n;

	while ((n = record_batch(a->in, a->n_batch, f)) > 0) {
		if (attend_batch_of(a, (size_t)n, f) < 0)
			return -1;
		if (record_would_block(a->in) && record_flush(a->out, f) < 0)
			return -1;
	}
	return (int)n;
}

static int
run(const struct opt_program *p, int n_operand, char **operand)
{
	struct attending a = { .user_column = -1 };
	struct fault f, closing;
	int is_open = 0;

	n_operand = filter_take_pools(&pool_name, n_operand, operand);
	if (!model_name)
		opt_usage(p, "expected a MODEL: -m or HARE_MODEL");
	if (pool_name.n == 0 && !merge)
		opt_usage(p, "expected a POOL: -p or HARE_POOL");
	if (n_top == 0)
		opt_usage(p, "-k: expected at least 1");
	if (!isnan(kappa) && kappa < 0)
		opt_usage(p, "--kappa: expected 0 or more, got %g", kappa);
	if (!isnan(query_var) && !(query_var >= 0 && query_var <= LARGEST))
		opt_usage(p, "--query-var: expected 0 to %g, got %g", LARGEST, query_var);
	if (!isnan(beta) && beta <= 0)
		opt_usage(p, "--beta: expected more than 0, got %g", beta);
	if (attend_wish.text_name && !attend_wish.explain)
		opt_usage(p, "--text: goes with --explain");
	if (attend_wish.n_choose > 0 && attend_wish.explain)
		opt_usage(p, "--choose: not together with --explain");
	if (!isnan(epsilon) && !(epsilon >= 0 && epsilon < 1))
		opt_usage(p, "--epsilon: expected 0 or more and less than 1, got %g", epsilon);
	if (!isnan(delta) && !(delta > 0 && delta < 1))
		opt_usage(p, "--delta: expected more than 0 and less than 1, got %g", delta);
	if (!isnan(delta) && !(epsilon > 0))
		opt_usage(p, "--delta: goes with --epsilon, more than 0");
	attend_wish.has_confidence = !isnan(delta);
	attend_wish.has_certificate = !isnan(epsilon) && !attend_wish.explain;
	if (partial && merge)
		opt_usage(p, "--partial and --merge are two steps");
	if ((partial || merge) && (attend_wish.explain || attend_wish.n_choose > 0 || !isnan(epsilon) || npy_path))
		opt_usage(p, "--explain, --choose, --epsilon, --npy: not together with --partial or --merge");
	if (partial && (pool_name.n != 1 || no_x || attend_wish.no_z))
		opt_usage(p, "--partial: expected one POOL, and neither --no-x nor --no-z, which go with --merge");

	int failed = mat_check(&f) < 0 || open_pool(&a, &f) < 0 || (is_open = open_state(&a, &f)) < 0 ||
	    open_records(&a, n_operand, operand, &f) < 0;
	if (!failed) {
		if (state_name && !is_open && !record_options.quiet)
			warnx("%s: not there yet: every user is new", state_name);
		take_scratch(&a);
		failed = (npy_path && !(a.npy = npy_create(npy_path, a.model->dim, &f))) || (partial || merge ? attending_all_partial(&a, &f) : attend_all(&a, &f)) < 0;
	}
	if (failed) {
		npy_abort(a.npy);
	} else if (a.npy && npy_commit(a.npy, &f) < 0) {
		failed = 1;
	}
	if (!failed && record_options.verbose && a.pool)
		warnx("%zu quer%s, %zu by known users; %zu rows of %zu, beta %.4g, alpha %.4g, gain %.4g, kappa %.4g",
		    a.n_asked, a.n_asked == 1 ? "y" : "ies", a.n_known, pool_n(a.pool), a.model->dim, a.set.beta,
		    a.set.alpha, a.set.gain, a.set.kappa);
	if (!failed && record_options.verbose && attend_wish.has_confidence)
		warnx("%zu of them by the index, within %g with confidence %g%s", a.n_by_index, epsilon, 1 - delta, !a.has_index ?
		    ": the pool has none, see hare-pool(1)" : a.n_by_index < a.n_asked ? "; the others are broad, or the pool is small" : "");
	if (!failed && record_options.verbose && attend_wish.has_certificate)
		warnx("%zu of them read the pool whole: %s", a.n_exact, a.pool && pool_has_sketch(a.pool) ?
		    "attention that is broad, or a small pool" : "it has no sketch, see hare-pool(1)");
	if (state_close(a.state, &closing) < 0 && !failed) {
		f = closing;
		failed = 1;
	}
	int status = filter_finish(a.in, a.out, failed ? f.status : EX_OK, &f);
	let_go(&a);
	return status;
}

static const struct opt_program program = {
	.name = "hare-attend",
	.summary = "attention of queries and their users over a pool of knowledge",
	.usage = "-m MODEL -p POOL... [-s STATE] [-k N] [--alpha A] [--kappa K] [--choose N] [file ...]\n"
	    "-m MODEL -p POOL... [-s STATE] --explain [-k N] [--text COLUMN] [file ...]\n"
	    "-m MODEL -p SHARD [-s STATE] --partial [file ...]\n"
	    "-m MODEL [-s STATE] --merge [file ...]",
	.opts = opts,
	.examples =
	    "  printf 'user,query\\nann,I need help writing tests\\n' |\n"
	    "    hare-embed -m skills.model -c query | hare-attend -m skills.model -p skills.pool -s team.state\n"
	    "  hare-embed -m skills.model -c query < q.csv |\n"
	    "    hare-attend -m skills.model -p skills.pool --explain --text title --no-x\n",
	.run = run,
};

int
main(int argc, char *argv[])
{
	file_init();
	return opt_run(&program, argc, argv);
}
