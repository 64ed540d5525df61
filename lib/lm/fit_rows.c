/* Loops over single rows. A vector of 16 floats is the compiler's own, so that each clone uses what its processor has. */
#include "lm/fit_inside.h"

#include <math.h>
#include <string.h>

#include "lm/lanes.h"

#define LOAD(v, at) memcpy(&(v), (at), sizeof(lanes))

INLINE float
sum_of(const float *x, size_t n)
{
	lanes sum = { 0 }, v;
	float lane[LANES];
	size_t i = 0;

	for (; i + LANES <= n; i += LANES) {
		LOAD(v, x + i);
		sum += v;
	}
	memcpy(lane, &sum, sizeof lane);
	for (; i < n; i++)
		lane[i % LANES] += x[i];
	return fold((const lanes *)lane);
}

INLINE float
dot_of(const float *x, const float *y, size_t n)
{
	lanes sum = { 0 }, v, w;
	float lane[LANES];
	size_t i = 0;

	for (; i + LANES <= n; i += LANES) {
		LOAD(v, x + i);
		LOAD(w, y + i);
		sum += v * w;
	}
	memcpy(lane, &sum, sizeof lane);
	for (; i < n; i++)
		lane[i % LANES] += x[i] * y[i];
	return fold((const lanes *)lane);
}

INLINE float
max_of(const float *x, size_t n)
{
	float lane[LANES], most;
	size_t i = 0;

	for (size_t k = 0; k < LANES; k++)
		lane[k] = -INFINITY;
	for (; i + LANES <= n; i += LANES)
		for (size_t k = 0; k < LANES; k++)
			lane[k] = lane[k] > x[i + k] ? lane[k] : x[i + k];
	for (; i < n; i++)
		lane[i % LANES] = lane[i % LANES] > x[i] ? lane[i % LANES] : x[i];
	most = lane[0];
	for (size_t k = 1; k < LANES; k++)
		most = most > lane[k] ? most : lane[k];
	return most;
}

/* e^x to 2 units of the last place: e^r by the polynomial of Cephes' expf on |r| <= ln 2 / 2, times a power of two. What is
   no number stays so. */
INLINE float
exp_of(float x)
{
	x = x < -87 ? -87 : x;
	x = x > 88 ? 88 : x;
	float n = x * 1.44269504f + 0x1.8p23f - 0x1.8p23f;
	float r = x - n * .693359375f + n * 2.12194440e-4f;
	float p = 1.9875691500e-4f;
	p = p * r + 1.3981999507e-3f;
	p = p * r + 8.3334519073e-3f;
	p = p * r + 4.1665795894e-2f;
	p = p * r + 1.6666665459e-1f;
	p = p * r + 5.0000001201e-1f;
	p = p * r * r + r + 1;
	uint32_t bits = ((uint32_t)(int32_t)n + 127) << 23;
	float power;
	memcpy(&power, &bits, sizeof power);
	return p * power;
}

/* ln x of x above 2^-126, to 2 units of the last place: Cephes' logf, the exponent and a polynomial on sqrt 1/2 to sqrt 2. */
INLINE float
log_of(float x)
{
	uint32_t bits;

	memcpy(&bits, &x, sizeof bits);
	int32_t exponent = (int32_t)(bits - 0x3f3504f3) >> 23;
	bits -= (uint32_t)exponent << 23;
	memcpy(&x, &bits, sizeof x);
	float r = x - 1, r2 = r * r, n = (float)exponent;
	float p = 7.0376836292e-2f;
	p = p * r - 1.1514610310e-1f;
	p = p * r + 1.1676998740e-1f;
	p = p * r - 1.2420140846e-1f;
	p = p * r + 1.4249322787e-1f;
	p = p * r - 1.6668057665e-1f;
	p = p * r + 2.0000714765e-1f;
	p = p * r - 2.4999993993e-1f;
	p = p * r + 3.3333331174e-1f;
	return r + (p * r * r2 - 2.12194440e-4f * n - .5f * r2) + .693359375f * n;
}

