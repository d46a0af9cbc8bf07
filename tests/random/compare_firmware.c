/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's own firmware: the handlers of exceptions and interrupts, in M and in S-mode. */
#include <stdlib.h>

#include "../unit/riscv_code.h"
#include "base/error.h"
#include "compare.h"

enum { ROOM = 1024 };

struct assembler {
    uint32_t code[ROOM];
    unsigned count;
};

/* The CSRs of a mode. */
struct level {
    bool machine;
    unsigned scratch, cause, epc, tval, status;
};

static const struct level machine = {true, 0x340, 0x342, 0x341, 0x343, 0x300};
static const struct level supervisor = {false, 0x140, 0x142, 0x141, 0x143, 0x100};

static void put(struct assembler *a, uint32_t word)
{
    BUG_ON(a->count == ROOM);
    a->code[a->count++] = word;
}

/* A branch that is given its target later. */
static unsigned put_later(struct assembler *a, uint32_t word)
{
    put(a, word);
    return a->count - 1;
}

/* Bytes from instruction `from` to `to`. */
static int distance(unsigned from, unsigned to)
{
    return ((int)to - (int)from) * 4;
}

static void land(struct assembler *a, unsigned at)
{
    int offset = distance(at, a->count);

    a->code[at] |= (a->code[at] & 0x7f) == 0x6f ? JAL(0, offset) : INSN_B(0, 0, 0, offset);
}

/* a0 = the checksum with `reg` in it; a1 is the multiplier. */
static void put_mix(struct assembler *a, unsigned reg)
{
    put(a, RORI(A0, A0, 7));
    put(a, XOR(A0, A0, reg));
    put(a, MUL(A0, A0, A1));
}

/* All registers to the data page, to which tp points then. */
static void put_save(struct assembler *a, const struct level *l)
{
    put(a, CSRRW(TP, l->scratch, TP));
    for (unsigned i = 1; i < 32; i++)
        if (i != TP)
            put(a, SD(i, TP, D_X + 8 * i));
    put(a, CSRRS(T0, l->scratch, 0));
    put(a, SD(T0, TP, D_X + 8 * TP));
    put(a, CSRRW(0, l->scratch, TP));
}

static void put_restore(struct assembler *a, const struct level *l)
{
    for (unsigned i = 1; i < 32; i++)
        if (i != TP)
            put(a, LD(i, TP, D_X + 8 * i));
    put(a, LD(TP, TP, D_X + 8 * TP));
    put(a, l->machine ? MRET : SRET);
}

/* s0: the cause, s1: the pc, s2: tval, s3: the status. */
static void put_checksum(struct assembler *a)
{
    unsigned off;

    put(a, LD(A0, TP, D_HASH));
    put(a, LD(A1, TP, D_MULTIPLIER));
    put(a, LD(T0, TP, D_STATUS_MASK));
    put(a, AND(T0, T0, S3));
    put_mix(a, S0);
    put_mix(a, S1);
    put_mix(a, S2);
    put_mix(a, T0);
    for (unsigned i = 1; i < 32; i++) {
        put(a, LD(T0, TP, D_X + 8 * i));
        put_mix(a, T0);
    }
    put(a, SRLI(T0, S3, 13));
    put(a, ANDI(T0, T0, 3));
    put(a, BNEZ(T0, 8));
    off = put_later(a, J(0));
    put(a, CSRRS(T0, CSR_FCSR, 0));
    put_mix(a, T0);
    for (unsigned i = 0; i < 32; i++) {
        put(a, FSD(i, TP, D_F + 8 * i));
        put(a, LD(T0, TP, D_F + 8 * i));
        put_mix(a, T0);
    }
    land(a, off);
    put(a, SD(A0, TP, D_HASH));
}

/* t0: how many there were. */
static void put_log(struct assembler *a)
{
    put(a, LD(T0, TP, D_COUNT));
    put(a, ANDI(T1, T0, LOG_ENTRIES - 1));
    put(a, SLLI(T1, T1, 5));
    put(a, LD(T2, TP, D_LOG));
    put(a, ADD(T1, T1, T2));
    put(a, SD(S0, T1, 0));
    put(a, SD(S1, T1, 8));
    put(a, SD(S2, T1, 16));
    put(a, SD(A0, T1, 24));
    put(a, ADDI(T0, T0, 1));
    put(a, SD(T0, TP, D_COUNT));
}

/* s1 = the address behind the instruction. It is read as the program would, but from a page that
 * can only be executed too. */
