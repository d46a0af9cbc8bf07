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
 * Elements are loaded and stored in another order than the guest's, where no access of the
 * loop's own can tell; for other harts RVWMO orders none of them but loads of one place, which stay
 * in order. The elements of a vector are each
 * read and written as a whole if they are aligned.
 *
 * Sources: RISC-V volume I, "RVWMO Memory Consistency Model"; Intel SDM volume 2 (instructions),
 * volume 3, 9.1.1 (what is atomic).
 */
#include <stddef.h>

#include "base/bits.h"
#include "base/error.h"
#include "cpu/host_x86_64/emitter.h"

enum {
    VECTOR = 32, /* bytes */
    VALUES_MAX = 24,
    OPS_MAX = 16,
    LOADS_MAX = 5,
    MEETINGS_MAX = LOADS_MAX + LOADS_MAX * (LOADS_MAX - 1) / 2,
    STEPS_MAX = 8,
    ROUNDS_LEAST = 2, /* for which it is worth beginning */
    ROOM = 4096,
    SCRATCH = XMM15,
    NO_VALUE = 0xff,
    /* How many turns of the loop to wait before the next try. */
    WAIT_FAULT = 4,
    WAIT_NAN = 256,
    WAIT_ALIAS = 1 << 24,
};

/* What a lane holds of a register of the guest. */
enum kind {
    BITS,   /* all of it */
    SIGNED, /* its lower half, sign-extended */
    ZEROED, /* the lowest bytes, zero-extended */
    FLOAT,
};

struct value {
    enum kind kind;
    bool constant;   /* the same in all rounds: `ref`, or `imm` */
    bool arithmetic; /* a float whose NaN may be another one than the guest's */
    bool seen;       /* other than by arithmetic */
    ir_ref ref;
    int64_t imm;
    unsigned last; /* the operation that uses it last */
    unsigned reg;
};

struct operation {
    const struct ir_insn *insn;
    int32_t offset; /* of an access, from its base at the round's start */
    uint8_t a, b, c, dst;
    uint8_t at; /* its place among the operations of the guest's */
};

struct step {
    ir_ref ref;
    int64_t by;
};

struct stream {
    unsigned width; /* of an element */
    bool floats;    /* has arithmetic that raises flags */
    unsigned op_count, load_count, value_count, step_count;
    struct operation ops[OPS_MAX];
    const struct operation *store;
    struct value values[VALUES_MAX];
    struct step steps[STEPS_MAX];
    uint8_t now[IR_GLOBALS]; /* which value each global has, NO_VALUE: of before the round */
    unsigned writes[IR_GLOBALS];
    /* The loop goes on while `count` is below `limit`, or above it if it falls. */
    ir_ref count, limit;
    bool falls, inclusive;
    unsigned shift; /* a round of vectors takes 1 << shift off what is left */
    uint32_t saved; /* registers of the host's that are put aside, a bit each */
    uint32_t fail;  /* offset */
};

/* ---- is it one? ---- */

static bool is_float(const struct emitter *e, ir_ref ref)
{
    return is_global(ref) && e->layout->is_float(ref);
}

static const struct step *step_of(const struct stream *s, ir_ref ref)
{
    for (unsigned i = 0; i < s->step_count; i++)
        if (s->steps[i].ref == ref)
            return &s->steps[i];
    return NULL;
}

static bool is_step(const struct stream *s, const struct ir_insn *insn)
{
    return insn->op == IR_ADD && insn->width == 8 && insn->b == IR_IMM && insn->dst == insn->a &&
           s->writes[insn->dst] == 1 && fits32(insn->imm * VECTOR);
}

/* The lanes of a step are the rounds of a vector: 1 << the answer is what it moves on by in them;
 * -1: that is no power of two. */
static int step_shift(const struct stream *s, int64_t by)
{
    uint64_t all = (uint64_t)(by < 0 ? -by : by) * (VECTOR / s->width);

    return all && !(all & (all - 1)) ? __builtin_ctzll(all) : -1;
}

