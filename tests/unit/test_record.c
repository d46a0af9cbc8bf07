/* SPDX-License-Identifier: Apache-2.0 */
/* machine.json: every field there and back, and everything that is no machine. */
#include <errno.h>

#include "host/record.h"
#include "host_fixture.h"

static int setup(void **state)
{
    *state = host_fixture_new();
    return 0;
}

static int teardown(void **state)
{
    host_fixture_free(*state);
    return 0;
}

static void set(char **field, const char *text)
{
    assert_int_equal(description_set(field, text), 0);
}

/* Every field has another value than it has by default. */
static void fill(struct record *record)
{
    struct machine_description *d = &record->description;

    record_init(record);
    set(&record->image, "debian");
    set(&record->created, "2026-01-02T03:04:05.678Z");
    set(&record->merge_domain, "ours");
    record->memory_min = 1ull << 30;
    record->cpus_min = 63;
    record->cpu_weight = 200;
    record->cpu_cap = 50;
    d->cpus_max = 64;
    d->merge = true;
    set(&d->name, "web");
    set(&d->engine, "translate,heat=0");
    set(&d->profile, "/cache/profile");
    set(&d->firmware, "/m/web/firmware");
    set(&d->kernel, "/m/web/kernel");
    set(&d->initrd, "/boot/initrd");
    set(&d->append, "console=ttyS0 \"quoted\" \xc3\xa9");
    set(&d->interfaces[0].mac, "52:54:00:12:34:56");
    d->interfaces[0].implied = false;
    d->cpus = 64;
    d->paging = 48;
    d->memory = 5ull << 30;
    d->memory_max = 9ull << 30;
    d->memory_balloon = true;
    d->virtio_console = true;
    set(&d->disks[0].path, "/m/web/disk.raw");
    set(&d->disks[1].path, "/m/webb/disk.raw");
    set(&d->disks[1].serial, "12345678901234567890");
    d->disks[1].read_only = true;
    set(&d->disks[2].path, "/m/web/deep/disk.raw");
    d->disks[2].ephemeral = true;
    d->disk_count = 3;
    d->forwards[0] = (struct net_forward){.host_port = 65535, .guest_port = 1};
    d->forwards[1] = (struct net_forward){.udp = true,
                                          .host_port = 53,
                                          .guest_port = 5353,
                                          .host_address = "192.168.100.200"};
    d->forward_count = 2;
}

static void assert_text(const char *a, const char *b)
{
    assert_int_equal(a != NULL, b != NULL);
    if (a)
        assert_string_equal(a, b);
}

static void assert_same(const struct record *a, const struct record *b)
{
    const struct machine_description *x = &a->description, *y = &b->description;

    assert_text(a->image, b->image);
    assert_text(a->created, b->created);
    assert_text(a->merge_domain, b->merge_domain);
    assert_int_equal(a->memory_min, b->memory_min);
    assert_int_equal(a->cpus_min, b->cpus_min);
    assert_int_equal(a->cpu_weight, b->cpu_weight);
    assert_int_equal(a->cpu_cap, b->cpu_cap);
    assert_int_equal(x->cpus_max, y->cpus_max);
    assert_int_equal(x->merge, y->merge);
    assert_text(x->name, y->name);
    assert_text(x->engine, y->engine);
    assert_text(x->profile, y->profile);
    assert_text(x->firmware, y->firmware);
    assert_text(x->kernel, y->kernel);
    assert_text(x->initrd, y->initrd);
    assert_text(x->append, y->append);
    assert_int_equal(x->interface_count, y->interface_count);
    for (unsigned i = 0; i < x->interface_count; i++) {
        assert_int_equal(x->interfaces[i].kind, y->interfaces[i].kind);
        assert_text(x->interfaces[i].name, y->interfaces[i].name);
        assert_text(x->interfaces[i].tap, y->interfaces[i].tap);
        assert_text(x->interfaces[i].mac, y->interfaces[i].mac);
    }
    assert_int_equal(x->cpus, y->cpus);
    assert_int_equal(x->paging, y->paging);
    assert_int_equal(x->memory, y->memory);
    assert_int_equal(x->memory_max, y->memory_max);
    assert_int_equal(x->memory_balloon, y->memory_balloon);
    assert_int_equal(x->virtio_console, y->virtio_console);
    assert_int_equal(x->disk_count, y->disk_count);
    for (unsigned i = 0; i < x->disk_count; i++) {
        assert_text(x->disks[i].path, y->disks[i].path);
        assert_text(x->disks[i].serial, y->disks[i].serial);
        assert_int_equal(x->disks[i].read_only, y->disks[i].read_only);
        assert_int_equal(x->disks[i].ephemeral, y->disks[i].ephemeral);
    }
    assert_int_equal(x->forward_count, y->forward_count);
    for (unsigned i = 0; i < x->forward_count; i++) {
        assert_int_equal(x->forwards[i].udp, y->forwards[i].udp);
        assert_int_equal(x->forwards[i].host_port, y->forwards[i].host_port);
        assert_int_equal(x->forwards[i].guest_port, y->forwards[i].guest_port);
        assert_string_equal(x->forwards[i].host_address, y->forwards[i].host_address);
    }
}

