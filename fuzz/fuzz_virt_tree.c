/* SPDX-License-Identifier: Apache-2.0 */
/* The writer of the device tree: any machine in a buffer of any size gives a tree that libfdt finds
 * valid, or an error. */
#include <libfdt.h>
#include <stdlib.h>

#include "board/virt_tree.h"
#include "input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    struct error error = ERROR_INIT;
    char append[512];
    uint32_t used = 0, room;
    uint8_t *buffer;
    struct virt_tree_facts facts = {.append = append};
    size_t length;

    facts.ram_size = input_take(&input, 8);
    facts.hart_count = (unsigned)input_take(&input, 1) % 64 + 1;
    facts.slots = (uint32_t)input_take(&input, 1);
    facts.initrd_start = input_take(&input, 8);
    facts.initrd_end = input_take(&input, 8);
    room = (uint32_t)input_take(&input, 3) % (1u << 17);
    length = input_bytes(&input, append, sizeof(append) - 1);
    append[length] = 0;
    buffer = malloc(room + 1);
    BUG_ON(!buffer);
    if (virt_tree_write(&facts, buffer, room, &used, &error)) {
        BUG_ON(!error.message);
        error_release(&error);
    } else {
        BUG_ON(used > room || fdt_check_full(buffer, used));
    }
    free(buffer);
    return 0;
}
