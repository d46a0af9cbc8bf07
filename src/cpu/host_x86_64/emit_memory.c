/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory accesses by the guest's translations: the entry of the page is looked at inline, and if it
 * is not the page's, or the access reaches into the next page, a helper does the access. In both
 * cases rax holds the address.
 */
#include "base/bits.h"
#include "base/error.h"
#include "cpu/host_x86_64/emitter.h"

void emit_address(struct emitter *e, const struct ir_insn *insn)
{
    if (is_pinned(e, insn->a) && insn->imm) {
        lea(&e->b, OP_W, RAX, at_mem(e->map->reg[insn->a], (int32_t)insn->imm));
        return;
    }
    if (insn->a == IR_ZERO) {
        mov_ri(&e->b, RAX, (uint64_t)insn->imm);
        return;
    }
    if (insn->a == IR_PAGE) {
        page_plus(e, RAX, insn->imm);
        return;
    }
    int_load(e, RAX, insn->a, 0);
    if (insn->imm)
        alu_imm(&e->b, OP_W, ALU_ADD, in_reg(RAX), (int32_t)insn->imm);
}

struct cold *emit_translate(struct emitter *e, const struct ir_insn *insn, uint32_t tag,
                            unsigned width, bool aligned, enum cold_kind kind)
{
    const struct guest_layout *l = e->layout;
    struct cold *cold;

    tlb_entry_find(&e->b, l);
    if (aligned || width == 1)
        mov_rr(&e->b, OP_W, RDX, RAX);
    else
        lea(&e->b, OP_W, RDX, at_mem(RAX, (int32_t)width - 1));
    alu_imm(&e->b, OP_W, ALU_AND, in_reg(RDX), aligned ? -4096 | (int32_t)(width - 1) : -4096);
    alu_load(&e->b, OP_W, ALU_CMP, RDX, tlb_field(l, tag));
    cold = emit_cold(e, CC_NE, kind, insn, 0);
    mov_load(&e->b, OP_W, RCX, tlb_field(l, l->tlb_addend));
    return cold;
}

/* ---- the window ---- */

/* Offsets that are safe from a base that was checked, together with what was added to it. */
enum { SLACK_MAX = 1 << 16 };

static uint32_t magnitude(int64_t value)
{
    return (uint32_t)(value < 0 ? -value : value);
}

static bool is_near(int64_t offset)
{
    return offset > -SLACK_MAX && offset < SLACK_MAX;
}

/* A global whose value serves as the base, so that only it is checked, and that once. */
static bool has_base(const struct ir_insn *insn)
{
    return is_global(insn->a) && is_near(insn->imm);
}

/* An address that is known, and lies in the window. */
static bool is_constant(const struct ir_insn *insn)
{
    return insn->a == IR_ZERO && insn->imm >= 0 && insn->imm <= INT32_MAX - 8;
}

/* The page that is executed is in the window (native.h), and a guard as great as imm around that.
 */
static bool is_of_page(const struct ir_insn *insn)
{
    return insn->a == IR_PAGE && insn->imm >= -(int64_t)(WINDOW_CONTEXT / 2);
}

void emit_base_check(struct emitter *e, unsigned base)
{
    alu_load(&e->b, OP_W, ALU_CMP, base, CONTEXT(window_size));
}

void emit_trap(struct emitter *e)
{
    put8(&e->b, 0x0f);
    put8(&e->b, 0x0b);
}

void emit_audit(struct emitter *e)
{
    ir_ref anchor = anchor_of(e);
    uint8_t *good;

    if (anchor == IR_ZERO)
        return;
    lea(&e->b, OP_W, RAX, at_mem(int_operand(e, anchor, 0, RAX), WINDOW_ANCHOR));
    mov_ri(&e->b, RCX, WINDOW_SIZE + UINT64_C(2) * WINDOW_ANCHOR);
    alu_load(&e->b, OP_W, ALU_CMP, RAX, in_reg(RCX));
    good = jcc_short(&e->b, CC_B);
    emit_trap(e);
    jump_here(&e->b, good);
}

struct access *access_add(struct emitter *e, const struct ir_insn *insn)
{
    struct access *access = &e->accesses[e->access_count];

