/* SPDX-License-Identifier: Apache-2.0 */
/* The values of --disk, --publish, --net and --memory; sizes; and the check of a description. */
/* cmocka.h leans on the headers before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
/* clang-format on */

#include "base/compiler.h"
#include "base/size.h"
#include "cli/spec.h"

typedef int spec_function(const char *text, struct machine_description *description,
                          struct error *error);

static int description_setup(void **state)
{
    static struct machine_description description;

    description_init(&description);
    *state = &description;
    return description_set(&description.kernel, "kernel");
}

static int description_teardown(void **state)
{
    description_release(*state);
    return 0;
}

/* Each text is a usage error that quotes it and leaves the description as it was. */
static void refuses(struct machine_description *d, spec_function *spec, const char *const *texts)
{
    const struct machine_description before = *d;

    for (; *texts; texts++) {
        struct error error = ERROR_INIT;

        assert_int_equal(spec(*texts, d, &error), -EINVAL);
        assert_true(error.usage);
        assert_null(strchr(error.message, '\n'));
        assert_memory_equal(d, &before, sizeof(before));
        error_release(&error);
    }
}

static void test_size(void **state)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {
        {"0", 0},
        {"4096", 4096},
        {"1K", 1024},
        {"1k", 1024},
        {"512M", 512ull << 20},
        {"1G", 1ull << 30},
        {"2GiB", 2ull << 30},
        {"2gb", 2ull << 30},
        {"3T", 3ull << 40},
        {"18446744073709551615", UINT64_MAX},
        {"16777215T", 16777215ull << 40},
    };
    static const char *const bad[] = {"",     "G",  "-1G", "+1",   " 1",    "1 G",
                                      "1.5G", "1X", "1GX", "0x10", "1GiBx", "1iB"};
    static const char *const large[] = {"18446744073709551616", "16777216T", "99999999999999999G"};
    uint64_t bytes = 42;

    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        assert_int_equal(size_parse(good[i].text, &bytes), 0);
        assert_int_equal(bytes, good[i].bytes);
    }
    bytes = 42;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(size_parse(bad[i], &bytes), -EINVAL);
    for (size_t i = 0; i < ARRAY_SIZE(large); i++)
        assert_int_equal(size_parse(large[i], &bytes), -ERANGE);
    assert_int_equal(bytes, 42);
}

static void test_size_format(void **state)
{
    char text[SIZE_TEXT_MAX];

    assert_string_equal(size_format(0, text), "0 B");
    assert_string_equal(size_format(1023, text), "1023 B");
    assert_string_equal(size_format(1024, text), "1 KiB");
    assert_string_equal(size_format(1536, text), "1.5 KiB");
    assert_string_equal(size_format(1ull << 30, text), "1 GiB");
    assert_string_equal(size_format((1ull << 30) - 1, text), "1023.9 MiB");
    assert_string_equal(size_format(UINT64_MAX, text), "16777215.9 TiB");
}

static void test_disk(void **state)
{
    struct machine_description *d = *state;
    struct error error = ERROR_INIT;

    assert_int_equal(spec_disk("a.raw", d, &error), 0);
    assert_int_equal(spec_disk("b,,c.raw,readonly,serial=S 1", d, &error), 0);
    assert_int_equal(spec_disk("c.raw,ephemeral", d, &error), 0);
    assert_int_equal(d->disk_count, 3);
    assert_string_equal(d->disks[0].path, "a.raw");
    assert_null(d->disks[0].serial);
    assert_false(d->disks[0].read_only);
    assert_string_equal(d->disks[1].path, "b,c.raw");
    assert_string_equal(d->disks[1].serial, "S 1");
    assert_true(d->disks[1].read_only);
    assert_false(d->disks[1].ephemeral);
    assert_true(d->disks[2].ephemeral);
    refuses(d, spec_disk, (const char *const[]){"", ",readonly", "a,", "a,read", "a,serial", NULL});
    while (d->disk_count < MACHINE_DISKS_MAX)
        assert_int_equal(spec_disk("x", d, &error), 0);
    refuses(d, spec_disk, (const char *const[]){"one-more", NULL});
}

