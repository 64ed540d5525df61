#include "net/net.h"

#include <math.h>

struct net_options net_options = {
	.connect_timeout_s = 10,
	.idle_timeout_s = 120,
	.total_timeout_s = 600,
	.retry_wait_s = .5,
	.n_try = 5,
	.n_parallel = 1,
	.temperature = NAN,
	.top_p = NAN,
};

#define REACHING \
	{ 0, "key-file", OPT_FILE, &net_options.key_file, "FILE", "file with the key; else HARE_API_KEY or OPENAI_API_KEY", NULL, NULL }, \
	{ 0, "extra", OPT_STRING, &net_options.extra, "JSON", "object merged into each request", NULL, NULL }, \
	{ 0, "connect-timeout", OPT_REAL, &net_options.connect_timeout_s, "SECONDS", "to reach the server", NULL, NULL }, \
	{ 0, "idle-timeout", OPT_REAL, &net_options.idle_timeout_s, "SECONDS", "without any byte", NULL, NULL }, \
	{ 0, "total-timeout", OPT_REAL, &net_options.total_timeout_s, "SECONDS", "for one try in all", NULL, NULL }, \
	{ 0, "tries", OPT_SIZE, &net_options.n_try, "N", "tries in all when the server is busy or away", NULL, NULL }, \
	{ 0, "retry-wait", OPT_REAL, &net_options.retry_wait_s, "SECONDS", "before the second try, then doubled", NULL, NULL }

const struct opt net_opts[] = {
	{ 0, "endpoint", OPT_STRING, &net_options.url, "URL", "ask this OpenAI-compatible server", NULL, "HARE_ENDPOINT" },
	{ 0, "model", OPT_STRING, &net_options.model, "NAME", "model to ask for; else the only one that the server has", NULL, NULL },
	REACHING,
	{ 'j', "jobs", OPT_SIZE, &net_options.n_parallel, "N", "requests at once; of -m threads", NULL, NULL },
	{ 0, "temperature", OPT_REAL, &net_options.temperature, "T", "of what is drawn; sent if given", NULL, NULL },
	{ 0, "top-p", OPT_REAL, &net_options.top_p, "P", "draw from the likeliest that hold this share; sent if given", NULL, NULL },
	{ 0, "max-tokens", OPT_SIZE, &net_options.max_tokens, "N", "of an answer, at most; sent if given", NULL, NULL },
	{ 0, "seed", OPT_STRING, &net_options.seed, "N", "of what is drawn; sent if given", NULL, NULL },
	{ 0, "stop", OPT_LIST, &net_options.stop, "TEXT", "ends an answer; may be given again", NULL, NULL },
	{ 0, "stream", OPT_FLAG, &net_options.stream, NULL, "have answers sent in pieces", NULL, NULL },
	{ 0, "cache", OPT_FILE, &net_options.cache, "FILE", "keep answers here and do not ask twice", NULL, NULL },
	{ 0, "keep-going", OPT_FLAG, &net_options.keep_going, NULL, "put failures in a column error and go on", NULL, NULL },
	{ 0, "dry-run", OPT_FLAG, &net_options.dry_run, NULL, "print the requests, send nothing", NULL, NULL },
	{ 0, NULL, OPT_END, NULL, NULL, NULL, NULL, NULL },
};

const struct opt net_embedding_opts[] = {
	{ 0, "endpoint", OPT_STRING, &net_options.url, "URL", "vectors from this OpenAI-compatible server", NULL, NULL },
	{ 0, "endpoint-model", OPT_STRING, &net_options.model, "NAME", "model to ask for; else the only one that the server has", NULL, NULL },
	REACHING,
	{ 0, NULL, OPT_END, NULL, NULL, NULL, NULL, NULL },
};
