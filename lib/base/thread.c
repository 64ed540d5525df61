#include "base/thread.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>

/* A worker that is done, and a caller whose workers are not, look again this often before they sleep: products of small
   matrices come one close behind the other, and waking up takes longer than they do. Some 40 microseconds in all. */
enum { N_LOOK = 1200 };

static inline void
look_again(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

enum { TASK_BITS = 24 };
#define TASK_MOST ((uint64_t)1 << TASK_BITS)    /* tasks of a job are fewer */

/* One job at a time. A worker w takes part when w < n_thread; worker 0 is the caller itself. */
static struct {
	/* The job's number, and below it how many of its tasks nobody took. To take one is to lower it by one: that fails when
	   the ticket has moved since it was looked at. What describes a job is written before its ticket, and not again until
	   all its tasks have returned; so what was read between a look and a taking that went well is this job's. */
	_Atomic uint64_t ticket;
	atomic_size_t n_thread, end;    /* end: the number after the last task's */
	void (*_Atomic task)(void *arg, size_t i, size_t worker);
	void *_Atomic arg;
	atomic_size_t n_left;           /* tasks that have not returned */
	atomic_int caller_asleep;
	size_t n_started;               /* workers 1 .. n_started exist */
	pthread_mutex_t lock;           /* around falling asleep and waking: who sleeps says so, then looks a last time */
	pthread_cond_t done;
	struct {
		atomic_int asleep;
		pthread_cond_t wake;
	} worker[THREAD_MAX];
} pool = { .lock = PTHREAD_MUTEX_INITIALIZER, .done = PTHREAD_COND_INITIALIZER };

/* Held by whoever has the pool; a second caller does not wait for it but works alone. */
static pthread_mutex_t owner = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local int inside_task;

size_t
thread_count(void)
{
	/* Larger than the 1024 of cpu_set_t, so that big machines are counted too. */
	enum { N_CPU = 8192 };
	cpu_set_t set[N_CPU / CPU_SETSIZE];

	if (sched_getaffinity(0, sizeof set, set) < 0)
		return 1;
	int n = CPU_COUNT_S(sizeof set, set);
	return n < 1 ? 1 : n > THREAD_MAX ? THREAD_MAX : (size_t)n;
}

/* Takes tasks while there are any that this worker may have. Returns the ticket that it left. */
static uint64_t
take_tasks(size_t worker)
{
	uint64_t ticket = pool.ticket;
	size_t n_done = 0;

	inside_task = 1;
	while (ticket % TASK_MOST > 0) {
		size_t n_thread = atomic_load_explicit(&pool.n_thread, memory_order_relaxed);
		size_t end = atomic_load_explicit(&pool.end, memory_order_relaxed);
		void (*task)(void *, size_t, size_t) = atomic_load_explicit(&pool.task, memory_order_relaxed);
		void *arg = atomic_load_explicit(&pool.arg, memory_order_relaxed);
		if (worker >= n_thread)
			break;
		if (!atomic_compare_exchange_weak(&pool.ticket, &ticket, ticket - 1))
			continue;
		task(arg, end - ticket % TASK_MOST, worker);
		n_done++;
		ticket = pool.ticket;
	}
	inside_task = 0;
	if (n_done > 0 && atomic_fetch_sub(&pool.n_left, n_done) == n_done && pool.caller_asleep) {
		pthread_mutex_lock(&pool.lock);
		pthread_cond_signal(&pool.done);
		pthread_mutex_unlock(&pool.lock);
	}
	return ticket;
}

static int
is_seen(uint64_t ticket)
{
	return pool.ticket / TASK_MOST == ticket / TASK_MOST;
}

static void *
work(void *number)
{
	size_t worker = (size_t)(uintptr_t)number;

	for (;;) {
		uint64_t ticket = take_tasks(worker);
		for (int i = 0; i < N_LOOK && worker < pool.n_thread && is_seen(ticket); i++)
			look_again();
		if (worker < pool.n_thread && !is_seen(ticket))
			continue;
		pthread_mutex_lock(&pool.lock);
		for (;;) {
			pool.worker[worker].asleep = 1;
			if (!is_seen(ticket) && worker < pool.n_thread)
				break;
			pthread_cond_wait(&pool.worker[worker].wake, &pool.lock);
		}
		pool.worker[worker].asleep = 0;
		pthread_mutex_unlock(&pool.lock);
	}
	return NULL;
}

/* Makes workers up to n_thread - 1; how many threads there are then, the caller's included. */
static size_t
start_workers(size_t n_thread)
{
	if (n_thread > THREAD_MAX)
		n_thread = THREAD_MAX;
	/* Signals are the main thread's: a worker that took one would leave its read(2) waiting. */
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (pool.n_started + 1 < n_thread) {
		pthread_t thread;
		pthread_cond_init(&pool.worker[pool.n_started + 1].wake, NULL);
		if (pthread_create(&thread, NULL, work, (void *)(uintptr_t)(pool.n_started + 1)) != 0)
			break;
		pthread_detach(thread);
		pool.n_started++;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return n_thread < pool.n_started + 1 ? n_thread : pool.n_started + 1;
}

static void
run_job(size_t n_thread, size_t from, size_t n, void (*task)(void *arg, size_t i, size_t worker), void *arg)
{
	pool.n_thread = n_thread;
	pool.end = from + n;
	pool.task = task;
	pool.arg = arg;
	pool.n_left = n;
	pool.ticket = (pool.ticket / TASK_MOST + 1) * TASK_MOST + n;
	for (size_t w = 1; w < n_thread; w++)
		if (pool.worker[w].asleep) {
			pthread_mutex_lock(&pool.lock);
			pool.worker[w].asleep = 0;
			pthread_cond_signal(&pool.worker[w].wake);
			pthread_mutex_unlock(&pool.lock);
		}
	take_tasks(0);
	/* All tasks are taken: a worker that has not woken up by now is not waited for. */
	for (int i = 0; i < N_LOOK && pool.n_left > 0; i++)
		look_again();
	if (pool.n_left == 0)
		return;
	pthread_mutex_lock(&pool.lock);
	pool.caller_asleep = 1;
	while (pool.n_left > 0)
		pthread_cond_wait(&pool.done, &pool.lock);
	pool.caller_asleep = 0;
	pthread_mutex_unlock(&pool.lock);
}

void
thread_for(size_t n_thread, size_t n_task, void (*task)(void *arg, size_t i, size_t worker), void *arg)
{
	if (n_thread > n_task)
		n_thread = n_task;
	if (n_thread <= 1 || inside_task || pthread_mutex_trylock(&owner) != 0) {
		for (size_t i = 0; i < n_task; i++)
			task(arg, i, 0);
		return;
	}
	n_thread = start_workers(n_thread);
	for (size_t from = 0, most = TASK_MOST - 1; from < n_task; from += most)
		run_job(n_thread, from, n_task - from < most ? n_task - from : most, task, arg);
	pthread_mutex_unlock(&owner);
}
