/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Atomics: of pages that may be written, aligned; all else is the guest's to do.
 */
#include "base/error.h"
#include "cpu/host_x86_64/emitter.h"

/* Where one happens. */
struct spot {
    struct place place;
    struct access *access; /* of windowed code; else NULL */
    unsigned base;         /* the register that holds the address, of the host if not windowed */
};

bool is_atomic(const struct ir_insn *insn)
{
    return insn->op >= IR_ATOMIC_SWAP && insn->op <= IR_COMPARE_SWAP;
}

static unsigned width_flag(const struct ir_insn *insn)
{
    return insn->width == 8 ? OP_W : 0;
}

/* The address is in a global's register, or loaded to rcx. */
static struct spot spot_in_window(struct emitter *e, const struct ir_insn *insn)
{
    struct spot spot = {.access = access_add(e, insn)};

    spot.base = int_operand(e, insn->a, 0, RCX);
    spot.place = at_index(R14, spot.base, 0, 0);
    if (insn->a != IR_ZERO && !is_base_known(e, insn))
        access_check(e, spot.access, spot.base);
    op(&e->b, OP_BYTE, 0xf6, 0, in_reg(spot.base)); /* test */
    put8(&e->b, insn->width - 1u);
    jcc_to(&e->b, CC_NE, 0);
    spot.access->unaligned = here(&e->b);
    return spot;
}

/* The next instruction is the one that accesses memory, or another one of them. */
static void spot_accessed(struct emitter *e, const struct spot *spot)
{
    struct access *access = spot->access;

    if (!access)
        return;
    if (access->at) {
        access = access_add(e, access->insn);
        access->again = true;
    }
    access->at = here(&e->b);
}

/* Other threads of the host's are devices then, which do no atomics: one instruction, or a load and
 * a store between which no interrupt is taken, are as good. A locked one is a fence besides. */
static bool wants_lock(const struct emitter *e, const struct ir_insn *insn)
{
    return !e->runtime->alone || e->runtime->shared || insn->ordered;
}

static void put_lock(struct emitter *e, const struct ir_insn *insn)
{
    if (wants_lock(e, insn))
        put8(&e->b, 0xf0);
}

/* With what rax holds. */
static void compare_exchange(struct emitter *e, const struct ir_insn *insn, const struct spot *spot,
                             unsigned value)
{
    spot_accessed(e, spot);
    put_lock(e, insn);
    op(&e->b, width_flag(insn) | OP_0F, 0xb1, value, spot->place);
}

/* What memory held, in `reg`. */
static void store_result(struct emitter *e, const struct ir_insn *insn, unsigned reg)
{
    if (insn->width == 4 && is_global(insn->dst))
        movsxd(&e->b, reg, in_reg(reg));
    int_store(e, insn->dst, reg);
}

static void emit_exchange(struct emitter *e, const struct ir_insn *insn, const struct spot *spot)
{
    unsigned w = width_flag(insn);

    int_load(e, RDX, insn->b, 0);
    spot_accessed(e, spot);
    if (insn->op == IR_ATOMIC_SWAP) {
        op(&e->b, w, 0x87, RDX, spot->place); /* xchg, which locks by itself */
    } else {
        put_lock(e, insn);
        op(&e->b, w | OP_0F, 0xc1, RDX, spot->place); /* xadd */
    }
    store_result(e, insn, RDX);
}

static enum x86_alu logic_of(const struct ir_insn *insn)
{
    return insn->op == IR_ATOMIC_AND ? ALU_AND : insn->op == IR_ATOMIC_OR ? ALU_OR : ALU_XOR;
}

static void emit_logic(struct emitter *e, const struct ir_insn *insn, const struct spot *spot)
{
    enum x86_alu alu = logic_of(insn);
    unsigned w = width_flag(insn);
    uint8_t *loop;

    if (insn->dst == IR_ZERO) {
        int_load(e, RDX, insn->b, 0);
        spot_accessed(e, spot);
        put_lock(e, insn);
        alu_store(&e->b, w, alu, spot->place, RDX);
        return;
    }
    spot_accessed(e, spot);
    mov_load(&e->b, w, RAX, spot->place);
    loop = e->b.at;
    int_load(e, RDX, insn->b, 0);
    alu_load(&e->b, w, alu, RDX, in_reg(RAX));
    compare_exchange(e, insn, spot, RDX);
    put8(&e->b, 0x70 | CC_NE);
    put8(&e->b, (unsigned)(loop - (e->b.at + 1)));
    store_result(e, insn, RAX);
}

/* What no instruction without a lock does by itself: the exchange, which always has one, and logic
 * whose old value is wanted. */
