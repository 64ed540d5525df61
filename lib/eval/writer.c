#include "eval/writer.h"

#include <stdlib.h>
#include <string.h>

static int
open_first(struct eval_decoder *d, const char *path, const char *model_path, struct fault *f)
{
	const char *space;

	if (!(d->lm = lm_open(path, f)) || compose_read_limits(&d->limits, d->lm, f) < 0)
		return -1;
	if (!d->lm->bpe)
		return fault(f, EX_DATAERR, "%s: has no vocabulary", path);
	if (tensor_has(d->lm->file, "model"))
		d->model = model_open_within(d->lm->file, f);
	else if (model_path)
		d->model = model_open(model_path, f);
	else
		fault(f, EX_USAGE, "%s: holds no MODEL: give the one that it was trained with, by --model or HARE_MODEL", path);
	if (!d->model)
		return -1;
	const struct lm_shape *s = &d->lm->shape;
	const char *name = tensor_path(d->model->file);
	if ((space = lm_meta(d->lm, "space")) && strcmp(space, d->model->space) != 0)
		return fault(f, EX_DATAERR, "%s: is of the space %s, %s of %s", path, space, name, d->model->space);
	if (s->n_prefix > 0 && s->n_given != 2 * d->model->dim)
		return fault(f, EX_DATAERR, "%s: its prefix is made of %zu numbers, expected %zu as %s has", path, s->n_given,
		    2 * d->model->dim, name);
	if (!(d->embed = embed_open(d->model, f)))
		return -1;
	if (embed_is_remote(d->embed))
		return fault(f, EX_DATAERR, "%s: has its vectors from a server, which is not asked here", name);
	return 0;
}

int
eval_decoder_open(struct eval_decoder *d, const char *const *path, size_t n, const char *model_path, struct fault *f)
{
	*d = (struct eval_decoder){0};
	if (open_first(d, path[0], model_path, f) < 0)
		return -1;
	d->beside = xcalloc(n, sizeof *d->beside);
	for (size_t i = 1; i < n; i++) {
		if (!(d->beside[d->n_beside] = compose_open_beside(path[i], d->lm, &d->limits, f)))
			return -1;
		d->n_beside++;
	}
	return 0;
}

void
eval_decoder_close(struct eval_decoder *d)
{
	for (size_t i = 0; i < d->n_beside; i++)
		lm_free(d->beside[i]);
	free(d->beside);
	embed_close(d->embed);
	model_close(d->model);
	lm_free(d->lm);
	*d = (struct eval_decoder){0};
}

struct lm_run *
eval_decoder_run(const struct eval_decoder *d, size_t n_slot)
{
	const struct compose_limits *l = &d->limits;
	size_t n_row = d->lm->shape.n_prefix + l->n_question + l->n_item * l->n_item_token + l->n_text;
	struct lm_run *r = lm_run_new(d->lm, n_slot, n_row, 1);

	for (size_t i = 0; i < d->n_beside; i++)
		lm_run_add(r, d->beside[i]);
	return r;
}

int
eval_prompt_make(struct eval_prompt *p, const struct eval_decoder *d, struct pairs_look *look, struct span question,
    const float *x, const float *const *row, const struct span *title, size_t n, struct fault *f)
{
	p->seen = xgrow(p->seen, &p->n_seen_cap, n + 1, sizeof *p->seen);
	p->item = xgrow(p->item, &p->n_item_cap, n + 1, sizeof *p->item);
	p->n = n;
	if (!p->given)
		p->given = xmalloc(2 * d->model->dim, sizeof *p->given);
	if (pairs_look(look, x, row, n, p->given, p->seen, f) < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		p->item[i] = (struct compose_item){ title[p->seen[i].row], p->seen[i].weight };
	compose_prompt(&p->compose, d->lm, &d->limits, question, p->item, n);
	p->prompt = (struct lm_prompt){ .given = p->given, .row = p->compose.row,
		.n = p->compose.n };
	return 0;
}

void
eval_prompt_options(const struct eval_prompt *p, const struct eval_decoder *d, struct lm_options *o)
{
	lm_options_default(o);
	compose_options(d->lm, &d->limits, o);
	if (d->lm->shape.n_source == 0)
		o->place = (uint32_t)p->prompt.n;
	o->n_token_min = 2;
	o->temperature = 0;
}

void
eval_prompt_free(struct eval_prompt *p)
{
	compose_free(&p->compose);
	free(p->seen);
	free(p->item);
	free(p->given);
	*p = (struct eval_prompt){0};
}