    if (e->access_count == IR_UNIT_MAX - 1)
        e->full = true;
    else
        e->access_count++;
    *access = (struct access){.insn = insn, .debts = e->debts, .borrowing = e->borrowing};
    return access;
}

bool is_base_known(const struct emitter *e, const struct ir_insn *insn)
{
    uint32_t slack = e->slack[insn->a];

    return slack != UINT32_MAX && slack + magnitude(insn->imm) < SLACK_MAX;
}

void access_check(struct emitter *e, struct access *access, unsigned base)
{
    emit_base_check(e, base);
    jcc_to(&e->b, CC_AE, 0);
    access->check = here(&e->b);
}

/* Checks the base, which is in a global's register or loaded to rax. */
static struct access *emit_window(struct emitter *e, const struct ir_insn *insn)
{
    struct access *access = access_add(e, insn);
    unsigned base = RAX;

    if (is_constant(insn) || is_of_page(insn))
        return access;
    if (has_base(insn))
        base = int_operand(e, insn->a, 0, RAX);
    else
        emit_address(e, insn);
    if (!has_base(insn) || !is_base_known(e, insn))
        access_check(e, access, base);
    return access;
}

static struct place window_place(const struct emitter *e, const struct ir_insn *insn)
{
    if (is_constant(insn))
        return at_mem(R14, (int32_t)insn->imm);
    if (is_of_page(insn))
        return at_index(R14, PAGE, 0, (int32_t)insn->imm);
    /* The host knows a load behind a store to the same place by register and offset, if there is no
     * index. */
    if (has_base(insn) && insn->a == e->layout->anchor && is_pinned(e, insn->a)) {
        struct place place = at_mem(e->map->reg[insn->a], (int32_t)insn->imm);

        place.gs = true;
        return place;
    }
    if (has_base(insn))
        return at_index(R14, is_pinned(e, insn->a) ? e->map->reg[insn->a] : RAX, 0,
                        (int32_t)insn->imm);
    return at_index(R14, RAX, 0, 0);
}

bool is_window_base(const struct ir_insn *insn)
{
    return (insn->op == IR_LOAD || insn->op == IR_STORE) && has_base(insn);
}

void slack_step(uint32_t *slacks, const struct ir_insn *insn)
{
    uint32_t slack = UINT32_MAX;

    if (insn->op == IR_GUEST) { /* may write any of them */
        memset(slacks, 0xff, IR_GLOBALS * sizeof(slacks[0]));
        return;
    }
    /* The access was within the window, or the unit was left: so the base is no further off than
     * the offset. */
    if (is_window_base(insn))
        slacks[insn->a] = (uint32_t)lesser(slacks[insn->a], magnitude(insn->imm));
    if (!is_global(insn->dst))
        return;
    if (insn->op == IR_MOV && is_global(insn->b))
        slack = slacks[insn->b];
    else if (insn->op == IR_ADD && insn->width == 8 && is_global(insn->a) && insn->b == IR_IMM &&
             is_near(insn->imm) && slacks[insn->a] != UINT32_MAX)
        slack = slacks[insn->a] + magnitude(insn->imm);
    slacks[insn->dst] = slack;
}

/* Behind the access: rax still holds the base, if it was loaded. */
static void keep_base(struct emitter *e, struct access *access)
{
    const struct ir_insn *insn = access->insn;

    if (is_constant(insn) || is_of_page(insn) || !has_base(insn) || is_pinned(e, insn->a))
        return;
    access->keeps = true;
    hold(e, insn->a);
}

/* ---- rows of accesses by the guest's translations ---- */

/*
 * Loads, or stores, one behind the other by one base and close together, as a function saves
 * registers and restores them: one look does for all that lies from the first byte to the last, if
 * that is one page. Else each is looked for out of line. In line rax and rcx stay as they are
 * then, and nothing is to be paid in between.
 */

enum { ROW_BYTES = 512 };

static bool may_stand_in_row(const struct emitter *e, const struct ir_insn *insn)
{
    return insn->op == IR_LOAD ? !is_float(e, insn->dst) : !owes(e, insn->b);
}

