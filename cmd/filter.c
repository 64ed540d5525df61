#include "filter.h"

#include <err.h>

#include "base/file.h"

int
filter_finish(struct record_in *in, struct record_out *out, int status, const struct fault *f)
{
	struct fault closing;

	if (status != EX_OK)
		warnx("%s", f->text);
	if (in && record_n_bad(in) > 0 && !record_options.quiet) {
		const char *text;
		size_t n_told = 0;

		for (; (text = record_bad_text(in, n_told)); n_told++)
			warnx("%s", text);
		warnx("%zu bad row%s skipped%s", record_n_bad(in), record_n_bad(in) == 1 ? "" : "s",
		    n_told < record_n_bad(in) ? "; the first of them are told above" : "");
	}
	if (record_out_close(out, &closing) < 0 && status == EX_OK) {
		warnx("%s", closing.text);
		status = closing.status;
	}
	record_close(in);
	return file_stdout_close(status);
}
