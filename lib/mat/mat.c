#include "mat/mat.h"

#include <assert.h>
#include <cblas.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* LAPACK as OpenBLAS has it, in Fortran's way of calling: everything by address, matrices by columns, and behind the
   arguments the length of each text. LAPACKE would check and copy, and load two more libraries at every start. */
extern void dpotrf_(const char *uplo, const int *n, double *a, const int *lda, int *info, size_t);
extern void sgelqf_(const int *m, const int *n, float *a, const int *lda, float *tau, float *work, const int *n_work, int *info);
extern void sorglq_(const int *m, const int *n, const int *k, float *a, const int *lda, const float *tau, float *work,
    const int *n_work, int *info);
extern void ssyevd_(const char *job, const char *uplo, const int *n, float *a, const int *lda, float *w, float *work,
    const int *n_work, int *iwork, const int *n_iwork, int *info, size_t, size_t);

static int
to_int(size_t n)
{
	assert(n <= INT_MAX);
	return (int)n;
}

/* OpenBLAS starts its threads when it is loaded, and each spins for some 20 ms before it sleeps: longer than many of our
   programs live. This ends them (it is what OpenBLAS itself does before a fork); weak, as another BLAS may not have it. */
extern int blas_thread_shutdown_(void) __attribute__((weak));

int
mat_check(struct fault *f)
{
	/* Sizes that reach the blocked kernels as well as their edges; entries are small integers, so that
	   every right answer is exact in any order of sums. */
	enum { N = 37, K = 19 };
	float a[N * K], b[K * N], c[N * N];
	double s[N * N], l[N * N];
	int right = 1;

	openblas_set_num_threads(1);
	if (blas_thread_shutdown_)
		blas_thread_shutdown_();
	for (int i = 0; i < N * K; i++) {
		a[i] = (float)(i * 7 % 11 - 5);
		b[i] = (float)(i * 5 % 13 - 6);
	}
	memset(c, 0, sizeof c);
	cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, N, N, K, 1, a, K, b, N, 0, c, N);
	for (int i = 0; i < N; i++)
		for (int j = 0; j < N; j++) {
			float sum = 0;
			for (int k = 0; k < K; k++)
				sum += a[i * K + k] * b[k * N + j];
			right &= c[i * N + j] == sum;
		}
	/* A b and A'c by the kernels for one vector; c of the size of a column. */
	float y[N], v[N];
	for (int i = 0; i < N; i++)
		v[i] = (float)(i % 5 - 2);
	cblas_sgemv(CblasRowMajor, CblasNoTrans, N, K, 1, a, K, b, 1, 0, y, 1);
	for (int i = 0; i < N; i++) {
		float sum = 0;
		for (int k = 0; k < K; k++)
			sum += a[i * K + k] * b[k];
		right &= y[i] == sum;
	}
	cblas_sgemv(CblasRowMajor, CblasTrans, N, K, 1, a, K, v, 1, 0, y, 1);
	for (int k = 0; k < K; k++) {
		float sum = 0;
		for (int i = 0; i < N; i++)
			sum += a[i * K + k] * v[i];
		right &= y[k] == sum;
	}
	/* L integer and lower triangular, L L' exact, so the factorisation must give L back. */
	memset(l, 0, sizeof l);
	for (int i = 0; i < N; i++) {
		for (int j = 0; j < i; j++)
			l[i * N + j] = (i * 3 + j * 5) % 7 - 3;
		l[i * N + i] = 4;
	}
	for (int i = 0; i < N; i++)
		for (int j = 0; j < N; j++) {
			double sum = 0;
			for (int k = 0; k <= (i < j ? i : j); k++)
				sum += l[i * N + k] * l[j * N + k];
			s[i * N + j] = sum;
		}
	right &= mat_cholesky64(s, N) == 0;
	for (int i = 0; i < N; i++)
		for (int j = 0; j <= i; j++)
			right &= fabs(s[i * N + j] - l[i * N + j]) < 1e-9;
	if (!right)
		return fault(f, EX_SOFTWARE, "the BLAS library computes wrong results on this processor (%s); "
		    "set OPENBLAS_CORETYPE=Haswell (or another that your processor has) in the environment, "
		    "or install another BLAS", openblas_get_config());
	return 0;
}

