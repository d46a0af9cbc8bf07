/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What runs: a control loop that is released periodically and measures how late it is, a task that
 * reports this every now and then, and a shell on the UART.
 */
#include <stddef.h>

#include "console.h"
#include "kernel.h"
#include "lateness.h"
#include "text.h"
#include "trials.h"

#define LINE_SIZE 80

struct rtos {
    uint64_t period;    /* ticks */
    uint64_t report_ms; /* 0: never by itself */
    struct lateness all, recent;
    struct task control, reporter, shell;
    struct queue input;
    uint64_t bytes[64];
    uint64_t bytes_lost;
};

static struct rtos rtos;

/* The trap of the loader, start.S. */
void rtos_main(uint64_t hart, const void *tree);

/* ---- the control loop ---- */

/* A release that comes after the next one was due runs at once, and counts as late as it is: a
 * pause of the host makes as many late ones as it lasted periods. */
static void control_run(void *argument)
{
    uint64_t limit = rtos.period * 1000000 / TICK_HZ;
    uint64_t release = kernel.tick + rtos.period;

    for (;; release += rtos.period) {
        uint64_t us, saved;

        task_sleep_until(release);
        us = time_to_us(time_now() - tick_to_time(release));
        saved = interrupts_off();
        lateness_add(&rtos.all, us, limit);
        lateness_add(&rtos.recent, us, limit);
        interrupts_restore(saved);
    }
}

static void say_lateness(const char *what, const struct lateness *lateness)
{
    console_say("%s: count %lu p50 %lu p99 %lu max %lu us missed %lu of period %lu us\n", what,
                lateness->count, lateness_quantile(lateness, 500), lateness_quantile(lateness, 990),
                lateness->most, lateness->missed, rtos.period * 1000000 / TICK_HZ);
}

/* Copies with interrupts off; zeroes what it copied if `forget`. */
static void take_lateness(struct lateness *copy, struct lateness *from, bool forget)
{
    uint64_t saved = interrupts_off();

    *copy = *from;
    if (forget)
        *from = (struct lateness){0};
    interrupts_restore(saved);
}

static void reporter_run(void *argument)
{
    static struct lateness copy;

    for (;;) {
        task_sleep_ms(rtos.report_ms ? rtos.report_ms : 1000);
        if (!rtos.report_ms)
            continue;
        take_lateness(&copy, &rtos.recent, true);
        say_lateness("recent", &copy);
    }
}

/* ---- the shell ---- */

static void take_byte(char c)
{
    if (!queue_try_send(&rtos.input, (uint8_t)c))
        rtos.bytes_lost++;
}

static void say_help(void)
{
    console_say("rt      how late the control loop was since it began, or since 'reset'\n"
                "reset   forget that\n"
                "report  N: tell it by itself every N seconds; 0: no more\n"
                "tasks   who is there, and what they used of the CPU\n"
                "uptime  since the start, by ticks\n"
                "inherit a trial of priority inheritance\n"
                "slices  MS: a trial of time slices\n"
                "off     end\n");
}

static void say_tasks(void)
{
    uint64_t since = time_now() - kernel.start;

    for (const struct task *task = kernel.all; task; task = task->next_of_all) {
        uint64_t used = task_used(task);

        console_say("%-9s priority %lu  switches %8lu  used %10lu us %3lu.%lu %%\n", task->name,
                    (uint64_t)task->priority, task->switches, time_to_us(used), used * 100 / since,
                    used * 1000 / since % 10);
    }
}

static void execute(const char *line)
{
    static struct lateness copy;

    if (text_equal(line, "rt")) {
        take_lateness(&copy, &rtos.all, false);
        say_lateness("rt", &copy);
    } else if (text_equal(line, "reset")) {
        take_lateness(&copy, &rtos.all, true);
        console_say("forgotten\n");
    } else if (text_begins(line, "report ")) {
        rtos.report_ms = text_number(line + 7, 0) * 1000;
        console_say("every %lu ms\n", rtos.report_ms);
    } else if (text_equal(line, "tasks")) {
        say_tasks();
    } else if (text_equal(line, "uptime")) {
        console_say("%lu ms, %lu ticks came late, %lu bytes lost, timer by %s\n",
                    kernel.tick * 1000 / TICK_HZ, kernel.lost_ticks, rtos.bytes_lost,
                    kernel.direct_timer ? "stimecmp" : "the SBI");
    } else if (text_equal(line, "inherit")) {
        trial_inheritance();
    } else if (text_begins(line, "slices ")) {
        trial_slices(text_number(line + 7, 100));
    } else if (text_equal(line, "off")) {
        console_say("off\n");
        machine_off(false);
    } else if (text_equal(line, "help")) {
        say_help();
    } else if (*line) {
        console_say("no command \"%s\"; try help\n", line);
    }
}

static void shell_run(void *argument)
{
    char line[LINE_SIZE];
    unsigned length = 0;

    console_say("rtos: %lu ticks a second, period %lu ticks\nrtos> ", (uint64_t)TICK_HZ,
                rtos.period);
    for (;;) {
        char c = (char)queue_receive(&rtos.input);

        if (c == '\r' || c == '\n') {
            line[length] = 0;
            length = 0;
            console_say("\n");
            execute(line);
            console_say("rtos> ");
        } else if ((c == '\b' || c == 0x7f) && length) {
            length--;
            console_say("\b \b");
        } else if (c >= ' ' && c < 0x7f && length < LINE_SIZE - 1) {
            line[length++] = c;
            console_say("%c", c);
        }
    }
}

void rtos_main(uint64_t hart, const void *tree)
{
    rtos.input = (struct queue){.items = rtos.bytes, .size = 64};
    kernel_begin(hart, tree, take_byte);
    rtos.period = machine_argument(&kernel.machine, "period", 5);
    if (!rtos.period)
        rtos.period = 1;
    rtos.report_ms = machine_argument(&kernel.machine, "report", 10) * 1000;
    trials_begin();
    task_start(&rtos.control, "control", 7, control_run, NULL);
    task_start(&rtos.shell, "shell", 5, shell_run, NULL);
    task_start(&rtos.reporter, "reporter", 2, reporter_run, NULL);
    kernel_run();
}
