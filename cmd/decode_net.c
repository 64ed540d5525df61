/* hare-decode: texts by a server */
#include "decoding.h"

#include <err.h>

static int
on_reply(void *arg, size_t k, struct fault *f)
{
	struct decoding *d = arg;

	if (d->replies[k].failed) {
		d->n_failed++;
		if (!d->out)
			warnx("%s: %s", record_where(d->in, d->rows[k]), d->replies[k].fault.text);
	}
	if (decoding_put(d, d->rows[k], &d->replies[k], f) < 0)
		return -1;
	return decoding_flush(d, f);
}

static void
on_text(void *arg, size_t k, const char *at, size_t n)
{
	(void)k;
	decoding_put_piece(arg, at, n);
}

int
decoding_ask(struct decoding *d, size_t n_row, struct fault *f)
{
	struct net_watch watch = { .arg = d, .done = on_reply, .text = d->out ? NULL : on_text };
	size_t n = 0;

	for (size_t i = 0; i < n_row; i++) {
		if (d->answers[i].failed)
			continue;
		d->rows[n] = i;
		d->prompts[n++] = buf_span(&d->answers[i].text);
	}
	int status = net_chat(d->net, d->set->system, d->prompts, n, d->replies, &watch, f);
	if (status < 0) {
		/* the first row whose answer is missing is the one that failed */
		for (size_t k = 0; k < n; k++) {
			if (d->replies[k].failed && !net_options.keep_going)
				return decoding_at_row(d, d->rows[k], f);
		}
	}
	return status;
}
