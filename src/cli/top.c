/* SPDX-License-Identifier: Apache-2.0 */
/* `hospes top`: all machines that run, live. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "base/size.h"
#include "base/thread.h"
#include "cli/command.h"
#include "cli/named.h"
#include "host/control.h"
#include "host/family.h"
#include "host/pool.h"

enum { TOP_ONCE = 1, TOP_INTERVAL };
enum { ASK_MS = 500 };

/* Counters that only grow, of one machine's process at one moment. */
struct sample {
    char name[REGISTRY_NAME_MAX + 1];
    int pid;
    uint64_t cpu_ns, read, written; /* of disks, by the process */
    bool told;                      /* the machine told: */
    uint64_t units;                 /* translated */
};

struct top {
    struct registry registry;
    unsigned interval; /* seconds */
    bool once;
    struct sample *before; /* of the last turn; owned */
    size_t before_count;
    uint64_t before_ns;
};

static uint64_t line_number(const char *text, const char *key)
{
    const char *at = strstr(text, key);

    return at ? strtoull(at + strlen(key), NULL, 10) : 0;
}

/* By the clock of its CPU time, in ns: /proc has it in hundredths of a second, of which one that
 * comes to an end makes half a per cent of a look of two seconds. 0: it is gone. */
static uint64_t process_cpu_ns(pid_t pid)
{
    struct timespec time;
    clockid_t clock;

    if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &time))
        return 0;
    return (uint64_t)time.tv_sec * UINT64_C(1000000000) + (uint64_t)time.tv_nsec;
}

static void sample_take(struct sample *sample, const struct pool_machine *machine, json_t *info)
{
    pid_t members[FAMILY_MAX];
    size_t count = family_find(machine->pid, members);
    char text[4096];

    sample->cpu_ns = 0;
    snprintf(sample->name, sizeof(sample->name), "%s", machine->name);
    sample->pid = machine->pid;
    for (size_t i = 0; i < count; i++)
        sample->cpu_ns += process_cpu_ns(members[i]);
    process_text(machine->pid, "io", text, sizeof(text));
    sample->read = line_number(text, "\nread_bytes: ");
    sample->written = line_number(text, "\nwrite_bytes: ");
    sample->told = info != NULL;
    sample->units = (uint64_t)json_integer_value(json_object_get(info, "units"));
}

/* Of the same process: another one's counters began anew. */
static const struct sample *sample_before(const struct top *top, const struct sample *now)
{
    for (size_t i = 0; i < top->before_count; i++)
        if (!strcmp(top->before[i].name, now->name) && top->before[i].pid == now->pid)
            return &top->before[i];
    return NULL;
}

/* What a counter grew by in a second. */
static double rate(uint64_t now, uint64_t before, uint64_t ns)
{
    return now > before ? (double)(now - before) * 1e9 / (double)ns : 0;
}

static void row_print(const struct pool_machine *machine, const struct sample *now,
                      const struct sample *before, uint64_t ns, const json_t *info)
{
    const json_t *memory = json_object_get(info, "memory");
    const char *state = json_string_value(json_object_get(info, "state"));
    uint64_t given = (uint64_t)json_integer_value(json_object_get(memory, "given"));
    char a[SIZE_TEXT_MAX], b[SIZE_TEXT_MAX], c[SIZE_TEXT_MAX], d[SIZE_TEXT_MAX], e[SIZE_TEXT_MAX];
    json_int_t online = json_integer_value(json_object_get(info, "cpus_online"));
    bool units = before && before->told && now->told;
    char cpus[16];

    if (!before || !ns)
        before = now;
    if (!ns)
        ns = 1;
    /* What `hospes balance` leaves it for now, and what it has. */
    if (online > 0 && online < machine->cpus)
        snprintf(cpus, sizeof(cpus), "%u/%u", (unsigned)online, machine->cpus);
    else
        snprintf(cpus, sizeof(cpus), "%u", machine->cpus);
    printf("%-16.16s %-8s %5s %6.1f %10s %10s %10s %9s/s %9s/s %8.0f\n", machine->name,
           state ? state : "busy", cpus, rate(now->cpu_ns, before->cpu_ns, ns) / 1e7,
           size_format(machine->resident, a), size_format(machine->memory, b),
           size_format(given, c), size_format((uint64_t)rate(now->read, before->read, ns), d),
           size_format((uint64_t)rate(now->written, before->written, ns), e),
           units ? rate(now->units, before->units, ns) : 0);
}

