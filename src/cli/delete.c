/* SPDX-License-Identifier: Apache-2.0 */
/* `hospes delete`. */
#include <errno.h>

#include "cli/command.h"
#include "cli/named.h"

enum { DELETE_FORCE = 1 };

static int delete_option(void *ctx, const struct option_walk *walk, struct error *error)
{
    *(bool *)ctx = true;
    return 0;
}

static int delete_run(const struct command *command, int argc, char **argv, struct error *error)
{
    bool force = false;
    struct named named;
    int r = named_open(&named, command, argc, argv, delete_option, &force, error);

    if (r)
        return r;
    state_wait_ending(&named.registry, named.name);
    if (force && registry_is_locked(&named.registry, named.name))
        r = named_kill(&named, error);
    if (r == -ESRCH) { /* ended by itself meanwhile */
        error_release(error);
        r = 0;
    }
    if (!r)
        r = registry_delete(&named.registry, named.name, error);
    named_release(&named);
    return r;
}

static const struct option delete_options[] = {
    {DELETE_FORCE, "--force", "-f", NULL, false, "pull the plug first, if the machine runs"},
    {0},
};

static const struct example delete_examples[] = {
    {"hospes delete web", "removes the machine, its disk and its logs"},
    {0},
};

const struct command command_delete = {
    .name = "delete",
    .summary = "remove a named machine and its disk",
    .usage = "delete [--force] NAME",
    .about = "A machine that runs is not removed. Disks that were given by --drive stay.",
    .options = delete_options,
    .examples = delete_examples,
    .run = delete_run,
};
