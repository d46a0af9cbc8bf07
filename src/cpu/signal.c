/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/signal.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

void cpu_signal_raise(struct cpu_signal *signal)
{
    uint32_t old = atomic_fetch_or_explicit(&signal->word, CPU_SIGNAL_RAISED, memory_order_acq_rel);

    atomic_store_explicit(&signal->limit, UINT64_MAX, memory_order_release);
    if (old & CPU_SIGNAL_WAITING)
        syscall(SYS_futex, &signal->word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

void cpu_signal_wait(struct cpu_signal *signal)
{
    uint32_t old =
        atomic_fetch_or_explicit(&signal->word, CPU_SIGNAL_WAITING, memory_order_acq_rel);

    /* The kernel compares the word again, so a raise in between is not lost. */
    while (!(old & CPU_SIGNAL_RAISED)) {
        syscall(SYS_futex, &signal->word, FUTEX_WAIT_PRIVATE, CPU_SIGNAL_WAITING, NULL, NULL, 0);
        old = atomic_load_explicit(&signal->word, memory_order_acquire);
    }
    atomic_fetch_and_explicit(&signal->word, ~(uint32_t)CPU_SIGNAL_WAITING, memory_order_acq_rel);
}
