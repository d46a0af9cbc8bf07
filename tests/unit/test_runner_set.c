/* SPDX-License-Identifier: Apache-2.0 */
/* What can be set of a machine that does not run, and limits in its machine.json. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
/* clang-format on */
#include <errno.h>

#include "host/record.h"
#include "host/runner_set.h"
#include "image/file.h"
#include "image/store.h"

struct fixture {
    char directory[40];
    struct registry registry;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct record record;
    char path[80];

    assert_non_null(f);
    strcpy(f->directory, "/tmp/hospes-test-XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    f->registry = (struct registry){.machines = f->directory, .run = f->directory};
    snprintf(path, sizeof(path), "%s/web", f->directory);
    assert_int_equal(mkdir(path, 0700), 0);
    record_init(&record);
    assert_int_equal(description_set(&record.description.name, "web"), 0);
    assert_int_equal(description_set(&record.description.engine, "auto"), 0);
    assert_int_equal(description_set(&record.description.kernel, "/boot/kernel"), 0);
    record.description.limits.disk_iops = 7;
    assert_int_equal(record_write(&f->registry, "web", &record, NULL), 0);
    record_release(&record);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(directory_remove(f->directory, NULL), 0);
    free(f);
    return 0;
}

static int set(struct fixture *f, const char *params, struct error *error)
{
    json_t *json = json_loads(params, 0, NULL);
    int r;

    assert_non_null(json);
    r = runner_set_stopped(&f->registry, "web", json, error);
    json_decref(json);
    return r;
}

static struct machine_limits limits_of(struct fixture *f)
{
    struct record record;
    struct machine_limits limits;

    assert_int_equal(record_read(&f->registry, "web", &record, NULL), 0);
    limits = record.description.limits;
    assert_string_equal(record.description.kernel, "/boot/kernel");
    record_release(&record);
    return limits;
}

static void assert_limits(struct fixture *f, uint64_t disk_iops, uint64_t disk_bytes, uint64_t in,
                          uint64_t out)
{
    struct machine_limits limits = limits_of(f);

    assert_int_equal(limits.disk_iops, disk_iops);
    assert_int_equal(limits.disk_bytes, disk_bytes);
    assert_int_equal(limits.net_rate_in, in);
    assert_int_equal(limits.net_rate_out, out);
}

static char *file_of(struct fixture *f)
{
    char path[80], *text = NULL;

    snprintf(path, sizeof(path), "%s/web/machine.json", f->directory);
    assert_int_equal(file_read_text(path, 1 << 20, &text, NULL), 0);
    return text;
}

static void sets_what_is_given(void **state)
{
    struct fixture *f = *state;
    char *text;

    assert_limits(f, 7, 0, 0, 0);
    assert_int_equal(set(f, "{\"disk_bytes\": 20971520}", NULL), 0);
    assert_limits(f, 7, 20971520, 0, 0);
    assert_int_equal(set(f, "{\"net_rate\": 5000, \"disk_iops\": 500}", NULL), 0);
    assert_limits(f, 500, 20971520, 5000, 5000);
    text = file_of(f);
    assert_non_null(strstr(text, "\"net_rate\": 5000"));
    assert_null(strstr(text, "net_rate_in"));
    free(text);
    /* The word for both directions comes before those for one. */
    assert_int_equal(set(f, "{\"net_rate_out\": 6000, \"net_rate\": 7000}", NULL), 0);
    assert_limits(f, 500, 20971520, 7000, 6000);
    assert_int_equal(set(f, "{\"net_rate_in\": 0}", NULL), 0);
    assert_limits(f, 500, 20971520, 0, 6000);
    assert_int_equal(set(f, "{\"net_rate\": 0, \"disk_iops\": 0, \"disk_bytes\": 0}", NULL), 0);
    assert_limits(f, 0, 0, 0, 0);
    text = file_of(f);
    assert_null(strstr(text, "limits"));
    free(text);
}

static void refuses_and_changes_nothing(void **state)
{
    static const char *const refused[] = {
        "{}",
        "{\"disk_iops\": \"5\"}",
        "{\"disk_iops\": 5.5}",
        "{\"disk_iops\": -1}",
        "{\"disk_iops\": 1000000001}",
        "{\"disk_bytes\": 1023}",
        "{\"disk_bytes\": 1125899906842625}",
        "{\"net_rate\": 9223372036854775807}",
        "{\"net_rate_in\": 1}",
        "{\"net_rate_out\": null}",
        "{\"disk_iops\": 5, \"disks\": 3}",
        "{\"memory\": 3}",
        "{\"memory\": 1073741825}", /* not of whole pages */
        "{\"memory_min\": 1099511627776}",
        "{\"cpus\": 0}",
        "{\"cpus\": 65}",
        "{\"cpus\": 4294967297}",
        "{\"cpus_min\": 3}", /* of two */
        "{\"cpus_min\": \"1\"}",
        "{\"cpus_online\": 1}", /* of a machine that runs only */
        "{\"cpu_weight\": 10001}",
        "{\"cpu_cap\": 6401}",
        "{\"size\": 268435456}", /* of a machine that runs only */
        "{\"cpus\": 4, \"reason\": \"because\"}",
    };
    struct fixture *f = *state;
    char *before = file_of(f), *after;

    for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
        struct error error = ERROR_INIT;

        assert_int_equal(set(f, refused[i], &error), -EINVAL);
        assert_true(error.usage);
        error_release(&error);
        after = file_of(f);
        assert_string_equal(before, after);
        free(after);
    }
    free(before);
}

