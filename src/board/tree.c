/* SPDX-License-Identifier: Apache-2.0 */
#include "board/tree.h"

#include <errno.h>
#include <libfdt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TREE_SLACK 8192u /* bytes */

static void tree_note(struct tree *tree, int result)
{
    if (!tree->fault && result < 0)
        tree->fault = result;
}

void tree_begin(struct tree *tree, void *buffer, uint32_t size)
{
    *tree = (struct tree){.buffer = buffer, .size = size};
    tree_note(tree, fdt_create(buffer, (int)size));
    tree_note(tree, fdt_finish_reservemap(buffer));
    tree_note(tree, fdt_begin_node(buffer, ""));
}

int tree_end(struct tree *tree, uint32_t *used, struct error *error)
{
    tree_note(tree, fdt_end_node(tree->buffer));
    tree_note(tree, fdt_finish(tree->buffer));
    if (tree->fault)
        return error_set(error, ENOMEM, "cannot write the device tree: %s",
                         fdt_strerror(tree->fault));
    *used = fdt_totalsize(tree->buffer);
    /* Room to grow, as other firmware leaves it: boot loaders add to the tree where it lies, and
     * U-Boot 2023.01 copies it with too little of its own. */
    if (tree->size - *used >= TREE_SLACK) {
        memset((uint8_t *)tree->buffer + *used, 0, TREE_SLACK);
        *used += TREE_SLACK;
        fdt_set_totalsize(tree->buffer, *used);
    }
    return 0;
}

void tree_node(struct tree *tree, const char *format, ...)
{
    char name[64];
    va_list args;

    va_start(args, format);
    vsnprintf(name, sizeof(name), format, args);
    va_end(args);
    tree_note(tree, fdt_begin_node(tree->buffer, name));
}

void tree_node_end(struct tree *tree)
{
    tree_note(tree, fdt_end_node(tree->buffer));
}

void tree_bytes(struct tree *tree, const char *name, const void *value, uint32_t size)
{
    tree_note(tree, fdt_property(tree->buffer, name, value, (int)size));
}

void tree_empty(struct tree *tree, const char *name)
{
    tree_bytes(tree, name, "", 0);
}

void tree_u32(struct tree *tree, const char *name, uint32_t value)
{
    tree_note(tree, fdt_property_u32(tree->buffer, name, value));
}

void tree_u64(struct tree *tree, const char *name, uint64_t value)
{
    tree_note(tree, fdt_property_u64(tree->buffer, name, value));
}

void tree_string(struct tree *tree, const char *name, const char *value)
{
    tree_bytes(tree, name, value, (uint32_t)strlen(value) + 1);
}

void tree_cells(struct tree *tree, const char *name, const uint32_t *cells, unsigned count)
{
    void *place = NULL;

    tree_note(tree, fdt_property_placeholder(tree->buffer, name, (int)(count * 4), &place));
    for (unsigned i = 0; !tree->fault && i < count; i++)
        fdt32_st((uint8_t *)place + 4 * i, cells[i]);
}

void tree_strings(struct tree *tree, const char *name, const char *const *values)
{
    size_t size = 0;
    uint8_t *place = NULL;
    void *raw = NULL;

    for (unsigned i = 0; values[i]; i++)
        size += strlen(values[i]) + 1;
    tree_note(tree, fdt_property_placeholder(tree->buffer, name, (int)size, &raw));
    place = raw;
    for (unsigned i = 0; !tree->fault && values[i]; i++) {
        size_t length = strlen(values[i]) + 1;

        memcpy(place, values[i], length);
        place += length;
    }
}

void tree_reg(struct tree *tree, uint64_t base, uint64_t size)
{
    uint32_t cells[4] = {(uint32_t)(base >> 32), (uint32_t)base, (uint32_t)(size >> 32),
                         (uint32_t)size};

    tree_cells(tree, "reg", cells, 4);
}
