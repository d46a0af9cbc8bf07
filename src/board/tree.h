/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing a flattened device tree in one pass: a thin layer over libfdt's sequential functions
 * that keeps the first error, so that a board reads as the tree it describes.
 *
 * Source: Devicetree Specification 0.4.
 */
#ifndef HOSPES_BOARD_TREE_H
#define HOSPES_BOARD_TREE_H

#include <stdint.h>

#include "base/compiler.h"
#include "base/error.h"

struct tree {
    void *buffer;
    uint32_t size;
    int fault; /* libfdt's first error; 0 while all went well */
};

/* Begins a tree in `buffer` (the caller's) with the root node open. */
void tree_begin(struct tree *tree, void *buffer, uint32_t size);
/* Closes the root; *used is the size of the whole. */
int tree_end(struct tree *tree, uint32_t *used, struct error *error) MUST_CHECK;

void tree_node(struct tree *tree, const char *format, ...) PRINTF(2, 3);
void tree_node_end(struct tree *tree);
void tree_empty(struct tree *tree, const char *name);
void tree_u32(struct tree *tree, const char *name, uint32_t value);
void tree_u64(struct tree *tree, const char *name, uint64_t value);
void tree_string(struct tree *tree, const char *name, const char *value);
void tree_bytes(struct tree *tree, const char *name, const void *value, uint32_t size);
/* `count` cells in host order. */
void tree_cells(struct tree *tree, const char *name, const uint32_t *cells, unsigned count);
/* NULL-terminated list. */
void tree_strings(struct tree *tree, const char *name, const char *const *values);
/* #address-cells = #size-cells = 2. */
void tree_reg(struct tree *tree, uint64_t base, uint64_t size);

#endif
