/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/machine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/unix_socket.h"
#include "machine/limits.h"
#include "machine/machine_parts.h"
#include "network/limit.h"
#include "network/switch.h"

/* How soon a reboot looks again whether the old guest's requests have come back. */
#define RELOAD_RETRY_NS 1000000u

/* How many clients of the guest's agent may wait while one is served. */
#define AGENT_BACKLOG 8

/* Where qemu-guest-agent looks for its port, unless told otherwise (its manual, qemu-ga(8)). */
#define AGENT_PORT "org.qemu.guest_agent.0"

/* ---- what the parts ask of the machine ---- */

static void machine_ask(struct machine *machine, enum machine_request request, int status)
{
    mutex_lock(&machine->lock);
    if (machine->request == REQUEST_NONE) {
        machine->request = request;
        machine->request_status = status;
    }
    mutex_unlock(&machine->lock);
    /* No CPU executes another instruction than those that are under way. */
    vcpu_gate_shut(&machine->gate, machine->cpus, machine->cpu_count);
    loop_post(machine->loop, &machine->serve);
}

static void board_finish(void *ctx, bool reboot, bool failed, unsigned status)
{
    machine_ask(ctx, reboot ? REQUEST_REBOOT : REQUEST_POWER_OFF, failed ? (int)status : 0);
}

static void sbi_reset(void *ctx, enum sbi_reset type, bool failure)
{
    machine_ask(ctx, type == SBI_SHUTDOWN ? REQUEST_POWER_OFF : REQUEST_REBOOT, failure ? 1 : 0);
}

static void sbi_flush_tlb(void *ctx, unsigned hart, uint64_t vaddr, uint64_t size, uint64_t asid)
{
    struct machine *machine = ctx;

    machine->engine.type->flush_tlb(machine->cpus[hart].cpu, vaddr, size, asid);
}

static void sbi_flush_code(void *ctx, unsigned hart)
{
    struct machine *machine = ctx;

    machine->engine.type->flush_code(machine->cpus[hart].cpu);
}

static bool sbi_console_put(void *ctx, uint8_t byte)
{
    struct machine *machine = ctx;

    return virt_console_put(machine->board, byte);
}

static int sbi_console_get(void *ctx)
{
    struct machine *machine = ctx;

    return virt_console_get(machine->board);
}

static int sbi_read_virtual(void *ctx, unsigned hart, uint64_t vaddr, void *to, uint64_t length)
{
    struct machine *machine = ctx;

    return riscv_hart_read_virtual(&machine->cpus[hart].hart, machine->memory, vaddr, to, length);
}

static void cpu_lost(void *ctx, unsigned index, uint64_t cause)
{
    struct machine *machine = ctx;

    log_say(machine->log, LOG_GUEST, "cpu %u trapped into firmware with cause %llu", index,
            (unsigned long long)cause);
    machine_ask(machine, REQUEST_FAULT, 1);
}

/* No CPU executes another instruction than those that are under way. */
static void cpu_stopped(void *ctx)
{
    struct machine *machine = ctx;

    vcpu_gate_shut(&machine->gate, machine->cpus, machine->cpu_count);
    loop_post(machine->loop, &machine->debug_serve);
}

static uint64_t hart_time(void *ctx)
{
    struct machine *machine = ctx;

    return virt_time(machine->board);
}

static void hart_set_stimecmp(void *ctx, unsigned hart, uint64_t deadline)
{
    struct machine *machine = ctx;

    if (!vcpu_set_deadline(&machine->cpus[hart], deadline))
        virt_set_stimecmp(machine->board, hart, deadline);
}

static uint16_t hart_entropy(void *ctx)
{
    uint16_t bits = 0;

    /* 2 bytes never come short, and the pool is ready long before hospes starts. */
    if (getrandom(&bits, sizeof(bits), 0) != sizeof(bits))
        BUG_ON(errno != EINTR);
    return bits;
}

static void disk_full(void *ctx, const char *path)
{
    struct machine *machine = ctx;

    log_say(machine->log, LOG_WARN, "no space left on the host for \"%s\"", path);
    machine_pause(machine);
    if (machine->events.host_full)
        machine->events.host_full(machine->events.ctx, path);
}

/* ---- building ---- */

static const struct thread_guard *machine_guard(const struct machine *machine)
{
    return machine->guard.enter ? &machine->guard : NULL;
}

