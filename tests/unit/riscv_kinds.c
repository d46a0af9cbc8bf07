/* SPDX-License-Identifier: Apache-2.0 */
#include "riscv_kinds.h"

#include "cpu/riscv/hart.h"

int kinds_run(int (*group)(const char *name, const struct kind *kind))
{
    static const struct kind kinds[] = {
        {&riscv_interpreter, NULL},
        {&riscv_translator, "heat=0"},
        {&riscv_translator, "heat=2,unit=3,windows=2"},
        {&riscv_translator, "heat=0,regions=2"},
    };
    int failed = group("interpreter", &kinds[0]);

    if (!riscv_translator_missing()) {
        failed += group("translator", &kinds[1]);
        failed += group("translator with small units", &kinds[2]);
        failed += group("translator with regions", &kinds[3]);
    }
    return failed;
}