static void test_forward(void **state)
{
    struct machine_description *d = *state;
    struct error error = ERROR_INIT;

    assert_int_equal(spec_forward("2222:22", d, &error), 0);
    assert_int_equal(spec_forward("0.0.0.0:53:5353/udp", d, &error), 0);
    assert_int_equal(spec_forward("[::1]:80:65535/tcp", d, &error), 0);
    assert_int_equal(d->forward_count, 3);
    assert_int_equal(d->forwards[0].host_port, 2222);
    assert_int_equal(d->forwards[0].guest_port, 22);
    assert_string_equal(d->forwards[0].host_address, "");
    assert_false(d->forwards[0].udp);
    assert_string_equal(d->forwards[1].host_address, "0.0.0.0");
    assert_true(d->forwards[1].udp);
    assert_string_equal(d->forwards[2].host_address, "::1");
    assert_int_equal(d->forwards[2].guest_port, 65535);
    refuses(d, spec_forward,
            (const char *const[]){"",
                                  ":",
                                  "22",
                                  "22:",
                                  ":22",
                                  "0:22",
                                  "22:0",
                                  "65536:22",
                                  "22:65536",
                                  "22:22/sctp",
                                  "22:22/",
                                  "a:22",
                                  "22:b",
                                  "-1:22",
                                  "localhost:22:22",
                                  "::1:22:22",
                                  "[127.0.0.1]:22:22",
                                  "[::1:1:1",
                                  ":1:1",
                                  "1.2.3:1:1",
                                  "4294967318:22",
                                  "[1111111111111111111111111111111111111111111111]:1:1",
                                  NULL});
}

static void check_interface(const struct machine_description *d, unsigned index,
                            enum machine_network kind, const char *name, const char *tap)
{
    const struct machine_interface *interface = &d->interfaces[index];

    assert_true(index < d->interface_count);
    assert_int_equal(interface->kind, kind);
    assert_string_equal(interface->name ? interface->name : "", name);
    assert_string_equal(interface->tap ? interface->tap : "", tap);
    assert_null(interface->mac);
}

static void test_network(void **state)
{
    struct machine_description *d = *state;
    struct error error = ERROR_INIT;

    assert_int_equal(d->interface_count, 1);
    check_interface(d, 0, MACHINE_NET_USER, "", "");
    refuses(d, spec_network,
            (const char *const[]){"", "tap", "tap=", "tap=a/b", "tap=abcdefghijklmnop", "tap=a%d",
                                  "User", "a.b", "-lab", "lab/", "..", NULL});
    /* The first one takes the place of the one that nobody asked for. */
    assert_int_equal(spec_network("lab", d, &error), 0);
    assert_int_equal(d->interface_count, 1);
    check_interface(d, 0, MACHINE_NET_NAMED, "lab", "");
    assert_int_equal(spec_network("user", d, &error), 0);
    assert_int_equal(spec_network("tap=tap0", d, &error), 0);
    assert_int_equal(spec_network("lab", d, &error), 0);
    check_interface(d, 1, MACHINE_NET_USER, "", "");
    check_interface(d, 2, MACHINE_NET_TAP, "", "tap0");
    check_interface(d, 3, MACHINE_NET_NAMED, "lab", "");
    assert_int_equal(d->interface_count, MACHINE_NETS_MAX);
    refuses(d, spec_network, (const char *const[]){"more", NULL});
    assert_int_equal(d->interface_count, MACHINE_NETS_MAX);
    assert_true(description_has_network(d, MACHINE_NET_TAP));
    assert_false(description_has_network(d, MACHINE_NET_NONE));
}

static void test_no_network(void **state)
{
    struct machine_description *d = *state;
    struct error error = ERROR_INIT;

    assert_int_equal(spec_network("none", d, &error), 0);
    check_interface(d, 0, MACHINE_NET_NONE, "", "");
    assert_int_equal(d->interface_count, 1);
}

static void test_console(void **state)
{
    struct machine_description *d = *state;
    struct error error = ERROR_INIT;

    assert_false(d->virtio_console);
    assert_int_equal(spec_console("virtio", d, &error), 0);
    assert_true(d->virtio_console);
    refuses(d, spec_console, (const char *const[]){"", "hvc0", "virtio,", NULL});
    assert_int_equal(spec_console("serial", d, &error), 0);
    assert_false(d->virtio_console);
}

static void test_memory(void **state)
{
    struct machine_description *d = *state;
    struct error error = ERROR_INIT;

    assert_int_equal(spec_memory("512M", d, &error), 0);
    assert_int_equal(d->memory, 512ull << 20);
    assert_int_equal(spec_memory("1024", d, &error), -EINVAL);
    assert_string_equal(error.message, "'--memory 1024' is in bytes; did you mean '--memory "
                                       "1024M'?");
    error_release(&error);
    refuses(d, spec_memory, (const char *const[]){"", "G", "1.5G", "99999999T", "lots", NULL});
}

/* The description as it is now is refused with these words in the message. */
static void check_refuses(const struct machine_description *d, const char *words)
{
    struct error error = ERROR_INIT;

    assert_int_equal(description_check(d, &error), -EINVAL);
    assert_true(error.usage);
    assert_non_null(strstr(error.message, words));
    error_release(&error);
}

