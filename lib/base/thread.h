/*
 * thread.h - the same work for many rows, on several cores
 *
 * A task is known by its number alone, so what it computes cannot depend on the thread that ran it.
 */
#ifndef HARE_BASE_THREAD_H
#define HARE_BASE_THREAD_H

#include <stddef.h>

enum { THREAD_MAX = 256 };      /* that work at once, however many are asked for: no worker has a higher number */

size_t thread_count(void);      /* processors that this process may use (affinity), 1 to THREAD_MAX */

/* Calls task(arg, i, w) once for every i in [0, n_task), w in [0, n_thread) being the worker, so that scratch can
   be taken per worker. Returns when all have returned. Runs in the caller's thread, as worker 0, when one thread or
   task is enough, and when called from within a task or while another thread has the workers: so two calls that may
   meet share no scratch. Workers are kept between calls, and signals are left to the other threads. Cost: a few
   microseconds a call. */
void thread_for(size_t n_thread, size_t n_task, void (*task)(void *arg, size_t i, size_t worker), void *arg);

#endif
