/* SPDX-License-Identifier: Apache-2.0 */
/* Queries of a guest: who is found, what is denied, what is refused, and what is none. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include <string.h>

#include "network/dns.h"
#include "network/packet.h"

enum { A = 1, TXT = 16, AAAA = 28, ANY = 255, IN = 1, CHAOS = 3 };

static bool find(void *ctx, const char *machine, uint32_t *address)
{
    if (!strcmp(machine, "web-1"))
        *address = 0x0a010203;
    else if (!strcmp(machine, "a.b"))
        *address = 0x0a010204;
    else
        return false;
    return true;
}

static const struct dns_zone zone = {.network = "lab", .find = find};

/* Labels are divided by dots. */
static uint32_t query_make(uint8_t *query, const char *name, unsigned type, unsigned class)
{
    static const uint8_t header[12] = {0xab, 0xcd, 0x01, 0x00, 0, 1};
    uint32_t at = sizeof(header);

    memcpy(query, header, sizeof(header));
    while (*name) {
        size_t label = strcspn(name, ".");

        query[at++] = (uint8_t)label;
        memcpy(query + at, name, label);
        at += (uint32_t)label;
        name += label + (name[label] == '.');
    }
    query[at++] = 0;
    store_be16(query + at, (uint16_t)type);
    store_be16(query + at + 2, (uint16_t) class);
    return at + 4;
}

static uint8_t answer[DNS_ANSWER_MAX];

/* Checks all of the answer but its record; returns how many records it has. */
static unsigned ask(const char *name, unsigned type, unsigned class, unsigned rcode)
{
    uint8_t query[512];
    uint32_t length = query_make(query, name, type, class), got;

    memset(answer, 0xee, sizeof(answer));
    got = dns_answer(&zone, query, length, answer);
    assert_true(got >= length);
    assert_int_equal(load_be16(answer), 0xabcd);
    assert_int_equal(answer[2] & 0xf9, 0x81); /* an answer, recursion was asked for */
    assert_int_equal(answer[3], rcode);
    assert_int_equal(load_be16(answer + 4), 1);
    assert_memory_equal(answer + 8, "\0\0\0\0", 4);
    assert_memory_equal(answer + 12, query + 12, length - 12);
    assert_int_equal(got, length + 16u * load_be16(answer + 6));
    return load_be16(answer + 6);
}

static void check_found(const char *name, unsigned type, uint32_t address)
{
    static const uint8_t record[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4};
    uint8_t query[512];
    uint32_t at = query_make(query, name, type, IN);

    assert_int_equal(ask(name, type, IN, 0), 1);
    assert_memory_equal(answer + at, record, sizeof(record));
    assert_int_equal(load_be32(answer + at + sizeof(record)), address);
    assert_int_equal(answer[2] & 4, 4); /* authoritative */
}

static void test_finds_machines(void **state)
{
    check_found("web-1", A, 0x0a010203);
    check_found("web-1.lab", A, 0x0a010203);
    check_found("WEB-1.Lab", A, 0x0a010203);
    check_found("web-1", ANY, 0x0a010203);
    check_found("a.b", A, 0x0a010204);
    check_found("a.b.lab", A, 0x0a010204);
}

static void test_has_no_other_records(void **state)
{
    assert_int_equal(ask("web-1", AAAA, IN, 0), 0);
    assert_int_equal(ask("web-1.lab", TXT, IN, 0), 0);
    assert_int_equal(ask("lab", A, IN, 0), 0);
}

static void test_denies_what_is_not_there(void **state)
{
    assert_int_equal(ask("web-2", A, IN, 3), 0);
    assert_int_equal(ask("web-2.lab", A, IN, 3), 0);
    assert_int_equal(ask("x.y.lab", AAAA, IN, 3), 0);
}

static void test_refuses_other_domains(void **state)
{
    assert_int_equal(ask("web-1.example", A, IN, 5), 0);
    assert_int_equal(ask("web-1.xlab", A, IN, 5), 0);
    assert_int_equal(ask("1.0.0.10.in-addr.arpa", 12, IN, 5), 0);
    assert_int_equal(ask("web-1", A, CHAOS, 5), 0);
}

/* A label may hold any byte: one with a dot in it is not two. */
static void test_a_dot_in_a_label(void **state)
{
    uint8_t query[64];
    uint32_t length = query_make(query, "web-1xlab", A, IN);

    query[13 + 5] = '.';
    assert_int_equal(dns_answer(&zone, query, length, answer), length);
    assert_int_equal(answer[3], 3);
}

static void test_longest_name(void **state)
{
    char name[256];
    uint8_t query[512];

    /* 255 bytes: three labels of 63, one of 61, each with its length, and the end. */
    memset(name, 'x', sizeof(name));
    name[63] = name[127] = name[191] = '.';
    name[253] = 0;
    assert_int_equal(ask(name, A, IN, 5), 0);
    strcpy(name + 249, ".lab");
    assert_int_equal(ask(name, A, IN, 3), 0);
    memset(name + 249, 'x', 5);
    name[254] = 0;
    assert_int_equal(dns_answer(&zone, query, query_make(query, name, A, IN), answer), 12);
    assert_int_equal(answer[3], 1);
}

/* Each query that ends early, in a buffer of that size. */
static void test_truncated(void **state)
{
    uint8_t query[64];
    uint32_t length = query_make(query, "web-1.lab", A, IN);

    for (uint32_t i = 0; i < length; i++) {
        uint8_t *exact = test_malloc(i ? i : 1);

        memcpy(exact, query, i);
        assert_int_equal(dns_answer(&zone, exact, i, answer), i < 12 ? 0 : 12);
        if (i >= 12)
            assert_int_equal(answer[3], 1);
        test_free(exact);
    }
}

static void test_odd_headers(void **state)
{
    uint8_t query[64];
    uint32_t length = query_make(query, "web-1", A, IN);

    query[2] |= 0x80; /* an answer */
    assert_int_equal(dns_answer(&zone, query, length, answer), 0);
    query[2] = 0x28; /* an update */
    assert_int_equal(dns_answer(&zone, query, length, answer), 12);
    assert_int_equal(answer[2], 0xa8);
    assert_int_equal(answer[3], 4);
    query[2] = 0;
    query[5] = 2; /* questions */
    assert_int_equal(dns_answer(&zone, query, length, answer), 12);
    assert_int_equal(answer[3], 1);
    query[5] = 1;
    query[11] = 1; /* what follows the question (RFC 6891) is not looked at */
    assert_int_equal(dns_answer(&zone, query, length, answer), length + 16);
    query[12] = 0xc0; /* compressed, and points to itself */
    query[13] = 12;
    assert_int_equal(dns_answer(&zone, query, length, answer), 12);
    assert_int_equal(answer[3], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finds_machines),
        cmocka_unit_test(test_has_no_other_records),
        cmocka_unit_test(test_denies_what_is_not_there),
        cmocka_unit_test(test_refuses_other_domains),
        cmocka_unit_test(test_a_dot_in_a_label),
        cmocka_unit_test(test_longest_name),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_odd_headers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
