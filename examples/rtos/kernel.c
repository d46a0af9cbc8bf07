/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel.h"

#include <stddef.h>

#include "console.h"

#define STACK_MARK 0x5afe57ac5afe57acul

/* start.S */
void switch_context(uint64_t *save_sp, uint64_t load_sp);
void task_begin(void);
void task_end(void);
void trap_handle(uint64_t pc, uint64_t cause, uint64_t value);

struct kernel kernel;

static struct task idle;

/* ---- lists ---- */

void list_remove(struct task *task)
{
    struct task **link;

    if (!task->list)
        return;
    link = &task->list->first;
    while (*link != task)
        link = &(*link)->next;
    *link = task->next;
    task->list = NULL;
}

static void list_insert(struct task_list *list, struct task **link, struct task *task)
{
    task->next = *link;
    *link = task;
    task->list = list;
}

/* Behind those of its priority. */
void list_add_by_priority(struct task_list *list, struct task *task)
{
    struct task **link = &list->first;

    while (*link && (*link)->priority >= task->priority)
        link = &(*link)->next;
    list_insert(list, link, task);
}

static void list_add_by_tick(struct task_list *list, struct task *task)
{
    struct task **link = &list->first;

    while (*link && (*link)->wake_tick <= task->wake_tick)
        link = &(*link)->next;
    list_insert(list, link, task);
}

/* ---- who runs ---- */

static struct task *highest_ready(void)
{
    for (unsigned priority = PRIORITIES; priority--;)
        if (kernel.ready[priority].first)
            return kernel.ready[priority].first;
    panic("nothing is ready, not even idle", 0);
}

/* Interrupts are off, and no trap is being handled. */
static void schedule(void)
{
    struct task *from = kernel.current, *to = highest_ready();
    uint64_t now = time_now();

    kernel.switch_wanted = false;
    if (from->stack[0] != STACK_MARK)
        panic("a stack is full", (uint64_t)from->stack);
    from->used += now - kernel.switched_at;
    kernel.switched_at = now;
    if (to == from)
        return;
    to->switches++;
    kernel.current = to; /* K4 */
    switch_context(&from->sp, to->sp);
}

void kernel_leave(uint64_t saved)
{
    if (kernel.switch_wanted && !kernel.in_trap && kernel.current)
        schedule();
    interrupts_restore(saved);
}

static void task_ready(struct task *task)
{
    list_add_by_priority(&kernel.ready[task->priority], task);
    if (!kernel.current || task->priority > kernel.current->priority)
        kernel.switch_wanted = true;
}

void task_wake(struct task *task)
{
    list_remove(task);
    task->slice_left = SLICE_TICKS;
    task_ready(task);
}

void task_block(struct task_list *list)
{
    struct task *task = kernel.current;

    list_remove(task);
    list_add_by_priority(list, task);
    schedule();
}

void task_set_priority(struct task *task, unsigned priority)
{
    struct task_list *list = task->list;
    bool ready = list >= kernel.ready && list < kernel.ready + PRIORITIES;

    if (task->priority == priority)
        return;
    task->priority = priority;
    if (!list || list == &kernel.sleepers)
        return;
    list_remove(task);
    if (!ready) {
        list_add_by_priority(list, task);
        return;
    }
    if (task != kernel.current) {
        task_ready(task);
        return;
    }
    /* K2: it runs on, unless a higher one is ready now. */
    list_insert(&kernel.ready[priority], &kernel.ready[priority].first, task);
    kernel.switch_wanted = true;
}

void task_start(struct task *task, const char *name, unsigned priority, void (*run)(void *argument),
                void *argument)
{
    uint64_t saved = interrupts_off();
    /* What switch_context() takes from it: ra, s0, s1, s2 to s11; and to a multiple of 16. */
    uint64_t *sp = task->stack + STACK_SIZE / sizeof(uint64_t) - 14;

    task->name = name;
    task->base_priority = task->priority = priority;
    task->slice_left = SLICE_TICKS;
    task->stack[0] = STACK_MARK;
    sp[0] = (uint64_t)task_begin;
    sp[1] = (uint64_t)run;
    sp[2] = (uint64_t)argument;
    task->sp = (uint64_t)sp;
    task->next_of_all = kernel.all;
    kernel.all = task;
    task_ready(task);
    kernel_leave(saved);
}