static void head_print(const struct pool *pool, bool screen)
{
    char a[SIZE_TEXT_MAX], b[SIZE_TEXT_MAX], c[SIZE_TEXT_MAX];

    if (screen)
        printf("\033[H\033[J");
    printf("%zu machines; host: %u CPUs, %s of memory, %s available; guests hold %s%s\n\n",
           pool->count, pool->cpus, size_format(pool->memory, a),
           size_format(pool->memory_available, b), size_format(pool->resident, c),
           screen ? "; q quits" : "");
    printf("%-16s %-8s %5s %6s %10s %10s %10s %11s %11s %8s\n", "NAME", "STATE", "CPUS", "CPU %",
           "USED", "MEMORY", "BALLOON", "READ", "WRITTEN", "UNITS/S");
}

static int top_turn(struct top *top, bool screen, struct error *error)
{
    uint64_t now_ns = monotonic_ns(), ns = top->before_ns ? now_ns - top->before_ns : 0;
    struct sample *samples;
    struct pool pool;
    json_t *infos;
    int r = pool_measure(&pool, &top->registry, error);

    if (r)
        return r;
    samples = calloc(pool.count + 1, sizeof(*samples));
    if (!samples) {
        pool_release(&pool);
        return error_set(error, ENOMEM, "out of memory");
    }
    infos = json_array();
    for (size_t i = 0; i < pool.count; i++) {
        json_t *info =
            control_ask(&top->registry, pool.machines[i].name, "machine.info", NULL, ASK_MS, NULL);

        sample_take(&samples[i], &pool.machines[i], info);
        pool_hear(&pool, &pool.machines[i], info);
        json_array_append_new(infos, info ? info : json_null());
    }
    if (!top->once || ns)
        head_print(&pool, screen);
    for (size_t i = 0; i < pool.count && (!top->once || ns); i++)
        row_print(&pool.machines[i], &samples[i], sample_before(top, &samples[i]), ns,
                  json_array_get(infos, i));
    json_decref(infos);
    free(top->before);
    top->before = samples;
    top->before_count = pool.count;
    top->before_ns = now_ns;
    pool_release(&pool);
    return fflush(stdout) ? error_set(error, EIO, "cannot write to standard output") : 0;
}

/* Waits for the next turn; true: the user wants no more. */
static bool top_wait(const struct top *top, bool keys)
{
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
    uint64_t until = monotonic_ns() + top->interval * UINT64_C(1000000000);
    char key;

    for (;;) {
        uint64_t now = monotonic_ns();
        int ms = now < until ? (int)((until - now) / 1000000) + 1 : 0;

        if (poll(&in, keys ? 1 : 0, ms) <= 0)
            return false;
        if (read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 3)
            return true;
    }
}

static int top_loop(struct top *top, struct error *error)
{
    bool screen = !top->once && isatty(STDOUT_FILENO), keys = screen && isatty(STDIN_FILENO);
    struct termios saved, raw;
    int r;

    if (keys && !tcgetattr(STDIN_FILENO, &saved)) {
        raw = saved;
        raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ISIG);
        tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    } else {
        keys = false;
    }
    r = top_turn(top, screen, error);
    while (!r && !top_wait(top, keys)) {
        r = top_turn(top, screen, error);
        if (top->once)
            break;
    }
    if (keys)
        tcsetattr(STDIN_FILENO, TCSANOW, &saved);
    return r;
}

static int top_run(const struct command *command, int argc, char **argv, struct error *error)
{
    struct option_walk walk = option_walk_begin(command, argc, argv);
    struct top top = {.interval = 1};
    int kind, r;

    while ((kind = option_next(&walk, error)) > 0) {
        if (kind == OPTION_OPERAND)
            return error_usage(error, "unexpected argument \"%s\"; see: hospes info %s", walk.value,
                               walk.value);
        if (walk.option->id == TOP_ONCE) {
            top.once = true;
            continue;
        }
        r = option_number(&walk, 1, 3600, &top.interval, error);
        if (r)
            return r;
    }
    if (kind < 0)
        return kind;
    r = registry_open(&top.registry, error);
    if (!r)
        r = top_loop(&top, error);
    free(top.before);
    registry_release(&top.registry);
    return r;
}

static const struct option top_options[] = {
    {TOP_ONCE, "--once", NULL, NULL, false, "print one table, of what happens in one interval"},
    {TOP_INTERVAL, "--interval", NULL, "SECONDS", false, "how long a turn is (1)"},
    {0},
};

static const struct example top_examples[] = {
    {"hospes top", "shows all machines that run, anew each second; q quits"},
    {0},
};

const struct command command_top = {
    .name = "top",
    .summary = "show all machines that run, live",
    .usage = "top [--once] [--interval SECONDS]",
    .about =
        "USED is what the host holds of a guest's memory, BALLOON what the guest gave back of\n"
        "it; UNITS/S what the translator translates.",
    .options = top_options,
    .examples = top_examples,
    .run = top_run,
};