static void test_check(void **state)
{
    struct machine_description *d = *state;
    struct error error = ERROR_INIT;
    uint64_t memory = d->memory;
    unsigned cpus = d->cpus;
    struct machine_interface *first = &d->interfaces[0];

    assert_int_equal(description_check(d, &error), 0);
    d->cpus = 0;
    check_refuses(d, "0 CPUs");
    d->cpus = MACHINE_CPUS_MAX + 1;
    check_refuses(d, "65 CPUs");
    d->cpus = cpus;
    d->memory = MACHINE_MEMORY_MIN - 1;
    check_refuses(d, "too little");
    d->memory = MACHINE_MEMORY_MAX + (2 << 20);
    check_refuses(d, "too much");
    d->memory = (1ull << 30) + 4096;
    check_refuses(d, "round it up to 1026M");
    d->memory = memory;

    assert_int_equal(description_set(&d->name, "has space"), 0);
    check_refuses(d, "has space");
    assert_int_equal(description_set(&d->name, ""), 0);
    check_refuses(d, "0 letters");
    assert_int_equal(description_set(&d->name, "fine-1.x_y"), 0);
    assert_int_equal(description_check(d, &error), 0);

    assert_int_equal(description_set(&first->mac, "52:54:00:12:34"), 0);
    check_refuses(d, "52:54:00:12:34");
    assert_int_equal(description_set(&first->mac, "53:54:00:12:34:56"), 0);
    check_refuses(d, "53:54:00:12:34:56");
    assert_int_equal(description_set(&first->mac, "52:54:00:12:34:56"), 0);
    assert_int_equal(description_check(d, &error), 0);

    assert_int_equal(spec_forward("2222:22", d, &error), 0);
    assert_int_equal(description_check(d, &error), 0);
    first->kind = MACHINE_NET_NONE;
    check_refuses(d, "user network only");
    first->kind = MACHINE_NET_TAP;
    check_refuses(d, "tap=NAME");
    first->kind = MACHINE_NET_USER;
    assert_int_equal(spec_forward("2222:23", d, &error), 0);
    check_refuses(d, "host port 2222");
}

static void test_check_networks(void **state)
{
    struct machine_description *d = *state;
    struct error error = ERROR_INIT;

    assert_int_equal(spec_network("lab", d, &error), 0);
    assert_int_equal(description_set(&d->name, NULL), 0);
    check_refuses(d, "needs a name");
    assert_int_equal(description_set(&d->name, "web"), 0);
    assert_int_equal(description_check(d, &error), 0);
    /* Forwards need the user network, wherever it stands. */
    assert_int_equal(spec_forward("2222:22", d, &error), 0);
    check_refuses(d, "user network only");
    assert_int_equal(spec_network("user", d, &error), 0);
    assert_int_equal(description_check(d, &error), 0);
    assert_int_equal(spec_network("user", d, &error), 0);
    check_refuses(d, "given twice");
    d->interfaces[2].kind = MACHINE_NET_NONE;
    check_refuses(d, "goes with no other network");
    d->interfaces[2].kind = MACHINE_NET_NAMED;
    check_refuses(d, "cannot be the name of a network");
    assert_int_equal(description_set(&d->interfaces[2].name, "a/b"), 0);
    check_refuses(d, "\"a/b\" cannot be the name of a network");
    assert_int_equal(description_set(&d->interfaces[2].name, "lab"), 0);
    assert_int_equal(description_check(d, &error), 0);
}

static void test_check_disks(void **state)
{
    struct machine_description *d = *state;
    struct error error = ERROR_INIT;

    assert_int_equal(spec_disk("a.raw,readonly", d, &error), 0);
    assert_int_equal(spec_disk("a.raw,readonly", d, &error), 0);
    assert_int_equal(description_check(d, &error), 0);
    assert_int_equal(spec_disk("a.raw", d, &error), 0);
    check_refuses(d, "given twice");
    assert_int_equal(description_set(&d->disks[2].path, "b.raw"), 0);
    assert_int_equal(description_set(&d->disks[2].serial, "exactly-20-bytes-abc"), 0);
    assert_int_equal(description_check(d, &error), 0);
    assert_int_equal(description_set(&d->disks[2].serial, "more-than-20-bytes-ab"), 0);
    check_refuses(d, "longer than 20");
    assert_int_equal(description_set(&d->disks[2].serial, "tab\t"), 0);
    check_refuses(d, "not printable");
}

