#include "belief/belief.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "base/hash.h"
#include "belief/store.h"
#include "mat/mat.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "beliefs are stored as they lie in memory");

enum { MAGIC = 0x4C424248, VERSION = 1, FORM_OBSERVATIONS = 1, FORM_SUMS = 2 };        /* "HBBL" */

/* What stands before the numbers of a stored belief. */
struct head {
	uint32_t magic;
	uint16_t version, form;
	uint32_t dim, zero;
	uint64_t n;
	double first, last;
};
_Static_assert(sizeof(struct head) == 40, "no padding");

struct belief *
belief_new(size_t dim)
{
	struct belief *b = xcalloc(1, sizeof *b);

	assert(dim > 0 && dim < 1u << 20);
	b->dim = dim;
	return b;
}

void
belief_free(struct belief *b)
{
	if (!b)
		return;
	buf_free(&b->obs);
	free(b->sum);
	free(b);
}

void
belief_clear(struct belief *b)
{
	b->n = 0;
	b->first = b->last = 0;
	b->is_sums = 0;
	buf_clear(&b->obs);
}

size_t
belief_dim(const struct belief *b)
{
	return b->dim;
}

uint64_t
belief_n(const struct belief *b)
{
	return b->n;
}

double
belief_first_time(const struct belief *b)
{
	return b->first;
}

double
belief_last_time(const struct belief *b)
{
	return b->last;
}

void
belief_extend(const float *f, const float *x, size_t dim, float *out)
{
	memmove(out, f, dim * sizeof *out);
	out[dim] = x ? (float)mat_dot64(f, x, dim) : 0;
}

double
belief_weight(double age, double half_life)
{
	return half_life > 0 ? exp2(-age / half_life) : 1;
}

/* Observations stay as they are while that takes no more bytes than their sums. */
static int
sums_are_smaller(size_t dim, uint64_t n)
{
	return n > 8 * sum_count(dim) / obs_bytes(dim);
}

static double *
sum_room(struct belief *b)
{
	if (!b->sum)
		b->sum = xmalloc(sum_count(b->dim), sizeof *b->sum);
	return b->sum;
}

/* Sums that stand for time b->last are made to stand for a later one. */
static void
sum_decay(struct belief *b, double time, double half_life)
{
	double keep = belief_weight(time - b->last, half_life);

	if (keep != 1)
		for (size_t i = 0; i < sum_count(b->dim); i++)
			b->sum[i] *= keep;
	b->last = time;
}

/* Each entry gains one product by one addition for each observation, in the order in which they came, so that a cut
   of the stream cannot be seen in the bits. The file is compiled without contraction to fma (-ffp-contract=off). */
static void
sum_learn(struct belief *b, struct observation o, double half_life)
{
	size_t dim = b->dim;
	double w = 1, *sum = b->sum, *linear = sum + 3, *target = linear + dim, *packed = target + dim;

	if (b->n == 0) {
		b->first = b->last = o.time;
	} else if (o.time > b->last) {
		sum_decay(b, o.time, half_life);
	} else {
		w = belief_weight(b->last - o.time, half_life);
		if (o.time < b->first)
			b->first = o.time;
	}
	double wr = w * o.reward;
	sum[0] += w;
	sum[1] += wr;
	sum[2] += wr * o.reward;
	for (size_t i = 0; i < dim; i++) {
		linear[i] += w * o.f[i];
		target[i] += wr * o.f[i];
	}
	for (size_t i = 0; i < dim; i++) {
		double wf = w * o.f[i];
		for (size_t j = 0; j <= i; j++)
			packed[j] += wf * o.f[j];
		packed += i + 1;
	}
	b->n++;
}

/* From observations to sums, in the order in which they lie. */
static void
fold(struct belief *b, double half_life)
{
	size_t n = b->n;

	assert(!b->is_sums);
	memset(sum_room(b), 0, sum_count(b->dim) * sizeof *b->sum);
	b->is_sums = 1;
	b->n = 0;
	for (size_t i = 0; i < n; i++)
		sum_learn(b, belief_at(b, i), half_life);
	buf_clear(&b->obs);
}

