/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/riscv/lift.h"

#include <stddef.h>

#include "base/bits.h"
#include "cpu/riscv/fuse.h"
#include "cpu/riscv/privileged.h"

struct lifter {
    struct ir_unit *unit;
    struct riscv_insn insn;
    const uint8_t *host; /* the page */
    unsigned at;         /* bytes from the page's start to the instruction */
    unsigned limit;      /* instructions, at most */
    bool guarded;        /* floating point was found to be ready */
    bool ended;
    struct lift_record *records;
    unsigned record_count;
};

static struct ir_insn *add(struct lifter *l, enum ir_op op)
{
    struct ir_insn *insn = &l->unit->insns[l->unit->count++];

    *insn = (struct ir_insn){
        .op = op,
        .width = 8,
        .at = l->at,
        .next = l->at + l->insn.length,
        .done = l->unit->guest_count,
    };
    return insn;
}

static ir_ref x(unsigned reg)
{
    return reg; /* x0 is IR_ZERO */
}

static ir_ref f(unsigned reg)
{
    return 32 + reg;
}

/* ---- integer ---- */

static void add_mov(struct lifter *l, ir_ref from)
{
    struct ir_insn *insn = add(l, IR_MOV);

    insn->dst = x(l->insn.rd);
    insn->b = from;
}

static void add_mov_imm(struct lifter *l, ir_ref kind, int64_t value)
{
    struct ir_insn *insn = add(l, IR_MOV);

    insn->dst = x(l->insn.rd);
    insn->b = kind == IR_IMM && !value ? IR_ZERO : kind;
    insn->imm = value;
}

/* rd = rs1 op rs2 */
static struct ir_insn *add_rr(struct lifter *l, enum ir_op op, unsigned width)
{
    struct ir_insn *insn = add(l, op);

    insn->width = width;
    insn->dst = x(l->insn.rd);
    insn->a = x(l->insn.rs1);
    insn->b = x(l->insn.rs2);
    return insn;
}

/* rd = rs1 op imm */
static struct ir_insn *add_ri(struct lifter *l, enum ir_op op, unsigned width)
{
    struct ir_insn *insn = add_rr(l, op, width);

    insn->b = IR_IMM;
    insn->imm = l->insn.imm;
    return insn;
}

/* add, or, xor, and with x0 are moves; `add rd, x0, rs2` is c.mv. */
static void add_add(struct lifter *l)
{
    if (!l->insn.rs1)
        add_mov(l, x(l->insn.rs2));
    else if (!l->insn.rs2)
        add_mov(l, x(l->insn.rs1));
    else
        add_rr(l, IR_ADD, 8);
}

static void add_addi(struct lifter *l)
{
    if (!l->insn.rs1)
        add_mov_imm(l, IR_IMM, l->insn.imm);
    else if (!l->insn.imm)
        add_mov(l, x(l->insn.rs1));
    else
        add_ri(l, IR_ADD, 8);
}

/* ---- memory ---- */

static void add_load(struct lifter *l, unsigned width, bool sign)
{
    struct ir_insn *insn = add_ri(l, IR_LOAD, width);

    insn->b = IR_ZERO;
    insn->sign = sign;
}

static void add_store(struct lifter *l, unsigned width)
{
    struct ir_insn *insn = add_rr(l, IR_STORE, width);

    insn->dst = IR_ZERO;
    insn->imm = l->insn.imm;
}

/* ---- instructions that the interpreter's functions do ---- */

static const struct lift_record *add_record(struct lifter *l)
{
    struct lift_record *record = &l->records[l->record_count++];

    code_make_op(record->op, &l->insn, l->unit->guest_count + 1);
    record->length = (uint16_t)l->insn.length;
    record->at = (uint16_t)l->at;
    return record;
}

static void add_jump(struct lifter *l, int64_t target)
{
    add(l, IR_JUMP)->imm = target;
    l->ended = true;
}

static void add_guest(struct lifter *l)
{
    add(l, IR_GUEST)->fallback = add_record(l);
    /* A CSR may turn floating point off. */
    l->guarded = false;
    if (code_insn_ends(&l->insn))
        add_jump(l, l->at + l->insn.length);
}

static void add_step(struct lifter *l)
{
    add(l, IR_STEP);
    l->ended = true;
}

/* ---- CSRs of S-mode that are plain words, and sstatus: what the kernel does all the time ---- */

