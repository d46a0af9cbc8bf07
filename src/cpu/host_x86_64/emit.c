/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One unit: poll, body, and behind it what is seldom executed.
 *
 *   start   cmp rsp, limit; jb poll          the poll entry: 5 bytes of it become a jump when the
 *   entry   ...                              unit dies
 *           out-of-line parts
 */
#include <errno.h>
#include <stddef.h>

#include "base/bits.h"
#include "base/error.h"
#include "cpu/host_x86_64/emitter.h"
#include "cpu/host_x86_64/host.h"

struct cold *emit_cold_from(struct emitter *e, enum cold_kind kind, const struct ir_insn *insn,
                            unsigned index)
{
    struct cold *cold = &e->cold[e->cold_count];

    if (e->cold_count == COLD_MAX - 1)
        e->full = true;
    else
        e->cold_count++;
    *cold = (struct cold){.kind = kind,
                          .from = here(&e->b),
                          .back = here(&e->b),
                          .insn = insn,
                          .index = index,
                          .debts = e->debts,
                          .borrowing = e->borrowing};
    return cold;
}

struct cold *emit_cold(struct emitter *e, enum x86_cc cc, enum cold_kind kind,
                       const struct ir_insn *insn, unsigned index)
{
    jcc_to(&e->b, cc, 0);
    return emit_cold_from(e, kind, insn, index);
}

void cold_back(struct emitter *e, struct cold *cold)
{
    hold_nothing(e);
    cold->back = here(&e->b);
}

unsigned emit_link(struct emitter *e, int32_t target, bool polls)
{
    unsigned index = e->result->link_count;
    int32_t pages = target >> 12;
    uint32_t edge = NATIVE_NO_EDGE;

    if (index == HOST_LINKS_MAX) {
        e->full = true;
        return 0;
    }
    if (e->runtime->shared) {
        if (pages || !e->runtime->shared->has(e->runtime->shared->ctx, (unsigned)target))
            return LINK_NONE;
        /* Who comes by a link may come from a page that was written since. */
        polls = true;
    } else if (pages) {
        edge = e->runtime->edge(e->runtime->edge_ctx, pages);
        if (edge == NATIVE_NO_EDGE)
            return LINK_NONE;
    }
    e->result->link_count++;
    e->result->links[index] = (struct host_link){.target = (uint16_t)(target & 4095),
                                                 .pages = pages,
                                                 .edge = edge,
                                                 .polls = polls || pages};
    return index;
}

/* Instructions are fetched by 16 aligned bytes at least, and stores within them are seen whole. */
void emit_patchable(struct emitter *e, unsigned before)
{
    unsigned at = (here(&e->b) + before) & 15;

    if (at > 12)
        nops(&e->b, 16 - at);
}

void emit_count(struct emitter *e, unsigned instructions)
{
    if (e->runtime->counting && instructions)
        alu_imm(&e->b, OP_W, ALU_ADD, CONTEXT(counted), (int32_t)instructions);
}

void emit_exit_link(struct emitter *e, unsigned index)
{
    e->result->links[index].stub = here(&e->b);
    /* It leads to its unit from the beginning; but an operation may have two ways out by it, of
     * which the last one is the link's. */
    if (e->runtime->shared) {
        emit_out(e, e->result->links[index].target);
        return;
    }
    mov_ri(&e->b, RAX, (uintptr_t)link_record(e->records, index));
    jmp_to(&e->b, e->runtime->parts[e->result->links[index].call ? PART_LINK_CALL : PART_LINK]);
}

void emit_cold_link(struct emitter *e, unsigned index)
{
    emit_patchable(e, 1);
    put8(&e->b, 0xe9);
    e->result->links[index].patch = here(&e->b);
    put32(&e->b, 0);
    emit_exit_link(e, index);
}

static void cold_guest(struct emitter *e, const struct cold *cold)
{
    const struct ir_insn *insn = cold->insn;

    if (cold->borrowing)
        borrow_give(e);
    emit_guest(e, insn, 0);
    if (cold->borrowing)
        borrow_take(e);
    jmp_to(&e->b, cold->back);
}

