/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "cli/command.h"
#include "cli/option.h"

static int main_dispatch(int argc, char **argv, struct error *error)
{
    const struct command *command;
    int words;

    if (argc == 0)
        return error_usage(error, "no command given; see: hospes help");
    if (strcmp(argv[0], "--version") == 0) {
        printf("hospes %s\n", HOSPES_VERSION);
        return EXIT_OK;
    }
    if (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0) {
        help_print_all();
        return EXIT_OK;
    }
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) &&
        help_print_group(argv[0]))
        return EXIT_OK;
    command = command_find(argc, argv, &words, error);
    if (!command)
        return -error->code;
    if (option_asks_help(command, argc - words, argv + words)) {
        help_print_command(command);
        return EXIT_OK;
    }
    return command->run(command, argc - words, argv + words, error);
}

/* One line, whatever is in a path or came from a file: control characters, a line end and a
 * terminal's escape among them, are shown as '?'. */
static void error_print(char *text)
{
    for (char *c = text; *c; c++)
        *c = text_shown(*c);
    fprintf(stderr, "hospes: %s\n", text);
}

int main(int argc, char **argv)
{
    struct error error = ERROR_INIT;
    int status = main_dispatch(argc > 0 ? argc - 1 : 0, argv + 1, &error);

    if (status < 0) {
        if (error.message)
            error_print(error.message);
        else
            fprintf(stderr, "hospes: out of memory\n");
        status = error.usage ? EXIT_USAGE : EXIT_FAILED;
        error_release(&error);
    }
    /* What was printed but did not arrive (a full disk behind a redirection) is a failure too. */
    if (fflush(stdout) != 0 && status == EXIT_OK) {
        fprintf(stderr, "hospes: cannot write to standard output\n");
        status = EXIT_FAILED;
    }
    return status;
}
