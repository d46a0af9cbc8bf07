/* SPDX-License-Identifier: Apache-2.0 */
#include "host/record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "host/weight.h"
#include "image/file.h"
#include "image/store.h"

#define RECORD_SIZE_MAX (1u << 20)

void record_init(struct record *record)
{
    *record = (struct record){0};
    description_init(&record->description);
}

void record_release(struct record *record)
{
    description_release(&record->description);
    free(record->image);
    free(record->created);
    free(record->merge_domain);
    *record = (struct record){0};
}

uint64_t record_memory_max(const struct record *record)
{
    const struct machine_description *d = &record->description;

    return d->memory_max > d->memory ? d->memory_max : d->memory;
}

uint64_t record_memory_min(const struct record *record)
{
    return record->memory_min ? record->memory_min : record->description.memory;
}

unsigned record_cpus_min(const struct record *record)
{
    return record->cpus_min ? record->cpus_min : record->description.cpus;
}

int record_check_promise(const struct record *record, struct error *error)
{
    char least[SIZE_TEXT_MAX], most[SIZE_TEXT_MAX];

    if (record->cpus_min > record->description.cpus)
        return error_usage(error, "it is promised %u CPUs (--cpus-min) of its %u", record->cpus_min,
                           record->description.cpus);
    if (record->memory_min <= record->description.memory)
        return 0;
    return error_usage(error, "it is promised %s (--memory-min) of its %s of memory",
                       size_format(record->memory_min, least),
                       size_format(record->description.memory, most));
}

/* ---- writing ---- */

static const char *const networks[] = {[MACHINE_NET_USER] = "user",
                                       [MACHINE_NET_TAP] = "tap",
                                       [MACHINE_NET_NAMED] = "named",
                                       [MACHINE_NET_NONE] = "none"};

static const char *relative(const char *path, const char *directory)
{
    size_t length = directory ? strlen(directory) : 0;

    if (path && length && !strncmp(path, directory, length) && path[length] == '/')
        return path + length + 1;
    return path;
}

static int put(json_t *object, const char *key, json_t *value)
{
    return json_object_set_new(object, key, value);
}

/* What is not there is left out. */
static int put_text(json_t *object, const char *key, const char *text)
{
    return text ? put(object, key, json_string(text)) : 0;
}

static json_t *disk_to_json(const struct machine_disk *disk, const char *directory)
{
    json_t *json = json_object();

    if (put_text(json, "path", relative(disk->path, directory)) ||
        put_text(json, "serial", disk->serial) ||
        (disk->read_only && put(json, "read_only", json_true())) ||
        (disk->ephemeral && put(json, "ephemeral", json_true()))) {
        json_decref(json);
        return NULL;
    }
    return json;
}

static json_t *disks_to_json(const struct machine_description *d, const char *directory)
{
    json_t *disks = json_array();

    for (unsigned i = 0; i < d->disk_count; i++)
        if (json_array_append_new(disks, disk_to_json(&d->disks[i], directory))) {
            json_decref(disks);
            return NULL;
        }
    return disks;
}

static json_t *forwards_to_json(const struct machine_description *d)
{
    json_t *forwards = json_array();

    for (unsigned i = 0; i < d->forward_count; i++) {
        const struct net_forward *f = &d->forwards[i];

        if (json_array_append_new(forwards,
                                  json_pack("{s:s, s:s, s:i, s:i}", "protocol",
                                            f->udp ? "udp" : "tcp", "address", f->host_address,
                                            "host", f->host_port, "guest", f->guest_port))) {
            json_decref(forwards);
            return NULL;
        }
    }
    return forwards;
}

static int check_utf8(const char *text, struct error *error)
{
    json_t *json = text ? json_string(text) : NULL;

    if (text && !json)
        return error_usage(error,
                           "\"%s\" is not UTF-8, which the machine's file is; use other words",
                           text);
    json_decref(json);
    return 0;
}

int record_check(const struct record *record, const char *directory, struct error *error)
{
    const struct machine_description *d = &record->description;
    const char *const texts[] = {record->image,
                                 record->merge_domain,
                                 d->name,
                                 d->engine,
                                 relative(d->profile, directory),
                                 relative(d->library, directory),
                                 relative(d->firmware, directory),
                                 relative(d->kernel, directory),
                                 relative(d->initrd, directory),
                                 d->append};
    int r = description_check(d, error);

    if (!r)
        r = record_check_promise(record, error);
    for (size_t i = 0; i < ARRAY_SIZE(texts) && !r; i++)
        r = check_utf8(texts[i], error);
    /* Names and addresses of interfaces are judged letter by letter. */
    for (unsigned i = 0; i < d->interface_count && !r; i++)
        r = check_utf8(d->interfaces[i].tap, error);
    for (unsigned i = 0; i < d->disk_count && !r; i++)
        r = check_utf8(relative(d->disks[i].path, directory), error);
    for (unsigned i = 0; i < d->disk_count && !r; i++)
        r = check_utf8(d->disks[i].serial, error);
    return r;
}

