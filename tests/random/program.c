/* SPDX-License-Identifier: Apache-2.0 */
#include "program.h"

#include <elf.h>
#include <endian.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "random.h"

enum form {
    /* 32 bits */
    FORM_R,
    FORM_I,
    FORM_SHIFT6,
    FORM_SHIFT5,
    FORM_U,
    FORM_UNARY,
    FORM_LOAD,
    FORM_STORE,
    FORM_FLOAD,
    FORM_FSTORE,
    FORM_AMO,
    FORM_LR_SC, /* lr, at most one instruction, sc; or a compare-and-swap */
    FORM_BRANCH,
    FORM_JAL,
    FORM_JALR,
    FORM_FIXED,
    FORM_FFF, /* result and operands: f or x registers; RM: with a rounding mode */
    FORM_FFF_RM,
    FORM_FFFF_RM,
    FORM_FF_RM,
    FORM_XFF,
    FORM_XF,
    FORM_XF_RM,
    FORM_FX,
    FORM_FX_RM,
    FORM_FLI,
    FORM_CSR,
    FORM_CSR_READ,
    FORM_CSR_FRM,   /* the immediate is a rounding mode that exists */
    FORM_CSR_FLAGS, /* the immediate is flags */
    FORM_CBO,
    FORM_HINT,
    /* 16 bits */
    FORM_C_FIRST,
    FORM_C_IMM = FORM_C_FIRST,
    FORM_C_LUI,
    FORM_C_SP16,
    FORM_C_SP4,
    FORM_C_SLLI,
    FORM_C_SHIFT,
    FORM_C_ANDI,
    FORM_C_ALU,
    FORM_C_RR,
    FORM_C_FIXED,
    FORM_C_LOAD4,
    FORM_C_LOAD8,
    FORM_C_FLOAD8,
    FORM_C_STORE4,
    FORM_C_STORE8,
    FORM_C_LWSP,
    FORM_C_LDSP,
    FORM_C_FLDSP,
    FORM_C_SWSP,
    FORM_C_SDSP,
    FORM_C_J,
    FORM_C_BRANCH,
    FORM_C_JR,
};

struct insn {
    const char *extension, *name;
    enum form form;
    uint32_t match;
};

static const struct insn instructions[] = {
#define INSN(extension, name, form, match) {extension, name, form, match},
#include "instructions.inc"
#undef INSN
};

#define INSN_COUNT (sizeof(instructions) / sizeof(instructions[0]))

/* Offsets from gp. The pool behind is read only, and not part of the record. */
enum {
    SAVE_X = SCRATCH_HALF,
    SAVE_F = SAVE_X + 32 * 8,
    SAVE_FCSR = SAVE_F + 32 * 8,
};

_Static_assert(SAVE_FCSR + 8 == POOL, "the pool begins behind fcsr");

enum { RA = 1, SP = 2, GP = 3, T0 = 5, A0 = 10, A1 = 11, A2 = 12, A7 = 17 };

#define ADDI(rd, rs1, imm) (0x13u | (rd) << 7 | (rs1) << 15 | (uint32_t)((imm)&0xfff) << 20)
#define LD(rd, imm)        (0x3003u | (rd) << 7 | GP << 15 | (uint32_t)((imm)&0xfff) << 20)
#define FLD(rd, imm)       (0x3007u | (rd) << 7 | GP << 15 | (uint32_t)((imm)&0xfff) << 20)
#define SD_GP(rs2, imm)    (0x3023u | GP << 15 | (uint32_t)(rs2) << 20 | store_imm(imm))
#define FSD_GP(rs2, imm)   (0x3027u | GP << 15 | (uint32_t)(rs2) << 20 | store_imm(imm))
#define AUIPC(rd)          (0x17u | (rd) << 7)
#define ECALL              0x73u

/* How a forward jump's offset is put into the instruction, once its target is known. */
enum patch_kind { PATCH_B, PATCH_J, PATCH_I, PATCH_CB, PATCH_CJ };

struct patch {
    enum patch_kind kind;
    size_t at;       /* the instruction, in halfwords */
    size_t from;     /* what the offset counts from */
    unsigned behind; /* units until the target */
};

struct program {
    const struct program_options *options;
    uint64_t rng;
    const struct insn *chosen[INSN_COUNT];
    unsigned chosen_count;

    uint16_t *code;
    size_t count, capacity; /* halfwords */
    size_t dump;            /* the checkpoint routine */
    bool no_memory;

