/*
 * Where the server is, what opens it, and which model it has.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "net/inside.h"

/* 1 if a component of the path names a version: /v1, /v1beta/openai, /api/v3 */
static int
has_version(const char *path)
{
	for (const char *s = path; (s = strstr(s, "/v")); s += 2) {
		if (isdigit((unsigned char)s[2]))
			return 1;
	}
	return 0;
}

static int
ends_in(const char *s, size_t n, const char *tail)
{
	size_t n_tail = strlen(tail);

	return n >= n_tail && memcmp(s + n - n_tail, tail, n_tail) == 0;
}

static char *
url_of(CURLU *u, const char *base, const char *tail)
{
	struct buf path = { 0 };
	char *url = NULL, *mine;

	buf_printf(&path, "%s%s", base, tail);
	curl_url_set(u, CURLUPART_PATH, buf_string(&path), 0);
	curl_url_get(u, CURLUPART_URL, &url, 0);
	mine = url ? xstrdup(url) : NULL;
	curl_free(url);
	buf_free(&path);
	return mine;
}

static int
find_urls(struct net *n, const char *url, struct fault *f)
{
	static const char *const tails[] = { "/chat/completions", "/completions", "/embeddings", "/models" };
	CURLU *u = curl_url();
	char *scheme = NULL, *user = NULL, *path = NULL;
	struct buf base = { 0 };
	int status = 0;

	if (curl_url_set(u, CURLUPART_URL, url, 0) != CURLUE_OK || curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
	    (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0)) {
		/* what holds a @ may hold a password: it is not repeated */
		status = fault(f, EX_USAGE, "--endpoint: expected http://HOST or https://HOST%s%s",
		    strchr(url, '@') ? "" : ", got ", strchr(url, '@') ? "" : fault_quote(url, strlen(url)));
	} else if (curl_url_get(u, CURLUPART_USER, &user, 0) == CURLUE_OK) {
		status = fault(f, EX_USAGE, "--endpoint: a URL may hold no user or password, others can see it there: "
		    "use HARE_API_KEY or --key-file");
	} else {
		curl_url_get(u, CURLUPART_PATH, &path, 0);
		size_t n_path = path ? strlen(path) : 0;
		while (n_path > 0 && path[n_path - 1] == '/')
			n_path--;
		for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
			if (ends_in(path, n_path, tails[i])) {
				n_path -= strlen(tails[i]);
				break;
			}
		}
		while (n_path > 0 && path[n_path - 1] == '/')
			n_path--;
		buf_put(&base, path, n_path);
		if (!has_version(buf_string(&base)))
			buf_puts(&base, "/v1");
		curl_url_set(u, CURLUPART_FRAGMENT, NULL, 0);
		n->chat_url = url_of(u, buf_string(&base), "/chat/completions");
		n->embeddings_url = url_of(u, buf_string(&base), "/embeddings");
		n->models_url = url_of(u, buf_string(&base), "/models");
		if (!n->chat_url || !n->embeddings_url || !n->models_url)
			status = fault(f, EX_USAGE, "--endpoint: expected a URL, got %s", fault_quote(url, strlen(url)));
	}
	curl_free(scheme);
	curl_free(user);
	curl_free(path);
	curl_url_cleanup(u);
	buf_free(&base);
	return status;
}

/* A key goes into a header, so it must be one word of printable ASCII; it is in no message, also when it is wrong. */
static int
take_key(struct net *n, const char *at, size_t n_byte, const char *source, struct fault *f)
{
	while (n_byte > 0 && isspace((unsigned char)at[n_byte - 1]))
		n_byte--;
	while (n_byte > 0 && isspace((unsigned char)*at))
		at++, n_byte--;
	for (size_t i = 0; i < n_byte; i++) {
		if ((unsigned char)at[i] <= ' ' || (unsigned char)at[i] >= 0x7F)
			return fault(f, EX_DATAERR, "%s: expected a key of one word without blanks (byte %zu is another)", source, i + 1);
	}
	if (n_byte > 0) {
		n->key = xstrndup(at, n_byte);
		n->key_source = source;
	}
	return 0;
}

static int
find_key(struct net *n, struct fault *f)
{
	const char *path = n->o->key_file;
	char text[4097];

	if (path) {
		FILE *file = fopen(path, "re");
		size_t got = file ? fread(text, 1, sizeof text, file) : 0;
		if (!file || ferror(file)) {
			fault_errno(f, path, NULL);
			if (file)
				fclose(file);
			return -1;
		}
		fclose(file);
		if (got == sizeof text)
			return fault(f, EX_DATAERR, "%s: expected a key, got more than 4096 bytes", path);
		if (take_key(n, text, got, path, f) < 0)
			return -1;
		return n->key ? 0 : fault(f, EX_DATAERR, "%s: expected a key, got an empty file", path);
	}
	static const char *const names[] = { "HARE_API_KEY", "OPENAI_API_KEY" };
	for (size_t i = 0; i < 2 && !n->key; i++) {
		const char *key = getenv(names[i]);
		if (key && take_key(n, key, strlen(key), names[i], f) < 0)
			return -1;
	}
	return 0;
}

