/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "cpu/translate/translator.h"

/* A map that is not complete is of use too. */
void translator_perf_add(struct translator *t, const struct unit *unit, uint64_t vaddr)
{
    const char *kind = unit->region     ? unit->windowed ? "-windowed-region" : "-region"
                       : unit->windowed ? "-windowed"
                                        : "";
    char line[160];
    int length;

    if (t->perf_map < 0)
        return;
    length = snprintf(line, sizeof(line), "%llx %x guest-%llx%s\n%llx %x guest-%llx%s-cold\n",
                      (unsigned long long)(uintptr_t)unit_poll_entry(t, unit), unit->size,
                      (unsigned long long)vaddr, kind,
                      (unsigned long long)(uintptr_t)code_memory_run(&t->memory, unit->cold_start),
                      unit->cold_size, (unsigned long long)vaddr, kind);
    if (write(t->perf_map, line, (size_t)length) != length) {
        close(t->perf_map);
        t->perf_map = -1;
    }
}

int translator_open_perf_map(struct translator *t)
{
    char path[48];
    int r = 0;

    snprintf(path, sizeof(path), "/tmp/perf-%d.map", (int)getpid());
    mutex_lock(&t->lock);
    t->perf_map = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (t->perf_map < 0)
        r = -errno;
    mutex_unlock(&t->lock);
    return r;
}