static void every_field(void **state)
{
    struct record record, found;
    json_t *json;

    fill(&record);
    json = record_to_json(&record, "/m/web");
    assert_non_null(json);
    assert_int_equal(json_object_size(json), 26);
    assert_int_equal(record_from_json(json, "/m/web", &found, NULL), 0);
    assert_same(&record, &found);
    record_release(&found);
    json_decref(json);

    record.description.forward_count = 0;
    record.description.interfaces[0].kind = MACHINE_NET_TAP;
    set(&record.description.interfaces[0].tap, "tap0");
    json = record_to_json(&record, NULL);
    assert_int_equal(record_from_json(json, NULL, &found, NULL), 0);
    assert_same(&record, &found);
    record_release(&found);
    json_decref(json);
    record_release(&record);
}

static void defaults(void **state)
{
    json_t *json = json_pack("{s:i, s:s, s:s}", "version", 1, "name", "web", "kernel", "/k");
    struct record expected, found;

    record_init(&expected);
    set(&expected.description.name, "web");
    set(&expected.description.kernel, "/k");
    assert_int_equal(record_from_json(json, NULL, &found, NULL), 0);
    assert_same(&expected, &found);
    record_release(&found);
    record_release(&expected);
    json_decref(json);
}

static const char *text_of(const json_t *json, const char *key)
{
    return json_string_value(json_object_get(json, key));
}

/* What is below the directory moves with it. */
static void paths(void **state)
{
    struct record record, found;
    json_t *json, *disks;

    fill(&record);
    json = record_to_json(&record, "/m/web");
    disks = json_object_get(json, "disks");
    assert_string_equal(text_of(json, "kernel"), "kernel");
    assert_string_equal(text_of(json, "firmware"), "firmware");
    assert_string_equal(text_of(json, "initrd"), "/boot/initrd");
    assert_string_equal(text_of(json_array_get(disks, 0), "path"), "disk.raw");
    assert_string_equal(text_of(json_array_get(disks, 1), "path"), "/m/webb/disk.raw");
    assert_string_equal(text_of(json_array_get(disks, 2), "path"), "deep/disk.raw");
    assert_int_equal(record_from_json(json, "/elsewhere/web", &found, NULL), 0);
    assert_string_equal(found.description.kernel, "/elsewhere/web/kernel");
    assert_string_equal(found.description.disks[0].path, "/elsewhere/web/disk.raw");
    assert_string_equal(found.description.disks[1].path, "/m/webb/disk.raw");
    record_release(&found);
    json_decref(json);
    json = record_to_json(&record, NULL);
    assert_string_equal(text_of(json, "kernel"), "/m/web/kernel");
    json_decref(json);
    record_release(&record);
}

/* With `text` in place of, or added to, the fields of a good record. */
static int read_with(const char *text, struct error *error)
{
    json_t *json = json_pack("{s:i, s:s, s:s}", "version", 1, "name", "web", "kernel", "/k");
    json_t *more = json_loads(text, 0, NULL);
    struct record found;
    int r;

    assert_non_null(more);
    json_object_update(json, more);
    json_decref(more);
    r = record_from_json(json, "/m", &found, error);
    if (r) {
        assert_null(found.description.name);
        assert_null(found.image);
        assert_int_equal(found.description.disk_count, 0);
        assert_int_equal(found.description.forward_count, 0);
    }
    record_release(&found);
    json_decref(json);
    return r;
}