static void resizes(void **state)
{
    struct fixture *f = *state;
    struct record record;

    assert_int_equal(
        set(f,
            "{\"cpus_min\": 3, \"cpus\": 4, \"memory\": 536870912, \"memory_min\": 268435456, "
            "\"cpu_weight\": 50, \"cpu_cap\": 80}",
            NULL),
        0);
    assert_int_equal(record_read(&f->registry, "web", &record, NULL), 0);
    assert_int_equal(record.description.cpus, 4);
    assert_int_equal(record.description.cpus_max, 0);
    assert_int_equal(record.description.memory, 512 << 20);
    assert_int_equal(record.memory_min, 256 << 20);
    assert_int_equal(record.cpus_min, 3);
    assert_int_equal(record_cpus_min(&record), 3);
    assert_int_equal(record.cpu_weight, 50);
    assert_int_equal(record.cpu_cap, 80);
    record_release(&record);
    /* Not below what it is promised. */
    assert_int_equal(set(f, "{\"memory\": 134217728}", NULL), -EINVAL);
    assert_int_equal(set(f, "{\"memory\": 134217728, \"memory_min\": 0}", NULL), 0);
    assert_int_equal(set(f, "{\"cpus\": 2}", NULL), -EINVAL);
    assert_int_equal(set(f, "{\"cpus\": 2, \"cpus_min\": 0}", NULL), 0);
    assert_int_equal(record_read(&f->registry, "web", &record, NULL), 0);
    assert_int_equal(record_cpus_min(&record), 2);
    record_release(&record);
}

/* How many it can have at the most follows. */
static void takes_more_cpus_than_the_most(void **state)
{
    struct fixture *f = *state;
    struct record record;

    assert_int_equal(record_read(&f->registry, "web", &record, NULL), 0);
    record.description.cpus = 1;
    record.description.cpus_max = 4;
    assert_int_equal(record_write(&f->registry, "web", &record, NULL), 0);
    record_release(&record);
    assert_int_equal(set(f, "{\"cpus\": 3}", NULL), 0);
    assert_int_equal(record_read(&f->registry, "web", &record, NULL), 0);
    assert_int_equal(record.description.cpus_max, 4);
    record_release(&record);
    assert_int_equal(set(f, "{\"cpus\": 6}", NULL), 0);
    assert_int_equal(record_read(&f->registry, "web", &record, NULL), 0);
    assert_int_equal(record.description.cpus_max, 6);
    record_release(&record);
}