int
belief_learn(struct belief *b, const float *f, double reward, double time, double half_life, struct fault *fault_out)
{
	if (!(fabs(reward) <= BELIEF_REWARD_MAX) || !isfinite(time))
		return fault(fault_out, EX_DATAERR, "expected a reward of at most %g and a finite time, got %g and %g",
		    BELIEF_REWARD_MAX, reward, time);
	for (size_t i = 0; i < b->dim; i++)
		if (!isfinite(f[i]))
			return fault(fault_out, EX_DATAERR, "number %zu of the features is not finite", i + 1);
	if (b->is_sums) {
		sum_learn(b, (struct observation){ time, reward, f }, half_life);
		return 0;
	}
	buf_put(&b->obs, &time, 8);
	buf_put(&b->obs, &reward, 8);
	buf_put(&b->obs, f, 4 * b->dim);
	b->first = b->n == 0 || time < b->first ? time : b->first;
	b->last = b->n == 0 || time > b->last ? time : b->last;
	b->n++;
	if (sums_are_smaller(b->dim, b->n))
		fold(b, half_life);
	return 0;
}

static int
by_time_reward_bytes(const void *a, const void *b, void *arg)
{
	double tx[2], ty[2];    /* time and reward; rows are not aligned to 8 */

	memcpy(tx, a, 16);
	memcpy(ty, b, 16);
	for (int i = 0; i < 2; i++)
		if (tx[i] != ty[i])
			return tx[i] < ty[i] ? -1 : 1;
	/* whole rows, not only f: 0 and -0 are equal as numbers but not as bytes */
	return memcmp(a, b, *(const size_t *)arg);
}

static void
sort_observations(struct belief *b)
{
	size_t row = obs_bytes(b->dim);

	if (b->n > 1)
		qsort_r(b->obs.at, b->n, row, by_time_reward_bytes, &row);
}

static void
copy(struct belief *to, const struct belief *from)
{
	belief_clear(to);
	to->n = from->n;
	to->first = from->first;
	to->last = from->last;
	to->is_sums = from->is_sums;
	if (from->is_sums)
		memcpy(sum_room(to), from->sum, sum_count(to->dim) * sizeof *to->sum);
	else
		buf_put(&to->obs, from->obs.at, from->obs.n);
}

void
belief_merge(struct belief *b, const struct belief *other, double half_life)
{
	assert(b->dim == other->dim);
	if (other->n == 0)
		return;
	if (b->n == 0) {
		copy(b, other);
		return;
	}
	if (!b->is_sums && !other->is_sums) {
		buf_put(&b->obs, other->obs.at, other->obs.n);
		b->n += other->n;
		b->first = fmin(b->first, other->first);
		b->last = fmax(b->last, other->last);
		/* an order that does not tell whose they were */
		sort_observations(b);
		if (sums_are_smaller(b->dim, b->n))
			fold(b, half_life);
		return;
	}
	struct belief *part = belief_new(b->dim);
	copy(part, other);
	if (!b->is_sums) {
		sort_observations(b);
		fold(b, half_life);
	}
	if (!part->is_sums) {
		sort_observations(part);
		fold(part, half_life);
	}
	double last = fmax(b->last, part->last);
	sum_decay(b, last, half_life);
	sum_decay(part, last, half_life);
	for (size_t i = 0; i < sum_count(b->dim); i++)
		b->sum[i] += part->sum[i];
	b->n += part->n;
	b->first = fmin(b->first, part->first);
	belief_free(part);
}

/* -- as bytes and as numbers -- */

void
belief_encode(const struct belief *b, struct buf *out)
{
	struct head h = {
		MAGIC, VERSION, b->is_sums ? FORM_SUMS : FORM_OBSERVATIONS, (uint32_t)b->dim, 0, b->n, b->first, b->last
	};

	buf_put(out, &h, sizeof h);
	if (b->is_sums)
		buf_put(out, b->sum, sum_count(b->dim) * sizeof *b->sum);
	else
		buf_put(out, b->obs.at, b->obs.n);
}

/* The numbers of a belief that was just read. Not finite ones would spread silently; so would times outside of
   [first, last], from which weights above 1 follow. */
static int
doubt(const struct belief *b, struct fault *f)
{
	if (b->n == 0 || !isfinite(b->first) || !isfinite(b->last) || b->first > b->last)
		return fault(f, EX_DATAERR, "belief with %llu observations from time %g to %g",
		    (unsigned long long)b->n, b->first, b->last);
	if (b->is_sums) {
		for (size_t i = 0; i < sum_count(b->dim); i++)
			if (!isfinite(b->sum[i]))
				return fault(f, EX_DATAERR, "belief whose sum %zu is not finite", i);
		/* no weight is above 1 */
		if (b->sum[0] < 0 || b->sum[0] > (double)b->n * (1 + 1e-9))
			return fault(f, EX_DATAERR, "belief of %llu observations with weights of %g", (unsigned long long)b->n,
			    b->sum[0]);
		return 0;
	}
	if (sums_are_smaller(b->dim, b->n))
		return fault(f, EX_DATAERR, "belief of %llu observations, of which only the sums should be kept",
		    (unsigned long long)b->n);
	for (size_t i = 0; i < b->n; i++) {
		struct observation o = belief_at(b, i);
		int right = fabs(o.reward) <= BELIEF_REWARD_MAX && o.time >= b->first && o.time <= b->last;
		for (size_t j = 0; j < b->dim; j++)
			right &= isfinite(o.f[j]) != 0;
		if (!right)
			return fault(f, EX_DATAERR, "belief whose observation %zu is none", i + 1);
	}
	return 0;
}