/* Where the row that begins with `insn` ends: *low, *high are its bytes, from the base. */
static const struct ir_insn *row_find(const struct emitter *e, const struct ir_insn *insn,
                                      int64_t *low, int64_t *high)
{
    const struct ir_insn *end = e->unit->insns + e->unit->count, *last = insn;

    *low = insn->imm;
    *high = insn->imm + insn->width;
    if (!is_global(insn->a) || e->guard)
        return insn;
    for (const struct ir_insn *next = insn; next < end; next++) {
        int64_t new_low = next->imm < *low ? next->imm : *low;
        int64_t new_high = next->imm + next->width > *high ? next->imm + next->width : *high;

        if (next->op == IR_NOP)
            continue;
        if (next->op != insn->op || next->a != insn->a || !may_stand_in_row(e, next) ||
            new_high - new_low > ROW_BYTES)
            break;
        *low = new_low;
        *high = new_high;
        last = next;
        if (next->op == IR_LOAD && next->dst == next->a)
            break;
    }
    return last;
}

/* Where the access is, behind a look for it or for the row that begins with it. */
static struct place emit_look(struct emitter *e, const struct ir_insn *insn, uint32_t tag,
                              enum cold_kind kind)
{
    int64_t low, high;
    const struct ir_insn *last = row_find(e, insn, &low, &high);
    struct ir_insn first = *insn;
    struct cold *cold;

    e->row_low = first.imm = last == insn ? insn->imm : low;
    emit_address(e, &first);
    cold = emit_translate(e, insn, tag, last == insn ? insn->width : (unsigned)(high - low), false,
                          kind);
    e->row = last;
    cold->chained = last != insn;
    return at_index(RAX, RCX, 0, (int32_t)(insn->imm - e->row_low));
}

static struct place emit_row(struct emitter *e, const struct ir_insn *insn, uint32_t tag,
                             enum cold_kind kind)
{
    struct cold *cold;

    if (!e->row)
        return emit_look(e, insn, tag, kind);
    cold = emit_cold_from(e, kind, insn, 0);
    cold->from = 0;
    cold->chained = true;
    cold->debts = (struct debts){0}; /* paid where the first one begins */
    return at_index(RAX, RCX, 0, (int32_t)(insn->imm - e->row_low));
}

/* Behind the access. */
static void row_after(struct emitter *e, const struct ir_insn *insn)
{
    struct cold *cold = &e->cold[e->cold_count - 1];

    hold_nothing(e);
    cold->back = 0;
    if (insn != e->row)
        return;
    cold->back = here(&e->b);
    e->row = NULL;
}

/* ---- loads ---- */

static void load_int(struct emitter *e, const struct ir_insn *insn, struct place from)
{
    unsigned to = int_target(e, insn->dst, e->row ? RDX : RAX);

    switch (insn->width | (insn->sign ? 16 : 0)) {
    case 1:
        op(&e->b, OP_0F, 0xb6, to, from);
        break;
    case 2:
        op(&e->b, OP_0F, 0xb7, to, from);
        break;
    case 4:
        mov_load(&e->b, 0, to, from);
        break;
    case 1 | 16:
        op(&e->b, OP_W | OP_0F, 0xbe, to, from);
        break;
    case 2 | 16:
        op(&e->b, OP_W | OP_0F, 0xbf, to, from);
        break;
    case 4 | 16:
        movsxd(&e->b, to, from);
        break;
    default:
        mov_load(&e->b, OP_W, to, from);
        break;
    }
    int_store(e, insn->dst, to);
}

/* vmovsd or vmovss from memory, which clear what is above. */
static void load_float(struct emitter *e, const struct ir_insn *insn, struct place from)
{
    unsigned to = int_target(e, insn->dst, XMM14);

    if (insn->width == 8) {
        vex(&e->b, OP_F2, 0x10, to, 0, from);
        if (!is_pinned(e, insn->dst))
            vex(&e->b, OP_F2, 0x11, to, 0, global_place(e, insn->dst));
        float_store_boxed(e, insn->dst, 8);
        return;
    }
    if (!is_pinned(e, insn->dst)) {
        struct place home = global_place(e, insn->dst);

        mov_load(&e->b, 0, RAX, from);
        mov_store(&e->b, 0, home, RAX);
        home.disp += 4;
        mov_mi(&e->b, 0, home, -1);
    } else {
        vex(&e->b, OP_F3, 0x10, to, 0, from);
        vex(&e->b, 0, 0x56, to, to, at_fixed(e->runtime->parts[PART_BOX])); /* vorps */
    }
    float_store_boxed(e, insn->dst, 4);
}

