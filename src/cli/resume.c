/* SPDX-License-Identifier: Apache-2.0 */
/* `hospes resume`. */
#include "cli/command.h"
#include "cli/named.h"

static int resume_run(const struct command *command, int argc, char **argv, struct error *error)
{
    return named_run_method(command, argc, argv, "machine.resume", error);
}

static const struct option resume_options[] = {{0}};

static const struct example resume_examples[] = {
    {"hospes resume web", "goes on where it was"},
    {0},
};

const struct command command_resume = {
    .name = "resume",
    .summary = "let a paused machine go on",
    .usage = "resume NAME",
    .about = "Also after the host had no room for a disk.",
    .options = resume_options,
    .examples = resume_examples,
    .run = resume_run,
};