void emit_guest(struct emitter *e, const struct ir_insn *insn, unsigned width)
{
    const struct host_shared *shared = e->runtime->shared;

    if (shared)
        lea(&e->b, OP_W, RAX,
            at_fixed(shared->machine_records + (uint32_t)((const uint8_t *)insn->fallback -
                                                          (const uint8_t *)shared->records)));
    else
        mov_ri(&e->b, RAX, (uintptr_t)insn->fallback);
    mov_ri(&e->b, RCX, NATIVE_INFO(insn->at, width, 0u, (uint32_t)insn->done));
    call_to(&e->b, e->runtime->parts[PART_GUEST]);
}

static void cold_nan(struct emitter *e, const struct cold *cold)
{
    mov_ri(&e->b, RAX,
           cold->kind == COLD_NAN32 ? UINT64_C(0xffffffff7fc00000) : UINT64_C(0x7ff8) << 48);
    vex(&e->b, OP_66 | OP_W, 0x6e, cold->index, 0, in_reg(RAX));
    jmp_to(&e->b, cold->back);
}

void emit_exit(struct emitter *e, unsigned part, unsigned offset)
{
    mov_ri(&e->b, RAX, offset);
    jmp_to(&e->b, e->runtime->parts[part]);
}

static void cold_link_out(struct emitter *e, const struct cold *cold)
{
    emit_count(e, cold->insn->done + 1);
    emit_cold_link(e, cold->index);
}

/* Out-of-line parts that do not come back. Links of loops all leave by COLD_LINK_OUT. */
static bool leaves_for_good(enum cold_kind kind)
{
    return kind == COLD_STEP || kind == COLD_JUMP || kind == COLD_LINK_OUT || kind == COLD_FAR ||
           kind == COLD_LOOKUP || kind == COLD_POLL || kind == COLD_SPENT || kind == COLD_RESERVE ||
           kind == COLD_UNFIT;
}

/* Those that go on in line, where what is owed is owed still, and have the operation's registers.
 */
static bool is_of_line(enum cold_kind kind)
{
    return kind == COLD_DIVIDE || kind == COLD_NAN32 || kind == COLD_NAN64 ||
           kind == COLD_DIFFERENT;
}

static void emit_cold_part(struct emitter *e, const struct cold *cold)
{
    if (cold->from)
        patch_here(&e->b, cold->from);
    hold_nothing(e);
    borrow_map(e, cold->borrowing);
    if (!is_of_line(cold->kind))
        debts_pay(e, cold->debts);
    if (cold->borrowing && leaves_for_good(cold->kind))
        borrow_give(e);
    switch (cold->kind) {
    case COLD_LOAD:
        cold_load(e, cold);
        break;
    case COLD_STORE:
        cold_store(e, cold);
        break;
    case COLD_GUEST:
        cold_guest(e, cold);
        break;
    case COLD_NAN32:
    case COLD_NAN64:
        cold_nan(e, cold);
        break;
    case COLD_FLAGS:
        cold_flags(e, cold);
        break;
    case COLD_STEP:
        emit_step(e, cold->insn);
        break;
    case COLD_JUMP:
        cold_jump(e, cold);
        break;
    case COLD_LINK:
        emit_exit_link(e, cold->index);
        break;
    case COLD_LINK_OUT:
        cold_link_out(e, cold);
        break;
    case COLD_FAR:
        cold_far(e, cold);
        break;
    case COLD_LOOKUP:
        cold_lookup(e, cold);
        break;
    case COLD_EDGE:
    case COLD_EDGE_CALL:
        cold_edge(e, cold);
        break;
    case COLD_MISS:
        cold_miss(e, cold);
        break;
    case COLD_RETURN:
        cold_return(e, cold);
        break;
    case COLD_UNREADY:
        emit_exit(e, PART_EXIT_STEP, e->unit->start);
        break;
    case COLD_UNFIT:
        emit_exit(e, PART_EXIT_UNFIT, e->unit->start);
        break;
    case COLD_AFTER:
        jmp_to(&e->b, e->afters[cold->index]);
        break;
    case COLD_POLL:
        emit_exit(e, PART_EXIT_POLL, cold->index);
        break;
    case COLD_SPENT:
        cold_spent(e, cold);
        break;
    case COLD_DIVIDE:
        cold_divide(e, cold);
        break;
    case COLD_DIFFERENT:
        cold_different(e, cold);
        break;
    case COLD_RESERVE:
        cold_reserve(e, cold);
        break;
    }
}