static uint32_t plain_csr(unsigned csr)
{
    switch (csr) {
    case 0x140:
        return offsetof(struct riscv_hart, sscratch);
    case 0x141:
        return offsetof(struct riscv_hart, sepc);
    case 0x142:
        return offsetof(struct riscv_hart, scause);
    case 0x143:
        return offsetof(struct riscv_hart, stval);
    default:
        return 0;
    }
}

/* In S-mode only: other modes may not, or are rare. */
static void add_state_guard(struct lifter *l, unsigned operations)
{
    struct ir_insn *insn = add(l, IR_STATE_GUARD);

    insn->imm = offsetof(struct riscv_hart, privilege);
    insn->c = RISCV_S;
    insn->scale = operations;
    insn->fallback = add_record(l);
}

static struct ir_insn *add_state(struct lifter *l, enum ir_op op, uint32_t offset)
{
    struct ir_insn *insn = add(l, op);

    insn->imm = offset;
    return insn;
}

enum { CSR_FFLAGS = 1, CSR_SSTATUS = 0x100, CSR_SEPC = 0x141 };

static void add_guard(struct lifter *l);

/* frflags, fsflags, fsflagsi; a square root or a comparison of C saves and restores them. */
static bool lift_fflags(struct lifter *l)
{
    const struct riscv_insn *insn = &l->insn;
    bool read = insn->id == RISCV_INSN_CSRRS && !insn->rs1;
    bool constant = insn->id == RISCV_INSN_CSRRWI;
    struct ir_insn *flags;

    if (!read && !constant && insn->id != RISCV_INSN_CSRRW)
        return false;
    add_guard(l);
    flags = add(l, read ? IR_FLAGS_READ : IR_FLAGS_WRITE);
    flags->dst = x(insn->rd);
    flags->a = read ? IR_ZERO : constant ? IR_IMM : x(insn->rs1);
    flags->imm = insn->rs1;
    return true;
}

/* False: not one of those. */
static bool lift_csr(struct lifter *l)
{
    const struct riscv_insn *insn = &l->insn;
    bool set = insn->id == RISCV_INSN_CSRRS || insn->id == RISCV_INSN_CSRRC;
    uint32_t offset = plain_csr(insn->imm);
    struct ir_insn *state;

    if (insn->imm == CSR_FFLAGS && riscv_insn_types[insn->id].extension == RISCV_EXT_ZICSR)
        return lift_fflags(l);
    if (set && !insn->rs1 && insn->rd && (offset || insn->imm == CSR_SSTATUS)) {
        add_state_guard(l, 1);
        state = add_state(l, offset ? IR_STATE_READ : IR_STATE_VIEW,
                          offset ? offset : offsetof(struct riscv_hart, mstatus));
        state->dst = x(insn->rd);
        return true;
    }
    if (insn->id == RISCV_INSN_CSRRW && offset && (insn->imm != CSR_SEPC || !insn->rd)) {
        add_state_guard(l, 1);
        state = add_state(l, insn->rd ? IR_STATE_SWAP : IR_STATE_WRITE, offset);
        state->a = x(insn->rs1);
        state->dst = x(insn->rd);
        state->c = insn->imm == CSR_SEPC; /* the lowest bit is not writable */
        return true;
    }
    /* Interrupts off. */
    if (insn->id == RISCV_INSN_CSRRCI && insn->imm == CSR_SSTATUS && insn->rs1 == MSTATUS_SIE) {
        add_state_guard(l, insn->rd ? 2 : 1);
        if (insn->rd)
            add_state(l, IR_STATE_VIEW, offsetof(struct riscv_hart, mstatus))->dst = x(insn->rd);
        add_state(l, IR_STATE_CLEAR, offsetof(struct riscv_hart, mstatus))->c = MSTATUS_SIE;
        return true;
    }
    /* Interrupts on, or as they were. */
    if (insn->imm == CSR_SSTATUS && !insn->rd &&
        ((insn->id == RISCV_INSN_CSRRS && insn->rs1) ||
         (insn->id == RISCV_INSN_CSRRSI && insn->rs1 == MSTATUS_SIE))) {
        bool constant = insn->id == RISCV_INSN_CSRRSI;

        add_state_guard(l, 1);
        state = add_state(l, IR_STATE_ENABLE, offsetof(struct riscv_hart, mstatus));
        state->a = constant ? IR_IMM : x(insn->rs1);
        state->c = MSTATUS_SIE;
        state->fallback = add_record(l);
        return true;
    }
    /* On the way into the kernel and out of it: access to users' pages, and floating point. */
    if (insn->imm == CSR_SSTATUS && insn->rs1 &&
        ((insn->id == RISCV_INSN_CSRRC && insn->rd != insn->rs1) ||
         (insn->id == RISCV_INSN_CSRRW && !insn->rd))) {
        add_state_guard(l, insn->rd ? 2 : 1);
        if (insn->rd)
            add_state(l, IR_STATE_VIEW, offsetof(struct riscv_hart, mstatus))->dst = x(insn->rd);
        state = add_state(l, insn->id == RISCV_INSN_CSRRC ? IR_STATE_TAKE : IR_STATE_ASSIGN,
                          offsetof(struct riscv_hart, mstatus));
        state->a = x(insn->rs1);
        state->fallback = add_record(l);
        l->guarded = false;
        return true;
    }
    return false;
}