static void wrong_types(void **state)
{
    static const char *const keys[] = {
        "version",    "name",       "created",      "image",         "cpus",     "memory",
        "paging",     "engine",     "code_profile", "code_library",  "firmware", "cpus_max",
        "memory_min", "merge",      "merge_domain", "cpu_weight",    "cpu_cap",  "kernel",
        "initrd",     "append",     "disks",        "networks",      "network",  "forwards",
        "console",    "memory_max", "cpus_min",     "memory_balloon"};
    static const char *const texts[] = {"true", "null", "1.5",          "{}",
                                        "[1]",  "-1",   "\"\\u0001?\"", "18446744073709551616.0"};
    static const char *const inner[] = {
        "{\"disks\": [{\"path\": %s}]}",
        "{\"disks\": [{\"path\": \"d\", \"serial\": %s}]}",
        "{\"disks\": [{\"path\": \"d\", \"read_only\": %s}]}",
        "{\"disks\": [{\"path\": \"d\", \"ephemeral\": %s}]}",
        "{\"forwards\": [{\"host\": %s, \"guest\": 1}]}",
        "{\"forwards\": [{\"host\": 1, \"guest\": %s}]}",
        "{\"forwards\": [{\"host\": 1, \"guest\": 1, \"protocol\": %s}]}",
        "{\"forwards\": [{\"host\": 1, \"guest\": 1, \"address\": %s}]}"};
    struct error error = ERROR_INIT;
    char text[256];

    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        for (size_t j = 0; j < ARRAY_SIZE(texts); j++) {
            bool string = texts[j][0] == '"';

            if ((!strcmp(keys[i], "merge") || !strcmp(keys[i], "memory_balloon")) &&
                !strcmp(texts[j], "true"))
                continue;
            /* A field that is a text may have any. */
            if (string && strcmp(keys[i], "version") != 0 && strcmp(keys[i], "cpus") != 0 &&
                strcmp(keys[i], "memory") != 0 && strcmp(keys[i], "paging") != 0 &&
                strcmp(keys[i], "disks") != 0 && strcmp(keys[i], "network") != 0 &&
                strcmp(keys[i], "forwards") != 0 && strcmp(keys[i], "console") != 0)
                continue;
            snprintf(text, sizeof(text), "{\"%s\": %s}", keys[i], texts[j]);
            assert_int_equal(read_with(text, &error), -EINVAL);
            assert_words(&error, keys[i]);
        }
    for (size_t i = 0; i < ARRAY_SIZE(inner); i++)
        for (size_t j = 1; j < 6; j++) {
            snprintf(text, sizeof(text), inner[i], texts[j]);
            assert_int_equal(read_with(text, &error), -EINVAL);
            assert_words(&error, "is not what it has to be");
        }
}