void knowledge_forget(struct emitter *e)
{
    e->debts = (struct debts){0};
    e->extended = 0;
    memset(e->boxed, 0, sizeof(e->boxed));
    memset(e->slack, 0xff, sizeof(e->slack));
}

/* ---- the anchor ---- */

ir_ref anchor_of(const struct emitter *e)
{
    return e->unit->windowed ? e->layout->anchor : IR_ZERO;
}

/* As where the unit is entered. */
static void anchor_is_known(struct emitter *e)
{
    if (anchor_of(e) != IR_ZERO)
        e->slack[anchor_of(e)] = WINDOW_ANCHOR;
}

/* What may lead to another unit. */
static bool goes_on_elsewhere(const struct ir_insn *insn)
{
    return (insn->op >= IR_BRANCH && insn->op <= IR_RETURN_TO) || insn->op == IR_COMPARE_SWAP;
}

/* In front of such an operation: the other unit relies on the anchor. If it is elsewhere, the guest
 * executes the instruction, or what a jump leads to, itself. */
static void anchor_check(struct emitter *e, const struct ir_insn *insn)
{
    ir_ref anchor = anchor_of(e);

    if (anchor == IR_ZERO || !goes_on_elsewhere(insn) || e->slack[anchor] <= WINDOW_ANCHOR)
        return;
    emit_base_check(e, int_operand(e, anchor, 0, RAX));
    emit_cold(e, CC_AE, insn->op == IR_JUMP ? COLD_JUMP : COLD_STEP, insn, 0);
    hold_nothing(e);
    e->slack[anchor] = 0;
}

/* It writes the anchor, and may lead to another unit then. (The address behind a call is in the
 * window, as the page is.) */
static bool loses_anchor(const struct emitter *e, const struct ir_insn *insn)
{
    return insn->op == IR_COMPARE_SWAP && anchor_of(e) != IR_ZERO && insn->dst == anchor_of(e);
}

/* Out of line, where what is owed is paid and what is lent given back. */
static void emit_step_away(struct emitter *e, const struct ir_insn *insn)
{
    put8(&e->b, 0xe9);
    put32(&e->b, 0);
    emit_cold_from(e, COLD_STEP, insn, 0);
}

static bool is_anchor_written(const struct emitter *e, unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++)
        if (e->unit->insns[i].op != IR_NOP && e->unit->insns[i].dst == anchor_of(e))
            return true;
    return false;
}

static bool has_room(const struct emitter *e)
{
    return !e->full && here(&e->b) + OPERATION_MAX < e->end &&
           e->cold_start + (e->cold_count + e->access_count + 4) * COLD_ROOM < e->cold_end;
}

/* Operations behind which nobody arrives without rax as they left it. */
static bool may_hold(const struct ir_insn *insn)
{
    switch (insn->op) {
    case IR_NOP ... IR_XNOR:
    case IR_SHLADD ... IR_ZEXT32:
    case IR_LOAD:
    case IR_STORE:
        return true;
    default:
        return false;
    }
}