static int
check_options(const struct net_options *o, struct fault *f)
{
	if (!(o->connect_timeout_s > 0) || !(o->idle_timeout_s > 0) || !(o->total_timeout_s > 0))
		return fault(f, EX_USAGE, "time-outs must be more than 0 seconds");
	if (o->connect_timeout_s > 1e6 || o->idle_timeout_s > 1e6 || o->total_timeout_s > 1e6 || o->retry_wait_s > 1e4)
		return fault(f, EX_USAGE, "time-outs must be at most 1000000 seconds, --retry-wait at most 10000");
	if (!(o->retry_wait_s >= 0))
		return fault(f, EX_USAGE, "--retry-wait must be at least 0 seconds");
	if (o->n_try < 1 || o->n_try > 30)
		return fault(f, EX_USAGE, "--tries: expected 1 to 30, got %zu", o->n_try);
	if (o->n_parallel < 1 || o->n_parallel > 1024)
		return fault(f, EX_USAGE, "--jobs: expected 1 to 1024, got %zu", o->n_parallel);
	uint64_t seed;
	if (o->seed && num_read_u64(o->seed, strlen(o->seed), &seed) < 0)
		return fault(f, EX_USAGE, "--seed: expected a whole number, got %s", fault_quote(o->seed, strlen(o->seed)));
	return 0;
}

struct net *
net_open(const struct net_options *o, struct fault *f)
{
	struct net *n = xcalloc(1, sizeof *n);
	struct buf header = { 0 };

	n->o = o;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0) {
		fault(f, EX_SOFTWARE, "libcurl does not start");
		free(n);
		return NULL;
	}
	n->multi = curl_multi_init();
	if (check_options(o, f) < 0 || find_urls(n, o->url, f) < 0 || find_key(n, f) < 0)
		goto failed;
	if (o->extra) {
		n->extra = json_read(o->extra, strlen(o->extra), "--extra", f);
		if (n->extra && !json_is_object(n->extra))
			fault(f, EX_USAGE, "--extra: expected a JSON object, got %s", fault_quote(o->extra, strlen(o->extra)));
		if (!n->extra || !json_is_object(n->extra)) {
			f->status = EX_USAGE;
			goto failed;
		}
	}
	if (o->cache && !o->dry_run) {
		n->cache = cache_open(o->cache, f);
		if (!n->cache)
			goto failed;
	}
	if (o->model)
		n->model = xstrdup(o->model);
	n->headers = curl_slist_append(n->headers, "Content-Type: application/json");
	n->headers = curl_slist_append(n->headers, "Expect:");  /* no round trip before a long prompt */
	if (n->key) {
		buf_printf(&header, "Authorization: Bearer %s", n->key);
		n->headers = curl_slist_append(n->headers, buf_string(&header));
		buf_free(&header);
	}
	return n;
failed:
	net_close(n);
	return NULL;
}

void
net_close(struct net *n)
{
	if (!n)
		return;
	curl_multi_cleanup(n->multi);
	curl_slist_free_all(n->headers);
	curl_global_cleanup();
	cache_close(n->cache);
	json_free(n->extra);
	free(n->chat_url);
	free(n->embeddings_url);
	free(n->models_url);
	free(n->key);
	free(n->model);
	free(n);
}

const char *
net_model(const struct net *n)
{
	return n->model;
}

/* -- which model -- */

static int
models_begin(void *arg, size_t i, struct call *c)
{
	(void)i;
	c->url = ((struct net *)arg)->models_url;
	return 0;
}

static int
models_reply(void *arg, size_t i, struct call *c)
{
	struct net *n = arg;
	struct fault ignored;
	struct json *j = json_read(c->reply.at ? c->reply.at : "", c->reply.n, "reply", &ignored);
	const struct json *data = json_get(j, "data");
	struct span id = json_string(json_get(json_at(data, 0), "id"));
	struct buf names = { 0 };
	int status = -1;
	(void)i;

	if (!json_is_array(data)) {
		call_fault(c->url, EX_UNAVAILABLE, &c->fault, "expected a list of models; --model NAME does without");
	} else if (json_count(data) == 1 && id.n > 0) {
		n->model = xstrndup(id.at, id.n);
		status = 0;
	} else {
		for (size_t k = 0; k < json_count(data) && names.n < 400; k++) {
			id = json_string(json_get(json_at(data, k), "id"));
			buf_printf(&names, "%s%.*s", k ? ", " : "", (int)(id.n < 80 ? id.n : 80), id.at ? id.at : "?");
		}
		call_fault(c->url, EX_USAGE, &c->fault, "the server has %zu models: choose one by --model%s%s",
		    json_count(data), names.n ? ": " : "", names.n ? buf_string(&names) : "");
		buf_free(&names);
	}
	json_free(j);
	return status;
}

static int
models_done(void *arg, size_t i, const struct fault *failed, struct fault *f)
{
	(void)arg;
	(void)i;
	if (!failed)
		return 0;
	/* some servers have no such list */
	return fault(f, failed->status, "%s%s", failed->text, strstr(failed->text, "HTTP 404") ? "; --model NAME does without" : "");
}

int
net_need_model(struct net *n, struct fault *f)
{
	const struct call_kind kind = { .arg = n, .begin = models_begin, .reply = models_reply, .done = models_done };

	return n->model ? 0 : call_all(n, 1, 1, &kind, f);
}
