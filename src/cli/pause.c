/* SPDX-License-Identifier: Apache-2.0 */
/* `hospes pause`. */
#include "cli/command.h"
#include "cli/named.h"

static int pause_run(const struct command *command, int argc, char **argv, struct error *error)
{
    return named_run_method(command, argc, argv, "machine.pause", error);
}

static const struct option pause_options[] = {{0}};

static const struct example pause_examples[] = {
    {"hospes pause web", "stands still until 'hospes resume web'"},
    {0},
};

const struct command command_pause = {
    .name = "pause",
    .summary = "stop a machine's CPUs and clock",
    .usage = "pause NAME",
    .about = "The guest sees no time pass. 'hospes resume' lets it go on.",
    .options = pause_options,
    .examples = pause_examples,
    .run = pause_run,
};
