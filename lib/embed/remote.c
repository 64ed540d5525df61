#include "embed/remote.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "embed/embed.h"
#include "mat/mat.h"

static int
is_blank(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!strchr(" \t\r\n\f\v", s.at[i]))
			return 0;
	return 1;
}

int
remote_vectors(struct net *net, const struct span *text, size_t n, size_t *dim, float **x, struct fault *f)
{
	struct span sent[EMBED_SERVER_BATCH];
	size_t n_sent = 0;
	float *got = NULL;

	assert(n <= EMBED_SERVER_BATCH);
	*x = NULL;
	for (size_t i = 0; i < n; i++)
		if (!is_blank(text[i]))
			sent[n_sent++] = text[i];
	if (n_sent > 0 && net_embed(net, sent, n_sent, dim, &got, f) < 0)
		return -1;
	if (*dim == 0)
		return 0;
	*x = xcalloc(n * *dim, sizeof **x);
	for (size_t i = 0, j = 0; i < n; i++)
		if (!is_blank(text[i])) {
			memcpy(*x + i * *dim, got + j++ * *dim, *dim * sizeof *got);
			mat_normalise(*x + i * *dim, *dim);
		}
	free(got);
	return 0;
}