    unsigned unit, units; /* now, and when it ends */
    bool reserved;        /* rounding modes too */
    uint32_t kept;        /* x registers that must not be written */
    struct patch patches[16];
    unsigned patch_count;
    char text[4096]; /* of the instructions since the last checkpoint, if someone will read it */
    size_t text_length;
};

static unsigned below(struct program *p, unsigned bound)
{
    return random_below(&p->rng, bound);
}

static uint32_t store_imm(int imm)
{
    return (uint32_t)(imm & 0x1f) << 7 | (uint32_t)(imm >> 5 & 0x7f) << 25;
}

static void emit16(struct program *p, uint32_t half)
{
    if (p->count == p->capacity) {
        size_t capacity = p->capacity ? 2 * p->capacity : 4096;
        uint16_t *code = realloc(p->code, capacity * sizeof(*code));

        if (!code) {
            p->no_memory = true;
            p->count = 0;
            return;
        }
        p->code = code;
        p->capacity = capacity;
    }
    p->code[p->count++] = htole16(half);
}

static void emit32(struct program *p, uint32_t word)
{
    emit16(p, word & 0xffff);
    emit16(p, word >> 16);
}

static uint64_t address(size_t halfword)
{
    return CODE_ADDRESS + 2 * halfword;
}

static bool unit_is_fine(const struct program *p)
{
    return p->unit >= p->options->fine_from && p->unit < p->options->fine_to;
}

__attribute__((format(printf, 2, 3))) static void say(struct program *p, const char *format, ...)
{
    size_t left = sizeof(p->text) - p->text_length;
    va_list arguments;
    int n;

    if (!p->options->map || !unit_is_fine(p))
        return;
    va_start(arguments, format);
    n = vsnprintf(p->text + p->text_length, left, format, arguments);
    va_end(arguments);
    if (n > 0)
        p->text_length += (size_t)n < left ? (size_t)n : left - 1;
}

/* ---- forward jumps ---- */

static void patch_apply(struct program *p, const struct patch *patch)
{
    uint32_t to = (p->count - patch->from) * 2, bits = 0, word;

    switch (patch->kind) {
    case PATCH_B:
        bits = (to >> 11 & 1) << 7 | (to >> 1 & 15) << 8 | (to >> 5 & 63) << 25;
        break;
    case PATCH_J:
        bits = (to >> 12 & 0xff) << 12 | (to >> 11 & 1) << 20 | (to >> 1 & 0x3ff) << 21;
        break;
    case PATCH_I:
        bits = to << 20;
        break;
    case PATCH_CB:
        bits = (to >> 5 & 1) << 2 | (to >> 1 & 3) << 3 | (to >> 6 & 3) << 5 | (to >> 3 & 3) << 10;
        break;
    case PATCH_CJ:
        bits = (to >> 5 & 1) << 2 | (to >> 1 & 7) << 3 | (to >> 7 & 1) << 6 | (to >> 6 & 1) << 7 |
               (to >> 10 & 1) << 8 | (to >> 8 & 3) << 9 | (to >> 4 & 1) << 11;
        break;
    }
    word = le16toh(p->code[patch->at]) | bits;
    p->code[patch->at] = htole16(word & 0xffff);
    if (patch->kind == PATCH_CB || patch->kind == PATCH_CJ)
        return;
    p->code[patch->at + 1] |= htole16(bits >> 16);
}

/* The next unit begins here: jumps that skip no more land here, or all of them. */
static void patches_land(struct program *p, bool all)
{
    unsigned left = 0;

    for (unsigned i = 0; i < p->patch_count; i++) {
        if (all || p->patches[i].behind-- == 0)
            patch_apply(p, &p->patches[i]);
        else
            p->patches[left++] = p->patches[i];
    }
    p->patch_count = left;
}

static bool patch_add(struct program *p, enum patch_kind kind, size_t at, size_t from)
{
    if (p->patch_count == sizeof(p->patches) / sizeof(p->patches[0]))
        return false;
    /* The shortest range is c.beqz's, 254 bytes: three of the longest units. */
    p->patches[p->patch_count++] =
        (struct patch){kind, at, from, 1 + below(p, kind == PATCH_CB ? 2 : 4)};
    return true;
}

/* ---- operands ---- */

static unsigned any_register(struct program *p)
{
    return below(p, 32);
}

static unsigned any_target(struct program *p)
{
    unsigned reg;

    do
        reg = below(p, 32);
    while (p->kept >> reg & 1);
    return reg;
}

static unsigned base_register(struct program *p)
{
    unsigned reg;

    do
        reg = any_target(p);
    while (reg == 0);
    return reg;
}