static int machine_open_disks(struct machine *machine, struct error *error)
{
    for (unsigned i = 0; i < machine->description.disk_count; i++) {
        const struct machine_disk *disk = &machine->description.disks[i];
        struct block_options options = {
            .path = disk->path,
            .read_only = disk->read_only,
            .ephemeral = disk->ephemeral,
            .on_full = disk_full,
            .on_full_ctx = machine,
            .guard = machine_guard(machine),
        };
        int r = block_open(&machine->blocks[i], machine->loop, &options, machine->log, error);

        if (r)
            return r;
    }
    return 0;
}

/* The address given, or one made from the name and the interface: locally administered, the same at
 * each start, so that the guest knows its interface again. */
static int machine_mac(const struct machine_description *d, unsigned index, uint8_t mac[6],
                       struct error *error)
{
    const char *given = d->interfaces[index].mac;
    uint32_t hash = 2166136261u; /* FNV-1a */
    char rest;

    if (given) {
        if (sscanf(given, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%c", &mac[0], &mac[1], &mac[2],
                   &mac[3], &mac[4], &mac[5], &rest) != 6 ||
            mac[0] & 1)
            return error_usage(error, "\"%s\" is not a network address such as 52:54:00:12:34:56",
                               given);
        return 0;
    }
    for (const char *p = d->name ? d->name : ""; *p; p++)
        hash = (hash ^ (uint8_t)*p) * 16777619u;
    /* No name has a zero byte, so no interface of another machine's is made from the same. */
    if (index)
        hash = (hash * 16777619u ^ index) * 16777619u;
    mac[0] = 0x52;
    mac[1] = 0x54;
    mac[2] = 0x00;
    mac[3] = (uint8_t)(hash >> 16);
    mac[4] = (uint8_t)(hash >> 8);
    mac[5] = (uint8_t)hash;
    return 0;
}

static int machine_join_network(struct machine *machine, unsigned index, struct net **net,
                                struct error *error)
{
    const struct machine_description *d = &machine->description;
    struct net_switch_options options = {.machine = d->name, .index = index};
    char *directory;
    int r = machine_mac(d, index, options.mac, error);

    if (r)
        return r;
    if (!d->networks)
        return error_set(error, EINVAL, "no directory for network \"%s\"",
                         d->interfaces[index].name);
    if (asprintf(&directory, "%s/%s", d->networks, d->interfaces[index].name) < 0)
        return error_set(error, ENOMEM, "cannot join network \"%s\": out of memory",
                         d->interfaces[index].name);
    options.directory = directory;
    r = net_switch_new(net, machine->loop, &options, machine->log, error);
    free(directory);
    return r;
}

static void network_lost(void *ctx)
{
    struct machine *machine = ctx;

    if (machine->events.network_lost)
        machine->events.network_lost(machine->events.ctx);
}

static int machine_open_user_network(struct machine *machine, struct net **net, struct error *error)
{
    const struct machine_description *d = &machine->description;
    const struct net_user_options options = {.forwards = d->forwards,
                                             .forward_count = d->forward_count,
                                             .hostname = d->name,
                                             .guard = machine_guard(machine),
                                             .lost = network_lost,
                                             .ctx = machine};

    return net_user_new(net, machine->loop, &options, machine->log, error);
}

static int machine_open_back_end(struct machine *machine, unsigned index, struct net **net,
                                 struct error *error)
{
    const struct machine_description *d = &machine->description;

    switch (d->interfaces[index].kind) {
    case MACHINE_NET_USER:
        return machine_open_user_network(machine, net, error);
    case MACHINE_NET_TAP:
        return net_tap_new(net, machine->loop, d->interfaces[index].tap, machine->log, error);
    case MACHINE_NET_NAMED:
        return machine_join_network(machine, index, net, error);
    case MACHINE_NET_NONE:
        break;
    }
    return 0;
}

/* Always with the stage for limits, which may come while it runs. */
static int machine_open_interface(struct machine *machine, unsigned index, struct error *error)
{
    struct net *back_end = NULL;
    int r = machine_open_back_end(machine, index, &back_end, error);

    if (!r && back_end && net_limit_new(&machine->nets[index], back_end))
        r = error_set(error, ENOMEM, "cannot make the network: out of memory");
    return r;
}

static int machine_open_networks(struct machine *machine, struct error *error)
{
    int r = 0;

    for (unsigned i = 0; !r && i < machine->description.interface_count; i++)
        r = machine_open_interface(machine, i, error);
    return r;
}