/* What is no limit is left out; NULL: no memory. */
static json_t *limits_to_json(const struct machine_limits *limits)
{
    bool same = limits->net_rate_in == limits->net_rate_out;
    const struct {
        const char *key;
        uint64_t value;
    } rows[] = {
        {"disk_iops", limits->disk_iops},
        {"disk_bytes", limits->disk_bytes},
        {"net_rate", same ? limits->net_rate_in : 0},
        {"net_rate_in", same ? 0 : limits->net_rate_in},
        {"net_rate_out", same ? 0 : limits->net_rate_out},
    };
    json_t *json = json_object();

    for (size_t i = 0; i < ARRAY_SIZE(rows) && json; i++)
        if (rows[i].value && put(json, rows[i].key, json_integer((json_int_t)rows[i].value))) {
            json_decref(json);
            json = NULL;
        }
    return json;
}

static bool has_limits(const struct machine_limits *limits)
{
    return limits->disk_iops || limits->disk_bytes || limits->net_rate_in || limits->net_rate_out;
}

static json_t *interfaces_to_json(const struct machine_description *d)
{
    json_t *interfaces = json_array();

    for (unsigned i = 0; i < d->interface_count; i++) {
        const struct machine_interface *interface = &d->interfaces[i];
        json_t *json = json_object();

        if (put_text(json, "kind", networks[interface->kind]) ||
            put_text(json, "name", interface->name) || put_text(json, "tap", interface->tap) ||
            put_text(json, "mac", interface->mac)) {
            json_decref(json);
            json = NULL;
        }
        if (json_array_append_new(interfaces, json)) {
            json_decref(interfaces);
            return NULL;
        }
    }
    return interfaces;
}

json_t *record_to_json(const struct record *record, const char *directory)
{
    const struct machine_description *d = &record->description;
    json_t *json = json_object();

    if (put(json, "version", json_integer(RECORD_VERSION)) || put_text(json, "name", d->name) ||
        put_text(json, "created", record->created) || put_text(json, "image", record->image) ||
        put(json, "cpus", json_integer(d->cpus)) ||
        (d->cpus_max && put(json, "cpus_max", json_integer(d->cpus_max))) ||
        (record->cpus_min && put(json, "cpus_min", json_integer(record->cpus_min))) ||
        put(json, "memory", json_integer((json_int_t)d->memory)) ||
        (d->memory_max && put(json, "memory_max", json_integer((json_int_t)d->memory_max))) ||
        (d->memory_balloon && put(json, "memory_balloon", json_true())) ||
        (record->memory_min &&
         put(json, "memory_min", json_integer((json_int_t)record->memory_min))) ||
        (d->merge && put(json, "merge", json_true())) ||
        put_text(json, "merge_domain", record->merge_domain) ||
        (record->cpu_weight && put(json, "cpu_weight", json_integer(record->cpu_weight))) ||
        (record->cpu_cap && put(json, "cpu_cap", json_integer(record->cpu_cap))) ||
        put(json, "paging", json_integer(d->paging)) || put_text(json, "engine", d->engine) ||
        put_text(json, "code_profile", d->profile) || put_text(json, "code_library", d->library) ||
        put_text(json, "firmware", relative(d->firmware, directory)) ||
        put_text(json, "kernel", relative(d->kernel, directory)) ||
        put_text(json, "initrd", relative(d->initrd, directory)) ||
        put_text(json, "append", d->append) || put(json, "disks", disks_to_json(d, directory)) ||
        put(json, "networks", interfaces_to_json(d)) ||
        put(json, "forwards", forwards_to_json(d)) ||
        put_text(json, "console", d->virtio_console ? "virtio" : "serial") ||
        (has_limits(&d->limits) && put(json, "limits", limits_to_json(&d->limits)))) {
        json_decref(json);
        return NULL;
    }
    return json;
}

int record_write(const struct registry *registry, const char *name, const struct record *record,
                 struct error *error)
{
    CLEANUP(text_free) char *directory = registry_path(registry, name, NULL);
    CLEANUP(text_free) char *path = registry_path(registry, name, "machine.json");
    CLEANUP(json_decrefp) json_t *json = directory ? record_to_json(record, directory) : NULL;
    CLEANUP(text_free) char *text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;

