/*
 * POST /v1/chat/completions
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/num.h"
#include "net/inside.h"

struct chat {
	struct net *n;
	const char *system;
	const struct span *prompts;             /* [n_prompt] */
	struct net_answer *answers;             /* [n_prompt] */
	const struct net_watch *watch;
	struct stream *streams;                 /* [n_prompt] */
	char (*keys)[33];                       /* [n_prompt], with a cache */
	int cache_failed;
	struct fault cache_fault;
};

struct event {                                  /* where a piece of a stream belongs */
	struct chat *chat;
	size_t i;
	struct call *call;
};

void
net_answer_free(struct net_answer *a)
{
	buf_free(&a->text);
	*a = (struct net_answer){ 0 };
}

static void
answer_clear(struct net_answer *a)
{
	buf_clear(&a->text);
	a->finish_reason[0] = '\0';
	a->tokens_in = a->tokens_out = -1;
	a->failed = 0;
	a->fault = (struct fault){ 0 };
}

/* -- the request -- */

static void
put_number(struct buf *b, const char *name, double value)
{
	char text[NUM_F64_MAX];

	if (isnan(value))
		return;
	buf_printf(b, ",\"%s\":", name);
	buf_put(b, text, num_put_f64(text, value));
}

static int
put_message(struct buf *b, const char *role, struct span text)
{
	buf_printf(b, "{\"role\":\"%s\",\"content\":", role);
	if (json_put_string(b, text.at ? text.at : "", text.n) < 0)
		return -1;
	buf_putc(b, '}');
	return 0;
}

/* for_cache: the words of the request that do not change its answer (streamed or not, the limit's name) are always
   the same, so that one answer serves them all. */
static int
put_request(const struct chat *chat, size_t i, int for_cache, struct buf *b, struct fault *f)
{
	const struct net *n = chat->n;
	const struct net_options *o = n->o;

	buf_putc(b, '{');
	if (n->model) {
		buf_puts(b, "\"model\":");
		if (json_put_string(b, n->model, strlen(n->model)) < 0)
			return fault(f, EX_USAGE, "--model is not UTF-8");
		buf_putc(b, ',');
	}
	buf_puts(b, "\"messages\":[");
	if (chat->system) {
		if (put_message(b, "system", (struct span){ chat->system, strlen(chat->system) }) < 0)
			return fault(f, EX_DATAERR, "the system's message is not UTF-8");
		buf_putc(b, ',');
	}
	if (put_message(b, "user", chat->prompts[i]) < 0)
		return fault(f, EX_DATAERR, "the prompt is not UTF-8");
	buf_putc(b, ']');
	if (o->max_tokens > 0)
		buf_printf(b, ",\"%s\":%zu", n->new_token_name && !for_cache ? "max_completion_tokens" : "max_tokens", o->max_tokens);
	put_number(b, "temperature", o->temperature);
	put_number(b, "top_p", o->top_p);
	if (o->seed)
		buf_printf(b, ",\"seed\":%s", o->seed);
	for (size_t k = 0; k < o->stop.n; k++) {
		buf_puts(b, k ? "," : ",\"stop\":[");
		if (json_put_string(b, o->stop.at[k], strlen(o->stop.at[k])) < 0)
			return fault(f, EX_USAGE, "--stop is not UTF-8");
	}
	if (o->stop.n > 0)
		buf_putc(b, ']');
	if (o->stream && !for_cache)
		buf_puts(b, ",\"stream\":true");
	buf_putc(b, '}');
	if (!n->extra)
		return 0;
	struct json *whole = json_read(b->at, b->n, "request", f);
	if (!whole || json_merge(whole, n->extra) < 0) {
		json_free(whole);
		return fault(f, EX_USAGE, "--extra cannot be merged into the request");
	}
	buf_clear(b);
	json_put(b, whole);
	json_free(whole);
	return 0;
}

/* -- answers kept from before -- */

static void
cache_key(const struct chat *chat, struct span request, char key[33])
{
	struct hash128 *h = hash128_new();

	hash128_add(h, chat->n->chat_url, strlen(chat->n->chat_url) + 1);
	hash128_add(h, request.at, request.n);
	hash128_hex(h, key);
}