struct mat
mat_of(const float *at, size_t n_row, size_t n_col)
{
	return (struct mat){ (float *)at, n_row, n_col, n_col };
}

void
mat_mul(float alpha, struct mat a, int t_a, struct mat b, int t_b, float beta, struct mat c)
{
	size_t n_inner = t_a ? a.n_row : a.n_col;

	assert((t_a ? a.n_col : a.n_row) == c.n_row && (t_b ? b.n_row : b.n_col) == c.n_col);
	assert((t_b ? b.n_col : b.n_row) == n_inner);
	if (c.n_row == 0 || c.n_col == 0)
		return;
	cblas_sgemm(CblasRowMajor, t_a ? CblasTrans : CblasNoTrans, t_b ? CblasTrans : CblasNoTrans,
	    to_int(c.n_row), to_int(c.n_col), to_int(n_inner), alpha, a.at, to_int(a.stride), b.at, to_int(b.stride),
	    beta, c.at, to_int(c.stride));
}

void
mat_mul_vec(float alpha, struct mat a, int t_a, const float *x, float beta, float *y)
{
	if (a.n_row == 0 || a.n_col == 0)
		return;
	cblas_sgemv(CblasRowMajor, t_a ? CblasTrans : CblasNoTrans, to_int(a.n_row), to_int(a.n_col), alpha,
	    a.at, to_int(a.stride), x, 1, beta, y, 1);
}

float
mat_dot(const float *x, const float *y, size_t n)
{
	return cblas_sdot(to_int(n), x, 1, y, 1);
}

void
mat_orthonormalise(struct mat a)
{
	assert(a.n_row >= a.n_col);
	if (a.n_col == 0)
		return;
	/* LAPACK is column-major: a row-major call would copy and transpose the whole of A. A' in its eyes is
	   [n_col][n_row], so its LQ is our QR. */
	int n_row = to_int(a.n_row), n_col = to_int(a.n_col), ld = to_int(a.stride), info = 0;
	const int ask = -1;
	float *tau = xmalloc(a.n_col, sizeof *tau), size, *work;

	sgelqf_(&n_col, &n_row, a.at, &ld, tau, &size, &ask, &info);
	int n_work = (int)size;
	sorglq_(&n_col, &n_row, &n_col, a.at, &ld, tau, &size, &ask, &info);
	if ((int)size > n_work)
		n_work = (int)size;
	work = xmalloc((size_t)n_work, sizeof *work);
	sgelqf_(&n_col, &n_row, a.at, &ld, tau, work, &n_work, &info);
	sorglq_(&n_col, &n_row, &n_col, a.at, &ld, tau, work, &n_work, &info);
	free(work);
	free(tau);
}

int
mat_eigen(struct mat a, float *w)
{
	assert(a.n_row == a.n_col);
	if (a.n_row > 32766)            /* LAPACK's work of 2 n^2 would be no int */
		return -1;
	/* Column-major eigenvectors in columns are rows to us. The sizes of work are those of the manual of ssyevd: asked
	   for it, LAPACK tells them as a float, which rounds large ones down. */
	int n = to_int(a.n_row), ld = to_int(a.stride), info = 0;
	int n_work = to_int(1 + 6 * a.n_row + 2 * a.n_row * a.n_row), n_iwork = to_int(3 + 5 * a.n_row);
	float *work = xmalloc((size_t)n_work, sizeof *work);
	int *iwork = xmalloc((size_t)n_iwork, sizeof *iwork);

	ssyevd_("V", "U", &n, a.at, &ld, w, work, &n_work, iwork, &n_iwork, &info, 1, 1);
	free(work);
	free(iwork);
	return info == 0 ? 0 : -1;
}

