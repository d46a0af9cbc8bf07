/* SPDX-License-Identifier: Apache-2.0 */
#include "host/pool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/host.h"
#include "base/size.h"
#include "host/family.h"
#include "host/group.h"
#include "host/state.h"
#include "image/file.h"
#include "image/store.h"

/* ---- files of a process ---- */

/* "Key:   123 kB" of a file of /proc, in bytes; 0: not told. */
static uint64_t proc_bytes(const char *path, const char *key)
{
    FILE *file = fopen(path, "re");
    size_t length = strlen(key);
    uint64_t kib = 0;
    char line[256];

    while (file && fgets(line, sizeof(line), file))
        if (!strncmp(line, key, length) && line[length] == ':') {
            kib = strtoull(line + length + 1, NULL, 10);
            break;
        }
    if (file)
        fclose(file);
    return kib << 10;
}

/* What the other processes of the machine hold; pages that they share with it count again. */
static uint64_t children_bytes(pid_t pid)
{
    pid_t members[FAMILY_MAX];
    size_t count = family_find(pid, members);
    uint64_t bytes = 0;
    char path[48];

    for (size_t i = 1; i < count; i++) {
        snprintf(path, sizeof(path), "/proc/%ld/status", (long)members[i]);
        bytes += proc_bytes(path, "RssAnon");
    }
    return bytes;
}

/* A file that is one number; 0: not there. */
static uint64_t file_number(const char *path)
{
    FILE *file = fopen(path, "re");
    unsigned long long number = 0;

    if (file && fscanf(file, "%llu", &number) != 1)
        number = 0;
    if (file)
        fclose(file);
    return number;
}

/* ---- machines ---- */

static uint64_t told_bytes(const json_t *info, const char *part, const char *key)
{
    json_int_t told = json_integer_value(json_object_get(json_object_get(info, part), key));

    return told > 0 ? (uint64_t)told : 0;
}

void pool_split(uint64_t shared, uint64_t anonymous, bool merging, const json_t *info,
                uint64_t *guest, uint64_t *own)
{
    uint64_t told = told_bytes(info, "memory", "resident");

    /* Its memory is private where it may be merged, as the process's own is: most is the guest's.
     */
    *guest = merging ? shared + anonymous : shared;
    *own = merging ? 0 : anonymous;
    if (!told || told >= *guest)
        return;
    *guest = told;
    /* Of its code the tables are among its own already. */
    *own = (merging ? anonymous - lesser(anonymous, told) : anonymous) +
           lesser(shared, told_bytes(info, "code", "bytes") + told_bytes(info, "code", "lookups"));
}

static int machine_add(struct pool *pool, const struct registry *registry, const char *name)
{
    struct pool_machine *grown = realloc(pool->machines, (pool->count + 1) * sizeof(*grown));
    struct pool_machine machine = {.name = strdup(name)};
    struct record record;
    struct state state;
    char path[48];

    if (grown)
        pool->machines = grown;
    if (!grown || !machine.name) {
        free(machine.name);
        return -ENOMEM;
    }
    state_recall(registry, name, &state);
    /* Else who holds the lock has not written yet, or ends: what is there is of another one. */
    if (registry_is_held_by(registry, name, state.pid))
        machine.pid = (int)state.pid;
    if (!record_read(registry, name, &record, NULL)) {
        machine.cpus = record.description.cpus;
        machine.cpus_min = record_cpus_min(&record);
        machine.memory = record.description.memory;
        machine.memory_min = record_memory_min(&record);
        machine.memory_max = record_memory_max(&record);
        machine.merging = record.description.merge;
    }
    machine.merge_domain = record.merge_domain;
    record.merge_domain = NULL;
    record_release(&record);
    /* Whoever has not written may merge, if it was made so. */
    if (machine.pid) {
        machine.merging = state.merging;
        snprintf(path, sizeof(path), "/proc/%d/status", machine.pid);
        machine.shared = proc_bytes(path, "RssShmem");
        machine.anonymous = proc_bytes(path, "RssAnon") + children_bytes(machine.pid);
        pool_split(machine.shared, machine.anonymous, machine.merging, NULL, &machine.resident,
                   &machine.own);
        snprintf(path, sizeof(path), "/proc/%d/ksm_merging_pages", machine.pid);
        machine.merged = file_number(path) * (uint64_t)sysconf(_SC_PAGESIZE);
    }
    pool->promised += machine.memory_min;
    pool->granted += machine.memory;
    pool->resident += machine.resident;
    pool->own += machine.own;
    pool->merged += machine.merged;
    pool->cpus_promised += machine.cpus_min;
    pool->cpus_granted += machine.cpus;
    grown[pool->count++] = machine;
    return 0;
}

/* As its guest sees it: what is written there may come to that. */
static uint64_t disk_size(const struct registry *registry, const char *name)
{
    CLEANUP(text_free) char *path = registry_path(registry, name, "disk.raw");
    struct stat status;

    return path && !stat(path, &status) ? (uint64_t)status.st_size : 0;
}

int pool_measure(struct pool *pool, const struct registry *registry, struct error *error)
{
    struct registry_names names = {0};
    struct host_memory memory;
    int r;

    host_memory(&memory);
    *pool = (struct pool){.memory = memory.allowed,
                          .memory_available = memory.allowed_available,
                          .cpus = host_cpus()};
    r = quota_find(&pool->limits, pool->memory, error);
    if (!r)
        r = registry_list(registry, &names, error);
    for (size_t i = 0; !r && i < names.count; i++) {
        pool->disk += disk_size(registry, names.names[i]);
        if (!registry_is_locked(registry, names.names[i]))
            group_sweep(registry, names.names[i]);
        else if (machine_add(pool, registry, names.names[i]))
            r = error_set(error, ENOMEM, "out of memory");
    }
    registry_names_release(&names);
    if (r)
        pool_release(pool);
    return r;
}

