/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instruction encodings of x86-64, as far as the emitter needs them. Each function writes one
 * instruction at the place where the buffer stands. The caller sees to it that there is room.
 *
 * Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, chapter 2
 * (formats) and the instruction reference for the opcodes.
 */
#ifndef HOSPES_CPU_HOST_X86_64_ASSEMBLER_H
#define HOSPES_CPU_HOST_X86_64_ASSEMBLER_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum x86_reg {
    RAX,
    RCX,
    RDX,
    RBX,
    RSP,
    RBP,
    RSI,
    RDI,
    R8,
    R9,
    R10,
    R11,
    R12,
    R13,
    R14,
    R15,
    X86_NONE = 0xff
};

/* Condition codes, as in the low four bits of jcc, setcc and cmovcc. */
enum x86_cc {
    CC_O,
    CC_NO,
    CC_B,
    CC_AE,
    CC_E,
    CC_NE,
    CC_BE,
    CC_A,
    CC_S,
    CC_NS,
    CC_P,
    CC_NP,
    CC_L,
    CC_GE,
    CC_LE,
    CC_G
};

/* The eight operations that share an encoding. */
enum x86_alu { ALU_ADD, ALU_OR, ALU_ADC, ALU_SBB, ALU_AND, ALU_SUB, ALU_XOR, ALU_CMP };

/* A register, memory at base + index * scale + disp, or memory at an offset from the buffer's
 * start (reached relative to the instruction pointer; with no immediate behind). */
struct place {
    uint8_t kind;
    uint8_t base, index, scale; /* scale: 0 to 3; base: the register if it is one */
    bool gs;                    /* from the gs segment's base */
    int32_t disp;
};

enum { PLACE_REG, PLACE_MEM, PLACE_FIXED };

static inline struct place in_reg(unsigned reg)
{
    return (struct place){.kind = PLACE_REG, .base = reg};
}

static inline struct place at_mem(unsigned base, int32_t disp)
{
    return (struct place){.kind = PLACE_MEM, .base = base, .index = X86_NONE, .disp = disp};
}

static inline struct place at_index(unsigned base, unsigned index, unsigned scale, int32_t disp)
{
    return (struct place){
        .kind = PLACE_MEM, .base = base, .index = index, .scale = scale, .disp = disp};
}

static inline struct place at_fixed(uint32_t offset)
{
    return (struct place){.kind = PLACE_FIXED, .disp = (int32_t)offset};
}

struct buffer {
    uint8_t *start, *at;
};

static inline uint32_t here(const struct buffer *b)
{
    return (uint32_t)(b->at - b->start);
}

static inline void put8(struct buffer *b, unsigned value)
{
    *b->at++ = value;
}

static inline void put32(struct buffer *b, uint32_t value)
{
    memcpy(b->at, &value, 4);
    b->at += 4;
}

static inline void put64(struct buffer *b, uint64_t value)
{
    memcpy(b->at, &value, 8);
    b->at += 8;
}

/* How an instruction is encoded besides its opcode byte. */
enum {
    OP_W = 1,  /* 64-bit operand */
    OP_66 = 2, /* mandatory prefixes */
    OP_F3 = 4,
    OP_F2 = 8,
    OP_0F = 16, /* opcode maps */
    OP_0F38 = 32,
    OP_0F3A = 64,
    OP_BYTE = 128, /* operands are byte registers: spl to dil want a REX prefix */
    OP_256 = 256,  /* of vex(): vectors of 32 bytes */
};

static inline void put_modrm(struct buffer *b, unsigned reg, struct place p)
{
    unsigned mod, r = (reg & 7) << 3;

    if (p.kind == PLACE_REG) {
        put8(b, 0xc0 | r | (p.base & 7));
        return;
    }
    if (p.kind == PLACE_FIXED) {
        put8(b, 0x05 | r);
        put32(b, (uint32_t)p.disp - (here(b) + 4));
        return;
    }
    if (p.base == X86_NONE) { /* index * scale + disp32 */
        put8(b, 0x04 | r);
        put8(b, p.scale << 6 | (p.index & 7) << 3 | 5);
        put32(b, (uint32_t)p.disp);
        return;
    }
    if (!p.disp && (p.base & 7) != RBP)
        mod = 0;
    else if (p.disp == (int8_t)p.disp)
        mod = 1;
    else
        mod = 2;
    if (p.index != X86_NONE) {
        put8(b, mod << 6 | r | 4);
        put8(b, p.scale << 6 | (p.index & 7) << 3 | (p.base & 7));
    } else if ((p.base & 7) == RSP) {
        put8(b, mod << 6 | r | 4);
        put8(b, 0x24);
    } else {
        put8(b, mod << 6 | r | (p.base & 7));
    }
    if (mod == 1)
        put8(b, (uint8_t)p.disp);
    else if (mod == 2)
        put32(b, (uint32_t)p.disp);
}

