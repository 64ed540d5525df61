#include "base/hash.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#define XXH_STATIC_LINKING_ONLY         /* shows the size of the state */
#include <xxhash.h>

#include "base/mem.h"

#ifdef __aarch64__
#include <arm_acle.h>
#include <sys/auxv.h>
#endif

/* The library's own choice by the processor's vector width, three to five times as fast; weak, as it may be built without. */
extern XXH64_hash_t XXH3_64bits_withSeed_dispatch(const void *at, size_t n, XXH64_hash_t seed) __attribute__((weak));

uint64_t
hash64(const void *at, size_t n, uint64_t seed)
{
	if (n > 1024 && XXH3_64bits_withSeed_dispatch)
		return XXH3_64bits_withSeed_dispatch(at, n, seed);
	return XXH3_64bits_withSeed(at, n, seed);
}

int
hash64_order(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

struct hash128 {
	XXH3_state_t state;     /* wants to lie on a 64-byte boundary */
};

struct hash128 *
hash128_new(void)
{
	struct hash128 *h = xaligned(1, sizeof *h);

	XXH3_128bits_reset(&h->state);
	return h;
}

void
hash128_add(struct hash128 *h, const void *at, size_t n)
{
	XXH3_128bits_update(&h->state, at, n);
}

void
hash128_hex(struct hash128 *h, char out[33])
{
	static const char digit[] = "0123456789abcdef";
	XXH128_canonical_t c;

	XXH128_canonicalFromHash(&c, XXH3_128bits_digest(&h->state));
	for (size_t i = 0; i < sizeof c.digest; i++) {
		out[2 * i] = digit[c.digest[i] >> 4];
		out[2 * i + 1] = digit[c.digest[i] & 15];
	}
	out[32] = '\0';
	free(h);
}

/* By table, eight bytes a step: row[j][b] is the remainder of byte b followed by j zero bytes. */
static uint32_t row[8][256];

static void
make_rows(void)
{
	for (uint32_t b = 0; b < 256; b++) {
		uint32_t crc = b;
		for (int i = 0; i < 8; i++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78u : 0);
		row[0][b] = crc;
	}
	for (int j = 1; j < 8; j++)
		for (uint32_t b = 0; b < 256; b++)
			row[j][b] = row[j - 1][b] >> 8 ^ row[0][row[j - 1][b] & 255];
}

uint32_t
crc32c_portable(uint32_t crc, const void *at, size_t n)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	const unsigned char *p = at;

	pthread_once(&once, make_rows);
	crc = ~crc;
	for (; n >= 8; n -= 8, p += 8)
		crc = row[7][(crc ^ p[0]) & 255] ^ row[6][(crc >> 8 ^ p[1]) & 255] ^
		    row[5][(crc >> 16 ^ p[2]) & 255] ^ row[4][(crc >> 24 ^ p[3]) & 255] ^
		    row[3][p[4]] ^ row[2][p[5]] ^ row[1][p[6]] ^ row[0][p[7]];
	for (; n > 0; n--, p++)
		crc = crc >> 8 ^ row[0][(crc ^ *p) & 255];
	return ~crc;
}

#if defined __x86_64__
static int
has_instruction(void)
{
	return __builtin_cpu_supports("sse4.2");
}

__attribute__((target("sse4.2"))) static uint32_t
crc32c_instruction(uint32_t crc, const void *at, size_t n)
{
	const unsigned char *p = at;
	uint64_t c = ~crc;

	for (; n >= 8; n -= 8, p += 8) {
		uint64_t word;
		memcpy(&word, p, 8);
		c = __builtin_ia32_crc32di(c, word);
	}
	for (; n > 0; n--, p++)
		c = __builtin_ia32_crc32qi((uint32_t)c, *p);
	return ~(uint32_t)c;
}
#elif defined __aarch64__ && defined __linux__
static int
has_instruction(void)
{
	return (getauxval(AT_HWCAP) & 1 << 7) != 0;     /* HWCAP_CRC32 */
}

__attribute__((target("+crc"))) static uint32_t
crc32c_instruction(uint32_t crc, const void *at, size_t n)
{
	const unsigned char *p = at;

	crc = ~crc;
	for (; n >= 8; n -= 8, p += 8) {
		uint64_t word;
		memcpy(&word, p, 8);
		crc = __crc32cd(crc, word);
	}
	for (; n > 0; n--, p++)
		crc = __crc32cb(crc, *p);
	return ~crc;
}
#else
static int
has_instruction(void)
{
	return 0;
}
#define crc32c_instruction crc32c_portable
#endif

uint32_t
crc32c(uint32_t crc, const void *at, size_t n)
{
	return has_instruction() ? crc32c_instruction(crc, at, n) : crc32c_portable(crc, at, n);
}
