/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of a guest to its network's own address: ARP, ICMP, DHCP and DNS behind their headers.
 * Whatever is answered is a frame whose lengths are right, and passes as the network's own. */
#include <stdlib.h>

#include "base/error.h"
#include "input.h"
#include "network/packet.h"
#include "network/service.h"

static bool find(void *ctx, const char *machine, uint32_t *address)
{
    *address = 0x0a010202;
    BUG_ON(strlen(machine) > DNS_NAME_MAX);
    return machine[0] == 'a';
}

static const struct service service = {
    .lease = {.mac = {0x52, 0x54, 0, 1, 2, 3},
              .address = 0x0a010207,
              .mask = 0xffffff00,
              .server = 0x0a010201,
              .host = "guest",
              .domain = "lab"},
    .zone = {.network = "lab", .find = find},
};

static void check_answer(const uint8_t *answer, uint32_t length)
{
    BUG_ON(length < 14 + 28 || length > SERVICE_ANSWER_MAX);
    BUG_ON(!service_is_forged(&service, answer, length));
    if (load_be16(answer + 12) == 0x0806)
        return;
    BUG_ON(load_be16(answer + 16) != length - 14);
    BUG_ON(packet_checksum(packet_sum(0, answer + 14, 20)) != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t answer[SERVICE_ANSWER_MAX];
    uint32_t length;
    uint8_t *exact;

    /* In a buffer of its size, so that what is read behind it shows. */
    exact = malloc(size ? size : 1);
    BUG_ON(!exact);
    memcpy(exact, data, size);
    if (service_take(&service, exact, (uint32_t)size, answer, &length)) {
        if (length)
            check_answer(answer, length);
    } else {
        BUG_ON(length);
    }
    service_is_forged(&service, exact, (uint32_t)size);
    free(exact);
    return 0;
}