CLONES float
fit_norm(const float *x, const float *g, const float *b, size_t n, float *out, float *mean)
{
	float mu = sum_of(x, n) / (float)n;

	for (size_t i = 0; i < n; i++)
		out[i] = x[i] - mu;
	float scale = 1 / sqrtf(dot_of(out, out, n) / (float)n + 1e-5f);
	for (size_t i = 0; i < n; i++)
		out[i] = out[i] * scale * g[i] + b[i];
	*mean = mu;
	return scale;
}

CLONES void
fit_norm_back(const float *x, float mean, float scale, const float *g, const float *d_out, size_t n, float *dx, float *dg,
    float *db)
{
	lanes sum = { 0 }, dot = { 0 };
	float lane1[LANES], lane2[LANES];
	size_t i = 0;

	for (; i + LANES <= n; i += LANES) {
		lanes vx, vg, vd, a, c;
		LOAD(vx, x + i);
		LOAD(vg, g + i);
		LOAD(vd, d_out + i);
		LOAD(a, dg + i);
		LOAD(c, db + i);
		vx = (vx - mean) * scale;
		a += vd * vx;
		c += vd;
		memcpy(dg + i, &a, sizeof a);
		memcpy(db + i, &c, sizeof c);
		vd *= vg;
		sum += vd;
		dot += vd * vx;
	}
	memcpy(lane1, &sum, sizeof lane1);
	memcpy(lane2, &dot, sizeof lane2);
	for (; i < n; i++) {
		float hat = (x[i] - mean) * scale, d = d_out[i];
		dg[i] += d * hat;
		db[i] += d;
		lane1[i % LANES] += d * g[i];
		lane2[i % LANES] += d * g[i] * hat;
	}
	float s = fold((const lanes *)lane1) / (float)n, e = fold((const lanes *)lane2) / (float)n;
	for (i = 0; i < n; i++)
		dx[i] += scale * (d_out[i] * g[i] - s - (x[i] - mean) * scale * e);
}

/* The tanh form as x sigmoid(2 u), u = sqrt(2 / pi) (x + .044715 x^3). */
CLONES void
fit_gelu(float *x, const float *b, size_t n, float *out)
{
	for (size_t i = 0; i < n; i++) {
		float y = x[i] + b[i], y2 = y * y;
		float s = 1 / (1 + exp_of(-y * (1.5957691216f + .0713548163f * y2)));
		out[i] = y * s;
		x[i] = s + y * s * (1 - s) * (1.5957691216f + .2140644489f * y2);
	}
}

CLONES void
fit_gelu_value(float *x, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		float y = x[i], y2 = y * y;
		x[i] = y * (1 / (1 + exp_of(-y * (1.5957691216f + .0713548163f * y2))));
	}
}

CLONES void
fit_add(float *y, const float *x, size_t n)
{
	for (size_t i = 0; i < n; i++)
		y[i] += x[i];
}

CLONES void
fit_add_scaled(float *y, float a, const float *x, size_t n)
{
	for (size_t i = 0; i < n; i++)
		y[i] += a * x[i];
}

CLONES void
fit_add_product(float *y, const float *a, const float *x, size_t n)
{
	for (size_t i = 0; i < n; i++)
		y[i] += a[i] * x[i];
}

CLONES void
fit_scale(float *y, const float *x, size_t n)
{
	for (size_t i = 0; i < n; i++)
		y[i] *= x[i];
}

CLONES void
fit_softmax(float *x, size_t n_seen, size_t n, float scale)
{
	float most = max_of(x, n_seen) * scale;

	for (size_t i = 0; i < n_seen; i++)
		x[i] = exp_of(x[i] * scale - most);
	float inverse = 1 / sum_of(x, n_seen);
	for (size_t i = 0; i < n_seen; i++)
		x[i] *= inverse;
	memset(x + n_seen, 0, (n - n_seen) * sizeof *x);
}

CLONES void
fit_log_softmax(float *x, size_t n)
{
	enum { RUN = 1024 };            /* exponentials that are summed in float */
	float most = max_of(x, n), e[RUN];
	double sum = 0;

	for (size_t from = 0; from < n; from += RUN) {
		size_t m = n - from < RUN ? n - from : RUN;
		for (size_t i = 0; i < m; i++)
			e[i] = exp_of(x[from + i] - most);
		sum += sum_of(e, m);
	}
	float log_sum = most + (float)log(sum);
	for (size_t i = 0; i < n; i++)
		x[i] -= log_sum;
}