void emit_load_from(struct emitter *e, const struct ir_insn *insn, struct place from)
{
    if (is_float(e, insn->dst))
        load_float(e, insn, from);
    else
        load_int(e, insn, from);
}

static void emit_load(struct emitter *e, const struct ir_insn *insn)
{
    if (e->unit->windowed) {
        struct access *access = emit_window(e, insn);

        access->at = here(&e->b);
        emit_load_from(e, insn, window_place(e, insn));
        access->back = here(&e->b);
        if (is_pinned(e, insn->dst))
            keep_base(e, access);
        return;
    }
    emit_load_from(e, insn, emit_row(e, insn, e->layout->tlb_read, COLD_LOAD));
    row_after(e, insn);
}

/* `back` is 0 in the middle of a row. */
static void stub_back(struct emitter *e, const struct ir_insn *insn, uint32_t back, bool keeps)
{
    hold_nothing(e);
    if (keeps)
        int_load(e, RAX, insn->a, 0);
    if (back)
        jmp_to(&e->b, back);
}

/* rax is the row's lowest address, or what the helper left there. */
static void row_address(struct emitter *e, const struct cold *cold)
{
    if (cold->chained)
        emit_address(e, cold->insn);
}

/* rax: the address. */

static void stub_load(struct emitter *e, const struct ir_insn *insn, unsigned part, uint32_t back,
                      bool borrowing, bool keeps)
{
    if (borrowing)
        borrow_give(e);
    mov_ri(&e->b, RCX,
           NATIVE_INFO(insn->at, (uint32_t)insn->width, insn->sign ? 1u : 0, (uint32_t)insn->done));
    call_to(&e->b, e->runtime->parts[part]);
    if (borrowing)
        borrow_take(e);
    if (!is_float(e, insn->dst)) {
        int_store(e, insn->dst, RAX);
    } else {
        if (insn->width == 4) {
            mov_ri(&e->b, RCX, UINT64_C(0xffffffff00000000));
            alu_load(&e->b, OP_W, ALU_OR, RAX, in_reg(RCX));
        }
        if (is_pinned(e, insn->dst))
            vex(&e->b, OP_66 | OP_W, 0x6e, e->map->reg[insn->dst], 0, in_reg(RAX));
        else
            mov_store(&e->b, OP_W, global_place(e, insn->dst), RAX);
    }
    stub_back(e, insn, back, keeps);
}

void cold_load(struct emitter *e, const struct cold *cold)
{
    row_address(e, cold);
    stub_load(e, cold->insn, cold->chained ? PART_LOAD_OF_ROW : PART_LOAD, cold->back,
              cold->borrowing, false);
}

/* ---- stores ---- */

/* rdx = the value to store, where it is no register's already. */
static unsigned store_value(struct emitter *e, const struct ir_insn *insn)
{
    if (is_float(e, insn->b)) {
        if (is_pinned(e, insn->b))
            vex(&e->b, OP_66 | OP_W, 0x7e, e->map->reg[insn->b], 0, in_reg(RDX));
        else
            mov_load(&e->b, OP_W, RDX, global_place(e, insn->b));
        return RDX;
    }
    return int_operand(e, insn->b, 0, RDX);
}

static void store_reg(struct emitter *e, unsigned width, struct place to, unsigned reg)
{
    if (width == 1)
        op(&e->b, OP_BYTE, 0x88, reg, to);
    else if (width == 2)
        op(&e->b, OP_66, 0x89, reg, to);
    else
        mov_store(&e->b, width == 8 ? OP_W : 0, to, reg);
}

static void store_zero(struct emitter *e, unsigned width, struct place to)
{
    if (width == 1) {
        op(&e->b, 0, 0xc6, 0, to);
        put8(&e->b, 0);
    } else if (width == 2) {
        op(&e->b, OP_66, 0xc7, 0, to);
        put8(&e->b, 0);
        put8(&e->b, 0);
    } else {
        mov_mi(&e->b, width == 8 ? OP_W : 0, to, 0);
    }
}