static void emit_insn(struct emitter *e, struct ir_insn *insn)
{
    bool guarded = e->guard != NULL;
    unsigned width = insn->width;

    anchor_check(e, insn);
    if (debts_make_narrow(e, insn))
        insn->width = 4;
    debts_before(e, insn);
    if (loses_anchor(e, insn))
        emit_step_away(e, insn);
    else
        BUG_ON(!emit_int(e, insn) && !emit_memory(e, insn) && !emit_float(e, insn) &&
               !emit_flow(e, insn));
    debts_after(e, insn);
    if (!may_hold(insn))
        hold_nothing(e);
    if (e->unit->windowed)
        slack_step(e->slack, insn);
    insn->width = width;
    if (guarded && !--e->guard_left) {
        cold_back(e, e->guard);
        e->guard = NULL;
    }
}

/* What leaves a region for good, in line. */
static bool leaves_region(const struct ir_insn *insn)
{
    return insn->op > IR_BRANCH && !insn->inside;
}

static void emit_region_insn(struct emitter *e, struct ir_insn *insn)
{
    bool borrowing = e->borrowing;
    struct debts owed;

    if (insn->op == IR_LABEL) {
        emit_label(e, insn);
    } else if (insn->inside) {
        debts_before_compare(e, insn);
        owed = label_owed(e, insn->imm);
        debts_pay_beyond(e, insn, &owed);
        emit_inside(e, insn, insn + 1);
    } else if (leaves_region(insn) && borrowing) {
        debts_before(e, insn);
        borrow_give(e);
        borrow_map(e, false);
        hold_nothing(e);
        e->borrowing = false;
        emit_insn(e, insn);
        e->borrowing = true;
        borrow_map(e, true);
    } else {
        emit_insn(e, insn);
    }
}

void emit_poll(struct emitter *e, unsigned offset)
{
    if (e->runtime->shared) {
        uint32_t word = e->runtime->shared->word;

        op(&e->b, 0, 0xff, 1, at_fixed(word + offsetof(struct host_word, heat))); /* dec */
        emit_cold(e, CC_S, COLD_SPENT, NULL, offset);
        alu_load(&e->b, OP_W, ALU_CMP, RSP, at_fixed(word + offsetof(struct host_word, dead)));
        emit_cold(e, CC_B, COLD_SPENT, NULL, offset);
    }
    alu_load(&e->b, OP_W, ALU_CMP, RSP, state_place(e->layout->poll_offset));
    emit_cold(e, CC_B, COLD_POLL, NULL, offset);
}

/* False: no room. */
static bool emit_range(struct emitter *e, struct ir_unit *unit, unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++) {
        if (!has_room(e))
            return false;
        if (e->guarded && unit->insns[i].op == IR_FLOAT_GUARD)
            continue;
        if (unit->region)
            emit_region_insn(e, &unit->insns[i]);
        else
            emit_insn(e, &unit->insns[i]);
    }
    return true;
}

/* ---- loops: a unit that jumps to its own start ---- */

/* The last such jump, 0 if there is none that can be made a loop. */
static unsigned find_loop(const struct emitter *e)
{
    const struct ir_unit *unit = e->unit;
    unsigned last = 0;

    if (e->runtime->counting)
        return 0;
    for (unsigned i = 0; i < unit->count; i++) {
        const struct ir_insn *insn = &unit->insns[i];

        /* What the guest does itself leaves nothing known. */
        if (insn->op == IR_GUEST || insn->op == IR_STATE_GUARD || insn->op == IR_NEXT_PAGE)
            break;
        if ((insn->op == IR_BRANCH || insn->op == IR_JUMP) && insn->imm == unit->start)
            last = i;
    }
    return last;
}

/* What is known at a point. */
struct knowledge {
    struct debts debts;
    uint64_t extended, boxed[IR_GLOBALS / 64];
    uint32_t slack[IR_GLOBALS];
};

static void knowledge_save(const struct emitter *e, struct knowledge *k)
{
    k->debts = e->debts;
    k->extended = e->extended;
    memcpy(k->boxed, e->boxed, sizeof(k->boxed));
    memcpy(k->slack, e->slack, sizeof(k->slack));
}

