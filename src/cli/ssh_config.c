/* SPDX-License-Identifier: Apache-2.0 */
/* `hospes ssh-config`: what ssh has to be told to get into a named machine's guest. */
#include <stdio.h>

#include "cli/command.h"
#include "cli/ssh.h"

enum { CONFIG_USER = 1 };

static int config_option(void *ctx, const struct option_walk *walk, struct error *error)
{
    *(const char **)ctx = walk->value;
    return 0;
}

static int config_run(const struct command *command, int argc, char **argv, struct error *error)
{
    const char *user = NULL;
    struct named named;
    struct ssh ssh;
    int r = named_open(&named, command, argc, argv, config_option, &user, error);

    if (r)
        return r;
    r = ssh_prepare(&ssh, &named, user, error);
    named_release(&named);
    if (r)
        return r;
    printf("Host %s\n", ssh.guest.alias);
    for (unsigned i = 0; i < ssh.count; i++)
        printf("    %s\n", ssh.options[i]);
    ssh_release(&ssh);
    return 0;
}

static const struct option config_options[] = {
    {CONFIG_USER, "--user", NULL, "NAME", false, "as this user of the guest (root)"},
    {0},
};

static const struct example config_examples[] = {
    {"hospes ssh-config web >> ~/.ssh/config", "then: ssh hospes-web, scp, rsync, sshfs"},
    {0},
};

const struct command command_ssh_config = {
    .name = "ssh-config",
    .summary = "print what ssh has to be told to reach a machine's guest",
    .usage = "ssh-config [--user NAME] NAME",
    .about =
        "A block for ~/.ssh/config, with the name hospes-NAME for the machine. It has to run:\n"
        "its guest is made ready, by its agent, and stays so.",
    .options = config_options,
    .examples = config_examples,
    .run = config_run,
};