/* What is stored, where it is not in a register: known before the access itself. */
static void store_to(struct emitter *e, const struct ir_insn *insn, struct place to, unsigned value)
{
    if (insn->b == IR_ZERO)
        store_zero(e, insn->width, to);
    else if (is_float(e, insn->b) && is_pinned(e, insn->b))
        vex(&e->b, insn->width == 8 ? OP_F2 : OP_F3, 0x11, e->map->reg[insn->b], 0, to);
    else
        store_reg(e, insn->width, to, value);
}

static bool store_wants_value(const struct emitter *e, const struct ir_insn *insn)
{
    return insn->b != IR_ZERO && !(is_float(e, insn->b) && is_pinned(e, insn->b));
}

void emit_store_to(struct emitter *e, const struct ir_insn *insn, struct place to)
{
    store_to(e, insn, to, store_wants_value(e, insn) ? store_value(e, insn) : RDX);
}

static void emit_store(struct emitter *e, const struct ir_insn *insn)
{
    if (e->unit->windowed) {
        struct access *access = emit_window(e, insn);
        unsigned value = store_wants_value(e, insn) ? store_value(e, insn) : RDX;

        access->at = here(&e->b);
        store_to(e, insn, window_place(e, insn), value);
        access->back = here(&e->b);
        keep_base(e, access);
        return;
    }
    emit_store_to(e, insn, emit_row(e, insn, e->layout->tlb_write, COLD_STORE));
    row_after(e, insn);
}

/* rax: the address. */
static void stub_store(struct emitter *e, const struct ir_insn *insn, unsigned part, uint32_t back,
                       bool borrowing, bool keeps)
{
    unsigned value = store_value(e, insn);

    if (value != RDX)
        mov_rr(&e->b, OP_W, RDX, value);
    if (borrowing)
        borrow_give(e);
    mov_ri(&e->b, RCX, NATIVE_INFO(insn->at, (uint32_t)insn->width, 0u, (uint32_t)insn->done));
    call_to(&e->b, e->runtime->parts[part]);
    if (borrowing)
        borrow_take(e);
    stub_back(e, insn, back, keeps);
}

void cold_store(struct emitter *e, const struct cold *cold)
{
    row_address(e, cold);
    stub_store(e, cold->insn, cold->chained ? PART_STORE_OF_ROW : PART_STORE, cold->back,
               cold->borrowing, false);
}

/* ---- windowed accesses that fail: the helper comes back only from an access in the window, so
 * that what follows can rely on the base ---- */

static bool wants_code(const struct access *access)
{
    return access->away || access->borrowing || access->debts.words || access->debts.nans ||
           !fits32(access->insn->imm) || access->insn->done > 127 || is_atomic(access->insn);
}

static unsigned record_ref(ir_ref ref)
{
    BUG_ON(ref != IR_PAGE && ref >= HOST_ACCESS_PAGE);
    return ref == IR_PAGE ? HOST_ACCESS_PAGE : ref;
}

static struct host_access record(struct emitter *e, const struct access *access)
{
    const struct ir_insn *insn = access->insn;
    uint32_t at = access->at - e->result->start, length = access->back - access->at;

    if (at > UINT16_MAX)
        e->full = true;
    if (wants_code(access))
        return (struct host_access){.at = at & UINT16_MAX, .own_code = true};
    BUG_ON(length >= 64);
    return (struct host_access){.imm = (int32_t)insn->imm,
                                .at = at & UINT16_MAX,
                                .length = length & 63,
                                .base = record_ref(insn->a) & 127,
                                .store = insn->op == IR_STORE,
                                .checked = access->check != 0,
                                .data =
                                    record_ref(insn->op == IR_STORE ? insn->b : insn->dst) & 127,
                                .guest = insn->at & 0xfff,
                                .width = insn->width & 15,
                                .sign = insn->sign,
                                .done = insn->done & 127,
                                .keeps = access->keeps};
}

static void access_code(struct emitter *e, const struct access *access)
{
    if (access->away) {
        jmp_to(&e->b, access->away);
        return;
    }
    if (access->check)
        patch_here(&e->b, access->check);
    if (access->unaligned)
        patch_here(&e->b, access->unaligned);
    hold_nothing(e);
    borrow_map(e, access->borrowing);
    debts_pay(e, access->debts);
    if (is_atomic(access->insn)) {
        access_atomic(e, access);
        return;
    }
    emit_address(e, access->insn);
    if (access->insn->op == IR_LOAD)
        stub_load(e, access->insn, PART_LOAD, access->back, access->borrowing, access->keeps);
    else
        stub_store(e, access->insn, PART_STORE, access->back, access->borrowing, access->keeps);
}