static inline bool is_high(unsigned reg)
{
    return reg != X86_NONE && reg >= 8;
}

static inline void op(struct buffer *b, unsigned how, unsigned opcode, unsigned reg, struct place p)
{
    unsigned rex = 0;

    if (p.gs)
        put8(b, 0x65);
    if (how & OP_66)
        put8(b, 0x66);
    if (how & OP_F3)
        put8(b, 0xf3);
    if (how & OP_F2)
        put8(b, 0xf2);
    if (how & OP_W)
        rex |= 0x48;
    if (is_high(reg))
        rex |= 0x44;
    if (p.kind == PLACE_MEM && is_high(p.index))
        rex |= 0x42;
    if (p.kind != PLACE_FIXED && is_high(p.base))
        rex |= 0x41;
    if ((how & OP_BYTE) &&
        ((reg >= RSP && reg <= RDI) || (p.kind == PLACE_REG && p.base >= RSP && p.base <= RDI)))
        rex |= 0x40;
    if (rex)
        put8(b, rex);
    if (how & (OP_0F | OP_0F38 | OP_0F3A))
        put8(b, 0x0f);
    if (how & OP_0F38)
        put8(b, 0x38);
    if (how & OP_0F3A)
        put8(b, 0x3a);
    put8(b, opcode);
    put_modrm(b, reg, p);
}

/* The three-operand form; `reg` and `second` as the instruction's ModRM.reg and VEX.vvvv. */
static inline void vex(struct buffer *b, unsigned how, unsigned opcode, unsigned reg,
                       unsigned second, struct place p)
{
    unsigned map = how & OP_0F38 ? 2 : how & OP_0F3A ? 3 : 1;
    unsigned prefix = how & OP_66 ? 1 : how & OP_F3 ? 2 : how & OP_F2 ? 3 : 0;
    bool x = p.kind == PLACE_MEM && is_high(p.index);
    bool high = p.kind != PLACE_FIXED && is_high(p.base);

    if (p.gs)
        put8(b, 0x65);
    put8(b, 0xc4);
    put8(b, (is_high(reg) ? 0 : 0x80) | (x ? 0 : 0x40) | (high ? 0 : 0x20) | map);
    put8(b, (how & OP_W ? 0x80 : 0) | (~second & 15) << 3 | (how & OP_256 ? 4 : 0) | prefix);
    put8(b, opcode);
    put_modrm(b, reg, p);
}

/* ---- whole instructions; w: OP_W or 0 ---- */

static inline bool fits32(int64_t value)
{
    return value == (int32_t)value;
}

static inline void mov_load(struct buffer *b, unsigned w, unsigned reg, struct place p)
{
    op(b, w, 0x8b, reg, p);
}

static inline void mov_store(struct buffer *b, unsigned w, struct place p, unsigned reg)
{
    op(b, w, 0x89, reg, p);
}

static inline void mov_rr(struct buffer *b, unsigned w, unsigned to, unsigned from)
{
    op(b, w, 0x89, from, in_reg(to));
}

/* The flags stay as they are. */
static inline void mov_ri(struct buffer *b, unsigned reg, uint64_t value)
{
    if (value <= UINT32_MAX) {
        if (is_high(reg))
            put8(b, 0x41);
        put8(b, 0xb8 | (reg & 7));
        put32(b, (uint32_t)value);
    } else if (fits32((int64_t)value)) {
        op(b, OP_W, 0xc7, 0, in_reg(reg));
        put32(b, (uint32_t)value);
    } else {
        put8(b, is_high(reg) ? 0x49 : 0x48);
        put8(b, 0xb8 | (reg & 7));
        put64(b, value);
    }
}

/* value: sign-extended to the width. */
static inline void mov_mi(struct buffer *b, unsigned w, struct place p, int32_t value)
{
    op(b, w, 0xc7, 0, p);
    put32(b, (uint32_t)value);
}