static int
read_kept(struct net_answer *a, struct span value)
{
	struct fault ignored;
	struct json *j = json_read(value.at, value.n, "cache", &ignored);
	const struct json *text = json_get(j, "text");
	struct span s = json_string(text), reason = json_string(json_get(j, "finish_reason"));
	int good = json_is_string(text);

	if (good) {
		buf_put(&a->text, s.at, s.n);
		snprintf(a->finish_reason, sizeof a->finish_reason, "%.*s", (int)(reason.n < 31 ? reason.n : 31), reason.at ? reason.at : "");
		a->tokens_in = json_integer(json_get(j, "tokens_in"), -1);
		a->tokens_out = json_integer(json_get(j, "tokens_out"), -1);
	}
	json_free(j);
	return good;
}

static void
keep(struct chat *chat, size_t i)
{
	const struct net_answer *a = &chat->answers[i];
	struct buf value = { 0 };

	buf_puts(&value, "{\"text\":");
	json_put_string(&value, a->text.at ? a->text.at : "", a->text.n);
	buf_puts(&value, ",\"finish_reason\":");
	json_put_string(&value, a->finish_reason, strlen(a->finish_reason));
	buf_printf(&value, ",\"tokens_in\":%" PRId64 ",\"tokens_out\":%" PRId64 "}", a->tokens_in, a->tokens_out);
	if (cache_put(chat->n->cache, chat->keys[i], buf_span(&value), &chat->cache_fault) < 0)
		chat->cache_failed = 1;
	buf_free(&value);
}

static int
chat_begin(void *arg, size_t i, struct call *c)
{
	struct chat *chat = arg;
	struct net *n = chat->n;
	struct net_answer *a = &chat->answers[i];
	struct span kept;
	int found;

	answer_clear(a);
	stream_clear(&chat->streams[i]);
	c->url = n->chat_url;
	if (n->o->dry_run) {
		if (put_request(chat, i, 0, &c->request, &c->fault) < 0)
			return -1;
		buf_printf(&a->text, "POST %s\nContent-Type: application/json\n", n->chat_url);
		if (n->key)
			buf_printf(&a->text, "Authorization: Bearer (from %s)\n", n->key_source);
		buf_putc(&a->text, '\n');
		buf_put(&a->text, c->request.at, c->request.n);
		return 1;
	}
	if (n->cache) {
		if (put_request(chat, i, 1, &c->request, &c->fault) < 0)
			return -1;
		cache_key(chat, buf_span(&c->request), chat->keys[i]);
		buf_clear(&c->request);
		found = cache_get(n->cache, chat->keys[i], &kept, &c->fault);
		if (found < 0)
			return -1;
		if (found > 0 && read_kept(a, kept))
			return 1;
	}
	return put_request(chat, i, 0, &c->request, &c->fault);
}

/* -- the answer -- */

static void
take_usage(struct net_answer *a, const struct json *reply)
{
	const struct json *usage = json_get(reply, "usage");

	a->tokens_in = json_integer(json_get(usage, "prompt_tokens"), a->tokens_in);
	a->tokens_out = json_integer(json_get(usage, "completion_tokens"), a->tokens_out);
}

static void
take_reason(struct net_answer *a, const struct json *choice)
{
	struct span reason = json_string(json_get(choice, "finish_reason"));

	if (reason.n > 0)
		snprintf(a->finish_reason, sizeof a->finish_reason, "%.*s", (int)(reason.n < 31 ? reason.n : 31), reason.at);
}

/* Appends the content of a message or delta: a text, null, or a list of parts with texts. */
static size_t
take_content(struct net_answer *a, const struct json *message)
{
	const struct json *content = json_get(message, "content");
	struct span text = json_string(content);
	size_t n_before = a->text.n;

	if (text.n > 0)
		buf_put(&a->text, text.at, text.n);
	for (size_t k = 0; k < (json_is_array(content) ? json_count(content) : 0); k++) {
		text = json_string(json_get(json_at(content, k), "text"));
		if (text.n > 0)
			buf_put(&a->text, text.at, text.n);
	}
	return a->text.n - n_before;
}

static int
fault_told(struct call *c, const struct net *n, struct span reply)
{
	char message[304];

	call_message(n, reply, message);
	return call_fault(c->url, EX_UNAVAILABLE, &c->fault, "the server reports: %s", message);
}

