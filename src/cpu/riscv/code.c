/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decoded-block cache: an arena of blocks of one CPU, found by the host address of their first
 * byte, which stands for the guest-physical one. A block holds nothing of its virtual address, so
 * that a library mapped by many processes is decoded once.
 *
 * States of a block:
 *   fresh   epoch == cpu->epoch: may be entered
 *   stale   epoch < cpu->epoch: there was a fence.i; fresh again if its page was not written
 *   dead    epoch == 0: out of the hash, kept for links to it until the arena is emptied
 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/bits.h"
#include "cpu/riscv/interpreter.h"
#include "cpu/riscv/native.h"
#include "cpu/riscv/privileged.h"

/* Enough for all that a distribution executes from power-on to the login prompt; then it begins
 * anew. Reserved, and touched as it is used. */
#define ARENA_SIZE (UINT64_C(64) << 20)
/* With a translator, which takes over what is executed often. */
#define ARENA_SIZE_COLD (UINT64_C(4) << 20)

/* Ends every empty chain, so that execute() need not look for NULL. */
static const struct code_block nothing = {.host = 1};

int code_cache_init(struct engine_cpu *cpu)
{
    cpu->arena_size = cpu->engine->native ? ARENA_SIZE_COLD : ARENA_SIZE;
    cpu->arena = malloc(cpu->arena_size);
    cpu->single = malloc(BLOCK_SIZE_MAX);
    if (!cpu->arena || !cpu->single)
        return -ENOMEM;
    cpu->epoch = 1;
    code_cache_flush(cpu);
    return 0;
}

void code_cache_release(struct engine_cpu *cpu)
{
    free(cpu->arena);
    free(cpu->single);
}

void code_cache_flush(struct engine_cpu *cpu)
{
    cpu->arena_used = 0;
    for (unsigned i = 0; i < CODE_HASH_SIZE; i++)
        cpu->hash[i] = (struct code_block *)&nothing;
}

void code_cache_trim(struct engine_cpu *cpu)
{
    uint64_t begin = round_up((uintptr_t)cpu->arena, PAGE_SIZE);
    uint64_t end = round_down((uintptr_t)cpu->arena + cpu->arena_used, PAGE_SIZE);

    code_cache_flush(cpu);
    if (begin < end)
        madvise((void *)(uintptr_t)begin, end - begin, MADV_DONTNEED);
}

/* ---- making one ---- */

struct builder {
    struct engine_cpu *cpu;
    struct code_block *block;
    unsigned used; /* ops */
};

static struct op *builder_add(struct builder *b, unsigned handler)
{
    struct op *op = &b->block->ops[b->used++];

    *op = (struct op){.handler = execute_handler(handler)};
    return op;
}

static void builder_add_second(struct builder *b, op_function *call, uint32_t raw)
{
    struct op *second = &b->block->ops[b->used++];

    second->call = call;
    second->raw = raw;
    second->count = b->block->count;
}

/* An instruction that only writes rd, and rd is x0: nothing is left of it. */
static bool is_nothing(const struct riscv_insn *insn)
{
    if (insn->rd)
        return false;
    switch (riscv_insn_types[insn->id].format) {
    case RISCV_FORMAT_R:
    case RISCV_FORMAT_UNARY:
    case RISCV_FORMAT_SHIFT:
    case RISCV_FORMAT_SHIFTW:
    case RISCV_FORMAT_U:
        return true;
    case RISCV_FORMAT_I:
        return insn->id != RISCV_INSN_JALR;
    case RISCV_FORMAT_PREFETCH:
        return true;
    default:
        return false;
    }
}

static unsigned load_width(enum riscv_insn_id id)
{
    switch (id) {
    case RISCV_INSN_LB:
    case RISCV_INSN_LBU:
        return 1;
    case RISCV_INSN_LH:
    case RISCV_INSN_LHU:
        return 2;
    case RISCV_INSN_LW:
    case RISCV_INSN_LWU:
        return 4;
    default:
        return 8;
    }
}

/* The handler that knows most about the instruction. */
static unsigned handler_of(const struct riscv_insn *insn)
{
    switch (insn->id) {
    case RISCV_INSN_LUI:
        return OP_LI;
    case RISCV_INSN_ADDI:
        return !insn->rs1 ? OP_LI : !insn->imm ? OP_MV : RISCV_INSN_ADDI;
    case RISCV_INSN_JAL:
        return insn->rd ? RISCV_INSN_JAL : OP_J;
    case RISCV_INSN_JALR:
        return insn->rd ? RISCV_INSN_JALR : OP_JR;
    case RISCV_INSN_ADD: /* c.mv */
        return insn->rs1 ? RISCV_INSN_ADD : OP_MV;
    case RISCV_INSN_LB ... RISCV_INSN_LWU:
        return insn->rd ? insn->id : OP_LOAD_X0;
    default:
        return execute_handler(insn->id) ? insn->id : OP_CALL;
    }
}

