/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/debug.h"

#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "cpu/riscv/mmu.h"
#include "cpu/riscv/privileged.h"

/* GDB's numbers; see its include/gdb and gdb/riscv-tdep.h. */
enum {
    REG_PC = DEBUG_PC,
    REG_F0 = 33,
    REG_CSR = 65,
    REG_FFLAGS = REG_CSR + 1,
    REG_FRM = REG_CSR + 2,
    REG_FCSR = REG_CSR + 3,
    REG_PRIV = REG_CSR + 4096,
};

#define FEATURE_CPU     "org.gnu.gdb.riscv.cpu"
#define FEATURE_FPU     "org.gnu.gdb.riscv.fpu"
#define FEATURE_CSR     "org.gnu.gdb.riscv.csr"
#define FEATURE_VIRTUAL "org.gnu.gdb.riscv.virtual"

static const char *const integer_names[] = {
    "zero", "ra", "sp", "gp", "tp",  "t0",  "t1", "t2", "fp", "s1", "a0",
    "a1",   "a2", "a3", "a4", "a5",  "a6",  "a7", "s2", "s3", "s4", "s5",
    "s6",   "s7", "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6", "pc",
};

static const char *const float_names[] = {
    "ft0", "ft1", "ft2", "ft3", "ft4",  "ft5",  "ft6", "ft7", "fs0",  "fs1",  "fa0",
    "fa1", "fa2", "fa3", "fa4", "fa5",  "fa6",  "fa7", "fs2", "fs3",  "fs4",  "fs5",
    "fs6", "fs7", "fs8", "fs9", "fs10", "fs11", "ft8", "ft9", "ft10", "ft11",
};

/* Traps and translation, which explain where a kernel is. Read-only: what would follow from a
 * write is the instruction's business. Ascending. */
static const uint16_t csrs[] = {
    0x100, 0x104, 0x105, 0x106, 0x10a, 0x140, 0x141, 0x142, 0x143, 0x144,
    0x14d, 0x180, 0x300, 0x301, 0x302, 0x303, 0x304, 0x305, 0x306, 0x30a,
    0x340, 0x341, 0x342, 0x343, 0x344, 0xc00, 0xc01, 0xc02, 0xf14,
};

bool debug_register(unsigned index, struct debug_register *reg)
{
    *reg = (struct debug_register){.number = index, .bits = 64};
    if (index < ARRAY_SIZE(integer_names)) {
        reg->name = integer_names[index];
        reg->feature = FEATURE_CPU;
        reg->type = index == REG_PC ? "code_ptr" : index == 2 ? "data_ptr" : NULL;
        return true;
    }
    if (index < DEBUG_DUMP_REGISTERS) {
        reg->name = float_names[index - REG_F0];
        reg->feature = FEATURE_FPU;
        reg->type = "ieee_double";
        return true;
    }
    index -= DEBUG_DUMP_REGISTERS;
    if (index < 3) {
        static const char *const names[] = {"fflags", "frm", "fcsr"};

        reg->number = REG_FFLAGS + index;
        reg->name = names[index];
        reg->feature = FEATURE_FPU;
        reg->bits = 32;
        return true;
    }
    index -= 3;
    if (index < ARRAY_SIZE(csrs)) {
        reg->number = REG_CSR + csrs[index];
        reg->name = riscv_csr_name(csrs[index]);
        reg->feature = FEATURE_CSR;
        return true;
    }
    reg->number = REG_PRIV;
    reg->name = "priv";
    reg->feature = FEATURE_VIRTUAL;
    return index == ARRAY_SIZE(csrs);
}

static bool csr_is_listed(unsigned csr)
{
    for (unsigned i = 0; i < ARRAY_SIZE(csrs); i++)
        if (csrs[i] == csr)
            return true;
    return false;
}

/* As M-mode reads it, from a copy, so that nothing follows from the read. */
static int csr_read(const struct riscv_hart *hart, unsigned csr, uint64_t *value)
{
    struct riscv_hart copy;

    memcpy(&copy, hart, sizeof(copy));
    copy.privilege = RISCV_M;
    *value = 0;
    return riscv_csr_access(&copy, csr, RISCV_CSR_READ, true, value) & RISCV_CSR_ILLEGAL ? -ENOENT
                                                                                         : 0;
}

int debug_read_register(const struct debug *debug, unsigned cpu, unsigned number, uint64_t *value)
{
    const struct riscv_hart *hart = &debug->cpus[cpu].hart;

    if (number < REG_PC)
        *value = hart->x[number];
    else if (number == REG_PC)
        *value = hart->pc;
    else if (number < REG_CSR)
        *value = hart->f[number - REG_F0];
    else if (number == REG_FFLAGS)
        *value = hart->fflags;
    else if (number == REG_FRM)
        *value = hart->frm;
    else if (number == REG_FCSR)
        *value = hart->frm << 5 | hart->fflags;
    else if (number == REG_PRIV)
        *value = hart->privilege;
    else if (csr_is_listed(number - REG_CSR))
        return csr_read(hart, number - REG_CSR, value);
    else
        return -ENOENT;
    return 0;
}

