/* SPDX-License-Identifier: Apache-2.0 */
/* `hospes shell`: a program in a named machine's guest, by its agent. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/named.h"
#include "host/agent.h"

#define AGENT_OPEN_MS 10000u
/* What the agent's protocol carries at once, in base64. */
#define INPUT_MAX (1u << 20)

static int read_input(unsigned char **data, size_t *size, struct error *error)
{
    *size = 0;
    *data = malloc(INPUT_MAX);
    if (!*data)
        return error_set(error, ENOMEM, "out of memory");
    while (*size < INPUT_MAX) {
        ssize_t n = read(STDIN_FILENO, *data + *size, INPUT_MAX - *size);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set(error, errno, "cannot read standard input: %s", error_words(errno));
        if (n == 0)
            return 0;
        *size += (size_t)n;
    }
    return error_set(error, EFBIG, "standard input is longer than %u bytes; use: hospes cp",
                     INPUT_MAX - 1);
}

static int run_in_guest(const struct named *named, const char *const *argv, struct error *error)
{
    struct agent agent;
    struct agent_output output;
    unsigned char *input = NULL;
    size_t input_size = 0;
    char *path = NULL;
    int r = named_socket(named, "agent", &path, error);

    if (!r && !isatty(STDIN_FILENO))
        r = read_input(&input, &input_size, error);
    if (!r)
        r = agent_open(&agent, path, AGENT_OPEN_MS, error);
    free(path);
    if (r) {
        free(input);
        return r;
    }
    r = agent_run(&agent, argv, input, input_size, &output, error);
    agent_close(&agent);
    free(input);
    if (r)
        return r;
    fwrite(output.out, 1, output.out_size, stdout);
    fwrite(output.err, 1, output.err_size, stderr);
    if (output.truncated)
        fprintf(stderr, "hospes: the agent kept only a part of the output\n");
    r = output.status;
    agent_output_release(&output);
    return r;
}

/* Words behind "--", or behind the name. */
static int shell_run(const struct command *command, int argc, char **argv, struct error *error)
{
    int own = argc > 0 && argv[0][0] != '-' ? 1 : argc;
    struct named named;
    int r = named_open(&named, command, own, argv, NULL, NULL, error);

    if (r)
        return r;
    if (own < argc && !strcmp(argv[own], "--"))
        own++;
    if (own == argc)
        r = error_usage(error,
                        "no program named, as in: hospes shell %s -- uname -a; for a shell at a "
                        "terminal use: hospes console %s",
                        named.name, named.name);
    else if (!registry_is_locked(&named.registry, named.name))
        r = error_set(error, ESRCH, "machine \"%s\" does not run; start it with: hospes start %s",
                      named.name, named.name);
    else
        r = run_in_guest(&named, (const char *const *)argv + own, error);
    named_release(&named);
    return r;
}

static const struct option shell_options[] = {{0}};

static const struct example shell_examples[] = {
    {"hospes shell web -- uname -a", "runs a program in the guest and prints what that printed"},
    {0},
};

const struct command command_shell = {
    .name = "shell",
    .summary = "run a program in a machine's guest",
    .usage = "shell NAME [--] PROGRAM [ARGUMENT]...",
    .about =
        "As root, by the guest's agent. Standard input, unless it is a terminal, is handed over\n"
        "whole; output comes when the program has ended; its exit status is this one's.",
    .options = shell_options,
    .examples = shell_examples,
    .run = shell_run,
};
