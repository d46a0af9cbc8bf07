/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/riscv/extensions.h"

#include <stddef.h>

#include "cpu/riscv/hart.h"

#define NEEDS(id) (UINT64_C(1) << RISCV_EXT_##id)

const struct riscv_extension_row riscv_extensions[RISCV_EXT_COUNT] = {
#define EXTENSION(id, name, needs) [RISCV_EXT_##id] = {name, needs},
#define LETTER                     EXTENSION
#define UNTOLD                     EXTENSION
#include "cpu/riscv/extensions.inc"
#undef EXTENSION
#undef LETTER
#undef UNTOLD
};

_Static_assert(RISCV_EXT_COUNT <= 64, "the needs of an extension are one word");

#define UNTOLD(id, name, needs)

static const char isa_string[] = "rv64"
#define LETTER(id, name, needs)    name
#define EXTENSION(id, name, needs) "_" name
#include "cpu/riscv/extensions.inc"
#undef EXTENSION
#undef LETTER
    ;

static const char *const isa_extensions[] = {
#define LETTER(id, name, needs)    name,
#define EXTENSION(id, name, needs) name,
#include "cpu/riscv/extensions.inc"
#undef EXTENSION
#undef LETTER
    NULL,
};

const char *riscv_isa_string(void)
{
    return isa_string;
}

const char *const *riscv_isa_extensions(void)
{
    return isa_extensions;
}

uint64_t riscv_misa(void)
{
    uint64_t misa = UINT64_C(2) << 62; /* MXL: 64 */

    for (unsigned i = 0; riscv_extensions[i].name[1] == '\0'; i++)
        misa |= UINT64_C(1) << (riscv_extensions[i].name[0] - 'a');
    return misa | 1 << ('s' - 'a') | 1 << ('u' - 'a');
}