static inline void alu_load(struct buffer *b, unsigned w, enum x86_alu alu, unsigned reg,
                            struct place p)
{
    op(b, w, alu << 3 | 3, reg, p);
}

static inline void alu_store(struct buffer *b, unsigned w, enum x86_alu alu, struct place p,
                             unsigned reg)
{
    op(b, w, alu << 3 | 1, reg, p);
}

static inline void alu_imm(struct buffer *b, unsigned w, enum x86_alu alu, struct place p,
                           int32_t value)
{
    if (value == (int8_t)value) {
        op(b, w, 0x83, alu, p);
        put8(b, (uint8_t)value);
    } else {
        op(b, w, 0x81, alu, p);
        put32(b, (uint32_t)value);
    }
}

static inline void lea(struct buffer *b, unsigned w, unsigned reg, struct place p)
{
    op(b, w, 0x8d, reg, p);
}

static inline void test_rr(struct buffer *b, unsigned w, unsigned reg, unsigned other)
{
    op(b, w, 0x85, other, in_reg(reg));
}

static inline void movsxd(struct buffer *b, unsigned reg, struct place p)
{
    op(b, OP_W, 0x63, reg, p);
}

/* kind: 4 shl, 5 shr, 7 sar, 0 rol, 1 ror */
static inline void shift_imm(struct buffer *b, unsigned w, unsigned kind, unsigned reg,
                             unsigned count)
{
    op(b, w, 0xc1, kind, in_reg(reg));
    put8(b, count);
}

static inline void setcc(struct buffer *b, enum x86_cc cc, unsigned reg)
{
    op(b, OP_0F | OP_BYTE, 0x90 | cc, 0, in_reg(reg));
}

static inline void cmov(struct buffer *b, unsigned w, enum x86_cc cc, unsigned reg, struct place p)
{
    op(b, w | OP_0F, 0x40 | cc, reg, p);
}

static inline void push_reg(struct buffer *b, unsigned reg)
{
    if (is_high(reg))
        put8(b, 0x41);
    put8(b, 0x50 | (reg & 7));
}

static inline void pop_reg(struct buffer *b, unsigned reg)
{
    if (is_high(reg))
        put8(b, 0x41);
    put8(b, 0x58 | (reg & 7));
}

/* To an offset in the buffer. */
static inline void jmp_to(struct buffer *b, uint32_t target)
{
    put8(b, 0xe9);
    put32(b, target - (here(b) + 4));
}

static inline void call_to(struct buffer *b, uint32_t target)
{
    put8(b, 0xe8);
    put32(b, target - (here(b) + 4));
}

static inline void jcc_to(struct buffer *b, enum x86_cc cc, uint32_t target)
{
    put8(b, 0x0f);
    put8(b, 0x80 | cc);
    put32(b, target - (here(b) + 4));
}

/* A short jump forward, to be ended by jump_here(). */
static inline uint8_t *jcc_short(struct buffer *b, enum x86_cc cc)
{
    put8(b, 0x70 | cc);
    put8(b, 0);
    return b->at;
}

static inline uint8_t *jmp_short(struct buffer *b)
{
    put8(b, 0xeb);
    put8(b, 0);
    return b->at;
}

static inline void jump_here(struct buffer *b, uint8_t *from)
{
    from[-1] = (uint8_t)(b->at - from);
}

/* A long jump forward whose 4 bytes end at `from`. */
static inline void patch_here(struct buffer *b, uint32_t from)
{
    uint32_t distance = here(b) - from;

    memcpy(b->start + from - 4, &distance, 4);
}

static inline void nops(struct buffer *b, unsigned count)
{
    static const uint8_t longest[] = {0x66, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0};
    static const uint8_t forms[][8] = {
        {0x90},
        {0x66, 0x90},
        {0x0f, 0x1f, 0x00},
        {0x0f, 0x1f, 0x40, 0},
        {0x0f, 0x1f, 0x44, 0, 0},
        {0x66, 0x0f, 0x1f, 0x44, 0, 0},
        {0x0f, 0x1f, 0x80, 0, 0, 0, 0},
        {0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0},
    };

    for (; count >= 9; count -= 9, b->at += 9)
        memcpy(b->at, longest, 9);
    if (count) {
        memcpy(b->at, forms[count - 1], count);
        b->at += count;
    }
}

#endif
