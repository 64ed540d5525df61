/*
 * POST /v1/embeddings
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "net/inside.h"

struct embeddings {
	struct net *n;
	const struct span *texts;       /* [n_text] */
	size_t n_text, dim;             /* dim 0: not known yet */
	float *at;                      /* [n_text][dim] */
};

static int
embeddings_begin(void *arg, size_t i, struct call *c)
{
	struct embeddings *e = arg;
	struct net *n = e->n;
	(void)i;

	c->url = n->embeddings_url;
	buf_puts(&c->request, "{\"model\":");
	if (json_put_string(&c->request, n->model, strlen(n->model)) < 0)
		return fault(&c->fault, EX_USAGE, "the model's name is not UTF-8");
	buf_puts(&c->request, ",\"input\":[");
	for (size_t k = 0; k < e->n_text; k++) {
		if (k)
			buf_putc(&c->request, ',');
		if (json_put_string(&c->request, e->texts[k].at ? e->texts[k].at : "", e->texts[k].n) < 0)
			return fault(&c->fault, EX_DATAERR, "text %zu of %zu is not UTF-8", k + 1, e->n_text);
	}
	buf_puts(&c->request, "]}");
	if (n->extra) {
		struct json *whole = json_read(c->request.at, c->request.n, "request", &c->fault);
		if (!whole || json_merge(whole, n->extra) < 0) {
			json_free(whole);
			return fault(&c->fault, EX_USAGE, "--extra cannot be merged into the request");
		}
		buf_clear(&c->request);
		json_put(&c->request, whole);
		json_free(whole);
	}
	return 0;
}

/* Numbers of one embedding, put into out [n_max]: their count, or SIZE_MAX if it is neither array nor base64 of numbers. */
static size_t
read_vector(const struct json *embedding, float *out, size_t n_max)
{
	struct span text = json_string(embedding);
	size_t n = json_count(embedding);

	if (json_is_array(embedding)) {
		for (size_t k = 0; k < n && k < n_max; k++)
			out[k] = (float)json_number(json_at(embedding, k), NAN);
		return n;
	}
	if (!json_is_string(embedding))
		return SIZE_MAX;
	unsigned char *bytes = xmalloc(text.n / 4 * 3 + 4, 1);
	ptrdiff_t n_byte = num_base64_read(bytes, text.at, text.n);
	n = n_byte < 0 || n_byte % 4 != 0 ? SIZE_MAX : (size_t)n_byte / 4;
	for (size_t k = 0; n != SIZE_MAX && k < n && k < n_max; k++) {
		const unsigned char *b = bytes + 4 * k;         /* little-endian whatever this machine is */
		uint32_t u = b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
		memcpy(out + k, &u, 4);
	}
	free(bytes);
	return n;
}

/* One item of the reply's data, which stands at place k of it. */
static int
take_item(struct embeddings *e, const struct json *item, size_t k, unsigned char *seen, struct call *c)
{
	const struct json *embedding = json_get(item, "embedding");
	int64_t index = json_integer(json_get(item, "index"), json_get(item, "index") ? -1 : (int64_t)k);

	if (index < 0 || (uint64_t)index >= e->n_text || seen[index])
		return call_fault(c->url, EX_UNAVAILABLE, &c->fault, "expected each index from 0 to %zu once, got another at place %zu",
		    e->n_text - 1, k);
	seen[index] = 1;
	if (e->dim == 0) {
		size_t dim = read_vector(embedding, NULL, 0);
		if (dim == 0 || dim > (size_t)1 << 20)
			return call_fault(c->url, EX_UNAVAILABLE, &c->fault, "embedding %zu: expected numbers, got none", k);
		e->dim = dim;
	}
	if (!e->at)
		e->at = xmalloc(e->n_text, e->dim * sizeof *e->at);
	float *out = e->at + (size_t)index * e->dim;
	size_t n = read_vector(embedding, out, e->dim);
	if (n == SIZE_MAX)
		return call_fault(c->url, EX_UNAVAILABLE, &c->fault, "embedding %zu: expected an array of numbers or base64 of float32", k);
	if (n != e->dim)
		return call_fault(c->url, EX_UNAVAILABLE, &c->fault, "embedding %zu: expected %zu numbers, got %zu", k, e->dim, n);
	for (size_t d = 0; d < e->dim; d++) {
		if (!isfinite(out[d]))
			return call_fault(c->url, EX_UNAVAILABLE, &c->fault, "embedding %zu: number %zu is not finite", k, d + 1);
	}
	return 0;
}

static int
embeddings_reply(void *arg, size_t i, struct call *c)
{
	struct embeddings *e = arg;
	struct fault ignored;
	struct json *j = json_read(c->reply.at ? c->reply.at : "", c->reply.n, "reply", &ignored);
	const struct json *data = json_get(j, "data");
	unsigned char *seen = xcalloc(e->n_text, 1);
	char message[304];
	int status = 0;
	(void)i;

	if (!j) {
		status = call_fault(c->url, EX_UNAVAILABLE, &c->fault, "expected JSON, got %s",
		    c->reply.n ? fault_quote(c->reply.at, c->reply.n) : "nothing");
	} else if (call_error(j)) {
		call_message(e->n, buf_span(&c->reply), message);
		status = call_fault(c->url, EX_UNAVAILABLE, &c->fault, "the server reports: %s", message);
	} else if (!json_is_array(data) || json_count(data) != e->n_text) {
		status = call_fault(c->url, EX_UNAVAILABLE, &c->fault, "expected %zu embeddings, got %zu", e->n_text, json_count(data));
	}
	for (size_t k = 0; k < e->n_text && status == 0; k++)
		status = take_item(e, json_at(data, k), k, seen, c);
	free(seen);
	json_free(j);
	return status;
}

static int
embeddings_done(void *arg, size_t i, const struct fault *failed, struct fault *f)
{
	(void)arg;
	(void)i;
	if (!failed)
		return 0;
	*f = *failed;
	return -1;
}

int
net_embed(struct net *n, const struct span *texts, size_t n_text, size_t *dim, float **vectors, struct fault *f)
{
	struct embeddings e = { .n = n, .texts = texts, .n_text = n_text, .dim = *dim };
	const struct call_kind kind = { .arg = &e, .begin = embeddings_begin, .reply = embeddings_reply, .done = embeddings_done };

	*vectors = NULL;
	if (n_text == 0)
		return 0;
	if (net_need_model(n, f) < 0)
		return -1;
	if (call_all(n, 1, 1, &kind, f) < 0) {
		free(e.at);
		return -1;
	}
	*dim = e.dim;
	*vectors = e.at;
	return 0;
}
