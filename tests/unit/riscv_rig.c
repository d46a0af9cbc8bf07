/* SPDX-License-Identifier: Apache-2.0 */
#include "riscv_rig.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/thread.h"
#include "cpu/riscv/privileged.h"
#include "riscv_code.h"

void rig_make_engine(struct rig *rig, const struct engine_type *type, const char *options)
{
    struct engine_config config = {.memory = rig->as,
                                   .cpu_count = rig->cpu_count,
                                   .options = options,
                                   .profile = rig->profile,
                                   .library = rig->library};

    rig->type = type;
    assert_int_equal(type->create(&config, &rig->engine, NULL), 0);
    for (unsigned i = 0; i < rig->cpu_count; i++)
        assert_int_equal(type->cpu_create(rig->engine, i, &rig->hart[i], &rig->cpu[i], NULL), 0);
}

void rig_free_engine(struct rig *rig)
{
    for (unsigned i = 0; i < rig->cpu_count; i++)
        rig->type->cpu_free(rig->cpu[i]);
    rig->type->free(rig->engine);
}

static struct rig *rig_make(unsigned cpus)
{
    struct rig *rig = calloc(1, sizeof(*rig));

    assert_non_null(rig);
    rig->cpu_count = cpus;
    assert_int_equal(address_space_new(&rig->as), 0);
    return rig;
}

static void rig_begin(struct rig *rig, const struct engine_type *type, const char *options)
{
    for (unsigned i = 0; i < rig->cpu_count; i++) {
        rig->hart[i].id = i;
        riscv_hart_reset(&rig->hart[i], RAM_BASE, 0);
        rig->hart[i].mtvec = RAM_BASE + 0x800;
        rig->hart[i].mstatus |= MSTATUS_FS;
    }
    rig_make_engine(rig, type, options);
    PUT(rig, 0x800, WFI);
}

struct rig *rig_new(const struct engine_type *type, const char *options, unsigned cpus,
                    uint64_t ram_size)
{
    struct rig *rig = rig_make(cpus);

    assert_int_equal(memory_add_ram(rig->as, "ram", RAM_BASE, ram_size, true, NULL), 0);
    rig_begin(rig, type, options);
    return rig;
}

struct rig *rig_new_pluggable(const struct engine_type *type, const char *options, unsigned cpus,
                              uint64_t fixed, uint64_t size)
{
    struct rig *rig = rig_make(cpus);

    assert_int_equal(memory_add_pluggable_ram(rig->as, "ram", RAM_BASE, fixed, size, NULL), 0);
    rig_begin(rig, type, options);
    return rig;
}

void rig_free(struct rig *rig)
{
    rig_free_engine(rig);
    address_space_free(rig->as);
    free(rig);
}

void rig_user(struct rig *rig, unsigned index)
{
    struct riscv_hart *hart = &rig->hart[index];

    hart->hosted_firmware = true;
    riscv_hart_reset(hart, RAM_BASE, 0);
    hart->privilege = RISCV_U;
    hart->medeleg = 0;
    hart->mstatus |= MSTATUS_FS;
    rig->type->state_in(rig->cpu[index]);
}

void rig_put(struct rig *rig, uint64_t at, const uint32_t *code, size_t count)
{
    assert_int_equal(memory_write(rig->as, RAM_BASE + at, code, count * 4), 0);
}

void rig_put64(struct rig *rig, uint64_t at, uint64_t value)
{
    assert_int_equal(memory_write(rig->as, RAM_BASE + at, &value, 8), 0);
}

uint64_t rig_get64(struct rig *rig, uint64_t at)
{
    uint64_t value = 0;

    assert_int_equal(memory_read(rig->as, RAM_BASE + at, &value, 8), 0);
    return value;
}

enum cpu_stop rig_run(struct rig *rig, uint64_t limit)
{
    return rig->type->run(rig->cpu[0], limit);
}

struct runner {
    struct rig *rig;
    unsigned index;
    enum cpu_stop stop;
};

static void *run_one(void *arg)
{
    struct runner *r = arg;

    r->stop = r->rig->type->run(r->rig->cpu[r->index], 0);
    return NULL;
}

void rig_run_all(struct rig *rig, enum cpu_stop wanted)
{
    struct runner runner[RIG_CPUS];
    pthread_t thread[RIG_CPUS];

    for (unsigned i = 0; i < rig->cpu_count; i++) {
        runner[i] = (struct runner){rig, i, CPU_STOP_KICK};
        assert_int_equal(thread_start(&thread[i], "cpu", run_one, &runner[i]), 0);
    }
    for (unsigned i = 0; i < rig->cpu_count; i++) {
        pthread_join(thread[i], NULL);
        assert_int_equal(runner[i].stop, wanted);
    }
}

static void *run_first(void *arg)
{
    struct rig *rig = arg;

    rig->stop = rig->type->run(rig->cpu[rig->index], 0);
    /* The next thread may have the same number. */
    rig->type->leave(rig->cpu[rig->index]);
    return NULL;
}

void rig_start(struct rig *rig, pthread_t *thread)
{
    assert_int_equal(thread_start(thread, "cpu", run_first, rig), 0);
}

bool rig_ended(pthread_t thread, unsigned milliseconds)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += milliseconds / 1000;
    until.tv_nsec += milliseconds % 1000 * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    return !pthread_timedjoin_np(thread, NULL, &until);
}

static uint64_t gate_read(void *ctx, uint64_t offset, unsigned width)
{
    struct gate *gate = ctx;

    sem_post(&gate->entered);
    sem_wait(&gate->leave);
    return 0;
}

static void gate_write(void *ctx, uint64_t offset, unsigned width, uint64_t value) {}

void rig_add_gate(struct rig *rig, struct gate *gate)
{
    static const struct io_ops ops = {.widths = 4, .read = gate_read, .write = gate_write};

    assert_int_equal(sem_init(&gate->entered, 0, 0) | sem_init(&gate->leave, 0, 0), 0);
    assert_int_equal(memory_add_io(rig->as, "gate", GATE, 0x1000, &ops, gate, NULL), 0);
}

bool rig_same_hart(const struct riscv_hart *a, const struct riscv_hart *b)
{
    return !memcmp(a->x, b->x, sizeof(a->x)) && !memcmp(a->f, b->f, sizeof(a->f)) &&
           a->pc == b->pc && a->privilege == b->privilege && a->fflags == b->fflags &&
           a->frm == b->frm && a->mstatus == b->mstatus && a->mepc == b->mepc &&
           a->mcause == b->mcause && a->mtval == b->mtval && a->sepc == b->sepc &&
           a->scause == b->scause && a->stval == b->stval && a->satp == b->satp;
}

bool rig_same_memory(struct rig *a, struct rig *b)
{
    const struct ram *one = memory_main_ram(a->as), *other = memory_main_ram(b->as);

    return one->size == other->size && !memcmp(one->host, other->host, one->size);
}
