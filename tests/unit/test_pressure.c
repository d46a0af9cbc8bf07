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
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/thread.h"
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

/* ---- the time of virtual CPUs ---- */

static void *spin(void *arg)
{
    atomic_bool *end = arg;

    while (!atomic_load(end))
        continue;
    return NULL;
}

/* What a thread of this name adds in a fifth of a second, in ns. */
static uint64_t wanted_by(const char *name)
{
    const struct timespec pause = {.tv_nsec = 200000000};
    uint64_t before = 0, after = 0, begin;
    atomic_bool end = false;
    pthread_t thread;

    assert_int_equal(thread_start(&thread, name, spin, &end), 0);
    /* It names itself. */
    nanosleep(&pause, NULL);
    begin = monotonic_ns();
    (void)!cpu_time_wanted(getpid(), &before);
    nanosleep(&pause, NULL);
    (void)!cpu_time_wanted(getpid(), &after);
    /* The kernel counts at its ticks. */
    assert_true(after - before < monotonic_ns() - begin + 50000000);
    atomic_store(&end, true);
    pthread_join(thread, NULL);
    return after - before;
}

static void counts_what_virtual_cpus_want(void **state)
{
    uint64_t wanted;

    assert_int_equal(cpu_time_wanted(getpid(), &wanted), -ENOENT);
    /* Most of it, whatever else the host does: to wait for a CPU is to want one. */
    assert_true(wanted_by("cpu0 web") > 100000000);
    assert_int_equal(wanted_by("cpus"), 0);
    assert_int_equal(wanted_by("disk 0"), 0);
    assert_int_not_equal(cpu_time_wanted(-1, &wanted), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_the_kernel_tells),
        cmocka_unit_test(a_file_that_is_named_counts),
        cmocka_unit_test(counts_where_the_kernel_does_not_tell),
        cmocka_unit_test(counts_what_virtual_cpus_want),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