/* A task's function returned. */
void task_end(void)
{
    interrupts_off();
    list_remove(kernel.current);
    schedule();
    panic("an ended task runs", (uint64_t)kernel.current);
}

uint64_t task_used(const struct task *task)
{
    uint64_t saved = interrupts_off();
    uint64_t used = task->used + (task == kernel.current ? time_now() - kernel.switched_at : 0);

    interrupts_restore(saved);
    return used;
}

/* ---- time ---- */

uint64_t tick_to_time(uint64_t tick)
{
    return kernel.start + tick * kernel.tick_time;
}

uint64_t time_to_us(uint64_t time)
{
    return time * 1000000 / kernel.machine.timebase;
}

void task_sleep_until(uint64_t tick)
{
    uint64_t saved = interrupts_off();
    struct task *task = kernel.current;

    if (tick > kernel.tick) {
        task->wake_tick = tick;
        list_remove(task);
        list_add_by_tick(&kernel.sleepers, task);
        schedule();
    }
    interrupts_restore(saved);
}

void task_sleep_ms(uint64_t ms)
{
    /* A tick more, since the one that is under way is not whole. */
    task_sleep_until(kernel.tick + ms * TICK_HZ / 1000 + 1);
}

/* Ticks that the host let pass without a chance to run count all at once, so that the clock of the
 * sleepers is never behind. */
static void tick_interrupt(void)
{
    uint64_t tick = (time_now() - kernel.start) / kernel.tick_time;
    uint64_t passed = tick - kernel.tick;
    struct task *current = kernel.current;

    if (passed > 1)
        kernel.lost_ticks += passed - 1;
    kernel.tick = tick;
    timer_set(kernel.direct_timer, tick_to_time(tick + 1));
    while (kernel.sleepers.first && kernel.sleepers.first->wake_tick <= tick)
        task_wake(kernel.sleepers.first);
    if (current->slice_left > passed) {
        current->slice_left -= (unsigned)passed;
        return;
    }
    current->slice_left = SLICE_TICKS;
    if (current->next) { /* an equal: K2 */
        list_remove(current);
        list_add_by_priority(&kernel.ready[current->priority], current);
        current->slices++;
        kernel.switch_wanted = true;
    }
}

/* ---- traps ---- */

#define CAUSE_INTERRUPT (1ul << 63)

void trap_handle(uint64_t pc, uint64_t cause, uint64_t value)
{
    kernel.in_trap = true;
    if (cause == (CAUSE_INTERRUPT | 5)) {
        tick_interrupt();
    } else if (cause == (CAUSE_INTERRUPT | 9)) {
        uart_interrupt(kernel.machine.hart, kernel.received);
    } else {
        console_panic("trap at %lx, cause %lx, value %lx\n", pc, cause, value);
        panic("a trap that nobody wants", cause);
    }
    kernel.in_trap = false;
    if (kernel.switch_wanted)
        schedule();
}

void panic(const char *what, uint64_t number)
{
    interrupts_off();
    console_panic("panic: %s (%lx), in task %s\n", what, number,
                  kernel.current ? kernel.current->name : "none");
    machine_off(true);
}

/* ---- begin ---- */

static void idle_run(void *argument)
{
    for (;;)
        __asm__ volatile("wfi");
}

void kernel_begin(uint64_t hart, const void *tree, void (*received)(char c))
{
    kernel.received = received;
    kernel.machine.hart = hart;
    if (!machine_read_tree(&kernel.machine, tree))
        panic("no device tree with a time base", (uint64_t)tree);
    kernel.direct_timer = timer_probe();
    kernel.tick_time = kernel.machine.timebase / TICK_HZ;
    uart_begin(hart, received);
    task_start(&idle, "idle", 0, idle_run, NULL);
}

void kernel_run(void)
{
    uint64_t nobody;

    kernel.start = kernel.switched_at = time_now();
    timer_set(kernel.direct_timer, tick_to_time(1));
    csr_set(sie, SIE_TIMER | SIE_OUTSIDE);
    kernel.current = highest_ready();
    kernel.current->switches++;
    kernel.switch_wanted = false;
    switch_context(&nobody, kernel.current->sp);
    panic("the first stack runs again", 0);
}