/* x8 to x15, what most compressed forms name. */
static unsigned near_register(struct program *p)
{
    return 8 + below(p, 8);
}

static unsigned near_target(struct program *p)
{
    unsigned reg;

    do
        reg = near_register(p);
    while (p->kept >> reg & 1);
    return reg;
}

/* The kind of operand: half of the time a fresh value, else what the register holds by now. */
static void refresh_x(struct program *p, unsigned reg)
{
    unsigned offset = POOL + 8 * below(p, POOL_INTEGERS);

    if (!below(p, 2) || reg == 0 || p->kept >> reg & 1)
        return;
    emit32(p, LD(reg, offset));
    say(p, "ld x%u, %u(gp); ", reg, offset);
}

static void refresh_f(struct program *p, unsigned reg)
{
    unsigned offset = POOL + 8 * (POOL_INTEGERS + below(p, POOL_FLOATS));

    if (!below(p, 2))
        return;
    emit32(p, FLD(reg, offset));
    say(p, "fld f%u, %u(gp); ", reg, offset);
}

static unsigned source_x(struct program *p)
{
    unsigned reg = any_register(p);

    refresh_x(p, reg);
    return reg;
}

static unsigned source_f(struct program *p)
{
    unsigned reg = any_register(p);

    refresh_f(p, reg);
    return reg;
}

/* Makes base + offset a place in the scratch memory with `room` bytes behind, any alignment that
 * `align` allows. */
static void set_address(struct program *p, unsigned base, int offset, unsigned room, unsigned align)
{
    int target = (int)below(p, 2 * SCRATCH_HALF - room + 1) - SCRATCH_HALF;

    if (below(p, 4) == 0) /* around the page boundary */
        target = (int)below(p, 16) - 12;
    target &= -(int)align;
    emit32(p, ADDI(base, GP, target - offset));
    say(p, "addi x%u, gp, %d; ", base, target - offset);
}

/* An offset that set_address() can make up for. */
static int any_offset(struct program *p)
{
    return (int)below(p, 3000) - 1500;
}

static unsigned any_rounding(struct program *p)
{
    unsigned mode = below(p, 8);

    if (p->reserved && mode >= 5 && !below(p, 8))
        return mode;
    return mode < 5 ? mode : 7;
}

/* ---- one instruction ---- */

static void emit_float(struct program *p, const struct insn *insn)
{
    bool rounds = insn->form == FORM_FFF_RM || insn->form == FORM_FFFF_RM ||
                  insn->form == FORM_FF_RM || insn->form == FORM_XF_RM || insn->form == FORM_FX_RM;
    bool to_x = insn->form == FORM_XFF || insn->form == FORM_XF || insn->form == FORM_XF_RM;
    bool from_x = insn->form == FORM_FX || insn->form == FORM_FX_RM;
    bool two = insn->form == FORM_FFF || insn->form == FORM_FFF_RM || insn->form == FORM_FFFF_RM ||
               insn->form == FORM_XFF;
    unsigned rs1 = from_x ? source_x(p) : source_f(p), rs2 = two ? source_f(p) : 0;
    unsigned rs3 = insn->form == FORM_FFFF_RM ? source_f(p) : 0;
    unsigned rd = to_x ? any_target(p) : any_register(p), rm = rounds ? any_rounding(p) : 0;

    emit32(p, insn->match | rd << 7 | rm << 12 | rs1 << 15 | rs2 << 20 | rs3 << 27);
    say(p, "%s %c%u, %c%u", insn->name, to_x ? 'x' : 'f', rd, from_x ? 'x' : 'f', rs1);
    if (two)
        say(p, ", f%u", rs2);
    if (insn->form == FORM_FFFF_RM)
        say(p, ", f%u", rs3);
    if (rounds)
        say(p, ", rm=%u", rm);
}

static void emit_memory(struct program *p, const struct insn *insn)
{
    bool store = insn->form == FORM_STORE || insn->form == FORM_FSTORE;
    bool is_float = insn->form == FORM_FLOAD || insn->form == FORM_FSTORE;
    unsigned data = is_float ? source_f(p) : store ? source_x(p) : any_target(p);
    unsigned base = base_register(p);
    int offset = any_offset(p);

    set_address(p, base, offset, 8, 1);
    emit32(p, insn->match | base << 15 |
                  (store ? data << 20 | store_imm(offset)
                         : data << 7 | (uint32_t)(offset & 0xfff) << 20));
    say(p, "%s %c%u, %d(x%u)", insn->name, is_float ? 'f' : 'x', data, offset, base);
}