static bool is_load_and_store(const struct emitter *e, const struct ir_insn *insn)
{
    return !wants_lock(e, insn) &&
           (insn->op == IR_ATOMIC_SWAP ||
            (insn->op >= IR_ATOMIC_AND && insn->op <= IR_ATOMIC_XOR && insn->dst != IR_ZERO));
}

static void emit_load_and_store(struct emitter *e, const struct ir_insn *insn,
                                const struct spot *spot)
{
    unsigned w = width_flag(insn);

    spot_accessed(e, spot);
    mov_load(&e->b, w, RAX, spot->place);
    int_load(e, RDX, insn->b, 0);
    if (insn->op != IR_ATOMIC_SWAP)
        alu_load(&e->b, w, logic_of(insn), RDX, in_reg(RAX));
    spot_accessed(e, spot);
    mov_store(&e->b, w, spot->place, RDX);
    store_result(e, insn, RAX);
}

/* ---- reservations: by the virtual address in windowed code, which knows no other ---- */

static struct place reserved_place(const struct emitter *e)
{
    return state_place(e->layout->reserved_offset);
}

static uint32_t reserved_as(bool windowed, unsigned width)
{
    return NATIVE_RESERVED(windowed ? NATIVE_RESERVED_VIRTUAL : NATIVE_RESERVED_PHYSICAL, width);
}

/* The register that holds the host's address is lost. */
static void put_reservation(struct emitter *e, const struct ir_insn *insn, unsigned address,
                            unsigned value)
{
    const struct guest_layout *l = e->layout;

    if (!e->unit->windowed)
        alu_load(&e->b, OP_W, ALU_ADD, address, CONTEXT(gpa_offset));
    mov_store(&e->b, OP_W, state_place(l->reserved_address_offset), address);
    mov_mi(&e->b, 0, reserved_place(e), (int32_t)reserved_as(e->unit->windowed, insn->width));
    mov_store(&e->b, OP_W, state_place(l->reserved_value_offset), value);
}

static void emit_load_reserved(struct emitter *e, const struct ir_insn *insn,
                               const struct spot *spot)
{
    unsigned value = int_target(e, insn->dst, RDX);

    if (value == spot->base)
        value = RDX;
    spot_accessed(e, spot);
    if (insn->width == 4)
        movsxd(&e->b, value, spot->place);
    else
        mov_load(&e->b, OP_W, value, spot->place);
    put_reservation(e, insn, spot->base, value);
    int_store(e, insn->dst, value);
}

/* Windowed: the guest does it unless there is such a reservation of this address, since all it
 * takes to fail is to find out whether the page may be written. */
static void emit_store_conditional(struct emitter *e, const struct ir_insn *insn,
                                   const struct spot *spot)
{
    const struct guest_layout *l = e->layout;
    struct cold *other;
    uint8_t *fail[2] = {NULL, NULL};

    if (spot->access) {
        mov_load(&e->b, OP_W, RAX, state_place(l->reserved_address_offset));
        mov_load(&e->b, 0, RDX, reserved_place(e));
        alu_load(&e->b, OP_W, ALU_SUB, RAX, in_reg(spot->base));
        alu_imm(&e->b, 0, ALU_SUB, in_reg(RDX),
                (int32_t)reserved_as(e->unit->windowed, insn->width));
        alu_load(&e->b, OP_W, ALU_OR, RAX, in_reg(RDX));
        other = emit_cold(e, CC_NE, COLD_GUEST, insn, 0);
    } else {
        op(&e->b, 0, 0x80, ALU_CMP, reserved_place(e));
        put8(&e->b, NATIVE_RESERVED_VIRTUAL);
        other = emit_cold(e, CC_E, COLD_GUEST, insn, 0);
        mov_rr(&e->b, OP_W, RDX, RCX);
        alu_load(&e->b, OP_W, ALU_ADD, RDX, CONTEXT(gpa_offset));
        alu_load(&e->b, OP_W, ALU_CMP, RDX, state_place(l->reserved_address_offset));
        fail[0] = jcc_short(&e->b, CC_NE);
        alu_imm(&e->b, 0, ALU_CMP, reserved_place(e),
                (int32_t)reserved_as(e->unit->windowed, insn->width));
        fail[1] = jcc_short(&e->b, CC_NE);
    }
    mov_load(&e->b, OP_W, RAX, state_place(l->reserved_value_offset));
    int_load(e, RDX, insn->b, 0);
    compare_exchange(e, insn, spot, RDX);
    for (unsigned i = 0; i < 2 && fail[i]; i++)
        jump_here(&e->b, fail[i]);
    mov_ri(&e->b, RAX, 0); /* the flags stay */
    setcc(&e->b, CC_NE, RAX);
    mov_mi(&e->b, 0, reserved_place(e), NATIVE_NOT_RESERVED);
    int_store(e, insn->dst, RAX);
    cold_back(e, other);
}