static bool find_steps(struct stream *s, const struct ir_insn *insns, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (insns[i].op != IR_NOP && is_global(insns[i].dst))
            s->writes[insns[i].dst]++;
    for (unsigned i = 0; i < count; i++) {
        if (!is_step(s, &insns[i]))
            continue;
        if (s->step_count == STEPS_MAX)
            return false;
        s->steps[s->step_count++] = (struct step){insns[i].dst, insns[i].imm};
    }
    return true;
}

static bool is_owed(const struct emitter *e, ir_ref ref)
{
    return ref < 64 && (e->debts.words | e->debts.nans) >> ref & 1;
}

static unsigned add_value(struct stream *s, struct value value)
{
    if (s->value_count == VALUES_MAX)
        return NO_VALUE;
    s->values[s->value_count] = value;
    return s->value_count++;
}

static unsigned constant_value(struct stream *s, const struct emitter *e, ir_ref ref, int64_t imm)
{
    struct value value = {.constant = true, .ref = ref, .imm = imm};

    for (unsigned i = 0; i < s->value_count; i++)
        if (s->values[i].constant && s->values[i].ref == ref && s->values[i].imm == imm)
            return i;
    if (is_float(e, ref)) {
        value.kind = FLOAT;
        if (s->width == 4 && !(e->boxed[ref / 64] >> (ref % 64) & 1))
            return NO_VALUE;
    } else {
        value.kind = s->width == 8 ? BITS : ref == IR_IMM || ref == IR_ZERO ? SIGNED : ZEROED;
    }
    return add_value(s, value);
}

/* The value of an operand; `imm`: of IR_IMM. */
static unsigned operand(struct stream *s, const struct emitter *e, ir_ref ref, int64_t imm)
{
    if (ref == IR_ZERO || (ref == IR_IMM && fits32(imm)))
        return constant_value(s, e, ref, ref == IR_IMM ? imm : 0);
    if (!is_global(ref))
        return NO_VALUE;
    if (s->now[ref] != NO_VALUE)
        return s->now[ref];
    if (s->writes[ref] || is_owed(e, ref))
        return NO_VALUE;
    return constant_value(s, e, ref, 0);
}

/* Whether the access's base is known to be near the window, as all lanes are then. */
static bool is_reached(const struct emitter *e, const struct ir_insn *insn, int32_t offset)
{
    struct ir_insn all = *insn;

    all.imm = offset < 0 ? offset - VECTOR : offset + VECTOR;
    return is_window_base(&all) && is_base_known(e, &all);
}

static enum kind kind_of_load(const struct emitter *e, const struct ir_insn *insn)
{
    if (is_float(e, insn->dst))
        return FLOAT;
    return insn->width == 8 ? BITS : insn->sign ? SIGNED : ZEROED;
}

static bool take_access(struct stream *s, const struct emitter *e, const struct ir_insn *insn,
                        struct operation *o, bool *moved)
{
    const struct step *step = is_global(insn->a) ? step_of(s, insn->a) : NULL;

    if (!step || step->by != insn->width || !fits32(insn->imm + step->by))
        return false;
    o->offset = (int32_t)(insn->imm + (moved[step - s->steps] ? step->by : 0));
    if (!is_reached(e, insn, o->offset))
        return false;
    if (insn->op == IR_LOAD) {
        o->dst = (uint8_t)add_value(s, (struct value){.kind = kind_of_load(e, insn)});
        return o->dst != NO_VALUE && is_global(insn->dst);
    }
    o->b = (uint8_t)operand(s, e, insn->b, 0);
    if (o->b == NO_VALUE || s->store)
        return false;
    s->store = o;
    s->values[o->b].seen = true;
    return true;
}