void pool_hear(struct pool *pool, struct pool_machine *machine, const json_t *info)
{
    pool->resident -= machine->resident;
    pool->own -= machine->own;
    pool_split(machine->shared, machine->anonymous, machine->merging, info, &machine->resident,
               &machine->own);
    pool->resident += machine->resident;
    pool->own += machine->own;
}

void pool_release(struct pool *pool)
{
    for (size_t i = 0; i < pool->count; i++) {
        free(pool->machines[i].name);
        free(pool->machines[i].merge_domain);
    }
    free(pool->machines);
    quota_release(&pool->limits);
    *pool = (struct pool){0};
}

/* What all of them may be promised, pool.json's limit aside. */
static uint64_t host_room(const struct pool *pool)
{
    return pool->memory > pool->limits.memory_reserve ? pool->memory - pool->limits.memory_reserve
                                                      : 0;
}

uint64_t pool_room(const struct pool *pool)
{
    uint64_t most = lesser(host_room(pool), pool->limits.memory);

    return most > pool->promised ? most - pool->promised : 0;
}

int pool_admit(const struct pool *pool, const struct record *record, struct error *error)
{
    char wanted[SIZE_TEXT_MAX], room[SIZE_TEXT_MAX], total[SIZE_TEXT_MAX], reserve[SIZE_TEXT_MAX],
        promised[SIZE_TEXT_MAX];
    uint64_t min = record_memory_min(record);

    if (pool->count >= pool->limits.machines)
        return error_set(error, EDQUOT, "%zu machines run, and %s allows %llu at once", pool->count,
                         quota_by(&pool->limits, QUOTA_MACHINES),
                         (unsigned long long)pool->limits.machines);
    if (pool->cpus_granted + record->description.cpus > pool->limits.cpus)
        return error_set(error, EDQUOT,
                         "it wants %u CPUs; %s allows %llu in all, and %llu are given",
                         record->description.cpus, quota_by(&pool->limits, QUOTA_CPUS),
                         (unsigned long long)pool->limits.cpus,
                         (unsigned long long)pool->cpus_granted);
    if (min <= pool_room(pool))
        return 0;
    size_format(min, wanted);
    size_format(pool_room(pool), room);
    size_format(pool->promised, promised);
    if (pool->limits.memory < host_room(pool))
        return error_set(
            error, EDQUOT,
            "it is to have %s of memory at the least, and %s can be promised (%s that %s "
            "allows in all, less %s promised to others that run); stop one, or lower "
            "--memory-min",
            wanted, room, size_format(pool->limits.memory, total),
            quota_by(&pool->limits, QUOTA_MEMORY), promised);
    return error_set(error, ENOMEM,
                     "it is to have %s of memory at the least, and %s can be promised (%s of the "
                     "host, less %s for itself, less %s promised to others that run); stop one, or "
                     "lower --memory-min",
                     wanted, room, size_format(pool->memory, total),
                     size_format(pool->limits.memory_reserve, reserve), promised);
}

int pool_admit_disk(const struct pool *pool, uint64_t size, struct error *error)
{
    char wanted[SIZE_TEXT_MAX], limit[SIZE_TEXT_MAX], there[SIZE_TEXT_MAX];

    if (pool->disk <= pool->limits.disk && size <= pool->limits.disk - pool->disk)
        return 0;
    return error_set(error, EDQUOT,
                     "it wants a disk of %s; %s allows %s for all machines' disks, and those that "
                     "there are have %s; delete one, or lower --disk",
                     size_format(size, wanted), quota_by(&pool->limits, QUOTA_DISK),
                     size_format(pool->limits.disk, limit), size_format(pool->disk, there));
}

int pool_admit_change(const struct pool *pool, const struct record *record, struct error *error)
{
    struct pool others = *pool;

    for (size_t i = 0; i < pool->count; i++)
        if (!strcmp(pool->machines[i].name, record->description.name)) {
            others.count--;
            others.promised -= pool->machines[i].memory_min;
            others.cpus_promised -= pool->machines[i].cpus_min;
            others.cpus_granted -= pool->machines[i].cpus;
        }
    return pool_admit(&others, record, error);
}

static bool same_domain(const char *a, const char *b)
{
    return a && b ? !strcmp(a, b) : a == b;
}

bool pool_may_merge(const struct pool *pool, const struct record *record, const char **other)
{
    for (size_t i = 0; i < pool->count; i++)
        if (pool->machines[i].merging &&
            strcmp(pool->machines[i].name, record->description.name) != 0 &&
            !same_domain(pool->machines[i].merge_domain, record->merge_domain)) {
            *other = pool->machines[i].name;
            return false;
        }
    return true;
}

int pool_lock(const struct registry *registry, int *fd, struct error *error)
{
    CLEANUP(text_free) char *path = text_format("%s/pool.lock", registry->machines);
    int lock = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;

    if (lock < 0 || flock(lock, LOCK_EX) < 0) {
        int r = path ? error_set(error, errno, "cannot lock \"%s\": %s", path, error_words(errno))
                     : error_set(error, ENOMEM, "out of memory");

        if (lock >= 0)
            close(lock);
        return r;
    }
    *fd = lock;
    return 0;
}
