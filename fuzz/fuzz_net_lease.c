/* SPDX-License-Identifier: Apache-2.0 */
/* The file of leases: what is read of it can be written and read again, and is the same. */
#include <stdlib.h>

#include "base/error.h"
#include "input.h"
#include "network/lease.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct lease_table table, again;
    static char text[LEASE_TEXT_MAX];
    char *exact = malloc(size ? size : 1);

    BUG_ON(!exact);
    memcpy(exact, data, size);
    if (lease_parse(exact, size, &table)) {
        size_t length = lease_format(&table, text);

        BUG_ON(length >= sizeof(text) || !lease_parse(text, length, &again));
        BUG_ON(again.count != table.count || again.subnet != table.subnet);
        for (unsigned i = 0; i < table.count; i++) {
            BUG_ON(table.leases[i].host < 2 || table.leases[i].host > 254);
            BUG_ON(lease_find(&again, table.leases[i].name, table.leases[i].index) !=
                   table.leases[i].host);
        }
    }
    free(exact);
    return 0;
}
