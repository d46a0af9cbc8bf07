/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is worth doing to any unit, at a cost that is linear in its length.
 *
 * Forward: a global that is known to hold a constant, or the page's address plus one, is replaced
 * by it where it is an address, a target or an operand. Backward: a result that is overwritten
 * before anything can see it is not computed.
 */
#include <string.h>

#include "cpu/translate/rotation.h"

bool ir_is_visible(const struct ir_insn *insn)
{
    switch (insn->op) {
    case IR_LOAD ... IR_FENCE:
    case IR_FLOAT_GUARD:
    case IR_FLAGS_READ ... IR_STEP:
        return true;
    default:
        /* The guest may have to do it, and reads what it wants. */
        return insn->fallback != NULL;
    }
}

/* ---- what is known of the globals ---- */

enum knowledge { UNKNOWN, CONSTANT, PAGE_PLUS };

struct known {
    uint8_t kind[IR_GLOBALS];
    int64_t value[IR_GLOBALS];
};

static enum knowledge kind_of(const struct known *known, ir_ref ref)
{
    return ref < IR_GLOBALS && ref != IR_ZERO ? known->kind[ref] : UNKNOWN;
}

static bool fits(int64_t value)
{
    return value == (int32_t)value;
}

static void learn(struct known *known, const struct ir_insn *insn)
{
    ir_ref dst = insn->dst;

    if (dst == IR_ZERO || dst >= IR_GLOBALS)
        return;
    known->kind[dst] = UNKNOWN;
    if (insn->op != IR_MOV)
        return;
    if (insn->b == IR_IMM || insn->b == IR_ZERO) {
        known->kind[dst] = CONSTANT;
        known->value[dst] = insn->b == IR_IMM ? insn->imm : 0;
    } else if (insn->b == IR_PAGE) {
        known->kind[dst] = PAGE_PLUS;
        known->value[dst] = insn->imm;
    } else if (insn->b < IR_GLOBALS) {
        known->kind[dst] = known->kind[insn->b];
        known->value[dst] = known->value[insn->b];
    }
}

static void make_constant(struct ir_insn *insn, int64_t value)
{
    if (insn->width == 4)
        value = (int32_t)value;
    insn->op = IR_MOV;
    insn->a = IR_ZERO;
    insn->b = value ? IR_IMM : IR_ZERO;
    insn->imm = value;
    insn->width = 8;
}

static bool fold(const struct ir_insn *insn, uint64_t a, uint64_t b, int64_t *value)
{
    unsigned mask = insn->width == 4 ? 31 : 63;

    switch (insn->op) {
    case IR_ADD:
        *value = (int64_t)(a + b);
        return true;
    case IR_SUB:
        *value = (int64_t)(a - b);
        return true;
    case IR_AND:
        *value = (int64_t)(a & b);
        return true;
    case IR_OR:
        *value = (int64_t)(a | b);
        return true;
    case IR_XOR:
        *value = (int64_t)(a ^ b);
        return true;
    case IR_SHL:
        *value = (int64_t)(a << (b & mask));
        return true;
    case IR_SHR:
        *value = (int64_t)((insn->width == 4 ? (uint32_t)a : a) >> (b & mask));
        return true;
    case IR_SHLADD:
        *value = (int64_t)((a << insn->scale) + b);
        return true;
    case IR_SEXT32:
        *value = (int32_t)a;
        return true;
    case IR_ZEXT32:
        *value = (uint32_t)a;
        return true;
    default:
        return false;
    }
}

static bool constant_operand(const struct known *known, const struct ir_insn *insn, ir_ref ref,
                             int64_t *value)
{
    if (ref == IR_ZERO)
        *value = 0;
    else if (ref == IR_IMM)
        *value = insn->imm;
    else if (kind_of(known, ref) == CONSTANT)
        *value = known->value[ref];
    else
        return false;
    return true;
}