int
belief_decode(struct belief *b, const void *at, size_t n, struct fault *f)
{
	struct head h;

	belief_clear(b);
	if (n < sizeof h)
		return fault(f, EX_DATAERR, "belief of %zu bytes is too short", n);
	memcpy(&h, at, sizeof h);
	if (h.magic != MAGIC || h.zero != 0)
		return fault(f, EX_DATAERR, "these bytes are no belief");
	if (h.version != VERSION)
		return fault(f, EX_DATAERR, "belief of format %u was written by a newer version of hare", h.version);
	if (h.dim != b->dim)
		return fault(f, EX_DATAERR, "belief of dimension %u, expected %zu", h.dim, b->dim);
	const char *body = (const char *)at + sizeof h;
	n -= sizeof h;
	if (h.form == FORM_OBSERVATIONS && h.n == n / obs_bytes(b->dim) && n % obs_bytes(b->dim) == 0) {
		buf_put(&b->obs, body, n);
	} else if (h.form == FORM_SUMS && n == sum_count(b->dim) * sizeof *b->sum) {
		memcpy(sum_room(b), body, n);
		b->is_sums = 1;
	} else {
		return fault(f, EX_DATAERR, "belief of form %u with %llu observations has %zu bytes", h.form,
		    (unsigned long long)h.n, n);
	}
	b->n = h.n;
	b->first = h.first;
	b->last = h.last;
	if (b->n == 0 && !b->is_sums)
		return 0;
	if (doubt(b, f) < 0) {
		belief_clear(b);
		return -1;
	}
	return 0;
}

uint64_t
belief_digest(const struct belief *b)
{
	struct buf bytes = {0};

	belief_encode(b, &bytes);
	uint64_t digest = hash64(bytes.at, bytes.n, 0);
	buf_free(&bytes);
	return digest;
}

const char *
belief_form(const struct belief *b)
{
	return b->is_sums ? "sums" : "observations";
}

void
belief_export(const struct belief *b, struct buf *numbers)
{
	if (b->is_sums) {
		buf_put(numbers, b->sum, sum_count(b->dim) * sizeof *b->sum);
		return;
	}
	for (size_t i = 0; i < b->n; i++) {
		struct observation o = belief_at(b, i);
		buf_put(numbers, &o.time, 8);
		buf_put(numbers, &o.reward, 8);
		for (size_t j = 0; j < b->dim; j++) {
			double v = o.f[j];
			buf_put(numbers, &v, 8);
		}
	}
}

int
belief_import(struct belief *b, const char *form, uint64_t n, double first_time, double last_time, const double *number,
    size_t n_number, struct fault *f)
{
	belief_clear(b);
	if (strcmp(form, "sums") == 0) {
		if (n_number != sum_count(b->dim))
			return fault(f, EX_DATAERR, "expected %zu sums, got %zu numbers", sum_count(b->dim), n_number);
		memcpy(sum_room(b), number, n_number * sizeof *number);
		b->is_sums = 1;
	} else if (strcmp(form, "observations") == 0) {
		size_t n_each = 2 + b->dim;
		if (n_number % n_each != 0 || n_number / n_each != n)
			return fault(f, EX_DATAERR, "expected %llu observations of %zu numbers, got %zu numbers",
			    (unsigned long long)n, n_each, n_number);
		for (size_t i = 0; i < n; i++, number += n_each) {
			buf_put(&b->obs, number, 16);
			for (size_t j = 0; j < b->dim; j++) {
				float v = (float)number[2 + j];
				if ((double)v != number[2 + j]) {
					belief_clear(b);
					return fault(f, EX_DATAERR, "feature %zu of observation %zu is no float32",
					    j + 1, i + 1);
				}
				buf_put(&b->obs, &v, 4);
			}
		}
	} else {
		return fault(f, EX_DATAERR, "expected observations or sums, got %s", fault_quote(form, strlen(form)));
	}
	b->n = n;
	b->first = first_time;
	b->last = last_time;
	if (doubt(b, f) < 0) {
		belief_clear(b);
		return -1;
	}
	return 0;
}
