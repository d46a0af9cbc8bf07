/* SPDX-License-Identifier: Apache-2.0 */
/* What the host tells of waiting for CPUs, and what is read of a process's virtual CPUs. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/thread.h"
#include "cgroup_tree.h"
#include "host/cpu_time.h"
#include "host/pressure.h"

static const char *written(char *path, const char *text)
{
    FILE *file;
    int fd;

    snprintf(path, 64, "/tmp/hospes-test-XXXXXX");
    fd = mkstemp(path);
    assert_true(fd >= 0);
    file = fdopen(fd, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    return path;
}

static int read_text(const char *text, struct pressure *pressure)
{
    char path[64];
    int r = pressure_read(written(path, text), pressure);

    unlink(path);
    return r;
}

static void reads_what_the_kernel_tells(void **state)
{
    static const char *const wrong[] = {"", "full avg10=1.00 avg60=2.00", "some avg10=1.00",
                                        "some avg10=nan avg60=1.00", "some avg10=1 avg60=inf"};
    struct pressure pressure;

    assert_int_equal(read_text("some avg10=52.96 avg60=42.95 avg300=45.90 total=12396800699\n"
                               "full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
                               &pressure),
                     0);
    assert_true(pressure.recent > 52.9 && pressure.recent < 53.0);
    assert_true(pressure.minute > 42.9 && pressure.minute < 43.0);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(read_text(wrong[i], &pressure), -EINVAL);
    assert_int_equal(pressure_read("/no/such/file", &pressure), -ENOENT);
}

static void a_file_that_is_named_counts(void **state)
{
    struct error error = ERROR_INIT;
    struct pressure pressure;
    char path[64];

    setenv("HOSPES_CPU_PRESSURE", written(path, "some avg10=7.00 avg60=8.00 "), 1);
    assert_int_equal(pressure_measure(&pressure, NULL), 0);
    assert_true(pressure.recent == 7 && pressure.minute == 8);
    unlink(path);
    assert_int_equal(pressure_measure(&pressure, &error), -ENOENT);
    assert_non_null(error.message);
    error_release(&error);
    unsetenv("HOSPES_CPU_PRESSURE");
    /* Whatever it is, this host tells something. */
    assert_int_equal(pressure_measure(&pressure, NULL), 0);
    assert_true(pressure.recent >= 0 && pressure.recent <= 100);
}

static void counts_where_the_kernel_does_not_tell(void **state)
{
    struct pressure pressure;
    char path[64];

    written(path, "3.24 4.09 4.16 6/130 24515\n");
    assert_int_equal(pressure_count(path, 4, &pressure), 0);
    assert_true(pressure.recent == 100 && pressure.minute == 100);
    /* Five, and the one that looks. */
    assert_int_equal(pressure_count(path, 5, &pressure), 0);
    assert_true(pressure.recent == 0 && pressure.minute == 0);
    unlink(path);
    assert_int_equal(pressure_count(path, 5, &pressure), -ENOENT);
}

static void memory_is_told_by_groups_too(void **state)
{
    struct host_fixture *fixture = host_fixture_new();
    const char *root = fixture->directory;
    struct pressure pressure = pressure_of_memory(root);

    assert_true(pressure.recent == 0 && pressure.minute == 0);
    tree_put(root, "proc/pressure/memory", "some avg10=3.00 avg60=9.00 avg300=0.00 total=1\n");
    pressure = pressure_of_memory(root);
    assert_true(pressure.recent == 3 && pressure.minute == 9);
    tree_put(root, "proc/self/mountinfo", TREE_NEW);
    tree_put(root, "proc/self/cgroup", "0::/a/b\n");
    tree_put(root, "sys/fs/cgroup/cgroup.controllers", "cpu memory\n");
    tree_put(root, "sys/fs/cgroup/a/b/memory.pressure", "some avg10=1.00 avg60=2.00 avg300=0.00\n");
    pressure = pressure_of_memory(root);
    assert_true(pressure.recent == 3 && pressure.minute == 9);
    /* The one above has the limit that all in it wait for. */
    tree_put(root, "sys/fs/cgroup/a/memory.pressure", "some avg10=40.50 avg60=8.00 avg300=0.00\n");
    pressure = pressure_of_memory(root);
    assert_true(pressure.recent == 40.5 && pressure.minute == 9);
    tree_put(root, "sys/fs/cgroup/a/memory.pressure", "none\n");
    pressure = pressure_of_memory(root);
    assert_true(pressure.recent == 3);
    host_fixture_free(fixture);
}

/* ---- the time of virtual CPUs ---- */

/* All on one CPU, so that one keeps the other waiting. */
static void *spin(void *arg)
{
    atomic_bool *end = arg;
    cpu_set_t all, first;
    unsigned cpu = 0;

    CPU_ZERO(&first);
    if (!sched_getaffinity(0, sizeof(all), &all)) {
        while (!CPU_ISSET(cpu, &all))
            cpu++;
        CPU_SET(cpu, &first);
        (void)!sched_setaffinity(0, sizeof(first), &first);
    }
    while (!atomic_load(end))
        continue;
    return NULL;
}

/* Runs them for half a second, and, as the host may do something else, until the first has wanted
 * `per_cent` of the time since it began, for 20 s at the most. Returns what it has, in per cent. */
static uint64_t wanted_by(const char *first, const char *second, uint64_t per_cent)
{
    const struct timespec pause = {.tv_nsec = 500000000};
    uint64_t begin = monotonic_ns(), wanted = 0, age;
    pthread_t threads[2];
    atomic_bool end = false;

    assert_int_equal(thread_start(&threads[0], first, spin, &end), 0);
    assert_int_equal(thread_start(&threads[1], second, spin, &end), 0);
    do {
        nanosleep(&pause, NULL);
        age = monotonic_ns() - begin;
        if (cpu_time_wanted(getpid(), &wanted))
            wanted = 0;
    } while (wanted < age / 100 * per_cent && age < 20000000000);
    age = monotonic_ns() - begin;
    atomic_store(&end, true);
    for (unsigned i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    return wanted * 100 / age;
}

static void counts_what_virtual_cpus_want(void **state)
{
    uint64_t wanted;

    assert_int_equal(cpu_time_wanted(getpid(), &wanted), -ENOENT);
    /* It runs for half of it, and waits for the other half. */
    assert_in_range(wanted_by("cpu0 web", "cpus", 80), 80, 101);
    assert_in_range(wanted_by("cpu0 web", "cpu15 web", 160), 160, 202);
    assert_int_equal(wanted_by("disk 0", "a cpu0", 0), 0);
    assert_int_not_equal(cpu_time_wanted(-1, &wanted), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_the_kernel_tells),
        cmocka_unit_test(a_file_that_is_named_counts),
        cmocka_unit_test(counts_where_the_kernel_does_not_tell),
        cmocka_unit_test(memory_is_told_by_groups_too),
        cmocka_unit_test(counts_what_virtual_cpus_want),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
