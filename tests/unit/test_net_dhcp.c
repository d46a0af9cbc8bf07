/* SPDX-License-Identifier: Apache-2.0 */
/* A client's messages in each state of RFC 2131, and what is no message of one. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include <string.h>

#include "network/dhcp.h"
#include "network/packet.h"

enum { DISCOVER = 1, OFFER, REQUEST, DECLINE, ACK, NAK, RELEASE, INFORM };
enum { ADDRESS = 0x0a0102fe, SERVER = 0x0a010201, ELSEWHERE = 0x0a010205, TO_ALL = -1 };

static const struct dhcp_lease lease = {
    .mac = {0x52, 0x54, 0, 1, 2, 3},
    .address = ADDRESS,
    .mask = 0xffffff00,
    .server = SERVER,
    .host = "web-1",
    .domain = "lab",
};

struct message {
    uint8_t bytes[400];
    uint32_t length;
};

static struct message message_make(unsigned type)
{
    struct message m = {.bytes = {1, 1, 6, 0, 0xde, 0xad, 0xbe, 0xef}, .length = 240};

    memcpy(m.bytes + 28, lease.mac, 6);
    store_be32(m.bytes + 236, 0x63825363);
    memcpy(m.bytes + m.length, (const uint8_t[]){53, 1, (uint8_t)type, 255}, 4);
    m.length += 3; /* its end is written again after each option */
    return m;
}

static void message_add(struct message *m, unsigned option, uint32_t value)
{
    m->bytes[m->length] = (uint8_t)option;
    m->bytes[m->length + 1] = 4;
    store_be32(m->bytes + m->length + 2, value);
    m->bytes[m->length + 6] = 255;
    m->length += 6;
}

static struct dhcp_answer answer;

static bool ask(const struct message *m)
{
    memset(&answer, 0xee, sizeof(answer));
    return dhcp_answer(&lease, m->bytes, m->length + 1, &answer);
}

/* The option's value; its length is checked. */
static const uint8_t *option(unsigned wanted, unsigned size)
{
    for (uint32_t at = 240; answer.bytes[at] != 255; at += 2 + answer.bytes[at + 1]) {
        assert_true(at + 2 < answer.length);
        if (answer.bytes[at] == wanted) {
            assert_int_equal(answer.bytes[at + 1], size);
            return answer.bytes + at + 2;
        }
    }
    return NULL;
}

static void check_answer(unsigned type, uint32_t address, uint32_t to)
{
    assert_true(answer.length >= 300 && answer.length <= DHCP_ANSWER_MAX);
    assert_memory_equal(answer.bytes, "\x02\x01\x06\x00\xde\xad\xbe\xef", 8);
    assert_int_equal(load_be32(answer.bytes + 16), address);
    assert_memory_equal(answer.bytes + 28, lease.mac, 6);
    assert_int_equal(load_be32(answer.bytes + 236), 0x63825363);
    assert_int_equal(*option(53, 1), type);
    assert_int_equal(load_be32(option(54, 4)), SERVER);
    assert_int_equal(answer.to, to);
    /* No way out, ever. */
    assert_null(option(3, 4));
    assert_null(option(121, 0));
}

static void check_network(void)
{
    assert_int_equal(load_be32(option(1, 4)), 0xffffff00);
    assert_int_equal(load_be32(option(28, 4)), 0x0a0102ff);
    assert_int_equal(load_be32(option(6, 4)), SERVER);
    assert_memory_equal(option(12, 5), "web-1", 5);
    assert_memory_equal(option(15, 3), "lab", 3);
}

static void test_discover(void **state)
{
    struct message m = message_make(DISCOVER);

    /* What a client wants or had elsewhere does not count. */
    message_add(&m, 50, ELSEWHERE);
    assert_true(ask(&m));
    check_answer(OFFER, ADDRESS, ADDRESS);
    check_network();
    assert_int_equal(load_be32(option(51, 4)), 86400);
    store_be16(m.bytes + 10, 0x8000);
    assert_true(ask(&m));
    check_answer(OFFER, ADDRESS, (uint32_t)TO_ALL);
    assert_int_equal(load_be16(answer.bytes + 10), 0x8000);
}