static int machine_open_agent(struct machine *machine, struct error *error)
{
    const struct stream_socket_options options = {.shared = false};
    const char *path = machine->description.agent;
    int listener, r;

    if (!path)
        return 0;
    listener = unix_socket_listen(path, AGENT_BACKLOG);
    if (listener == -EADDRINUSE)
        return error_set(error, EADDRINUSE,
                         "cannot make the agent's socket \"%s\": it is there already and in use; "
                         "choose another path",
                         path);
    if (listener < 0)
        return error_set(error, -listener, "cannot make the agent's socket \"%s\": %s", path,
                         error_words(-listener));
    r = stream_socket_new(&machine->agent, machine->loop, listener, &options, error);
    if (r)
        unlink(path);
    return r;
}

static int machine_open_sockets(struct machine *machine, struct error *error)
{
    const struct machine_description *d = &machine->description;

    return d->vsock ? vsock_unix_new(&machine->vsock, machine->loop, d->vsock, machine->log, error)
                    : 0;
}

static int machine_build_board(struct machine *machine, struct stream *console, struct error *error)
{
    const struct machine_description *d = &machine->description;
    struct riscv_hart *harts[MACHINE_CPUS_MAX];
    struct virt_config config = {
        .memory = machine->memory,
        .ram_size = description_memory_built(d),
        .harts = harts,
        .hart_count = machine->cpu_count,
        .loop = machine->loop,
        .clock = &machine->clock,
        .log = machine->log,
        .serial = d->virtio_console ? NULL : console,
        .finish = board_finish,
        .finish_ctx = machine,
        .ram_more = description_memory_more(d),
        .still = machine_still,
        .memory_changed = machine_review_memory,
        .memory_ctx = machine,
    };
    unsigned slot = 0;
    int r;

    for (unsigned i = 0; i < machine->cpu_count; i++)
        harts[i] = &machine->cpus[i].hart;
    for (unsigned i = 0; i < d->disk_count; i++)
        config.slots[slot++] = (struct virt_slot){.kind = VIRT_SLOT_BLOCK,
                                                  .block = machine->blocks[i],
                                                  .serial = d->disks[i].serial};
    for (unsigned i = 0; i < d->interface_count; i++) {
        if (!machine->nets[i])
            continue;
        r = machine_mac(d, i, config.slots[slot].mac, error);
        if (r)
            return r;
        config.slots[slot].kind = VIRT_SLOT_NET;
        config.slots[slot++].net = machine->nets[i];
    }
    config.slots[slot++].kind = VIRT_SLOT_RNG;
    if (d->virtio_console) {
        config.slots[slot].kind = VIRT_SLOT_CONSOLE;
        config.slots[slot++].console = console;
    }
    config.slots[slot++].kind = VIRT_SLOT_BALLOON;
    if (config.ram_more)
        config.slots[slot++].kind = VIRT_SLOT_MEM;
    if (machine->agent) {
        config.slots[slot].kind = VIRT_SLOT_PORTS;
        config.slots[slot].ports[0] = (struct virtio_serial_port){.name = AGENT_PORT,
                                                                  .stream = machine->agent,
                                                                  .held_open = true};
        config.slots[slot++].port_count = 1;
    }
    if (machine->vsock)
        config.slots[slot++] = (struct virt_slot){.kind = VIRT_SLOT_VSOCK,
                                                  .vsock = machine->vsock,
                                                  .vsock_cid = d->vsock_cid};
    machine->handed_over = true;
    r = virt_new(&machine->board, &config, error);
    for (unsigned i = 0; i < machine->cpu_count && !r; i++)
        machine->cpus[i].timers = virt_timers(machine->board);
    return r;
}

/* The engine of `name`, beside the one that there may be. */
static int machine_make_engine(struct machine *machine, const char *name,
                               struct machine_engine *engine, struct error *error)
{
    struct engine_config config = {.memory = machine->memory,
                                   .cpu_count = machine->cpu_count,
                                   .log = machine->log,
                                   .profile = machine->profile,
                                   .library = machine->library,
                                   .guard = machine_guard(machine)};
    const struct engine_type *type;
    int r = machine_engine_find(name, &type, &config.options, error);

    return r ? r : machine_engine_make(engine, type, &config, machine->cpus, error);
}

