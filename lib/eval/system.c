#include "eval/system.h"

#include <string.h>

#include "base/mem.h"

const struct eval_system *const eval_systems[] = {
	&eval_hare, &eval_hare_nouser, &eval_hare_alpha0, &eval_hare_nowiden, &eval_hare_wide, &eval_hare_query, &eval_hare_nob0,
	&eval_hare_greedy, &eval_hare_deaf, &eval_hare_recall, &eval_hare_tuned, &eval_hare_heard,
	&eval_random, &eval_cosine, &eval_memory, &eval_rocchio, &eval_linucb_item, &eval_linucb_cluster, &eval_linucb_user,
	&eval_hybrid, &eval_thompson, &eval_history, &eval_prototype, &eval_generative, NULL
};

const struct eval_system *
eval_system_find(const char *name, size_t n, struct fault *f)
{
	struct buf known = {0};

	for (size_t i = 0; eval_systems[i]; i++)
		if (span_is((struct span){ name, n }, eval_systems[i]->name))
			return eval_systems[i];
	for (size_t i = 0; eval_systems[i]; i++)
		buf_printf(&known, " %s", eval_systems[i]->name);
	fault(f, EX_USAGE, "no system \"%s\"; there are%s", fault_quote(name, n), buf_string(&known));
	buf_free(&known);
	return NULL;
}