    if (!path || !text)
        return error_set(error, ENOMEM, "out of memory");
    return file_write(path, text, strlen(text), false, error);
}

/* ---- reading ---- */

/* One object that is read: each field that is taken is counted, so that one too many shows. */
struct reader {
    const json_t *object;
    const char *directory;
    size_t taken;
    struct error *error;
};

static const json_t *take(struct reader *reader, const char *key)
{
    const json_t *value = json_object_get(reader->object, key);

    reader->taken += value != NULL;
    return value;
}

static int wrong(const struct reader *reader, const char *key)
{
    return error_set(reader->error, EINVAL, "its field \"%s\" is not what it has to be", key);
}

/* All its fields were taken. */
static int reader_end(const struct reader *reader)
{
    if (reader->taken == json_object_size(reader->object))
        return 0;
    return error_set(reader->error, EINVAL, "it has a field that this version does not know");
}

static int take_text(struct reader *reader, const char *key, char **text)
{
    const json_t *value = take(reader, key);
    const char *found = json_string_value(value);

    if (!value)
        return 0;
    if (!found || strlen(found) != json_string_length(value))
        return wrong(reader, key);
    free(*text);
    *text = strdup(found);
    return *text ? 0 : error_set(reader->error, ENOMEM, "out of memory");
}

static int take_path(struct reader *reader, const char *key, char **path)
{
    int r = take_text(reader, key, path);
    char *whole;

    if (r || !*path)
        return r;
    if (!**path)
        return wrong(reader, key);
    if ((*path)[0] == '/' || !reader->directory)
        return 0;
    whole = text_format("%s/%s", reader->directory, *path);
    if (!whole)
        return error_set(reader->error, ENOMEM, "out of memory");
    free(*path);
    *path = whole;
    return 0;
}

static int take_number(struct reader *reader, const char *key, uint64_t most, uint64_t *number)
{
    const json_t *value = take(reader, key);
    json_int_t found = json_integer_value(value);

    if (!value)
        return 0;
    if (!json_is_integer(value) || found < 0 || (uint64_t)found > most)
        return wrong(reader, key);
    *number = (uint64_t)found;
    return 0;
}

static int take_small(struct reader *reader, const char *key, unsigned most, unsigned *number)
{
    uint64_t found = *number;
    int r = take_number(reader, key, most, &found);

    *number = (unsigned)found;
    return r;
}

static int take_flag(struct reader *reader, const char *key, bool *flag)
{
    const json_t *value = take(reader, key);

    if (value && !json_is_boolean(value))
        return wrong(reader, key);
    *flag = json_is_true(value);
    return 0;
}

/* One of `count` words; *index stays as it is where there is none. */
static int take_word(struct reader *reader, const char *key, const char *const *words,
                     unsigned count, unsigned *index)
{
    const json_t *value = take(reader, key);

    if (!value)
        return 0;
    for (unsigned i = 0; i < count; i++)
        if (json_is_string(value) && !strcmp(json_string_value(value), words[i])) {
            *index = i;
            return 0;
        }
    return wrong(reader, key);
}

static int take_disk(const struct reader *above, const json_t *json, struct machine_disk *disk)
{
    struct reader reader = {json, above->directory, 0, above->error};
    int r = json_is_object(json) ? 0 : wrong(above, "disks");

    if (!r)
        r = take_path(&reader, "path", &disk->path);
    if (!r)
        r = take_text(&reader, "serial", &disk->serial);
    if (!r)
        r = take_flag(&reader, "read_only", &disk->read_only);
    if (!r)
        r = take_flag(&reader, "ephemeral", &disk->ephemeral);
    return r ? r : reader_end(&reader);
}

static int take_disks(struct reader *reader, struct machine_description *d)
{
    const json_t *disks = take(reader, "disks");
    size_t count = json_array_size(disks);
    int r = 0;

    if (disks && (!json_is_array(disks) || count > MACHINE_DISKS_MAX))
        return wrong(reader, "disks");
    for (size_t i = 0; i < count && !r; i++)
        r = take_disk(reader, json_array_get(disks, i), &d->disks[d->disk_count++]);
    return r;
}

static int take_port(struct reader *reader, const char *key, uint16_t *port)
{
    unsigned number = 0;
    int r = take_small(reader, key, UINT16_MAX, &number);

    *port = (uint16_t)number;
    return r || number ? r : wrong(reader, key);
}

