/*
 * net.h - an LLM or embedding server that the user already runs, by the OpenAI-compatible protocol. The only caller
 *         of libcurl. records.md's section on endpoints is the contract.
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
	const char *model;              /* NULL: asked from GET /v1/models */
	const char *key_file;           /* else HARE_API_KEY, OPENAI_API_KEY; never from argv */
	const char *extra;              /* JSON object merged into the request */
	const char *cache;              /* folder or file of answers keyed by request; NULL: none */
	double connect_timeout_s, idle_timeout_s, total_timeout_s;
	size_t n_try, n_parallel;
	int dry_run, stream;
	/* chat only; NAN / 0 / NULL: not sent */
	double temperature, top_p;
	size_t max_tokens;
	uint64_t seed; int seed_set;
	struct opt_list stop;
};
extern struct net_options net_options;
extern const struct opt net_opts[];             /* --endpoint and the rest: for hare-decode */
extern const struct opt net_embedding_opts[];   /* the part that hare-embed needs */

struct net;
struct net *net_open(const struct net_options *o, struct fault *f);
void net_close(struct net *n);
const char *net_model(const struct net *n);     /* the model's name once known */

struct net_answer {
	struct buf text;
	char finish_reason[32];
	int64_t tokens_in, tokens_out;          /* -1: not told */
	int failed;                             /* then fault says why */
	struct fault fault;
};
/* Answers n prompts (system may be NULL), up to n_parallel at once; answers[i] belongs to prompts[i]. -1 with *f set
   if something failed; answers tell which. With dry_run requests go into text and nothing is sent. */
int net_chat(struct net *n, const char *system, const struct span *prompts, size_t n_prompt, struct net_answer *answers, struct fault *f);

/* Vectors of n texts, [n][dim] in the order of the texts whatever the server's. *dim: 0 takes the server's and tells
   it, else it must be the server's. The caller frees *vectors. */
int net_embed(struct net *n, const struct span *texts, size_t n_text, size_t *dim, float **vectors, struct fault *f);

#endif