/* ---- compare and swap: an exchange of the host's, and the reservation that follows from what it
 * found ---- */

/* What is left to instructions that follow in another unit. */
static void reserve(struct emitter *e, const struct ir_insn *insn, unsigned width, unsigned link)
{
    emit_guest(e, insn, width);
    emit_count(e, insn->done + 1u);
    if (link == LINK_NONE)
        emit_out(e, insn->next);
    else
        emit_cold_link(e, link);
}

void cold_reserve(struct emitter *e, const struct cold *cold)
{
    reserve(e, cold->insn, 0, cold->index);
}

static bool is_known_extended(const struct emitter *e, ir_ref ref)
{
    return ref == IR_ZERO || (e->extended >> ref & 1);
}

/* rax = what is expected. What memory holds is sign-extended, and never another value. */
static void load_expected(struct emitter *e, const struct ir_insn *insn, unsigned link)
{
    int_load(e, RAX, insn->b, 0);
    if (insn->width == 8 || is_known_extended(e, insn->b))
        return;
    movsxd(&e->b, RDX, in_reg(RAX));
    alu_load(&e->b, OP_W, ALU_CMP, RDX, in_reg(RAX));
    emit_cold(e, CC_NE, COLD_RESERVE, insn, link);
}

/* Nothing of what follows waits for the exchange, if the host predicts that it swaps: then memory
 * held what was expected. */
static void emit_compare_swap(struct emitter *e, const struct ir_insn *insn,
                              const struct spot *spot, unsigned link)
{
    struct cold *different;

    load_expected(e, insn, link);
    compare_exchange(e, insn, spot, int_operand(e, insn->c, 0, RDX));
    different = emit_cold(e, CC_NE, COLD_DIFFERENT, insn, 0);
    mov_mi(&e->b, 0, reserved_place(e), NATIVE_NOT_RESERVED);
    int_store(e, insn->dst, int_operand(e, insn->b, 0, RDX));
    cold_back(e, different);
}

/* rax: what memory held; the address is where spot_in_window() or emit_translate() had it. */
void cold_different(struct emitter *e, const struct cold *cold)
{
    const struct ir_insn *insn = cold->insn;
    bool windowed = e->unit->windowed;
    unsigned address = windowed && is_pinned(e, insn->a) ? e->map->reg[insn->a] : RCX;

    if (insn->width == 4)
        movsxd(&e->b, RAX, in_reg(RAX));
    put_reservation(e, insn, address, RAX);
    int_store(e, insn->dst, RAX);
    jmp_to(&e->b, cold->back);
}

/* ---- all of them ---- */

static void emit_at(struct emitter *e, const struct ir_insn *insn, const struct spot *spot)
{
    if (is_load_and_store(e, insn)) {
        emit_load_and_store(e, insn, spot);
        return;
    }
    switch (insn->op) {
    case IR_ATOMIC_SWAP:
    case IR_ATOMIC_ADD:
        emit_exchange(e, insn, spot);
        break;
    case IR_LOAD_RESERVED:
        emit_load_reserved(e, insn, spot);
        break;
    case IR_STORE_CONDITIONAL:
        emit_store_conditional(e, insn, spot);
        break;
    default:
        emit_logic(e, insn, spot);
        break;
    }
}

void emit_atomic(struct emitter *e, const struct ir_insn *insn)
{
    bool swap = insn->op == IR_COMPARE_SWAP;
    unsigned link = swap ? emit_link(e, insn->next, false) : 0;
    struct cold *cold = NULL;
    struct spot spot;

    if (e->unit->windowed) {
        spot = spot_in_window(e, insn);
        spot.access->link = link;
    } else {
        emit_address(e, insn);
        cold = emit_translate(e, insn, e->layout->tlb_write, insn->width, true,
                              swap ? COLD_RESERVE : COLD_GUEST);
        cold->index = link;
        lea(&e->b, OP_W, RCX, at_index(RAX, RCX, 0, 0));
        spot = (struct spot){.place = at_mem(RCX, 0), .base = RCX};
    }
    if (swap)
        emit_compare_swap(e, insn, &spot, link);
    else
        emit_at(e, insn, &spot);
    if (cold)
        cold_back(e, cold);
    else
        spot.access->back = here(&e->b);
}

void access_atomic(struct emitter *e, const struct access *access)
{
    if (access->borrowing)
        borrow_give(e);
    if (access->insn->op == IR_COMPARE_SWAP) {
        reserve(e, access->insn, access->insn->width, access->link);
        return;
    }
    emit_guest(e, access->insn, access->insn->width);
    if (access->borrowing)
        borrow_take(e);
    jmp_to(&e->b, access->back);
}
