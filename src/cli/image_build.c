/* SPDX-License-Identifier: Apache-2.0 */
/* `hospes image build`: a named image from the distribution's archive, with progress on the way. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/size.h"
#include "base/thread.h"
#include "cli/command.h"
#include "cli/option.h"
#include "host/jail.h"
#include "image/child.h"
#include "image/image.h"

enum { BUILD_IF_MISSING = 1, BUILD_REPLACE, BUILD_SIZE, BUILD_MIRROR };

/* On a terminal one line is written over and over; elsewhere a line a step, and now and then one
 * in a step that lasts, so that a log shows that something moves. */
#define LOG_EVERY_NS  10000000000ull
#define DRAW_EVERY_NS 100000000ull

struct progress {
    const char *name; /* of the image */
    bool terminal;
    uint64_t began, written; /* CLOCK_MONOTONIC, ns */
    char what[64];           /* the step that was written last */
};

static unsigned terminal_columns(void)
{
    struct winsize size;

    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col < 20)
        return 80;
    return size.ws_col;
}

static void progress_show(void *ctx, const char *what, unsigned done, unsigned total,
                          const char *detail)
{
    struct progress *progress = ctx;
    const uint64_t now = monotonic_ns(), age = now - progress->written;
    const bool fresh = strncmp(progress->what, what, sizeof(progress->what) - 1) != 0;
    const unsigned seconds = (unsigned)((now - progress->began) / 1000000000);
    char count[32] = "", line[512];

    if (!fresh && age < (progress->terminal ? DRAW_EVERY_NS : LOG_EVERY_NS))
        return;
    snprintf(progress->what, sizeof(progress->what), "%s", what);
    progress->written = now;
    if (total)
        snprintf(count, sizeof(count), " %u/%u", done, total);
    snprintf(line, sizeof(line), "%s: %s%s%s%s", progress->name, what, count,
             detail && *detail ? ": " : "", detail ? detail : "");
    if (progress->terminal)
        fprintf(stderr, "\r\033[K[%u:%02u] %.*s", seconds / 60, seconds % 60,
                (int)terminal_columns() - 10, line);
    else
        fprintf(stderr, "[%u:%02u] %s\n", seconds / 60, seconds % 60, line);
    fflush(stderr);
}

static void progress_end(const struct progress *progress)
{
    if (progress->terminal && progress->written)
        fprintf(stderr, "\r\033[K");
}

/* A name that no recipe has is told before anything is looked at. */
static int build_check_name(const char *name, struct error *error)
{
    const char *nearest = NULL;

    for (const char *const *recipe = image_recipes(); *recipe; recipe++) {
        if (strcmp(*recipe, name) == 0)
            return 0;
        if (option_nearness(name, *recipe))
            nearest = *recipe;
    }
    if (nearest)
        return error_usage(error, "cannot build \"%s\"; did you mean \"%s\"?", name, nearest);
    return error_usage(error, "cannot build \"%s\"; known is: %s", name, image_recipes()[0]);
}

static int build_size(const char *text, uint64_t *size, struct error *error)
{
    char low[SIZE_TEXT_MAX], high[SIZE_TEXT_MAX];

    if (size_parse(text, size) || *size < IMAGE_SIZE_MIN || *size > IMAGE_SIZE_MAX)
        return error_usage(error, "'--size' takes %s to %s, as in 8G, not \"%s\"",
                           size_format(IMAGE_SIZE_MIN, low), size_format(IMAGE_SIZE_MAX, high),
                           text);
    return 0;
}

static int guard_enter(void *ctx, const char *const *directories, bool network)
{
    return jail_enter_program(*(const enum jail_mode *)ctx, directories, network);
}

static int build_image(const char *name, struct image_build_options *options, bool if_missing,
                       struct error *error)
{
    struct progress progress = {.name = name,
                                .terminal = isatty(STDERR_FILENO),
                                .began = monotonic_ns()};
    struct image_store store = {0};
    struct image image = {0};
    enum jail_mode jail;
    const struct child_guard guard = {guard_enter, &jail};
    char used[SIZE_TEXT_MAX];
    sigset_t before;
    int r = jail_mode_find(getenv("HOSPES_JAIL"), &jail, error);

    if (!r)
        r = image_store_open(&store, error);
    if (r)
        return r;
    if (if_missing && image_find(&store, name, &image, NULL) == 0)
        goto out;
    options->progress = progress_show;
    options->progress_ctx = &progress;
    options->guard = &guard;
    child_hold_stops(&before);
    r = image_build(&store, name, options, error);
    progress_end(&progress);
    /* Ctrl-C ends us here, with nothing half made left behind. */
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (!r)
        r = image_find(&store, name, &image, error);
    if (!r)
        printf("%s: %s for %s, %s on disk, in %u seconds; boot it with: hospes run %s\n", name,
               image.release, image.architecture, size_format(image.disk_used, used),
               (unsigned)((monotonic_ns() - progress.began) / 1000000000), name);
out:
    image_release(&image);
    image_store_release(&store);
    return r;
}

static int image_build_run(const struct command *command, int argc, char **argv,
                           struct error *error)
{
    struct option_walk walk = option_walk_begin(command, argc, argv);
    struct image_build_options options = {0};
    bool if_missing = false;
    const char *name = NULL;
    int kind, r = 0;

    while (!r && (kind = option_next(&walk, error)) != OPTION_END) {
        if (kind < 0)
            return kind;
        if (kind == OPTION_OPERAND) {
            if (name)
                return error_usage(error, "unexpected argument \"%s\"; build one image at a time",
                                   walk.value);
            name = walk.value;
            continue;
        }
        switch (walk.option->id) {
        case BUILD_IF_MISSING:
            if_missing = true;
            break;
        case BUILD_REPLACE:
            options.replace = true;
            break;
        case BUILD_SIZE:
            r = build_size(walk.value, &options.size, error);
            break;
        case BUILD_MIRROR:
            options.mirror = walk.value;
            break;
        }
    }
    if (r)
        return r;
    if (!name)
        return error_usage(error, "no image named; use: hospes image build debian");
    if (if_missing && options.replace)
        return error_usage(error, "both '--if-missing' and '--replace'; give one of them");
    r = build_check_name(name, error);
    return r ? r : build_image(name, &options, if_missing, error);
}

static const struct option image_build_options[] = {
    {BUILD_IF_MISSING, "--if-missing", NULL, NULL, false,
     "do nothing when the image is there already"},
    {BUILD_REPLACE, "--replace", NULL, NULL, false,
     "build an image that is there anew; what was written to it is lost"},
    {BUILD_SIZE, "--size", NULL, "SIZE", false, "size of its disk, as in 8G (4G)"},
    {BUILD_MIRROR, "--mirror", NULL, "URL", false,
     "take the archive from here (the host's own mirror)"},
    {0},
};

static const struct example image_build_examples[] = {
    {"hospes image build debian", "makes a Debian 13 for riscv64"},
    {"hospes image build --replace --size 16G debian", "makes it anew, with a larger disk"},
    {0},
};

const struct command command_image_build = {
    .name = "image build",
    .summary = "make a named image from a distribution's archive",
    .usage = "image build [OPTION]... debian",
    .about = "The archive's signatures are verified. The second stage of the set-up runs inside\n"
             "hospes. The image appears whole or not at all.",
    .options = image_build_options,
    .examples = image_build_examples,
    .run = image_build_run,
};