/* Acquire and release at once: what is before it is seen before what is behind it. */
static bool is_ordered(const struct riscv_insn *insn)
{
    return (insn->imm & RISCV_ACQUIRE) && (insn->imm & RISCV_RELEASE);
}

static void add_atomic(struct lifter *l, enum ir_op op, unsigned width)
{
    struct ir_insn *insn;

    /* A load that releases is behind earlier stores; all else is ordered by being one operation. */
    if (op == IR_LOAD_RESERVED && (l->insn.imm & RISCV_RELEASE))
        add(l, IR_FENCE);
    insn = add_rr(l, op, width);
    insn->ordered = is_ordered(&l->insn);
    insn->fallback = add_record(l);
}

/* ---- floating point ---- */

static void add_guard(struct lifter *l)
{
    if (!l->guarded)
        add(l, IR_FLOAT_GUARD);
    l->guarded = true;
}

static struct ir_insn *add_float(struct lifter *l, enum ir_op op, unsigned width)
{
    struct ir_insn *insn;

    add_guard(l);
    insn = add(l, op);
    insn->width = width;
    insn->dst = f(l->insn.rd);
    insn->a = f(l->insn.rs1);
    insn->b = f(l->insn.rs2);
    insn->c = f(l->insn.rs3);
    insn->fallback = add_record(l);
    return insn;
}

/* Of one operand. */
static struct ir_insn *add_float_unary(struct lifter *l, enum ir_op op, unsigned width)
{
    struct ir_insn *insn = add_float(l, op, width);

    insn->b = insn->c = IR_ZERO;
    return insn;
}

static struct ir_insn *add_float_to_x(struct lifter *l, enum ir_op op, unsigned width,
                                      unsigned scale)
{
    struct ir_insn *insn = add_float_unary(l, op, width);

    insn->dst = x(l->insn.rd);
    insn->scale = scale;
    return insn;
}

static struct ir_insn *add_x_to_float(struct lifter *l, enum ir_op op, unsigned width,
                                      unsigned scale)
{
    struct ir_insn *insn = add_float_unary(l, op, width);

    insn->a = x(l->insn.rs1);
    insn->scale = scale;
    return insn;
}

static void add_float_compare(struct lifter *l, enum ir_op op, unsigned width)
{
    add_float(l, op, width)->dst = x(l->insn.rd);
}

static bool is_dynamic(const struct lifter *l)
{
    return l->insn.rm == RISCV_RM_DYN;
}

/* What rounds: in the dynamic mode here, in others by the interpreter. */
static void add_rounding(struct lifter *l, enum ir_op op, unsigned width)
{
    if (!is_dynamic(l))
        add_guest(l);
    else if (op == IR_FSQRT)
        add_float_unary(l, op, width);
    else
        add_float(l, op, width);
}

static void add_to_int(struct lifter *l, unsigned width, unsigned scale)
{
    if (l->insn.rm == 1)
        add_float_to_x(l, IR_FTOI_ZERO, width, scale);
    else if (is_dynamic(l))
        add_float_to_x(l, IR_FTOI_ROUND, width, scale);
    else
        add_guest(l);
}

static void add_from_int(struct lifter *l, unsigned width, unsigned scale)
{
    if (is_dynamic(l) || (width == 8 && scale == 4))
        add_x_to_float(l, IR_ITOF, width, scale);
    else
        add_guest(l);
}

static void add_float_load(struct lifter *l, unsigned width)
{
    struct ir_insn *insn;

    add_guard(l);
    insn = add_ri(l, IR_LOAD, width);
    insn->dst = f(l->insn.rd);
    insn->b = IR_ZERO;
}

