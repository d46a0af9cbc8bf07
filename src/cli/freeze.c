/* SPDX-License-Identifier: Apache-2.0 */
/* `hospes freeze` and `hospes thaw`. */
#include <stdio.h>

#include "cli/command.h"
#include "cli/named.h"
#include "host/agent_guest.h"

#define AGENT_OPEN_MS 10000u

typedef int (*change_fn)(struct agent *agent, unsigned *count, struct error *error);

static int run_change(const struct command *command, int argc, char **argv, change_fn change,
                      unsigned *count, struct error *error)
{
    struct agent agent;
    struct named named;
    int r = named_open(&named, command, argc, argv, NULL, NULL, error);

    if (r)
        return r;
    r = named_agent(&named, AGENT_OPEN_MS, &agent, error);
    if (!r) {
        r = change(&agent, count, error);
        agent_close(&agent);
    }
    if (r)
        error_wrap(error, "machine \"%s\"", named.name);
    named_release(&named);
    return r;
}

static const char *systems(unsigned count)
{
    return count == 1 ? "file system" : "file systems";
}

static int freeze_run(const struct command *command, int argc, char **argv, struct error *error)
{
    unsigned count;
    int r = run_change(command, argc, argv, agent_freeze, &count, error);

    if (!r)
        printf("%u %s held still\n", count, systems(count));
    return r;
}

static int thaw_run(const struct command *command, int argc, char **argv, struct error *error)
{
    unsigned count;
    int r = run_change(command, argc, argv, agent_thaw, &count, error);

    if (!r)
        printf("%u %s go on\n", count, systems(count));
    return r;
}

static const struct option freeze_options[] = {{0}};

static const struct example freeze_examples[] = {
    {"hospes freeze web",
     "the guest's file systems are whole on their disks until 'hospes thaw web'"},
    {0},
};

const struct command command_freeze = {
    .name = "freeze",
    .summary = "hold a guest's file systems still, for a copy of its disks",
    .usage = "freeze NAME",
    .about =
        "The guest's agent writes everything out and has what writes wait until 'hospes thaw'; it\n"
        "takes nothing else meanwhile, 'hospes shell' and 'hospes stop' among it.",
    .options = freeze_options,
    .examples = freeze_examples,
    .run = freeze_run,
};

static const struct example thaw_examples[] = {
    {"hospes thaw web", "the guest may write again"},
    {0},
};

const struct command command_thaw = {
    .name = "thaw",
    .summary = "let a guest's file systems go on",
    .usage = "thaw NAME",
    .options = freeze_options,
    .examples = thaw_examples,
    .run = thaw_run,
};
