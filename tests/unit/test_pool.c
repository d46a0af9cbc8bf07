/* SPDX-License-Identifier: Apache-2.0 */
/* The host as one pool: limits of pool.json, who is admitted beside whom, whose pages may be
 * merged, and the lock under which that is decided. Machines that run are files here, and
 * processes that hold their locks. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "host/pool.h"
#include "host/state.h"
#include "host_fixture.h"
#include "namespace.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

/* How long a process that is to be kept out is watched. */
#define WATCH_MS 100

struct fixture {
    struct host_fixture *host;
    pid_t processes[4];
    unsigned process_count;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    f->host = host_fixture_new();
    assert_int_equal(setenv("XDG_CONFIG_HOME", f->host->directory, 1), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < f->process_count; i++) {
        assert_int_equal(kill(f->processes[i], SIGKILL), 0);
        assert_int_equal(waitpid(f->processes[i], NULL, 0), f->processes[i]);
    }
    host_fixture_free(f->host);
    free(f);
    return 0;
}

/* ---- what there is to be measured ---- */

static void limits_write(struct fixture *f, const char *text)
{
    CLEANUP(text_free) char *directory = text_format("%s/hospes", f->host->directory);
    CLEANUP(text_free) char *path = text_format("%s/pool.json", directory);

    assert_int_equal(directory_make(directory, NULL), 0);
    text_write(path, text);
}

static void record_make(struct record *record, const char *name, unsigned cpus, uint64_t memory,
                        uint64_t memory_min)
{
    record_init(record);
    assert_int_equal(description_set(&record->description.name, name), 0);
    assert_int_equal(description_set(&record->description.engine, "auto"), 0);
    assert_int_equal(description_set(&record->description.kernel, "/boot/kernel"), 0);
    record->description.cpus = cpus;
    record->description.memory = memory;
    record->memory_min = memory_min;
}

/* A machine of whom nobody says that it runs; drops the record. */
static void machine_put(struct fixture *f, struct record *record)
{
    const char *name = record->description.name;
    CLEANUP(text_free) char *var = registry_var_path(&f->host->registry, name, NULL);

    assert_int_equal(directory_make(var, NULL), 0);
    assert_int_equal(record_write(&f->host->registry, name, record, NULL), 0);
    record_release(record);
}

/* A process that has the machine's lock until the test ends. It signs it once it has written down
 * that it runs. */
static pid_t machine_lock(struct fixture *f, const char *name, bool sign)
{
    int pipes[2], fd = -1;
    char byte = 0;
    pid_t child;

    assert_in_range(f->process_count, 0, ARRAY_SIZE(f->processes) - 1);
    assert_int_equal(pipe(pipes), 0);
    child = fork();
    if (!child) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (registry_lock(&f->host->registry, name, &fd, NULL) || (sign && registry_sign_lock(fd)))
            byte = 'n';
        else
            byte = 'y';
        if (write(pipes[1], &byte, 1) != 1)
            _exit(1);
        pause();
        _exit(0);
    }
    assert_true(child > 0);
    f->processes[f->process_count++] = child;
    assert_int_equal(read(pipes[0], &byte, 1), 1);
    assert_int_equal(byte, 'y');
    close(pipes[0]);
    close(pipes[1]);
    return child;
}

static void state_put(struct fixture *f, const char *name, pid_t pid, bool merging)
{
    const struct state state = {.kind = STATE_RUNNING, .pid = pid, .merging = merging};

    assert_int_equal(state_write(&f->host->registry, name, &state, NULL), 0);
}

/* One that runs: the number of its process. */
static pid_t machine_run(struct fixture *f, const char *name, unsigned cpus, uint64_t memory,
                         uint64_t memory_min)
{
    struct record record;
    pid_t pid;

    record_make(&record, name, cpus, memory, memory_min);
    machine_put(f, &record);
    pid = machine_lock(f, name, true);
    state_put(f, name, pid, false);
    return pid;
}

