/*
 * hash.h - checksums: XXH3 for content, CRC-32C for values in the state file. The only caller of xxhash.
 */
#ifndef HARE_BASE_HASH_H
#define HARE_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t hash64(const void *at, size_t n, uint64_t seed);       /* XXH3, 64 bits */
int hash64_order(const void *a, const void *b);                  /* of two of them, ascending, for qsort() and bsearch() */

/* XXH3 with 128 bits over pieces: what identifies an embedding space. */
struct hash128;
struct hash128 *hash128_new(void);
void hash128_add(struct hash128 *h, const void *at, size_t n);
void hash128_hex(struct hash128 *h, char out[33]);              /* 32 hex digits and NUL; frees h */

/* CRC-32C (Castagnoli) of at[0..n) going on from crc; begin with 0. By the processor's instruction where it has
   one, else by table; both give the same. */
uint32_t crc32c(uint32_t crc, const void *at, size_t n);
uint32_t crc32c_portable(uint32_t crc, const void *at, size_t n);       /* by table always: the twin */

#endif
