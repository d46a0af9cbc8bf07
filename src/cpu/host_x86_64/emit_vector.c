/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams: loops that step through memory and do the same to each element, several elements at a
 * time. In windowed code,
 *
 *      first round                 as of any loop (emit.c)
 *      begin   enough rounds left? does what is stored reach what is loaded next?
 *              constants to all lanes; registers that are wanted are put aside
 *      chunk   polls; counts rounds to the end of the page that is stored to
 *      round   as many of the guest's rounds as a vector has elements
 *      leave   the guest's registers are what its last round made of them
 *      again   (the loop's jump back)
 *      top     the loop, a round at a time
 *
 * A round has no effect before its store, which is the last thing in it but for what cannot fail,
 * and the only one. So where an access faults, or a result is a NaN, it is as if the round had not
 * begun, but for the host's flags, which are put back where that could be seen; the loop does those
 * rounds one by one.
 *
 * Elements are loaded and stored in another order than the guest's, where no access of the loop's
 * own can tell; for other harts RVWMO orders none of them but loads of one place, which stay in
 * order. The elements of a vector are each read and written as a whole if they are aligned.
 *
 * Sources: RISC-V volume I, "RVWMO Memory Consistency Model"; Intel SDM volume 2 (instructions),
 * volume 3, 9.1.1 (what is atomic).
 */
#include <stddef.h>
#include <string.h>

#include "cpu/host_x86_64/stream.h"

enum {
    ROUNDS_LEAST = 2, /* for which it is worth beginning */
    ROOM = 4096,
    MEETINGS_MAX = STREAM_LOADS_MAX + STREAM_LOADS_MAX * (STREAM_LOADS_MAX - 1) / 2,
    /* How many turns of the loop to wait before the next try. */
    WAIT_FAULT = 4,
    WAIT_NAN = 256,
    WAIT_ALIAS = 1 << 24,
};

static void wide(struct emitter *e, unsigned how, unsigned opcode, unsigned reg, unsigned second,
                 struct place p)
{
    vex(&e->b, how | OP_256, opcode, reg, second, p);
}

static struct place context_bytes(size_t offset)
{
    return at_mem(R14, CONTEXT_AT(offset));
}

static struct place saved_place(unsigned reg)
{
    return context_bytes(offsetof(struct native_context, vector_saved) + 8 * reg);
}

static struct place result_place(unsigned i)
{
    return context_bytes(offsetof(struct native_context, vectors) + VECTOR * i);
}

/* The last lane. */
static struct place result_last(const struct stream *s, unsigned i)
{
    return context_bytes(offsetof(struct native_context, vectors) + VECTOR * (i + 1) - s->width);
}

/* rcx = the rounds of vectors that are left for certain, behind each of which the loop goes on. */
static void emit_left(struct emitter *e, const struct stream *s)
{
    ir_ref from = s->falls ? s->count : s->limit, less = s->falls ? s->limit : s->count;

    int_load(e, RCX, from, 0);
    if (less != IR_ZERO)
        alu_load(&e->b, OP_W, ALU_SUB, RCX, global_place(e, less));
    if (!s->inclusive)
        alu_imm(&e->b, OP_W, ALU_SUB, in_reg(RCX), 1);
    shift_imm(&e->b, OP_W, 5, RCX, s->shift);
}

static uint32_t emit_jump_away(struct emitter *e)
{
    jmp_to(&e->b, 0);
    return here(&e->b);
}

static uint32_t emit_branch_away(struct emitter *e, enum x86_cc cc)
{
    jcc_to(&e->b, cc, 0);
    return here(&e->b);
}

/* Out by the jump whose end is returned if `y` is from `low` to VECTOR - 1 bytes behind `x`. */
static uint32_t emit_meeting(struct emitter *e, const struct stream_op *x,
                             const struct stream_op *y, int32_t low)
{
    int_load(e, RAX, y->insn->a, 0);
    alu_load(&e->b, OP_W, ALU_SUB, RAX, global_place(e, x->insn->a));
    alu_imm(&e->b, OP_W, ALU_ADD, in_reg(RAX), y->offset - x->offset - low);
    alu_imm(&e->b, OP_W, ALU_CMP, in_reg(RAX), VECTOR - low);
    return emit_branch_away(e, CC_B);
}

/*
 * Where two accesses by different registers would be done in the wrong order: a load that is to
 * find what is stored in a round before it, or is not to find what is stored behind it; and two
 * loads of one place, which other harts may store to meanwhile (RVWMO, rule 2). Ends of the jumps
 * out to `from`; their number.
 */
static unsigned emit_meetings(struct emitter *e, const struct stream *s, uint32_t *from)
{
    unsigned count = 0;

    for (unsigned i = 0; i < s->load_count; i++) {
        const struct stream_op *load = &s->ops[i];

        if (load->insn->a != s->store->insn->a)
            from[count++] =
                emit_meeting(e, load, s->store, load->at > s->store->at ? 1 - VECTOR : 1);
        for (unsigned j = i + 1; j < s->load_count; j++)
            if (s->ops[j].insn->a != load->insn->a)
                from[count++] = emit_meeting(e, load, &s->ops[j], s->ops[j].at < load->at ? 0 : 1);
    }
    return count;
}

/* Host registers aside, and what the guest's are at first to the last lanes. */
static void emit_aside(struct emitter *e, const struct stream *s)
{
    unsigned result = 0;

    for (unsigned reg = 0; reg < 16; reg++)
        if (s->saved >> reg & 1)
            vex(&e->b, OP_F2, 0x11, reg, 0, saved_place(reg)); /* vmovsd */
    for (unsigned ref = 0; ref < IR_GLOBALS; ref++) {
        const struct ir_insn store = {.op = IR_STORE, .width = (uint8_t)s->width, .b = (ir_ref)ref};

        if (s->now[ref] != NO_VALUE)
            emit_store_to(e, &store, result_last(s, result++));
    }
}

/* A constant to all lanes. */
static void emit_spread(struct emitter *e, const struct stream *s, const struct stream_value *value)
{
    static const uint8_t opcodes[] = {[1] = 0x78, [2] = 0x79, [4] = 0x58, [8] = 0x59};
    struct place from = in_reg(value->reg);

    if (value->ref == IR_ZERO) {
        vex(&e->b, 0, 0x57, value->reg, value->reg, from); /* vxorps */
        return;
    }
    if (value->ref == IR_IMM) {
        mov_ri(&e->b, RAX, (uint64_t)value->imm);
        vex(&e->b, OP_66 | OP_W, 0x6e, value->reg, 0, in_reg(RAX)); /* vmovq */
    } else if (!is_pinned(e, value->ref)) {
        from = global_place(e, value->ref);
    } else if (is_float(e, value->ref)) {
        /* Its own may hold another constant by now. */
        unsigned reg = e->map->reg[value->ref];

        from = s->saved >> reg & 1 ? saved_place(reg) : in_reg(reg);
    } else {
        vex(&e->b, OP_66 | OP_W, 0x6e, value->reg, 0, in_reg(e->map->reg[value->ref]));
    }
    wide(e, OP_66 | OP_0F38, opcodes[s->width], value->reg, 0, from); /* vpbroadcast */
}

static struct place access_place(struct emitter *e, const struct stream_op *o)
{
    return at_index(R14, int_operand(e, o->insn->a, 0, RDX), 0, o->offset);
}

static void emit_vector_access(struct emitter *e, struct stream *s, const struct stream_op *o)
{
    struct place place = access_place(e, o);
    struct access *access = access_add(e, o->insn);
    bool store = o == s->store;

    access->away = s->fail;
    access->at = access->back = here(&e->b);
    wide(e, 0, store ? 0x11 : 0x10, s->values[store ? o->b : o->dst].reg, 0, place); /* vmovups */
}

static void emit_vector_float(struct emitter *e, const struct stream *s, const struct stream_op *o)
{
    unsigned opcode = float_opcode(o->insn), how = s->width == 8 ? OP_66 : 0;
    unsigned to = s->values[o->dst].reg, a = s->values[o->a].reg;

    if (o->insn->op >= IR_FMADD) {
        wide(e, 0, 0x28, to, 0, in_reg(a)); /* vmovaps */
        wide(e, OP_66 | OP_0F38 | (s->width == 8 ? OP_W : 0), opcode, to, s->values[o->b].reg,
             in_reg(s->values[o->c].reg));
    } else if (o->insn->op == IR_FSQRT) {
        wide(e, how, opcode, to, 0, in_reg(a));
    } else {
        wide(e, how, opcode, to, a, in_reg(s->values[o->b].reg));
    }
}

/* A shift by a constant: its ModRM.reg says which. */
static void emit_vector_shift(struct emitter *e, const struct stream *s, const struct stream_op *o)
{
    unsigned kind = o->insn->op == IR_SHL ? 6 : o->insn->op == IR_SHR ? 2 : 4;

    wide(e, OP_66, s->width == 8 ? 0x73 : 0x72, kind, s->values[o->dst].reg,
         in_reg(s->values[o->a].reg));
    put8(&e->b, (unsigned)o->insn->imm);
}

static void emit_vector_int(struct emitter *e, const struct stream *s, const struct stream_op *o)
{
    static const uint8_t opcodes[][2] = {
        [IR_ADD - IR_ADD] = {0xfe, 0xd4}, [IR_SUB - IR_ADD] = {0xfa, 0xfb},
        [IR_AND - IR_ADD] = {0xdb, 0xdb}, [IR_OR - IR_ADD] = {0xeb, 0xeb},
        [IR_XOR - IR_ADD] = {0xef, 0xef},
    };
    unsigned to = s->values[o->dst].reg, a = s->values[o->a].reg;
    struct place b = in_reg(s->values[o->b].reg);

    if (o->insn->op >= IR_SHL && o->insn->op <= IR_SAR)
        emit_vector_shift(e, s, o);
    else if (o->insn->op == IR_MUL)
        wide(e, OP_66 | OP_0F38, 0x40, to, a, b); /* vpmulld */
    else
        wide(e, OP_66, opcodes[o->insn->op - IR_ADD][s->width == 8], to, a, b);
}

/* Out if any result that is seen is a NaN. Returns the jump, or 0. */
static uint32_t emit_nan_check(struct emitter *e, const struct stream *s)
{
    unsigned how = s->width == 8 ? OP_66 : 0, regs[STREAM_VALUES_MAX], count = 0;

    for (unsigned i = 0; i < s->value_count; i++)
        if (s->values[i].arithmetic && s->values[i].seen)
            regs[count++] = s->values[i].reg;
    for (unsigned i = 0; i < count; i += 2) {
        unsigned other = regs[i + 1 < count ? i + 1 : i];

        wide(e, how, 0xc2, VECTOR_SCRATCH, regs[i], in_reg(other)); /* vcmpunord: either is one */
        put8(&e->b, 3);
        wide(e, how, 0x50, i ? RDX : RAX, 0, in_reg(VECTOR_SCRATCH)); /* vmovmskp */
        if (i)
            alu_load(&e->b, 0, ALU_OR, RAX, in_reg(RDX));
    }
    if (!count)
        return 0;
    test_rr(&e->b, 0, RAX, RAX);
    return emit_branch_away(e, CC_NE);
}

/* Returns the jump of a NaN, or 0. */
static uint32_t emit_vector_round(struct emitter *e, struct stream *s)
{
    unsigned result = 0;
    uint32_t nan;

    for (unsigned i = 0; i < s->op_count; i++) {
        const struct stream_op *o = &s->ops[i];

        if (o->insn->op == IR_LOAD)
            emit_vector_access(e, s, o);
        else if (o->insn->op >= IR_FADD && o->insn->op <= IR_FNMADD)
            emit_vector_float(e, s, o);
        else if (o->insn->op != IR_STORE)
            emit_vector_int(e, s, o);
    }
    nan = emit_nan_check(e, s);
    emit_vector_access(e, s, s->store);
    for (unsigned ref = 0; ref < IR_GLOBALS; ref++)
        if (s->now[ref] != NO_VALUE)
            wide(e, 0, 0x11, s->values[s->now[ref]].reg, 0, result_place(result++));
    for (unsigned i = 0; i < s->step_count; i++)
        alu_imm(&e->b, OP_W, ALU_ADD, global_place(e, s->steps[i].ref),
                (int32_t)(s->steps[i].by * (VECTOR / (int64_t)s->width)));
    return nan;
}

static void emit_wait(struct emitter *e, int32_t turns)
{
    mov_mi(&e->b, 0, CONTEXT(vector_wait), turns);
}

/* What the guest's registers are. */
static void emit_results(struct emitter *e, const struct stream *s)
{
    uint32_t left = s->saved;
    unsigned result = 0;

    for (unsigned ref = 0; ref < IR_GLOBALS; ref++) {
        struct ir_insn load = {.op = IR_LOAD, .width = (uint8_t)s->width, .dst = (ir_ref)ref};

        if (s->now[ref] == NO_VALUE)
            continue;
        load.sign = s->values[s->now[ref]].kind == LANE_SIGNED;
        emit_load_from(e, &load, result_last(s, result++));
        if (is_float(e, (ir_ref)ref) && is_pinned(e, (ir_ref)ref))
            left &= ~(1u << e->map->reg[ref]);
    }
    for (; left; left &= left - 1)
        vex(&e->b, OP_F2, 0x10, (unsigned)__builtin_ctz(left), 0,
            saved_place((unsigned)__builtin_ctz(left)));
}

/*
 * rcx: how many rounds are left, and then of those how many stay in the page that the first one
 * stores to last. Behind that one no store of them faults as the guest sees it, whose translations
 * it may rely on until it fences; so the flags that were raised before that are all that a fault
 * could need.
 */
static void emit_chunk(struct emitter *e, const struct stream *s)
{
    int_load(e, RAX, s->store->insn->a, 0);
    alu_imm(&e->b, OP_W, ALU_ADD, in_reg(RAX), s->store->offset + VECTOR);
    op(&e->b, OP_W, 0xf7, 3, in_reg(RAX)); /* neg */
    alu_imm(&e->b, 0, ALU_AND, in_reg(RAX), 4095);
    shift_imm(&e->b, 0, 5, RAX, 5);
    alu_imm(&e->b, 0, ALU_ADD, in_reg(RAX), 1);
    alu_load(&e->b, OP_W, ALU_CMP, RCX, in_reg(RAX));
    cmov(&e->b, OP_W, CC_A, RCX, in_reg(RAX));
    if (!s->floats)
        return;
    mov_store(&e->b, 0, CONTEXT(vector_rounds), RCX);
    op(&e->b, OP_0F, 0xae, 3, CONTEXT(vector_control)); /* stmxcsr */
}

/* If this is a chunk's first round. */
static void emit_flags_back(struct emitter *e)
{
    uint8_t *later;

    alu_load(&e->b, 0, ALU_CMP, RCX, CONTEXT(vector_rounds));
    later = jcc_short(&e->b, CC_NE);
    op(&e->b, OP_0F, 0xae, 2, CONTEXT(vector_control)); /* ldmxcsr */
    jump_here(&e->b, later);
}

/* rcx: how many rounds there are at first. */
static void emit_chunks(struct emitter *e, struct stream *s)
{
    uint32_t to_first = emit_jump_away(e), nan, polled, none, failed, done, chunk, round;

    s->fail = here(&e->b);
    emit_wait(e, WAIT_FAULT);
    failed = emit_jump_away(e);
    chunk = here(&e->b);
    alu_load(&e->b, OP_W, ALU_CMP, RSP, state_place(e->layout->poll_offset));
    polled = emit_branch_away(e, CC_B);
    emit_left(e, s);
    test_rr(&e->b, OP_W, RCX, RCX);
    none = emit_branch_away(e, CC_E);
    patch_here(&e->b, to_first);
    emit_chunk(e, s);
    nops(&e->b, -here(&e->b) & 31);
    round = here(&e->b);
    nan = emit_vector_round(e, s);
    alu_imm(&e->b, 0, ALU_SUB, in_reg(RCX), 1);
    jcc_to(&e->b, CC_NE, round);
    /* Code of a library also looks whether it is dead, at the loop's own poll. */
    if (!e->runtime->shared)
        jmp_to(&e->b, chunk);
    patch_here(&e->b, polled);
    patch_here(&e->b, none);
    emit_wait(e, 0);
    done = emit_jump_away(e);
    if (nan) {
        patch_here(&e->b, nan);
        emit_wait(e, WAIT_NAN);
    }
    patch_here(&e->b, failed);
    if (s->floats)
        emit_flags_back(e);
    patch_here(&e->b, done);
}

bool emit_stream(struct emitter *e, const struct ir_insn *insns, unsigned count,
                 const struct ir_insn *back, uint32_t *again)
{
    uint64_t boxed[IR_GLOBALS / 64];
    uint32_t from[MEETINGS_MAX], few, first, to_loop, to_top;
    unsigned meetings;
    struct stream s;

    *again = 0;
    if (!stream_find(&s, e, insns, count, back))
        return true;
    if (here(&e->b) + ROOM >= e->end)
        return false;
    memcpy(boxed, e->boxed, sizeof(boxed));
    hold_nothing(e);
    first = here(&e->b);
    emit_left(e, &s);
    alu_imm(&e->b, OP_W, ALU_CMP, in_reg(RCX), ROUNDS_LEAST);
    few = emit_branch_away(e, CC_B);
    meetings = emit_meetings(e, &s, from);
    emit_aside(e, &s);
    for (unsigned i = 0; i < s.value_count; i++)
        if (s.values[i].constant)
            emit_spread(e, &s, &s.values[i]);
    emit_chunks(e, &s);
    put8(&e->b, 0xc5); /* vzeroupper */
    put8(&e->b, 0xf8);
    put8(&e->b, 0x77);
    emit_results(e, &s);
    to_loop = emit_jump_away(e);
    for (unsigned i = 0; i < meetings; i++)
        patch_here(&e->b, from[i]);
    if (meetings)
        emit_wait(e, WAIT_ALIAS);
    to_top = emit_jump_away(e);
    *again = here(&e->b);
    alu_imm(&e->b, 0, ALU_SUB, CONTEXT(vector_wait), 1);
    jcc_to(&e->b, CC_S, first);
    patch_here(&e->b, few);
    patch_here(&e->b, to_loop);
    patch_here(&e->b, to_top);
    memcpy(e->boxed, boxed, sizeof(boxed));
    hold_nothing(e);
    e->result->streams++;
    return true;
}