static int take_forward(const struct reader *above, const json_t *json, struct net_forward *forward)
{
    static const char *const protocols[] = {"tcp", "udp"};
    struct reader reader = {json, NULL, 0, above->error};
    CLEANUP(text_free) char *address = NULL;
    unsigned protocol = 0;
    int r = json_is_object(json) ? 0 : wrong(above, "forwards");

    if (!r)
        r = take_word(&reader, "protocol", protocols, ARRAY_SIZE(protocols), &protocol);
    if (!r)
        r = take_text(&reader, "address", &address);
    if (!r && address && strlen(address) >= sizeof(forward->host_address))
        r = wrong(&reader, "address");
    if (!r)
        r = take_port(&reader, "host", &forward->host_port);
    if (!r)
        r = take_port(&reader, "guest", &forward->guest_port);
    if (r)
        return r;
    forward->udp = protocol == 1;
    strcpy(forward->host_address, address ? address : "");
    return reader_end(&reader);
}

static int take_forwards(struct reader *reader, struct machine_description *d)
{
    const json_t *forwards = take(reader, "forwards");
    size_t count = json_array_size(forwards);
    int r = 0;

    if (forwards && (!json_is_array(forwards) || count > MACHINE_FORWARDS_MAX))
        return wrong(reader, "forwards");
    for (size_t i = 0; i < count && !r; i++)
        r = take_forward(reader, json_array_get(forwards, i), &d->forwards[d->forward_count++]);
    return r;
}

static int take_limits(struct reader *above, struct machine_limits *limits)
{
    const json_t *json = take(above, "limits");
    struct reader reader = {json, NULL, 0, above->error};
    uint64_t both = 0;
    const struct {
        const char *key;
        uint64_t *value;
    } rows[] = {
        {"disk_iops", &limits->disk_iops},
        {"disk_bytes", &limits->disk_bytes},
        {"net_rate", &both},
        {"net_rate_in", &limits->net_rate_in},
        {"net_rate_out", &limits->net_rate_out},
    };
    int r = 0;

    if (!json)
        return 0;
    if (!json_is_object(json))
        return wrong(above, "limits");
    for (size_t i = 0; i < ARRAY_SIZE(rows) && !r; i++)
        r = take_number(&reader, rows[i].key, INT64_MAX, rows[i].value);
    if (!r && both && (limits->net_rate_in || limits->net_rate_out))
        r = wrong(above, "limits");
    if (!r && both)
        limits->net_rate_in = limits->net_rate_out = both;
    return r ? r : reader_end(&reader);
}

static int take_interface(const struct reader *above, const json_t *json,
                          struct machine_interface *interface)
{
    struct reader reader = {json, NULL, 0, above->error};
    unsigned kind = MACHINE_NET_USER;
    int r = json_is_object(json) ? 0 : wrong(above, "networks");

    if (!r)
        r = take_word(&reader, "kind", networks, ARRAY_SIZE(networks), &kind);
    if (!r)
        r = take_text(&reader, "name", &interface->name);
    if (!r)
        r = take_text(&reader, "tap", &interface->tap);
    if (!r)
        r = take_text(&reader, "mac", &interface->mac);
    interface->kind = (enum machine_network)kind;
    return r ? r : reader_end(&reader);
}

/* The description has the implied interface. Records had one network, with its parts beside it. */
static int take_interfaces(struct reader *reader, struct machine_description *d)
{
    const json_t *interfaces = take(reader, "networks");
    size_t count = json_array_size(interfaces);
    struct machine_interface *first = &d->interfaces[0];
    unsigned kind = MACHINE_NET_USER;
    int r;

    if (interfaces && (!json_is_array(interfaces) || count > MACHINE_NETS_MAX))
        return wrong(reader, "networks");
    if (interfaces) {
        d->interface_count = 0;
        *first = (struct machine_interface){0};
        r = 0;
        for (size_t i = 0; i < count && !r; i++)
            r = take_interface(reader, json_array_get(interfaces, i),
                               &d->interfaces[d->interface_count++]);
        return r;
    }
    r = take_word(reader, "network", networks, ARRAY_SIZE(networks), &kind);
    if (!r)
        r = take_text(reader, "tap", &first->tap);
    if (!r)
        r = take_text(reader, "mac", &first->mac);
    first->kind = (enum machine_network)kind;
    first->implied = false;
    return r;
}

