/* SPDX-License-Identifier: Apache-2.0 */
/* Writes one random program; program.h says what it does. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "program.h"

static int usage(void)
{
    fputs("usage: random_generate --extensions LIST [--without LIST] [--seed N] [--units N]\n"
          "                       [--every N] [--from N --to N] [--map FILE] FILE\n",
          stderr);
    return 2;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"extensions", required_argument, NULL, 'x'},
        {"without", required_argument, NULL, 'w'},
        {"seed", required_argument, NULL, 's'},
        {"units", required_argument, NULL, 'u'},
        {"every", required_argument, NULL, 'e'},
        {"from", required_argument, NULL, 'f'},
        {"to", required_argument, NULL, 't'},
        {"map", required_argument, NULL, 'm'},
        {0},
    };
    struct program_options program = {.units = 1000, .every = 50};
    const char *map = NULL;
    FILE *out;
    int error, option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'x':
            program.extensions = optarg;
            break;
        case 'w':
            program.without = optarg;
            break;
        case 's':
            program.seed = strtoull(optarg, NULL, 0);
            break;
        case 'u':
            program.units = strtoul(optarg, NULL, 0);
            break;
        case 'e':
            program.every = strtoul(optarg, NULL, 0);
            break;
        case 'f':
            program.fine_from = strtoul(optarg, NULL, 0);
            break;
        case 't':
            program.fine_to = strtoul(optarg, NULL, 0);
            break;
        case 'm':
            map = optarg;
            break;
        default:
            return usage();
        }
    }
    if (optind != argc - 1 || !program.extensions)
        return usage();
    if (map && !(program.map = fopen(map, "w"))) {
        fprintf(stderr, "cannot open \"%s\": %s\n", map, strerror(errno));
        return 1;
    }
    out = fopen(argv[optind], "w");
    if (!out) {
        fprintf(stderr, "cannot open \"%s\": %s\n", argv[optind], strerror(errno));
        return 1;
    }
    error = program_write(&program, out);
    if (!error && fchmod(fileno(out), 0755))
        error = -errno;
    if (program.map && fclose(program.map) && !error)
        error = -errno;
    if (fclose(out) && !error)
        error = -errno;
    if (error)
        fprintf(stderr, "cannot make the program: %s\n", strerror(-error));
    return error ? 1 : 0;
}
