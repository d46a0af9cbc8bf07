/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables that the CPU is made of hold together: every row can be decoded to itself, every
 * instruction has an implementation, every extension has what it needs; and a decoder fed with
 * anything answers with something that is in range.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cpu/riscv/decode.h"
#include "cpu/riscv/hart.h"
#include "cpu/riscv/interpreter.h"

static void test_rows_decode_to_themselves(void **state)
{
    for (unsigned id = 1; id < RISCV_INSN_COUNT; id++) {
        const struct riscv_insn_type *type = &riscv_insn_types[id];
        struct riscv_insn insn;

        assert_int_equal(type->match & ~type->mask, 0);
        assert_int_equal(type->match & 3, 3);
        /* With an rd, so that it is not the hint that borrows its encoding. */
        riscv_decode(type->match | (0x80 & ~type->mask), &insn);
        if (insn.id != id)
            fail_msg("%s decodes as %s", type->mnemonic, riscv_insn_types[insn.id].mnemonic);
    }
}

static void test_every_instruction_is_implemented(void **state)
{
    for (unsigned id = 0; id < RISCV_INSN_COUNT; id++) {
        bool hint = riscv_insn_types[id].format == RISCV_FORMAT_PREFETCH;

        if (!execute_handler(id) && !execute_function(id) && !hint && id != RISCV_INSN_LUI)
            fail_msg("nothing executes %s", riscv_insn_types[id].mnemonic);
    }
}

static void test_every_extension_has_its_needs(void **state)
{
    for (unsigned i = 0; i < RISCV_EXT_COUNT; i++)
        for (unsigned need = 0; need < 64; need++)
            if (riscv_extensions[i].needs >> need & 1) {
                assert_true(need < RISCV_EXT_COUNT);
                assert_int_not_equal(need, i);
            }
}

/* "rv64" and single letters, then every other name once, each class in the order of the rules:
 * Z by the order of the letters that follow and then by alphabet, S by alphabet. */
static void test_isa_string(void **state)
{
    static const char classes[] = "imafdqlcbkjtpvh";
    const char *const *list = riscv_isa_extensions(57);
    const char *previous = NULL;
    char joined[1024] = "rv64";

    for (unsigned i = 0; list[i]; i++) {
        const char *name = list[i];

        if (name[1])
            strcat(joined, "_");
        strcat(joined, name);
        if (previous && previous[1] && previous[0] == name[0] && name[0] == 's')
            assert_true(strcmp(previous, name) < 0);
        if (previous && previous[1] && previous[0] == 'z' && name[0] == 'z') {
            const char *a = strchr(classes, previous[1]), *b = strchr(classes, name[1]);

            assert_non_null(a);
            assert_non_null(b);
            assert_true(a < b || (a == b && strcmp(previous, name) < 0));
        }
        previous = name;
    }
    assert_string_equal(joined, riscv_isa_string(57));
    assert_memory_equal(joined, "rv64imafdc_", 11);
}

struct example {
    uint32_t word;
    uint16_t id;
    uint8_t length, rd, rs1, rs2;
    int32_t imm;
};