int
mat_cholesky64(double *a, size_t n)
{
	if (n == 0)
		return 0;
	/* Row-major lower is column-major upper: A = U'U with U = L', in the same memory. */
	int size = to_int(n), info = 0;

	dpotrf_("U", &size, a, &size, &info, 1);
	if (info != 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		if (!isfinite(a[i * n + i]) || a[i * n + i] <= 0)
			return -1;
	return 0;
}

void
mat_solve64(const double *l, size_t n, double *b, int both)
{
	if (n == 0)
		return;
	cblas_dtrsv(CblasRowMajor, CblasLower, CblasNoTrans, CblasNonUnit, to_int(n), l, to_int(n), b, 1);
	if (both)
		cblas_dtrsv(CblasRowMajor, CblasLower, CblasTrans, CblasNonUnit, to_int(n), l, to_int(n), b, 1);
}

void
mat_solve_many64(const double *l, size_t n, double *b, size_t n_b, int both)
{
	if (n == 0 || n_b == 0)
		return;
	/* The rows of b are right-hand sides: X L' = B. */
	cblas_dtrsm(CblasRowMajor, CblasRight, CblasLower, CblasTrans, CblasNonUnit, to_int(n_b), to_int(n), 1,
	    l, to_int(n), b, to_int(n));
	if (both)
		cblas_dtrsm(CblasRowMajor, CblasRight, CblasLower, CblasNoTrans, CblasNonUnit, to_int(n_b), to_int(n), 1,
		    l, to_int(n), b, to_int(n));
}

void
mat_gram64(const double *x, size_t n_row, size_t n, double *a)
{
	if (n_row == 0 || n == 0)
		return;
	cblas_dsyrk(CblasRowMajor, CblasLower, CblasTrans, to_int(n), to_int(n_row), 1, x, to_int(n), 1, a, to_int(n));
}

void
mat_mul64(const double *a, size_t n_row, size_t n_inner, const double *b, size_t n_col, double *c)
{
	if (n_row == 0 || n_col == 0)
		return;
	cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, to_int(n_row), to_int(n_col), to_int(n_inner), 1, a,
	    to_int(n_inner), b, to_int(n_inner), 0, c, to_int(n_col));
}

double
mat_dot64(const float *x, const float *y, size_t n)
{
	double lane[8] = {0};
	size_t i = 0;

	for (; i + 8 <= n; i += 8)
		for (size_t j = 0; j < 8; j++)
			lane[j] += (double)x[i + j] * y[i + j];
	for (size_t j = 0; i < n; i++, j++)
		lane[j] += (double)x[i] * y[i];
	return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

double
mat_ddot64(const double *x, const double *y, size_t n)
{
	double lane[8] = {0};
	size_t i = 0;

	for (; i + 8 <= n; i += 8)
		for (size_t j = 0; j < 8; j++)
			lane[j] += x[i + j] * y[i + j];
	for (size_t j = 0; i < n; i++, j++)
		lane[j] += x[i] * y[i];
	return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

double
mat_softmax(float *logits, size_t n)
{
	float most = logits[0];
	double sum = 0;

	for (size_t i = 1; i < n; i++)
		if (logits[i] > most)
			most = logits[i];
	for (size_t i = 0; i < n; i++) {
		logits[i] = expf(logits[i] - most);
		sum += logits[i];
	}
	float scale = (float)(1 / sum);
	for (size_t i = 0; i < n; i++)
		logits[i] *= scale;
	return (double)most + log(sum);
}

double
mat_entropy(const float *weights, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		if (weights[i] > 0)
			sum -= weights[i] * log((double)weights[i]);
	return sum;
}

double
mat_norm(const float *x, size_t n)
{
	return sqrt(mat_dot64(x, x, n));
}

double
mat_normalise(float *x, size_t n)
{
	double norm = mat_norm(x, n);

	if (norm > 0)
		for (size_t i = 0; i < n; i++)
			x[i] = (float)(x[i] / norm);
	return norm;
}
