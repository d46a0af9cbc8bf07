/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two shifts and an "or" that are a rotation: which are, and that whatever the operations do stays
 * what it was, by an evaluator of the few operations that random sequences are made of.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "cpu/translate/ir.h"

enum { REGISTERS = 6, LENGTH = 12 };

static uint64_t random_state = 1;

static unsigned below(unsigned n)
{
    random_state = random_state * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (unsigned)(random_state >> 33) % n;
}

static struct ir_insn operation(enum ir_op op, unsigned width, ir_ref dst, ir_ref a, ir_ref b,
                                int64_t imm)
{
    return (struct ir_insn){
        .op = (uint8_t)op, .width = (uint8_t)width, .dst = dst, .a = a, .b = b, .imm = imm};
}

static uint64_t evaluated(const struct ir_insn *insn, uint64_t a, uint64_t b)
{
    unsigned bits = insn->width * 8, n = b & (bits - 1);
    uint64_t value;

    if (insn->width == 4 && insn->op >= IR_SHL && insn->op <= IR_ROTR)
        a = (uint32_t)a;
    switch (insn->op) {
    case IR_MOV:
        value = b;
        break;
    case IR_ADD:
        value = a + b;
        break;
    case IR_OR:
        value = a | b;
        break;
    case IR_XOR:
        value = a ^ b;
        break;
    case IR_SHL:
        value = a << n;
        break;
    case IR_SHR:
        value = a >> n;
        break;
    case IR_ROTR:
        value = n ? a >> n | a << (bits - n) : a;
        break;
    case IR_SHLADD:
        value = (a << insn->scale) + b;
        break;
    case IR_ZEXT32:
        value = (uint32_t)a;
        break;
    case IR_SEXT32:
        return (uint64_t)(int64_t)(int32_t)a;
    default:
        fail_msg("operation %u", insn->op);
        return 0;
    }
    return insn->width == 4 ? (uint64_t)(int64_t)(int32_t)value : value;
}

/* What is seen of it: the registers at each branch and at the end. */
static unsigned run(const struct ir_unit *unit, uint64_t seen[][REGISTERS + 1])
{
    uint64_t value[REGISTERS + 1] = {0};
    unsigned count = 0;

    for (unsigned i = 1; i <= REGISTERS; i++)
        value[i] = UINT64_C(0x9e3779b97f4a7c15) * i;
    for (unsigned i = 0; i < unit->count; i++) {
        const struct ir_insn *insn = &unit->insns[i];

        if (insn->op == IR_NOP)
            continue;
        if (insn->op == IR_BRANCH || insn->op == IR_JUMP) {
            memcpy(seen[count++], value, sizeof(value));
            continue;
        }
        value[insn->dst] = evaluated(insn, insn->a == IR_IMM ? 0 : value[insn->a],
                                     insn->b == IR_IMM ? (uint64_t)insn->imm : value[insn->b]);
        value[IR_ZERO] = 0;
    }
    return count;
}

static unsigned count_of(const struct ir_unit *unit, enum ir_op op)
{
    unsigned count = 0;

    for (unsigned i = 0; i < unit->count; i++)
        count += unit->insns[i].op == op;
    return count;
}

static void optimise_checked(struct ir_unit *unit)
{
    static uint64_t before[LENGTH + 1][REGISTERS + 1], after[LENGTH + 1][REGISTERS + 1];
    unsigned count;

    unit->insns[unit->count++] = operation(IR_JUMP, 8, IR_ZERO, IR_ZERO, IR_ZERO, 0);
    count = run(unit, before);
    ir_optimise(unit);
    assert_int_equal(run(unit, after), count);
    assert_memory_equal(after, before, count * sizeof(before[0]));
}

struct sequence {
    struct ir_insn insns[5];
    unsigned rotations, left; /* operations, with the rotation */
};