static void measure(struct fixture *f, struct pool *pool)
{
    struct error error = ERROR_INIT;

    if (pool_measure(pool, &f->host->registry, &error))
        fail_msg("%s", error.message ? error.message : "no words");
}

/* ---- limits ---- */

static void assert_limits(struct fixture *f, uint64_t reserve, uint64_t memory, uint64_t cpus,
                          uint64_t machines)
{
    struct pool pool;

    measure(f, &pool);
    assert_int_equal(pool.limits.memory_reserve, reserve);
    assert_int_equal(pool.limits.memory, memory);
    assert_int_equal(pool.limits.cpus, cpus);
    assert_int_equal(pool.limits.machines, machines);
    pool_release(&pool);
}

static void limits_by_default(void **state)
{
    struct fixture *f = *state;
    struct pool pool;
    uint64_t sixteenth;

    measure(f, &pool);
    assert_in_range(pool.memory, 64 * MIB, UINT64_MAX - 1);
    assert_in_range(pool.memory_available, 1, UINT64_MAX - 1);
    assert_in_range(pool.cpus, 1, 1u << 16);
    assert_int_equal(pool.count, 0);
    sixteenth = pool.memory / 16;
    pool_release(&pool);
    assert_limits(f, sixteenth > 256 * MIB ? sixteenth : 256 * MIB, UINT64_MAX, UINT64_MAX,
                  UINT64_MAX);
    /* What is not told is as it is without. */
    limits_write(f, "{\"machines\": 3}");
    assert_limits(f, sixteenth > 256 * MIB ? sixteenth : 256 * MIB, UINT64_MAX, UINT64_MAX, 3);
}

static void limits_of_a_file(void **state)
{
    struct fixture *f = *state;
    CLEANUP(text_free) char *home = text_format("%s/home", f->host->directory);
    CLEANUP(text_free) char *config = text_format("%s/.config/hospes", home);
    CLEANUP(text_free) char *path = text_format("%s/pool.json", config);

    limits_write(
        f, "{\"memory_reserve\": 1048576, \"memory\": 2097152, \"cpus\": 5, \"machines\": 0}");
    assert_limits(f, MIB, 2 * MIB, 5, 0);
    /* Less than the default is what the user wants, too. */
    limits_write(f, "{\"memory_reserve\": 0}");
    assert_limits(f, 0, UINT64_MAX, UINT64_MAX, UINT64_MAX);

    assert_int_equal(directory_make(config, NULL), 0);
    text_write(path, "{\"memory_reserve\": 7, \"cpus\": 9}");
    assert_int_equal(setenv("HOME", home, 1), 0);
    assert_int_equal(unsetenv("XDG_CONFIG_HOME"), 0);
    assert_limits(f, 7, UINT64_MAX, 9, UINT64_MAX);
    /* Not absolute: ignored (XDG Base Directory Specification, "Basics"). */
    assert_int_equal(setenv("XDG_CONFIG_HOME", "config", 1), 0);
    assert_limits(f, 7, UINT64_MAX, 9, UINT64_MAX);
}

