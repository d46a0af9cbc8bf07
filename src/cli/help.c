/* SPDX-License-Identifier: Apache-2.0 */
/* `hospes help`, and `--help` of every command: all of it printed from the commands' tables. */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/option.h"

#define NAME_COLUMN 17
#define HELP_COLUMN 28
#define LINE_WIDTH  80

/* Prints `text` wrapped, the first line from `column` on, the others indented to `indent`. */
static void print_wrapped(const char *text, size_t column, size_t indent)
{
    while (*text) {
        size_t word = strcspn(text, " ");

        if (column > indent && column + 1 + word > LINE_WIDTH) {
            printf("\n%*s", (int)indent, "");
            column = indent;
        } else if (column > indent) {
            putchar(' ');
            column++;
        }
        printf("%.*s", (int)word, text);
        column += word;
        text += word;
        text += strspn(text, " ");
    }
    putchar('\n');
}

static void print_option(const struct option *option)
{
    char names[96];

    bool letter = option->alias && option->alias[1] != '-';
    const char *first = letter ? option->alias : option->name;
    const char *second = letter ? option->name : option->alias;

    snprintf(names, sizeof(names), "  %s%s%s%s%s", first, second ? ", " : "", second ? second : "",
             option->value ? " " : "", option->value ? option->value : "");
    if (strlen(names) >= HELP_COLUMN - 1)
        printf("%s\n%*s", names, HELP_COLUMN, "");
    else
        printf("%-*s", HELP_COLUMN, names);
    print_wrapped(option->help, HELP_COLUMN, HELP_COLUMN);
}

void help_print_all(void)
{
    printf("hospes runs virtual machines: each with its own CPUs, memory, network, storage and\n"
           "console.\n\nCommands:\n");
    for (const struct command *const *c = command_list(); *c; c++)
        printf("  %-*s%s\n", NAME_COLUMN, (*c)->name, (*c)->summary);
    printf("\n'hospes COMMAND --help' tells the rest; 'hospes --version' prints the version.\n\n"
           "Example:\n  hospes image build debian\n  hospes run debian\n");
}

bool help_print_group(const char *group)
{
    const size_t length = strlen(group);
    bool any = false;

    for (const struct command *const *c = command_list(); *c; c++) {
        if (strncmp((*c)->name, group, length) != 0 || (*c)->name[length] != ' ')
            continue;
        if (!any)
            printf("Commands:\n");
        printf("  %-*s%s\n", NAME_COLUMN, (*c)->name, (*c)->summary);
        any = true;
    }
    if (any)
        printf("\n'hospes %s COMMAND --help' tells the rest.\n", group);
    return any;
}

static void print_usage(const char *usage)
{
    const char *front = "Usage: ";

    while (*usage) {
        size_t length = strcspn(usage, "\n");

        printf("%shospes %.*s\n", front, (int)length, usage);
        front = "       ";
        usage += length;
        usage += *usage == '\n';
    }
}

void help_print_command(const struct command *command)
{
    static const struct option help = {.name = "--help",
                                       .alias = "-h",
                                       .help = "print this and do nothing"};

    print_usage(command->usage);
    printf("\nhospes %s: %s.\n", command->name, command->summary);
    if (command->about)
        printf("\n%s\n", command->about);
    printf("\nOptions:\n");
    for (const struct option *o = command->options; o->name; o++)
        print_option(o);
    print_option(&help);
    printf("\nExample%s:\n", command->examples[0].line && command->examples[1].line ? "s" : "");
    for (const struct example *e = command->examples; e->line; e++)
        printf("  %s\n      %s\n", e->line, e->what);
}

static int help_run(const struct command *command, int argc, char **argv, struct error *error)
{
    struct option_walk walk = option_walk_begin(command, argc, argv);
    const struct command *about;
    int kind = option_next(&walk, error), words;

    if (kind < 0)
        return kind;
    if (kind == OPTION_END) {
        help_print_all();
        return EXIT_OK;
    }
    if (argc == 1 && help_print_group(argv[0]))
        return EXIT_OK;
    about = command_find(argc, argv, &words, error);
    if (!about)
        return -error->code;
    if (words < argc)
        return error_usage(error, "unexpected argument \"%s\"; see: hospes help %s", argv[words],
                           about->name);
    help_print_command(about);
    return EXIT_OK;
}

static const struct option help_options[] = {{0}};

static const struct example help_examples[] = {
    {"hospes help run", "prints what 'hospes run --help' prints"},
    {0},
};

const struct command command_help = {
    .name = "help",
    .summary = "tell what the commands do",
    .usage = "help [COMMAND]",
    .options = help_options,
    .examples = help_examples,
    .run = help_run,
};