static int machine_build_cpus(struct machine *machine, struct error *error)
{
    bool hosted = !machine->description.firmware;
    int r = machine_make_engine(machine, machine->description.engine, &machine->engine, error);

    for (unsigned i = 0; !r && i < machine->cpu_count; i++) {
        machine->cpus[i].sbi = hosted ? &machine->sbi : NULL;
        machine->cpus[i].halted = hosted;
    }
    if (!r)
        machine_engine_attach(&machine->engine, machine->cpus);
    return r;
}

/* The CPUs as values: nothing runs yet, but wires can be led to them. */
static int machine_make_harts(struct machine *machine)
{
    const struct machine_description *d = &machine->description;

    machine->cpu_count = d->cpus_max ? d->cpus_max : d->cpus;
    machine->cpus = calloc(machine->cpu_count, sizeof(*machine->cpus));
    machine->sbi_harts = calloc(machine->cpu_count, sizeof(*machine->sbi_harts));
    if (!machine->cpus || !machine->sbi_harts)
        return -ENOMEM;
    machine->throttle.cpus = machine->cpus;
    machine->throttle.count = machine->cpu_count;
    machine->platform = (struct riscv_platform){
        .time = hart_time,
        .set_stimecmp = hart_set_stimecmp,
        .entropy = hart_entropy,
        .ctx = machine,
    };
    machine->sbi_host = (struct sbi_host){
        .flush_tlb = sbi_flush_tlb,
        .flush_code = sbi_flush_code,
        .console_put = sbi_console_put,
        .console_get = sbi_console_get,
        .reset = sbi_reset,
        .read_virtual = sbi_read_virtual,
        .ctx = machine,
    };
    for (unsigned i = 0; i < machine->cpu_count; i++) {
        struct vcpu *vcpu = &machine->cpus[i];

        vcpu->index = i;
        vcpu->gate = &machine->gate;
        vcpu->firmware_fault = cpu_lost;
        vcpu->stop = cpu_stopped;
        vcpu->ctx = machine;
        vcpu->breakpoints = &machine->debug.breakpoints;
        vcpu->hart.id = i;
        vcpu->hart.address_bits = d->paging ? d->paging : 39;
        vcpu->hart.platform = &machine->platform;
        vcpu->hart.hosted_firmware = !d->firmware;
        machine->sbi_harts[i].hart = &vcpu->hart;
    }
    return 0;
}

/* Linux does not try at boot to start CPUs that it may not have ("maxcpus", kernel-parameters of
 * its documentation); others are refused them. Memory that is plugged is for what can be moved
 * ("memhp_default_state"), so that it can be unplugged again; what the user says comes behind, and
 * counts. The caller frees it; NULL: no memory. */
static char *boot_append(const struct machine *machine)
{
    const struct machine_description *d = &machine->description;
    bool fewer = d->cpus < machine->cpu_count, more = description_memory_more(d);
    char cpus[24] = "", *text;

    if (fewer)
        snprintf(cpus, sizeof(cpus), " maxcpus=%u", d->cpus);
    if (asprintf(&text, "%s%s%s", more ? "memhp_default_state=online_movable " : "",
                 d->append ? d->append : "", cpus) < 0)
        return NULL;
    return text;
}

static int machine_open_boot(struct machine *machine, struct error *error)
{
    const struct machine_description *d = &machine->description;
    int r = d->firmware ? boot_open(&machine->firmware, d->firmware, error) : 0;

    if (!r && d->kernel)
        r = boot_open(&machine->kernel, d->kernel, error);
    if (!r && d->initrd)
        r = boot_open(&machine->initrd, d->initrd, error);
    return r;
}

/* Puts the guest's software in place and the harts at its start. No CPU runs. */
static int machine_load(struct machine *machine, struct error *error)
{
    const struct machine_description *d = &machine->description;
    char *append = d->kernel ? boot_append(machine) : NULL;
    const struct virt_boot boot = {
        .firmware = machine->firmware.fd < 0 ? NULL : &machine->firmware,
        .kernel = machine->kernel.fd < 0 ? NULL : &machine->kernel,
        .initrd = machine->initrd.fd < 0 ? NULL : &machine->initrd,
        .append = append,
    };
    struct virt_entry entry;
    int r = d->kernel && !append ? error_set(error, ENOMEM, "cannot boot: out of memory")
                                 : virt_load(machine->board, &boot, &entry, error);

    free(append);
    if (r)
        return r;
    if (!d->firmware)
        sbi_reset_harts(&machine->sbi, entry.pc, entry.a1);
    for (unsigned i = 0; i < machine->cpu_count; i++) {
        atomic_store(&machine->cpus[i].hart.soft, 0);
        riscv_hart_reset(&machine->cpus[i].hart, entry.pc, entry.a1);
        machine->engine.type->state_in(machine->cpus[i].cpu);
        machine->engine.type->forget(machine->cpus[i].cpu); /* of memory that was unplugged */
    }
    return 0;
}