static bool take_float(struct stream *s, const struct emitter *e, const struct ir_insn *insn,
                       struct operation *o)
{
    o->a = (uint8_t)operand(s, e, insn->a, 0);
    if (insn->op != IR_FSQRT)
        o->b = (uint8_t)operand(s, e, insn->b, 0);
    if (insn->op >= IR_FMADD)
        o->c = (uint8_t)operand(s, e, insn->c, 0);
    o->dst = (uint8_t)add_value(s, (struct value){.kind = FLOAT, .arithmetic = true});
    s->floats = true;
    return insn->width >= 4 && o->a != NO_VALUE && (insn->op == IR_FSQRT || o->b != NO_VALUE) &&
           (insn->op < IR_FMADD || o->c != NO_VALUE) && o->dst != NO_VALUE;
}

/* Whether the operation on lanes gives what it gives on registers. */
static bool is_int_lane(const struct stream *s, const struct ir_insn *insn,
                        const struct operation *o)
{
    bool shift = insn->op >= IR_SHL && insn->op <= IR_SAR;

    if (shift && (insn->b != IR_IMM || insn->imm < 0 || insn->imm >= insn->width * 8))
        return false;
    if (s->width == 8)
        return insn->width == 8 && insn->op != IR_SAR && insn->op != IR_MUL;
    if (s->width != 4)
        return false;
    if (insn->width == 4)
        return true;
    /* On sign-extended halves that is one. */
    return insn->op >= IR_AND && insn->op <= IR_XOR && s->values[o->a].kind == SIGNED &&
           s->values[o->b].kind == SIGNED;
}

static bool take_int(struct stream *s, const struct emitter *e, const struct ir_insn *insn,
                     struct operation *o)
{
    o->a = (uint8_t)operand(s, e, insn->a, 0);
    o->b = (uint8_t)operand(s, e, insn->b, insn->imm);
    if (o->a == NO_VALUE || o->b == NO_VALUE || !is_int_lane(s, insn, o))
        return false;
    o->dst = (uint8_t)add_value(s, (struct value){.kind = s->width == 8 ? BITS : SIGNED});
    return o->dst != NO_VALUE;
}

/* A copy of a register is the same value. */
static bool take_move(struct stream *s, const struct emitter *e, const struct ir_insn *insn,
                      ir_ref from)
{
    unsigned value = is_global(from) ? operand(s, e, from, 0) : NO_VALUE;

    if (value == NO_VALUE || (s->values[value].constant && s->width != 8))
        return false;
    s->now[insn->dst] = (uint8_t)value;
    return true;
}

static bool take(struct stream *s, const struct emitter *e, const struct ir_insn *insn, bool *moved)
{
    struct operation *o = &s->ops[s->op_count];
    bool taken = false;

    if (insn->op == IR_NOP || insn->op == IR_FLOAT_GUARD)
        return true;
    if (is_step(s, insn)) {
        moved[step_of(s, insn->dst) - s->steps] = true;
        return true;
    }
    if (insn->op == IR_MOV)
        return take_move(s, e, insn, insn->b);
    if (insn->op == IR_FSGNJ && insn->a == insn->b && insn->width == s->width)
        return take_move(s, e, insn, insn->a);
    if (s->op_count == OPS_MAX)
        return false;
    *o = (struct operation){.insn = insn,
                            .a = NO_VALUE,
                            .b = NO_VALUE,
                            .c = NO_VALUE,
                            .dst = NO_VALUE,
                            .at = (uint8_t)s->op_count};
    switch (insn->op) {
    case IR_LOAD:
    case IR_STORE:
        taken = insn->width == s->width && take_access(s, e, insn, o, moved);
        break;
    case IR_FADD ... IR_FNMADD:
        taken = insn->width == s->width && take_float(s, e, insn, o);
        break;
    case IR_ADD ... IR_XOR:
    case IR_SHL ... IR_SAR:
    case IR_MUL:
        taken = take_int(s, e, insn, o);
        break;
    default:
        break;
    }
    if (taken && o->dst != NO_VALUE)
        s->now[insn->dst] = o->dst;
    s->op_count++;
    return taken;
}