/* Whether all that was known at the loop's head holds here too. */
static bool knowledge_holds(const struct emitter *e, const struct knowledge *head)
{
    /* A debt that was paid since is one still, if paying again changes nothing. */
    if (head->debts.words & ~e->debts.words & ~e->extended)
        return false;
    if (head->debts.nans & ~e->debts.nans)
        return false;
    if (head->extended & ~e->extended)
        return false;
    for (unsigned i = 0; i < IR_GLOBALS / 64; i++)
        if (head->boxed[i] & ~e->boxed[i])
            return false;
    for (unsigned i = 0; i < IR_GLOBALS; i++)
        if (e->slack[i] > head->slack[i])
            return false;
    return true;
}

/* The end of the last of the rounds that begin at `top`. */
static void emit_loop_end(struct emitter *e, struct ir_insn *back, const struct knowledge *head,
                          uint32_t top)
{
    debts_before_compare(e, back);
    debts_pay_beyond(e, back, &head->debts);
    if (knowledge_holds(e, head)) {
        if (back->op == IR_BRANCH)
            jcc_to(&e->b, int_compare_branch(e, back), top);
        else
            jmp_to(&e->b, top);
        return;
    }
    if (e->unit->region) {
        emit_region_insn(e, back);
        return;
    }
    /* A jump is the end; a branch leaves by an out-of-line part. */
    if (back->op == IR_JUMP) {
        debts_pay_beyond(e, back, NULL);
        borrow_end(e);
    }
    emit_insn(e, back);
}

enum { UNROLLED = 24 /* operations */, ROUNDS_MAX = 4 };

/* How many rounds of a loop share a poll and a jump back. A poll costs more than its two
 * instructions once it was taken, since the host has its branch to predict from then on. */
static unsigned rounds_of(const struct ir_unit *unit, unsigned from, unsigned last)
{
    unsigned count = 0, rounds;

    for (unsigned i = from; i <= last; i++)
        count += unit->insns[i].op != IR_NOP;
    rounds = count ? UNROLLED / count : 1;
    return rounds < 1 ? 1 : rounds > ROUNDS_MAX ? ROUNDS_MAX : rounds;
}

/* One round but for its jump back; or out, where it was the last. */
static bool emit_round(struct emitter *e, struct ir_unit *unit, unsigned from, unsigned last,
                       unsigned loop, bool goes_on)
{
    struct ir_insn *back = &unit->insns[last];

    if (!emit_range(e, unit, from, last) || !has_room(e))
        return false;
    if (!goes_on)
        return true;
    debts_before_compare(e, back);
    if (back->op == IR_BRANCH)
        emit_cold(e, int_compare_branch(e, back) ^ 1, COLD_AFTER, back, loop);
    hold_nothing(e);
    return true;
}

/*
 * Operations from `from` to `last`, which leads back there. The first round is code of its own:
 * behind it is known what holds at the head of all others, such as that a pointer was checked and
 * moved on by a little. If it does not hold at the end of a round, the jump leads to the first
 * round.
 */
static bool emit_loop(struct emitter *e, struct ir_unit *unit, unsigned from, unsigned last)
{
    struct ir_insn *back = &unit->insns[last];
    unsigned loop = e->loop_count, rounds = rounds_of(unit, from, last);
    bool guarded = e->guarded;
    struct knowledge head;
    uint32_t top, again;

    if (loop == LOOPS_MAX) {
        e->full = true;
        return false;
    }
    e->loop_count++;
    if (!emit_round(e, unit, from, last, loop, true))
        return false;
    knowledge_save(e, &head);
    if (!emit_stream(e, &unit->insns[from], last - from, back, &again))
        return false;
    nops(&e->b, -here(&e->b) & 63);
    top = here(&e->b);
    hold_nothing(e);
    emit_poll(e, (unsigned)back->imm);
    e->guarded = true;
    for (unsigned i = 1; i <= rounds; i++)
        if (!emit_round(e, unit, from, last, loop, i < rounds))
            return false;
    e->guarded = guarded;
    emit_loop_end(e, back, &head, again ? again : top);
    /* In a region what is owed is owed still: who leaves before has paid, which changes nothing for
     * who pays again. */
    if (!unit->region) {
        debts_pay_beyond(e, back, NULL);
        knowledge_forget(e);
    }
    e->afters[loop] = here(&e->b);
    hold_nothing(e);
    return true;
}

