/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/riscv/extensions.h"

#include <stddef.h>

#include "cpu/riscv/hart.h"

#define NEEDS(id) (UINT64_C(1) << RISCV_EXT_##id)

const struct riscv_extension_row riscv_extensions[RISCV_EXT_COUNT] = {
#define EXTENSION(id, name, needs) [RISCV_EXT_##id] = {name, needs},
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
};

_Static_assert(RISCV_EXT_COUNT <= 64, "the needs of an extension are one word");

#define UNTOLD(id, name, needs)

/* The strings and the lists for 39, 48 and 57 bits of virtual addresses. */

#define LETTER(id, name, needs)    name
#define EXTENSION(id, name, needs) "_" name

#define PAGING48(id, name, needs)
#define PAGING57(id, name, needs)
static const char isa_string_39[] = "rv64"
#include "cpu/riscv/extensions.inc"
    ;
#undef PAGING48
#define PAGING48 EXTENSION
static const char isa_string_48[] = "rv64"
#include "cpu/riscv/extensions.inc"
    ;
#undef PAGING57
#define PAGING57 EXTENSION
static const char isa_string_57[] = "rv64"
#include "cpu/riscv/extensions.inc"
    ;
#undef PAGING48
#undef PAGING57
#undef EXTENSION
#undef LETTER

#define LETTER(id, name, needs)    name,
#define EXTENSION(id, name, needs) name,

#define PAGING48(id, name, needs)
#define PAGING57(id, name, needs)
static const char *const isa_extensions_39[] = {
#include "cpu/riscv/extensions.inc"
    NULL,
};
#undef PAGING48
#define PAGING48 EXTENSION
static const char *const isa_extensions_48[] = {
#include "cpu/riscv/extensions.inc"
    NULL,
};
#undef PAGING57
#define PAGING57 EXTENSION
static const char *const isa_extensions_57[] = {
#include "cpu/riscv/extensions.inc"
    NULL,
};

const char *riscv_isa_string(unsigned address_bits)
{
    return address_bits == 39 ? isa_string_39 : address_bits == 48 ? isa_string_48 : isa_string_57;
}

const char *const *riscv_isa_extensions(unsigned address_bits)
{
    return address_bits == 39   ? isa_extensions_39
           : address_bits == 48 ? isa_extensions_48
                                : isa_extensions_57;
}

uint64_t riscv_misa(void)
{
    uint64_t misa = UINT64_C(2) << 62; /* MXL: 64 */

    for (unsigned i = 0; riscv_extensions[i].name[1] == '\0'; i++)
        misa |= UINT64_C(1) << (riscv_extensions[i].name[0] - 'a');
    return misa | 1 << ('s' - 'a') | 1 << ('u' - 'a');
}