/* How many rounds are left, by the branch at the end. */
static bool find_count(struct stream *s, const struct emitter *e, const struct ir_insn *back)
{
    const struct step *a = is_global(back->a) ? step_of(s, back->a) : NULL;
    const struct step *b = is_global(back->b) ? step_of(s, back->b) : NULL;
    const struct step *step = a ? a : b;
    bool less = back->cond == IR_LT || back->cond == IR_LTU;

    if (back->op != IR_BRANCH || back->cond == IR_EQ || (!a && !b) || (a && b))
        return false;
    s->count = step->ref;
    s->limit = a ? back->b : back->a;
    s->falls = step->by < 0;
    s->inclusive = back->cond == IR_GE || back->cond == IR_GEU;
    if (back->cond != IR_NE && s->falls != (less == !a))
        return false;
    if (s->limit != IR_ZERO &&
        (!is_global(s->limit) || s->writes[s->limit] || is_owed(e, s->limit)))
        return false;
    if (step_shift(s, step->by) < 0)
        return false;
    s->shift = (unsigned)step_shift(s, step->by);
    return true;
}

static unsigned element_width(const struct ir_insn *insns, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (insns[i].op == IR_STORE)
            return insns[i].width;
    return 0;
}

/* Two accesses by one register: what is stored is loaded in a later round, or in an earlier one if
 * the load stands behind the store. */
static bool meets_itself(const struct stream *s)
{
    for (unsigned i = 0; i < s->op_count; i++) {
        const struct operation *o = &s->ops[i];
        int32_t ahead = s->store->offset - o->offset;

        if (o->insn->op != IR_LOAD || o->insn->a != s->store->insn->a)
            continue;
        if (o->at < s->store->at ? ahead > 0 && ahead < VECTOR : ahead > -VECTOR && ahead < VECTOR)
            return true;
    }
    return false;
}

static bool is_base(const struct stream *s, ir_ref ref)
{
    for (unsigned i = 0; i < s->op_count; i++)
        if ((s->ops[i].insn->op == IR_LOAD || s->ops[i].insn->op == IR_STORE) &&
            s->ops[i].insn->a == ref)
            return true;
    return false;
}

/* What is known of where registers are stays so as they move: each that it is known of is a base,
 * which each round finds in the window. */
static bool stays_known(const struct stream *s, const struct emitter *e)
{
    for (unsigned i = 0; i < s->step_count; i++)
        if (e->slack[s->steps[i].ref] != UINT32_MAX && !is_base(s, s->steps[i].ref))
            return false;
    return true;
}

static bool comes_first(const struct operation *a, const struct operation *b)
{
    return a->offset > b->offset || (a->offset == b->offset && a->at < b->at);
}

/*
 * Loads to the front, and of one register those that are further on first: what a later round loads
 * from the same place is loaded later. False: there are too many.
 */
static bool sort_loads(struct stream *s)
{
    struct operation ops[OPS_MAX];
    unsigned store = s->store->at, count = 0;

    memcpy(ops, s->ops, sizeof(ops));
    for (unsigned i = 0; i < s->op_count; i++) {
        unsigned to = count;

        if (ops[i].insn->op != IR_LOAD)
            continue;
        for (; to && comes_first(&ops[i], &s->ops[to - 1]); to--)
            s->ops[to] = s->ops[to - 1];
        s->ops[to] = ops[i];
        count++;
    }
    s->load_count = count;
    for (unsigned i = 0; i < s->op_count; i++)
        if (ops[i].insn->op != IR_LOAD) {
            s->store = i == store ? &s->ops[count] : s->store;
            s->ops[count++] = ops[i];
        }
    return s->load_count <= LOADS_MAX;
}

static void note_use(struct stream *s, unsigned value, unsigned op)
{
    if (value != NO_VALUE)
        s->values[value].last = op;
}