static void add_float_store(struct lifter *l, unsigned width)
{
    struct ir_insn *insn;

    add_guard(l);
    insn = add_rr(l, IR_STORE, width);
    insn->dst = IR_ZERO;
    insn->b = f(l->insn.rs2);
    insn->imm = l->insn.imm;
}

/* ---- control ---- */

static void add_branch(struct lifter *l, enum ir_cond cond)
{
    struct ir_insn *insn = add_rr(l, IR_BRANCH, 8);

    insn->dst = IR_ZERO;
    insn->cond = cond;
    insn->imm = (int64_t)l->at + l->insn.imm;
}

/* x1 and x5, by which calls and returns are known. Volume I, "Unconditional Jumps". */
static bool is_link(unsigned reg)
{
    return reg == 1 || reg == 5;
}

static void add_jal(struct lifter *l)
{
    int64_t target = (int64_t)l->at + l->insn.imm;

    if (is_link(l->insn.rd)) {
        struct ir_insn *insn = add(l, IR_CALL);

        insn->dst = x(l->insn.rd);
        insn->imm = target;
        l->ended = true;
        return;
    }
    if (l->insn.rd)
        add_mov_imm(l, IR_PAGE, (int64_t)l->at + l->insn.length);
    add_jump(l, target);
}

static void add_jalr(struct lifter *l)
{
    struct ir_insn *insn;

    /* A procedure linkage table jumps with t1: nothing returns there. */
    if (is_link(l->insn.rd))
        insn = add(l, IR_CALL_TO);
    else if (!l->insn.rd && is_link(l->insn.rs1))
        insn = add(l, IR_RETURN_TO);
    else
        insn = add(l, IR_JUMP_TO);
    insn->dst = x(l->insn.rd);
    insn->a = x(l->insn.rs1);
    insn->imm = l->insn.imm;
    l->ended = true;
}

/* Only one that orders stores before loads costs anything; see execute_system.c. */
static void add_fence(struct lifter *l)
{
    if (riscv_fence_is_full(l->insn.imm))
        add(l, IR_FENCE);
}

/* ---- all of them ---- */

/* Instructions that become one operation on rs1 and rs2, or rs1 and imm. */
struct simple {
    uint8_t op; /* enum ir_op; IR_NOP: not one of them */
    uint8_t width;
    bool immediate;
    uint8_t cond, scale;
};

/* clang-format off */
#define RR(id, op)        [RISCV_INSN_##id] = {op, 8, false, 0, 0}
#define RRW(id, op)       [RISCV_INSN_##id] = {op, 4, false, 0, 0}
#define RI(id, op)        [RISCV_INSN_##id] = {op, 8, true, 0, 0}
#define RIW(id, op)       [RISCV_INSN_##id] = {op, 4, true, 0, 0}
#define SET(id, cond, imm) [RISCV_INSN_##id] = {IR_SET, 8, imm, cond, 0}
#define ADDR(id, op, scale) [RISCV_INSN_##id] = {op, 8, false, 0, scale}