static int take_version(struct reader *reader)
{
    uint64_t version = 0;
    int r = take_number(reader, "version", INT32_MAX, &version);

    if (!r && version != RECORD_VERSION)
        r = error_set(reader->error, EINVAL, "it is of version %llu, and this hospes knows %d",
                      (unsigned long long)version, RECORD_VERSION);
    return r;
}

static int take_machine(struct reader *reader, struct record *record)
{
    static const char *const consoles[] = {"serial", "virtio"};
    struct machine_description *d = &record->description;
    unsigned console = 0;
    const struct {
        const char *key;
        char **text;
        bool is_path;
    } texts[] = {
        {"name", &d->name, false},           {"created", &record->created, false},
        {"image", &record->image, false},    {"engine", &d->engine, false},
        {"code_profile", &d->profile, true}, {"firmware", &d->firmware, true},
        {"kernel", &d->kernel, true},        {"initrd", &d->initrd, true},
        {"append", &d->append, false},       {"code_library", &d->library, true},
    };
    int r = take_version(reader);

    for (size_t i = 0; i < ARRAY_SIZE(texts) && !r; i++)
        r = texts[i].is_path ? take_path(reader, texts[i].key, texts[i].text)
                             : take_text(reader, texts[i].key, texts[i].text);
    if (!r)
        r = take_small(reader, "cpus", MACHINE_CPUS_MAX, &d->cpus);
    if (!r)
        r = take_small(reader, "cpus_max", MACHINE_CPUS_MAX, &d->cpus_max);
    if (!r)
        r = take_small(reader, "cpus_min", MACHINE_CPUS_MAX, &record->cpus_min);
    if (!r)
        r = take_number(reader, "memory", MACHINE_MEMORY_MAX, &d->memory);
    if (!r)
        r = take_number(reader, "memory_max", MACHINE_MEMORY_MAX, &d->memory_max);
    if (!r)
        r = take_flag(reader, "memory_balloon", &d->memory_balloon);
    if (!r)
        r = take_number(reader, "memory_min", MACHINE_MEMORY_MAX, &record->memory_min);
    if (!r)
        r = take_flag(reader, "merge", &d->merge);
    if (!r)
        r = take_text(reader, "merge_domain", &record->merge_domain);
    if (!r)
        r = take_small(reader, "cpu_weight", WEIGHT_MAX, &record->cpu_weight);
    if (!r)
        r = take_small(reader, "cpu_cap", RECORD_CPU_CAP_MAX, &record->cpu_cap);
    if (!r)
        r = take_small(reader, "paging", 57, &d->paging);
    if (!r)
        r = take_disks(reader, d);
    if (!r)
        r = take_interfaces(reader, d);
    if (!r)
        r = take_forwards(reader, d);
    if (!r)
        r = take_word(reader, "console", consoles, ARRAY_SIZE(consoles), &console);
    if (!r)
        r = take_limits(reader, &d->limits);
    d->virtio_console = console == 1;
    return r ? r : reader_end(reader);
}

int record_from_json(const json_t *json, const char *directory, struct record *record,
                     struct error *error)
{
    struct reader reader = {json, directory, 0, error};
    struct record found;
    int r;

    record_init(&found);
    r = json_is_object(json) ? take_machine(&reader, &found)
                             : error_set(error, EINVAL, "it is not an object");
    if (!r)
        r = description_check(&found.description, error);
    if (!r)
        r = record_check_promise(&found, error);
    if (r) {
        record_release(&found);
        record_init(&found);
    }
    *record = found;
    return r;
}

int record_read(const struct registry *registry, const char *name, struct record *record,
                struct error *error)
{
    CLEANUP(text_free) char *directory = registry_path(registry, name, NULL);
    CLEANUP(text_free) char *path = registry_path(registry, name, "machine.json");
    CLEANUP(text_free) char *text = NULL;
    CLEANUP(json_decrefp) json_t *json = NULL;
    json_error_t where;
    int r;

    record_init(record);
    if (!directory || !path)
        return error_set(error, ENOMEM, "out of memory");
    r = file_read_text(path, RECORD_SIZE_MAX, &text, error);
    if (r)
        return r;
    json = json_loads(text, JSON_REJECT_DUPLICATES, &where);
    if (!json)
        return error_set(error, EINVAL, "\"%s\" is no JSON: line %d: %s", path, where.line,
                         where.text);
    r = record_from_json(json, directory, record, error);
    if (!r && (!record->description.name || strcmp(record->description.name, name) != 0)) {
        record_release(record);
        record_init(record);
        r = error_set(error, EINVAL, "it is of a machine of another name");
    }
    if (r)
        error_wrap(error, "cannot use \"%s\"", path);
    return r;
}
