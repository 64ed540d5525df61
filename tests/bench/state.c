/*
 * state - what the bench of the state file needs beside the programs
 *
 *	state events N_EVENT N_USER DIM       rewards as CSV: users uniform, features normal, shortest float32
 *	state lookups STATE SECONDS           lookups of random users with their means, each a transaction of its own
 *	state payload STATE                   bytes of keys, counts, times, checksums and values
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/num.h"
#include "base/rng.h"
#include "learn/learn.h"
#include "mat/mat.h"

static struct fault f;

static double
now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int
events(size_t n_event, size_t n_user, size_t dim)
{
	struct buf line = {0};

	puts("user,reward,x");
	for (size_t i = 0; i < n_event; i++) {
		struct rng r = rng_at(1, i);
		buf_clear(&line);
		buf_printf(&line, "u%06llu,%d,", (unsigned long long)rng_below(&r, n_user), rng_uniform(&r) < .3);
		for (size_t d = 0; d < dim; d++) {
			buf_reserve(&line, NUM_F32_MAX + 1);
			line.n += num_put_f32(line.at + line.n, (float)(rng_normal(&r) / sqrt((double)dim)));
			buf_putc(&line, d + 1 < dim ? ' ' : '\n');
		}
		fwrite(line.at, 1, line.n, stdout);
	}
	buf_free(&line);
	return fflush(stdout) != 0;
}

struct keys {
	struct buf bytes, ends;
};

static int
keep_key(void *arg, struct span key, uint64_t n, double last_time, struct span value, struct fault *fault_out)
{
	struct keys *k = arg;

	(void)n, (void)last_time, (void)value, (void)fault_out;
	buf_put(&k->bytes, key.at, key.n);
	buf_put(&k->ends, &k->bytes.n, sizeof k->bytes.n);
	return 0;
}

static int
lookups(const char *path, double seconds)
{
	struct keys k = {0};
	struct learn_settings set;
	struct state *s = state_open(path, STATE_READ, &f);
	struct buf value = {0};
	struct rng r = rng_at(2, 0);

	if (!s || learn_settings(s, &set, &f) < 0 || state_each(s, "user", keep_key, &k, &f) < 0)
		return -1;
	state_cache(s, 16 << 20);
	struct belief *b = belief_new(learn_belief_dim(&set));
	struct belief_posterior *p = belief_posterior_new(learn_belief_dim(&set));
	size_t n_key = k.ends.n / sizeof(size_t), n = 0;
	const size_t *end = (const size_t *)k.ends.at;
	double begin = now_s(), before = begin, worst = 0, sum = 0;
	while (before - begin < seconds && n_key > 0) {
		size_t i = rng_below(&r, n_key), from = i ? end[i - 1] : 0;
		if (state_get(s, "user", (struct span){ k.bytes.at + from, end[i] - from }, &value, &f) != 1 ||
		    belief_decode(b, value.at, value.n, &f) < 0 || belief_solve(p, b, &set.prior, &f) < 0)
			return -1;
		sum += belief_mean(p)[0];
		n++;
		double after = now_s();
		worst = fmax(worst, after - before);
		before = after;
	}
	printf("%.0f lookups with mean/s, worst %.1f ms\n", (double)n / (before - begin), 1e3 * worst);
	belief_free(b);
	belief_posterior_free(p);
	buf_free(&value);
	buf_free(&k.bytes);
	buf_free(&k.ends);
	return state_close(s, &f) < 0 || sum != sum ? -1 : 0;
}

static int
add_bytes(void *arg, struct span key, uint64_t n, double last_time, struct span value, struct fault *fault_out)
{
	(void)n, (void)last_time, (void)fault_out;
	*(double *)arg += (double)(key.n + 8 + 8 + 4 + value.n);
	return 0;
}

int
main(int argc, char *argv[])
{
	int e = -1;

	if (argc == 5 && strcmp(argv[1], "events") == 0) {
		e = events(strtoull(argv[2], NULL, 10), strtoull(argv[3], NULL, 10), strtoull(argv[4], NULL, 10));
	} else if (argc == 4 && strcmp(argv[1], "lookups") == 0) {
		e = mat_check(&f) < 0 ? -1 : lookups(argv[2], strtod(argv[3], NULL));
	} else if (argc == 3 && strcmp(argv[1], "payload") == 0) {
		double n = 0;
		struct state *s = state_open(argv[2], STATE_READ, &f);
		e = s ? state_each(s, "user", add_bytes, &n, &f) : -1;
		printf("%.0f\n", n);
		state_close(s, &(struct fault){0});
	} else {
		fault(&f, EX_USAGE, "usage: state events N_EVENT N_USER DIM | lookups STATE SECONDS | payload STATE");
	}
	if (e != 0)
		fprintf(stderr, "bench failed: %s\n", f.text);
	return e != 0;
}