static const struct simple simples[RISCV_INSN_COUNT] = {
    SET(SLTI, IR_LT, true), SET(SLTIU, IR_LTU, true), SET(SLT, IR_LT, false), SET(SLTU, IR_LTU, false),
    RI(XORI, IR_XOR), RI(ORI, IR_OR), RI(ANDI, IR_AND), RI(SLLI, IR_SHL), RI(SRLI, IR_SHR), RI(SRAI, IR_SAR),
    RIW(SLLIW, IR_SHL), RIW(SRLIW, IR_SHR), RIW(SRAIW, IR_SAR),
    RR(SUB, IR_SUB), RR(SLL, IR_SHL), RR(XOR, IR_XOR), RR(SRL, IR_SHR), RR(SRA, IR_SAR), RR(OR, IR_OR),
    RR(AND, IR_AND), RRW(ADDW, IR_ADD), RRW(SUBW, IR_SUB), RRW(SLLW, IR_SHL), RRW(SRLW, IR_SHR), RRW(SRAW, IR_SAR),
    /* M */
    RR(MUL, IR_MUL), RR(MULH, IR_MULH), RR(MULHSU, IR_MULHSU), RR(MULHU, IR_MULHU), RRW(MULW, IR_MUL),
    RR(DIV, IR_DIV), RR(DIVU, IR_DIVU), RR(REM, IR_REM), RR(REMU, IR_REMU),
    RRW(DIVW, IR_DIV), RRW(DIVUW, IR_DIVU), RRW(REMW, IR_REM), RRW(REMUW, IR_REMU),
    /* Zba */
    ADDR(SH1ADD, IR_SHLADD, 1), ADDR(SH2ADD, IR_SHLADD, 2), ADDR(SH3ADD, IR_SHLADD, 3), ADDR(ADD_UW, IR_SHLADDU, 0),
    ADDR(SH1ADD_UW, IR_SHLADDU, 1), ADDR(SH2ADD_UW, IR_SHLADDU, 2), ADDR(SH3ADD_UW, IR_SHLADDU, 3),
    /* Zbb */
    RR(ANDN, IR_ANDN), RR(ORN, IR_ORN), RR(XNOR, IR_XNOR), RR(CLZ, IR_CLZ), RR(CTZ, IR_CTZ), RR(CPOP, IR_POPCNT),
    RRW(CLZW, IR_CLZ), RRW(CTZW, IR_CTZ), RRW(CPOPW, IR_POPCNT), RR(MIN, IR_MIN), RR(MINU, IR_MINU), RR(MAX, IR_MAX),
    RR(MAXU, IR_MAXU), RR(SEXT_B, IR_SEXT8), RR(SEXT_H, IR_SEXT16), RR(ZEXT_H, IR_ZEXT16), RR(ROL, IR_ROTL),
    RR(ROR, IR_ROTR), RI(RORI, IR_ROTR), RRW(ROLW, IR_ROTL), RRW(RORW, IR_ROTR), RIW(RORIW, IR_ROTR),
    RR(REV8, IR_BSWAP), RR(ORC_B, IR_ORCB),
    /* Zbs */
    RR(BSET, IR_BSET), RR(BCLR, IR_BCLR), RR(BINV, IR_BINV), RR(BEXT, IR_BEXT),
    RI(BSETI, IR_BSET), RI(BCLRI, IR_BCLR), RI(BINVI, IR_BINV), RI(BEXTI, IR_BEXT),
    /* Zbc, Zicond */
    RR(CLMUL, IR_CLMUL), RR(CLMULH, IR_CLMULH), RR(CLMULR, IR_CLMULR),
    RR(CZERO_EQZ, IR_KEEP_NEZ), RR(CZERO_NEZ, IR_KEEP_EQZ),
};
/* clang-format on */

static bool lift_simple(struct lifter *l)
{
    const struct simple *simple = &simples[l->insn.id];
    struct ir_insn *insn;

    if (simple->op == IR_NOP)
        return false;
    insn = simple->immediate ? add_ri(l, simple->op, simple->width)
                             : add_rr(l, simple->op, simple->width);
    insn->cond = simple->cond;
    insn->scale = simple->scale;
    return true;
}

/* Integer instructions with more forms than one. */
static bool lift_int(struct lifter *l)
{
    switch (l->insn.id) {
    case RISCV_INSN_LUI:
        add_mov_imm(l, IR_IMM, l->insn.imm);
        break;
    case RISCV_INSN_AUIPC:
        add_mov_imm(l, IR_PAGE, (int64_t)l->at + l->insn.imm);
        break;
    case RISCV_INSN_ADDI:
        add_addi(l);
        break;
    case RISCV_INSN_ADD:
        add_add(l);
        break;
    case RISCV_INSN_ADDIW:
        if (l->insn.imm)
            add_ri(l, IR_ADD, 4);
        else
            add_rr(l, IR_SEXT32, 8)->b = IR_ZERO;
        break;
    case RISCV_INSN_SLLI_UW: {
        struct ir_insn *insn = add_rr(l, IR_SHLADDU, 8);

        insn->b = IR_ZERO;
        insn->scale = l->insn.imm;
        break;
    }
    default:
        return false;
    }
    return true;
}

