/* SPDX-License-Identifier: Apache-2.0 */
/* Two trials of the kernel, made when the shell asks for them. */
#ifndef RTOS_TRIALS_H
#define RTOS_TRIALS_H

#include <stdint.h>

/* Before kernel_run(): their tasks, which wait. */
void trials_begin(void);
/* A task of low priority holds what one of high priority wants, while one in between would run.
 * The caller's priority is between the last two. */
void trial_inheritance(void);
/* Two tasks of one priority, each of which needs the CPU for so long. */
void trial_slices(uint64_t ms);

#endif
