/* SPDX-License-Identifier: Apache-2.0 */
/* `hospes start`: the process of a named machine. */
#include "cli/start.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "base/thread.h"
#include "cli/balance.h"
#include "cli/command.h"
#include "cli/named.h"
#include "host/agent.h"
#include "host/group.h"
#include "host/runner.h"

enum { START_FOREGROUND = 1, START_WAIT };

enum { READY_SECONDS = 300, ASK_MS = 1000 };

struct start {
    bool foreground, wait;
};

/* What the machine's process tells whoever started it: one of these, then it is silent. */
struct report {
    int code; /* 0: the machine runs; else a positive errno value, and the words behind this */
    bool usage;
};

static int start_option(void *ctx, const struct option_walk *walk, struct error *error)
{
    struct start *start = ctx;

    if (walk->option->id == START_WAIT)
        start->wait = true;
    else
        start->foreground = true;
    return 0;
}

static void on_started(void *ctx)
{
    const struct report report = {0};
    int *pipe = ctx;

    /* Nobody may be there to hear it any more. */
    if (*pipe >= 0 && descriptor_write_all(*pipe, &report, sizeof(report)))
        errno = 0;
    descriptor_close(pipe);
    *pipe = -1;
}

/* In a session of its own, with nothing open but `pipe`: no terminal's signals and no descriptor of
 * whoever started it reach the machine. */
static int detach(int *pipe)
{
    int null, moved;

    if (setsid() < 0 || chdir("/") < 0)
        return -errno;
    umask(077);
    null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 ||
        dup2(null, STDERR_FILENO) < 0)
        return -errno;
    moved = fcntl(*pipe, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (moved < 0 || dup2(moved, STDERR_FILENO + 1) < 0)
        return -errno;
    *pipe = STDERR_FILENO + 1;
    return close_range(STDERR_FILENO + 2, ~0u, 0) < 0 ? -errno : 0;
}

static int machine_process(const struct named *named, struct runner_options *options, int pipe)
{
    struct error error = ERROR_INIT;
    struct state end;
    int r = detach(&pipe);

    options->ctx = &pipe;

    if (r)
        error_set(&error, -r, "cannot leave the terminal: %s", error_words(-r));
    else
        r = runner_run(&named->registry, named->name, options, &end, &error);
    if (r && pipe >= 0) {
        const struct report report = {.code = -r, .usage = error.usage};
        const char *words = error.message ? error.message : "out of memory";

        if (descriptor_write_all(pipe, &report, sizeof(report)) ||
            descriptor_write_all(pipe, words, strlen(words)))
            r = -EPIPE;
    }
    error_release(&error);
    return r ? EXIT_FAILED : EXIT_OK;
}