static void limits_that_are_none(void **state)
{
    static const struct {
        const char *text, *words;
    } rows[] = {
        {"{\"memory\": 1, \"disks\": 2}", "it has a field that this version does not know"},
        {"{\"memory\": 1,\n\n \"disks\": 2}", "does not know, \"disks\" (line 3)"},
        {"{\"memory\": 1,\n\"disk\": \"2G\"}", "\"disk\" is to be a number, in bytes if it is of "
                                               "memory or disks (line 2)"},
        {"{\"memory\": 1,\n\"cpus\"}", "it is no JSON object (line 2: "},
        {"{\"users\": {}}", "does not know, \"users\""},
        {"{\"Memory\": 1}", "it has a field that this version does not know"},
        {"{\"memory\": \"1G\"}", "\"memory\" is to be a number"},
        {"{\"memory_reserve\": -1}", "\"memory_reserve\" is to be a number"},
        {"{\"cpus\": 1.5}", "\"cpus\" is to be a number"},
        {"{\"machines\": null}", "\"machines\" is to be a number"},
        {"{\"machines\": true}", "\"machines\" is to be a number"},
        {"{\"memory\": 1e30}", "\"memory\" is to be a number"},
        {"[]", "it is no JSON object"},
        {"5", "it is no JSON object"},
        {"", "it is no JSON object"},
        {"{\"memory\": 1", "it is no JSON object"},
        {"{\"memory\": 99999999999999999999}", "it is no JSON object"},
        {"{\"cpus\": 1, \"cpus\": 2}", "it is no JSON object"},
        {"{\"cpus\": 1} {}", "it is no JSON object"},
    };
    struct fixture *f = *state;
    struct error error = ERROR_INIT;
    struct pool pool;

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        limits_write(f, rows[i].text);
        assert_int_equal(pool_measure(&pool, &f->host->registry, &error), -EINVAL);
        assert_non_null(strstr(error.message, "/hospes/pool.json\""));
        assert_words(&error, rows[i].words);
        assert_null(pool.machines);
    }
}

static void limits_that_cannot_be_read(void **state)
{
    struct fixture *f = *state;
    CLEANUP(text_free) char *path = text_format("%s/hospes/pool.json", f->host->directory);
    struct error error = ERROR_INIT;
    char large[8192];
    struct pool pool;

    memset(large, ' ', sizeof(large) - 1);
    large[sizeof(large) - 1] = 0;
    limits_write(f, large);
    assert_true(pool_measure(&pool, &f->host->registry, &error) < 0);
    assert_words(&error, path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_true(pool_measure(&pool, &f->host->registry, &error) < 0);
    assert_words(&error, path);
}

/* ---- of users ---- */

static void policy_write(struct fixture *f, const char *text)
{
    CLEANUP(text_free) char *path = text_format("%s/policy.json", f->host->directory);

    text_write(path, text);
    assert_int_equal(setenv("HOSPES_POLICY", path, 1), 0);
}

static void limits_of_a_user(void **state)
{
    struct fixture *f = *state;
    char text[512];
    struct pool pool;

    policy_write(f, "{\"cpus\": 8, \"users\": {\"*\": {\"machines\": 3, \"cpus\": 9, \"disk\": 70},"
                    " \"nobody-of-that-name\": {\"machines\": 1, \"cpus\": 1}}}");
    limits_write(f, "{\"memory\": 5, \"machines\": 4, \"disk\": 60}");
    measure(f, &pool);
    assert_int_equal(pool.limits.cpus, 8);
    assert_int_equal(pool.limits.machines, 3);
    assert_int_equal(pool.limits.memory, 5);
    assert_int_equal(pool.limits.disk, 60);
    assert_non_null(strstr(quota_by(&pool.limits, QUOTA_CPUS), "the limit \"cpus\" in /"));
    assert_non_null(
        strstr(quota_by(&pool.limits, QUOTA_MACHINES), "the limit \"machines\" of \"*\" in /"));
    assert_string_equal(quota_by(&pool.limits, QUOTA_DISK), "pool.json");
    pool_release(&pool);

    /* One's own entry, and no other beside it. */
    snprintf(text, sizeof(text), "{\"users\": {\"*\": {\"machines\": 0}, \"%u\": {\"memory\": 4}}}",
             (unsigned)geteuid());
    policy_write(f, text);
    measure(f, &pool);
    assert_int_equal(pool.limits.machines, 4);
    assert_int_equal(pool.limits.memory, 4);
    pool_release(&pool);
    unsetenv("HOSPES_POLICY");
}

static void policies_that_are_none(void **state)
{
    static const struct {
        const char *text, *words;
    } rows[] = {
        {"{\"users\": []}", "\"users\" is to be an object (line 1)"},
        {"{\"users\":\n{\"alice\": 5}}", "\"alice\" of \"users\" is to be an object (line 2)"},
        {"{\"cpus\": 1, \"users\":\n{\"a\": {\"cpus\": 2},\n\"alice\":\n{\"cpus\": \"x\"}}}",
         "\"cpus\" is to be a number, in bytes if it is of memory or disks (line 4)"},
        {"{\"users\": {\"a\": {\n\"memory_reserve\": 2}}}",
         "does not know, \"memory_reserve\" (line 2)"},
        {"{\"users\": {\"a\": {}, \"a\": {}}}", "it is no JSON object (line 1: "},
    };
    struct fixture *f = *state;
    struct error error = ERROR_INIT;
    struct pool pool;

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        policy_write(f, rows[i].text);
        assert_int_equal(pool_measure(&pool, &f->host->registry, &error), -EINVAL);
        assert_non_null(strstr(error.message, "/policy.json\""));
        assert_words(&error, rows[i].words);
    }
    /* Who names one wants it. */
    setenv("HOSPES_POLICY", "/nonexistent/policy.json", 1);
    assert_true(pool_measure(&pool, &f->host->registry, &error) < 0);
    assert_words(&error, "/nonexistent/policy.json");
    unsetenv("HOSPES_POLICY");
}