static void wrong_values(void **state)
{
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"{\"version\": 2}", "it is of version 2, and this hospes knows 1"},
        {"{\"version\": 0}", "version 0"},
        {"{\"future\": 1}", "a field that this version does not know"},
        {"{\"disks\": [{\"path\": \"d\", \"future\": 1}]}", "does not know"},
        {"{\"forwards\": [{\"host\": 1, \"guest\": 1, \"future\": 1}]}", "does not know"},
        {"{\"cpus\": 0}", "0 CPUs"},
        {"{\"cpus\": 65}", "cpus"},
        {"{\"memory\": 1}", "too little"},
        {"{\"memory\": 33554433}", "round it up"},
        {"{\"memory\": 1099511627777}", "memory"},
        {"{\"paging\": 40}", "40 bits"},
        {"{\"paging\": 58}", "paging"},
        {"{\"network\": \"bridge\"}", "network"},
        {"{\"network\": \"tap\"}", "tap"},
        {"{\"network\": \"none\", \"forwards\": [{\"host\": 1, \"guest\": 1}]}", "user network"},
        {"{\"console\": \"hvc0\"}", "console"},
        {"{\"mac\": \"52:54\"}", "52:54"},
        {"{\"disks\": [{}]}", "names no file"},
        {"{\"disks\": [{\"path\": \"\"}]}", "path"},
        {"{\"kernel\": \"\"}", "kernel"},
        {"{\"disks\": [{\"path\": \"d\"}, {\"path\": \"/m/d\"}]}", "given twice"},
        {"{\"disks\": [{\"path\": \"d\", \"serial\": \"123456789012345678901\"}]}", "longer"},
        {"{\"disks\": [1]}", "disks"},
        {"{\"disks\": [{\"path\":\"1\"}, {\"path\":\"2\"}, {\"path\":\"3\"}, {\"path\":\"4\"}, "
         "{\"path\":\"5\"}, {\"path\":\"6\"}]}",
         "disks"},
        {"{\"forwards\": [1]}", "forwards"},
        {"{\"forwards\": [{\"host\": 1}]}", "guest"},
        {"{\"forwards\": [{\"host\": 0, \"guest\": 1}]}", "host"},
        {"{\"forwards\": [{\"host\": 65536, \"guest\": 1}]}", "host"},
        {"{\"forwards\": [{\"host\": 1, \"guest\": 1}, {\"host\": 1, \"guest\": 2}]}", "twice"},
        {"{\"forwards\": [{\"host\": 1, \"guest\": 1, \"protocol\": \"sctp\"}]}", "protocol"},
        {"{\"forwards\": [{\"host\": 1, \"guest\": 1, \"address\": "
         "\"0123456789012345678901234567890123456789012345678901234567890123\"}]}",
         "address"},
        {"{\"name\": \"a b\"}", "a b"},
        {"{\"cpus_max\": 65}", "cpus_max"},
        {"{\"cpus\": 2, \"cpus_min\": 3}", "it is promised 3 CPUs (--cpus-min) of its 2"},
        {"{\"cpus_min\": 65}", "cpus_min"},
        {"{\"cpus\": 4, \"cpus_max\": 2}", "2"},
        {"{\"memory\": 33554432, \"memory_min\": 33554434}",
         "it is promised 32 MiB (--memory-min) of its 32 MiB"},
        {"{\"memory\": 33554432, \"memory_max\": 31457280}", "30 MiB of memory at the most"},
        {"{\"memory\": 33554432, \"memory_max\": 33554433}", "round it up to 34M"},
        {"{\"memory_max\": 1099511627777}", "memory_max"},
        {"{\"cpu_weight\": 10001}", "cpu_weight"},
        {"{\"cpu_cap\": 4294967295}", "cpu_cap"},
    };
    struct error error = ERROR_INIT;
    json_t *forwards = json_array(), *json;
    struct record found;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_int_equal(read_with(cases[i].text, &error), -EINVAL);
        assert_words(&error, cases[i].words);
    }
    assert_int_equal(read_with("{\"disks\": [{\"path\":\"1\"}, {\"path\":\"2\"}, {\"path\":\"3\"}, "
                               "{\"path\":\"4\"}, {\"path\":\"5\"}]}",
                               NULL),
                     0);
    for (int i = 0; i < MACHINE_FORWARDS_MAX; i++)
        json_array_append_new(forwards, json_pack("{s:i, s:i}", "host", 1000 + i, "guest", 1));
    json = json_pack("{s:i, s:s, s:o}", "version", 1, "kernel", "/k", "forwards", forwards);
    assert_int_equal(record_from_json(json, NULL, &found, NULL), 0);
    record_release(&found);
    json_array_append_new(forwards, json_pack("{s:i, s:i}", "host", 999, "guest", 1));
    assert_int_equal(record_from_json(json, NULL, &found, &error), -EINVAL);
    assert_words(&error, "forwards");
    json_decref(json);
    json = json_array();
    assert_int_equal(record_from_json(json, NULL, &found, &error), -EINVAL);
    assert_words(&error, "it is not an object");
    json_decref(json);
    json = json_pack("{s:s}", "kernel", "/k");
    assert_int_equal(record_from_json(json, NULL, &found, NULL), -EINVAL);
    json_decref(json);
}

/* A byte changed, or two: it is refused, or a machine that is written as it was read. */
static void mutations(void **state)
{
    struct record record, found, again;
    unsigned seed = 7, good = 0;
    size_t length;
    char *text, *copy;
    json_t *json;

    fill(&record);
    json = record_to_json(&record, "/m/web");
    text = json_dumps(json, JSON_INDENT(2));
    json_decref(json);
    length = strlen(text);
    copy = malloc(length + 1);
    for (unsigned i = 0; i < 20000; i++) {
        memcpy(copy, text, length + 1);
        for (unsigned j = 0; j <= (i & 1); j++) {
            seed = seed * 1103515245 + 12345;
            copy[(seed >> 8) % length] = "0123456789{}[]\",:-tfn x"[(seed >> 3) % 23];
        }
        json = json_loadb(copy, length, JSON_REJECT_DUPLICATES, NULL);
        if (json && !record_from_json(json, "/m/web", &found, NULL)) {
            json_t *second = record_to_json(&found, "/m/web");

            assert_int_equal(record_from_json(second, "/m/web", &again, NULL), 0);
            assert_same(&found, &again);
            record_release(&again);
            record_release(&found);
            json_decref(second);
            good++;
        }
        json_decref(json);
    }
    /* Both ways were gone. */
    assert_in_range(good, 1000, 19000);
    free(copy);
    free(text);
    record_release(&record);
}