static bool lift_memory(struct lifter *l)
{
    switch (l->insn.id) {
    case RISCV_INSN_LB:
        add_load(l, 1, true);
        break;
    case RISCV_INSN_LH:
        add_load(l, 2, true);
        break;
    case RISCV_INSN_LW:
        add_load(l, 4, true);
        break;
    case RISCV_INSN_LD:
        add_load(l, 8, false);
        break;
    case RISCV_INSN_LBU:
        add_load(l, 1, false);
        break;
    case RISCV_INSN_LHU:
        add_load(l, 2, false);
        break;
    case RISCV_INSN_LWU:
        add_load(l, 4, false);
        break;
    case RISCV_INSN_SB:
        add_store(l, 1);
        break;
    case RISCV_INSN_SH:
        add_store(l, 2);
        break;
    case RISCV_INSN_SW:
        add_store(l, 4);
        break;
    case RISCV_INSN_SD:
        add_store(l, 8);
        break;
    case RISCV_INSN_FLW:
        add_float_load(l, 4);
        break;
    case RISCV_INSN_FLD:
        add_float_load(l, 8);
        break;
    case RISCV_INSN_FSW:
        add_float_store(l, 4);
        break;
    case RISCV_INSN_FSD:
        add_float_store(l, 8);
        break;
    case RISCV_INSN_LR_W:
        add_atomic(l, IR_LOAD_RESERVED, 4);
        break;
    case RISCV_INSN_LR_D:
        add_atomic(l, IR_LOAD_RESERVED, 8);
        break;
    case RISCV_INSN_SC_W:
        add_atomic(l, IR_STORE_CONDITIONAL, 4);
        break;
    case RISCV_INSN_SC_D:
        add_atomic(l, IR_STORE_CONDITIONAL, 8);
        break;
    case RISCV_INSN_AMOSWAP_W:
        add_atomic(l, IR_ATOMIC_SWAP, 4);
        break;
    case RISCV_INSN_AMOSWAP_D:
        add_atomic(l, IR_ATOMIC_SWAP, 8);
        break;
    case RISCV_INSN_AMOADD_W:
        add_atomic(l, IR_ATOMIC_ADD, 4);
        break;
    case RISCV_INSN_AMOADD_D:
        add_atomic(l, IR_ATOMIC_ADD, 8);
        break;
    case RISCV_INSN_AMOAND_W:
        add_atomic(l, IR_ATOMIC_AND, 4);
        break;
    case RISCV_INSN_AMOAND_D:
        add_atomic(l, IR_ATOMIC_AND, 8);
        break;
    case RISCV_INSN_AMOOR_W:
        add_atomic(l, IR_ATOMIC_OR, 4);
        break;
    case RISCV_INSN_AMOOR_D:
        add_atomic(l, IR_ATOMIC_OR, 8);
        break;
    case RISCV_INSN_AMOXOR_W:
        add_atomic(l, IR_ATOMIC_XOR, 4);
        break;
    case RISCV_INSN_AMOXOR_D:
        add_atomic(l, IR_ATOMIC_XOR, 8);
        break;
    case RISCV_INSN_CBO_ZERO: {
        struct ir_insn *insn = add_rr(l, IR_ZERO_BLOCK, 8);

        insn->dst = insn->b = IR_ZERO;
        insn->fallback = add_record(l);
        break;
    }
    case RISCV_INSN_FENCE:
        add_fence(l);
        break;
    case RISCV_INSN_FENCE_TSO:
        break;
    default:
        return false;
    }
    return true;
}

/* Instructions that come for single and double with the same shape. */
#define BOTH(id)                                                                                   \
    case RISCV_INSN_##id##_S:                                                                      \
    case RISCV_INSN_##id##_D

