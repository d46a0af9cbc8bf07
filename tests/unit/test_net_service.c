/* SPDX-License-Identifier: Apache-2.0 */
/* What a network's own address answers, byte by byte, and what it leaves to the other ports. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include <string.h>

#include "network/packet.h"
#include "network/service.h"

enum { GUEST = 0x0a010207, SERVER = 0x0a010201, OTHER = 0x0a010208, TO_ALL = -1 };
enum { ICMP = 1, TCP = 6, UDP = 17 };

static const uint8_t guest_mac[6] = {0x52, 0x54, 0, 1, 2, 3};
static const uint8_t other_mac[6] = {0x52, 0x54, 0, 9, 9, 9};
static const uint8_t all_mac[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static bool find(void *ctx, const char *machine, uint32_t *address)
{
    *address = OTHER;
    return !strcmp(machine, "other");
}

static const struct service service = {
    .lease = {.mac = {0x52, 0x54, 0, 1, 2, 3},
              .address = GUEST,
              .mask = 0xffffff00,
              .server = SERVER,
              .host = "guest",
              .domain = "lab"},
    .zone = {.network = "lab", .find = find},
};

static uint8_t frame[4096], answer[SERVICE_ANSWER_MAX];
static uint32_t answer_length;

/* In a buffer of its size. */
static bool take(uint32_t length)
{
    uint8_t *exact = test_malloc(length ? length : 1);
    bool taken;

    memcpy(exact, frame, length);
    answer_length = 12345;
    taken = service_take(&service, exact, length, answer, &answer_length);
    assert_true(answer_length <= SERVICE_ANSWER_MAX);
    assert_true(taken || !answer_length);
    test_free(exact);
    return taken;
}

static void frame_make(const uint8_t to[6], unsigned type)
{
    memset(frame, 0, sizeof(frame));
    memcpy(frame, to, 6);
    memcpy(frame + 6, guest_mac, 6);
    store_be16(frame + 12, (uint16_t)type);
}

static uint32_t arp_make(unsigned operation, uint32_t sender, uint32_t target)
{
    frame_make(all_mac, 0x0806);
    memcpy(frame + 14, (const uint8_t[]){0, 1, 8, 0, 6, 4, 0, (uint8_t)operation}, 8);
    memcpy(frame + 22, guest_mac, 6);
    store_be32(frame + 28, sender);
    store_be32(frame + 38, target);
    return 42;
}

/* With `length` bytes behind the IP header; returns the frame's length. */
static uint32_t ip_make(const uint8_t to[6], uint32_t target, unsigned protocol, uint32_t length)
{
    frame_make(to, 0x0800);
    frame[14] = 0x45;
    store_be16(frame + 16, (uint16_t)(20 + length));
    frame[22] = 64;
    frame[23] = (uint8_t)protocol;
    store_be32(frame + 26, GUEST);
    store_be32(frame + 30, target);
    return 34 + length;
}

static uint32_t udp_make(const uint8_t to[6], uint32_t target, unsigned port, const void *data,
                         uint32_t length)
{
    uint32_t whole = ip_make(to, target, UDP, 8 + length);

    store_be16(frame + 34, 4000);
    store_be16(frame + 36, (uint16_t)port);
    store_be16(frame + 38, (uint16_t)(8 + length));
    memcpy(frame + 42, data, length);
    return whole;
}

/* A checksum over something that has its own in it is all ones, whose complement is 0. */
static void check_ip(unsigned protocol, uint32_t target)
{
    uint32_t length = load_be16(answer + 16);

    assert_int_equal(answer_length, 14 + length);
    assert_memory_equal(answer + 6, service_mac, 6);
    assert_int_equal(load_be16(answer + 12), 0x0800);
    assert_int_equal(answer[14], 0x45);
    assert_int_equal(answer[23], protocol);
    assert_int_equal(packet_checksum(packet_sum(0, answer + 14, 20)), 0);
    assert_int_equal(load_be32(answer + 26), SERVER);
    assert_int_equal(load_be32(answer + 30), target);
    if (protocol == ICMP) {
        assert_int_equal(packet_checksum(packet_sum(0, answer + 34, length - 20)), 0);
        return;
    }
    assert_int_equal(load_be16(answer + 38), length - 20);
    assert_int_not_equal(load_be16(answer + 40), 0);
    assert_int_equal(packet_checksum(packet_sum(UDP + length - 20, answer + 26, 8 + length - 20)),
                     0);
}

