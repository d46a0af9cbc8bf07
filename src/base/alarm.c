/* SPDX-License-Identifier: Apache-2.0 */
#include "base/alarm.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"

static int alarm_signal(void)
{
    return SIGRTMIN;
}

static void alarm_handler(int number, siginfo_t *info, void *context)
{
    int saved = errno;
    const struct alarm *alarm = info->si_value.sival_ptr;

    /* Not what somebody sent. */
    if (info->si_code == SI_TIMER && alarm)
        alarm->reached(alarm->ctx);
    errno = saved;
}

static int alarm_mask(int how)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, alarm_signal());
    return -pthread_sigmask(how, &set, NULL);
}

int alarm_begin(struct alarm *alarm, void (*reached)(void *ctx), void *ctx)
{
    struct sigaction action = {.sa_sigaction = alarm_handler,
                               .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = alarm_signal()};

    if (THREAD_SANITIZER)
        return -ENOTSUP;
    *alarm = (struct alarm){.reached = reached, .ctx = ctx};
    event.sigev_value.sival_ptr = alarm;
    event._sigev_un._tid = gettid();
    sigemptyset(&action.sa_mask);
    if (sigaction(alarm_signal(), &action, NULL) < 0 ||
        timer_create(CLOCK_MONOTONIC, &event, &alarm->timer) < 0)
        return -errno;
    return alarm_mask(SIG_UNBLOCK);
}

void alarm_set(struct alarm *alarm, uint64_t at_ns)
{
    /* All zeroes would be never. */
    struct itimerspec when = {.it_value = {.tv_sec = (time_t)(at_ns / 1000000000),
                                           .tv_nsec = (long)(at_ns % 1000000000) | 1}};

    BUG_ON(timer_settime(alarm->timer, TIMER_ABSTIME, &when, NULL) < 0);
}

void alarm_end(struct alarm *alarm)
{
    /* What is on its way stays with the thread, which takes it no more. */
    BUG_ON(alarm_mask(SIG_BLOCK));
    timer_delete(alarm->timer);
}