/* Words made by the GNU assembler. */
static void test_examples(void **state)
{
    static const struct example examples[] = {
        {0xfff28293, RISCV_INSN_ADDI, 4, 5, 5, 0, -1},      /* addi t0, t0, -1 */
        {0x7ff33ebb, RISCV_INSN_ILLEGAL, 4, 0, 0, 0, 0},    /* reserved in OP-32 */
        {0xfe5318e3, RISCV_INSN_BNE, 4, 0, 6, 5, -16},      /* bne t1, t0, .-16 */
        {0x800000ef, RISCV_INSN_JAL, 4, 1, 0, 0, -1048576}, /* jal ra, .-1048576 */
        {0xfe62bc23, RISCV_INSN_SD, 4, 0, 5, 6, -8},        /* sd t1, -8(t0) */
        {0x43f5d513, RISCV_INSN_SRAI, 4, 10, 11, 0, 63},    /* srai a0, a1, 63 */
        {0x0000, RISCV_INSN_ILLEGAL, 2, 0, 0, 0, 0},
        {0x1141, RISCV_INSN_ADDI, 2, 2, 2, 0, -16},   /* addi sp, sp, -16 */
        {0xe406, RISCV_INSN_SD, 2, 0, 2, 1, 8},       /* sd ra, 8(sp) */
        {0x8082, RISCV_INSN_JALR, 2, 0, 1, 0, 0},     /* ret */
        {0x7179, RISCV_INSN_ADDI, 2, 2, 2, 0, -48},   /* addi sp, sp, -48 */
        {0x0068, RISCV_INSN_ADDI, 2, 10, 2, 0, 12},   /* addi a0, sp, 12 */
        {0xbfcd, RISCV_INSN_JAL, 2, 0, 0, 0, -14},    /* j .-14 */
        {0xd9f5, RISCV_INSN_BEQ, 2, 0, 11, 0, -12},   /* beqz a1, .-12 */
        {0x852e, RISCV_INSN_ADD, 2, 10, 0, 11, 0},    /* mv a0, a1 */
        {0x9002, RISCV_INSN_EBREAK, 2, 0, 0, 0, 0},   /* ebreak */
        {0x8002, RISCV_INSN_ILLEGAL, 2, 0, 0, 0, 0},  /* jr x0: reserved */
        {0x2001, RISCV_INSN_ILLEGAL, 2, 0, 0, 0, 0},  /* addiw x0: reserved */
        {0x6501, RISCV_INSN_ILLEGAL, 2, 0, 0, 0, 0},  /* lui with 0: reserved */
        {0x757d, RISCV_INSN_LUI, 2, 10, 0, 0, -4096}, /* lui a0, 0xfffff */
        {0x4502, RISCV_INSN_LW, 2, 10, 2, 0, 0},      /* lw a0, 0(sp) */
        {0x9d0d, RISCV_INSN_SUBW, 2, 10, 10, 11, 0},  /* subw a0, a0, a1 */
    };

    for (unsigned i = 0; i < ARRAY_SIZE(examples); i++) {
        const struct example *e = &examples[i];
        struct riscv_insn insn;

        riscv_decode(e->word, &insn);
        if (insn.id != e->id || insn.length != e->length || insn.rd != e->rd ||
            insn.rs1 != e->rs1 || insn.rs2 != e->rs2 || insn.imm != e->imm)
            fail_msg("%08x: %s length %u rd %u rs1 %u rs2 %u imm %d", e->word,
                     riscv_insn_types[insn.id].mnemonic, insn.length, insn.rd, insn.rs1, insn.rs2,
                     insn.imm);
    }
}

static void check_ranges(uint32_t word)
{
    struct riscv_insn insn;

    memset(&insn, 0xff, sizeof(insn));
    riscv_decode(word, &insn);
    assert_true(insn.id < RISCV_INSN_COUNT);
    assert_int_equal(insn.length, riscv_insn_length(word));
    assert_true(insn.rd < 32 && insn.rs1 < 32 && insn.rs2 < 32 && insn.rs3 < 32);
    assert_true(insn.rm <= 4 || insn.rm == RISCV_RM_DYN);
    assert_int_equal(insn.raw, insn.length == 2 ? word & 0xffff : word);
}

static void test_anything_decodes(void **state)
{
    uint32_t word = 1;

    for (unsigned i = 0; i < 0x10000; i++)
        check_ranges(i);
    for (unsigned i = 0; i < 1000000; i++) {
        word ^= word << 13;
        word ^= word >> 17;
        word ^= word << 5;
        check_ranges(word | 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_decode_to_themselves),
        cmocka_unit_test(test_every_instruction_is_implemented),
        cmocka_unit_test(test_every_extension_has_its_needs),
        cmocka_unit_test(test_isa_string),
        cmocka_unit_test(test_examples),
        cmocka_unit_test(test_anything_decodes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