static void disks(void **state)
{
    struct fixture *f = *state;
    struct error error = ERROR_INIT;
    struct record record;
    struct pool pool;

    for (unsigned i = 0; i < 2; i++) {
        CLEANUP(text_free) char *path = NULL;

        record_make(&record, i ? "web" : "db", 1, 64 * MIB, 0);
        machine_put(f, &record);
        path = registry_path(&f->host->registry, i ? "web" : "db", "disk.raw");
        text_write(path, "");
        /* Sparse: what it may come to counts. */
        assert_int_equal(truncate(path, (i + 1) * (off_t)GIB), 0);
    }
    limits_write(f, "{\"disk\": 4294967296}");
    measure(f, &pool);
    assert_int_equal(pool.disk, 3 * GIB);
    assert_int_equal(pool_admit_disk(&pool, GIB, &error), 0);
    assert_int_equal(pool_admit_disk(&pool, GIB + 512, &error), -EDQUOT);
    assert_words(&error, "pool.json allows 4 GiB for all machines' disks, and those that there are "
                         "have 3 GiB");
    pool.limits.disk = GIB;
    assert_int_equal(pool_admit_disk(&pool, 512, &error), -EDQUOT);
    error_release(&error);
    pool_release(&pool);
}

/* ---- machines ---- */

static void machines_that_run(void **state)
{
    struct fixture *f = *state;
    struct record record;
    struct pool pool;
    pid_t pid;

    pid = machine_run(f, "web", 2, 1024 * MIB, 256 * MIB);
    machine_run(f, "db", 3, 512 * MIB, 0);
    record_make(&record, "idle", 4, 2048 * MIB, 0);
    machine_put(f, &record);
    measure(f, &pool);
    assert_int_equal(pool.count, 2);
    assert_string_equal(pool.machines[0].name, "db");
    assert_string_equal(pool.machines[1].name, "web");
    assert_int_equal(pool.machines[0].memory_min, 512 * MIB);
    assert_int_equal(pool.machines[1].memory_min, 256 * MIB);
    assert_int_equal(pool.machines[1].memory, 1024 * MIB);
    assert_int_equal(pool.machines[1].cpus, 2);
    assert_int_equal(pool.machines[1].pid, pid);
    assert_true(pool.machines[1].own > 0);
    assert_int_equal(pool.promised, 768 * MIB);
    assert_int_equal(pool.granted, 1536 * MIB);
    assert_int_equal(pool.cpus_granted, 5);
    assert_int_equal(pool.own, pool.machines[0].own + pool.machines[1].own);
    pool_release(&pool);
    assert_int_equal(pool.count, 0);
    assert_null(pool.machines);
}

