#include "place.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

static int
changed(const struct place *p, const char *state_name, struct fault *f)
{
	return fault(f, EX_DATAERR, "%s: is no longer what it was when its first %llu rows were learnt into %s; "
	    "give it another name (--source) if it is another input", p->source, (unsigned long long)p->at.n_row, state_name);
}

static void
feed_row(struct place *p, const struct record_in *in, size_t i)
{
	struct span raw = record_raw(in, i);

	learn_trace_feed(p->trace, raw.at, raw.n);
	learn_trace_feed(p->trace, "\n", 1);
}

int
place_begin(struct place *p, struct record_in *in, const char *path, const char *name, struct state *state,
    const char *state_name, struct fault *f)
{
	struct stat st;

	p->at = p->done = (struct state_source){0};
	p->is_file = path && stat(path, &st) == 0 && S_ISREG(st.st_mode);
	if (name)
		p->source = xstrdup(name);
	else if (p->is_file && !(p->source = realpath(path, NULL)))
		return fault_errno(f, path, NULL);
	if (!p->source)
		return 0;
	int found = state_source(state, p->source, &p->at, f);
	if (found < 0 || !(p->trace = learn_trace_new(p->is_file ? path : NULL, f)))
		return -1;
	p->done = p->at;
	if (!found)
		return 0;
	if (p->is_file) {
		if (learn_trace_to(p->trace, p->at.offset, f) < 0)
			return f->status == EX_DATAERR ? changed(p, state_name, f) : -1;
		if (learn_trace_fingerprint(p->trace) != p->at.fingerprint)
			return changed(p, state_name, f);
		return record_skip_to(in, p->at.offset, p->at.n_line, f);
	}
	/* a pipe gives everything again: passed over row by row */
	for (uint64_t n = 0; n < p->at.n_row; n++) {
		ptrdiff_t got = record_batch(in, 1, f);
		if (got < 0)
			return -1;
		if (got == 0)
			return changed(p, state_name, f);
		feed_row(p, in, 0);
	}
	return learn_trace_fingerprint(p->trace) == p->at.fingerprint ? 0 : changed(p, state_name, f);
}

void
place_end(struct place *p)
{
	free(p->source);
	p->source = NULL;
	learn_trace_free(p->trace);
	p->trace = NULL;
}

void
place_read(struct place *p, const struct record_in *in, size_t i)
{
	if (p->trace && !p->is_file)
		feed_row(p, in, i);
	p->done.offset = record_end_offset(in, i);
	p->done.n_line = record_end_line(in, i);
	p->done.n_row++;
}

int
place_mark(struct place *p, struct fault *f)
{
	if (p->is_file && p->source && learn_trace_to(p->trace, p->done.offset, f) < 0)
		return -1;
	if (p->source)
		p->done.fingerprint = learn_trace_fingerprint(p->trace);
	p->done.time = (double)time(NULL);
	return 0;
}