/* lr to rd, a branch out if it found another value than is expected, sc, and a branch back. */
static void emit_compare_swap(struct program *p, const struct insn *insn, unsigned base,
                              unsigned rd, unsigned data)
{
    unsigned expected = any_register(p), result, order = below(p, 4);

    do
        result = any_target(p);
    while (result == base);
    if (below(p, 2)) { /* what is there */
        do
            expected = any_target(p);
        while (expected == base);
        emit32(p, (insn->match & 0x7000) | 3 | expected << 7 | base << 15);
        say(p, "load x%u, (x%u); ", expected, base);
    }
    emit32(p, insn->match | rd << 7 | base << 15 | order << 25);
    emit32(p, 0x1663u | rd << 15 | expected << 20);
    emit32(p, (insn->match | 0x08000000) | result << 7 | base << 15 | data << 20 | order << 25);
    emit32(p, 0xfe001ae3u | result << 15);
    say(p, "%s x%u, (x%u) order=%u; bne x%u, x%u, out; sc x%u, x%u, (x%u); bnez x%u, back",
        insn->name, rd, base, order, rd, expected, result, data, base, result);
}

static void emit_atomic(struct program *p, const struct insn *insn)
{
    unsigned data = source_x(p), base = base_register(p), rd = any_target(p);
    unsigned order = below(p, 4); /* aq and rl */

    set_address(p, base, 0, 8, 8);
    /* A word may be in either half. */
    if ((insn->match >> 12 & 7) == 2 && below(p, 2)) {
        emit32(p, ADDI(base, base, 4));
        say(p, "addi x%u, x%u, 4; ", base, base);
    }
    if (insn->form == FORM_AMO) {
        emit32(p, insn->match | rd << 7 | base << 15 | data << 20 | order << 25);
        say(p, "%s x%u, x%u, (x%u) order=%u", insn->name, rd, data, base, order);
        return;
    }
    /* Between lr and sc the base must stay. A pair is never left open: what becomes of a
     * reservation later on is the implementation's choice. */
    while (rd == base)
        rd = any_target(p);
    if (!below(p, 3)) {
        emit_compare_swap(p, insn, base, rd, data);
        return;
    }
    emit32(p, insn->match | rd << 7 | base << 15 | order << 25);
    say(p, "%s x%u, (x%u) order=%u; ", insn->name, rd, base, order);
    if (below(p, 2) && base != data && data && !(p->kept >> data & 1)) {
        emit32(p, ADDI(data, rd, 1));
        say(p, "addi x%u, x%u, 1; ", data, rd);
    }
    rd = any_target(p);
    emit32(p, (insn->match | 0x08000000) | rd << 7 | base << 15 | data << 20 | order << 25);
    say(p, "sc x%u, x%u, (x%u)", rd, data, base);
}

static void emit_jump(struct program *p, const struct insn *insn)
{
    unsigned rs1 = source_x(p), rs2 = source_x(p), rd = any_target(p), base = base_register(p);
    size_t at = p->count;

    switch (insn->form) {
    case FORM_BRANCH:
        if (!patch_add(p, PATCH_B, at, at))
            return;
        emit32(p, insn->match | rs1 << 15 | rs2 << 20);
        say(p, "%s x%u, x%u, forward", insn->name, rs1, rs2);
        break;
    case FORM_JAL:
        if (!patch_add(p, PATCH_J, at, at))
            return;
        emit32(p, insn->match | rd << 7);
        say(p, "%s x%u, forward", insn->name, rd);
        break;
    default: /* FORM_JALR */
        if (!patch_add(p, PATCH_I, at + 2, at))
            return;
        emit32(p, AUIPC(base));
        emit32(p, insn->match | rd << 7 | base << 15);
        say(p, "auipc x%u, 0; %s x%u, forward(x%u)", base, insn->name, rd, base);
        break;
    }
}

static void emit_csr(struct program *p, const struct insn *insn)
{
    unsigned rd = any_target(p), rs1 = 0;

    if (insn->form == FORM_CSR)
        rs1 = source_x(p);
    else if (insn->form == FORM_CSR_FRM)
        rs1 = below(p, 5);
    else if (insn->form == FORM_CSR_FLAGS)
        rs1 = below(p, 32);
    emit32(p, insn->match | rd << 7 | rs1 << 15);
    say(p, "%s: rd x%u, rs1 %u", insn->name, rd, rs1);
}