static void put_skip(struct assembler *a, const struct level *l)
{
    put(a, LUI(T0, l->machine ? 0xa0 : 0xc0)); /* MPRV and MXR, or SUM and MXR */
    put(a, CSRRS(0, l->status, T0));
    put(a, LHU(T1, S1, 0));
    put(a, CSRRW(0, l->status, S3));
    put(a, ANDI(T1, T1, 3));
    put(a, LI(T2, 3));
    put(a, ADDI(S1, S1, 2));
    put(a, BNE(T1, T2, 8));
    put(a, ADDI(S1, S1, 2));
}

/* What a remap says, of which t0 is the address. */
static void put_remap(struct assembler *a)
{
    unsigned none;

    put(a, LD(T0, TP, D_REMAP));
    put(a, LD(T1, T0, 0));
    none = put_later(a, BEQZ(T1, 0));
    put(a, LD(T2, T0, 8));
    put(a, LD(A3, T0, 16));
    put(a, LD(A4, T0, 24));
    put(a, ADDI(T0, T0, sizeof(struct remap)));
    put(a, SD(T0, TP, D_REMAP));
    put(a, SD(T2, T1, 0));
    put(a, CSRRS(A5, CSR_SATP, 0));
    put(a, SLLI(A5, A5, 4));
    put(a, SRLI(A5, A5, 48));
    put(a, ADDI(A4, A4, -1));
    put(a, BGE(A4, 0, 12));
    put(a, SFENCE_VMA(0, 0));
    put(a, J(36));
    put(a, BNEZ(A4, 12));
    put(a, SFENCE_VMA(A3, 0));
    put(a, J(24));
    put(a, ADDI(A4, A4, -1));
    put(a, BNEZ(A4, 12));
    put(a, SFENCE_VMA(0, A5));
    put(a, J(8));
    put(a, SFENCE_VMA(A3, A5));
    land(a, none);
}

/* Bits of mstatus that are `mask` become a6's, shifted. t1 is the mask. */
static void put_status(struct assembler *a, unsigned shift)
{
    put(a, LD(T0, TP, D_X + 8 * A6));
    put(a, ANDI(T0, T0, 3));
    put(a, SLLI(T0, T0, shift));
    put(a, CSRRC(0, CSR_MSTATUS, T1));
    put(a, CSRRS(0, CSR_MSTATUS, T0));
}

/* The calls of a program. Jumps to `finish` are left for later. */
static unsigned put_calls(struct assembler *a)
{
    unsigned over, finish;

    put(a, ADDI(S1, S1, 4));
    put(a, LD(A7, TP, D_X + 8 * A7));
    put(a, ADDI(T0, A7, -CALL_END));
    put(a, BNEZ(T0, 8));
    finish = put_later(a, J(0));

    put(a, ADDI(T0, A7, -CALL_REMAP));
    over = put_later(a, BNEZ(T0, 0));
    put_remap(a);
    land(a, over);

    put(a, ADDI(T0, A7, -CALL_FLOAT));
    over = put_later(a, BNEZ(T0, 0));
    put(a, LUI(T1, 6));
    put_status(a, 13);
    land(a, over);

    put(a, ADDI(T0, A7, -CALL_MODE));
    put(a, BNEZ(T0, 12));
    put(a, LD(T0, TP, D_MODES));
    put(a, BNEZ(T0, 8));
    over = put_later(a, J(0));
    put(a, LUI(T1, 2));
    put(a, ADDI(T1, T1, -0x800));
    put_status(a, 11);
    land(a, over);
    return finish;
}

/* t0: the cause is one of a fetch: the program goes on where it calls from. */
static void put_exception(struct assembler *a, const struct level *l, unsigned *finish)
{
    unsigned fetch[3], skip, calls = 0, out;

    fetch[0] = put_later(a, BEQZ(S0, 0));
    put(a, ADDI(T0, S0, -RISCV_EXC_FETCH_ACCESS));
    fetch[1] = put_later(a, BEQZ(T0, 0));
    put(a, ADDI(T0, S0, -RISCV_EXC_FETCH_PAGE));
    fetch[2] = put_later(a, BEQZ(T0, 0));
    if (l->machine) {
        put(a, ADDI(T0, S0, -RISCV_EXC_ECALL_U));
        put(a, SLTIU(T0, T0, 4));
        put(a, BEQZ(T0, 8));
        calls = put_later(a, J(0));
    }
    put_skip(a, l);
    skip = put_later(a, J(0));
    for (unsigned i = 0; i < 3; i++)
        land(a, fetch[i]);
    put(a, LD(S1, TP, D_X + 8 * RA));
    put(a, ANDI(S1, S1, -2));
    out = put_later(a, J(0));
    if (l->machine) {
        land(a, calls);
        *finish = put_calls(a);
    }
    land(a, skip);
    land(a, out);
    put(a, CSRRW(0, l->epc, S1));
}

