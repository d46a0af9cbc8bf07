/* SPDX-License-Identifier: Apache-2.0 */
/* `hospes stop` and `hospes restart`. */
#include <errno.h>

#include "cli/command.h"
#include "cli/named.h"
#include "cli/start.h"
#include "host/agent.h"

enum { STOP_FORCE = 1, STOP_TIMEOUT };

#define STOP_SECONDS  90u
#define AGENT_OPEN_MS 5000u

struct stop {
    bool force;
    unsigned seconds;
};

static int stop_option(void *ctx, const struct option_walk *walk, struct error *error)
{
    struct stop *stop = ctx;

    if (walk->option->id == STOP_TIMEOUT)
        return option_number(walk, 1, 86400, &stop->seconds, error);
    stop->force = true;
    return 0;
}

static int ask_guest(const struct named *named, struct error *error)
{
    struct agent agent;
    int r = named_agent(named, AGENT_OPEN_MS, &agent, error);

    if (r == -ESRCH || r == -ENOENT || r == -ECONNREFUSED) {
        error_release(error); /* it ended meanwhile */
        return 0;
    }
    if (r)
        return r;
    r = agent_power_off(&agent, error);
    agent_close(&agent);
    return r;
}

/* A guest can only power off while its CPUs run. */
static int stop_gently(const struct named *named, unsigned seconds, struct error *error)
{
    int r = named_call(named, "machine.resume", NULL, NULL, error);

    if (!r)
        r = ask_guest(named, error);
    if (!r)
        r = named_wait_end(named, seconds * 1000, error);
    return r;
}

static int stop_machine(const struct named *named, const struct stop *stop, struct error *error)
{
    CLEANUP(error_release) struct error gently = ERROR_INIT;
    int r = stop_gently(named, stop->seconds, &gently);

    if (!r)
        return 0;
    if (r != -ESRCH && stop->force)
        return named_kill(named, error);
    if (r == -ESRCH)
        return error_set(error, ESRCH, "%s", gently.message);
    return error_set(error, -r,
                     "cannot stop \"%s\": %s; look at its console with: hospes console %s, or "
                     "pull its plug with: hospes kill %s",
                     named->name, gently.message ? gently.message : "out of memory", named->name,
                     named->name);
}

static int stop_run(const struct command *command, int argc, char **argv, struct error *error)
{
    struct stop stop = {.seconds = STOP_SECONDS};
    struct named named;
    int r = named_open(&named, command, argc, argv, stop_option, &stop, error);

    if (r)
        return r;
    r = stop_machine(&named, &stop, error);
    named_release(&named);
    return r;
}

static int restart_run(const struct command *command, int argc, char **argv, struct error *error)
{
    struct stop stop = {.seconds = STOP_SECONDS};
    struct named named;
    int r = named_open(&named, command, argc, argv, stop_option, &stop, error);

    if (r)
        return r;
    if (registry_is_locked(&named.registry, named.name))
        r = stop_machine(&named, &stop, error);
    if (!r)
        r = start_background(&named, error);
    named_release(&named);
    return r;
}

static const struct option stop_options[] = {
    {STOP_FORCE, "--force", "-f", NULL, false,
     "pull the plug if the guest cannot be asked, or is not off in time"},
    {STOP_TIMEOUT, "--timeout", NULL, "SECONDS", false, "how long to wait for the guest (90)"},
    {0},
};

static const struct example stop_examples[] = {
    {"hospes stop web", "has the guest power off, and returns when it has"},
    {0},
};

const struct command command_stop = {
    .name = "stop",
    .summary = "have a machine's guest power off",
    .usage = "stop [--force] [--timeout SECONDS] NAME",
    .about = "The guest's agent is asked (package qemu-guest-agent; hospes's images have it). A\n"
             "paused machine goes on for it.",
    .options = stop_options,
    .examples = stop_examples,
    .run = stop_run,
};

static const struct example restart_examples[] = {
    {"hospes restart web", "has the guest power off, and starts the machine again"},
    {0},
};

const struct command command_restart = {
    .name = "restart",
    .summary = "stop a machine and start it again",
    .usage = "restart [--force] [--timeout SECONDS] NAME",
    .about = "A machine that does not run is started.",
    .options = stop_options,
    .examples = restart_examples,
    .run = restart_run,
};