static void emit_integer(struct program *p, const struct insn *insn)
{
    unsigned rs1 = source_x(p), rs2 = insn->form == FORM_R ? source_x(p) : 0, rd = any_target(p);
    unsigned value = random_integer(&p->rng); /* an immediate's bits, cut to its field */

    switch (insn->form) {
    case FORM_R:
        emit32(p, insn->match | rd << 7 | rs1 << 15 | rs2 << 20);
        say(p, "%s x%u, x%u, x%u", insn->name, rd, rs1, rs2);
        break;
    case FORM_I:
        emit32(p, insn->match | rd << 7 | rs1 << 15 | value << 20);
        say(p, "%s x%u, x%u, %#x", insn->name, rd, rs1, value & 0xfff);
        break;
    case FORM_SHIFT5:
    case FORM_SHIFT6:
        value = below(p, insn->form == FORM_SHIFT5 ? 32 : 64);
        emit32(p, insn->match | rd << 7 | rs1 << 15 | value << 20);
        say(p, "%s x%u, x%u, %u", insn->name, rd, rs1, value);
        break;
    case FORM_U:
        emit32(p, insn->match | rd << 7 | value << 12);
        say(p, "%s x%u, %#x", insn->name, rd, value & 0xfffff);
        break;
    case FORM_UNARY:
        emit32(p, insn->match | rd << 7 | rs1 << 15);
        say(p, "%s x%u, x%u", insn->name, rd, rs1);
        break;
    case FORM_HINT:
        emit32(p, insn->match | rs1 << 15 | value << 25);
        say(p, "%s %#x(x%u)", insn->name, value & 0x7f, rs1);
        break;
    default: /* FORM_FIXED */
        emit32(p, insn->match);
        say(p, "%s", insn->name);
        break;
    }
}

/* ---- compressed instructions; the immediates are scrambled as section "C" has them ---- */

static uint32_t c_imm6(unsigned imm)
{
    return (imm & 31) << 2 | (imm >> 5 & 1) << 12;
}

static void emit_compressed_memory(struct program *p, const struct insn *insn)
{
    bool by_sp = insn->form >= FORM_C_LWSP, is_float = (insn->match & 0x6000) == 0x2000;
    bool store = insn->form == FORM_C_STORE4 || insn->form == FORM_C_STORE8 ||
                 insn->form == FORM_C_SWSP || insn->form == FORM_C_SDSP;
    bool four = insn->form == FORM_C_LOAD4 || insn->form == FORM_C_STORE4 ||
                insn->form == FORM_C_LWSP || insn->form == FORM_C_SWSP;
    unsigned base = by_sp ? SP : near_target(p), data, offset = below(p, by_sp ? 64 : 32);
    uint32_t bits = insn->match;

    if (by_sp)
        data = is_float || store ? any_register(p) : base_register(p);
    else
        data = is_float || store ? near_register(p) : near_target(p);
    if (is_float)
        refresh_f(p, data);
    else
        refresh_x(p, data);
    offset *= four ? 4 : 8;
    set_address(p, base, offset, 8, 1);
    if (by_sp && store)
        bits |= data << 2 | (four ? (offset >> 2 & 15) << 9 | (offset >> 6 & 3) << 7
                                  : (offset >> 3 & 7) << 10 | (offset >> 6 & 7) << 7);
    else if (by_sp)
        bits |= data << 7 | (offset >> 5 & 1) << 12 |
                (four ? (offset >> 2 & 7) << 4 | (offset >> 6 & 3) << 2
                      : (offset >> 3 & 3) << 5 | (offset >> 6 & 7) << 2);
    else
        bits |= (data - 8) << 2 | (base - 8) << 7 | (offset >> 3 & 7) << 10 |
                (four ? (offset >> 2 & 1) << 6 | (offset >> 6 & 1) << 5 : (offset >> 6 & 3) << 5);
    emit16(p, bits);
    say(p, "%s %c%u, %u(x%u)", insn->name, is_float ? 'f' : 'x', data, offset, base);
}

static void emit_compressed_jump(struct program *p, const struct insn *insn)
{
    unsigned reg = insn->form == FORM_C_JR ? base_register(p) : near_register(p);
    size_t at;

    if (insn->form == FORM_C_BRANCH)
        refresh_x(p, reg);
    at = p->count;
    if (insn->form == FORM_C_J && patch_add(p, PATCH_CJ, at, at)) {
        emit16(p, insn->match);
        say(p, "%s forward", insn->name);
    } else if (insn->form == FORM_C_BRANCH && patch_add(p, PATCH_CB, at, at)) {
        emit16(p, insn->match | (reg - 8) << 7);
        say(p, "%s x%u, forward", insn->name, reg);
    } else if (insn->form == FORM_C_JR && patch_add(p, PATCH_I, at + 2, at)) {
        emit32(p, AUIPC(reg));
        emit32(p, ADDI(reg, reg, 0));
        emit16(p, insn->match | reg << 7);
        say(p, "auipc x%u, 0; addi x%u, x%u, forward; %s x%u", reg, reg, reg, insn->name, reg);
    }
}