#define SHIFT(kind, w, d, s, n)                                                                    \
    {                                                                                              \
        .op = (kind), .width = (w), .dst = (d), .a = (s), .b = IR_IMM, .imm = (n)                  \
    }
#define BINARY(kind, w, d, s, t)                                                                   \
    {                                                                                              \
        .op = (kind), .width = (w), .dst = (d), .a = (s), .b = (t)                                 \
    }
#define RIGHT(d, s, n)  SHIFT(IR_SHR, 4, d, s, n)
#define LEFT(d, s, n)   SHIFT(IR_SHL, 4, d, s, n)
#define RIGHT8(d, s, n) SHIFT(IR_SHR, 8, d, s, n)
#define LEFT8(d, s, n)  SHIFT(IR_SHL, 8, d, s, n)
#define OR(d, s, t)     BINARY(IR_OR, 8, d, s, t)
#define XOR(d, s, t)    BINARY(IR_XOR, 8, d, s, t)
#define SUM(w, d, s, t) BINARY(IR_ADD, w, d, s, t)
#define MOVE(d, s)      BINARY(IR_MOV, 8, d, IR_ZERO, s)
#define SEEN            BINARY(IR_BRANCH, 8, IR_ZERO, IR_ZERO, IR_ZERO)

static const struct sequence sequences[] = {
    /* The other shift is seen, or not. */
    {{RIGHT(2, 1, 7), LEFT(3, 1, 25), OR(2, 2, 3)}, 1, 2},
    {{RIGHT(2, 1, 7), LEFT(3, 1, 25), OR(2, 2, 3), MOVE(3, 1)}, 1, 2},
    {{LEFT(2, 1, 25), RIGHT(3, 1, 7), OR(4, 3, 2), MOVE(3, 1), MOVE(2, 1)}, 1, 3},
    {{RIGHT8(2, 1, 7), LEFT8(3, 1, 57), XOR(2, 2, 3)}, 1, 2},
    {{RIGHT8(2, 1, 7), LEFT8(3, 1, 57), SUM(8, 2, 2, 3)}, 1, 2},
    {{RIGHT(2, 1, 7), LEFT(3, 1, 25), SUM(4, 2, 2, 3)}, 1, 2},
    {{RIGHT(2, 1, 7), LEFT(3, 1, 25), SUM(8, 2, 2, 3)}, 1, 2},
    {{RIGHT(2, 1, 7), SEEN, LEFT(3, 1, 25), SEEN, OR(2, 2, 3)}, 1, 3},
    /* In place. */
    {{RIGHT(2, 1, 7), LEFT(1, 1, 25), OR(1, 1, 2)}, 1, 2},
    {{RIGHT(2, 1, 7), LEFT(1, 1, 25), OR(2, 1, 2)}, 1, 2},
    {{RIGHT(2, 1, 7), LEFT(1, 1, 25), OR(3, 1, 2)}, 0, 3},
    {{RIGHT(2, 1, 7), LEFT(1, 1, 25), MOVE(4, 1), OR(1, 1, 2)}, 0, 4},
    {{RIGHT(2, 1, 7), LEFT(1, 1, 25), MOVE(4, 2), OR(2, 1, 2)}, 0, 4},
    {{RIGHT(2, 1, 7), LEFT(1, 1, 25), SEEN, OR(1, 1, 2)}, 0, 3},
    {{RIGHT(2, 1, 7), SEEN, LEFT(1, 1, 25), OR(2, 1, 2)}, 0, 3},
    {{RIGHT(2, 1, 7), SUM(8, 1, 1, 4), LEFT(1, 1, 25), OR(1, 1, 2)}, 0, 4},
    /* The source is another one meanwhile. */
    {{RIGHT(2, 1, 7), MOVE(1, 4), LEFT(3, 1, 25), OR(2, 2, 3)}, 0, 4},
    {{RIGHT(1, 1, 7), LEFT(3, 1, 25), OR(2, 1, 3)}, 0, 3},
    {{RIGHT(2, 1, 7), LEFT(3, 4, 25), OR(2, 2, 3)}, 0, 3},
    /* Others. */
    {{RIGHT(2, 1, 7), LEFT(3, 1, 24), OR(2, 2, 3)}, 0, 3},
    {{RIGHT(2, 1, 7), RIGHT(3, 1, 25), OR(2, 2, 3)}, 0, 3},
    {{RIGHT(2, 1, 0), LEFT(3, 1, 0), OR(2, 2, 3)}, 0, 3},
    {{RIGHT(2, 1, 7), LEFT8(3, 1, 57), OR(2, 2, 3)}, 0, 3},
    {{RIGHT(2, 1, 7), LEFT8(3, 1, 25), OR(2, 2, 3)}, 0, 3},
    {{RIGHT8(2, 1, 7), LEFT8(3, 1, 57), SUM(4, 2, 2, 3)}, 0, 3},
};