void emit_accesses(struct emitter *e)
{
    struct host_access *records = e->result->accesses;

    e->result->access_count = e->access_count;
    for (unsigned i = 0; i < e->access_count; i++) {
        records[i] = record(e, &e->accesses[i]);
        if (!records[i].checked)
            continue;
        patch_here(&e->b, e->accesses[i].check);
        call_to(&e->b, e->runtime->parts[PART_CHECK]);
    }
    for (unsigned i = 0; i < e->access_count; i++) {
        if (!records[i].own_code)
            continue;
        if (e->accesses[i].again) {
            records[i].imm = records[i - 1].imm;
            continue;
        }
        records[i].imm = (int32_t)(here(&e->b) - e->cold_start);
        access_code(e, &e->accesses[i]);
    }
}

/* ---- a block of zeros ---- */

/* Two stores of 32 bytes; the address is rounded down first. */
static void emit_zero_block(struct emitter *e, const struct ir_insn *insn)
{
    struct cold *cold, *not_allowed;

    alu_imm(&e->b, 0, ALU_CMP, CONTEXT(zero_ready), 0);
    not_allowed = emit_cold(e, CC_E, COLD_GUEST, insn, 0);
    emit_address(e, insn);
    alu_imm(&e->b, OP_W, ALU_AND, in_reg(RAX), -64);
    cold = emit_translate(e, insn, e->layout->tlb_write, 1, false, COLD_GUEST);
    vex(&e->b, 0, 0x57, XMM15, XMM15, in_reg(XMM15)); /* vxorps: all of the register */
    for (unsigned i = 0; i < 4; i++)
        vex(&e->b, 0, 0x11, XMM15, 0, at_index(RAX, RCX, 0, (int32_t)(16 * i))); /* vmovups */
    cold_back(e, cold);
    cold_back(e, not_allowed);
}

/* ---- the guest's state ---- */

static void emit_state_guard(struct emitter *e, const struct ir_insn *insn)
{
    struct cold *cold;

    alu_imm(&e->b, 0, ALU_CMP, state_place((uint32_t)insn->imm), insn->c);
    cold = emit_cold(e, CC_NE, COLD_GUEST, insn, 0);
    /* Where it goes on is known when the operations behind are written. */
    e->guard = cold;
    e->guard_left = insn->scale;
}

static void emit_state_enable(struct emitter *e, const struct ir_insn *insn)
{
    const struct guest_layout *l = e->layout;
    struct place place = state_place((uint32_t)insn->imm);
    struct cold *other, *waits;
    uint8_t *nothing = NULL;

    other = NULL;
    if (insn->a != IR_IMM) {
        int_load(e, RAX, insn->a, 0);
        alu_imm(&e->b, 0, ALU_AND, in_reg(RAX), (int32_t)l->view_writable);
        nothing = jcc_short(&e->b, CC_E);
        alu_imm(&e->b, 0, ALU_CMP, in_reg(RAX), (int32_t)insn->c);
        other = emit_cold(e, CC_NE, COLD_GUEST, insn, 0);
    }
    mov_load(&e->b, OP_W, RCX, state_place(l->pending_offset[0]));
    alu_load(&e->b, OP_W, ALU_OR, RCX, state_place(l->pending_offset[1]));
    alu_load(&e->b, OP_W, ALU_AND, RCX, state_place(l->wanted_offset));
    waits = emit_cold(e, CC_NE, COLD_GUEST, insn, 0);
    alu_imm(&e->b, OP_W, ALU_OR, place, (int32_t)insn->c);
    if (nothing)
        jump_here(&e->b, nothing);
    cold_back(e, waits);
    if (other)
        cold_back(e, other);
}

