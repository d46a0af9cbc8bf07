/* SPDX-License-Identifier: Apache-2.0 */
/* `hospes logs`: what the guest wrote to its console, or what hospes had to say of the machine. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/command.h"
#include "cli/follow.h"
#include "cli/named.h"

enum { LOGS_FOLLOW = 1, LOGS_HOSPES };

struct logs {
    bool follow, hospes;
};

static int logs_option(void *ctx, const struct option_walk *walk, struct error *error)
{
    struct logs *logs = ctx;

    if (walk->option->id == LOGS_FOLLOW)
        logs->follow = true;
    else
        logs->hospes = true;
    return 0;
}

/* A guest is not to move the cursor of whoever reads its past, or worse. */
static void print_plain(const unsigned char *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (data[i] == '\n' || data[i] == '\t' || !text_is_control((char)data[i]))
            putchar(data[i]);
        else if (data[i] != '\r')
            putchar('?');
}

static int print_all(struct follow *file, bool go_on, bool plain, struct error *error)
{
    const struct timespec pause = {.tv_nsec = 200000000};
    unsigned char data[16384];

    for (;;) {
        long n = follow_read(file, data, sizeof(data));

        if (n > 0 && plain)
            print_plain(data, (size_t)n);
        else if (n > 0)
            fwrite(data, 1, (size_t)n, stdout);
        if (n > 0)
            continue;
        if (fflush(stdout))
            return error_set(error, EIO, "cannot write to standard output");
        if (!go_on)
            return 0;
        nanosleep(&pause, NULL);
    }
}

static int logs_run(const struct command *command, int argc, char **argv, struct error *error)
{
    struct logs logs = {0};
    struct follow *file = NULL;
    struct named named;
    char *path;
    int r = named_open(&named, command, argc, argv, logs_option, &logs, error);

    if (r)
        return r;
    path = registry_var_path(&named.registry, named.name, logs.hospes ? "log" : "console.log");
    r = path ? follow_new(&file, path) : -ENOMEM;
    free(path);
    if (r)
        error_set(error, -r, "out of memory");
    else
        r = print_all(file, logs.follow, isatty(STDOUT_FILENO), error);
    follow_free(file);
    named_release(&named);
    return r;
}

static const struct option logs_options[] = {
    {LOGS_FOLLOW, "--follow", "-f", NULL, false, "go on with what is written from now on"},
    {LOGS_HOSPES, "--hospes", NULL, NULL, false,
     "what hospes had to say of the machine, not what the guest wrote to its console"},
    {0},
};

static const struct example logs_examples[] = {
    {"hospes logs web", "prints what the guest wrote to its console, the last megabytes of it"},
    {0},
};

const struct command command_logs = {
    .name = "logs",
    .summary = "print what a machine's guest wrote to its console",
    .usage = "logs [--follow] [--hospes] NAME",
    .about = "On a terminal, control characters are shown as '?'.",
    .options = logs_options,
    .examples = logs_examples,
    .run = logs_run,
};
