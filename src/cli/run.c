/* SPDX-License-Identifier: Apache-2.0 */
/* `hospes run`: options and an image into one machine description, which session_run() then runs.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "base/size.h"
#include "cli/command.h"
#include "cli/option.h"
#include "cli/profile_path.h"
#include "cli/run_image.h"
#include "cli/session.h"
#include "cli/spec.h"
#include "debug/listen.h"
#include "machine/description.h"

enum {
    RUN_CPUS = 1,
    RUN_MEMORY,
    RUN_DISK,
    RUN_EPHEMERAL,
    RUN_NET,
    RUN_PUBLISH,
    RUN_KERNEL,
    RUN_INITRD,
    RUN_APPEND,
    RUN_BIOS,
    RUN_CONSOLE,
    RUN_ENGINE,
    RUN_CODE_PROFILE,
    RUN_MMU,
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
    bool ephemeral;
};

static int run_text(char **field, const char *text, struct error *error)
{
    if (description_set(field, text))
        return error_set(error, ENOMEM, "out of memory");
    return 0;
}

static int run_file(char **field, const struct option_walk *walk, struct error *error)
{
    if (!*walk->value)
        return error_usage(error, "'%s' names no file; use %s %s", walk->option->name,
                           walk->option->name, walk->option->value);
    return run_text(field, walk->value, error);
}

static int run_option(struct run_request *request, const struct option_walk *walk,
                      struct error *error)
{
    struct machine_description *d = &request->description;

    switch (walk->option->id) {
    case RUN_CPUS:
        return option_number(walk, 1, MACHINE_CPUS_MAX, &d->cpus, error);
    case RUN_MEMORY:
        return spec_memory(walk->value, d, error);
    case RUN_DISK:
        return spec_disk(walk->value, d, error);
    case RUN_EPHEMERAL:
        request->ephemeral = true;
        return 0;
    case RUN_NET:
        return spec_network(walk->value, d, error);
    case RUN_PUBLISH:
        return spec_forward(walk->value, d, error);
    case RUN_KERNEL:
        return run_file(&d->kernel, walk, error);
    case RUN_INITRD:
        return run_file(&d->initrd, walk, error);
    case RUN_APPEND:
        return run_text(&d->append, walk->value, error);
    case RUN_BIOS:
        return run_file(&d->firmware, walk, error);
    case RUN_CONSOLE:
        return spec_console(walk->value, d, error);
    case RUN_MMU:
        return spec_paging(walk->value, d, error);
    case RUN_ENGINE:
        return run_text(&d->engine, walk->value, error);
    case RUN_CODE_PROFILE:
        request->profile = walk->value;
        return *walk->value ? 0
                            : error_usage(error, "'--code-profile' names no file; use auto, none "
                                                 "or a file");
    case RUN_NAME:
        return run_text(&d->name, walk->value, error);
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
    BUG_ON(true);
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

/* A kernel that is no file is told here and not as a failed open deep in the loader, so that every
 * path is judged before the first one is used. */
static int run_check_file(const char *what, const char *path, struct error *error)
{
    struct stat st;

    if (!path)
        return 0;
    if (stat(path, &st) != 0)
        return error_set(error, errno, "cannot open %s \"%s\": %s; check the path", what, path,
                         error_words(errno));
    if (S_ISDIR(st.st_mode))
        return error_set(error, EISDIR, "cannot open %s \"%s\": is a directory; give a file", what,
                         path);
    if (access(path, R_OK) != 0)
        return error_set(error, errno, "cannot open %s \"%s\": %s; see: ls -l %s", what, path,
                         error_words(errno), path);
    return 0;
}

/* Memory is allotted when the guest touches it, so a machine larger than the host would die much
 * later, by the kernel's hand and without a word. */
static int run_check_memory(uint64_t memory, struct error *error)
{
    char asked[SIZE_TEXT_MAX], there[SIZE_TEXT_MAX];
    struct sysinfo info;
    uint64_t total;

    if (sysinfo(&info) != 0)
        return 0;
    total = ((uint64_t)info.totalram + info.totalswap) * info.mem_unit;
    if (memory <= total)
        return 0;
    return error_set(error, ENOMEM,
                     "cannot give the machine %s of memory: this host has %s; use --memory %lluM "
                     "or less",
                     size_format(memory, asked), size_format(total, there),
                     (unsigned long long)(total >> 20) * 3 / 4 / 2 * 2);
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
        return run_text(&d->profile, profile, error);
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
    if (request->image)
        r = run_image_resolve(request->image, d, error);
    if (!r && !d->name)
        r = run_text(&d->name, "guest", error);
    if (!r && !d->engine)
        r = run_text(&d->engine, "auto", error);
    for (unsigned i = 0; i < d->disk_count && request->ephemeral; i++)
        d->disks[i].ephemeral = !d->disks[i].read_only;
    if (!r)
        r = description_check(d, error);
    if (!r)
        r = run_check_file("firmware", d->firmware, error);
    if (!r)
        r = run_check_file("kernel", d->kernel, error);
    if (!r)
        r = run_check_file("initrd", d->initrd, error);
    for (unsigned i = 0; !r && i < d->disk_count; i++)
        r = run_check_file("disk", d->disks[i].path, error);
    if (!r)
        r = run_check_memory(d->memory, error);
    if (!r)
        r = run_profile(request, error);
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
        r = session_run(&request.description, &request.session, error);
    description_release(&request.description);
    return r;
}

static const struct option run_options[] = {
    {RUN_CPUS, "--cpus", NULL, "N", false,
     "CPUs of the machine, 1 to 64 (2, or 1 on a host "
     "with one)"},
    {RUN_MEMORY, "--memory", NULL, "SIZE", false, "its memory, as in 512M or 4G (1G)"},
    {RUN_DISK, "--disk", NULL, "FILE[,WORD]...", true,
     "a raw disk image; words: readonly, ephemeral, serial=TEXT; may be repeated"},
    {RUN_EPHEMERAL, "--ephemeral", NULL, NULL, false,
     "throw the changes to all disks away at the end"},
    {RUN_NET, "--net", NULL, "NETWORK", false,
     "user (behind the host's own address), tap=NAME or none (user)"},
    {RUN_PUBLISH, "--publish", "-p", "[ADDRESS:]HOST:GUEST[/udp]", true,
     "forward a port of the host to the guest, at 127.0.0.1 unless ADDRESS is given; may be "
     "repeated"},
    {RUN_KERNEL, "--kernel", NULL, "FILE", false,
     "boot this: a Linux Image, an ELF file or a raw payload for S-mode"},
    {RUN_INITRD, "--initrd", NULL, "FILE", false, "initial RAM disk for the kernel"},
    {RUN_APPEND, "--append", NULL, "TEXT", false,
     "the kernel's command line; with an image, added to its own"},
    {RUN_BIOS, "--bios", "--firmware", "FILE", false,
     "M-mode firmware, ELF or raw (hospes's own SBI)"},
    {RUN_CONSOLE, "--console", NULL, "KIND", false,
     "what the terminal is to the guest: serial (ttyS0) or virtio (hvc0) (serial)"},
    {RUN_MMU, "--mmu", NULL, "MODE", false,
     "the widest virtual addresses: sv39, which is the fastest, sv48 or sv57 (sv39)"},
    {RUN_ENGINE, "--engine", NULL, "NAME", false,
     "how the CPUs are run: auto, translate or interpret (auto)"},
    {RUN_CODE_PROFILE, "--code-profile", NULL, "FILE", false,
     "where it is kept what was executed often: auto, none or a file (auto with an image)"},
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
