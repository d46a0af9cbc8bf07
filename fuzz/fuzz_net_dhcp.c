/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of DHCP clients: an answer's options end inside it, and none is a router. */
#include <stdlib.h>

#include "base/error.h"
#include "input.h"
#include "network/dhcp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct dhcp_lease lease = {
        .mac = {0x52, 0x54, 0, 1, 2, 3},
        .address = 0x0a010207,
        .mask = 0xffffff00,
        .server = 0x0a010201,
        .host = "guest",
        .domain = "lab",
    };
    uint8_t *exact = malloc(size ? size : 1);
    struct dhcp_answer answer;
    uint32_t at = 240;

    BUG_ON(!exact);
    memcpy(exact, data, size);
    if (dhcp_answer(&lease, exact, (uint32_t)size, &answer)) {
        BUG_ON(answer.length < 300 || answer.length > DHCP_ANSWER_MAX);
        while (answer.bytes[at] != 255) {
            BUG_ON(answer.bytes[at] == 3);
            at += 2 + answer.bytes[at + 1];
            BUG_ON(at >= answer.length);
        }
    }
    free(exact);
    return 0;
}