static void machine_serve(void *ctx);
static void machine_hold(void *ctx, bool held);
static void machine_debug_serve(void *ctx);
static void machine_reload(void *ctx);

static int description_copy(struct machine_description *to, const struct machine_description *from)
{
    int r = 0;

    *to = *from;
    to->name = to->engine = to->profile = to->firmware = to->kernel = to->initrd = NULL;
    to->library = to->new_library = NULL;
    to->append = to->networks = to->agent = to->vsock = NULL;
    for (unsigned i = 0; i < from->disk_count; i++)
        to->disks[i].path = to->disks[i].serial = NULL;
    for (unsigned i = 0; i < from->interface_count; i++)
        to->interfaces[i].name = to->interfaces[i].tap = to->interfaces[i].mac = NULL;
    r = r ? r : description_set(&to->name, from->name);
    r = r ? r : description_set(&to->engine, from->engine);
    r = r ? r : description_set(&to->profile, from->profile);
    r = r ? r : description_set(&to->library, from->library);
    r = r ? r : description_set(&to->new_library, from->new_library);
    r = r ? r : description_set(&to->firmware, from->firmware);
    r = r ? r : description_set(&to->kernel, from->kernel);
    r = r ? r : description_set(&to->initrd, from->initrd);
    r = r ? r : description_set(&to->append, from->append);
    r = r ? r : description_set(&to->networks, from->networks);
    r = r ? r : description_set(&to->agent, from->agent);
    r = r ? r : description_set(&to->vsock, from->vsock);
    for (unsigned i = 0; i < from->disk_count; i++) {
        r = r ? r : description_set(&to->disks[i].path, from->disks[i].path);
        r = r ? r : description_set(&to->disks[i].serial, from->disks[i].serial);
    }
    for (unsigned i = 0; i < from->interface_count; i++) {
        r = r ? r : description_set(&to->interfaces[i].name, from->interfaces[i].name);
        r = r ? r : description_set(&to->interfaces[i].tap, from->interfaces[i].tap);
        r = r ? r : description_set(&to->interfaces[i].mac, from->interfaces[i].mac);
    }
    return r;
}

static int machine_build(struct machine *machine, struct stream *console, struct error *error)
{
    int r = address_space_new(&machine->memory);

    if (!r && machine->description.merge)
        memory_make_mergeable(machine->memory);
    r = r ? r : machine_make_harts(machine);
    if (r)
        return error_set(error, -r, "cannot make the machine: %s", error_words(-r));
    sbi_init(&machine->sbi, machine->sbi_harts, machine->cpu_count, machine->memory,
             &machine->sbi_host);
    sbi_set_limit(&machine->sbi, machine->description.cpus);
    /* First: the user network's process is to know of nothing else. */
    r = machine_open_networks(machine, error);
    r = r ? r : machine_open_disks(machine, error);
    r = r ? r : machine_open_agent(machine, error);
    r = r ? r : machine_open_sockets(machine, error);
    if (!r)
        limits_apply(&machine->description.limits, machine->blocks, machine->nets);
    r = r ? r : machine_build_board(machine, console, error);
    /* Without memory for one there is none, which is told when it is to be loaded. */
    if (!r && (machine->description.profile || machine->description.new_library) &&
        profile_new(&machine->profile))
        machine->profile = NULL;
    machine_open_library(machine);
    r = r ? r : machine_open_new_library(machine, error);
    r = r ? r : machine_build_cpus(machine, error);
    debug_init(&machine->debug, machine->cpus, machine->cpu_count, machine->memory);
    return r ? r : machine_open_boot(machine, error);
}

int machine_prepare(struct machine *machine, struct error *error)
{
    int r = machine->prepared ? 0 : machine_load(machine, error);

    if (r || machine->prepared)
        return r;
    machine_load_profile(machine);
    machine->prepared = true;
    if (machine->stopped)
        debug_begin(&machine->debug);
    return 0;
}

