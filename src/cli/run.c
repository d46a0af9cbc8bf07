/* SPDX-License-Identifier: Apache-2.0 */
/* `hospes run`: options and an image into one machine description, which session_run() then runs.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/descriptor.h"
#include "cli/command.h"
#include "cli/machine_options.h"
#include "cli/option.h"
#include "cli/profile_path.h"
#include "cli/run_image.h"
#include "cli/session.h"
#include "cli/spec.h"
#include "debug/listen.h"
#include "host/registry.h"
#include "machine/description.h"

enum {
    RUN_DISK = 1,
    RUN_EPHEMERAL,
    RUN_VSOCK,
    RUN_CODE_PROFILE,
    RUN_CODE_LIBRARY,
    RUN_NEW_LIBRARY,
    RUN_AGENT,
    RUN_NAME,
    RUN_STATS,
    RUN_DUMP_DTB,
    RUN_GDB,
    RUN_GDB_WAIT,
    RUN_QUIET,
};

struct run_request {
    struct machine_description description;
    struct session_options session;
    const char *image;   /* the operand, or NULL */
    const char *profile; /* "auto", "none" or a file; NULL: not given */
    const char *library; /* the same */
    bool ephemeral;
};

static int run_option(struct run_request *request, const struct option_walk *walk,
                      struct error *error)
{
    struct machine_description *d = &request->description;

    switch (walk->option->id) {
    case RUN_DISK:
        return spec_disk(walk->value, d, error);
    case RUN_EPHEMERAL:
        request->ephemeral = true;
        return 0;
    case RUN_VSOCK:
        return spec_vsock(walk->value, d, error);
    case RUN_CODE_PROFILE:
        request->profile = walk->value;
        return *walk->value ? 0
                            : error_usage(error, "'--code-profile' names no file; use auto, none "
                                                 "or a file");
    case RUN_CODE_LIBRARY:
        request->library = walk->value;
        return *walk->value ? 0
                            : error_usage(error, "'--code-library' names no file; use auto, none "
                                                 "or a file");
    case RUN_NEW_LIBRARY:
        return machine_option_file(&d->new_library, walk, error);
    case RUN_AGENT:
        return machine_option_file(&d->agent, walk, error);
    case RUN_NAME:
        return machine_option_text(&d->name, walk->value, error);
    case RUN_STATS:
        request->session.stats = true;
        return 0;
    case RUN_DUMP_DTB:
        request->session.dump_dtb = walk->value;
        return 0;
    case RUN_GDB:
        request->session.gdb = walk->value;
        return listen_check(walk->value, error);
    case RUN_GDB_WAIT:
        request->session.gdb_wait = true;
        return 0;
    case RUN_QUIET:
        request->session.quiet = true;
        return 0;
    }
    return machine_option(d, walk, error);
}

static int run_parse(struct run_request *request, const struct command *command, int argc,
                     char **argv, struct error *error)
{
    struct option_walk walk = option_walk_begin(command, argc, argv);
    int kind, r;

    while ((kind = option_next(&walk, error)) > 0) {
        if (kind == OPTION_OPERAND) {
            if (request->image)
                return error_usage(error,
                                   "two images, \"%s\" and \"%s\"; give one (more disks "
                                   "go with --disk)",
                                   request->image, walk.value);
            request->image = walk.value;
            continue;
        }
        r = run_option(request, &walk, error);
        if (r)
            return r;
    }
    return kind;
}

/* The image is resolved. */
static int run_profile(struct run_request *request, struct error *error)
{
    struct machine_description *d = &request->description;
    const char *profile = request->profile;
    char *path = NULL;
    int r;

    if (profile && !strcmp(profile, "none"))
        return 0;
    if (profile && strcmp(profile, "auto") != 0)
        return machine_option_text(&d->profile, profile, error);
    if (!request->image)
        return 0;
    r = profile_path_find(d->disks[0].path, &path, error);
    if (!path)
        return r;
    free(d->profile);
    d->profile = path;
    if (!request->session.dump_dtb)
        profile_path_prepare(path);
    return 0;
}

static int run_library(struct run_request *request, struct error *error)
{
    struct machine_description *d = &request->description;
    const char *library = request->library;
    int r = 0;

    if (!library || strcmp(library, "auto") != 0) {
        r = description_set(&d->library, NULL);
        if (!r && library && strcmp(library, "none") != 0)
            r = machine_option_text(&d->library, library, error);
    }
    return r;
}

static int run_complete(struct run_request *request, struct error *error)
{
    struct machine_description *d = &request->description;
    int r = 0;

    if (request->session.gdb_wait && !request->session.gdb)
        return error_usage(error, "'--gdb-wait' waits for nobody; use it with --gdb [HOST:]PORT");
    if (request->image && d->kernel)
        return error_usage(error, "both the image \"%s\" and '--kernel'; give one of them",
                           request->image);
    if (request->image && d->initrd)
        return error_usage(error,
                           "'--initrd' goes with '--kernel'; the image \"%s\" brings its "
                           "own",
                           request->image);
    if (!request->image && request->profile && !strcmp(request->profile, "auto"))
        return error_usage(error, "'--code-profile auto' goes with an image; use "
                                  "--code-profile FILE");
    if (!request->image && request->library && !strcmp(request->library, "auto"))
        return error_usage(error, "'--code-library auto' goes with an image; use "
                                  "--code-library FILE");
    if (request->image)
        r = run_image_resolve(request->image, d, error);
    if (!r && !d->name)
        r = machine_option_text(&d->name, "guest", error);
    if (!r && !d->engine)
        r = machine_option_text(&d->engine, "auto", error);
    for (unsigned i = 0; i < d->disk_count && request->ephemeral; i++)
        d->disks[i].ephemeral = !d->disks[i].read_only;
    if (!r)
        r = description_check(d, error);
    if (!r)
        r = machine_options_check(d, error);
    if (!r)
        r = run_profile(request, error);
    if (!r)
        r = run_library(request, error);
    if (!r)
        r = jail_mode_find(getenv("HOSPES_JAIL"), &request->session.jail, error);
    return r;
}

