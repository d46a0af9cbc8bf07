/* SPDX-License-Identifier: Apache-2.0 */
/* `hospes cp`: a file into a named machine's guest, or out of it. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "cli/command.h"
#include "cli/named.h"
#include "host/agent.h"
#include "image/file.h"
#include "image/store.h"

#define AGENT_OPEN_MS 10000u

/* NAME:PATH, or a path of the host, which has no colon or one behind a slash. */
struct place {
    char *name; /* NULL: the host; owned */
    const char *path;
};

static int place_read(const char *text, struct place *place, struct error *error)
{
    const char *colon = strchr(text, ':');

    *place = (struct place){.path = text};
    if (!colon || memchr(text, '/', (size_t)(colon - text)))
        return 0;
    place->name = strndup(text, (size_t)(colon - text));
    place->path = colon + 1;
    if (!place->name)
        return error_set(error, ENOMEM, "out of memory");
    if (!*place->path)
        return error_usage(error, "\"%s\" names no file of the guest, as in: %s/root/", text, text);
    return 0;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

/* Whether the path is a directory: of the guest by its own word. */
static bool guest_has_directory(struct agent *agent, const char *path)
{
    const char *const argv[] = {"test", "-d", path, NULL};
    struct agent_output output;
    bool is;

    if (path[strlen(path) - 1] == '/')
        return true;
    if (agent_run(agent, argv, NULL, 0, &output, NULL))
        return false;
    is = output.status == 0;
    agent_output_release(&output);
    return is;
}

static char *into_directory(const char *directory, const char *file)
{
    return text_format("%s%s%s", directory, directory[strlen(directory) - 1] == '/' ? "" : "/",
                       base_name(file));
}

/* The program's own permissions go along; who owns it and when it was made do not. */
static void copy_mode(struct agent *agent, int fd, const char *path)
{
    CLEANUP(text_free) char *mode = NULL;
    struct agent_output output;
    struct stat status;

    if (fstat(fd, &status) || !S_ISREG(status.st_mode))
        return;
    mode = text_format("%o", (unsigned)status.st_mode & 0777);
    if (mode &&
        !agent_run(agent, (const char *const[]){"chmod", mode, path, NULL}, NULL, 0, &output, NULL))
        agent_output_release(&output);
}

static int copy_in(struct agent *agent, const char *from, const char *to, struct error *error)
{
    CLEANUP(descriptor_close) int fd = open(from, O_RDONLY | O_CLOEXEC);
    CLEANUP(text_free) char *whole = NULL;
    int r;

    if (fd < 0)
        return error_set(error, errno, "cannot open \"%s\": %s", from, error_words(errno));
    whole = guest_has_directory(agent, to) ? into_directory(to, from) : strdup(to);
    if (!whole)
        return error_set(error, ENOMEM, "out of memory");
    r = agent_put_file(agent, fd, whole, error);
    if (!r)
        copy_mode(agent, fd, whole);
    return r;
}

static int copy_out(struct agent *agent, const char *from, const char *to, struct error *error)
{
    struct stat status;
    bool directory = !stat(to, &status) && S_ISDIR(status.st_mode);
    CLEANUP(text_free) char *whole = directory ? into_directory(to, from) : strdup(to);
    CLEANUP(descriptor_close) int fd = -1;
    bool made;
    int r;

    if (!whole)
        return error_set(error, ENOMEM, "out of memory");
    fd = open(whole, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    made = fd >= 0;
    if (!made && errno == EEXIST)
        fd = open(whole, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(error, errno, "cannot make \"%s\": %s", whole, error_words(errno));
    r = agent_get_file(agent, from, fd, error);
    if (r && made)
        unlink(whole);
    return r;
}

static int copy_with(const struct named *named, const struct place *from, const struct place *to,
                     struct error *error)
{
    struct agent agent;
    int r = named_agent(named, AGENT_OPEN_MS, &agent, error);

    if (r)
        return r;
    r = to->name ? copy_in(&agent, from->path, to->path, error)
                 : copy_out(&agent, from->path, to->path, error);
    agent_close(&agent);
    return r;
}

static int cp_places(struct place places[2], struct error *error)
{
    struct named named = {0};
    int r;

    if (!places[0].name == !places[1].name)
        return error_usage(error, "copy from the host to a machine or back, as in: hospes cp FILE "
                                  "web:/root/");
    named.name = places[0].name ? places[0].name : places[1].name;
    r = registry_open(&named.registry, error);
    if (!r)
        r = registry_check(&named.registry, named.name, error);
    if (!r)
        r = copy_with(&named, &places[0], &places[1], error);
    named_release(&named);
    return r;
}

static int cp_run(const struct command *command, int argc, char **argv, struct error *error)
{
    struct option_walk walk = option_walk_begin(command, argc, argv);
    struct place places[2] = {{0}};
    unsigned count = 0;
    int kind = 0, r = 0;

    while (!r && (kind = option_next(&walk, error)) > 0)
        r = count < 2 ? place_read(walk.value, &places[count++], error)
                      : error_usage(error, "unexpected argument \"%s\"; copy one file at a time",
                                    walk.value);
    if (!r)
        r = kind;
    if (!r && count < 2)
        r = error_usage(error, "nothing to copy, as in: hospes cp FILE web:/root/");
    if (!r)
        r = cp_places(places, error);
    free(places[0].name);
    free(places[1].name);
    return r;
}

static const struct option cp_options[] = {{0}};

static const struct example cp_examples[] = {
    {"hospes cp notes.txt web:/root/", "copies a file into the guest"},
    {"hospes cp web:/etc/os-release .", "copies a file out of it"},
    {0},
};

const struct command command_cp = {
    .name = "cp",
    .summary = "copy a file into a machine's guest or out of it",
    .usage = "cp FILE NAME:PATH\n"
             "cp NAME:PATH FILE",
    .about = "As root, by the guest's agent. A file that goes in keeps its permissions.",
    .options = cp_options,
    .examples = cp_examples,
    .run = cp_run,
};
