/*
 * generative.h - generative retrieval: a decoder writes queries for this user, retrieval answers them
 *
 *   query   q_1 .. q_n: texts that the DECODER writes for the user's query and the titles of the items that were relevant to
 *           him, embedded by the MODEL
 *   score   s_j = own x.x_j + ln(mean_i exp(sharp q_i.x_j)) / sharp + again [j was relevant]; sharp 0: the mean of q_i.x_j
 *   source  Li et al., GPT4Rec (2023): queries by beams from the titles of a history, answered by a search engine; Petrov and
 *           Macdonald, Generative Sequential Recommendation with GPTRec (2023). Here there is a query to begin with
 */
#ifndef HARE_EVAL_GENERATIVE_H
#define HARE_EVAL_GENERATIVE_H

#include "base/mem.h"
#include "eval/writer.h"

struct eval_generator {                 /* all borrowed; of a space */
	const struct eval_decoder *decoder;     /* of the space's MODEL */
	const struct span *title;       /* [n], of the candidates */
	const struct span *query;       /* [n_query], the words of the queries */
};

#endif
