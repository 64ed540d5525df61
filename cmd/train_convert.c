/* hare-train convert - a DECODER, or a GPT-2 checkpoint, with its numbers in another form */
#include "base/file.h"
#include "filter.h"
#include "mat/mat.h"
#include "train.h"
#include "train_lm.h"

static const char *output, *type_name = "int8";
static int no_model;

static const struct opt opts[] = {
	{ 'o', "output", OPT_FILE, &output, "DECODER", "the file to write", NULL, NULL },
	{ 0, "type", OPT_CHOICE, &type_name, "TYPE", "of the numbers that are written", "f32 bf16 int8", NULL },
	{ 0, "no-model", OPT_FLAG, &no_model, NULL, "leave out the MODEL that the DECODER holds", NULL, NULL },
	{ 0, NULL, OPT_END, NULL, NULL, NULL, NULL, NULL },
};

static int
run_convert(const struct opt_program *p, int n_operand, char **operand)
{
	struct lm *m = NULL;
	struct fault f;

	if (!output)
		opt_usage(p, "-o DECODER is missing");
	if (n_operand != 1)
		opt_usage(p, "expected one DECODER, got %d", n_operand);
	int status = mat_check(&f) < 0 || file_out_check(output, &f) < 0 || !(m = lm_open(operand[0], &f)) ||
	    lm_convert(m, output, train_type(type_name), !no_model, &f) < 0 ? f.status : EX_OK;
	status = filter_finish(NULL, NULL, status, &f);
	lm_free(m);
	return status;
}

const struct opt_program train_convert = {
	.name = "convert",
	.summary = "write the numbers of a language model in another form",
	.usage = "-o DECODER [--type f32|bf16|int8] [--no-model] DECODER",
	.opts = opts,
	.examples = "hare-train convert -o small.decoder --type int8 skills.decoder\n"
	    "hare-train convert -o gpt2.decoder --type int8 gpt2/model.safetensors\n",
	.run = run_convert,
};
