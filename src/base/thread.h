/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A mutex that clang's thread-safety analysis knows. Plain pthread underneath; failure of a lock
 * call is a bug of ours. The order of all locks is in docs/locking.md.
 *
 * Threads are started here and nowhere else, so that each can be confined before it does anything:
 * who makes a machine hands a guard down to those who start threads.
 */
#ifndef HOSPES_BASE_THREAD_H
#define HOSPES_BASE_THREAD_H

#include <pthread.h>

#include "base/compiler.h"

struct CAPABILITY("mutex") mutex {
    pthread_mutex_t raw;
};

void mutex_init(struct mutex *mutex);
void mutex_release(struct mutex *mutex);
void mutex_lock(struct mutex *mutex) ACQUIRES(mutex);
void mutex_unlock(struct mutex *mutex) RELEASES(mutex);

/* A condition on CLOCK_MONOTONIC. */
struct condition {
    pthread_cond_t raw;
};

void condition_init(struct condition *condition);
void condition_release(struct condition *condition);
/* Waits with `mutex` held; may wake for no reason. */
void condition_wait(struct condition *condition, struct mutex *mutex) REQUIRES(mutex);
/* Waits until CLOCK_MONOTONIC reaches `deadline_ns`; returns 0 when woken, -ETIMEDOUT at the
 * deadline. */
int condition_wait_until(struct condition *condition, struct mutex *mutex, uint64_t deadline_ns)
    REQUIRES(mutex);
void condition_signal(struct condition *condition);
void condition_broadcast(struct condition *condition);

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t monotonic_ns(void);

/* What a thread of a machine is for, and so which rights it needs. */
enum thread_role {
    THREAD_LOOP,   /* the event loop: back ends, files, the machine's life */
    THREAD_CPU,    /* runs the guest */
    THREAD_REGION, /* translates hot loops */
    THREAD_DISK,   /* waits in system calls on files that are open already */
    /* Not a thread but a process beside: the user network, with sockets to the outside. */
    THREAD_NETWORK,
    /* The same: reads what is hostile in the place of a command (host/reader.h). */
    THREAD_READER,
    THREAD_ROLES,
};

/* Takes from the calling thread what its role does not need: 0 or -errno. */
struct thread_guard {
    int (*enter)(void *ctx, enum thread_role role);
    void *ctx;
};

/* Starts a thread with all signals blocked and a name of at most 15 bytes (pthread_setname_np).
 * Returns 0 or -errno, once the thread is about to enter its body. */
int thread_start(pthread_t *thread, const char *name, void *(*body)(void *), void *arg) MUST_CHECK;
/* The same; the guard (NULL: none) is called on the new thread first, and is not needed any more
 * afterwards. What it fails with is returned, and then there is no thread. */
int thread_start_guarded(pthread_t *thread, const struct thread_guard *guard, enum thread_role role,
                         const char *name, void *(*body)(void *), void *arg) MUST_CHECK;

#endif