int machine_new(struct machine **out, const struct machine_description *description,
                struct loop *loop, struct stream *console, const struct machine_events *events,
                const struct log *log, struct error *error)
{
    const struct engine_type *type;
    const char *options;
    struct machine *machine;
    int r = description_check(description, error);

    /* Before anything is opened. */
    r = r ? r : machine_engine_find(description->engine, &type, &options, error);
    if (r)
        return r;
    machine = calloc(1, sizeof(*machine));
    if (!machine)
        return error_set(error, ENOMEM, "cannot make the machine: out of memory");
    mutex_init(&machine->lock);
    vcpu_gate_init(&machine->gate);
    clock_init(&machine->clock);
    clock_pause(&machine->clock);
    deferred_init(&machine->serve, machine_serve, machine);
    deferred_init(&machine->debug_serve, machine_debug_serve, machine);
    timer_init(&machine->reload, loop, machine_reload, machine);
    throttle_init(&machine->throttle, loop, machine_hold, machine);
    machine->firmware.fd = machine->kernel.fd = machine->initrd.fd = -1;
    machine->new_library = -1;
    machine->loop = loop;
    machine->log = log;
    machine->events = *events;
    machine->guard = (struct thread_guard){events->thread_begins, events->ctx};
    machine->memory_most = machine->memory_size = description->memory;
    if (description_copy(&machine->description, description))
        r = error_set(error, ENOMEM, "cannot make the machine: out of memory");
    else
        r = machine_build(machine, console, error);
    if (r) {
        machine_free(machine);
        return r;
    }
    machine_review_memory(machine);
    *out = machine;
    return 0;
}

void machine_free(struct machine *machine)
{
    if (!machine)
        return;
    if (machine->cpus)
        vcpu_gate_end(&machine->gate, machine->cpus, machine->cpu_count);
    loop_unpost(machine->loop, &machine->serve);
    loop_unpost(machine->loop, &machine->debug_serve);
    timer_cancel(&machine->reload);
    throttle_release(&machine->throttle);
    virt_free(machine->board);
    if (machine->agent) {
        stream_free(machine->agent);
        unlink(machine->description.agent);
    }
    if (!machine->handed_over) {
        for (unsigned i = 0; i < MACHINE_NETS_MAX; i++)
            net_free(machine->nets[i]);
        vsock_free(machine->vsock);
        for (unsigned i = 0; i < MACHINE_DISKS_MAX; i++)
            block_close(machine->blocks[i]);
    }
    machine_engine_release(&machine->engine);
    boot_close(&machine->firmware);
    boot_close(&machine->kernel);
    boot_close(&machine->initrd);
    profile_free(machine->profile);
    library_close(machine->library);
    if (machine->new_library >= 0)
        close(machine->new_library);
    address_space_free(machine->memory);
    free(machine->cpus);
    free(machine->sbi_harts);
    description_release(&machine->description);
    vcpu_gate_release(&machine->gate);
    mutex_release(&machine->lock);
    free(machine);
}

/* ---- life ---- */

int machine_start(struct machine *machine, struct error *error)
{
    int r = machine_prepare(machine, error);

    if (r)
        return r;
    for (unsigned i = 0; i < machine->cpu_count; i++) {
        r = machine->cpus[i].started
                ? 0
                : vcpu_start(&machine->cpus[i], machine->description.name, machine_guard(machine));

        if (r) {
            vcpu_gate_end(&machine->gate, machine->cpus, machine->cpu_count);
            return error_set(error, -r, "cannot start cpu %u of %u: %s", i, machine->cpu_count,
                             error_words(-r));
        }
    }
    machine->state = MACHINE_PAUSED;
    machine_resume(machine);
    return 0;
}

static bool machine_has_stopped_cpu(const struct machine *machine)
{
    for (unsigned i = 0; i < machine->cpu_count; i++)
        if (atomic_load(&machine->cpus[i].stopped) != VCPU_STOP_NONE)
            return true;
    return false;
}

/* What a CPU asked for before it parked is answered first, by machine_serve(): no CPU may execute
 * anything behind a power-off. Likewise a stop that the debugger is to be told of, by
 * machine_debug_serve(). */
void machine_open_gate(struct machine *machine)
{
    bool asked;

    mutex_lock(&machine->lock);
    asked = machine->request != REQUEST_NONE;
    mutex_unlock(&machine->lock);
    asked |= machine_has_stopped_cpu(machine);
    if (!asked)
        vcpu_gate_open(&machine->gate, machine->cpus, machine->cpu_count);
}

