/*
 * remote.h - unit vectors from a server, for fit and apply
 */
#ifndef HARE_EMBED_REMOTE_H
#define HARE_EMBED_REMOTE_H

#include <stddef.h>

#include "base/fault.h"
#include "base/mem.h"
#include "net/net.h"

/* x [n][*dim] of at most EMBED_SERVER_BATCH texts; *dim: 0 takes the server's. Blank texts are not sent, and are zero.
   The caller frees *x, which stays NULL while *dim is not known (only blank texts so far). 0, or -1 with *f set. */
int remote_vectors(struct net *net, const struct span *text, size_t n, size_t *dim, float **x, struct fault *f);

#endif
