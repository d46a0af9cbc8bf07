/* SPDX-License-Identifier: Apache-2.0 */
#include "host/weight.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "host/family.h"

#define STEP      1.25
#define HALF_STEP 1.118034 /* its square root */

int weight_to_nice(unsigned weight)
{
    double of_nice = WEIGHT_DEFAULT;
    int nice = 0;

    while (nice < 19 && of_nice > weight * HALF_STEP) {
        of_nice /= STEP;
        nice++;
    }
    while (nice > -20 && of_nice * HALF_STEP < weight) {
        of_nice *= STEP;
        nice--;
    }
    return nice;
}

static int threads_set(pid_t pid, int nice)
{
    char path[32];
    DIR *directory;
    struct dirent *entry;
    int r;

    snprintf(path, sizeof(path), "/proc/%ld/task", (long)pid);
    directory = opendir(path);
    r = directory ? 0 : -errno;
    while (directory && !r && (entry = readdir(directory))) {
        long thread = strtol(entry->d_name, NULL, 10);

        /* One that has ended meanwhile is as good. */
        if (thread > 0 && setpriority(PRIO_PROCESS, (id_t)thread, nice) < 0 && errno != ESRCH)
            r = -errno;
    }
    if (directory)
        closedir(directory);
    return r;
}

/* "/autogroup-N nice VALUE" */
static bool group_has(int fd, int nice)
{
    char text[64], *word;
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

    if (n <= 0)
        return false;
    text[n] = 0;
    word = strstr(text, " nice ");
    return word && strtol(word + 6, NULL, 10) == nice;
}

/* The kernel takes a few changes a second from who is not root (-EAGAIN). */
static int group_set(int fd, int nice)
{
    const struct timespec pause = {.tv_nsec = 120000000};
    char text[8];
    int r = 0;

    if (fd < 0)
        return 0;
    snprintf(text, sizeof(text), "%d", nice);
    for (int i = 0; i < 3; i++) {
        r = descriptor_write_all(fd, text, strlen(text));
        if (r != -EAGAIN)
            break;
        nanosleep(&pause, NULL);
    }
    /* Who may has set it already. */
    if (r == -EPERM && group_has(fd, nice))
        return 0;
    /* Switched off, or a group of cgroup's counts. */
    return r == -EIO || r == -ENXIO || r == -EINVAL ? 0 : r;
}

static int failed(int r, unsigned weight, struct error *error)
{
    if (r == -EPERM || r == -EACCES)
        return error_set(error, EPERM,
                         "a CPU weight of %u is more than this user may take back or have; 100 "
                         "and less are for everybody, and only root raises one",
                         weight);
    return r ? error_set(error, -r, "cannot set the CPU weight: %s", error_words(-r)) : 0;
}

int weight_set_threads(pid_t pid, unsigned weight, struct error *error)
{
    pid_t members[FAMILY_MAX];
    size_t count = family_find(pid, members);
    int r = threads_set(pid, weight_to_nice(weight));

    for (size_t i = 1; !r && i < count; i++) {
        r = threads_set(members[i], weight_to_nice(weight));
        /* One that has ended meanwhile is as good. */
        if (r == -ENOENT)
            r = 0;
    }
    return failed(r, weight, error);
}

int weight_open_group(pid_t pid)
{
    char path[32];

    snprintf(path, sizeof(path), "/proc/%ld/autogroup", (long)pid);
    return open(path, O_RDWR | O_CLOEXEC);
}

int weight_set_group(int fd, unsigned weight, struct error *error)
{
    return failed(group_set(fd, weight_to_nice(weight)), weight, error);
}

int weight_set(unsigned weight, struct error *error)
{
    CLEANUP(descriptor_close) int fd = weight_open_group(getpid());
    int r = weight_set_threads(getpid(), weight, error);

    return r ? r : weight_set_group(fd, weight, error);
}
