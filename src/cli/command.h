/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A command as data: its name, its words for people and its option table. The table is the only
 * list of options there is: parsing, `--help` and the suggestion after a typo read it, and a test
 * holds the man page and the bash completion against it.
 *
 * A command parses everything and checks it before it changes anything. It returns the program's
 * exit status, or -errno with the error set, which main() prints as one line (status 2 when
 * error.usage, else 1).
 */
#ifndef HOSPES_CLI_COMMAND_H
#define HOSPES_CLI_COMMAND_H

#include <stdbool.h>

#include "base/error.h"

enum {
    EXIT_OK = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
};

struct option {
    int id;            /* the command's own; positive */
    const char *name;  /* "--cpus" */
    const char *alias; /* another spelling ("-p"), or NULL */
    const char *value; /* what the value is called in help ("N"); NULL: takes none */
    bool repeat;       /* may be given more than once */
    const char *help;  /* one phrase, lower case */
};

struct example {
    const char *line; /* as typed */
    const char *what; /* what it does */
};

struct command {
    const char *name;               /* one or two words: "run", "image build" */
    const char *summary;            /* one phrase */
    const char *usage;              /* one synopsis a line */
    const char *about;              /* what a user has to know, wrapped by hand; may be NULL */
    const struct option *options;   /* ends with an empty row */
    const struct example *examples; /* ends with an empty row */
    /* argv without the command's own words. */
    int (*run)(const struct command *command, int argc, char **argv, struct error *error);
};

extern const struct command command_run;
extern const struct command command_create;
extern const struct command command_start;
extern const struct command command_stop;
extern const struct command command_restart;
extern const struct command command_kill;
extern const struct command command_pause;
extern const struct command command_resume;
extern const struct command command_freeze;
extern const struct command command_thaw;
extern const struct command command_set;
extern const struct command command_delete;
extern const struct command command_ls;
extern const struct command command_info;
extern const struct command command_console;
extern const struct command command_shell;
extern const struct command command_cp;
extern const struct command command_vsock;
extern const struct command command_ssh_config;
extern const struct command command_pool;
extern const struct command command_balance;
extern const struct command command_top;
extern const struct command command_logs;
extern const struct command command_events;
extern const struct command command_image_build;
extern const struct command command_image_ls;
extern const struct command command_image_rm;
extern const struct command command_image_translate;
extern const struct command command_net_ls;
extern const struct command command_net_capture;
extern const struct command command_doctor;
extern const struct command command_help;

/* All commands, in the order of the help; ends with NULL. */
const struct command *const *command_list(void);
/* The command that argv begins with; *words becomes how many of them are its name. Sets a usage
 * error with a suggestion and returns NULL when there is none. */
const struct command *command_find(int argc, char **argv, int *words, struct error *error);

/* Prints to standard output. */
void help_print_all(void);
void help_print_command(const struct command *command);
/* The commands that begin with `group` ("image"). False when there are none. */
bool help_print_group(const char *group);

#endif
