/* hare-decode writes rows, or texts alone */
#include "decoding.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* A record of --plain; what of it was streamed already is not in text. */
static void
print_text(struct decoding *d, struct span text)
{
	if (d->n_told++ > 0 && !d->n_streamed)
		putchar('\n');
	d->n_streamed = 0;
	if (text.n > 0)
		fwrite(text.at, 1, text.n, stdout);
	putchar('\n');
}

int
decoding_put(struct decoding *d, size_t i, const struct net_answer *reply, struct fault *f)
{
	struct answer *a = &d->answers[i];
	struct span text = reply ? buf_span(&reply->text) : buf_span(&a->text);

	if (!d->out) {
		print_text(d, d->n_streamed ? (struct span){ NULL, 0 } : text);
		return 0;
	}
	record_row_begin(&a->cells, d->out);
	record_put_text(&a->cells, text.at ? text.at : "", reply && reply->failed ? 0 : text.n);
	if (reply) {
		record_put_text(&a->cells, reply->finish_reason, strlen(reply->finish_reason));
		for (int k = 0; k < 2; k++) {
			int64_t n = k == 0 ? reply->tokens_in : reply->tokens_out;
			if (n >= 0)
				record_put_integer(&a->cells, n);
			else
				record_put_text(&a->cells, "", 0);
		}
		if (d->set->mode == DECODE_ENDPOINT && net_options.keep_going)
			record_put_text(&a->cells, reply->fault.text, reply->failed ? strlen(reply->fault.text) : 0);
	}
	return record_emit(d->out, d->in, i, &a->cells, f);
}

int
decoding_flush(struct decoding *d, struct fault *f)
{
	if (d->out)
		return record_flush(d->out, f);
	return fflush(stdout) == 0 ? 0 : fault(f, EX_IOERR, "stdout: %s", strerror(errno));
}

void
decoding_put_piece(struct decoding *d, const char *at, size_t n)
{
	if (d->n_told > 0 && !d->n_streamed)
		putchar('\n');
	d->n_streamed = 1;
	fwrite(at, 1, n, stdout);
	fflush(stdout);
}