static void on_disk(void **state)
{
    struct host_fixture *f = *state;
    CLEANUP(text_free) char *kernel = registry_path(&f->registry, "web", "kernel");
    CLEANUP(text_free) char *path = registry_path(&f->registry, "web", "machine.json");
    CLEANUP(text_free) char *beside = text_format("%s.new", path);
    CLEANUP(text_free) char *text = NULL;
    struct record record, found;
    struct error error = ERROR_INIT;
    int fd;

    assert_int_equal(record_read(&f->registry, "web", &found, &error), -ENOENT);
    assert_words(&error, "machine.json");
    machine_file(f, "web", "machine.json", "{}");
    fill(&record);
    set(&record.description.kernel, kernel);
    assert_int_equal(record_write(&f->registry, "web", &record, NULL), 0);
    assert_false(is_there(beside));
    assert_int_equal(file_read_text(path, 4096, &text, NULL), 0);
    assert_non_null(strstr(text, "\"kernel\": \"kernel\""));
    assert_int_equal(record_read(&f->registry, "web", &found, NULL), 0);
    assert_same(&record, &found);
    record_release(&found);
    record_release(&record);

    machine_file(f, "web", "machine.json", "{\"version\": 1,\n oops}");
    assert_int_equal(record_read(&f->registry, "web", &found, &error), -EINVAL);
    assert_words(&error, "line 2");
    machine_file(f, "web", "machine.json", "{\"version\":1,\"kernel\":\"k\",\"name\":\"db\"}");
    assert_int_equal(record_read(&f->registry, "web", &found, &error), -EINVAL);
    assert_words(&error, "another name");
    machine_file(f, "web", "machine.json", "{\"version\":1,\"kernel\":\"k\"}");
    assert_int_equal(record_read(&f->registry, "web", &found, &error), -EINVAL);
    assert_words(&error, "another name");
    machine_file(f, "web", "machine.json",
                 "{\"version\":1,\"kernel\":\"k\",\"name\":\"web\",\"name\":\"web\"}");
    assert_int_equal(record_read(&f->registry, "web", &found, NULL), -EINVAL);
    fd = open(path, O_WRONLY);
    assert_int_equal(ftruncate(fd, 2 << 20), 0);
    close(fd);
    assert_int_equal(record_read(&f->registry, "web", &found, &error), -EFBIG);
    assert_words(&error, "too large");
    record_release(&found);
}

/* What cannot be said in JSON is told as that. */
static void not_utf8(void **state)
{
    struct host_fixture *f = *state;
    struct error error = ERROR_INIT;
    struct record record;

    machine_file(f, "web", "machine.json", "{}");
    fill(&record);
    set(&record.description.kernel, "/caf\xe9");
    assert_int_equal(record_check(&record, "/\xff", &error), -EINVAL);
    assert_words(&error, "/caf\xe9");
    set(&record.description.kernel, "/k");
    set(&record.description.disks[2].path, "/caf\xe9");
    assert_int_equal(record_check(&record, "/\xff", &error), -EINVAL);
    assert_words(&error, "is not UTF-8");
    set(&record.description.disks[2].path, "/d");
    set(&record.description.append, "\xff");
    assert_int_equal(record_check(&record, "/\xff", &error), -EINVAL);
    assert_words(&error, "is not UTF-8");
    set(&record.description.append, "");
    /* Of a path below the directory only what is behind that is written. */
    set(&record.description.disks[2].path, "/\xff/d");
    assert_int_equal(record_check(&record, "/\xff", &error), 0);
    record_release(&record);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field),
        cmocka_unit_test(defaults),
        cmocka_unit_test(paths),
        cmocka_unit_test(wrong_types),
        cmocka_unit_test(wrong_values),
        cmocka_unit_test(mutations),
        cmocka_unit_test_setup_teardown(on_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(not_utf8, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
