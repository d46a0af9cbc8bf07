/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image/child.h"
#include "image/file.h"
#include "image/recipe.h"
#include "image/store.h"

#define MARK "hospes-stage2: "

/* No single package takes an interpreter this long, on a slow host either. */
#define SILENCE_LIMIT_S 900

/* What the guest says about itself; hostile, so the texts are only shown. */
struct watch {
    const struct build *build;
    bool done;
    char failure[CHILD_LINE_MAX + 1];
};

static void line_watch(void *ctx, const char *text)
{
    struct watch *watch = ctx;
    const char *mark = strstr(text, MARK);
    unsigned done, total;
    int length = 0;

    if (!mark)
        return;
    mark += strlen(MARK);
    if (strcmp(mark, "done") == 0)
        watch->done = true;
    else if (strncmp(mark, "failed", 6) == 0)
        snprintf(watch->failure, sizeof(watch->failure), "%s", mark);
    else if (sscanf(mark, "%5u/%5u %n", &done, &total, &length) == 2 && length)
        build_progress(watch->build, "setting up in the machine", done, total, mark + length);
}

/* As --disk takes it: a comma in the path is written twice. */
static char *disk_option(const char *path)
{
    char *text = malloc(2 * strlen(path) + 1);
    char *to = text;

    for (; text && *path; path++) {
        if (*path == ',')
            *to++ = ',';
        *to++ = *path;
    }
    if (text)
        *to = '\0';
    return text;
}

/* One process a machine: this program again. */
static int machine_spawn(const struct build *build, const struct image_machine *machine,
                         void (*line)(void *ctx, const char *text), void *ctx, struct error *error)
{
    CLEANUP(text_free) char *disk = disk_option(machine->disk);
    CLEANUP(text_free) char *parts = disk_option(machine->parts);
    CLEANUP(text_free) char *cpus = text_format("%u", machine->cpus);
    CLEANUP(text_free)
    char *memory = text_format("%lluM", (unsigned long long)(machine->memory >> 20));
    const char *const argv[] = {"/proc/self/exe",
                                "run",
                                "--kernel",
                                machine->kernel,
                                "--initrd",
                                machine->initrd,
                                "--append",
                                machine->append,
                                "--disk",
                                disk,
                                "--disk",
                                parts,
                                "--net",
                                "none",
                                "--cpus",
                                cpus,
                                "--memory",
                                memory,
                                NULL};
    struct child child = {.argv = argv,
                          .log = build->log,
                          .silence_limit = SILENCE_LIMIT_S,
                          .line = line,
                          .ctx = ctx};

    if (!disk || !parts || !cpus || !memory)
        return error_set(error, ENOMEM, "out of memory");
    return child_run(&child, error);
}

int build_second_stage(const struct build *build, const struct image_machine *machine,
                       struct error *error)
{
    const struct image_build_options *options = build->options;
    struct watch watch = {.build = build};
    int ret;

    build_progress(build, "setting up in the machine", 0, 0, "booting");
    if (options->run_machine)
        ret = options->run_machine(options->run_machine_ctx, machine, line_watch, &watch, error);
    else
        ret = machine_spawn(build, machine, line_watch, &watch, error);
    if (ret)
        return error_wrap(error, "the machine of the second stage");
    if (watch.failure[0])
        return error_set(error, EIO, "the second stage %s", watch.failure);
    if (!watch.done)
        return error_set(error, EIO, "the second stage ended early");
    return 0;
}