static void emit_compressed(struct program *p, const struct insn *insn)
{
    unsigned rd = base_register(p), near = near_target(p), value = below(p, 64);
    unsigned rs2;

    switch (insn->form) {
    case FORM_C_IMM:
        refresh_x(p, rd);
        emit16(p, insn->match | rd << 7 | c_imm6(value));
        break;
    case FORM_C_LUI:
        if (rd == SP) /* that is c.addi16sp */
            rd = RA;
        value = 1 + below(p, 63);
        emit16(p, insn->match | rd << 7 | c_imm6(value));
        break;
    case FORM_C_SP16:
        refresh_x(p, SP);
        rd = SP;
        value = 1 + below(p, 63);
        emit16(p, insn->match | (value >> 1 & 1) << 2 | (value >> 3 & 3) << 3 |
                      (value >> 2 & 1) << 5 | (value & 1) << 6 | (value >> 5 & 1) << 12);
        break;
    case FORM_C_SP4:
        refresh_x(p, SP);
        rd = near;
        value = 1 + below(p, 255);
        emit16(p, insn->match | value << 5 | (near - 8) << 2);
        break;
    case FORM_C_SLLI:
        refresh_x(p, rd);
        emit16(p, insn->match | rd << 7 | c_imm6(value));
        break;
    case FORM_C_SHIFT:
    case FORM_C_ANDI:
        rd = near;
        refresh_x(p, rd);
        emit16(p, insn->match | (rd - 8) << 7 | c_imm6(value));
        break;
    case FORM_C_ALU:
        rs2 = near_register(p);
        rd = near;
        refresh_x(p, rd);
        refresh_x(p, rs2);
        emit16(p, insn->match | (rd - 8) << 7 | (rs2 - 8) << 2);
        say(p, "%s x%u, x%u", insn->name, rd, rs2);
        return;
    case FORM_C_RR:
        rs2 = 1 + below(p, 31);
        refresh_x(p, rd);
        refresh_x(p, rs2);
        emit16(p, insn->match | rd << 7 | rs2 << 2);
        say(p, "%s x%u, x%u", insn->name, rd, rs2);
        return;
    default: /* FORM_C_FIXED */
        emit16(p, insn->match);
        break;
    }
    say(p, "%s x%u, field %u", insn->name, rd, value);
}

static void emit_insn(struct program *p)
{
    const struct insn *insn = p->chosen[below(p, p->chosen_count)];

    switch (insn->form) {
    case FORM_LOAD:
    case FORM_STORE:
    case FORM_FLOAD:
    case FORM_FSTORE:
        emit_memory(p, insn);
        break;
    case FORM_AMO:
    case FORM_LR_SC:
        emit_atomic(p, insn);
        break;
    case FORM_BRANCH:
    case FORM_JAL:
    case FORM_JALR:
        emit_jump(p, insn);
        break;
    case FORM_FFF ... FORM_FX_RM:
        emit_float(p, insn);
        break;
    case FORM_FLI: {
        unsigned rd = any_register(p), index = any_register(p);

        emit32(p, insn->match | rd << 7 | index << 15);
        say(p, "%s f%u, %u", insn->name, rd, index);
        break;
    }
    case FORM_CSR ... FORM_CSR_FLAGS:
        emit_csr(p, insn);
        break;
    case FORM_CBO: {
        unsigned base = base_register(p);

        set_address(p, base, 0, 8, 1);
        emit32(p, insn->match | base << 15);
        say(p, "%s (x%u)", insn->name, base);
        break;
    }
    case FORM_C_LOAD4 ... FORM_C_SDSP:
        emit_compressed_memory(p, insn);
        break;
    case FORM_C_J ... FORM_C_JR:
        emit_compressed_jump(p, insn);
        break;
    case FORM_C_FIRST ... FORM_C_FIXED:
        emit_compressed(p, insn);
        break;
    default:
        emit_integer(p, insn);
        break;
    }
    say(p, "; ");
}

/* ---- checkpoints, units, loops ---- */

