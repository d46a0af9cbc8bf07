/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which extensions the hart has: one table (extensions.inc) for the device tree's strings, for the
 * decoder's instructions and for a check that nothing is told that depends on something absent.
 */
#ifndef HOSPES_CPU_RISCV_EXTENSIONS_H
#define HOSPES_CPU_RISCV_EXTENSIONS_H

#include <stdint.h>

enum riscv_extension {
#define EXTENSION(id, name, needs) RISCV_EXT_##id,
#define LETTER                     EXTENSION
#define UNTOLD                     EXTENSION
#define PAGING48                   EXTENSION
#define PAGING57                   EXTENSION
#include "cpu/riscv/extensions.inc"
#undef EXTENSION
#undef LETTER
#undef UNTOLD
#undef PAGING48
#undef PAGING57
    RISCV_EXT_COUNT
};

struct riscv_extension_row {
    const char *name;
    uint64_t needs; /* bit n: enum riscv_extension n */
};

extern const struct riscv_extension_row riscv_extensions[RISCV_EXT_COUNT];

/* misa for these extensions. Privileged, "Machine ISA (misa) Register". */
uint64_t riscv_misa(void);

#endif
