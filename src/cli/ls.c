/* SPDX-License-Identifier: Apache-2.0 */
/* `hospes ls`: all named machines, and what they do. */
#include <errno.h>
#include <stdio.h>

#include "base/size.h"
#include "cli/command.h"
#include "cli/named.h"
#include "host/record.h"

enum { LS_JSON = 1, LS_NAMES };

struct row {
    const char *name;
    struct record record;
    bool broken; /* its machine.json cannot be read */
    struct state state;
};

static json_t *row_to_json(const struct row *row)
{
    const struct machine_description *d = &row->record.description;

    if (row->broken)
        return json_pack("{s:s, s:s}", "name", row->name, "state", "broken");
    return json_pack("{s:s, s:s, s:i, s:i, s:I, s:s?, s:s?}", "name", row->name, "state",
                     state_name(row->state.kind), "pid", (int)row->state.pid, "cpus", (int)d->cpus,
                     "memory", (json_int_t)d->memory, "image", row->record.image, "since",
                     row->state.since[0] ? row->state.since : NULL);
}

static void row_print(const struct row *row)
{
    const struct machine_description *d = &row->record.description;
    char memory[SIZE_TEXT_MAX];

    if (row->broken) {
        printf("%-20s %-8s\n", row->name, "broken");
        return;
    }
    printf("%-20s %-8s %4u %9s  %-12s %s\n", row->name, state_name(row->state.kind), d->cpus,
           size_format(d->memory, memory), row->record.image ? row->record.image : "-",
           row->state.since[0] ? row->state.since : "-");
}

static int ls_rows(const struct registry *registry, const struct registry_names *names, bool json,
                   struct error *error)
{
    json_t *array = json ? json_array() : NULL;

    if (!json && !names->count)
        printf("no machines; make one with: hospes create NAME --image debian\n");
    else if (!json)
        printf("%-20s %-8s %4s %9s  %-12s %s\n", "NAME", "STATE", "CPUS", "MEMORY", "IMAGE",
               "SINCE");
    for (size_t i = 0; i < names->count; i++) {
        struct row row = {.name = names->names[i]};

        row.broken = record_read(registry, row.name, &row.record, NULL);
        state_look(registry, row.name, &row.state);
        if (json)
            json_array_append_new(array, row_to_json(&row));
        else
            row_print(&row);
        record_release(&row.record);
    }
    return json ? named_print_json(array, error) : 0;
}

static int ls_run(const struct command *command, int argc, char **argv, struct error *error)
{
    struct option_walk walk = option_walk_begin(command, argc, argv);
    struct registry registry = {0};
    struct registry_names names = {0};
    bool json = false, only_names = false;
    int kind, r;

    while ((kind = option_next(&walk, error)) > 0) {
        if (kind == OPTION_OPERAND)
            return error_usage(error, "unexpected argument \"%s\"; see: hospes info %s", walk.value,
                               walk.value);
        json |= walk.option->id == LS_JSON;
        only_names |= walk.option->id == LS_NAMES;
    }
    if (kind < 0)
        return kind;
    r = registry_open(&registry, error);
    if (!r)
        r = registry_list(&registry, &names, error);
    if (!r && only_names)
        for (size_t i = 0; i < names.count; i++)
            printf("%s\n", names.names[i]);
    else if (!r)
        r = ls_rows(&registry, &names, json, error);
    registry_names_release(&names);
    registry_release(&registry);
    return r;
}

static const struct option ls_options[] = {
    {LS_JSON, "--json", NULL, NULL, false, "print JSON: an array with an object a machine"},
    {LS_NAMES, "--names", NULL, NULL, false, "print the names alone, one a line"},
    {0},
};

static const struct example ls_examples[] = {
    {"hospes ls", "prints a line a machine: name, state, size, image, since when it is so"},
    {0},
};

const struct command command_ls = {
    .name = "ls",
    .summary = "list the named machines",
    .usage = "ls [--json | --names]",
    .about =
        "A state is running, paused, stopped, crashed (its process has gone without a word) or\n"
        "busy (it is being started or deleted, or does not answer).",
    .options = ls_options,
    .examples = ls_examples,
    .run = ls_run,
};