/* What its process holds is the guest's memory then, for the most part. */
static void a_machine_that_merges(void **state)
{
    struct fixture *f = *state;
    struct record record;
    struct pool pool;

    record_make(&record, "web", 1, 1024 * MIB, 0);
    record.description.merge = true;
    record.merge_domain = strdup("blue");
    machine_put(f, &record);
    state_put(f, "web", machine_lock(f, "web", true), true);
    measure(f, &pool);
    assert_true(pool.machines[0].merging);
    assert_string_equal(pool.machines[0].merge_domain, "blue");
    assert_int_equal(pool.machines[0].own, 0);
    assert_true(pool.machines[0].resident > 0);
    pool_release(&pool);
}

/* It is locked and promised nothing that can be told: it counts as one. */
static void a_machine_that_is_broken(void **state)
{
    struct fixture *f = *state;
    struct pool pool;

    machine_file(f->host, "web", "machine.json", "{");
    machine_lock(f, "web", false);
    measure(f, &pool);
    assert_int_equal(pool.count, 1);
    assert_int_equal(pool.promised, 0);
    assert_null(pool.machines[0].merge_domain);
    pool_release(&pool);
}

/* Who holds the lock begins or ends: what is written down is of another one, whose number any
 * process may have by now. Its pages may be offered for merging at any moment, if it is made so
 * (P2). */
static void a_machine_that_has_not_written(void **state)
{
    struct fixture *f = *state;
    struct record record;
    struct pool pool;
    pid_t pid;

    record_make(&record, "begins", 1, GIB, 0);
    record.description.merge = true;
    record.merge_domain = strdup("blue");
    machine_put(f, &record);
    machine_lock(f, "begins", false);
    state_put(f, "begins", 1, false);
    record_make(&record, "plain", 1, GIB, 0);
    machine_put(f, &record);
    machine_lock(f, "plain", false);
    state_put(f, "plain", 1, true);
    measure(f, &pool);
    assert_int_equal(pool.count, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(pool.machines[i].pid, 0);
        assert_int_equal(pool.machines[i].own + pool.machines[i].resident, 0);
    }
    assert_true(pool.machines[0].merging);
    assert_false(pool.machines[1].merging);
    assert_int_equal(pool.promised, 2 * GIB);
    pool_release(&pool);
    /* It has: another domain's machine was there first, and it does not merge. */
    record_make(&record, "begun", 1, GIB, 0);
    record.description.merge = true;
    machine_put(f, &record);
    pid = machine_lock(f, "begun", true);
    state_put(f, "begun", pid, false);
    measure(f, &pool);
    assert_string_equal(pool.machines[1].name, "begun");
    assert_int_equal(pool.machines[1].pid, pid);
    assert_false(pool.machines[1].merging);
    pool_release(&pool);
}

static void machines_that_cannot_be_read(void **state)
{
    struct fixture *f = *state;
    struct error error = ERROR_INIT;
    struct pool pool;

    text_write(f->host->registry.machines, "no directory");
    assert_int_equal(pool_measure(&pool, &f->host->registry, &error), -ENOTDIR);
    assert_words(&error, f->host->registry.machines);
    assert_null(pool.machines);
}

/* ---- room, and who is admitted ---- */

static struct pool pool_of(uint64_t memory, uint64_t reserve)
{
    return (struct pool){.memory = memory,
                         .memory_available = memory,
                         .cpus = 4,
                         .limits = {.memory_reserve = reserve,
                                    .memory = UINT64_MAX,
                                    .cpus = UINT64_MAX,
                                    .machines = UINT64_MAX,
                                    .disk = UINT64_MAX}};
}