/* The cause's number to the device, which lowers the line; s0: the cause. */
static void put_interrupt(struct assembler *a)
{
    put(a, SLLI(S0, S0, 1));
    put(a, SRLI(S0, S0, 1));
    put(a, LD(T0, TP, D_DEVICE));
    put(a, SD(S0, T0, DEVICE_LOWER));
    put(a, LD(T0, TP, D_INTERRUPTS));
    put(a, ADDI(T0, T0, 1));
    put(a, SD(T0, TP, D_INTERRUPTS));
}

/* From the data page to the first instruction of an episode. */
static void put_begin(struct assembler *a)
{
    static const struct {
        enum begin field;
        unsigned csr;
    } fields[] = {
        {BEGIN_STATUS, 0x300},  {BEGIN_PC, 0x341},       {BEGIN_SATP, 0x180},
        {BEGIN_MEDELEG, 0x302}, {BEGIN_MIDELEG, 0x303},  {BEGIN_MIE, 0x304},
        {BEGIN_STVEC, 0x105},   {BEGIN_SSCRATCH, 0x140}, {BEGIN_MENVCFG, 0x30a},
        {BEGIN_SENVCFG, 0x10a},
    };

    put(a, CSRRS(TP, CSR_MSCRATCH, 0));
    put(a, LD(T0, TP, D_BEGIN + 8 * BEGIN_FLAGS));
    put(a, ANDI(T1, T0, BEGIN_FENCE_I));
    put(a, BEQZ(T1, 8));
    put(a, FENCE_I);
    put(a, ANDI(T1, T0, BEGIN_FENCE_VMA));
    put(a, BEQZ(T1, 8));
    put(a, SFENCE_VMA(0, 0));
    put(a, ANDI(T1, T0, BEGIN_COUNT_ANEW));
    put(a, BEQZ(T1, 12));
    put(a, CSRRS(T1, CSR_MINSTRET, 0));
    put(a, CSRRW(0, CSR_MINSTRET, 0));
    for (unsigned i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        put(a, LD(T0, TP, D_BEGIN + 8 * (int)fields[i].field));
        put(a, CSRRW(0, fields[i].csr, T0));
    }
    put(a, LD(GP, TP, D_BEGIN + 8 * BEGIN_GP));
    put(a, LD(TP, TP, D_BEGIN + 8 * BEGIN_TP));
    put(a, MRET);
}

/* Where an episode begins, or 0. */
static unsigned put_handler(struct assembler *a, const struct level *l)
{
    unsigned interrupt, limit, finish = 0, begin = 0, restore;

    put_save(a, l);
    put(a, CSRRS(S0, l->cause, 0));
    put(a, BGE(S0, 0, 8));
    interrupt = put_later(a, J(0));
    put(a, CSRRS(S1, l->epc, 0));
    put(a, CSRRS(S2, l->tval, 0));
    put(a, CSRRS(S3, l->status, 0));
    put_checksum(a);
    put_log(a);
    put(a, LD(T2, TP, D_LIMIT));
    put(a, BLTU(T0, T2, 8));
    limit = put_later(a, J(0));
    put_exception(a, l, &finish);
    restore = a->count;
    put_restore(a, l);
    land(a, interrupt);
    put_interrupt(a);
    put(a, J(distance(a->count, restore)));
    land(a, limit);
    if (!l->machine) {
        put(a, LI(A7, CALL_END));
        put(a, ECALL);
        return 0;
    }
    land(a, finish);
    put(a, CSRRWI(0, 0x304, 0)); /* mie: nothing ends the wait */
    put(a, WFI);
    begin = a->count;
    put_begin(a);
    return begin;
}

uint64_t firmware_write(struct pair *pair)
{
    struct assembler *a = calloc(1, sizeof(*a));
    unsigned begin;

    BUG_ON(!a);
    put_handler(a, &supervisor);
    pair_write(pair, RAM + S_CODE, a->code, a->count * 4);
    a->count = 0;
    begin = put_handler(a, &machine);
    pair_write(pair, RAM + M_CODE, a->code, a->count * 4);
    free(a);
    return RAM + M_CODE + begin * 4;
}
