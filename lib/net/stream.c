/*
 * Server-sent events (WHATWG HTML, "Event stream interpretation"), as far as the protocol uses them: lines end in LF,
 * CR or CRLF, wherever the bytes were cut on their way; ":" begins a comment; the data lines of an event are joined by LF.
 */
#include <string.h>

#include "net/inside.h"

static int
line_end(struct stream *s, int (*event)(void *arg, struct span data), void *arg)
{
	struct span line = buf_span(&s->line);
	int status = 0;

	if (!s->first_line_begun) {
		s->first_line_begun = 1;
		if (line.n >= 3 && memcmp(line.at, "\xEF\xBB\xBF", 3) == 0)
			line = (struct span){ line.at + 3, line.n - 3 };
	}
	if (line.n == 0) {
		struct span data = buf_span(&s->data);
		if (s->has_data && !s->ended) {
			if (span_is(data, "[DONE]"))
				s->ended = 1;
			else if (data.n > 0)
				status = event(arg, data);
		}
		buf_clear(&s->data);
		s->has_data = 0;
	} else if (line.n >= 5 && memcmp(line.at, "data:", 5) == 0) {
		size_t from = line.n > 5 && line.at[5] == ' ' ? 6 : 5;
		if (s->has_data)
			buf_putc(&s->data, '\n');
		buf_put(&s->data, line.at + from, line.n - from);
		s->has_data = 1;
		/* some servers close right after this line, without the blank one that should follow */
		if (span_is(buf_span(&s->data), "[DONE]"))
			s->ended = 1;
	}
	buf_clear(&s->line);
	return status;
}

int
stream_bytes(struct stream *s, const char *at, size_t n, int (*event)(void *arg, struct span data), void *arg)
{
	for (size_t i = 0; i < n; ) {
		if (s->after_cr) {
			s->after_cr = 0;
			if (at[i] == '\n') {
				i++;
				continue;
			}
		}
		size_t from = i;
		while (i < n && at[i] != '\n' && at[i] != '\r')
			i++;
		buf_put(&s->line, at + from, i - from);
		if (i < n) {
			s->after_cr = at[i++] == '\r';
			if (line_end(s, event, arg) < 0)
				return -1;
		}
	}
	return 0;
}

void
stream_clear(struct stream *s)
{
	buf_clear(&s->line);
	buf_clear(&s->data);
	s->after_cr = s->has_data = s->ended = s->first_line_begun = 0;
}

void
stream_free(struct stream *s)
{
	buf_free(&s->line);
	buf_free(&s->data);
	*s = (struct stream){ 0 };
}