/* And so does memory. */
static void takes_more_memory_than_the_most(void **state)
{
    struct fixture *f = *state;
    const struct {
        const char *params;
        uint64_t memory, most;
    } steps[] = {
        {"{\"memory\": 402653184}", 384 << 20, 512 << 20},
        {"{\"memory\": 1073741824}", 1 << 30, 1 << 30},
        {"{\"memory\": 268435456}", 256 << 20, 1 << 30},
    };
    struct record record;

    assert_int_equal(record_read(&f->registry, "web", &record, NULL), 0);
    record.description.memory = 256 << 20;
    record.description.memory_max = 512 << 20;
    assert_int_equal(record_write(&f->registry, "web", &record, NULL), 0);
    record_release(&record);
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        assert_int_equal(set(f, steps[i].params, NULL), 0);
        assert_int_equal(record_read(&f->registry, "web", &record, NULL), 0);
        assert_int_equal(record.description.memory, steps[i].memory);
        assert_int_equal(record_memory_max(&record), steps[i].most);
        record_release(&record);
    }
}

static void leaves_one_that_runs_alone(void **state)
{
    struct fixture *f = *state;
    int lock;

    assert_int_equal(registry_lock(&f->registry, "web", &lock, NULL), 0);
    assert_int_equal(set(f, "{\"disk_iops\": 5}", NULL), -EBUSY);
    close(lock);
    assert_int_equal(set(f, "{\"disk_iops\": 5}", NULL), 0);
    assert_limits(f, 5, 0, 0, 0);
}

/* ---- limits in machine.json ---- */

static int read_limits(const char *limits, struct machine_limits *found)
{
    json_t *json = json_pack("{s:i, s:s, s:s, s:o}", "version", 1, "name", "web", "kernel",
                             "/boot/kernel", "limits", json_loads(limits, JSON_DECODE_ANY, NULL));
    struct record record;
    int r;

    assert_non_null(json);
    r = record_from_json(json, NULL, &record, NULL);
    *found = record.description.limits;
    record_release(&record);
    json_decref(json);
    return r;
}

static void limits_are_read(void **state)
{
    static const char *const refused[] = {
        "5",
        "[]",
        "null",
        "{\"disk_iops\": true}",
        "{\"disk_iops\": -5}",
        "{\"disk_bytes\": 10}",
        "{\"net_rate\": 5000, \"net_rate_in\": 6000}",
        "{\"net_rate\": 1125899906842625}",
        "{\"net_speed\": 5000}",
    };
    struct machine_limits limits;

    assert_int_equal(read_limits("{}", &limits), 0);
    assert_int_equal(limits.disk_iops, 0);
    assert_int_equal(read_limits("{\"disk_iops\": 3, \"net_rate\": 4000}", &limits), 0);
    assert_int_equal(limits.disk_iops, 3);
    assert_int_equal(limits.net_rate_in, 4000);
    assert_int_equal(limits.net_rate_out, 4000);
    assert_int_equal(read_limits("{\"net_rate_out\": 4000, \"disk_bytes\": 2000}", &limits), 0);
    assert_int_equal(limits.net_rate_in, 0);
    assert_int_equal(limits.net_rate_out, 4000);
    assert_int_equal(limits.disk_bytes, 2000);
    for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
        assert_int_equal(read_limits(refused[i], &limits), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sets_what_is_given, setup, teardown),
        cmocka_unit_test_setup_teardown(refuses_and_changes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(resizes, setup, teardown),
        cmocka_unit_test_setup_teardown(takes_more_cpus_than_the_most, setup, teardown),
        cmocka_unit_test_setup_teardown(takes_more_memory_than_the_most, setup, teardown),
        cmocka_unit_test_setup_teardown(leaves_one_that_runs_alone, setup, teardown),
        cmocka_unit_test(limits_are_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
