/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A preemptive kernel for one hart: tasks of fixed priorities, of which the highest that is ready
 * runs; time slices among equals; sleeps to a tick; mutexes with priority inheritance; queues.
 *
 * Tasks, mutexes and queues are the caller's memory and live for ever. Calls that may block are
 * for tasks, with interrupts on and not in a trap; what a trap may call says so.
 *
 *  K1  The lists and all fields of tasks, mutexes and queues are touched with interrupts off only.
 *  K2  A task is in one list at most: the ready one of its priority, the sleepers', or the waiters'
 *      of what it waits for. The running one is in the ready list, at its head.
 *  K3  A task's priority is the highest of its own and of those that wait for a mutex it holds.
 *  K4  `current` changes in schedule() alone.
 */
#ifndef RTOS_KERNEL_H
#define RTOS_KERNEL_H

#include <stdbool.h>
#include <stdint.h>

#include "machine.h"

#define PRIORITIES  8u /* 0 is the idle task's */
#define TICK_HZ     1000u
#define SLICE_TICKS 10u
#define STACK_SIZE  8192u

struct task;
struct mutex;

struct task_list {
    struct task *first;
};

struct task {
    uint64_t sp; /* of a task that does not run */
    const char *name;
    unsigned base_priority, priority; /* K3 */
    struct task_list *list;           /* K2; NULL: it is in none */
    struct task *next;
    uint64_t wake_tick;
    uint64_t message;    /* handed over by who wakes a receiver */
    struct mutex *wants; /* waits for it */
    struct mutex *holds; /* the first of those that it holds */
    unsigned slice_left; /* ticks */
    uint64_t switches;   /* how often it was switched to */
    uint64_t slices;     /* how often its slice ended and another one had its turn */
    uint64_t used;       /* time on the CPU */
    struct task *next_of_all;
    uint64_t stack[STACK_SIZE / sizeof(uint64_t)] __attribute__((aligned(16)));
};

struct mutex {
    struct task *owner;
    struct task_list waiters; /* by priority */
    struct mutex *next_held;
};

struct queue {
    uint64_t *items;
    unsigned size, first, count;
    struct task_list senders, receivers; /* by priority; one of the two is empty */
};

/* The one kernel. */
struct kernel {
    struct machine machine;
    bool direct_timer; /* Sstc */
    uint64_t tick;
    uint64_t tick_time; /* timebase units a tick */
    uint64_t start;     /* the time of tick 0 */
    uint64_t lost_ticks;
    struct task *current;
    uint64_t switched_at;
    bool in_trap;
    bool switch_wanted;
    struct task_list ready[PRIORITIES];
    struct task_list sleepers; /* by the tick at which they wake */
    struct task *all;
    void (*received)(char c); /* in a trap: a byte came */
};

extern struct kernel kernel;

/* Before kernel_run(). */
void kernel_begin(uint64_t hart, const void *tree, void (*received)(char c));
/* Makes it ready; any time. */
void task_start(struct task *task, const char *name, unsigned priority, void (*run)(void *argument),
                void *argument);
/* Runs what was started; never returns. */
__attribute__((noreturn)) void kernel_run(void);

/* The time of a tick. */
uint64_t tick_to_time(uint64_t tick);
uint64_t time_to_us(uint64_t time);
/* Returns at once if that tick is over. */
void task_sleep_until(uint64_t tick);
void task_sleep_ms(uint64_t ms);
/* Its time on the CPU until now. Any task. */
uint64_t task_used(const struct task *task);

void mutex_lock(struct mutex *mutex);
void mutex_unlock(struct mutex *mutex);

/* Waits while it is full. */
void queue_send(struct queue *queue, uint64_t message);
/* False: it is full. In a trap, too. */
bool queue_try_send(struct queue *queue, uint64_t message);
uint64_t queue_receive(struct queue *queue);

/* Tells what is wrong past all locks, and ends the machine as failed. */
__attribute__((noreturn)) void panic(const char *what, uint64_t number);

/* ---- between kernel.c and sync.c; interrupts are off ---- */

void list_add_by_priority(struct task_list *list, struct task *task);
void list_remove(struct task *task);
/* Takes it out of the list that it is in, and makes it ready. */
void task_wake(struct task *task);
/* The current task into `list`, until somebody wakes it. */
void task_block(struct task_list *list);
void task_set_priority(struct task *task, unsigned priority);
/* Lets a task go first that was made ready, and switches interrupts on again. */
void kernel_leave(uint64_t saved);

#endif
