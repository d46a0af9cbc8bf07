/* SPDX-License-Identifier: Apache-2.0 */
/* `hospes kill`. */
#include "cli/command.h"
#include "cli/named.h"

static int kill_run(const struct command *command, int argc, char **argv, struct error *error)
{
    struct named named;
    int r = named_open(&named, command, argc, argv, NULL, NULL, error);

    if (r)
        return r;
    r = named_kill(&named, error);
    named_release(&named);
    return r;
}

static const struct option kill_options[] = {{0}};

static const struct example kill_examples[] = {
    {"hospes kill web", "pulls the machine's plug: the guest writes nothing any more"},
    {0},
};

const struct command command_kill = {
    .name = "kill",
    .summary = "pull a machine's plug",
    .usage = "kill NAME",
    .about = "Returns when the machine's process has gone. One that does not answer is killed.",
    .options = kill_options,
    .examples = kill_examples,
    .run = kill_run,
};