static bool lift_float(struct lifter *l)
{
    unsigned width;

    switch (l->insn.id) {
    case RISCV_INSN_FCVT_S_D:
        if (is_dynamic(l))
            add_float_unary(l, IR_FTOF, 8)->scale = 4;
        else
            add_guest(l);
        return true;
    case RISCV_INSN_FCVT_D_S: /* exact in any mode */
        add_float_unary(l, IR_FTOF, 4)->scale = 8;
        return true;
    case RISCV_INSN_FCVT_S_W:
        add_from_int(l, 4, 4);
        return true;
    case RISCV_INSN_FCVT_S_L:
        add_from_int(l, 4, 8);
        return true;
    case RISCV_INSN_FCVT_D_W:
        add_from_int(l, 8, 4);
        return true;
    case RISCV_INSN_FCVT_D_L:
        add_from_int(l, 8, 8);
        return true;
    case RISCV_INSN_FMV_X_W:
        add_float_to_x(l, IR_FBITS, 4, 4);
        return true;
    case RISCV_INSN_FMV_X_D:
        add_float_to_x(l, IR_FBITS, 8, 8);
        return true;
    case RISCV_INSN_FMV_W_X:
        add_x_to_float(l, IR_BITSF, 4, 4);
        return true;
    case RISCV_INSN_FMV_D_X:
        add_x_to_float(l, IR_BITSF, 8, 8);
        return true;
    default:
        break;
    }
    width = riscv_insn_types[l->insn.id].extension == RISCV_EXT_F ? 4 : 8;
    switch (l->insn.id) {
        BOTH(FADD) : add_rounding(l, IR_FADD, width);
        break;
        BOTH(FSUB) : add_rounding(l, IR_FSUB, width);
        break;
        BOTH(FMUL) : add_rounding(l, IR_FMUL, width);
        break;
        BOTH(FDIV) : add_rounding(l, IR_FDIV, width);
        break;
        BOTH(FSQRT) : add_rounding(l, IR_FSQRT, width);
        break;
        BOTH(FMADD) : add_rounding(l, IR_FMADD, width);
        break;
        BOTH(FMSUB) : add_rounding(l, IR_FMSUB, width);
        break;
        BOTH(FNMSUB) : add_rounding(l, IR_FNMSUB, width);
        break;
        BOTH(FNMADD) : add_rounding(l, IR_FNMADD, width);
        break;
        BOTH(FMIN) : add_float(l, IR_FMIN, width);
        break;
        BOTH(FMAX) : add_float(l, IR_FMAX, width);
        break;
        BOTH(FSGNJ) : add_float(l, IR_FSGNJ, width);
        break;
        BOTH(FSGNJN) : add_float(l, IR_FSGNJN, width);
        break;
        BOTH(FSGNJX) : add_float(l, IR_FSGNJX, width);
        break;
        BOTH(FEQ) : add_float_compare(l, IR_FEQ, width);
        break;
        BOTH(FLT) : add_float_compare(l, IR_FLT, width);
        break;
        BOTH(FLE) : add_float_compare(l, IR_FLE, width);
        break;
        BOTH(FCVT_W) : add_to_int(l, width, 4);
        break;
        BOTH(FCVT_L) : add_to_int(l, width, 8);
        break;
    default:
        return false;
    }
    return true;
}

static bool lift_control(struct lifter *l)
{
    switch (l->insn.id) {
    case RISCV_INSN_BEQ:
        add_branch(l, IR_EQ);
        break;
    case RISCV_INSN_BNE:
        add_branch(l, IR_NE);
        break;
    case RISCV_INSN_BLT:
        add_branch(l, IR_LT);
        break;
    case RISCV_INSN_BGE:
        add_branch(l, IR_GE);
        break;
    case RISCV_INSN_BLTU:
        add_branch(l, IR_LTU);
        break;
    case RISCV_INSN_BGEU:
        add_branch(l, IR_GEU);
        break;
    case RISCV_INSN_JAL:
        add_jal(l);
        break;
    case RISCV_INSN_JALR:
        add_jalr(l);
        break;
    default:
        return false;
    }
    return true;
}

/* To the next instruction, which is part of the same operation. */
static void go_on(struct lifter *l, const struct riscv_insn *insn)
{
    l->unit->guest_count++;
    l->at += l->insn.length;
    l->insn = *insn;
}

/* The operation tells by its result what the branch behind it does. */
static bool lift_compare_swap(struct lifter *l)
{
    struct compare_swap swap;
    struct ir_insn *insn;

    if (l->unit->guest_count + 4u > l->limit || !fuse_compare_swap(l->host, l->at, &l->insn, &swap))
        return false;
    insn = add_rr(l, IR_COMPARE_SWAP, swap.width);
    insn->b = x(swap.expected);
    insn->c = x(swap.store.rs2);
    insn->ordered = is_ordered(&l->insn) || is_ordered(&swap.store);
    insn->fallback = add_record(l);
    go_on(l, &swap.branch);
    add_branch(l, IR_NE);
    go_on(l, &swap.store);
    add_mov_imm(l, IR_IMM, 0);
    go_on(l, &swap.again);
    return true;
}

static void lift_insn(struct lifter *l)
{
    if (lift_compare_swap(l))
        return;
    if (lift_simple(l) || lift_int(l) || lift_memory(l) || lift_float(l) || lift_control(l) ||
        lift_csr(l))
        return;
    if (execute_function(l->insn.id))
        add_guest(l);
    else if (riscv_insn_types[l->insn.id].format != RISCV_FORMAT_PREFETCH)
        add_step(l);
}

static void add_next_page(struct lifter *l)
{
    l->insn.length = 4;
    add(l, IR_NEXT_PAGE);
}

