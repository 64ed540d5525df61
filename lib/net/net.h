/*
 * net.h - an LLM or embedding server that the user already runs, by the OpenAI-compatible protocol. The only caller
 *         of libcurl.
 *
 *   url      with or without /v1, with a path in front or not: http://host, http://host/v1, https://host/llm; a path
 *            with a version in it (/v1, /v1beta/openai, /api/v3) is taken as it is, else /v1 is added
 *   key      HARE_API_KEY, else OPENAI_API_KEY, or a file; shown in no message, sent to no other host on a redirect
 *   sent     only what was set, then the members of extra, which win
 *   again    408, 409, 429, 5xx, a connection that could not be made or was lost before the answer began: after
 *            Retry-After, at most 120 times retry_wait_s, else after retry_wait_s * 2^k with jitter; never after the
 *            first piece of a streamed answer. A 400 that names max_completion_tokens is asked once more in those words
 *   faults   EX_UNAVAILABLE for what the server did, EX_USAGE for what only the user can mend (model, key, url)
 */
#ifndef HARE_NET_NET_H
#define HARE_NET_NET_H

#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/mem.h"
#include "base/opt.h"

struct net_options {
	const char *url;                /* of the server, with or without /v1 */
	const char *model;              /* NULL: asked from GET /v1/models, if it has exactly one */
	const char *key_file;           /* else HARE_API_KEY, OPENAI_API_KEY; never from argv */
	const char *extra;              /* JSON object merged into the request */
	const char *cache;              /* file of answers keyed by request, for net_chat(); NULL: none */
	double connect_timeout_s, idle_timeout_s, total_timeout_s;      /* of one try */
	double retry_wait_s;            /* before the second try, without Retry-After */
	size_t n_try, n_parallel;       /* at least 1 */
	int dry_run, stream, keep_going;
	/* chat only; NAN, 0, NULL, none: not sent */
	double temperature, top_p;
	size_t max_tokens;
	const char *seed;               /* digits */
	struct opt_list stop;
};
extern struct net_options net_options;
extern const struct opt net_opts[];             /* --endpoint and the rest: for hare-decode */
extern const struct opt net_embedding_opts[];   /* the part that hare-embed needs; the model is --endpoint-model */

struct net;
/* *o and its texts must outlive the result. Nothing is sent yet. NULL with *f set. */
struct net *net_open(const struct net_options *o, struct fault *f);
void net_close(struct net *n);                  /* NULL is allowed */
const char *net_model(const struct net *n);     /* the model's name once known, else NULL */

struct net_answer {                             /* {0} to begin; net_answer_free() to end */
	struct buf text;
	char finish_reason[32];
	int64_t tokens_in, tokens_out;          /* -1: not told */
	int failed;                             /* then fault says why */
	struct fault fault;
};
void net_answer_free(struct net_answer *a);

struct net_watch {                              /* both may be NULL; arg is theirs */
	void *arg;
	/* answers[i] is there and so are all before it. -1 with *f set ends net_chat(). */
	int (*done)(void *arg, size_t i, struct fault *f);
	/* A piece of an answer as it comes in, with options.stream and n_parallel = 1 only. */
	void (*text)(void *arg, size_t i, const char *at, size_t n);
};

/* Answers n prompts (system may be NULL), up to n_parallel at once; answers[i] belongs to prompts[i], and what it held
   is replaced. A failure at i keeps those before it and ends the call: -1 with *f its fault, watch->done was called for
   0..i-1. With keep_going it goes on, done is called for all, failed ones too, and -1 only tells of what no answer can:
   a cache that cannot be written, a model that is not known. With dry_run requests go into text, nothing is sent. */
int net_chat(struct net *n, const char *system, const struct span *prompts, size_t n_prompt, struct net_answer *answers,
    const struct net_watch *watch, struct fault *f);

/* Vectors of n texts by one POST /v1/embeddings, [n][dim] in the order of the texts whatever the server's; arrays and
   base64 are read. *dim: 0 takes the server's and tells it, else it must be the server's. The caller frees *vectors.
   A number that is not finite, another count or another length is a fault. */
int net_embed(struct net *n, const struct span *texts, size_t n_text, size_t *dim, float **vectors, struct fault *f);

#endif