/* The throttle's. A machine that stands still for another reason is left alone: machine_go() asks
 * the throttle when it ends. */
static void machine_hold(void *ctx, bool held)
{
    struct machine *machine = ctx;

    if (machine->state != MACHINE_RUNNING)
        return;
    if (held)
        vcpu_gate_close(&machine->gate, machine->cpus, machine->cpu_count);
    else
        machine_open_gate(machine);
}

static void machine_halt(struct machine *machine)
{
    if (machine->state != MACHINE_RUNNING)
        return;
    throttle_run(&machine->throttle, false);
    vcpu_gate_close(&machine->gate, machine->cpus, machine->cpu_count);
    clock_pause(&machine->clock);
    machine->state = MACHINE_PAUSED;
}

void machine_pause(struct machine *machine)
{
    machine->paused |= machine->state == MACHINE_RUNNING || machine->state == MACHINE_PAUSED;
    machine_halt(machine);
}

/* From paused. */
static void machine_go(struct machine *machine)
{
    clock_resume(&machine->clock);
    virt_rearm(machine->board);
    machine->state = MACHINE_RUNNING;
    machine_open_gate(machine);
    throttle_run(&machine->throttle, true);
}

void machine_resume(struct machine *machine)
{
    if (machine->state != MACHINE_PAUSED)
        return;
    machine->paused = false;
    for (unsigned i = 0; i < machine->description.disk_count; i++)
        block_resume(machine->blocks[i]);
    /* A guest that asked for a reboot must not go on in its old memory: machine_reload() resumes,
     * once the requests that the disks were asked for again have come back. */
    if (machine->reloading || machine->stopped)
        return;
    machine_go(machine);
}

/* No CPU runs. Takes the engine over. */
static void machine_replace_engine(struct machine *machine, const struct machine_engine *engine)
{
    struct machine_engine *old = &machine->engine;

    for (unsigned i = 0; i < machine->cpu_count; i++)
        old->type->state_out(machine->cpus[i].cpu);
    machine_engine_count(old, &machine->counted);
    machine_engine_release(old);
    machine->engine = *engine;
    machine_engine_attach(&machine->engine, machine->cpus);
    for (unsigned i = 0; i < machine->cpu_count; i++)
        machine->engine.type->state_in(machine->cpus[i].cpu);
}

int machine_switch_engine(struct machine *machine, const char *name, struct error *error)
{
    bool runs = machine->state == MACHINE_RUNNING;
    struct machine_engine engine;
    int r;

    if (machine->state == MACHINE_ENDED)
        return error_set(error, EINVAL, "cannot change the engine: the machine has ended");
    machine_halt(machine);
    /* The old one stays until there is a new one. */
    r = machine_make_engine(machine, name, &engine, error);
    if (!r && debug_arm(&machine->debug, &engine)) {
        machine_engine_release(&engine);
        r = error_set(error, ENOSPC, "too many breakpoints for \"%s\"", name);
    }
    if (r)
        error_wrap(error, "cannot change the engine");
    else
        machine_replace_engine(machine, &engine);
    if (runs)
        machine_go(machine);
    return r;
}

const char *machine_engine_name(const struct machine *machine)
{
    return machine->engine.type->name;
}

static void machine_end(struct machine *machine, enum machine_end why, int status)
{
    machine->state = MACHINE_ENDED;
    throttle_run(&machine->throttle, false);
    vcpu_gate_end(&machine->gate, machine->cpus, machine->cpu_count);
    machine_save_profile(machine);
    machine_save_library(machine);
    if (machine->events.ended)
        machine->events.ended(machine->events.ctx, why, status);
}

void machine_stop(struct machine *machine)
{
    if (machine->state != MACHINE_ENDED)
        machine_end(machine, MACHINE_STOPPED, 0);
}

/* The devices were reset; once the last request under way has come back, the guest starts anew. */
static void machine_reload(void *ctx)
{
    struct machine *machine = ctx;
    struct error error = ERROR_INIT;

    if (machine->state != MACHINE_PAUSED)
        return;
    if (!virt_is_idle(machine->board)) {
        timer_set(&machine->reload, monotonic_ns() + RELOAD_RETRY_NS);
        return;
    }
    if (machine_load(machine, &error)) {
        log_say(machine->log, LOG_ERROR, "cannot boot again: %s",
                error.message ? error.message : "out of memory");
        error_release(&error);
        machine_end(machine, MACHINE_FAILED, 1);
        return;
    }
    machine->reloading = false;
    if (machine->stopped)
        debug_begin(&machine->debug);
    if (machine->events.rebooted)
        machine->events.rebooted(machine->events.ctx);
    machine_resume(machine);
}

