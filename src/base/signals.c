/* SPDX-License-Identifier: Apache-2.0 */
#include "base/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

/* Where the handler writes: it has no argument of ours. */
static _Atomic int signals_pipe = -1;

static void signals_handler(int number)
{
    const unsigned char byte = (unsigned char)number;
    int saved = errno;

    /* Full of them: who reads has enough to do. */
    (void)!write(atomic_load(&signals_pipe), &byte, 1);
    errno = saved;
}

int signals_open(const int *numbers, int *fd, struct error *error)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct sigaction tell = {.sa_handler = signals_handler, .sa_flags = SA_RESTART};
    int ends[2];

    *fd = -1;
    sigaction(SIGPIPE, &ignore, NULL);
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
        return error_set(error, errno, "cannot watch for signals: %s", error_words(errno));
    *fd = ends[0];
    ends[1] = atomic_exchange(&signals_pipe, ends[1]);
    if (ends[1] >= 0)
        close(ends[1]);
    sigfillset(&tell.sa_mask);
    for (; *numbers; numbers++)
        sigaction(*numbers, &tell, NULL);
    return 0;
}

int signals_read(int fd)
{
    unsigned char byte;

    return read(fd, &byte, 1) == 1 ? byte : 0;
}

void signals_leave_to_parent(void)
{
    const struct sigaction usual = {.sa_handler = SIG_DFL}, ignore = {.sa_handler = SIG_IGN};
    sigset_t all;

    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    for (int number = 1; number < SIGRTMIN; number++)
        sigaction(number, number == SIGPIPE ? &ignore : &usual, NULL);
}
