/* SPDX-License-Identifier: Apache-2.0 */
#include "base/thread.h"

#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <time.h>

#include "base/error.h"

void mutex_init(struct mutex *mutex)
{
    BUG_ON(pthread_mutex_init(&mutex->raw, NULL));
}

void mutex_release(struct mutex *mutex)
{
    BUG_ON(pthread_mutex_destroy(&mutex->raw));
}

void mutex_lock(struct mutex *mutex) NO_THREAD_SAFETY
{
    BUG_ON(pthread_mutex_lock(&mutex->raw));
}

void mutex_unlock(struct mutex *mutex) NO_THREAD_SAFETY
{
    BUG_ON(pthread_mutex_unlock(&mutex->raw));
}

void condition_init(struct condition *condition)
{
    pthread_condattr_t attr;

    BUG_ON(pthread_condattr_init(&attr));
    BUG_ON(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC));
    BUG_ON(pthread_cond_init(&condition->raw, &attr));
    pthread_condattr_destroy(&attr);
}

void condition_release(struct condition *condition)
{
    BUG_ON(pthread_cond_destroy(&condition->raw));
}

void condition_wait(struct condition *condition, struct mutex *mutex)
{
    BUG_ON(pthread_cond_wait(&condition->raw, &mutex->raw));
}

int condition_wait_until(struct condition *condition, struct mutex *mutex, uint64_t deadline_ns)
{
    struct timespec ts = {
        .tv_sec = (time_t)(deadline_ns / 1000000000),
        .tv_nsec = (long)(deadline_ns % 1000000000),
    };
    int r = pthread_cond_timedwait(&condition->raw, &mutex->raw, &ts);

    BUG_ON(r && r != ETIMEDOUT);
    return -r;
}

void condition_signal(struct condition *condition)
{
    pthread_cond_signal(&condition->raw);
}

void condition_broadcast(struct condition *condition)
{
    pthread_cond_broadcast(&condition->raw);
}

uint64_t monotonic_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* On the stack of who starts the thread, until `ready`. */
struct thread_begin {
    const struct thread_guard *guard;
    enum thread_role role;
    const char *name;
    void *(*body)(void *);
    void *arg;
    sem_t ready;
    int result;
};

static void *thread_main(void *ctx)
{
    struct thread_begin *begin = ctx;
    void *(*body)(void *) = begin->body;
    void *arg = begin->arg;
    int r;

    /* By itself: the name of another thread is written to a file of /proc, and who starts this one
     * may have no right to open files any more. */
    pthread_setname_np(pthread_self(), begin->name);
    r = begin->guard ? begin->guard->enter(begin->guard->ctx, begin->role) : 0;
    begin->result = r;
    sem_post(&begin->ready);
    return r ? NULL : body(arg);
}

int thread_start_guarded(pthread_t *thread, const struct thread_guard *guard, enum thread_role role,
                         const char *name, void *(*body)(void *), void *arg)
{
    struct thread_begin begin = {
        .guard = guard, .role = role, .name = name, .body = body, .arg = arg};
    sigset_t all, old;
    int r;

    BUG_ON(sem_init(&begin.ready, 0, 0));
    /* Signals belong to the main thread; a new thread inherits the mask. Not those that the thread
     * raises itself by a bug of ours: blocked, they would kill the process before its handler could
     * give the terminal back. */
    sigfillset(&all);
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGFPE);
    sigdelset(&all, SIGILL);
    sigdelset(&all, SIGABRT);
    sigdelset(&all, SIGTRAP);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    r = -pthread_create(thread, NULL, thread_main, &begin);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (!r) {
        while (sem_wait(&begin.ready))
            BUG_ON(errno != EINTR);
        r = begin.result;
        if (r)
            pthread_join(*thread, NULL);
    }
    sem_destroy(&begin.ready);
    return r;
}

int thread_start(pthread_t *thread, const char *name, void *(*body)(void *), void *arg)
{
    return thread_start_guarded(thread, NULL, THREAD_LOOP, name, body, arg);
}