static void room(void **state)
{
    struct pool pool = pool_of(8 * GIB, GIB);

    assert_int_equal(pool_room(&pool), 7 * GIB);
    pool.promised = 2 * GIB;
    assert_int_equal(pool_room(&pool), 5 * GIB);
    pool.limits.memory = 3 * GIB;
    assert_int_equal(pool_room(&pool), GIB);
    pool.promised = 3 * GIB;
    assert_int_equal(pool_room(&pool), 0);
    /* Limits may have been lowered since. */
    pool.promised = 4 * GIB;
    assert_int_equal(pool_room(&pool), 0);
    pool.promised = 0;
    pool.limits.memory_reserve = 9 * GIB;
    assert_int_equal(pool_room(&pool), 0);
}

/* Of a machine "new". Returns what pool_admit() does; `words` have to be in what it says. */
static int admit(const struct pool *pool, unsigned cpus, uint64_t memory, uint64_t memory_min,
                 const char *words)
{
    struct error error = ERROR_INIT;
    struct record record;
    int r;

    record_make(&record, "new", cpus, memory, memory_min);
    r = pool_admit(pool, &record, &error);
    record_release(&record);
    assert_int_equal(error.message != NULL, r != 0);
    if (r)
        assert_words(&error, words);
    return r;
}

static void admitted_by_numbers_of_machines(void **state)
{
    struct pool pool = pool_of(8 * GIB, GIB);

    pool.limits.machines = 2;
    pool.count = 1;
    assert_int_equal(admit(&pool, 1, GIB, 0, NULL), 0);
    pool.count = 2;
    assert_int_equal(admit(&pool, 1, GIB, 0, "2 machines run, and pool.json allows 2 at once"),
                     -EDQUOT);
    pool.limits.machines = 0;
    pool.count = 0;
    assert_int_equal(admit(&pool, 1, GIB, 0, "0 machines run, and pool.json allows 0 at once"),
                     -EDQUOT);
}

static void admitted_by_cpus(void **state)
{
    struct pool pool = pool_of(8 * GIB, GIB);

    pool.cpus_granted = 100;
    assert_int_equal(admit(&pool, 4, GIB, 0, NULL), 0);
    pool.limits.cpus = 104;
    assert_int_equal(admit(&pool, 4, GIB, 0, NULL), 0);
    pool.limits.cpus = 103;
    assert_int_equal(admit(&pool, 4, GIB, 0,
                           "it wants 4 CPUs; pool.json allows 103 in all, and 100 are given"),
                     -EDQUOT);
}

static void admitted_by_memory(void **state)
{
    struct pool pool = pool_of(8 * GIB, GIB);

    pool.promised = 4 * GIB;
    assert_int_equal(admit(&pool, 1, 3 * GIB, 0, NULL), 0);
    assert_int_equal(admit(&pool, 1, 3 * GIB + 2 * MIB, 0,
                           "it is to have 3 GiB of memory at the least, and 3 GiB can be promised "
                           "(8 GiB of the host, less 1 GiB for itself, less 4 GiB promised"),
                     -ENOMEM);
    /* Its minimum is what counts. */
    assert_int_equal(admit(&pool, 1, 16 * GIB, 3 * GIB, NULL), 0);
    pool.limits.memory_reserve = 16 * GIB;
    assert_int_equal(admit(&pool, 1, GIB, 16 * MIB, "16 MiB of memory at the least, and 0 B can"),
                     -ENOMEM);
}

static void admitted_by_the_limit_of_memory(void **state)
{
    struct pool pool = pool_of(8 * GIB, GIB);

    pool.limits.memory = 6 * GIB;
    pool.promised = 4 * GIB;
    assert_int_equal(admit(&pool, 1, 2 * GIB, 0, NULL), 0);
    /* The host's reserve is beside that, and no part of the sum. */
    assert_int_equal(admit(&pool, 1, 3 * GIB, 0,
                           "3 GiB of memory at the least, and 2 GiB can be promised (6 GiB that "
                           "pool.json allows in all, less 4 GiB promised to others"),
                     -EDQUOT);
    /* A limit that the host does not come up to is not what is in the way. */
    pool.limits.memory = 8 * GIB - 2 * MIB;
    assert_int_equal(admit(&pool, 1, 4 * GIB, 0,
                           "3 GiB can be promised (8 GiB of the host, less 1 GiB for itself, less "
                           "4 GiB promised to others"),
                     -ENOMEM);
}