static void test_select(void **state)
{
    struct message m = message_make(REQUEST);

    message_add(&m, 54, SERVER);
    message_add(&m, 50, ADDRESS);
    assert_true(ask(&m));
    check_answer(ACK, ADDRESS, ADDRESS);
    check_network();
    assert_int_equal(load_be32(option(51, 4)), 86400);

    m = message_make(REQUEST);
    message_add(&m, 54, SERVER);
    message_add(&m, 50, ELSEWHERE);
    assert_true(ask(&m));
    check_answer(NAK, 0, (uint32_t)TO_ALL);
    assert_null(option(51, 4));

    /* Another server was chosen. */
    m = message_make(REQUEST);
    message_add(&m, 54, ELSEWHERE);
    message_add(&m, 50, ADDRESS);
    assert_false(ask(&m));
}

static void test_reboot(void **state)
{
    struct message m = message_make(REQUEST);

    message_add(&m, 50, ADDRESS);
    assert_true(ask(&m));
    check_answer(ACK, ADDRESS, ADDRESS);
    m = message_make(REQUEST);
    message_add(&m, 50, ELSEWHERE);
    assert_true(ask(&m));
    check_answer(NAK, 0, (uint32_t)TO_ALL);
    /* Neither asked for nor had. */
    m = message_make(REQUEST);
    assert_true(ask(&m));
    check_answer(NAK, 0, (uint32_t)TO_ALL);
}

static void test_renew(void **state)
{
    struct message m = message_make(REQUEST);

    store_be32(m.bytes + 12, ADDRESS);
    assert_true(ask(&m));
    check_answer(ACK, ADDRESS, ADDRESS);
    assert_int_equal(load_be32(answer.bytes + 12), ADDRESS);
    store_be32(m.bytes + 12, ELSEWHERE);
    assert_true(ask(&m));
    check_answer(NAK, 0, (uint32_t)TO_ALL);
}

static void test_inform(void **state)
{
    struct message m = message_make(INFORM);

    store_be32(m.bytes + 12, ELSEWHERE);
    assert_true(ask(&m));
    check_answer(ACK, 0, ELSEWHERE);
    check_network();
    assert_null(option(51, 4));
}

static void test_no_answer(void **state)
{
    static const unsigned types[] = {0, OFFER, DECLINE, ACK, NAK, RELEASE, 9, 255};
    static const struct {
        unsigned at;
        uint8_t value;
    } wrong[] = {{0, 2}, {1, 6}, {2, 7}, {27, 1}, {28, 0x54}, {33, 4}, {236, 0}, {239, 0}};

    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        struct message m = message_make(types[i]);

        assert_false(ask(&m));
    }
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct message m = message_make(DISCOVER);

        m.bytes[wrong[i].at] = wrong[i].value;
        assert_false(ask(&m));
    }
}

/* Each message that ends early, in a buffer of that size: options that are cut are no options. */
static void test_truncated(void **state)
{
    struct message m = message_make(DISCOVER);

    message_add(&m, 0, 0); /* a pad; then an option 4 of the length 0, and so on */
    message_add(&m, 50, ADDRESS);
    for (uint32_t i = 0; i <= m.length; i++) {
        uint8_t *exact = test_malloc(i ? i : 1);
        bool whole = i == 243 || i == 244 || i == 246 || i == 247 || i == 248 || i == 249 ||
                     i == 255 || i == m.length;

        memcpy(exact, m.bytes, i);
        if (dhcp_answer(&lease, exact, i, &answer) != whole)
            fail_msg("%u of %u bytes", i, m.length);
        test_free(exact);
    }
}

/* Options of another size than theirs are not theirs; of two the last counts. */
static void test_odd_options(void **state)
{
    struct message m = message_make(REQUEST);

    memcpy(m.bytes + m.length, (const uint8_t[]){54, 2, 1, 2, 50, 0, 53, 0, 255}, 9);
    m.length += 8;
    message_add(&m, 50, ELSEWHERE);
    message_add(&m, 50, ADDRESS);
    assert_true(ask(&m));
    check_answer(ACK, ADDRESS, ADDRESS);
}

static void test_longest_names(void **state)
{
    struct message m = message_make(DISCOVER);
    struct dhcp_lease longest = lease;
    char name[64];

    memset(name, 'x', 63);
    name[63] = 0;
    longest.host = longest.domain = name;
    assert_true(dhcp_answer(&longest, m.bytes, m.length + 1, &answer));
    assert_memory_equal(option(12, 63), name, 63);
    assert_memory_equal(option(15, 63), name, 63);
    assert_true(answer.length <= DHCP_ANSWER_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_discover),      cmocka_unit_test(test_select),
        cmocka_unit_test(test_reboot),        cmocka_unit_test(test_renew),
        cmocka_unit_test(test_inform),        cmocka_unit_test(test_no_answer),
        cmocka_unit_test(test_truncated),     cmocka_unit_test(test_odd_options),
        cmocka_unit_test(test_longest_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