static void simplify_pure(const struct known *known, struct ir_insn *insn)
{
    int64_t a, b, value;
    bool a_known = constant_operand(known, insn, insn->a, &a);
    bool b_known = constant_operand(known, insn, insn->b, &b);

    if (a_known && b_known && fold(insn, (uint64_t)a, (uint64_t)b, &value)) {
        make_constant(insn, value);
        return;
    }
    if (insn->op == IR_ADD && insn->width == 8 && b_known && kind_of(known, insn->a) == PAGE_PLUS &&
        fits(known->value[insn->a] + b)) {
        insn->imm = known->value[insn->a] + b;
        insn->op = IR_MOV;
        insn->a = IR_ZERO;
        insn->b = IR_PAGE;
        return;
    }
    /* One instruction of most hosts, which may read memory. */
    if (insn->op == IR_AND && insn->width == 8 && b_known && (b == 0xff || b == 0xffff)) {
        insn->op = b == 0xff ? IR_ZEXT8 : IR_ZEXT16;
        insn->b = IR_ZERO;
        insn->imm = 0;
        return;
    }
    /* A small constant is better than a register that holds it. */
    if (insn->b != IR_IMM && insn->b != IR_ZERO && b_known && fits(b) && insn->op >= IR_ADD &&
        insn->op <= IR_XOR) {
        insn->b = IR_IMM;
        insn->imm = b;
    }
}

static void simplify_address(const struct known *known, struct ir_insn *insn)
{
    enum knowledge kind = kind_of(known, insn->a);

    if (kind == UNKNOWN || !fits(known->value[insn->a] + insn->imm))
        return;
    insn->imm += known->value[insn->a];
    insn->a = kind == PAGE_PLUS ? IR_PAGE : IR_ZERO;
}

static void simplify_target(const struct known *known, struct ir_insn *insn)
{
    if (kind_of(known, insn->a) != PAGE_PLUS || (insn->op == IR_JUMP_TO && insn->dst != IR_ZERO))
        return;
    insn->imm = (known->value[insn->a] + insn->imm) & ~INT64_C(1);
    if (!fits(insn->imm)) {
        insn->imm -= known->value[insn->a];
        return;
    }
    insn->op = insn->op == IR_CALL_TO ? IR_CALL : IR_JUMP;
    insn->a = IR_ZERO;
}

static void simplify(const struct known *known, struct ir_insn *insn)
{
    switch (insn->op) {
    case IR_MOV:
        if (kind_of(known, insn->b) == CONSTANT)
            make_constant(insn, known->value[insn->b]);
        break;
    case IR_ADD ... IR_KEEP_EQZ:
        simplify_pure(known, insn);
        break;
    case IR_LOAD:
    case IR_STORE:
        simplify_address(known, insn);
        break;
    case IR_JUMP_TO:
    case IR_CALL_TO:
        simplify_target(known, insn);
        break;
    default:
        break;
    }
}

static bool is_shift(const struct ir_insn *insn, enum ir_op op)
{
    return insn->op == op && insn->width == 8 && insn->b == IR_IMM && insn->dst != IR_ZERO;
}

/* An extension from so many bits; IR_NOP: no host has one. */
static enum ir_op extension(int64_t bits, bool sign)
{
    switch (bits) {
    case 8:
        return sign ? IR_SEXT8 : IR_ZEXT8;
    case 16:
        return sign ? IR_SEXT16 : IR_ZEXT16;
    case 32:
        return sign ? IR_SEXT32 : IR_ZEXT32;
    default:
        return IR_NOP;
    }
}

/* A shift to the left and one back by as much are an extension. */
static void join_extension(struct ir_insn *first, struct ir_insn *second)
{
    enum ir_op op = extension(64 - first->imm, second->op == IR_SAR);
    bool overwritten = second->dst == first->dst;

    /* What it came from must still be there; the first one stays if it is seen. */
    if (second->a != first->dst || second->imm != first->imm || op == IR_NOP ||
        (!overwritten && first->dst == first->a))
        return;
    second->op = op;
    second->a = first->a;
    second->b = IR_ZERO;
    second->imm = 0;
    if (overwritten) {
        first->op = IR_NOP;
        first->dst = IR_ZERO;
    }
}

