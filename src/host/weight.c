/* SPDX-License-Identifier: Apache-2.0 */
#include "host/weight.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/descriptor.h"

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

static int threads_set(int nice)
{
    DIR *directory = opendir("/proc/self/task");
    struct dirent *entry;
    int r = directory ? 0 : -errno;

    while (directory && !r && (entry = readdir(directory))) {
        long thread = strtol(entry->d_name, NULL, 10);

        /* One that has ended meanwhile is as good. */
        if (thread > 0 && setpriority(PRIO_PROCESS, (id_t)thread, nice) < 0 && errno != ESRCH)
            r = -errno;
    }
    if (directory)
        closedir(directory);
    return r == -EACCES ? -EPERM : r;
}

/* The kernel takes a few changes a second from who is not root (-EAGAIN). */
static int group_set(int nice)
{
    const struct timespec pause = {.tv_nsec = 120000000};
    CLEANUP(descriptor_close) int fd = open("/proc/self/autogroup", O_WRONLY | O_CLOEXEC);
    char text[8];
    int r = 0;

    if (fd < 0)
        return 0; /* sessions are no groups here */
    snprintf(text, sizeof(text), "%d", nice);
    for (int i = 0; i < 5; i++) {
        r = descriptor_write_all(fd, text, strlen(text));
        if (r != -EAGAIN)
            break;
        nanosleep(&pause, NULL);
    }
    /* Switched off, or a group of cgroup's counts. */
    return r == -EIO || r == -ENXIO || r == -EINVAL ? 0 : r;
}

int weight_set(unsigned weight, struct error *error)
{
    int nice = weight_to_nice(weight), r = threads_set(nice);

    if (!r)
        r = group_set(nice);
    if (r == -EPERM || r == -EACCES)
        return error_set(error, EPERM,
                         "a CPU weight of %u is more than this user may take back or have; 100 "
                         "and less are for everybody, and only root raises one",
                         weight);
    return r ? error_set(error, -r, "cannot set the CPU weight: %s", error_words(-r)) : 0;
}
