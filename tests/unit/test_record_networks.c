/* SPDX-License-Identifier: Apache-2.0 */
/* The networks of a machine.json: written, read again, and read as they once were written. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include <errno.h>

#include "host/record.h"

static void check_interface(const struct record *record, unsigned index, enum machine_network kind,
                            const char *name, const char *tap, const char *mac)
{
    const struct machine_interface *interface = &record->description.interfaces[index];

    assert_true(index < record->description.interface_count);
    assert_int_equal(interface->kind, kind);
    assert_false(interface->implied);
    assert_string_equal(interface->name ? interface->name : "", name);
    assert_string_equal(interface->tap ? interface->tap : "", tap);
    assert_string_equal(interface->mac ? interface->mac : "", mac);
}

static int record_parse(const char *networks, struct record *record)
{
    json_t *json =
        json_pack("{s:i, s:s, s:s}", "version", RECORD_VERSION, "name", "web", "kernel", "/k");
    json_t *more = json_loads(networks, 0, NULL);
    int r;

    assert_non_null(json);
    assert_non_null(more);
    assert_int_equal(json_object_update(json, more), 0);
    r = record_from_json(json, NULL, record, NULL);
    json_decref(more);
    json_decref(json);
    return r;
}

static void check_refused(const char *networks)
{
    struct record record;

    assert_int_equal(record_parse(networks, &record), -EINVAL);
    record_release(&record);
}

static void test_again(void **state)
{
    struct record record, again;
    json_t *json;

    assert_int_equal(record_parse("{\"networks\": ["
                                  "{\"kind\": \"named\", \"name\": \"lab\"},"
                                  "{\"kind\": \"tap\", \"tap\": \"tap0\"},"
                                  "{\"kind\": \"user\", \"mac\": \"52:54:00:00:00:09\"},"
                                  "{\"kind\": \"named\", \"name\": \"lab\"}]}",
                                  &record),
                     0);
    json = record_to_json(&record, NULL);
    assert_non_null(json);
    assert_null(json_object_get(json, "network"));
    assert_int_equal(record_from_json(json, NULL, &again, NULL), 0);
    assert_int_equal(again.description.interface_count, 4);
    check_interface(&again, 0, MACHINE_NET_NAMED, "lab", "", "");
    check_interface(&again, 1, MACHINE_NET_TAP, "", "tap0", "");
    check_interface(&again, 2, MACHINE_NET_USER, "", "", "52:54:00:00:00:09");
    check_interface(&again, 3, MACHINE_NET_NAMED, "lab", "", "");
    json_decref(json);
    record_release(&record);
    record_release(&again);
}

static void test_none(void **state)
{
    struct record record;

    assert_int_equal(record_parse("{\"networks\": []}", &record), 0);
    assert_int_equal(record.description.interface_count, 0);
    record_release(&record);
}

static void test_as_it_was(void **state)
{
    struct record record;

    assert_int_equal(record_parse("{}", &record), 0);
    assert_int_equal(record.description.interface_count, 1);
    check_interface(&record, 0, MACHINE_NET_USER, "", "", "");
    record_release(&record);
    assert_int_equal(record_parse("{\"network\": \"tap\", \"tap\": \"tap0\","
                                  "\"mac\": \"52:54:00:00:00:09\"}",
                                  &record),
                     0);
    assert_int_equal(record.description.interface_count, 1);
    check_interface(&record, 0, MACHINE_NET_TAP, "", "tap0", "52:54:00:00:00:09");
    record_release(&record);
    assert_int_equal(record_parse("{\"network\": \"none\"}", &record), 0);
    check_interface(&record, 0, MACHINE_NET_NONE, "", "", "");
    record_release(&record);
}

static void test_refused(void **state)
{
    check_refused("{\"networks\": {}}");
    check_refused("{\"networks\": [\"user\"]}");
    check_refused("{\"networks\": [{\"kind\": \"bridge\"}]}");
    check_refused("{\"networks\": [{\"kind\": \"named\"}]}");
    check_refused("{\"networks\": [{\"kind\": \"named\", \"name\": \"a/b\"}]}");
    check_refused("{\"networks\": [{\"kind\": \"user\", \"more\": 1}]}");
    check_refused("{\"networks\": [{}, {}, {}, {}, {}]}");
    check_refused("{\"networks\": [], \"network\": \"user\"}");
    check_refused("{\"network\": \"lab\"}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_again),
        cmocka_unit_test(test_none),
        cmocka_unit_test(test_as_it_was),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
