/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fault.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>

struct fault_thread {
    fault_function *function;
    void *ctx;
    stack_t before; /* the stack for signals that it had without us */
};

static _Thread_local struct fault_thread fault_thread;

/* Who was there before. Changes only when a handler of somebody else's is found in place of ours.
 */
static struct {
    pthread_mutex_t lock;
    struct sigaction before;
} fault_process = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void fault_pass_on(int number, siginfo_t *info, void *context)
{
    const struct sigaction *before = &fault_process.before;

    if (before->sa_flags & SA_SIGINFO)
        before->sa_sigaction(number, info, context);
    else if (before->sa_handler != SIG_DFL && before->sa_handler != SIG_IGN)
        before->sa_handler(number);
    else
        signal(number, SIG_DFL); /* it faults again, and that ends the process */
}

static void fault_handler(int number, siginfo_t *info, void *context)
{
    int saved = errno;
    const struct fault_thread *thread = &fault_thread;

    if (!thread->function || !thread->function(thread->ctx, context))
        fault_pass_on(number, info, context);
    errno = saved;
}

static int fault_install(void)
{
    struct sigaction action = {.sa_sigaction = fault_handler,
                               .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    struct sigaction now;
    int r = 0;

    /* Others wait: the stack is of one handler's size. */
    sigfillset(&action.sa_mask);
    sigdelset(&action.sa_mask, SIGSEGV);
    pthread_mutex_lock(&fault_process.lock);
    if (sigaction(SIGSEGV, NULL, &now))
        r = -errno;
    if (!r && !((now.sa_flags & SA_SIGINFO) && now.sa_sigaction == fault_handler)) {
        fault_process.before = now;
        if (sigaction(SIGSEGV, &action, NULL))
            r = -errno;
    }
    pthread_mutex_unlock(&fault_process.lock);
    return r;
}

int fault_handle(fault_function *function, void *ctx, void *stack)
{
    const stack_t alternative = {.ss_sp = stack, .ss_size = FAULT_STACK};
    stack_t before;
    int r = fault_install();

    if (r)
        return r;
    if (sigaltstack(&alternative, &before))
        return -errno;
    if (!fault_thread.function)
        fault_thread.before = before;
    fault_thread.function = function;
    fault_thread.ctx = ctx;
    return 0;
}

void fault_leave(void *ctx)
{
    if (!fault_thread.function || fault_thread.ctx != ctx)
        return;
    fault_thread.function = NULL;
    sigaltstack(&fault_thread.before, NULL); /* as it was: that cannot fail */
}
