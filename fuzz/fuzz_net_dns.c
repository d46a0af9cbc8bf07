/* SPDX-License-Identifier: Apache-2.0 */
/* Queries to a network's name server: an answer has the question in it and ends where it says. */
#include <stdlib.h>

#include "base/error.h"
#include "input.h"
#include "network/dns.h"
#include "network/packet.h"

static bool find(void *ctx, const char *machine, uint32_t *address)
{
    *address = 0x0a010202;
    BUG_ON(strlen(machine) > DNS_NAME_MAX);
    return machine[0] == 'a';
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct dns_zone zone = {.network = "lab", .find = find};
    uint8_t answer[DNS_ANSWER_MAX];
    uint8_t *exact = malloc(size ? size : 1);
    uint32_t length;

    BUG_ON(!exact);
    memcpy(exact, data, size);
    length = dns_answer(&zone, exact, (uint32_t)size, answer);
    BUG_ON(length > DNS_ANSWER_MAX || (length && length < 12));
    if (length) {
        BUG_ON(memcmp(answer, exact, 2) != 0 || !(answer[2] & 0x80));
        BUG_ON(memcmp(answer + 12, exact + 12, length - 12 - 16u * load_be16(answer + 6)) != 0);
        /* What was answered is no query. */
        BUG_ON(dns_answer(&zone, answer, length, answer));
    }
    free(exact);
    return 0;
}