/* What the process says until it runs or ends. */
static int hear(int pipe, struct error *error)
{
    char text[4096 + sizeof(struct report)];
    struct report report;
    size_t size = 0;
    ssize_t n;

    while (size < sizeof(text) - 1) {
        n = read(pipe, text + size, sizeof(text) - 1 - size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        size += (size_t)n;
    }
    if (size < sizeof(report))
        return error_set(error, ECHILD, "the machine's process ended before it began");
    memcpy(&report, text, sizeof(report));
    if (!report.code)
        return 0;
    text[size] = 0;
    if (report.usage)
        return error_usage(error, "%s", text + sizeof(report));
    return error_set(error, report.code, "%s", text + sizeof(report));
}

/* What developers and tests may leave out. */
static int options_find(struct runner_options *options, struct error *error)
{
    int r = jail_mode_find(getenv("HOSPES_JAIL"), &options->jail, error);

    return r ? r : group_is_wanted(getenv("HOSPES_CGROUP"), &options->group, error);
}

/* One that may not start after all has moved others' memory for nothing, which comes back. */
static void make_room(const struct named *named)
{
    struct record record;

    if (registry_is_locked(&named->registry, named->name))
        return;
    if (!record_read(&named->registry, named->name, &record, NULL))
        balance_make_room(&named->registry, &record);
    record_release(&record);
}

int start_background(const struct named *named, struct error *error)
{
    struct runner_options options = {.started = on_started};
    int pipe[2], r = options_find(&options, error);
    pid_t child;

    if (r)
        return r;
    make_room(named);
    if (pipe2(pipe, O_CLOEXEC) < 0)
        return error_set(error, errno, "cannot make a pipe: %s", error_words(errno));
    fflush(NULL);
    child = fork();
    if (!child) {
        close(pipe[0]);
        /* A child of init: the shell has nothing to wait for. */
        if (fork())
            _exit(0);
        _exit(machine_process(named, &options, pipe[1]));
    }
    close(pipe[1]);
    if (child < 0) {
        close(pipe[0]);
        return error_set(error, errno, "cannot make a process: %s", error_words(errno));
    }
    waitpid(child, NULL, 0);
    r = hear(pipe[0], error);
    close(pipe[0]);
    return r;
}

/* For systemd and its like, which know the machine by this process. */
static int start_foreground(const struct named *named, struct error *error)
{
    struct runner_options options = {0};
    struct state end;
    int r = options_find(&options, error);

    if (!r)
        make_room(named);
    if (!r)
        r = runner_run(&named->registry, named->name, &options, &end, error);

    if (r)
        return r;
    return end.end == STATE_END_FAILED ? EXIT_FAILED : EXIT_OK;
}

/* Until the guest's agent answers: then the guest is up as far as its programs are. */
static int wait_ready(const struct named *named, struct error *error)
{
    const struct timespec pause = {.tv_nsec = 50000000};
    uint64_t deadline = monotonic_ns() + READY_SECONDS * UINT64_C(1000000000);
    char *path = registry_run_path(&named->registry, named->name, "agent");
    int r = path ? -ETIMEDOUT : -ENOMEM;
    struct agent agent;

    while (r == -ETIMEDOUT && monotonic_ns() < deadline) {
        if (!registry_is_locked(&named->registry, named->name)) {
            r = -ESRCH;
            break;
        }
        r = agent_open(&agent, path, ASK_MS, NULL);
        if (r == -ECONNRESET)
            r = -ETIMEDOUT;
        if (!r)
            agent_close(&agent);
        else
            nanosleep(&pause, NULL);
    }
    free(path);
    if (r == -ESRCH)
        return error_set(error, ESRCH,
                         "machine \"%s\" ended before its guest was ready; see: hospes logs %s",
                         named->name, named->name);
    if (r == -ETIMEDOUT)
        return error_set(error, ETIMEDOUT,
                         "the agent of the guest of \"%s\" does not answer after %d seconds (is "
                         "qemu-guest-agent there?); the machine runs on",
                         named->name, READY_SECONDS);
    return r ? error_set(error, -r, "cannot reach the agent of the guest of \"%s\": %s",
                         named->name, error_words(-r))
             : 0;
}

static int start_run(const struct command *command, int argc, char **argv, struct error *error)
{
    struct start start = {0};
    struct named named;
    int r = named_open(&named, command, argc, argv, start_option, &start, error);

    if (r)
        return r;
    if (start.foreground && start.wait)
        r = error_usage(error, "'--wait' does not go with '--foreground'; leave out one");
    if (!r) {
        state_wait_ending(&named.registry, named.name);
        r = start.foreground ? start_foreground(&named, error) : start_background(&named, error);
    }
    if (!r && start.wait)
        r = wait_ready(&named, error);
    named_release(&named);
    return r;
}

static const struct option start_options[] = {
    {START_FOREGROUND, "--foreground", NULL, NULL, false,
     "stay until the machine ends, as a service; its console is still 'hospes console'"},
    {START_WAIT, "--wait", NULL, NULL, false,
     "return when the guest is ready: its agent answers (package qemu-guest-agent)"},
    {0},
};

static const struct example start_examples[] = {
    {"hospes start web", "starts the machine and returns when its first instruction is executed"},
    {0},
};

const struct command command_start = {
    .name = "start",
    .summary = "start a named machine",
    .usage = "start [--wait | --foreground] NAME",
    .about =
        "The machine runs in a process of its own, without a terminal, until its guest powers\n"
        "off or it is stopped.",
    .options = start_options,
    .examples = start_examples,
    .run = start_run,
};
