/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The options that describe a machine, of every command that makes one. Their rows stand in the
 * command's own table, so that help and completion show them there: machine_options.inc.
 */
#ifndef HOSPES_CLI_MACHINE_OPTIONS_H
#define HOSPES_CLI_MACHINE_OPTIONS_H

#include "base/error.h"
#include "cli/option.h"
#include "machine/description.h"

/* A command's own ids are below. */
enum {
    MACHINE_OPTION_CPUS = 100,
    MACHINE_OPTION_CPUS_MAX,
    MACHINE_OPTION_MEMORY,
    MACHINE_OPTION_MEMORY_MAX,
    MACHINE_OPTION_NET,
    MACHINE_OPTION_PUBLISH,
    MACHINE_OPTION_KERNEL,
    MACHINE_OPTION_INITRD,
    MACHINE_OPTION_APPEND,
    MACHINE_OPTION_BIOS,
    MACHINE_OPTION_CONSOLE,
    MACHINE_OPTION_MMU,
    MACHINE_OPTION_ENGINE,
    /* Those of limit_options.inc. */
    MACHINE_OPTION_DISK_IOPS,
    MACHINE_OPTION_DISK_RATE,
    MACHINE_OPTION_NET_RATE,
};

/* Takes the walk's option into the description. It is one of these. */
int machine_option(struct machine_description *description, const struct option_walk *walk,
                   struct error *error) MUST_CHECK;

/* The same for one of limit_options.inc. */
int machine_option_limit(struct machine_limits *limits, const struct option_walk *walk,
                         struct error *error) MUST_CHECK;

/* *field = a copy of `text`, which is not to be empty: a file's name. */
int machine_option_file(char **field, const struct option_walk *walk,
                        struct error *error) MUST_CHECK;
int machine_option_text(char **field, const char *text, struct error *error) MUST_CHECK;

/* The files that the machine boots from and its disks are there and can be read, so that every
 * path is judged before the first one is used; and the host has as much memory at all. */
int machine_options_check(const struct machine_description *description,
                          struct error *error) MUST_CHECK;

#endif