int debug_write_register(struct debug *debug, unsigned cpu, unsigned number, uint64_t value)
{
    struct vcpu *vcpu = &debug->cpus[cpu];
    struct riscv_hart *hart = &vcpu->hart;
    uint64_t unused;

    if (number == 0)
        return 0; /* as the guest's own write */
    if (number < REG_PC)
        hart->x[number] = value;
    else if (number == REG_PC)
        hart->pc = value & ~UINT64_C(1);
    else if (number < REG_CSR)
        hart->f[number - REG_F0] = value;
    else if (number == REG_FFLAGS)
        hart->fflags = value & 31;
    else if (number == REG_FRM)
        hart->frm = value & 7;
    else if (number == REG_FCSR) {
        hart->fflags = value & 31;
        hart->frm = value >> 5 & 7;
    } else
        return debug_read_register(debug, cpu, number, &unused) ? -ENOENT : -EACCES;
    /* A guest that has its floating-point unit on must save what is in it now. */
    if (number >= REG_F0 && hart->mstatus & MSTATUS_FS)
        hart->mstatus |= MSTATUS_FS;
    vcpu->engine->state_in(vcpu->cpu);
    return 0;
}

/* Where [vaddr, vaddr + *part) is, *part shortened to what lies in one page. */
static int debug_translate(const struct debug *debug, unsigned cpu, uint64_t vaddr, uint64_t *part,
                           gpa *address)
{
    const struct riscv_hart *hart = &debug->cpus[cpu].hart;
    const uint64_t in_page = PAGE_SIZE - (vaddr & (PAGE_SIZE - 1));
    struct riscv_translation translation = {0};
    /* For satp; loads may be on behalf of another mode. */
    struct riscv_regime regime = riscv_regime_fetch(hart);

    regime.privilege = hart->privilege == RISCV_M ? RISCV_M : RISCV_S;
    regime.sum = regime.mxr = true;
    if (riscv_peek(hart, debug->memory, vaddr, &regime, &translation))
        return -EFAULT;
    *address = translation.address;
    if (*part > in_page)
        *part = in_page;
    return 0;
}

int debug_read_memory(struct debug *debug, unsigned cpu, uint64_t vaddr, void *to, uint64_t length)
{
    for (uint64_t part; (part = length) > 0; length -= part) {
        gpa address;

        if (debug_translate(debug, cpu, vaddr, &part, &address) ||
            memory_read(debug->memory, address, to, part))
            return -EFAULT;
        to = (char *)to + part;
        vaddr += part;
    }
    return 0;
}

int debug_write_memory(struct debug *debug, unsigned cpu, uint64_t vaddr, const void *from,
                       uint64_t length)
{
    int r = 0;

    for (uint64_t part; !r && (part = length) > 0; length -= part) {
        gpa address;

        r = debug_translate(debug, cpu, vaddr, &part, &address);
        if (!r && memory_write(debug->memory, address, from, part))
            r = -EFAULT;
        from = (const char *)from + part;
        vaddr += part;
    }
    /* The guest will not execute a fence.i for what it does not know of. */
    for (unsigned i = 0; i < debug->cpu_count; i++)
        debug->cpus[i].engine->flush_code(debug->cpus[i].cpu);
    return r;
}

static void engines_breakpoint(struct debug *debug, uint64_t vaddr, bool set, int *error)
{
    for (unsigned i = 0; i < debug->cpu_count; i++) {
        int r = debug->cpus[i].engine->breakpoint(debug->cpus[i].cpu, vaddr, set);

        if (r)
            *error = r;
    }
}

int debug_set_breakpoint(struct debug *debug, uint64_t vaddr)
{
    struct vcpu_breakpoints *points = &debug->breakpoints;
    int r = 0, unused;

    for (unsigned i = 0; i < points->count; i++)
        if (points->address[i] == vaddr)
            return 0;
    if (points->count == VCPU_BREAKPOINTS)
        return -ENOSPC;
    engines_breakpoint(debug, vaddr, true, &r);
    if (r) {
        engines_breakpoint(debug, vaddr, false, &unused);
        return r;
    }
    points->address[points->count++] = vaddr;
    return 0;
}

void debug_clear_breakpoint(struct debug *debug, uint64_t vaddr)
{
    struct vcpu_breakpoints *points = &debug->breakpoints;
    int unused;

    for (unsigned i = 0; i < points->count; i++)
        if (points->address[i] == vaddr) {
            engines_breakpoint(debug, vaddr, false, &unused);
            points->address[i] = points->address[--points->count];
            return;
        }
}

void debug_clear_breakpoints(struct debug *debug)
{
    while (debug->breakpoints.count)
        debug_clear_breakpoint(debug, debug->breakpoints.address[0]);
}

bool debug_cpu_started(const struct debug *debug, unsigned cpu)
{
    const struct vcpu *vcpu = &debug->cpus[cpu];

    return !vcpu->sbi || atomic_load(&vcpu->sbi->harts[cpu].state) != SBI_HART_STOPPED;
}

/* ---- for the machine ---- */

void debug_init(struct debug *debug, struct vcpu *cpus, unsigned cpu_count,
                struct address_space *memory)
{
    *debug = (struct debug){.cpus = cpus, .cpu_count = cpu_count, .memory = memory};
}

void debug_begin(struct debug *debug)
{
    for (unsigned i = 0; i < debug->cpu_count; i++) {
        struct vcpu *vcpu = &debug->cpus[i];

        vcpu->engine->state_out(vcpu->cpu);
        /* A hart that is being started gets its first registers now, and not behind what the
         * debugger writes to them. Asked again by the CPU's thread, which changes nothing. */
        if (vcpu->sbi && sbi_begin(vcpu->sbi, i) == SBI_NEXT_RUN)
            vcpu->engine->state_in(vcpu->cpu);
    }
}

int debug_arm(const struct debug *debug, const struct machine_engine *engine)
{
    int r = 0;

    for (unsigned i = 0; i < engine->cpu_count; i++)
        for (unsigned j = 0; !r && j < debug->breakpoints.count; j++)
            r = engine->type->breakpoint(engine->cpus[i], debug->breakpoints.address[j], true);
    return r;
}
