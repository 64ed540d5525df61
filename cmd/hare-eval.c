/* hare-eval - every system on the same events, by the same measures */
#include "base/file.h"
#include "base/opt.h"
#include "eval.h"

static const struct opt_program *const verbs[] = { &eval_replay, &eval_simulate, &eval_titles, NULL };

static const struct opt_program program = {
	.name = "hare-eval",
	.summary = "every system on the same events, by the same measures",
	.usage = "replay -m MODEL -p POOL... --events FILE --relevance FILE ...",
	.examples =
	    "  hare-eval replay -m skills.model -p skills.pool --events events.csv --relevance relevance.csv > tables.csv\n",
	.verbs = verbs,
};

int
main(int argc, char *argv[])
{
	file_init();
	return opt_run(&program, argc, argv);
}