/* Labels that use the second slot. */
static bool has_second(const struct riscv_insn *insn)
{
    const struct riscv_insn_type *type = &riscv_insn_types[insn->id];

    return type->format == RISCV_FORMAT_B || insn->id == RISCV_INSN_JAL ||
           insn->id == RISCV_INSN_JALR || (type->flags & INSN_FLOAT);
}

/* What the op has besides its handler. `at`: bytes from the block's start. */
static void op_fields(struct op *op, const struct riscv_insn *insn, unsigned at)
{
    op->rd = insn->rd;
    op->rs1 = insn->rs1;
    op->rs2 = insn->rs2;
    op->imm = insn->imm;
    op->at = at >> 1;
    switch (riscv_insn_types[insn->id].format) {
    case RISCV_FORMAT_B:
    case RISCV_FORMAT_J:
        op->imm += at;
        break;
    case RISCV_FORMAT_U:
        if (insn->id == RISCV_INSN_AUIPC)
            op->imm += at;
        break;
    case RISCV_FORMAT_FMA:
        op->imm = insn->rm | insn->rs3 << 8;
        break;
    case RISCV_FORMAT_FRM:
    case RISCV_FORMAT_FRM1:
    case RISCV_FORMAT_FTOX:
    case RISCV_FORMAT_XTOF:
        op->imm = insn->rm;
        break;
    default:
        break;
    }
}

void code_make_op(struct op *op, const struct riscv_insn *insn, unsigned count)
{
    op[0] = (struct op){.handler = NULL};
    op_fields(op, insn, 0);
    op[1].call = execute_function(insn->id);
    op[1].raw = insn->raw;
    op[1].count = count;
}

/* `at`: bytes from the block's start. */
static void builder_insn(struct builder *b, const struct riscv_insn *insn, unsigned at)
{
    unsigned handler = handler_of(insn);
    struct op *op;

    b->block->count++;
    b->block->starts[at >> 7] |= UINT64_C(1) << (at >> 1 & 63);
    if (is_nothing(insn))
        return;
    op = builder_add(b, handler);
    op_fields(op, insn, at);
    if (handler == OP_MV && insn->id == RISCV_INSN_ADD)
        op->rs1 = insn->rs2;
    if (handler == OP_LOAD_X0)
        op->rs2 = load_width(insn->id);
    if (handler == OP_CALL)
        builder_add_second(b, execute_function(insn->id), insn->raw);
    else if (has_second(insn))
        builder_add_second(b, NULL, insn->raw);
}

bool code_insn_ends(const struct riscv_insn *insn)
{
    const struct riscv_insn_type *type = &riscv_insn_types[insn->id];

    if (type->format == RISCV_FORMAT_CSR || type->format == RISCV_FORMAT_CSRI)
        return riscv_csr_has_effect(insn->imm);
    return type->flags & INSN_ENDS;
}

/* Behind a block that does not end in a jump. */
static void builder_fall(struct builder *b, unsigned size)
{
    builder_add(b, OP_FALL)->imm = size;
    builder_add_second(b, NULL, 0);
}

/* An instruction with a half in each of two pages: a block of its own. That the second half is the
 * one that was decoded is looked at each time, since the second page may be mapped elsewhere. */
static bool build_crossing(struct builder *b, uint64_t pc, uint16_t low)
{
    struct riscv_insn insn;
    uint16_t high;

    if (!access_fetch(b->cpu, pc + 2, &high))
        return false;
    builder_add(b, OP_CALL);
    builder_add_second(b, exec_cross_page, high);
    riscv_decode((uint32_t)high << 16 | low, &insn);
    builder_insn(b, &insn, 0);
    builder_fall(b, 4);
    return true;
}

/* How often the block will be interpreted first. Where code is written again and again, or units go
 * soon after they were made, most of it is not worth translating. */
static int32_t heat_of(const struct builder *b)
{
    unsigned writes = b->block->ram ? b->block->generation / 4 : 0;

    return b->cpu->engine->heat << ((writes < 6 ? writes : 6) + native_pressure(b->cpu));
}

/* Decodes from `host`, where the virtual `pc` leads, into b->block. `limit`: instructions. False:
 * a fetch trapped. */
static bool build(struct builder *b, const uint8_t *host, uint64_t pc, unsigned limit)
{
    unsigned left = PAGE_SIZE - (pc & (PAGE_SIZE - 1)), at = 0;
    struct riscv_insn insn;

    b->block->count = 0;
    b->block->heated = false;
    b->block->starts[0] = b->block->starts[1] = 0;
    if (left == 2 && riscv_insn_length(code_half(host)) == 4)
        return build_crossing(b, pc, code_half(host));
    if (left > BLOCK_BYTES)
        left = BLOCK_BYTES;
    b->block->heated = b->cpu->engine->native != NULL;
    if (b->block->heated)
        builder_add(b, OP_HEAT)->imm = heat_of(b);
    while (b->block->count < limit && at < left) {
        if (!code_decode(host + at, left - at, &insn))
            break;
        builder_insn(b, &insn, at);
        at += insn.length;
        if (code_insn_ends(&insn))
            break;
    }
    builder_fall(b, at);
    return true;
}