static void machine_reboot(struct machine *machine)
{
    machine_halt(machine);
    machine->reloading = true;
    virt_reset(machine->board);
    machine_reload(machine);
}

/* Does what a CPU asked for by machine_ask(). */
static void machine_serve(void *ctx)
{
    struct machine *machine = ctx;
    enum machine_request request;
    int status;

    mutex_lock(&machine->lock);
    request = machine->request;
    status = machine->request_status;
    mutex_unlock(&machine->lock);
    if (request == REQUEST_NONE || machine->state == MACHINE_ENDED)
        return;
    vcpu_gate_close(&machine->gate, machine->cpus, machine->cpu_count);
    /* Only now: every CPU is parked, so nobody asks for the same thing again. */
    mutex_lock(&machine->lock);
    machine->request = REQUEST_NONE;
    mutex_unlock(&machine->lock);
    switch (request) {
    case REQUEST_REBOOT:
        machine_reboot(machine);
        break;
    case REQUEST_FAULT:
        machine_end(machine, MACHINE_FAILED, status);
        break;
    case REQUEST_POWER_OFF:
    case REQUEST_NONE:
        machine_end(machine, status ? MACHINE_FAILED : MACHINE_POWER_OFF, status);
        break;
    }
}

/* ---- a debugger ---- */

struct debug *machine_debug_stop(struct machine *machine)
{
    if (machine->state == MACHINE_ENDED)
        return NULL;
    if (machine->stopped)
        return &machine->debug;
    machine->stopped = true;
    machine_halt(machine);
    debug_begin(&machine->debug);
    return &machine->debug;
}

void machine_debug_resume(struct machine *machine, const enum debug_action *actions)
{
    if (!machine->stopped || machine->state == MACHINE_ENDED)
        return;
    for (unsigned i = 0; i < machine->cpu_count; i++) {
        struct vcpu *vcpu = &machine->cpus[i];

        vcpu_gate_hold(&machine->gate, vcpu, actions[i] == DEBUG_HOLD);
        vcpu->step = actions[i] == DEBUG_STEP;
        vcpu->due = actions[i] != DEBUG_HOLD;
        /* One that was not told is met again, if it is still there then. */
        atomic_store(&vcpu->stopped, VCPU_STOP_NONE);
    }
    machine->stopped = false;
    if (machine->state == MACHINE_PAUSED && !machine->paused && !machine->reloading)
        machine_go(machine);
}

void machine_debug_listen(struct machine *machine, const struct debug_events *events)
{
    machine->debug_events = events ? *events : (struct debug_events){0};
}

/* A CPU stopped by itself. Of several, one is told: a step before a breakpoint, since a step is
 * what was asked for; else they take turns, since the others meet theirs again as soon as they go
 * on, and one that is near its next breakpoint would keep them there for good. */
static void machine_debug_serve(void *ctx)
{
    struct machine *machine = ctx;
    struct vcpu *told = NULL;

    if (machine->state == MACHINE_ENDED || machine->stopped || !machine_has_stopped_cpu(machine))
        return;
    /* First, so that all are seen. */
    machine_debug_stop(machine);
    for (unsigned i = 1; i <= machine->cpu_count; i++) {
        struct vcpu *vcpu = &machine->cpus[(machine->debug_told + i) % machine->cpu_count];
        enum vcpu_stop stopped = atomic_load(&vcpu->stopped);

        if (stopped != VCPU_STOP_NONE && (!told || stopped == VCPU_STOP_STEPPED))
            told = vcpu;
    }
    BUG_ON(!told);
    machine->debug_told = told->index;
    told->over = true;
    told->over_pc = told->hart.pc;
    if (machine->debug_events.stopped)
        machine->debug_events.stopped(machine->debug_events.ctx, told->index,
                                      atomic_load(&told->stopped) == VCPU_STOP_STEPPED
                                          ? DEBUG_STEPPED
                                          : DEBUG_BREAKPOINT);
}

const void *machine_device_tree(const struct machine *machine, uint32_t *size)
{
    return virt_tree(machine->board, size);
}