static void emit_checkpoint(struct program *p)
{
    uint32_t back;

    emit32(p, SD_GP(RA, SAVE_X + 8 * RA));
    back = (uint32_t)((p->dump - p->count) * 2);
    emit32(p, 0x6fu | RA << 7 | (back >> 12 & 0xff) << 12 | (back >> 11 & 1) << 20 |
                  (back >> 1 & 0x3ff) << 21 | (back >> 20 & 1) << 31);
    if (p->options->map)
        fprintf(p->options->map, "%#llx %u %s\n", (unsigned long long)address(p->count), p->unit,
                p->text);
    p->text[0] = 0;
    p->text_length = 0;
    emit32(p, LD(RA, SAVE_X + 8 * RA));
}

static void emit_unit(struct program *p)
{
    unsigned every = p->options->every;

    emit_insn(p);
    if ((every && p->unit % every == every - 1) || unit_is_fine(p))
        emit_checkpoint(p);
    p->unit++;
    patches_land(p, false);
}

/* Runs a few units two to nine times. What jumps forward lands inside or outside as a whole. */
static void emit_loop(struct program *p)
{
    unsigned counter, length = 1 + below(p, 8), times = 2 + below(p, 8);
    uint32_t back;
    size_t top;

    do
        counter = base_register(p);
    while (counter == RA || counter == SP); /* compressed forms write them unasked */

    patches_land(p, true);
    emit32(p, ADDI(counter, 0, times));
    p->kept |= 1u << counter;
    top = p->count;
    for (unsigned i = 0; i < length && p->unit < p->units; i++)
        emit_unit(p);
    patches_land(p, true);
    p->kept &= ~(1u << counter);
    emit32(p, ADDI(counter, counter, -1));
    back = (uint32_t)((top - p->count) * 2);
    emit32(p, 0x1063u | counter << 15 | (back >> 11 & 1) << 7 | (back >> 1 & 15) << 8 |
                  (back >> 5 & 63) << 25 | (back >> 12 & 1) << 31);
}

static void emit_units(struct program *p)
{
    while (p->unit < p->units && !p->no_memory) {
        if (below(p, 16) == 0)
            emit_loop(p);
        else
            emit_unit(p);
    }
    patches_land(p, true);
}

/* ---- the whole ---- */

static void emit_dump(struct program *p)
{
    static const unsigned clobbered[] = {T0, A0, A1, A2, A7};

    p->dump = p->count;
    emit32(p, SD_GP(RA, SAVE_X)); /* x0's place holds where it was */
    for (unsigned i = 2; i < 32; i++)
        emit32(p, SD_GP(i, SAVE_X + 8 * i));
    for (unsigned i = 0; i < 32; i++)
        emit32(p, FSD_GP(i, SAVE_F + 8 * i));
    emit32(p, 0x00302073u | T0 << 7); /* frcsr */
    emit32(p, SD_GP(T0, SAVE_FCSR));
    emit32(p, ADDI(A0, 0, 1));
    emit32(p, ADDI(A1, GP, -SCRATCH_HALF));
    emit32(p, ADDI(A2, 0, RECORD_SIZE));
    emit32(p, ADDI(A7, 0, 64)); /* write */
    emit32(p, ECALL);
    for (unsigned i = 0; i < sizeof(clobbered) / sizeof(clobbered[0]); i++)
        emit32(p, LD(clobbered[i], SAVE_X + 8 * clobbered[i]));
    emit32(p, 0x67u | RA << 15); /* ret */
}

static bool list_has(const char *list, const char *word)
{
    size_t length = strlen(word);

    for (const char *at = list; at && (at = strstr(at, word)); at += length)
        if ((at == list || at[-1] == ',') && (at[length] == ',' || !at[length]))
            return true;
    return false;
}

static void program_emit(struct program *p)
{
    emit32(p, 0x6f); /* over the checkpoint routine */
    emit_dump(p);
    patch_apply(p, &(struct patch){PATCH_J, 0, 0, 0});
    emit32(p, 0x37u | GP << 7 | SCRATCH_MIDDLE);
    for (unsigned i = 1; i < 32; i++)
        if (i != GP)
            emit32(p, LD(i, POOL + 8 * below(p, POOL_INTEGERS)));
    for (unsigned i = 0; i < 32; i++)
        emit32(p, FLD(i, POOL + 8 * (POOL_INTEGERS + below(p, POOL_FLOATS))));
    emit32(p, 0x00305073u);                     /* fcsr = 0 */
    emit32(p, 0x00205073u | below(p, 5) << 15); /* frm */

    emit_units(p);
    emit_checkpoint(p);
    emit32(p, ADDI(A0, 0, 0));
    emit32(p, ADDI(A7, 0, 93)); /* exit */
    emit32(p, ECALL);
}

