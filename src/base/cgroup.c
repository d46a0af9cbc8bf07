/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/descriptor.h"

#define LINE_MAX_BYTES (2 * PATH_MAX)

/* ---- files ---- */

static FILE *file_open(const char *directory, const char *file)
{
    char path[PATH_MAX + 64];

    if (snprintf(path, sizeof(path), "%s/%s", directory, file) >= (int)sizeof(path))
        return NULL;
    return fopen(path, "re");
}

bool cgroup_line(const char *directory, const char *file, char *line, size_t size)
{
    FILE *opened = file_open(directory, file);
    bool read = opened && fgets(line, (int)size, opened);

    if (opened)
        fclose(opened);
    if (read)
        line[strcspn(line, "\n")] = 0;
    return read;
}

static bool has_word(const char *words, const char *separators, const char *word)
{
    size_t length = strlen(word);

    while (*words) {
        size_t n = strcspn(words, separators);

        if (n == length && !strncmp(words, word, n))
            return true;
        words += n;
        words += strspn(words, separators);
    }
    return false;
}

bool cgroup_has_word(const char *directory, const char *file, const char *word)
{
    char line[1024];

    return cgroup_line(directory, file, line, sizeof(line)) && has_word(line, " ", word);
}

int cgroup_write(const char *directory, const char *file, const char *line)
{
    CLEANUP(descriptor_close) int fd = -1;
    char path[PATH_MAX + 64];

    if (snprintf(path, sizeof(path), "%s/%s", directory, file) >= (int)sizeof(path))
        return -ENAMETOOLONG;
    fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? -errno : descriptor_write_all(fd, line, strlen(line));
}

/* ---- where this process is ---- */

/* A line of /proc/self/cgroup is "NUMBER:CONTROLLERS:PATH"; of version 2 "0::PATH" (cgroups(7)). */
static bool own_path(const char *root, const char *controller, char path[static PATH_MAX])
{
    FILE *file = file_open(root, "proc/self/cgroup");
    char line[LINE_MAX_BYTES];
    bool found = false;

    while (file && !found && fgets(line, sizeof(line), file)) {
        char *controllers = strchr(line, ':');
        char *at = controllers ? strchr(controllers + 1, ':') : NULL;

        if (!at)
            continue;
        *at++ = 0;
        controllers++;
        at[strcspn(at, "\n")] = 0;
        if (controller ? !has_word(controllers, ",", controller) : strncmp(line, "0:", 2) != 0)
            continue;
        found = *at == '/' && strlen(at) < PATH_MAX;
        if (found)
            strcpy(path, at);
    }
    if (file)
        fclose(file);
    return found;
}

/* The hierarchy's directory, with what the mount shows of it: a line of /proc/self/mountinfo is
 * "ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [FIELD]... - TYPE SOURCE OPTIONS" (proc(5)). A mount
 * point that the kernel writes with escapes is passed over. */
static bool mount_find(const char *root, const char *controller, struct cgroup *cgroup,
                       const char *path)
{
    FILE *file = file_open(root, "proc/self/mountinfo");
    char line[LINE_MAX_BYTES];
    bool found = false;

    while (file && !found && fgets(line, sizeof(line), file)) {
        char shown[PATH_MAX], point[PATH_MAX], type[32], options[512];
        const char *rest = strstr(line, " - "), *below = path;
        size_t length;

        if (!rest || sscanf(line, "%*s %*s %*s %4095s %4095s", shown, point) != 2 ||
            sscanf(rest, " - %31s %*s %511s", type, options) != 2 || strchr(point, '\\'))
            continue;
        if (strcmp(type, controller ? "cgroup" : "cgroup2") != 0 ||
            (controller && !has_word(options, ",", controller)))
            continue;
        length = strcmp(shown, "/") != 0 ? strlen(shown) : 0;
        if (strncmp(path, shown, length) != 0 || (path[length] && path[length] != '/'))
            continue;
        below += length;
        if (!strcmp(below, "/"))
            below = "";
        cgroup->mount = strlen(root) + strlen(point);
        found = snprintf(cgroup->directory, PATH_MAX, "%s%s%s", root, point, below) < PATH_MAX &&
                access(cgroup->directory, F_OK) == 0;
    }
    if (file)
        fclose(file);
    return found;
}

int cgroup_find(const char *root, const char *controller, struct cgroup *cgroup)
{
    char path[PATH_MAX];

    if (own_path(root, controller, path) && mount_find(root, controller, cgroup, path)) {
        cgroup->version = 1;
        return 0;
    }
    if (own_path(root, NULL, path) && mount_find(root, NULL, cgroup, path)) {
        char top[PATH_MAX];

        snprintf(top, sizeof(top), "%.*s", (int)cgroup->mount, cgroup->directory);
        if (cgroup_has_word(top, "cgroup.controllers", controller)) {
            cgroup->version = 2;
            return 0;
        }
    }
    return -ENOENT;
}

bool cgroup_up(struct cgroup *cgroup)
{
    char *last = strrchr(cgroup->directory, '/');

    if (!last || strlen(cgroup->directory) <= cgroup->mount)
        return false;
    *last = 0;
    return true;
}

/* ---- memory ---- */

/* UINT64_MAX: not told, or "max". */
static uint64_t number_of(const char *directory, const char *file)
{
    char line[64], *end;
    unsigned long long number;

    if (!cgroup_line(directory, file, line, sizeof(line)))
        return UINT64_MAX;
    number = strtoull(line, &end, 10);
    return end == line ? UINT64_MAX : number;
}

/* Of memory.stat; 0: not told. */
static uint64_t counted(const char *directory, const char *key)
{
    FILE *file = file_open(directory, "memory.stat");
    unsigned long long value, found = 0;
    char name[64];

    while (file && fscanf(file, "%63s %llu", name, &value) == 2)
        if (!strcmp(name, key))
            found = value;
    if (file)
        fclose(file);
    return found;
}

void cgroup_memory(const char *root, uint64_t *limit, uint64_t *available)
{
    struct cgroup cgroup;

    *limit = *available = UINT64_MAX;
    if (cgroup_find(root, "memory", &cgroup))
        return;
    do {
        bool is_new = cgroup.version == 2;
        const char *at = cgroup.directory;
        uint64_t most = number_of(at, is_new ? "memory.max" : "memory.limit_in_bytes");
        uint64_t used = number_of(at, is_new ? "memory.current" : "memory.usage_in_bytes");
        uint64_t files = counted(at, is_new ? "inactive_file" : "total_inactive_file");

        /* What processes are slowed down at, well before there is no more. */
        if (is_new)
            most = lesser(most, number_of(at, "memory.high"));
        /* Version 1 has no word for "no limit" but a number of pages that no host has. */
        if (most >= INT64_MAX / 4096 * 4096)
            continue;
        *limit = lesser(*limit, most);
        if (used == UINT64_MAX)
            continue;
        used -= lesser(files, used);
        *available = lesser(*available, most > used ? most - used : 0);
    } while (cgroup_up(&cgroup));
}