/* `slli d, a, n` and `add d, d, b` with n up to 3 are one address computation; `slli d, a, 32`,
 * `srli d, d, 32 - n` and the same add, too. */
static void join_address(struct ir_insn *first, struct ir_insn *second)
{
    if (first->imm < 1 || first->imm > 3 || second->op != IR_ADD || second->width != 8 ||
        second->dst != first->dst)
        return;
    if (second->a != first->dst && second->b == first->dst) {
        second->b = second->a;
        second->a = first->dst;
    }
    if (second->a != first->dst || second->b == first->dst || second->b >= IR_GLOBALS)
        return;
    second->op = IR_SHLADD;
    second->scale = (uint8_t)first->imm;
    second->a = first->a;
    first->op = IR_NOP;
    first->dst = IR_ZERO;
}

/* From 32 bits to a multiple of up to 8: the extension first, so that what follows is a shift to
 * the left. */
static void turn_shifts(struct ir_insn *first, struct ir_insn *second)
{
    int64_t times = first->imm - second->imm;

    if (first->imm != 32 || second->op != IR_SHR || second->a != first->dst ||
        second->dst != first->dst || times < 1 || times > 3)
        return;
    first->op = IR_ZEXT32;
    first->b = IR_ZERO;
    first->imm = 0;
    second->op = IR_SHL;
    second->imm = times;
}

/* The extended index of an address. */
static void join_index(struct ir_insn *first, struct ir_insn *second)
{
    if (first->op != IR_ZEXT32 || second->op != IR_SHLADD || second->a != first->dst ||
        second->dst != first->dst)
        return;
    second->op = IR_SHLADDU;
    second->a = first->a;
    first->op = IR_NOP;
    first->dst = IR_ZERO;
}

static void join(struct ir_unit *unit, unsigned i)
{
    struct ir_insn *second = &unit->insns[i], *first = second - 1;

    if (is_shift(first, IR_SHL)) {
        if (is_shift(second, IR_SHR) || is_shift(second, IR_SAR)) {
            join_extension(first, second);
            turn_shifts(first, second);
        }
        join_address(first, second);
    }
    if (i > 1 && first->op == IR_NOP)
        join_index(first - 1, second);
}

static void forward(struct ir_unit *unit)
{
    struct known known;
    struct ir_writers writers;

    memset(known.kind, UNKNOWN, sizeof(known.kind));
    ir_writers_forget(&writers);
    for (unsigned i = 0; i < unit->count; i++) {
        struct ir_insn *insn = &unit->insns[i];

        simplify(&known, insn);
        if (i)
            join(unit, i);
        ir_join_rotation(unit, i, &writers);
        /* It may write any of them; one comes here from elsewhere. */
        if (insn->op == IR_GUEST || insn->op == IR_LABEL) {
            memset(known.kind, UNKNOWN, sizeof(known.kind));
            ir_writers_forget(&writers);
        }
        learn(&known, insn);
        ir_note_writer(&writers, insn, i);
    }
}

/* ---- what nobody sees ---- */

static void backward(struct ir_unit *unit)
{
    bool unseen[IR_GLOBALS] = {false};

    for (unsigned i = unit->count; i--;) {
        struct ir_insn *insn = &unit->insns[i];
        const ir_ref reads[] = {insn->a, insn->b, insn->c};

        if (ir_is_visible(insn)) {
            memset(unseen, 0, sizeof(unseen));
            continue;
        }
        if (insn->dst == IR_ZERO || unseen[insn->dst]) {
            insn->op = IR_NOP;
            continue;
        }
        unseen[insn->dst] = true;
        for (unsigned j = 0; j < 3; j++)
            if (reads[j] < IR_GLOBALS)
                unseen[reads[j]] = false;
    }
}

void ir_optimise(struct ir_unit *unit)
{
    forward(unit);
    backward(unit);
}

bool ir_loops(const struct ir_unit *ir)
{
    for (unsigned i = 0; i < ir->count; i++)
        if ((ir->insns[i].op == IR_BRANCH || ir->insns[i].op == IR_JUMP) &&
            ir->insns[i].imm == ir->start)
            return true;
    return false;
}
