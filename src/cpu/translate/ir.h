/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The intermediate representation between guests and hosts: what one unit of guest code does, as a
 * list of operations on the guest's registers. It names no guest and no host.
 *
 * A value reference is IR_ZERO (reads as 0, writes vanish), a global (a register of the guest,
 * 1 to IR_GLOBALS - 1; the guest's layout says where it lives and whether it is a float), or one
 * of IR_IMM (the operation's `imm`) and IR_PAGE (the virtual address of the page in which the unit
 * lies; imm is added to it where the operation has no other use for imm). Globals are variables:
 * they hold their values from one unit to the next. Nothing in a unit is an absolute guest-virtual
 * address, so that a unit works wherever its page is mapped.
 *
 * Whatever may leave the unit (memory accesses, IR_GUEST, branches) does so with all globals as the
 * operations before it left them: an exception is precise without any table.
 *
 * Integer operations of width 4 use the low 32 bits and sign-extend the result.
 */
#ifndef HOSPES_CPU_TRANSLATE_IR_H
#define HOSPES_CPU_TRANSLATE_IR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

typedef uint16_t ir_ref;

enum {
    IR_ZERO = 0,
    IR_GLOBALS = 128, /* references below it are globals */
    IR_PAGE = 0xfffe,
    IR_IMM = 0xffff,
};

enum ir_op {
    IR_NOP,
    /* dst = a op b */
    IR_MOV, /* dst = b: a constant, IR_PAGE + imm, or a global */
    IR_ADD, /* b may be IR_IMM; a may be IR_PAGE */
    IR_SUB,
    IR_AND,
    IR_OR,
    IR_XOR,
    IR_ANDN, /* a & ~b */
    IR_ORN,
    IR_XNOR,
    IR_SHL, /* counts modulo the width */
    IR_SHR,
    IR_SAR,
    IR_ROTL,
    IR_ROTR,
    IR_MUL,
    IR_MULH, /* the high half: signed, unsigned, signed times unsigned */
    IR_MULHU,
    IR_MULHSU,
    IR_DIV, /* by zero: all ones, remainder a; overflow: a, remainder 0 */
    IR_DIVU,
    IR_REM,
    IR_REMU,
    IR_MIN,
    IR_MINU,
    IR_MAX,
    IR_MAXU,
    IR_SHLADD,  /* (a << scale) + b; b may be IR_ZERO */
    IR_SHLADDU, /* the same with the low 32 bits of a, zero-extended */
    IR_SEXT8,   /* dst = a, extended */
    IR_SEXT16,
    IR_SEXT32,
    IR_ZEXT8,
    IR_ZEXT16,
    IR_ZEXT32,
    IR_CLZ, /* of 0: the width */
    IR_CTZ,
    IR_POPCNT,
    IR_BSWAP,
    IR_ORCB, /* each byte that is not zero becomes 0xff */
    IR_BSET, /* bit b of a */
    IR_BCLR,
    IR_BINV,
    IR_BEXT,
    IR_CLMUL, /* product without carries: its low half, its high half, its bits from 63 up */
    IR_CLMULH,
    IR_CLMULR,
    IR_SET,      /* dst = a cond b */
    IR_KEEP_NEZ, /* dst = b != 0 ? a : 0 */
    IR_KEEP_EQZ,
    /* Memory at a + imm; a may be IR_PAGE. width 1, 2, 4, 8; sign: the load sign-extends. A float
     * global takes 8 bytes, or 4 that are boxed in ones above. */
    IR_LOAD,
    IR_STORE, /* b */
    /* Atomic, at address a, naturally aligned or an exception; fully ordered, which in a machine of
     * one CPU only those have to be that are `ordered`, since only devices see the difference. dst
     * = the old value, sign-extended; memory = old op b. */
    IR_ATOMIC_SWAP,
    IR_ATOMIC_ADD,
    IR_ATOMIC_AND,
    IR_ATOMIC_OR,
    IR_ATOMIC_XOR,
    IR_LOAD_RESERVED,     /* the guest's reservation, see struct guest_layout */
    IR_STORE_CONDITIONAL, /* dst = 0 if b was stored, else 1 */
    /* dst = the old value, sign-extended; if that is b, memory = c, and there is no reservation any
     * more; else there is one, as behind IR_LOAD_RESERVED. The fallback is that IR_LOAD_RESERVED,
     * behind which the unit is left to go on at `next`. */
    IR_COMPARE_SWAP,
    IR_ZERO_BLOCK, /* 64 bytes of zeros around address a, if the context allows; else fallback */
    IR_FENCE,      /* orders all before it with all behind it */
    /* Floating point of IEEE 754, width 4 or 8. A NaN result is the canonical one; a float of
     * width 4 whose box is not all ones reads as canonical NaN. Rounding is the guest's dynamic
     * mode; flags gather. Each of them is `fallback`, done by the guest, where the host cannot. */
    IR_FLOAT_GUARD, /* leaves by IR_STEP unless the guest's floating point is on and as the host's
                     */
    IR_FADD,
    IR_FSUB,
    IR_FMUL,
    IR_FDIV,
    IR_FSQRT,
    IR_FMADD, /* a * b + c, a * b - c, -(a * b) + c, -(a * b) - c */
    IR_FMSUB,
    IR_FNMSUB,
    IR_FNMADD,
    IR_FMIN,
    IR_FMAX,
    IR_FSGNJ, /* a with the sign of b, of not b, of both xor'ed */
    IR_FSGNJN,
    IR_FSGNJX,
    IR_FEQ, /* dst is an integer */
    IR_FLT,
    IR_FLE,
    IR_FTOI_ZERO,   /* signed, toward zero; scale: the integer's bytes */
    IR_FTOI_ROUND,  /* signed, in the dynamic mode */
    IR_ITOF,        /* signed; scale: the integer's bytes */
    IR_FTOF,        /* from width to scale bytes */
    IR_FBITS,       /* dst integer = the bits of a; width 4 sign-extends, boxed or not */
    IR_BITSF,       /* dst float = the bits of a; width 4 boxes */
    IR_FLAGS_READ,  /* dst = the flags: inexact 1, underflow 2, overflow 4, by zero 8, invalid 16 */
    IR_FLAGS_WRITE, /* the flags = a (may be IR_IMM); dst = what they were */
    /* The guest's state beyond its globals; imm: bytes from its start. */
    IR_STATE_GUARD,  /* does all of the instruction by its fallback, and leaves out the next `scale`
                      * operations, unless the 4 bytes hold c */
    IR_STATE_READ,   /* dst = 8 bytes */
    IR_STATE_WRITE,  /* 8 bytes = a & ~c */
    IR_STATE_SWAP,   /* both; dst may be a */
    IR_STATE_CLEAR,  /* 8 bytes &= ~c */
    IR_STATE_ENABLE, /* 8 bytes |= a & c, if that of a & view_writable and no interrupt waits for it
                      * (wanted_offset, pending_offset); else its fallback */
    /* 8 bytes: those of view_writable = a, or &= ~a. If that changes more than view_plain, or
     * floats are in the host's registers, its fallback, as if nothing had been done. */
    IR_STATE_ASSIGN,
    IR_STATE_TAKE,
    IR_STATE_VIEW, /* dst = 8 bytes & view_mask, with the highest bit set if all of view_bits are */
    /* Of a region: here it goes on from the instruction `imm` bytes from the start of the page,
     * also from branches and jumps that are `inside`. `scale`: some of them stand behind it. */
    IR_LABEL,
    /* The end of the unit, or the way out of it. Targets are `imm` bytes from the start of the
     * page; what is `inside` leads to the label of the unit that has the same imm. */
    IR_BRANCH,    /* if a cond b; b may be IR_ZERO: to imm */
    IR_JUMP,      /* to imm */
    IR_CALL,      /* to imm; dst = the address behind, `next` */
    IR_JUMP_TO,   /* to a + imm, the lowest bit cleared; dst = the address behind, `next` */
    IR_CALL_TO,   /* the same, expected to return there */
    IR_RETURN_TO, /* IR_JUMP_TO, expected to be where a call comes from */
    /* An instruction that the guest executes by itself, out of line: `fallback`. */
    IR_GUEST,
    IR_NEXT_PAGE, /* leaves as IR_STEP unless the page behind this one in the guest's addresses is
                   * the one that was there when the unit was made */
    IR_STEP,      /* leaves; the guest executes the instruction at `at` and goes on behind it */
    IR_OP_COUNT
};

enum ir_cond { IR_EQ, IR_NE, IR_LT, IR_GE, IR_LTU, IR_GEU };

struct ir_insn {
    uint8_t op; /* enum ir_op */
    uint8_t width;
    uint8_t cond; /* enum ir_cond */
    uint8_t scale;
    bool sign;
    bool inside;
    bool ordered; /* of an atomic: what is before it, and what is behind it */
    ir_ref dst, a, b, c;
    uint16_t at;   /* bytes from the start of the page to the guest's instruction */
    uint16_t next; /* and to the one behind it; may be the page's size */
    uint16_t done; /* guest instructions of the unit before this one */
    int64_t imm;
    const void *fallback; /* the guest's own record of the instruction */
};

enum { IR_UNIT_MAX = 512 };

enum { IR_LABELS_MAX = 64 };

/* One unit: entered at its first instruction only. A region has labels, and a jump to the label of
 * `start` first, if it does not begin with that. */
struct ir_unit {
    uint16_t start; /* bytes from the start of the page */
    uint16_t bytes; /* of guest code */
    uint16_t guest_count;
    bool windowed; /* memory is reached through the window, see native.h */
    bool region;
    bool calls; /* a region that is often left for a call and entered behind it */
    unsigned count;
    struct ir_insn insns[IR_UNIT_MAX];
};

/* Can the operation leave the unit or be seen from outside? What stands before it must be done. */
bool ir_is_visible(const struct ir_insn *insn);
/* Whether it jumps to its own start. */
bool ir_loops(const struct ir_unit *unit);
/* Folds constants, joins address computations, drops what is overwritten unseen. Linear. */
void ir_optimise(struct ir_unit *unit);
/* Writes the operation as text, at most `size` bytes with the NUL. */
void ir_print(const struct ir_insn *insn, char *text, unsigned size);

#endif
