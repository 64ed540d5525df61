/* What is needed to go on: a tensor file of kind "checkpoint". */
#include "lm/fit_inside.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "tensor/tensor.h"

static const char *const name[] = { "numbers", "moment1", "moment2" };

int
lm_fit_save(const struct lm_fit *t, const char *path, const char *place, struct fault *f)
{
	const float *at[] = { t->numbers, t->moment1, t->moment2 };
	struct tensor_writer *w = tensor_create(path, "checkpoint", f);

	if (!w)
		return -1;
	tensor_set_meta(w, "steps", "%zu", t->n_done);
	tensor_set_meta(w, "place", "%s", place ? place : "");
	for (size_t k = 0; k < 3; k++)
		tensor_declare(w, name[k], TENSOR_F32, 1, &t->n_number);
	for (size_t k = 0; k < 3; k++)
		if (tensor_put(w, at[k], t->n_number * sizeof(float), f) < 0) {
			tensor_abort(w);
			return -1;
		}
	return tensor_commit(w, f);
}

int
lm_fit_load(struct lm_fit *t, const char *path, char **place, struct fault *f)
{
	float *to[] = { t->numbers, t->moment1, t->moment2 };
	struct tensor_file *file = tensor_open(path, "checkpoint", f);
	struct tensor part[3];
	double n_done;
	int bad = !file || tensor_meta_number(file, "steps", &n_done, f) < 0 || tensor_verify_all(file, f) < 0;

	for (size_t k = 0; !bad && k < 3; k++)
		bad = tensor_get(file, name[k], TENSOR_F32, 1, &t->n_number, &part[k], f) < 0;
	if (!bad) {
		const char *note = tensor_meta(file, "place");
		for (size_t k = 0; k < 3; k++)
			memcpy(to[k], part[k].at, part[k].n_byte);
		t->n_done = (size_t)n_done;
		*place = xstrdup(note ? note : "");
	}
	tensor_close(file);
	return bad ? -1 : 0;
}