CLONES void
fit_log_mean(float *x, const float *y, size_t n, size_t n_before)
{
	const float least = -1e30f;     /* stands for -INFINITY meanwhile */
	float share = 1 / (float)(n_before + 1), rest = 1 - share;

	for (size_t i = 0; i < n; i++) {
		float a = x[i] < least ? least : x[i], b = y[i] < least ? least : y[i], ratio = exp_of(-fabsf(a - b));
		float mean = a > b ? a + log_of(rest + share * ratio) : b + log_of(share + rest * ratio);
		x[i] = mean < least / 2 ? -INFINITY : mean;
	}
}

CLONES void
fit_softmax_back(const float *p, float *d, size_t n, float scale)
{
	float mean = dot_of(p, d, n);

	for (size_t i = 0; i < n; i++)
		d[i] = scale * p[i] * (d[i] - mean);
}

CLONES double
fit_logits(float *x, size_t n, size_t target, double *log_p)
{
	float most = max_of(x, n), at = x[target];

	for (size_t i = 0; i < n; i++)
		x[i] = exp_of(x[i] - most);
	float sum = sum_of(x, n), inverse = 1 / sum;
	for (size_t i = 0; i < n; i++)
		x[i] *= inverse;
	*log_p = (double)at - most - log(sum);
	return exp(*log_p);
}

/* 64 bits to 64: the finaliser of MurmurHash3. */
INLINE uint64_t
mixed(uint64_t x)
{
	x = (x ^ x >> 33) * 0xFF51AFD7ED558CCD;
	x = (x ^ x >> 33) * 0xC4CEB9FE1A85EC53;
	return x ^ x >> 33;
}

/* A hash of the entry's place by which row, site, step and seed say what is dropped: no mask is kept. */
CLONES void
fit_drop(const struct fit_drop *drop, size_t site, size_t row, const float *x, const float *y, const float *b, size_t n,
    float *out)
{
	if (!drop->below) {
		for (size_t i = 0; i < n; i++)
			out[i] = (x ? x[i] : 0) + (b ? y[i] + b[i] : y[i]);
		return;
	}
	uint64_t key = mixed(mixed(drop->seed + site) + row);
	uint32_t key1 = (uint32_t)key, key2 = (uint32_t)(key >> 32), below = drop->below;
	float scale = drop->scale;
	for (size_t i = 0; i < n; i++) {
		uint32_t u = (uint32_t)i * 0x9E3779B9 + key1;
		u = (u ^ u >> 16) * 0x85EBCA6B ^ key2;
		u = (u ^ u >> 13) * 0xC2B2AE35;
		u ^= u >> 16;
		float z = (b ? y[i] + b[i] : y[i]) * scale;
		out[i] = (x ? x[i] : 0) + (u < below ? 0 : z);
	}
}

CLONES double
fit_square(const float *x, size_t n)
{
	double lane[LANES] = { 0 }, sum = 0;
	size_t i = 0;

	for (; i + LANES <= n; i += LANES)
		for (size_t k = 0; k < LANES; k++)
			lane[k] += (double)x[i + k] * x[i + k];
	for (; i < n; i++)
		lane[i % LANES] += (double)x[i] * x[i];
	for (size_t k = 0; k < LANES; k++)
		sum += lane[k];
	return sum;
}

CLONES void
fit_adam(const struct fit_adam *a, float *x, float *m, float *v, const float *g, size_t n)
{
	struct fit_adam c = *a;

	for (size_t i = 0; i < n; i++) {
		float d = g[i] * c.scale;
		float m1 = c.beta1 * m[i] + (1 - c.beta1) * d, v1 = c.beta2 * v[i] + (1 - c.beta2) * d * d;
		m[i] = m1;
		v[i] = v1;
		x[i] -= c.rate * (m1 * c.correct1 / (__builtin_sqrtf(v1 * c.correct2) + c.epsilon) + c.decay * x[i]);
	}
}