/* rax: what changes; rcx: what is there. */
static void emit_state_change(struct emitter *e, const struct ir_insn *insn)
{
    const struct guest_layout *l = e->layout;
    struct place place = state_place((uint32_t)insn->imm);
    struct cold *ready, *other;

    alu_imm(&e->b, 0, ALU_CMP, CONTEXT(float_ready), 0);
    ready = emit_cold(e, CC_NE, COLD_GUEST, insn, 0);
    int_load(e, RAX, insn->a, 0);
    mov_load(&e->b, OP_W, RCX, place);
    if (insn->op == IR_STATE_ASSIGN)
        alu_load(&e->b, 0, ALU_XOR, RAX, in_reg(RCX));
    else
        alu_load(&e->b, 0, ALU_AND, RAX, in_reg(RCX));
    alu_imm(&e->b, 0, ALU_AND, in_reg(RAX), (int32_t)l->view_writable);
    op(&e->b, 0, 0xf7, 0, in_reg(RAX)); /* test */
    put32(&e->b, ~l->view_plain);
    other = emit_cold(e, CC_NE, COLD_GUEST, insn, 0);
    alu_load(&e->b, OP_W, ALU_XOR, RCX, in_reg(RAX));
    mov_store(&e->b, OP_W, place, RCX);
    cold_back(e, ready);
    cold_back(e, other);
}

static void emit_state(struct emitter *e, const struct ir_insn *insn)
{
    struct place place = state_place((uint32_t)insn->imm);
    unsigned reg;

    switch (insn->op) {
    case IR_STATE_READ:
        reg = int_target(e, insn->dst, RAX);
        mov_load(&e->b, OP_W, reg, place);
        int_store(e, insn->dst, reg);
        break;
    case IR_STATE_WRITE:
        if (insn->c) {
            int_load(e, RAX, insn->a, 0);
            alu_imm(&e->b, OP_W, ALU_AND, in_reg(RAX), ~(int32_t)insn->c);
        }
        mov_store(&e->b, OP_W, place, insn->c ? RAX : int_operand(e, insn->a, 0, RAX));
        break;
    case IR_STATE_SWAP:
        int_load(e, RAX, insn->a, 0);
        mov_load(&e->b, OP_W, RCX, place);
        mov_store(&e->b, OP_W, place, RAX);
        int_store(e, insn->dst, RCX);
        break;
    case IR_STATE_ENABLE:
        emit_state_enable(e, insn);
        break;
    case IR_STATE_ASSIGN:
    case IR_STATE_TAKE:
        emit_state_change(e, insn);
        break;
    case IR_STATE_CLEAR:
        alu_imm(&e->b, OP_W, ALU_AND, place, ~(int32_t)insn->c);
        break;
    default: /* IR_STATE_VIEW */
        mov_load(&e->b, OP_W, RAX, place);
        mov_rr(&e->b, 0, RCX, RAX);
        alu_imm(&e->b, 0, ALU_AND, in_reg(RCX), (int32_t)e->layout->view_bits);
        alu_imm(&e->b, 0, ALU_CMP, in_reg(RCX), (int32_t)e->layout->view_bits);
        setcc(&e->b, CC_E, RCX);
        shift_imm(&e->b, OP_W, 4, RCX, 63);
        mov_ri(&e->b, RDX, e->layout->view_mask);
        alu_load(&e->b, OP_W, ALU_AND, RAX, in_reg(RDX));
        alu_load(&e->b, OP_W, ALU_OR, RAX, in_reg(RCX));
        int_store(e, insn->dst, RAX);
        break;
    }
}

bool emit_memory(struct emitter *e, const struct ir_insn *insn)
{
    switch (insn->op) {
    case IR_LOAD:
        emit_load(e, insn);
        break;
    case IR_STORE:
        emit_store(e, insn);
        break;
    case IR_ATOMIC_SWAP ... IR_COMPARE_SWAP:
        emit_atomic(e, insn);
        break;
    case IR_ZERO_BLOCK:
        emit_zero_block(e, insn);
        break;
    case IR_STATE_GUARD:
        emit_state_guard(e, insn);
        break;
    case IR_STATE_READ ... IR_STATE_VIEW:
        emit_state(e, insn);
        break;
    case IR_FENCE:
        /* A locked operation that changes nothing, on memory that is at hand. */
        put8(&e->b, 0xf0);
        alu_imm(&e->b, 0, ALU_OR, at_mem(RSP, 0), 0);
        break;
    default:
        return false;
    }
    return true;
}
