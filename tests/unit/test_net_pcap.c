/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes of a capture file, against the tables of draft-gharris-opsawg-pcap. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include "network/pcap.h"

static void test_file_header(void **state)
{
    static const uint8_t expected[PCAP_FILE_HEADER] = {
        0xd4, 0xc3, 0xb2, 0xa1,             /* microseconds, little-endian */
        2,    0,    4,    0,                /* version */
        0,    0,    0,    0,    0, 0, 0, 0, /* reserved */
        0x0e, 0,    1,    0,                /* 65550 */
        1,    0,    0,    0,                /* Ethernet */
    };
    uint8_t header[PCAP_FILE_HEADER];

    pcap_file_header(header);
    assert_memory_equal(header, expected, sizeof(expected));
}

static void test_record_header(void **state)
{
    static const uint8_t expected[PCAP_RECORD_HEADER] = {
        0x78, 0x56, 0x34, 0x12, /* seconds */
        0x3f, 0x42, 0x0f, 0,    /* 999,999 microseconds */
        0xea, 0x05, 0,    0,    /* 1514 captured */
        0xea, 0x05, 0,    0,    /* of 1514 */
    };
    uint8_t header[PCAP_RECORD_HEADER];

    pcap_record_header(header, 0x12345678 * UINT64_C(1000000000) + 999999999, 1514);
    assert_memory_equal(header, expected, sizeof(expected));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file_header),
        cmocka_unit_test(test_record_header),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