void program_pool(uint64_t *rng, uint64_t *pool)
{
    for (unsigned i = 0; i < POOL_INTEGERS; i++)
        pool[i] = htole64(random_integer(rng));
    for (unsigned i = 0; i < POOL_FLOATS; i++)
        pool[POOL_INTEGERS + i] = htole64(random_float(rng));
}

static int program_store(const struct program *p, uint64_t seed, FILE *out)
{
    enum { CODE_OFFSET = 0x1000 };
    uint64_t code_size = p->count * 2, data_offset = (CODE_OFFSET + code_size + 0xfff) & ~0xfffull;
    struct {
        Elf64_Ehdr ehdr;
        Elf64_Phdr phdr[2];
    } head = {
        .ehdr =
            {
                .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
                            EV_CURRENT},
                .e_type = htole16(ET_EXEC),
                .e_machine = htole16(EM_RISCV),
                .e_version = htole32(EV_CURRENT),
                .e_entry = htole64(CODE_ADDRESS),
                .e_phoff = htole64(sizeof(Elf64_Ehdr)),
                .e_flags = htole32(0x5), /* RVC, double-float ABI */
                .e_ehsize = htole16(sizeof(Elf64_Ehdr)),
                .e_phentsize = htole16(sizeof(Elf64_Phdr)),
                .e_phnum = htole16(2),
            },
        .phdr = {{.p_type = htole32(PT_LOAD),
                  .p_flags = htole32(PF_R | PF_X),
                  .p_offset = htole64(CODE_OFFSET),
                  .p_vaddr = htole64(CODE_ADDRESS),
                  .p_paddr = htole64(CODE_ADDRESS),
                  .p_filesz = htole64(code_size),
                  .p_memsz = htole64(code_size),
                  .p_align = htole64(0x1000)},
                 {.p_type = htole32(PT_LOAD),
                  .p_flags = htole32(PF_R | PF_W),
                  .p_offset = htole64(data_offset),
                  .p_vaddr = htole64(DATA_ADDRESS),
                  .p_paddr = htole64(DATA_ADDRESS),
                  .p_filesz = htole64(DATA_SIZE),
                  .p_memsz = htole64(DATA_SIZE),
                  .p_align = htole64(0x1000)}},
    };
    uint64_t data[DATA_SIZE / 8];
    uint64_t rng = seed ^ 0x6461746173656564; /* not the sequence of the code */
    const unsigned pool = (SCRATCH_MIDDLE - DATA_ADDRESS + POOL) / 8;

    for (unsigned i = 0; i < DATA_SIZE / 8; i++)
        data[i] = htole64(random_next(&rng));
    program_pool(&rng, data + pool);

    if (fwrite(&head, sizeof(head), 1, out) != 1 || fseek(out, CODE_OFFSET, SEEK_SET) ||
        fwrite(p->code, 2, p->count, out) != p->count || fseek(out, (long)data_offset, SEEK_SET) ||
        fwrite(data, sizeof(data), 1, out) != 1)
        return -EIO;
    return 0;
}

static bool program_choose(struct program *p)
{
    for (unsigned i = 0; i < INSN_COUNT; i++)
        if (list_has(p->options->extensions, instructions[i].extension) &&
            !list_has(p->options->without, instructions[i].name))
            p->chosen[p->chosen_count++] = &instructions[i];
    return p->chosen_count;
}

int program_write(const struct program_options *options, FILE *out)
{
    struct program p = {.options = options,
                        .rng = options->seed,
                        .units = options->units,
                        .kept = 1u << GP};
    int error = 0;

    if (!program_choose(&p) || options->units > PROGRAM_UNITS_MAX)
        return -EINVAL;
    program_emit(&p);
    if (p.no_memory)
        error = -ENOMEM;
    else
        error = program_store(&p, options->seed, out);
    free(p.code);
    return error;
}

struct program *program_open(const struct program_options *options)
{
    struct program *p = calloc(1, sizeof(*p));

    if (!p)
        return NULL;
    p->options = options;
    p->rng = options->seed;
    if (program_choose(p))
        return p;
    free(p);
    return NULL;
}

void program_close(struct program *p)
{
    free(p->code);
    free(p);
}

const uint16_t *program_units(struct program *p, unsigned units, uint32_t kept, bool reserved,
                              size_t *count)
{
    p->count = p->unit = 0;
    p->units = units;
    p->kept = kept | 1u << GP;
    p->reserved = reserved;
    emit_units(p);
    *count = p->count;
    return p->no_memory ? NULL : p->code;
}