static void find_lives(struct stream *s)
{
    for (unsigned i = 0; i < s->op_count; i++) {
        note_use(s, s->ops[i].a, i);
        note_use(s, s->ops[i].b, i);
        note_use(s, s->ops[i].c, i);
        note_use(s, s->ops[i].dst, i);
    }
    note_use(s, s->store->b, OPS_MAX);
    for (unsigned ref = 0; ref < IR_GLOBALS; ref++)
        if (s->now[ref] != NO_VALUE) {
            note_use(s, s->now[ref], OPS_MAX);
            s->values[s->now[ref]].seen = true;
        }
    for (unsigned i = 0; i < s->value_count; i++)
        if (s->values[i].constant)
            s->values[i].last = OPS_MAX;
}

/* The values that registers of the guest have at the round's end. */
static unsigned count_results(const struct stream *s)
{
    unsigned count = 0;

    for (unsigned ref = 0; ref < IR_GLOBALS; ref++)
        count += s->now[ref] != NO_VALUE;
    return count;
}

/* Registers by a scan in the order of operations. False: there are not enough. */
static bool find_registers(struct stream *s)
{
    uint32_t free = 0xffff & ~(1u << SCRATCH), used = 0;

    for (unsigned i = 0; i < s->value_count; i++)
        if (s->values[i].constant) {
            if (!free)
                return false;
            s->values[i].reg = 31 - (unsigned)__builtin_clz(free);
            free &= ~(1u << s->values[i].reg);
            used |= 1u << s->values[i].reg;
        }
    for (unsigned i = 0; i < s->op_count; i++) {
        if (s->ops[i].dst != NO_VALUE) {
            struct value *value = &s->values[s->ops[i].dst];

            if (!free)
                return false;
            value->reg = 31 - (unsigned)__builtin_clz(free);
            free &= ~(1u << value->reg);
            used |= 1u << value->reg;
        }
        for (unsigned v = 0; v < s->value_count; v++)
            if (!s->values[v].constant && s->values[v].last == i)
                free |= 1u << s->values[v].reg;
    }
    s->saved = used & ~(1u << XMM14 | 1u << XMM15);
    return true;
}

static bool stream_find(struct stream *s, const struct emitter *e, const struct ir_insn *insns,
                        unsigned count, const struct ir_insn *back)
{
    bool moved[STEPS_MAX] = {false};

    *s = (struct stream){.width = element_width(insns, count)};
    memset(s->now, NO_VALUE, sizeof(s->now));
    if (!e->unit->windowed || e->runtime->counting || !s->width || !find_steps(s, insns, count) ||
        !find_count(s, e, back))
        return false;
    for (unsigned i = 0; i < count; i++)
        if (!take(s, e, &insns[i], moved))
            return false;
    if (!s->store || meets_itself(s) || count_results(s) > NATIVE_VECTORS || !stays_known(s, e) ||
        !sort_loads(s))
        return false;
    find_lives(s);
    return find_registers(s);
}

/* ---- the code ---- */

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
static uint32_t emit_meeting(struct emitter *e, const struct operation *x,
                             const struct operation *y, int32_t low)
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
        const struct operation *load = &s->ops[i];

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
        if (s->now[ref] == NO_VALUE)
            continue;
        if (is_float(e, (ir_ref)ref) && is_pinned(e, (ir_ref)ref))
            vex(&e->b, s->width == 8 ? OP_F2 : OP_F3, 0x11, e->map->reg[ref], 0,
                result_last(s, result));
        else if (is_float(e, (ir_ref)ref))
            mov_load(&e->b, OP_W, RAX, global_place(e, (ir_ref)ref));
        if (!is_float(e, (ir_ref)ref) || !is_pinned(e, (ir_ref)ref))
            emit_store_int(e, s->width, result_last(s, result),
                           is_float(e, (ir_ref)ref) ? RAX : int_operand(e, (ir_ref)ref, 0, RAX));
        result++;
    }
}