static void test_sequences(void **state)
{
    for (unsigned i = 0; i < ARRAY_SIZE(sequences); i++) {
        const struct sequence *sequence = &sequences[i];
        struct ir_unit unit = {.count = 0};
        unsigned left;

        while (unit.count < ARRAY_SIZE(sequence->insns) && sequence->insns[unit.count].op)
            unit.insns[unit.count] = sequence->insns[unit.count], unit.count++;
        optimise_checked(&unit);
        left = unit.count - 1 - count_of(&unit, IR_NOP) - count_of(&unit, IR_BRANCH);
        if (count_of(&unit, IR_ROTR) != sequence->rotations || left != sequence->left)
            fail_msg("sequence %u: %u operations", i, left);
    }
}

/* An operation that the guest does may write what it likes, and a label is come to from elsewhere.
 */
static void test_unknown(void **state)
{
    static const enum ir_op between[] = {IR_GUEST, IR_LABEL};

    for (unsigned i = 0; i < ARRAY_SIZE(between); i++) {
        struct ir_unit unit = {
            .count = 5,
            .insns =
                {RIGHT(2, 1, 7), {.op = (uint8_t)between[i]}, LEFT(3, 1, 25), OR(2, 2, 3), SEEN},
        };

        ir_optimise(&unit);
        assert_int_equal(count_of(&unit, IR_ROTR), 0);
    }
}

static struct ir_insn random_operation(void)
{
    static const enum ir_op ops[] = {IR_SHL, IR_SHL, IR_SHL, IR_SHR, IR_SHR, IR_SHR,
                                     IR_OR,  IR_OR,  IR_XOR, IR_ADD, IR_MOV, IR_BRANCH};
    enum ir_op op = ops[below(ARRAY_SIZE(ops))];
    unsigned width = op <= IR_XOR && op >= IR_AND ? 8 : below(2) ? 4 : 8;
    ir_ref dst = (ir_ref)(1 + below(REGISTERS)), a = (ir_ref)(1 + below(2));
    ir_ref b = (ir_ref)(1 + below(REGISTERS));

    if (op == IR_BRANCH)
        return operation(op, 8, IR_ZERO, IR_ZERO, IR_ZERO, 0);
    if (op == IR_MOV)
        return operation(op, 8, dst, IR_ZERO, b, 0);
    if (op == IR_SHL || op == IR_SHR)
        return operation(op, width, dst, a, IR_IMM,
                         (op == IR_SHL) ^ (width == 8) ? 8 : width * 8 - 8);
    return operation(op, width, dst, (ir_ref)(1 + below(REGISTERS)), b, 0);
}

static void test_random(void **state)
{
    unsigned rotations = 0;

    for (unsigned i = 0; i < 200000; i++) {
        struct ir_unit unit = {.count = 0};

        while (unit.count < LENGTH)
            unit.insns[unit.count++] = random_operation();
        optimise_checked(&unit);
        rotations += count_of(&unit, IR_ROTR);
    }
    /* They are there. */
    assert_true(rotations > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sequences),
        cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_random),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
