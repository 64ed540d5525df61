/*
 * decoding.h - what the parts of hare-decode share: opening (decode_open.c), what a row asks for (decode_row.c), its text by a
 * language model of our own (decode_lm.c) or of a server (decode_net.c), and rows out (decode_put.c)
 */
#ifndef HARE_CMD_DECODING_H
#define HARE_CMD_DECODING_H

#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/mem.h"
#include "base/opt.h"
#include "belief/belief.h"
#include "decode/decode.h"
#include "decode/write.h"
#include "net/net.h"
#include "pool/pool.h"
#include "record/record.h"
#include "state/state.h"

enum decode_mode { DECODE_BLEND, DECODE_PROMPT, DECODE_ENDPOINT, DECODE_LM };

/* The options; hare-decode.c tells what they mean. Names and paths: NULL where none was given. */
struct decode_set {
	enum decode_mode mode;
	struct opt_list pool, decoder;
	const char *state, *title, *text_columns, *template, *system;
	int plain, sources, faithful, per_record;
	size_t n_word, budget_token;
	size_t n_beam;                  /* 0: as it comes */
	size_t n_consensus, top_k;
	double repetition;
	uint64_t seed;
};

struct answer {                         /* of one row of the batch */
	struct buf text;                /* blend or prompt */
	struct decode_item *items;
	size_t n_item, n_item_cap;
	struct buf weights;
	struct record_row cells;
	int failed, was_bad;            /* was_bad: told already */
	struct fault fault;
};

struct decoding {
	const struct decode_set *set;
	struct pool *pool;              /* NULL: none */
	struct decode_columns columns;
	struct decode **decode;         /* [n_thread] */
	struct state *state;            /* NULL: none, or not there yet */
	struct belief_prior prior;
	struct belief *belief;
	struct belief_posterior *posterior;
	struct buf value, user, person; /* the last user and what is known of them */
	int has_user, has_person;
	const double *user_mean;        /* NULL: nothing */
	uint64_t n_event;
	double unknown;
	char *template_text;            /* NULL: the default */
	struct net *net;
	struct decode_writer *writer;
	struct span *stop;              /* [net_options.stop.n] */
	float *given;                   /* [n_batch][n_given]: [z ; u] */
	size_t n_given;
	struct decode_request *requests;        /* [n_batch] */
	struct decode_written *written; /* [n_batch] */
	int z, seed_column, temperature;        /* columns, -1: none */
	uint64_t n_read;                /* rows before this batch */
	int cut_told;
	struct record_in *in;
	struct record_out *out;         /* NULL: plain */
	int items, weights, query, user_column;         /* columns, -1: none */
	struct answer *answers;         /* [n_batch] */
	/* the requests of a batch */
	size_t *rows;                   /* [n_prompt] */
	struct span *prompts;
	struct net_answer *replies;
	size_t n_batch, n_told, n_failed;
	int n_streamed;                 /* the piece at hand is not the first of its answer */
};

/* Pool, state, template, records and, for DECODE_LM, the DECODERs; then all scratch, of which n_batch rows are read at once. -1
   with *f set; to be ended by decoding_close() in either case. */
int decoding_open(struct decoding *d, int n_file, char *const *file, struct fault *f);
/* The exit status, which is that of f where letting go fails. */
int decoding_close(struct decoding *d, int status, struct fault *f);
int decoding_open_lm(struct decoding *d, struct fault *f);

/* -- what row i of the batch asks for -- */
int decoding_items(const struct decoding *d, size_t i, struct answer *a, struct fault *f);
struct span decoding_query(const struct decoding *d, size_t i);
/* Tells of a fault that knows no row where it was; -1. */
int decoding_at_row(const struct decoding *d, size_t i, struct fault *f);
/* The belief about the row's user, into d->user_mean; kept while the user stays the same. 1: it is another user. */
int decoding_user(struct decoding *d, size_t i, struct fault *f);
/* The prompt of a language model, into the row's answer. -1: the state is damaged, which is not the row's fault. */
int decoding_prompt(struct decoding *d, size_t i);

/* -- texts by a DECODER -- */
/* What is asked of it, into d->requests[i]; -1 as above. */
int decoding_request(struct decoding *d, size_t i);
/* Texts for rows [0, n): what came of them goes into answers and replies. */
void decoding_write(struct decoding *d, size_t n);

/* Asks the server for rows [0, n_row), which go out as the answers come. -1 with *f set. */
int decoding_ask(struct decoding *d, size_t n_row, struct fault *f);

/* -- rows out; reply: NULL if the answer itself is the text -- */
int decoding_put(struct decoding *d, size_t i, const struct net_answer *reply, struct fault *f);
int decoding_flush(struct decoding *d, struct fault *f);
/* A piece of a text as it comes, with --plain. */
void decoding_put_piece(struct decoding *d, const char *at, size_t n);

#endif