bool lift(const uint8_t *host, const uint8_t *next, unsigned offset, unsigned limit,
          struct ir_unit *unit, struct lift_record *records, unsigned *count, lift_known *known,
          void *ctx)
{
    struct lifter l = {
        .unit = unit, .host = host, .at = offset, .limit = limit, .records = records};

    unit->start = offset;
    unit->count = 0;
    unit->guest_count = 0;
    unit->region = false;
    while (!l.ended && unit->guest_count < limit && l.at < PAGE_SIZE) {
        if (unit->guest_count >= LIFT_SHORTEST && known(ctx, l.at))
            break;
        if (!code_decode(host + l.at, PAGE_SIZE - l.at, &l.insn)) {
            if (!next || l.at != offset)
                break;
            add_next_page(&l);
            riscv_decode(code_half(host + l.at) | (uint32_t)code_half(next) << 16, &l.insn);
        }
        lift_insn(&l);
        unit->guest_count++;
        l.at += l.insn.length;
    }
    unit->bytes = l.at - offset;
    *count = l.record_count;
    if (!unit->guest_count)
        return false;
    if (!l.ended) {
        /* On behind the last instruction, as that instruction. */
        struct ir_insn *insn = add(&l, IR_JUMP);

        insn->imm = l.at;
        insn->at = l.at - l.insn.length;
        insn->done = unit->guest_count - 1;
    }
    return true;
}

/* ---- regions ---- */

static bool is_for_units(enum ir_op op)
{
    return op == IR_GUEST || op == IR_STEP || op == IR_STATE_GUARD;
}

/* The next instruction of a region. False: it is not one for regions. */
static bool lift_inside(struct lifter *l)
{
    unsigned count = l->unit->count, records = l->record_count, start = l->at;

    /* It may have been written since it was found to end in the page. */
    if (!code_decode(l->host + l->at, PAGE_SIZE - l->at, &l->insn))
        return false;
    lift_insn(l);
    for (unsigned i = count; i < l->unit->count; i++)
        if (is_for_units(l->unit->insns[i].op)) {
            l->unit->count = count;
            l->record_count = records;
            l->ended = false;
            return false;
        }
    l->unit->guest_count++;
    l->at += l->insn.length;
    l->unit->bytes += l->at - start;
    return true;
}

static void add_label(struct lifter *l, const struct region *region)
{
    struct ir_insn *insn = add(l, IR_LABEL);

    insn->imm = l->at;
    insn->scale = region_has(region->loops, l->at);
    l->guarded = false;
}

/* A jump to its own place leads out: to what is not for regions. False: the head itself is. */
static bool mark_inside(struct ir_unit *unit, const struct region *region)
{
    for (unsigned i = 0; i < unit->count; i++) {
        struct ir_insn *insn = &unit->insns[i];
        bool out = insn->op == IR_JUMP && i && insn->imm == insn->at;

        insn->done = 0;
        insn->inside = (insn->op == IR_BRANCH || insn->op == IR_JUMP) && !out && insn->imm >= 0 &&
                       insn->imm < PAGE_SIZE && region_has(region->labels, (unsigned)insn->imm);
        if (out && insn->imm == unit->start)
            return false;
    }
    return true;
}

/* From a label on, until it ends or the next label is there. */
static void lift_from_label(struct lifter *l, const struct region *region)
{
    unsigned start = l->at;

    add_label(l, region);
    l->ended = false;
    while (!l->ended && (l->at == start || !region_has(region->labels, l->at)) &&
           region_has(region->inside, l->at) && l->unit->count <= IR_UNIT_MAX - LIFT_OPERATIONS &&
           l->record_count <= LIFT_INSTRUCTIONS - LIFT_OPERATIONS)
        if (!lift_inside(l))
            break;
    if (l->ended)
        return;
    add_jump(l, l->at);
    if (l->at != start && region_has(region->labels, l->at))
        l->unit->insns[l->unit->count - 1].at = (uint16_t)start;
}

bool lift_region(const uint8_t *host, unsigned offset, const struct region *region,
                 struct ir_unit *unit, struct lift_record *records, unsigned *count)
{
    struct lifter l = {
        .unit = unit, .host = host, .at = offset, .limit = LIFT_INSTRUCTIONS, .records = records};

    unit->start = offset;
    unit->bytes = 0;
    unit->count = 0;
    unit->guest_count = 0;
    unit->region = true;
    add_jump(&l, offset);
    for (unsigned at = 0; at < PAGE_SIZE; at += 2) {
        if (!region_has(region->labels, at))
            continue;
        if (unit->count > IR_UNIT_MAX - 2 * LIFT_OPERATIONS)
            return false;
        l.at = at;
        lift_from_label(&l, region);
    }
    *count = l.record_count;
    return mark_inside(unit, region);
}