/* The machine's own share does not count twice. */
static void changed(void **state)
{
    struct pool pool = pool_of(8 * GIB, GIB);
    struct pool_machine machines[] = {
        {.name = (char *)"db", .cpus = 2, .memory = 4 * GIB, .memory_min = 3 * GIB},
        {.name = (char *)"new", .cpus = 3, .memory = 4 * GIB, .memory_min = 2 * GIB}};
    struct error error = ERROR_INIT;
    struct record record;

    pool.machines = machines;
    pool.count = 2;
    pool.promised = 5 * GIB;
    pool.cpus_granted = 5;
    pool.limits.machines = 2;
    pool.limits.cpus = 7;
    record_make(&record, "new", 5, 8 * GIB, 4 * GIB);
    assert_int_equal(pool_admit_change(&pool, &record, NULL), 0);
    assert_int_equal(pool_admit(&pool, &record, NULL), -EDQUOT);
    record.description.cpus = 6;
    assert_int_equal(pool_admit_change(&pool, &record, &error), -EDQUOT);
    assert_words(&error, "it wants 6 CPUs; pool.json allows 7 in all, and 2 are given");
    record.description.cpus = 5;
    record.memory_min = 4 * GIB + 2 * MIB;
    assert_int_equal(pool_admit_change(&pool, &record, &error), -ENOMEM);
    assert_words(&error, "less 3 GiB promised to others");
    record.memory_min = GIB;
    pool.limits.machines = 1;
    assert_int_equal(pool_admit_change(&pool, &record, &error), -EDQUOT);
    assert_words(&error, "1 machines run");
    record_release(&record);
    /* The pool is as it was. */
    assert_int_equal(pool.count, 2);
    assert_int_equal(pool.promised, 5 * GIB);
    assert_int_equal(pool.cpus_granted, 5);
    /* One that is not in it has no share. */
    pool.limits.machines = 2;
    record_make(&record, "other", 1, GIB, 0);
    assert_int_equal(pool_admit_change(&pool, &record, &error), -EDQUOT);
    assert_words(&error, "2 machines run");
    record_release(&record);
}

/* ---- merging ---- */

static void merging(void **state)
{
    static char db[] = "db", web[] = "web", blue[] = "blue", red[] = "red";
    struct pool_machine machines[] = {{.name = db, .merging = true, .merge_domain = blue},
                                      {.name = web, .merging = false, .merge_domain = red}};
    const struct pool pool = {.machines = machines, .count = 2};
    const char *other = NULL;
    struct record record;

    record_make(&record, "new", 1, GIB, 0);
    record.description.merge = true;
    assert_false(pool_may_merge(&pool, &record, &other));
    assert_string_equal(other, "db");
    record.merge_domain = strdup("red");
    other = NULL;
    assert_false(pool_may_merge(&pool, &record, &other));
    assert_string_equal(other, "db");
    /* Of what does not merge the domain says nothing. */
    strcpy(record.merge_domain, "blu");
    assert_false(pool_may_merge(&pool, &record, &other));
    free(record.merge_domain);
    record.merge_domain = strdup("blue");
    other = NULL;
    assert_true(pool_may_merge(&pool, &record, &other));
    assert_null(other);
    machines[0].merge_domain = NULL;
    assert_false(pool_may_merge(&pool, &record, &other));
    free(record.merge_domain);
    record.merge_domain = NULL;
    assert_true(pool_may_merge(&pool, &record, &other));
    /* A machine is not in its own way, whatever domain it had. */
    machines[0].merge_domain = blue;
    assert_int_equal(description_set(&record.description.name, "db"), 0);
    assert_true(pool_may_merge(&pool, &record, &other));
    machines[1].merging = true;
    assert_false(pool_may_merge(&pool, &record, &other));
    assert_string_equal(other, "web");
    record_release(&record);
}

