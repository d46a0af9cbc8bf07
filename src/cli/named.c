/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/named.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <time.h>

#include "base/descriptor.h"
#include "base/thread.h"
#include "host/control.h"
#include "host/group.h"

/* A machine that answers does at once; whoever kills one wants no other to be waited for. */
enum { KILL_TIMEOUT_MS = 2000 };
/* Of 10 ms each: how long its process may take to leave its group. */
enum { LEAVE_STEPS = 50 };

int named_open(struct named *named, const struct command *command, int argc, char **argv,
               int (*option)(void *ctx, const struct option_walk *walk, struct error *error),
               void *ctx, struct error *error)
{
    struct option_walk walk = option_walk_begin(command, argc, argv);
    int kind, r = 0;

    *named = (struct named){0};
    while (!r && (kind = option_next(&walk, error)) > 0) {
        if (kind == OPTION_GIVEN)
            r = option(ctx, &walk, error);
        else if (named->name)
            r = error_usage(error, "unexpected argument \"%s\"; name one machine", walk.value);
        else
            named->name = walk.value;
    }
    if (!r)
        r = kind;
    if (!r && !named->name)
        r = error_usage(error, "no machine named; see: hospes ls");
    if (!r)
        r = registry_open(&named->registry, error);
    if (!r)
        r = registry_check(&named->registry, named->name, error);
    if (r)
        named_release(named);
    return r;
}

void named_release(struct named *named)
{
    registry_release(&named->registry);
}

int named_socket(const struct named *named, const char *file, char **path, struct error *error)
{
    int r;

    if (!registry_is_locked(&named->registry, named->name))
        return error_set(error, ESRCH,
                         "machine \"%s\" does not run; start it with: hospes start %s", named->name,
                         named->name);
    r = registry_check_run(&named->registry, error);
    if (r)
        return r;
    *path = registry_run_path(&named->registry, named->name, file);
    return *path ? 0 : error_set(error, ENOMEM, "out of memory");
}

int named_agent(const struct named *named, unsigned timeout_ms, struct agent *agent,
                struct error *error)
{
    char *path = NULL;
    int r = named_socket(named, "agent", &path, error);

    if (r)
        return r;
    r = agent_open(agent, path, timeout_ms, error);
    free(path);
    return r;
}

static int call(const struct named *named, const char *method, json_t *params, unsigned timeout_ms,
                json_t **result, struct error *error)
{
    char *path = NULL;
    int r = named_socket(named, "control", &path, error);

    if (r) {
        json_decref(params);
        return r;
    }
    r = control_call(path, method, params, timeout_ms, result, error);
    free(path);
    if (r)
        error_wrap(error, "machine \"%s\"", named->name);
    return r;
}

int named_call(const struct named *named, const char *method, json_t *params, json_t **result,
               struct error *error)
{
    return call(named, method, params, NAMED_TIMEOUT_MS, result, error);
}

int named_wait_end(const struct named *named, unsigned timeout_ms, struct error *error)
{
    const struct timespec step = {.tv_nsec = 10000000};
    uint64_t deadline = monotonic_ns() + timeout_ms * UINT64_C(1000000);

    /* The kernel gives the lock up when the process has gone; nothing tells of that. */
    while (registry_is_locked(&named->registry, named->name)) {
        if (monotonic_ns() >= deadline)
            return error_set(error, ETIMEDOUT, "machine \"%s\" did not end within %u seconds",
                             named->name, timeout_ms / 1000);
        nanosleep(&step, NULL);
    }
    /* A process leaves its group last of all, and does not take long about it. */
    for (unsigned i = 0; i < LEAVE_STEPS && !group_sweep(&named->registry, named->name); i++)
        nanosleep(&step, NULL);
    return 0;
}

/* By a descriptor of the process, so that between the look and the signal it can end, but not
 * become another one. */
static int kill_process(const struct named *named, struct error *error)
{
    CLEANUP(descriptor_close) int process = -1;
    struct state state;

    state_look(&named->registry, named->name, &state);
    if (!registry_is_locked(&named->registry, named->name))
        return 0;
    process = state.pid > 1 ? pidfd_open(state.pid, 0) : -1;
    if (process < 0 || !registry_is_held_by(&named->registry, named->name, state.pid) ||
        pidfd_send_signal(process, SIGKILL, NULL, 0) < 0)
        return error_set(error, EBUSY, "machine \"%s\" does not answer and has no process to kill",
                         named->name);
    return named_wait_end(named, NAMED_TIMEOUT_MS, error);
}

int named_kill(const struct named *named, struct error *error)
{
    bool runs = registry_is_locked(&named->registry, named->name);
    int r = call(named, "machine.kill", NULL, KILL_TIMEOUT_MS, NULL, runs ? NULL : error);

    if (!runs)
        return r;
    /* Whatever it answered, if it did: the guest may have taken its process over. */
    if (!r || r == -ECONNRESET)
        r = named_wait_end(named, NAMED_TIMEOUT_MS, NULL);
    return r ? kill_process(named, error) : 0;
}

int named_run_method(const struct command *command, int argc, char **argv, const char *method,
                     struct error *error)
{
    struct named named;
    int r = named_open(&named, command, argc, argv, NULL, NULL, error);

    if (r)
        return r;
    r = named_call(&named, method, NULL, NULL, error);
    named_release(&named);
    return r;
}

int named_print_json(json_t *json, struct error *error)
{
    int r = json ? json_dumpf(json, stdout, JSON_INDENT(2)) : -1;

    json_decref(json);
    if (r)
        return error_set(error, ENOMEM, "out of memory");
    putchar('\n');
    return 0;
}