/* Decodes one instruction that no block may hold, asking for each half of it. */
static struct code_block *build_single(struct engine_cpu *cpu, uint64_t pc)
{
    struct builder b = {.cpu = cpu, .block = cpu->single};
    struct riscv_insn insn;
    uint16_t low, high = 0;

    if (!access_fetch(cpu, pc, &low))
        return NULL;
    if (riscv_insn_length(low) == 4 && !access_fetch(cpu, pc + 2, &high))
        return NULL;
    memset(b.block, 0, sizeof(*b.block));
    b.block->host = 1;
    b.block->epoch = cpu->epoch;
    riscv_decode((uint32_t)high << 16 | low, &insn);
    builder_insn(&b, &insn, 0);
    builder_fall(&b, insn.length);
    return b.block;
}

/* ---- finding one ---- */

static void code_kill(struct engine_cpu *cpu, struct code_block *block)
{
    struct code_block **at = &cpu->hash[code_hash(block->host)];

    while (*at != block)
        at = &(*at)->next;
    *at = block->next;
    block->epoch = 0;
    cpu->counters.blocks_invalidated++;
}

void code_drop(struct engine_cpu *cpu, const struct op *first)
{
    code_kill(cpu, (struct code_block *)((char *)first - offsetof(struct code_block, ops)));
}

static bool code_freshen(struct engine_cpu *cpu, struct code_block *block)
{
    if (block->epoch == cpu->epoch)
        return true;
    if (atomic_load_explicit(&block->ram->code_gen[block->page], memory_order_acquire) ==
        block->generation) {
        block->epoch = cpu->epoch;
        return true;
    }
    code_kill(cpu, block);
    return false;
}

uint32_t code_mark(struct engine_cpu *cpu, struct ram *ram, uint64_t page)
{
    /* Our own stores so far come before the decoding; those that follow must be seen (I1). */
    if (!(atomic_load_explicit(&ram->flags[page], memory_order_relaxed) & PAGE_CODE)) {
        cpu_before_eviction(cpu);
        tlb_protect(cpu, ram->host + (page << PAGE_SHIFT));
    }
    return memory_mark_code(cpu->engine->memory, ram, page);
}

static struct code_block *code_make(struct engine_cpu *cpu, uint64_t pc,
                                    const struct tlb_place *place)
{
    struct ram *ram = place->range->ram;
    uint64_t page = (place->address - ram->base) >> PAGE_SHIFT;
    unsigned slot = code_hash((uintptr_t)place->host);
    struct builder b = {.cpu = cpu};

    if (cpu->arena_used + BLOCK_SIZE_MAX > cpu->arena_size)
        code_cache_flush(cpu);
    b.block = (struct code_block *)(cpu->arena + cpu->arena_used);
    b.block->generation = code_mark(cpu, ram, page);
    b.block->host = (uintptr_t)place->host;
    b.block->epoch = cpu->epoch;
    b.block->ram = ram;
    b.block->page = page;
    if (!build(&b, place->host, pc, BLOCK_INSTRUCTIONS))
        return NULL;
    if (b.block->heated && native_is_hot(cpu, place->host, b.block->generation))
        b.block->ops[0].imm = 0; /* at its next execution */
    b.block->next = cpu->hash[slot];
    cpu->hash[slot] = b.block;
    cpu->arena_used += round_up(sizeof(struct code_block) + b.used * sizeof(struct op),
                                _Alignof(struct code_block));
    cpu->counters.blocks_decoded++;
    return b.block;
}

struct code_block *code_find(struct engine_cpu *cpu, uint64_t pc, bool single)
{
    struct tlb_entry *entry = &cpu->fetch->entries[(pc >> PAGE_SHIFT) & (TLB_SIZE - 1)];
    struct tlb_place place = {.host = (uint8_t *)(uintptr_t)(pc + entry->addend)};
    bool known = entry->fetch == (pc & PAGE_MASK);
    struct code_block **at;

    if (single)
        return build_single(cpu, pc);
    if (!known) {
        int error = tlb_lookup(cpu, cpu->fetch, pc, 2, RISCV_FETCH, &place);

        if (error) {
            cpu->cause = error;
            cpu->tval = pc;
            return NULL;
        }
        if (!place.cached)
            return build_single(cpu, pc);
    }
    at = &cpu->hash[code_hash((uintptr_t)place.host)];
    for (struct code_block *block = *at; block != &nothing; at = &block->next, block = *at) {
        if (block->host != (uintptr_t)place.host)
            continue;
        if (!code_freshen(cpu, block))
            break;
        /* To the front, where execute() looks. */
        *at = block->next;
        block->next = cpu->hash[code_hash(block->host)];
        cpu->hash[code_hash(block->host)] = block;
        return block;
    }
    if (known && tlb_lookup(cpu, cpu->fetch, pc, 2, RISCV_FETCH, &place))
        return build_single(cpu, pc); /* the tables changed under the TLB: it traps there */
    return place.cached ? code_make(cpu, pc, &place) : build_single(cpu, pc);
}