/* A constant to all lanes. */
static void emit_spread(struct emitter *e, const struct stream *s, const struct value *value)
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
        from = saved_place(e->map->reg[value->ref]);
        if (!(s->saved >> e->map->reg[value->ref] & 1))
            from = in_reg(e->map->reg[value->ref]);
    } else {
        vex(&e->b, OP_66 | OP_W, 0x6e, value->reg, 0, in_reg(e->map->reg[value->ref]));
    }
    wide(e, OP_66 | OP_0F38, opcodes[s->width], value->reg, 0, from); /* vpbroadcast */
}

static struct place access_place(struct emitter *e, const struct operation *o)
{
    return at_index(R14, int_operand(e, o->insn->a, 0, RDX), 0, o->offset);
}

static void emit_vector_access(struct emitter *e, struct stream *s, const struct operation *o)
{
    struct place place = access_place(e, o);
    struct access *access = access_add(e, o->insn);
    bool store = o == s->store;

    access->away = s->fail;
    access->at = access->back = here(&e->b);
    wide(e, 0, store ? 0x11 : 0x10, s->values[store ? o->b : o->dst].reg, 0, place); /* vmovups */
}

static void emit_vector_float(struct emitter *e, const struct stream *s, const struct operation *o)
{
    static const uint8_t opcodes[] = {
        [IR_FADD - IR_FADD] = 0x58,  [IR_FSUB - IR_FADD] = 0x5c,   [IR_FMUL - IR_FADD] = 0x59,
        [IR_FDIV - IR_FADD] = 0x5e,  [IR_FSQRT - IR_FADD] = 0x51,  [IR_FMADD - IR_FADD] = 0xa8,
        [IR_FMSUB - IR_FADD] = 0xaa, [IR_FNMSUB - IR_FADD] = 0xac, [IR_FNMADD - IR_FADD] = 0xae,
    };
    unsigned opcode = opcodes[o->insn->op - IR_FADD], how = s->width == 8 ? OP_66 : 0;
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
static void emit_vector_shift(struct emitter *e, const struct stream *s, const struct operation *o)
{
    unsigned kind = o->insn->op == IR_SHL ? 6 : o->insn->op == IR_SHR ? 2 : 4;

    wide(e, OP_66, s->width == 8 ? 0x73 : 0x72, kind, s->values[o->dst].reg,
         in_reg(s->values[o->a].reg));
    put8(&e->b, (unsigned)o->insn->imm);
}

static void emit_vector_int(struct emitter *e, const struct stream *s, const struct operation *o)
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
    unsigned how = s->width == 8 ? OP_66 : 0, pending = NO_VALUE, count = 0;

    for (unsigned i = 0; i <= s->value_count; i++) {
        bool wanted = i < s->value_count && s->values[i].arithmetic && s->values[i].seen;
        unsigned other;

        if (wanted && pending == NO_VALUE) {
            pending = i;
            continue;
        }
        if (pending == NO_VALUE || (!wanted && i < s->value_count))
            continue;
        other = wanted ? i : pending;
        /* Unordered: either is one. Of two pairs the flags are joined in rax. */
        wide(e, how, 0xc2, SCRATCH, s->values[pending].reg, in_reg(s->values[other].reg));
        put8(&e->b, 3);
        wide(e, how, 0x50, count ? RDX : RAX, 0, in_reg(SCRATCH)); /* vmovmskp */
        if (count++)
            alu_load(&e->b, 0, ALU_OR, RAX, in_reg(RDX));
        pending = NO_VALUE;
    }
    if (!count)
        return 0;
    test_rr(&e->b, 0, RAX, RAX);
    jcc_to(&e->b, CC_NE, 0);
    return here(&e->b);
}

/* Returns the jump of a NaN, or 0. */
static uint32_t emit_vector_round(struct emitter *e, struct stream *s)
{
    unsigned result = 0;
    uint32_t nan;

    for (unsigned i = 0; i < s->op_count; i++) {
        const struct operation *o = &s->ops[i];

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
        load.sign = s->values[s->now[ref]].kind == SIGNED;
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