static void test_arp(void **state)
{
    assert_true(take(arp_make(1, GUEST, SERVER)));
    assert_int_equal(answer_length, 42);
    assert_memory_equal(answer, guest_mac, 6);
    assert_memory_equal(answer + 6, service_mac, 6);
    assert_memory_equal(answer + 12, "\x08\x06\0\1\x08\0\6\4\0\2", 10);
    assert_memory_equal(answer + 22, service_mac, 6);
    assert_int_equal(load_be32(answer + 28), SERVER);
    assert_memory_equal(answer + 32, guest_mac, 6);
    assert_int_equal(load_be32(answer + 38), GUEST);
}

static void test_arp_of_others(void **state)
{
    assert_false(take(arp_make(1, GUEST, OTHER)));
    assert_false(take(arp_make(1, GUEST, GUEST)));
    assert_false(take(arp_make(2, GUEST, OTHER)));
    /* No machine may say that it has the network's own address. */
    assert_true(take(arp_make(1, SERVER, SERVER)));
    assert_int_equal(answer_length, 0);
    assert_true(take(arp_make(2, SERVER, OTHER)));
    assert_int_equal(answer_length, 0);
    for (uint32_t i = 0; i < arp_make(1, GUEST, SERVER); i++)
        assert_false(take(i));
}

static void test_echo(void **state)
{
    uint32_t length = ip_make(service_mac, SERVER, ICMP, 64);

    frame[34] = 8;
    memset(frame + 38, 0x5a, 60);
    assert_true(take(length));
    check_ip(ICMP, GUEST);
    assert_memory_equal(answer, guest_mac, 6);
    assert_int_equal(answer[34], 0);
    assert_memory_equal(answer + 38, frame + 38, 60);

    /* The longest that is answered, and one byte more. */
    length = ip_make(service_mac, SERVER, ICMP, SERVICE_ANSWER_MAX - 34);
    frame[34] = 8;
    assert_true(take(length));
    check_ip(ICMP, GUEST);
    length = ip_make(service_mac, SERVER, ICMP, SERVICE_ANSWER_MAX - 33);
    frame[34] = 8;
    assert_true(take(length));
    assert_int_equal(answer_length, 0);

    /* An answer is not answered, nor what is too short. */
    length = ip_make(service_mac, SERVER, ICMP, 64);
    assert_true(take(length));
    assert_int_equal(answer_length, 0);
    length = ip_make(service_mac, SERVER, ICMP, 7);
    frame[34] = 8;
    assert_true(take(length));
    assert_int_equal(answer_length, 0);
    length = ip_make(other_mac, OTHER, ICMP, 64);
    frame[34] = 8;
    assert_false(take(length));
}

static void test_dns(void **state)
{
    static const uint8_t query[] = "\1\2\0\0\0\1\0\0\0\0\0\0\5other\0\0\1\0";
    uint32_t length = udp_make(service_mac, SERVER, 53, query, sizeof(query));

    frame[42 + sizeof(query) - 1] = 1;
    assert_true(take(length));
    check_ip(UDP, GUEST);
    assert_int_equal(load_be16(answer + 34), 53);
    assert_int_equal(load_be16(answer + 36), 4000);
    assert_int_equal(load_be32(answer + answer_length - 4), OTHER);
    /* Somebody else's server is somebody else's. */
    assert_false(take(udp_make(other_mac, OTHER, 53, query, sizeof(query))));
    assert_true(take(udp_make(service_mac, SERVER, 54, query, sizeof(query))));
    assert_int_equal(answer_length, 0);
}