static int
chat_event(void *arg, struct span data)
{
	struct event *e = arg;
	struct chat *chat = e->chat;
	struct net_answer *a = &chat->answers[e->i];
	struct json *j = json_read(data.at, data.n, "event", &e->call->fault);
	const struct json *choice = json_at(json_get(j, "choices"), 0);
	int status = 0;

	if (!j) {
		status = call_fault(e->call->url, EX_UNAVAILABLE, &e->call->fault, "expected JSON in the stream, got %s",
		    fault_quote(data.at, data.n));
	} else if (call_error(j)) {
		status = fault_told(e->call, chat->n, data);
	} else {
		size_t n_new = take_content(a, json_get(choice, "delta"));
		take_reason(a, choice);
		take_usage(a, j);
		if (n_new > 0) {
			e->call->passed_on = 1;
			if (chat->watch && chat->watch->text && chat->n->o->n_parallel == 1)
				chat->watch->text(chat->watch->arg, e->i, a->text.at + a->text.n - n_new, n_new);
		}
	}
	json_free(j);
	return status;
}

static int
chat_bytes(void *arg, size_t i, struct call *c, const char *at, size_t n)
{
	struct chat *chat = arg;
	struct event e = { chat, i, c };

	return stream_bytes(&chat->streams[i], at, n, chat_event, &e);
}

static int
chat_reply(void *arg, size_t i, struct call *c)
{
	struct chat *chat = arg;
	struct net_answer *a = &chat->answers[i];
	struct span reply = { c->reply.at ? c->reply.at : "", c->reply.n };
	struct fault ignored;
	int status = 0;

	if (c->streamed) {
		if (!chat->streams[i].ended)
			return call_fault(c->url, EX_UNAVAILABLE, &c->fault, "the answer was cut: its stream ended before [DONE]");
	} else {
		struct json *j = json_read(reply.at, reply.n, "reply", &ignored);
		const struct json *choice = json_at(json_get(j, "choices"), 0);
		if (!j)
			status = call_fault(c->url, EX_UNAVAILABLE, &c->fault, "expected JSON, got %s",
			    reply.n ? fault_quote(reply.at, reply.n) : "nothing");
		else if (call_error(j))
			status = fault_told(c, chat->n, reply);
		else if (!json_is_object(json_get(choice, "message")))
			status = call_fault(c->url, EX_UNAVAILABLE, &c->fault, "expected choices[0].message, got %s",
			    fault_quote(reply.at, reply.n));
		take_content(a, json_get(choice, "message"));
		take_reason(a, choice);
		take_usage(a, j);
		json_free(j);
	}
	if (status == 0 && chat->n->cache)
		keep(chat, i);
	return status;
}

static int
chat_mend(void *arg, size_t i, struct call *c)
{
	static const char old_name[] = "\"max_tokens\":", new_name[] = "max_completion_tokens";
	struct chat *chat = arg;

	if (chat->n->o->max_tokens == 0 || !memmem(c->reply.at, c->reply.n, new_name, strlen(new_name)) ||
	    !memmem(c->request.at, c->request.n, old_name, strlen(old_name)))
		return 0;
	chat->n->new_token_name = 1;
	buf_clear(&c->request);
	return put_request(chat, i, 0, &c->request, &c->fault) == 0;
}

static int
chat_done(void *arg, size_t i, const struct fault *failed, struct fault *f)
{
	struct chat *chat = arg;
	struct net_answer *a = &chat->answers[i];

	if (failed) {
		a->failed = 1;
		a->fault = *failed;
		if (!chat->n->o->keep_going) {
			*f = *failed;
			return -1;
		}
	}
	if (chat->watch && chat->watch->done && chat->watch->done(chat->watch->arg, i, f) < 0)
		return -1;
	if (chat->cache_failed) {               /* paid answers that cannot be kept: this one is out, ask for no more */
		*f = chat->cache_fault;
		return -1;
	}
	return 0;
}

int
net_chat(struct net *n, const char *system, const struct span *prompts, size_t n_prompt, struct net_answer *answers,
    const struct net_watch *watch, struct fault *f)
{
	struct chat chat = { .n = n, .system = system, .prompts = prompts, .answers = answers, .watch = watch };
	const struct call_kind kind = { .arg = &chat, .begin = chat_begin, .bytes = chat_bytes, .reply = chat_reply,
		.mend = chat_mend, .done = chat_done, .keep_going = n->o->keep_going };
	int status = 0;

	if (n_prompt == 0)
		return 0;
	if (!n->o->dry_run && net_need_model(n, f) < 0)
		return -1;
	chat.streams = xcalloc(n_prompt, sizeof *chat.streams);
	chat.keys = xcalloc(n_prompt, sizeof *chat.keys);
	status = call_all(n, n_prompt, n->o->n_parallel, &kind, f);
	for (size_t i = 0; i < n_prompt; i++)
		stream_free(&chat.streams[i]);
	free(chat.streams);
	free(chat.keys);
	return status;
}
