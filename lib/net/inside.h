/*
 * inside.h - what the files of this room share; not for other rooms
 */
#ifndef HARE_NET_INSIDE_H
#define HARE_NET_INSIDE_H

#include <curl/curl.h>
#include <stddef.h>

#include "base/fault.h"
#include "base/mem.h"
#include "json/json.h"
#include "net/net.h"

struct net {
	const struct net_options *o;
	CURLM *multi;
	struct curl_slist *headers;     /* holds the key */
	char *chat_url, *embeddings_url, *models_url;
	char *key;                      /* NULL: none */
	const char *key_source;         /* where it came from, for --dry-run */
	char *model;
	struct json *extra;             /* NULL: none */
	int new_token_name;             /* the server wants max_completion_tokens */
	struct net_cache *cache;        /* NULL: none */
};

/* -- call.c: requests on their way, with their time-outs and further tries -- */

struct call {                           /* one request; the engine owns it, the callbacks below fill and read it */
	const char *url;                /* borrowed */
	struct buf request;             /* empty: GET */
	struct buf reply;               /* body, unless it went to bytes() */
	int streamed;                   /* the reply was an event stream */
	int passed_on;                  /* set by bytes() with the first piece: from then on never tried again */
	struct fault fault;
};

struct call_kind {
	void *arg;
	/* Fills url and request. 0: send it; 1: it is answered already; -1: c->fault says why not. */
	int (*begin)(void *arg, size_t i, struct call *c);
	/* Bytes of a good reply that is an event stream; NULL: streams are kept like others. -1: c->fault says what is wrong. */
	int (*bytes)(void *arg, size_t i, struct call *c, const char *at, size_t n);
	/* The end of a good reply. -1: c->fault says what is wrong. */
	int (*reply)(void *arg, size_t i, struct call *c);
	/* A reply with status 400: 1 if the request was changed and may be sent again; NULL: never. Asked once a call. */
	int (*mend)(void *arg, size_t i, struct call *c);
	/* Call i has ended, and all before it have been told of; failed is NULL if it went well. -1 with *f set: stop. */
	int (*done)(void *arg, size_t i, const struct fault *failed, struct fault *f);
	int keep_going;                 /* a failed call does not keep later ones from being made */
};
/* Calls 0..n_call-1 in order, up to n_parallel at once. 0, or -1 with the *f of done(). */
int call_all(struct net *n, size_t n_call, size_t n_parallel, const struct call_kind *kind, struct fault *f);

/* "URL: " and what follows, with everything that could hold a key or a password left out; returns -1. */
int call_fault(const char *url, int status, struct fault *f, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* The server's own words in a reply that tells of an error, one line of at most 300 bytes, the key blotted out. */
void call_message(const struct net *n, struct span reply, char out[304]);
/* The "error" member of a reply, NULL if there is none or it is null. */
const struct json *call_error(const struct json *reply);

/* -- cache.c -- */

struct net_cache;
struct net_cache *cache_open(const char *path, struct fault *f);
void cache_close(struct net_cache *c);          /* NULL is allowed */
/* 1 with *value set (borrowed until the next call), 0 if there is none, -1 with *f set. */
int cache_get(struct net_cache *c, const char key[33], struct span *value, struct fault *f);
int cache_put(struct net_cache *c, const char key[33], struct span value, struct fault *f);

/* -- stream.c: server-sent events -- */

struct stream {                         /* {0} to begin */
	struct buf line, data;
	int after_cr, has_data, ended;  /* ended: [DONE] came */
	int first_line_begun;
};
/* Takes bytes as they come and calls event() with the data of each event, "[DONE]" excepted. -1 if event() said so. */
int stream_bytes(struct stream *s, const char *at, size_t n, int (*event)(void *arg, struct span data), void *arg);
void stream_free(struct stream *s);
void stream_clear(struct stream *s);    /* for a further try; the memory is kept */

/* -- net.c -- */

/* Asks for the model's name if it is not known yet. 0, or -1 with *f set. */
int net_need_model(struct net *n, struct fault *f);

#endif
