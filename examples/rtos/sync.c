/* SPDX-License-Identifier: Apache-2.0 */
/* Mutexes with priority inheritance, and queues. */
#include <stddef.h>

#include "kernel.h"

/* ---- mutexes ---- */

/* K3, along the chain: the owner may itself wait for a mutex. */
static void inherit(struct mutex *mutex, unsigned priority)
{
    while (mutex && mutex->owner->priority < priority) {
        task_set_priority(mutex->owner, priority);
        mutex = mutex->owner->wants;
    }
}

static void mutex_give(struct mutex *mutex, struct task *task)
{
    mutex->owner = task;
    mutex->next_held = task->holds;
    task->holds = mutex;
    if (mutex->waiters.first && mutex->waiters.first->priority > task->priority)
        task_set_priority(task, mutex->waiters.first->priority);
}

void mutex_lock(struct mutex *mutex)
{
    uint64_t saved = interrupts_off();
    struct task *task = kernel.current;

    if (mutex->owner == task)
        panic("a task locks what it holds", (uint64_t)mutex);
    if (!mutex->owner) {
        mutex_give(mutex, task);
    } else {
        task->wants = mutex;
        inherit(mutex, task->priority);
        task_block(&mutex->waiters); /* mutex_unlock() gives it to who it wakes */
    }
    kernel_leave(saved);
}

void mutex_unlock(struct mutex *mutex)
{
    uint64_t saved = interrupts_off();
    struct task *task = kernel.current, *next = mutex->waiters.first;
    struct mutex **link = &task->holds;
    unsigned priority = task->base_priority;

    if (mutex->owner != task)
        panic("a task unlocks what it does not hold", (uint64_t)mutex);
    while (*link != mutex)
        link = &(*link)->next_held;
    *link = mutex->next_held;
    mutex->owner = NULL;
    if (next) {
        next->wants = NULL;
        task_wake(next);
        mutex_give(mutex, next);
    }
    for (struct mutex *held = task->holds; held; held = held->next_held)
        if (held->waiters.first && held->waiters.first->priority > priority)
            priority = held->waiters.first->priority;
    task_set_priority(task, priority); /* K3 */
    kernel_leave(saved);
}

/* ---- queues ---- */

static void queue_put(struct queue *queue, uint64_t message)
{
    queue->items[(queue->first + queue->count++) % queue->size] = message;
}

bool queue_try_send(struct queue *queue, uint64_t message)
{
    uint64_t saved = interrupts_off();
    struct task *receiver = queue->receivers.first;
    bool room = receiver || queue->count < queue->size;

    if (receiver) {
        receiver->message = message;
        task_wake(receiver);
    } else if (room) {
        queue_put(queue, message);
    }
    kernel_leave(saved);
    return room;
}

void queue_send(struct queue *queue, uint64_t message)
{
    uint64_t saved = interrupts_off();

    if (!queue_try_send(queue, message)) {
        kernel.current->message = message;
        task_block(&queue->senders); /* who makes room puts the message into it */
    }
    kernel_leave(saved);
}

uint64_t queue_receive(struct queue *queue)
{
    uint64_t saved = interrupts_off();
    struct task *sender = queue->senders.first;
    uint64_t message;

    if (queue->count) {
        message = queue->items[queue->first];
        queue->first = (queue->first + 1) % queue->size;
        queue->count--;
        if (sender) {
            queue_put(queue, sender->message);
            task_wake(sender);
        }
    } else {
        task_block(&queue->receivers);
        message = kernel.current->message;
    }
    kernel_leave(saved);
    return message;
}