static void test_dhcp(void **state)
{
    uint8_t message[244] = {1, 1, 6};
    uint32_t length;

    memcpy(message + 28, guest_mac, 6);
    memcpy(message + 236, "\x63\x82\x53\x63\x35\x01\x01\xff", 8);
    length = udp_make(all_mac, (uint32_t)TO_ALL, 67, message, sizeof(message));
    store_be32(frame + 26, 0);
    assert_true(take(length));
    check_ip(UDP, GUEST);
    assert_memory_equal(answer, guest_mac, 6);
    assert_int_equal(load_be16(answer + 34), 67);
    assert_int_equal(load_be16(answer + 36), 68);
    assert_int_equal(load_be32(answer + 58), GUEST);
    /* To all where the client cannot be reached yet. */
    message[10] = 0x80;
    assert_true(take(udp_make(all_mac, (uint32_t)TO_ALL, 67, message, sizeof(message))));
    check_ip(UDP, (uint32_t)TO_ALL);
    assert_memory_equal(answer, all_mac, 6);
    /* Other ports hear nothing of it, whatever it is. */
    assert_true(take(udp_make(all_mac, (uint32_t)TO_ALL, 67, "x", 1)));
    assert_int_equal(answer_length, 0);
    assert_false(take(udp_make(all_mac, (uint32_t)TO_ALL, 68, message, sizeof(message))));
}

/* Each field that tells a length, with each value; then each place where the frame can end. */
static void test_hostile_lengths(void **state)
{
    static const uint8_t query[] = "\1\2\0\0\0\1\0\0\0\0\0\0\5other\0\0\1\0";
    uint32_t length = udp_make(service_mac, SERVER, 53, query, sizeof(query));

    for (unsigned i = 0; i < 0x10000; i++) {
        udp_make(service_mac, SERVER, 53, query, sizeof(query));
        store_be16(frame + 16, (uint16_t)i);
        assert_true(take(length));
        if (i > length - 14)
            assert_int_equal(answer_length, 0);
        udp_make(service_mac, SERVER, 53, query, sizeof(query));
        store_be16(frame + 38, (uint16_t)i);
        assert_true(take(length));
        if (i > length - 34 || i < 8 + 12)
            assert_int_equal(answer_length, 0);
    }
    for (unsigned i = 0; i < 256; i++) {
        udp_make(service_mac, SERVER, 53, query, sizeof(query));
        frame[14] = (uint8_t)i;
        assert_true(take(length));
        assert_int_equal(answer_length != 0, i == 0x45);
    }
    udp_make(service_mac, SERVER, 53, query, sizeof(query));
    for (uint32_t i = 0; i < length; i++) {
        assert_int_equal(take(i), i >= 14);
        assert_int_equal(answer_length, 0);
    }
}

static void test_fragments(void **state)
{
    uint32_t length = ip_make(service_mac, SERVER, ICMP, 64);

    frame[34] = 8;
    frame[20] = 0x40; /* do not fragment */
    assert_true(take(length) && answer_length);
    frame[20] = 0x20; /* more follow */
    assert_true(take(length) && !answer_length);
    frame[20] = 0;
    frame[21] = 1; /* not the first */
    assert_true(take(length) && !answer_length);
}

static void test_leaves_the_rest(void **state)
{
    frame_make(all_mac, 0x86dd);
    assert_false(take(60));
    frame_make(service_mac, 0x86dd); /* nobody else has that address */
    assert_true(take(60));
    assert_int_equal(answer_length, 0);
    assert_true(take(ip_make(service_mac, SERVER, TCP, 20)));
    assert_int_equal(answer_length, 0);
    assert_false(take(ip_make(other_mac, OTHER, TCP, 20)));
    assert_false(take(udp_make(other_mac, OTHER, 67, "x", 1)));
}

static void test_forgery(void **state)
{
    uint32_t length = ip_make(guest_mac, GUEST, UDP, 20);

    assert_false(service_is_forged(&service, frame, length));
    store_be32(frame + 26, SERVER);
    assert_true(service_is_forged(&service, frame, length));
    assert_false(service_is_forged(&service, frame, 33)); /* no header */
    length = arp_make(2, OTHER, GUEST);
    assert_false(service_is_forged(&service, frame, length));
    length = arp_make(2, SERVER, GUEST);
    assert_true(service_is_forged(&service, frame, length));
    frame_make(guest_mac, 0x86dd);
    assert_false(service_is_forged(&service, frame, 60));
    memcpy(frame + 6, service_mac, 6);
    assert_true(service_is_forged(&service, frame, 60));
    assert_false(service_is_forged(&service, frame, 13));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arp),       cmocka_unit_test(test_arp_of_others),
        cmocka_unit_test(test_echo),      cmocka_unit_test(test_dns),
        cmocka_unit_test(test_dhcp),      cmocka_unit_test(test_hostile_lengths),
        cmocka_unit_test(test_fragments), cmocka_unit_test(test_leaves_the_rest),
        cmocka_unit_test(test_forgery),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
