/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/command.h"

#include <string.h>

#include "cli/option.h"

const struct command *const *command_list(void)
{
    static const struct command *const commands[] = {
        &command_run,
        &command_create,
        &command_start,
        &command_stop,
        &command_restart,
        &command_kill,
        &command_pause,
        &command_resume,
        &command_freeze,
        &command_thaw,
        &command_set,
        &command_delete,
        &command_ls,
        &command_info,
        &command_console,
        &command_shell,
        &command_cp,
        &command_vsock,
        &command_ssh_config,
        &command_logs,
        &command_events,
        &command_pool,
        &command_balance,
        &command_top,
        &command_image_build,
        &command_image_ls,
        &command_image_rm,
        &command_image_translate,
        &command_net_ls,
        &command_net_capture,
        &command_doctor,
        &command_help,
        NULL,
    };

    return commands;
}

/* How many words of argv are the command's name; 0 when they are not. */
static int command_match(const struct command *command, int argc, char **argv)
{
    const char *rest = command->name;
    int words = 0;

    while (words < argc) {
        size_t length = strcspn(rest, " ");

        if (strlen(argv[words]) != length || strncmp(argv[words], rest, length) != 0)
            return 0;
        words++;
        if (!rest[length])
            return words;
        rest += length + 1;
    }
    return 0;
}

/* The second word of the commands that begin with `group`; NULL after the last. */
static const char *group_next(const char *group, const struct command *const **at)
{
    const size_t length = strlen(group);

    while (**at) {
        const char *name = (*(*at)++)->name;

        if (strncmp(name, group, length) == 0 && name[length] == ' ')
            return name + length + 1;
    }
    return NULL;
}

static int group_error(const char *group, const char *typed, struct error *error)
{
    const struct command *const *at = command_list();
    const char *word, *nearest = NULL;
    unsigned best = ~0u, nearness;

    if (!typed)
        return error_usage(error, "'%s' needs to know what to do; see: hospes %s --help", group,
                           group);
    while ((word = group_next(group, &at))) {
        nearness = option_nearness(typed, word);
        if (nearness && nearness < best) {
            best = nearness;
            nearest = word;
        }
    }
    if (nearest)
        return error_usage(error, "unknown command '%s %s'; did you mean '%s %s'?", group, typed,
                           group, nearest);
    return error_usage(error, "unknown command '%s %s'; see: hospes %s --help", group, typed,
                       group);
}

static int command_unknown(const char *typed, struct error *error)
{
    char word[16];
    const char *nearest = NULL;
    char kept[sizeof(word)];
    unsigned best = ~0u, nearness;

    for (const struct command *const *c = command_list(); *c; c++) {
        size_t length = strcspn((*c)->name, " ");

        length = length < sizeof(word) ? length : sizeof(word) - 1;
        memcpy(word, (*c)->name, length);
        word[length] = 0;
        nearness = option_nearness(typed, word);
        if (nearness && nearness < best) {
            best = nearness;
            nearest = memcpy(kept, word, sizeof(word));
        }
    }
    if (typed[0] == '-')
        return error_usage(error, "unknown option '%s' before the command; see: hospes help",
                           typed);
    if (nearest)
        return error_usage(error, "unknown command '%s'; did you mean '%s'?", typed, nearest);
    return error_usage(error, "unknown command '%s'; see: hospes help", typed);
}

const struct command *command_find(int argc, char **argv, int *words, struct error *error)
{
    const struct command *const *at = command_list();

    for (const struct command *const *c = command_list(); *c; c++) {
        *words = command_match(*c, argc, argv);
        if (*words)
            return *c;
    }
    if (group_next(argv[0], &at))
        group_error(argv[0], argc > 1 ? argv[1] : NULL, error);
    else
        command_unknown(argv[0], error);
    return NULL;
}
