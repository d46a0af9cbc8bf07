/* SPDX-License-Identifier: Apache-2.0 */
/* What a machine has of the host, changed while it runs. */
#include <errno.h>

#include "base/bits.h"
#include "device/virtio/balloon.h"
#include "machine/limits.h"
#include "machine/machine_parts.h"

/* ---- CPUs ---- */

void machine_set_cpu_cap(struct machine *machine, unsigned percent)
{
    throttle_set(&machine->throttle, percent);
}

int machine_set_cpus(struct machine *machine, unsigned cpus, struct error *error)
{
    if (cpus < 1 || cpus > machine->cpu_count)
        return error_set(error, EINVAL,
                         "%u CPUs are out of range; this machine was made for 1 to %u (--cpus-max)",
                         cpus, machine->cpu_count);
    machine->description.cpus = cpus;
    sbi_set_limit(&machine->sbi, cpus);
    return 0;
}

unsigned machine_cpus_limit(const struct machine *machine)
{
    return machine->description.cpus;
}

unsigned machine_cpus_running(const struct machine *machine)
{
    return machine->description.firmware ? machine->cpu_count : atomic_load(&machine->sbi.running);
}

unsigned machine_cpu_count(const struct machine *machine)
{
    return machine->cpu_count;
}

/* ---- the agent ---- */

bool machine_has_agent(struct machine *machine)
{
    return virt_port_is_open(machine->board);
}

/* ---- limits ---- */

int machine_set_limits(struct machine *machine, const struct machine_limits *limits,
                       struct error *error)
{
    int r = description_check_limits(limits, error);

    if (r)
        return r;
    machine->description.limits = *limits;
    limits_apply(limits, machine->blocks, machine->nets);
    return 0;
}

/* ---- counters ---- */

bool machine_disk_count(const struct machine *machine, unsigned index,
                        struct block_counters *counters)
{
    if (index >= MACHINE_DISKS_MAX || !machine->blocks[index])
        return false;
    *counters = block_count(machine->blocks[index]);
    return true;
}

bool machine_net_count(const struct machine *machine, unsigned index, struct net_counters *counters)
{
    if (index >= MACHINE_NETS_MAX || !machine->nets[index])
        return false;
    *counters = net_count(machine->nets[index]);
    return true;
}

/* ---- memory ---- */

/* What the guest has, apart from its balloon. What it does not unplug though it was asked to does
 * not count: its balloon is not for that. */
static uint64_t memory_there(uint64_t built, const struct virtio_mem_facts *mem)
{
    return built + lesser(mem->plugged, mem->requested);
}

static void mem_facts(const struct machine *machine, struct virtio_mem_facts *facts)
{
    *facts = (struct virtio_mem_facts){0};
    if (virt_mem(machine->board))
        virtio_mem_get(virt_mem(machine->board), facts);
}

/* Whenever something is plugged: what was not there the balloon could not take. */
void machine_review_memory(void *ctx)
{
    struct machine *machine = ctx;
    struct virtio_mem_facts facts;
    uint64_t there;

    mem_facts(machine, &facts);
    there = memory_there(description_memory_built(&machine->description), &facts);
    virtio_balloon_set_target(virt_balloon(machine->board),
                              there - lesser(there, machine->memory_size));
}

void machine_set_memory(struct machine *machine, uint64_t most, uint64_t size)
{
    uint64_t built = description_memory_built(&machine->description);

    machine->memory_most = most;
    machine->memory_size = lesser(size, most);
    machine->memory_set_ns = monotonic_ns();
    if (virt_mem(machine->board))
        virtio_mem_set_requested(virt_mem(machine->board), most - lesser(most, built));
    machine_review_memory(machine);
}

void machine_ask_memory(struct machine *machine)
{
    if (virt_mem(machine->board))
        virtio_mem_ask(virt_mem(machine->board));
}

/* The loop's thread holds nothing, and the CPUs park wherever they are. */
void machine_still(void *ctx, void (*work)(void *arg), void *arg)
{
    struct machine *machine = ctx;
    bool runs = machine->state == MACHINE_RUNNING;

    if (runs)
        vcpu_gate_close(&machine->gate, machine->cpus, machine->cpu_count);
    work(arg);
    for (unsigned i = 0; i < machine->cpu_count; i++)
        machine->engine.type->forget(machine->cpus[i].cpu);
    if (runs && !machine->throttle.held)
        machine_open_gate(machine);
}

void machine_counters(const struct machine *machine, struct engine_counters *counters)
{
    *counters = machine->counted;
    machine_engine_count(&machine->engine, counters);
}

void machine_footprint(const struct machine *machine, struct engine_footprint *footprint)
{
    machine->engine.type->footprint(machine->cpus[0].cpu, footprint);
}

uint64_t machine_trim(struct machine *machine)
{
    return machine->engine.type->trim(machine->cpus[0].cpu);
}

void machine_balloon_poll(struct machine *machine, uint32_t milliseconds)
{
    virtio_balloon_set_interval(virt_balloon(machine->board), milliseconds);
}

void machine_balloon(struct machine *machine, struct machine_balloon *balloon)
{
    uint64_t time;

    virtio_balloon_get(virt_balloon(machine->board), &balloon->facts);
    mem_facts(machine, &balloon->mem);
    balloon->wanted = machine->memory_size;
    balloon->size = memory_there(description_memory_built(&machine->description), &balloon->mem) -
                    balloon->facts.target;
    balloon->resident = memory_resident(machine->memory);
    balloon->size_age_ns = monotonic_ns() - machine->memory_set_ns;
    time = balloon->facts.statistics.time_ns;
    balloon->age_ns = time ? monotonic_ns() - time : 0;
}
