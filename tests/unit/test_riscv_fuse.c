/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which sequences are a compare-and-swap, by their registers, their jumps and where they stand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "cpu/riscv/fuse.h"
#include "memory/memory.h"
#include "riscv_code.h"

/* `at`: bytes into the page. */
static bool is_fused(const void *code, size_t size, unsigned at, struct compare_swap *swap)
{
    static uint8_t pages[2 * PAGE_SIZE];
    struct riscv_insn load;
    uint32_t first;

    memset(pages, 0, sizeof(pages));
    memcpy(pages + at, code, size);
    memcpy(&first, code, sizeof(first));
    riscv_decode(first, &load);
    return fuse_compare_swap(pages, at, &load, swap);
}

struct four {
    uint32_t words[4];
    bool fused;
    unsigned expected, width;
};

static const struct four fours[] = {
    {{LR_D(A5, A4, 0), BNE(A5, A1, 12), SC_D(A0, A2, A4, 0), BNEZ(A0, -12)}, true, A1, 8},
    {{LR_W(A5, A4, 3), BNE(A5, A1, 12), SC_W(A0, A2, A4, 1), BNEZ(A0, -12)}, true, A1, 4},
    {{LR_W(A5, A4, 2), BNE(A1, A5, 64), SC_W(A0, A2, A4, 0), BNE(0, A0, -12)}, true, A1, 4},
    {{LR_W(A5, A4, 0), BNE(A5, 0, -400), SC_W(A0, 0, A4, 0), BNEZ(A0, -12)}, true, 0, 4},
    /* The result of sc may be any. */
    {{LR_D(A5, A4, 0), BNE(A5, A1, 12), SC_D(A5, A2, A4, 0), BNEZ(A5, -12)}, true, A1, 8},
    {{LR_D(A5, A4, 0), BNE(A5, A1, 12), SC_D(A4, A2, A4, 0), BNEZ(A4, -12)}, true, A1, 8},
    {{LR_D(A5, A4, 0), BNE(A5, A1, 12), SC_D(A1, A1, A4, 0), BNEZ(A1, -12)}, true, A1, 8},
    {{LR_D(A5, A4, 0), BNE(A5, A4, 12), SC_D(A0, A4, A4, 0), BNEZ(A0, -12)}, true, A4, 8},
    /* But that of lr is read by nothing else. */
    {{LR_D(0, A4, 0), BNE(0, A1, 12), SC_D(A0, A2, A4, 0), BNEZ(A0, -12)}, false, 0, 0},
    {{LR_D(A4, A4, 0), BNE(A4, A1, 12), SC_D(A0, A2, A4, 0), BNEZ(A0, -12)}, false, 0, 0},
    {{LR_D(A5, A4, 0), BNE(A5, A5, 12), SC_D(A0, A2, A4, 0), BNEZ(A0, -12)}, false, 0, 0},
    {{LR_D(A5, A4, 0), BNE(A5, A1, 12), SC_D(A0, A5, A4, 0), BNEZ(A0, -12)}, false, 0, 0},
    /* Others. */
    {{LR_D(A5, A4, 0), BNE(A5, A1, 12), SC_D(0, A2, A4, 0), BNEZ(0, -12)}, false, 0, 0},
    {{LR_D(A5, A4, 0), BNE(A5, A1, 12), SC_D(0, A2, A4, 0), NOP}, false, 0, 0},
    {{LR_D(A5, A4, 0), BNE(A5, A1, 12), SC_W(A0, A2, A4, 0), BNEZ(A0, -12)}, false, 0, 0},
    {{LR_W(A5, A4, 0), BNE(A5, A1, 12), SC_D(A0, A2, A4, 0), BNEZ(A0, -12)}, false, 0, 0},
    {{LR_D(A5, A4, 0), BNE(A5, A1, 12), SC_D(A0, A2, A3, 0), BNEZ(A0, -12)}, false, 0, 0},
    {{LR_D(A5, A4, 0), BNE(A6, A1, 12), SC_D(A0, A2, A4, 0), BNEZ(A0, -12)}, false, 0, 0},
    {{LR_D(A5, A4, 0), BEQ(A5, A1, 12), SC_D(A0, A2, A4, 0), BNEZ(A0, -12)}, false, 0, 0},
    {{LR_D(A5, A4, 0), BNE(A5, A1, 12), SC_D(A0, A2, A4, 0), BNEZ(A0, -8)}, false, 0, 0},
    {{LR_D(A5, A4, 0), BNE(A5, A1, 12), SC_D(A0, A2, A4, 0), BNEZ(A0, -16)}, false, 0, 0},
    {{LR_D(A5, A4, 0), BNE(A5, A1, 12), SC_D(A0, A2, A4, 0), BNEZ(A3, -12)}, false, 0, 0},
    {{LR_D(A5, A4, 0), BNE(A5, A1, 12), SC_D(A0, A2, A4, 0), BNE(A0, A3, -12)}, false, 0, 0},
    {{LR_D(A5, A4, 0), BNE(A5, A1, 12), SC_D(A0, A2, A4, 0), BEQZ(A0, -12)}, false, 0, 0},
    {{LR_D(A5, A4, 0), ADDI(A2, A5, 1), SC_D(A0, A2, A4, 0), BNEZ(A0, -12)}, false, 0, 0},
    {{LD(A5, A4, 0), BNE(A5, A1, 12), SC_D(A0, A2, A4, 0), BNEZ(A0, -12)}, false, 0, 0},
};

static void test_sequences(void **state)
{
    for (unsigned i = 0; i < ARRAY_SIZE(fours); i++) {
        const struct four *four = &fours[i];
        struct compare_swap swap;

        if (is_fused(four->words, sizeof(four->words), 0x100, &swap) != four->fused)
            fail_msg("sequence %u", i);
        if (!four->fused)
            continue;
        assert_int_equal(swap.expected, four->expected);
        assert_int_equal(swap.width, four->width);
    }
}

/* c.bnez in place of the last branch, and of both. */
static const uint16_t last[] = {0x27af, 0x1007, 0x9563, 0x00b7, 0x252f, 0x18c7, 0xf975};
static const uint16_t both[] = {0x27af, 0x1007, 0xe781, 0x252f, 0x18c7, 0xf97d};
static void test_compressed(void **state)
{
    struct compare_swap swap;

    assert_true(is_fused(last, sizeof(last), 0x100, &swap));
    assert_int_equal(swap.expected, A1);
    assert_true(is_fused(both, sizeof(both), 0x100, &swap));
    assert_int_equal(swap.expected, 0);
}

/* All of it is in the page. */
static void test_end_of_page(void **state)
{
    for (unsigned at = PAGE_SIZE - 32; at <= PAGE_SIZE - 4; at += 2) {
        struct compare_swap swap;

        assert_int_equal(is_fused(fours[0].words, sizeof(fours[0].words), at, &swap),
                         at <= PAGE_SIZE - 16);
        assert_int_equal(is_fused(last, sizeof(last), at, &swap), at <= PAGE_SIZE - 14);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sequences),
        cmocka_unit_test(test_compressed),
        cmocka_unit_test(test_end_of_page),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
