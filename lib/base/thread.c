#include "base/thread.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>

/* A worker that is done, and a caller whose workers are not, look again this often before they sleep: products of small
   matrices come one close behind the other, and waking up takes longer than they do. Some 20 microseconds in all. */
enum { N_LOOK = 600 };

static inline void
look_again(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

/* One job at a time. A worker w takes part when w < n_thread; worker 0 is the caller itself. */
static struct {
	pthread_mutex_t lock;           /* of all below but next; n_job and n_busy may be looked at without */
	pthread_cond_t wake, done;
	size_t n_started;               /* workers 1 .. n_started exist */
	_Atomic uint64_t n_job;                 /* jobs given out so far: tells a new one from one already seen */
	atomic_size_t n_busy;                  /* workers that have joined the present job and not finished it */
	size_t n_thread, n_task;
	void (*task)(void *arg, size_t i, size_t worker);
	void *arg;
	atomic_size_t next;             /* first task that nobody took */
} pool = { .lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER, .done = PTHREAD_COND_INITIALIZER };

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

static void
take_tasks(size_t worker, size_t n_task, void (*task)(void *, size_t, size_t), void *arg)
{
	inside_task = 1;
	for (size_t i; (i = atomic_fetch_add_explicit(&pool.next, 1, memory_order_relaxed)) < n_task; )
		task(arg, i, worker);
	inside_task = 0;
}

static void *
work(void *number)
{
	size_t worker = (size_t)(uintptr_t)number;
	uint64_t n_seen = 0;

	pthread_mutex_lock(&pool.lock);
	for (;;) {
		while (pool.n_job == n_seen || worker >= pool.n_thread)
			pthread_cond_wait(&pool.wake, &pool.lock);
		n_seen = pool.n_job;
		pool.n_busy++;
		size_t n_task = pool.n_task;
		void (*task)(void *, size_t, size_t) = pool.task;
		void *arg = pool.arg;
		pthread_mutex_unlock(&pool.lock);
		take_tasks(worker, n_task, task, arg);
		pthread_mutex_lock(&pool.lock);
		if (--pool.n_busy == 0)
			pthread_cond_signal(&pool.done);
		pthread_mutex_unlock(&pool.lock);
		for (int i = 0; i < N_LOOK && pool.n_job == n_seen; i++)
			look_again();
		pthread_mutex_lock(&pool.lock);
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
		if (pthread_create(&thread, NULL, work, (void *)(uintptr_t)(pool.n_started + 1)) != 0)
			break;
		pthread_detach(thread);
		pool.n_started++;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return n_thread < pool.n_started + 1 ? n_thread : pool.n_started + 1;
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
	pthread_mutex_lock(&pool.lock);
	pool.n_thread = start_workers(n_thread);
	pool.n_task = n_task;
	pool.task = task;
	pool.arg = arg;
	atomic_store(&pool.next, 0);
	pool.n_job++;
	pthread_cond_broadcast(&pool.wake);
	pthread_mutex_unlock(&pool.lock);

	take_tasks(0, n_task, task, arg);

	pthread_mutex_lock(&pool.lock);
	/* All tasks are taken: a worker that has not woken up by now is not waited for, and may not join any more. */
	pool.n_thread = 0;
	if (pool.n_busy > 0) {
		pthread_mutex_unlock(&pool.lock);
		for (int i = 0; i < N_LOOK && pool.n_busy > 0; i++)
			look_again();
		pthread_mutex_lock(&pool.lock);
	}
	while (pool.n_busy > 0)
		pthread_cond_wait(&pool.done, &pool.lock);
	pthread_mutex_unlock(&pool.lock);
	pthread_mutex_unlock(&owner);
}