static void test_vsock(void **state)
{
    struct machine_description *d = *state;
    struct error error = ERROR_INIT;
    static const char *const wrong[] = {"",         ",cid=3",           "v,cid",
                                        "v,cid=",   "v,cid=x",          "v,cid=-1",
                                        "v,cid=4x", "v,cid=4294967296", "v,mode"};
    char path[98];

    assert_null(d->vsock);
    assert_int_equal(description_check(d, &error), 0);
    assert_int_equal(spec_vsock("run/v,,1", d, &error), 0);
    assert_string_equal(d->vsock, "run/v,1");
    assert_int_equal(d->vsock_cid, 3);
    assert_int_equal(spec_vsock("v,cid=4294967294", d, &error), 0);
    assert_string_equal(d->vsock, "v");
    assert_true(d->vsock_cid == 4294967294);
    assert_int_equal(description_check(d, &error), 0);
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        assert_int_equal(spec_vsock(wrong[i], d, &error), -EINVAL);
        assert_true(error.usage);
        assert_non_null(strstr(error.message, "--vsock"));
        error_release(&error);
    }
    assert_string_equal(d->vsock, "v");
    assert_true(d->vsock_cid == 4294967294);

    d->vsock_cid = 4294967295;
    check_refuses(d, "4294967295 cannot be");
    d->vsock_cid = 2;
    check_refuses(d, "from 3 to 4294967294");
    d->vsock_cid = 3;
    memset(path, 'v', sizeof(path));
    path[97] = 0;
    assert_int_equal(description_set(&d->vsock, path), 0);
    check_refuses(d, "too long");
    path[96] = 0;
    assert_int_equal(description_set(&d->vsock, path), 0);
    assert_int_equal(description_check(d, &error), 0);
    assert_int_equal(description_set(&d->vsock, ""), 0);
    check_refuses(d, "names no file");
}

static void test_check_boot(void **state)
{
    struct machine_description *d = *state;
    struct error error = ERROR_INIT;

    assert_int_equal(description_set(&d->kernel, NULL), 0);
    assert_null(d->kernel);
    check_refuses(d, "nothing to boot");
    assert_int_equal(description_set(&d->firmware, "fw"), 0);
    assert_int_equal(description_check(d, &error), 0);
    assert_int_equal(description_set(&d->append, "quiet"), 0);
    check_refuses(d, "--kernel");
    assert_int_equal(description_set(&d->kernel, "kernel"), 0);
    assert_int_equal(description_check(d, &error), 0);
    free(d->append);
    d->append = malloc(1025);
    assert_non_null(d->append);
    memset(d->append, 'a', 1024);
    d->append[1024] = 0;
    check_refuses(d, "shorten it");
}

static void test_limits(void **state)
{
    static const char *const no_iops[] = {"",           "-1", "1.5",
                                          "1000000001", "1K", "99999999999999999999",
                                          " 5"};
    static const char *const no_rates[] = {"", "-1M", "1.5M", "1025T", "99999999T", "fast", "1023"};
    struct error error = ERROR_INIT;
    uint64_t value = 5;

    assert_int_equal(spec_iops("--disk-iops", "none", &value, &error), 0);
    assert_int_equal(value, 0);
    assert_int_equal(spec_iops("--disk-iops", "1000000000", &value, &error), 0);
    assert_int_equal(value, MACHINE_IOPS_MAX);
    assert_int_equal(spec_iops("--disk-iops", "0", &value, &error), 0);
    assert_int_equal(value, 0);
    assert_int_equal(spec_rate("--net-rate", "20M", &value, &error), 0);
    assert_int_equal(value, 20 << 20);
    assert_int_equal(spec_rate("--net-rate", "0", &value, &error), 0);
    assert_int_equal(value, 0);
    assert_int_equal(spec_rate("--net-rate", "1024T", &value, &error), 0);
    assert_int_equal(value, MACHINE_RATE_MAX);
    assert_int_equal(spec_rate("--net-rate", "none", &value, &error), 0);
    assert_int_equal(value, 0);
    for (size_t i = 0; i < ARRAY_SIZE(no_iops); i++) {
        assert_int_equal(spec_iops("--disk-iops", no_iops[i], &value, &error), -EINVAL);
        assert_true(error.usage && strstr(error.message, "--disk-iops"));
        error_release(&error);
    }
    for (size_t i = 0; i < ARRAY_SIZE(no_rates); i++) {
        assert_int_equal(spec_rate("--net-rate", no_rates[i], &value, &error), -EINVAL);
        assert_true(error.usage && strstr(error.message, "--net-rate"));
        error_release(&error);
    }
}

#define WITH_DESCRIPTION(f)                                                                        \
    cmocka_unit_test_setup_teardown(f, description_setup, description_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_size),           cmocka_unit_test(test_size_format),
        WITH_DESCRIPTION(test_disk),           WITH_DESCRIPTION(test_forward),
        WITH_DESCRIPTION(test_network),        WITH_DESCRIPTION(test_no_network),
        WITH_DESCRIPTION(test_check_networks), WITH_DESCRIPTION(test_memory),
        WITH_DESCRIPTION(test_check),          WITH_DESCRIPTION(test_check_disks),
        WITH_DESCRIPTION(test_check_boot),     WITH_DESCRIPTION(test_console),
        WITH_DESCRIPTION(test_vsock),          cmocka_unit_test(test_limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