static bool emit_unit(struct emitter *e, struct ir_unit *unit)
{
    unsigned last = find_loop(e);

    if (!last)
        return emit_range(e, unit, 0, unit->count);
    borrow_begin(e, unit, last);
    if (!emit_loop(e, unit, 0, last))
        return false;
    borrow_end(e);
    borrow_map(e, false);
    e->guarded = false;
    if (!is_anchor_written(e, 0, last))
        anchor_is_known(e);
    return emit_range(e, unit, last + 1, unit->count);
}

/* ---- regions ---- */

static bool emit_region(struct emitter *e, struct ir_unit *unit)
{
    bool reached = true;

    if (!region_begin(e, unit)) {
        e->full = true;
        return false;
    }
    borrow_begin(e, unit, unit->count - 1);
    region_owe(e, unit);
    region_check_floats(e);
    for (unsigned i = 0; i < unit->count; i++) {
        const struct ir_insn *insn = &unit->insns[i];
        unsigned last = 0;

        if (insn->op == IR_LABEL)
            reached = label_is_reached(e, insn->imm);
        if (!reached)
            continue;
        if (!emit_range(e, unit, i, i + 1))
            return false;
        if (insn->op == IR_LABEL)
            last = find_inner_loop(unit, i);
        if (last && !emit_loop(e, unit, i + 1, last))
            return false;
        if (last) {
            region_after(e, i, last);
            i = last;
        }
    }
    region_end(e);
    return true;
}

int host_compile(const struct host_runtime *runtime, struct ir_unit *unit,
                 struct code_memory *memory, struct link *records, struct host_unit *result)
{
    struct host_map map;
    struct emitter e;
    uint32_t hot_end;

    host_map_fill(&map, runtime->layout);
    e.b.start = memory->write;
    e.b.at = memory->write + round_up(memory->used, 16);
    e.runtime = runtime;
    e.layout = runtime->layout;
    e.map = &map;
    e.unit = unit;
    e.result = result;
    e.records = records;
    e.end = memory->end;
    e.cold_start = memory->cold_used;
    e.cold_end = memory->cold_end;
    e.full = false;
    e.cold_count = 0;
    e.access_count = 0;
    e.guard = NULL;
    e.row = NULL;
    e.guarded = false;
    e.borrowing = false;
    e.borrow_count = 0;
    e.loop_count = 0;
    e.owes_word = e.owes_nan = false;
    hold_nothing(&e);
    knowledge_forget(&e);
    result->link_count = 0;
    result->streams = 0;
    result->start = here(&e.b);
    if (!has_room(&e))
        return -ENOSPC;
    emit_poll(&e, unit->start);
    nops(&e.b, -here(&e.b) & 15);
    result->entry = here(&e.b);
    anchor_is_known(&e);
    if (runtime->audit)
        emit_audit(&e);
    if (!(unit->region ? emit_region(&e, unit) : emit_unit(&e, unit)))
        return e.full ? -E2BIG : -ENOSPC;
    hot_end = here(&e.b);
    e.b.at = e.b.start + e.cold_start;
    emit_accesses(&e);
    for (unsigned i = 0; i < e.cold_count; i++)
        emit_cold_part(&e, &e.cold[i]);
    if (e.full)
        return -E2BIG;
    BUG_ON(hot_end > e.end || here(&e.b) > e.cold_end);
    result->cold_size = here(&e.b) - e.cold_start;
    result->cold_start = e.cold_start;
    memory->cold_used = here(&e.b);
    result->size = hot_end - result->start;
    memory->used = hot_end;
    return 0;
}
