/* hare-decode: what a row asks for */
#include "decoding.h"

#include <string.h>

#include "text/text.h"

int
decoding_items(const struct decoding *d, size_t i, struct answer *a, struct fault *f)
{
	struct span list = record_cell(d->in, i, d->items);
	ptrdiff_t n_weight;
	float weight;

	a->n_item = 0;
	n_weight = record_vector_any(d->in, i, d->weights, &a->weights, f);
	if (n_weight < 0 && record_cell(d->in, i, d->weights).n > 0)
		return -1;
	for (size_t at = 0; at < list.n; ) {
		size_t from = at;
		while (at < list.n && list.at[at] != ' ')
			at++;
		struct span id = { list.at + from, at - from };
		at++;
		if (id.n == 0)
			continue;
		size_t row = pool_find(d->pool, id);
		if (row == SIZE_MAX)
			return record_fault(d->in, i, d->items, f, "expected ids of %s, got \"%s\"", d->set->pool.at[0],
			    fault_quote(id.at, id.n));
		a->items = xgrow(a->items, &a->n_item_cap, a->n_item + 1, sizeof *a->items);
		a->items[a->n_item++] = (struct decode_item){ .row = row };
	}
	if (n_weight < 0)
		n_weight = 0;
	if ((size_t)n_weight != a->n_item)
		return record_fault(d->in, i, d->weights, f, "expected %zu weights for as many items, got %td", a->n_item, n_weight);
	for (size_t k = 0; k < a->n_item; k++) {
		memcpy(&weight, a->weights.at + k * sizeof weight, sizeof weight);
		if (weight < 0)
			return record_fault(d->in, i, d->weights, f, "expected weights of at least 0, got %g", weight);
		a->items[k].weight = weight;
	}
	return 0;
}

struct span
decoding_query(const struct decoding *d, size_t i)
{
	return d->query < 0 ? (struct span){ "", 0 } : record_cell(d->in, i, d->query);
}

int
decoding_at_row(const struct decoding *d, size_t i, struct fault *f)
{
	struct fault why = *f;

	return fault(f, why.status, "%s: %s", record_where(d->in, i), why.text);
}

int
decoding_user(struct decoding *d, size_t i, struct fault *f)
{
	struct span user = d->user_column < 0 ? (struct span){ "", 0 } : record_cell(d->in, i, d->user_column);
	struct span last = buf_span(&d->user);

	if (d->has_user && user.n == last.n && memcmp(user.at, last.at ? last.at : "", user.n) == 0)
		return 0;
	buf_clear(&d->user);
	buf_put(&d->user, user.at, user.n);
	buf_clear(&d->value);
	d->has_user = 0;
	d->user_mean = NULL;
	d->n_event = 0;
	d->unknown = 1;
	if (d->state && user.n > 0) {
		int found = state_get(d->state, "user", user, &d->value, f);
		if (found < 0)
			return -1;
		if (found) {
			if (belief_decode(d->belief, d->value.at, d->value.n, f) < 0 ||
			    belief_solve(d->posterior, d->belief, &d->prior, f) < 0) {
				struct fault why = *f;
				return fault(f, why.status, "%s: user \"%s\": %s", d->set->state, fault_quote(user.at, user.n), why.text);
			}
			d->n_event = belief_n(d->belief);
			d->user_mean = belief_mean(d->posterior);
			d->unknown = belief_share_unknown(d->posterior);
		}
	}
	d->has_user = 1;
	return 1;
}

/* What is known of the row's user, into d->person. */
static int
describe_user(struct decoding *d, size_t i, struct fault *f)
{
	int is_other = decoding_user(d, i, f);

	if (is_other < 0 || (is_other == 0 && d->has_person))
		return is_other;
	buf_clear(&d->person);
	d->has_person = 0;
	if (decode_person(d->decode[0], d->user_mean, d->n_event, d->unknown, &d->person, f) < 0)
		return -1;
	d->has_person = 1;
	return 0;
}

int
decoding_prompt(struct decoding *d, size_t i)
{
	struct answer *a = &d->answers[i];
	struct decode_prompt p = { .template_text = d->template_text, .query = decoding_query(d, i),
		.budget_token = d->set->budget_token };

	a->n_item = 0;
	a->failed = 1;
	if (d->pool && decoding_items(d, i, a, &a->fault) < 0)
		return 0;
	/* a damaged state is not the row's fault: --skip-bad does not pass over it */
	if (d->set->state && d->pool) {
		if (describe_user(d, i, &a->fault) < 0)
			return -1;
		p.person = buf_span(&d->person);
	}
	if (decode_prompt(d->decode[0], &p, a->items, a->n_item, &a->text, &a->fault) < 0)
		decoding_at_row(d, i, &a->fault);
	else if (d->set->mode == DECODE_ENDPOINT && !text_is_valid(a->text.at ? a->text.at : "", a->text.n))
		record_fault(d->in, i, d->query, &a->fault, "expected UTF-8 for the request, got other bytes there or in the items");
	else
		a->failed = 0;
	return 0;
}
