/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/host_x86_64/stream.h"

#include <string.h>

static const struct stream_step *step_of(const struct stream *s, ir_ref ref)
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
        if (s->step_count == STREAM_STEPS_MAX)
            return false;
        s->steps[s->step_count++] = (struct stream_step){insns[i].dst, insns[i].imm};
    }
    return true;
}

static unsigned add_value(struct stream *s, struct stream_value value)
{
    if (s->value_count == STREAM_VALUES_MAX)
        return NO_VALUE;
    s->values[s->value_count] = value;
    return s->value_count++;
}

static unsigned constant_value(struct stream *s, const struct emitter *e, ir_ref ref, int64_t imm)
{
    struct stream_value value = {.constant = true, .ref = ref, .imm = imm};

    for (unsigned i = 0; i < s->value_count; i++)
        if (s->values[i].constant && s->values[i].ref == ref && s->values[i].imm == imm)
            return i;
    if (is_float(e, ref)) {
        value.kind = LANE_FLOAT;
        if (s->width == 4 && !(e->boxed[ref / 64] >> (ref % 64) & 1))
            return NO_VALUE;
    } else {
        value.kind = s->width == 8                     ? LANE_BITS
                     : ref == IR_IMM || ref == IR_ZERO ? LANE_SIGNED
                                                       : LANE_ZEROED;
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
    if (s->writes[ref] || owes(e, ref))
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

static enum lane_kind kind_of_load(const struct emitter *e, const struct ir_insn *insn)
{
    if (is_float(e, insn->dst))
        return LANE_FLOAT;
    return insn->width == 8 ? LANE_BITS : insn->sign ? LANE_SIGNED : LANE_ZEROED;
}

static bool take_access(struct stream *s, const struct emitter *e, const struct ir_insn *insn,
                        struct stream_op *o, bool *moved)
{
    const struct stream_step *step = is_global(insn->a) ? step_of(s, insn->a) : NULL;

    if (!step || step->by != insn->width || !fits32(insn->imm + step->by))
        return false;
    o->offset = (int32_t)(insn->imm + (moved[step - s->steps] ? step->by : 0));
    if (!is_reached(e, insn, o->offset))
        return false;
    if (insn->op == IR_LOAD) {
        o->dst = (uint8_t)add_value(s, (struct stream_value){.kind = kind_of_load(e, insn)});
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
                       struct stream_op *o)
{
    o->a = (uint8_t)operand(s, e, insn->a, 0);
    if (insn->op != IR_FSQRT)
        o->b = (uint8_t)operand(s, e, insn->b, 0);
    if (insn->op >= IR_FMADD)
        o->c = (uint8_t)operand(s, e, insn->c, 0);
    o->dst = (uint8_t)add_value(s, (struct stream_value){.kind = LANE_FLOAT, .arithmetic = true});
    s->floats = true;
    return insn->width >= 4 && o->a != NO_VALUE && (insn->op == IR_FSQRT || o->b != NO_VALUE) &&
           (insn->op < IR_FMADD || o->c != NO_VALUE) && o->dst != NO_VALUE;
}

/* Whether the operation on lanes gives what it gives on registers. */
static bool is_int_lane(const struct stream *s, const struct ir_insn *insn,
                        const struct stream_op *o)
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
    return insn->op >= IR_AND && insn->op <= IR_XOR && s->values[o->a].kind == LANE_SIGNED &&
           s->values[o->b].kind == LANE_SIGNED;
}

static bool take_int(struct stream *s, const struct emitter *e, const struct ir_insn *insn,
                     struct stream_op *o)
{
    o->a = (uint8_t)operand(s, e, insn->a, 0);
    o->b = (uint8_t)operand(s, e, insn->b, insn->imm);
    if (o->a == NO_VALUE || o->b == NO_VALUE || !is_int_lane(s, insn, o))
        return false;
    o->dst = (uint8_t)add_value(s, (struct stream_value){.kind = s->width == 8 ? LANE_BITS
                                                                               : LANE_SIGNED});
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
    struct stream_op *o = &s->ops[s->op_count];
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
    if (s->op_count == STREAM_OPS_MAX)
        return false;
    *o = (struct stream_op){.insn = insn,
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
    const struct stream_step *a = is_global(back->a) ? step_of(s, back->a) : NULL;
    const struct stream_step *b = is_global(back->b) ? step_of(s, back->b) : NULL;
    const struct stream_step *step = a ? a : b;
    bool less = back->cond == IR_LT || back->cond == IR_LTU;

    if (back->op != IR_BRANCH || back->cond == IR_EQ || (!a && !b) || (a && b))
        return false;
    s->count = step->ref;
    s->limit = a ? back->b : back->a;
    s->falls = step->by < 0;
    s->inclusive = back->cond == IR_GE || back->cond == IR_GEU;
    if (back->cond != IR_NE && s->falls != (less == !a))
        return false;
    if (s->limit != IR_ZERO && (!is_global(s->limit) || s->writes[s->limit] || owes(e, s->limit)))
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
        const struct stream_op *o = &s->ops[i];
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

static bool comes_first(const struct stream_op *a, const struct stream_op *b)
{
    return a->offset > b->offset || (a->offset == b->offset && a->at < b->at);
}

/*
 * Loads to the front, and of one register those that are further on first: what a later round loads
 * from the same place is loaded later. False: there are too many.
 */
static bool sort_loads(struct stream *s)
{
    struct stream_op ops[STREAM_OPS_MAX];
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
    return s->load_count <= STREAM_LOADS_MAX;
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
    note_use(s, s->store->b, STREAM_OPS_MAX);
    for (unsigned ref = 0; ref < IR_GLOBALS; ref++)
        if (s->now[ref] != NO_VALUE) {
            note_use(s, s->now[ref], STREAM_OPS_MAX);
            s->values[s->now[ref]].seen = true;
        }
    for (unsigned i = 0; i < s->value_count; i++)
        if (s->values[i].constant)
            s->values[i].last = STREAM_OPS_MAX;
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
    uint32_t free = 0xffff & ~(1u << VECTOR_SCRATCH), used = 0;

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
            struct stream_value *value = &s->values[s->ops[i].dst];

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

bool stream_find(struct stream *s, const struct emitter *e, const struct ir_insn *insns,
                 unsigned count, const struct ir_insn *back)
{
    bool moved[STREAM_STEPS_MAX] = {false};

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