/* ---- the lock ---- */

static void lock(void **state)
{
    struct fixture *f = *state;
    int pipes[2], fd = -1, inherited;
    struct error error = ERROR_INIT;
    char byte = 0;
    pid_t child;

    assert_int_equal(pool_lock(&f->host->registry, &fd, &error), -ENOENT);
    assert_int_equal(fd, -1);
    assert_words(&error, "/pool.lock\": no such file or directory");
    assert_int_equal(directory_make(f->host->registry.machines, NULL), 0);
    assert_int_equal(pool_lock(&f->host->registry, &fd, NULL), 0);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(pipe(pipes), 0);
    inherited = fd;
    child = fork();
    if (!child) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(inherited);
        byte = pool_lock(&f->host->registry, &fd, NULL) ? 'n' : 'y';
        _exit(write(pipes[1], &byte, 1) != 1);
    }
    assert_true(child > 0);
    close(pipes[1]);
    assert_int_equal(poll(&(struct pollfd){.fd = pipes[0], .events = POLLIN}, 1, WATCH_MS), 0);
    close(fd);
    assert_int_equal(read(pipes[0], &byte, 1), 1);
    assert_int_equal(byte, 'y');
    assert_int_equal(waitpid(child, NULL, 0), child);
    close(pipes[0]);
    /* And by its end it is free again. */
    assert_int_equal(pool_lock(&f->host->registry, &fd, NULL), 0);
    close(fd);
}

/* ---- limits for all ---- */

/* In an /etc of its own, so it comes last. */
static void limits_for_all(void **state)
{
    struct fixture *f = *state;
    struct error error = ERROR_INIT;
    struct pool pool;

    if (!namespace_enter(CLONE_NEWNS) || mount("none", "/etc", "tmpfs", 0, NULL) < 0) {
        print_message("this host permits no user namespaces\n");
        skip();
    }
    assert_int_equal(mkdir("/etc/hospes", 0700), 0);
    text_write("/etc/hospes/pool.json", "{\"memory_reserve\": 300, \"memory\": 500, \"cpus\": 4}");
    assert_limits(f, 300, 500, 4, UINT64_MAX);
    /* A user cannot loosen them. */
    limits_write(f, "{\"memory_reserve\": 200, \"memory\": 600, \"cpus\": 5, \"machines\": 6}");
    assert_limits(f, 300, 500, 4, 6);
    limits_write(f, "{\"memory_reserve\": 400, \"memory\": 400, \"cpus\": 3}");
    assert_limits(f, 400, 400, 3, UINT64_MAX);
    text_write("/etc/hospes/pool.json", "{\"disks\": 1}");
    assert_int_equal(pool_measure(&pool, &f->host->registry, &error), -EINVAL);
    assert_words(&error, "\"/etc/hospes/pool.json\"");
}

#define POOL_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        POOL_TEST(limits_by_default),
        POOL_TEST(limits_of_a_file),
        POOL_TEST(limits_that_are_none),
        POOL_TEST(limits_that_cannot_be_read),
        POOL_TEST(limits_of_a_user),
        POOL_TEST(policies_that_are_none),
        POOL_TEST(disks),
        POOL_TEST(machines_that_run),
        POOL_TEST(a_machine_that_merges),
        POOL_TEST(a_machine_that_is_broken),
        POOL_TEST(a_machine_that_has_not_written),
        POOL_TEST(machines_that_cannot_be_read),
        cmocka_unit_test(room),
        cmocka_unit_test(admitted_by_numbers_of_machines),
        cmocka_unit_test(admitted_by_cpus),
        cmocka_unit_test(admitted_by_memory),
        cmocka_unit_test(admitted_by_the_limit_of_memory),
        cmocka_unit_test(changed),
        cmocka_unit_test(merging),
        POOL_TEST(lock),
        POOL_TEST(limits_for_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
