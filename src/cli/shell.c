/* SPDX-License-Identifier: Apache-2.0 */
/* `hospes shell`: a shell in a named machine's guest by ssh, a program there by its agent. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/named.h"
#include "cli/ssh.h"
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

enum { SHELL_TTY = 1, SHELL_USER };

struct shell {
    bool terminal; /* is asked for */
    const char *user;
};

static int shell_option(void *ctx, const struct option_walk *walk, struct error *error)
{
    struct shell *shell = ctx;

    if (walk->option->id == SHELL_TTY)
        shell->terminal = true;
    else
        shell->user = walk->value;
    return 0;
}

/* How many words are the command's own: to a "--", or to the second one that is no option. No
 * program begins with a "-". */
static int own_words(int argc, char **argv)
{
    bool named = false;
    int i = 0;

    for (; i < argc && strcmp(argv[i], "--"); i++) {
        if (argv[i][0] == '-') {
            i += !strcmp(argv[i], "--user");
            continue;
        }
        if (named)
            return i;
        named = true;
    }
    return i < argc ? i : argc;
}

/* By ssh, which has a terminal at the guest's end. Returns only if that cannot be. */
static int shell_by_ssh(const struct shell *shell, const struct named *named, char **program,
                        struct error *error)
{
    bool terminal = shell->terminal || (!program && isatty(STDIN_FILENO));
    struct ssh ssh;
    int r = ssh_prepare(&ssh, named, shell->user, error);

    if (r)
        return r;
    r = ssh_execute(&ssh, program, terminal, error);
    ssh_release(&ssh);
    return r;
}

/* What is left where ssh cannot be: a program without a terminal, as root. */
static int shell_without_ssh(const struct shell *shell, const struct named *named, char **program,
                             int failed, struct error *error)
{
    if (error->usage)
        return failed;
    if (!program || shell->user) {
        error_wrap(error, "cannot get into \"%s\" by ssh; use: hospes console %s", named->name,
                   named->name);
        return failed;
    }
    fprintf(stderr, "hospes: no terminal, the agent runs it: %s\n", error->message);
    error_release(error);
    return run_in_guest(named, (const char *const *)program, error);
}

static int shell_in(const struct shell *shell, const struct named *named, char **program,
                    struct error *error)
{
    int r;

    if (!registry_is_locked(&named->registry, named->name))
        return error_set(error, ESRCH,
                         "machine \"%s\" does not run; start it with: hospes start %s", named->name,
                         named->name);
    if (shell->terminal || shell->user || (!program && isatty(STDIN_FILENO))) {
        r = shell_by_ssh(shell, named, program, error);
        return shell_without_ssh(shell, named, program, r, error);
    }
    if (!program)
        return error_usage(error,
                           "no program named, as in: hospes shell %s -- uname -a; a shell needs a "
                           "terminal, or --tty",
                           named->name);
    return run_in_guest(named, (const char *const *)program, error);
}

/* Words behind "--", or behind the name. */
static int shell_run(const struct command *command, int argc, char **argv, struct error *error)
{
    int own = own_words(argc, argv);
    struct shell shell = {0};
    struct named named;
    int r = named_open(&named, command, own, argv, shell_option, &shell, error);

    if (r)
        return r;
    if (own < argc && !strcmp(argv[own], "--"))
        own++;
    r = shell_in(&shell, &named, own < argc ? argv + own : NULL, error);
    named_release(&named);
    return r;
}

static const struct option shell_options[] = {
    {SHELL_TTY, "--tty", "-t", NULL, false, "by ssh and with a terminal, also for a program"},
    {SHELL_USER, "--user", NULL, "NAME", false, "by ssh, as this user of the guest (root)"},
    {0},
};

static const struct example shell_examples[] = {
    {"hospes shell web", "a login shell in the guest, on this terminal"},
    {"hospes shell web -- uname -a", "runs a program in the guest and prints what that printed"},
    {"hospes shell -t web -- top", "runs one that wants a terminal"},
    {0},
};

const struct command command_shell = {
    .name = "shell",
    .summary = "a shell, or a program, in a machine's guest",
    .usage = "shell [--tty] [--user NAME] NAME\n"
             "shell [--tty] [--user NAME] NAME [--] PROGRAM [ARGUMENT]...",
    .about =
        "A shell comes by ssh, over the guest's virtio sockets and with a key of the machine's\n"
        "own; the guest needs openssh-server and the agent, which hospes's images have.\n"
        "A program without '--tty' is run by the agent, as root: standard input, unless it is a\n"
        "terminal, is handed over whole; output comes when the program has ended. The exit\n"
        "status is the program's.",
    .options = shell_options,
    .examples = shell_examples,
    .run = shell_run,
};