/* Machines without a name of their own are in the same networks. */
static int run_session(struct run_request *request, struct error *error)
{
    CLEANUP(descriptor_close) int run = -1;
    struct registry registry = {0};
    int r = 0;

    if (!description_has_network(&request->description, MACHINE_NET_NAMED))
        return session_run(&request->description, &request->session, error);
    r = registry_open(&registry, error);
    if (!r)
        r = registry_make_networks(&registry, &request->description.networks, error);
    if (!r)
        run = registry_enter(&registry);
    if (!r)
        r = session_run(&request->description, &request->session, error);
    registry_leave_networks(run);
    if (registry.run)
        registry_sweep_networks(&registry);
    registry_release(&registry);
    return r;
}

static int run_run(const struct command *command, int argc, char **argv, struct error *error)
{
    struct run_request request = {0};
    int r;

    description_init(&request.description);
    r = run_parse(&request, command, argc, argv, error);
    if (!r)
        r = run_complete(&request, error);
    if (!r)
        r = run_session(&request, error);
    description_release(&request.description);
    return r;
}

static const struct option run_options[] = {
#include "cli/machine_options.inc"
    {RUN_DISK, "--disk", NULL, "FILE[,WORD]...", true,
     "a raw disk image; words: readonly, ephemeral, serial=TEXT; may be repeated"},
    {RUN_EPHEMERAL, "--ephemeral", NULL, NULL, false,
     "throw the changes to all disks away at the end"},
    {RUN_VSOCK, "--vsock", NULL, "PATH[,cid=N]", false,
     "let programs of the host and of the guest reach each other by sockets: the guest's ports at "
     "PATH, the host's at PATH_PORT"},
    {RUN_CODE_PROFILE, "--code-profile", NULL, "FILE", false,
     "where it is kept what was executed often: auto, none or a file (auto with an image)"},
    {RUN_CODE_LIBRARY, "--code-library", NULL, "FILE", false,
     "translated code that is shared with other machines: auto (the image's, see 'hospes image "
     "translate'), none or a file (none)"},
    {RUN_NEW_LIBRARY, "--write-code-library", NULL, "FILE", false,
     "when the machine ends, write the code that it has executed, translated, to FILE, which must "
     "not be there"},
    {RUN_AGENT, "--agent", NULL, "PATH", false,
     "make a socket at PATH by which programs talk to the guest's agent (qemu-guest-agent)"},
    {RUN_NAME, "--name", NULL, "NAME", false, "the machine's name (the image's)"},
    {RUN_STATS, "--stats", NULL, NULL, false, "print the engine's counters at the end"},
    {RUN_DUMP_DTB, "--dump-dtb", NULL, "FILE", false,
     "write the machine's device tree to FILE and do not start"},
    {RUN_GDB, "--gdb", NULL, "[HOST:]PORT", false,
     "let GDB debug the guest, at 127.0.0.1 unless HOST is given, or at a socket unix:PATH"},
    {RUN_GDB_WAIT, "--gdb-wait", NULL, NULL, false, "start stopped, until GDB lets it go on"},
    {RUN_QUIET, "--quiet", NULL, NULL, false, "print warnings and errors only"},
    {0},
};

static const struct example run_examples[] = {
    {"hospes run debian", "boots the named image on this terminal; its files persist"},
    {"hospes run --cpus 4 --memory 2G -p 2222:22 --ephemeral debian",
     "a larger machine, reached by ssh -p 2222 localhost, whose changes are thrown away"},
    {"hospes run --kernel Image --initrd initrd.img --append \"console=ttyS0\" --disk root.raw",
     "boots a kernel directly"},
    {0},
};

const struct command command_run = {
    .name = "run",
    .summary = "run a machine on this terminal",
    .usage = "run [OPTION]... IMAGE\n"
             "run [OPTION]... --kernel FILE [--initrd FILE] [--append TEXT] [--disk FILE]...\n"
             "run [OPTION]... --bios FILE",
    .about = "IMAGE is the name of an image of 'hospes image ls', or a raw disk image: a path has\n"
             "a slash or an extension. A disk image is booted by U-Boot (package u-boot-qemu).\n"
             "\n"
             "On the terminal: Ctrl-A x quits, Ctrl-A h helps, Ctrl-A c goes on after the host's\n"
             "disk was full, Ctrl-A e changes the engine, Ctrl-A a sends Ctrl-A. The exit status\n"
             "is 0 when the guest powers off, the guest's own when it reports a failure, 1 for a\n"
             "failure of the host and 2 for a mistake in the command.",
    .options = run_options,
    .examples = run_examples,
    .run = run_run,
};
