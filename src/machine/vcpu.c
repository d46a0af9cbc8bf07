/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/vcpu.h"

#include <stdio.h>

#include "device/aclint.h"

/* ---- the timer interrupt ---- */

/* First the note and then the timer: when that comes between, it takes the note back, and is set
 * once more for nothing. */
static void vcpu_set_alarm(struct vcpu *vcpu, uint64_t at_ns)
{
    if (at_ns >= atomic_load(&vcpu->alarm_set_ns))
        return; /* also: never */
    atomic_store(&vcpu->alarm_set_ns, at_ns);
    alarm_set(&vcpu->alarm, at_ns);
}

/* In a handler, wherever the thread is. */
static void vcpu_alarm_reached(void *ctx)
{
    struct vcpu *vcpu = ctx;
    unsigned jumps;
    uint64_t at_ns;

    atomic_store(&vcpu->alarm_set_ns, UINT64_MAX);
    riscv_hart_timer_tick(&vcpu->hart);
    /* Too early, when the deadline was put off since. */
    at_ns = aclint_when(vcpu->timers, riscv_hart_deadline(&vcpu->hart), &jumps);
    if (at_ns)
        vcpu_set_alarm(vcpu, at_ns);
}

bool vcpu_set_deadline(struct vcpu *vcpu, uint64_t deadline)
{
    uint64_t at_ns;
    unsigned jumps;

    if (!atomic_load_explicit(&vcpu->has_alarm, memory_order_acquire) ||
        !pthread_equal(vcpu->self, pthread_self()))
        return false;
    /* One that is past is seen by who set it, next. */
    do {
        at_ns = aclint_when(vcpu->timers, deadline, &jumps);
        if (at_ns)
            vcpu_set_alarm(vcpu, at_ns);
    } while (!aclint_leave_stimecmp(vcpu->timers, vcpu->index, deadline, jumps));
    return true;
}

static void vcpu_begin_alarm(struct vcpu *vcpu)
{
    atomic_store(&vcpu->alarm_set_ns, UINT64_MAX);
    vcpu->self = pthread_self();
    if (vcpu->timers && !alarm_begin(&vcpu->alarm, vcpu_alarm_reached, vcpu))
        atomic_store_explicit(&vcpu->has_alarm, true, memory_order_release);
}

static void vcpu_end_alarm(struct vcpu *vcpu)
{
    if (atomic_exchange(&vcpu->has_alarm, false))
        alarm_end(&vcpu->alarm);
}

/* ---- the gate ---- */

void vcpu_gate_init(struct vcpu_gate *gate)
{
    mutex_init(&gate->lock);
    condition_init(&gate->changed);
    condition_init(&gate->all_parked);
    mutex_lock(&gate->lock);
    gate->state = VCPU_GATE_CLOSED;
    gate->parked = 0;
    mutex_unlock(&gate->lock);
    atomic_init(&gate->shut, true);
}

void vcpu_gate_release(struct vcpu_gate *gate)
{
    condition_release(&gate->all_parked);
    condition_release(&gate->changed);
    mutex_release(&gate->lock);
}

static void vcpu_gate_set_locked(struct vcpu_gate *gate, enum vcpu_gate_state state)
    REQUIRES(gate->lock)
{
    if (gate->state != VCPU_GATE_ENDED)
        gate->state = state;
    atomic_store(&gate->shut, gate->state != VCPU_GATE_OPEN);
    condition_broadcast(&gate->changed);
}

static void vcpu_gate_set(struct vcpu_gate *gate, enum vcpu_gate_state state)
{
    mutex_lock(&gate->lock);
    vcpu_gate_set_locked(gate, state);
    mutex_unlock(&gate->lock);
}

static void vcpus_kick(struct vcpu *cpus, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (!cpus[i].cpu)
            continue; /* a machine that failed to be built is taken apart */
        cpus[i].engine->kick(cpus[i].cpu);
        cpu_signal_raise(&cpus[i].hart.signal); /* one that sleeps in the guest's wfi */
    }
}

void vcpu_gate_open(struct vcpu_gate *gate, struct vcpu *cpus, unsigned count)
{
    mutex_lock(&gate->lock);
    /* At once with the CPUs: one that woke up between would park again and be forgotten. */
    vcpu_gate_set_locked(gate, VCPU_GATE_OPEN);
    for (unsigned i = 0; i < count; i++)
        if (cpus[i].parked && !cpus[i].held) {
            cpus[i].parked = false;
            gate->parked--;
        }
    mutex_unlock(&gate->lock);
}

void vcpu_gate_shut(struct vcpu_gate *gate, struct vcpu *cpus, unsigned count)
{
    vcpu_gate_set(gate, VCPU_GATE_CLOSED);
    vcpus_kick(cpus, count);
}

void vcpu_gate_close(struct vcpu_gate *gate, struct vcpu *cpus, unsigned count)
{
    unsigned started = 0;

    for (unsigned i = 0; i < count; i++)
        started += cpus[i].started;
    vcpu_gate_shut(gate, cpus, count);
    mutex_lock(&gate->lock);
    while (gate->parked < started)
        condition_wait(&gate->all_parked, &gate->lock);
    mutex_unlock(&gate->lock);
}

void vcpu_gate_hold(struct vcpu_gate *gate, struct vcpu *vcpu, bool held)
{
    mutex_lock(&gate->lock);
    vcpu->held = held;
    mutex_unlock(&gate->lock);
}

void vcpu_gate_end(struct vcpu_gate *gate, struct vcpu *cpus, unsigned count)
{
    vcpu_gate_set(gate, VCPU_GATE_ENDED);
    vcpus_kick(cpus, count);
    for (unsigned i = 0; i < count; i++)
        if (cpus[i].started) {
            pthread_join(cpus[i].thread, NULL);
            cpus[i].started = false;
        }
}

/* Sleeps while the gate is closed. False: the thread is to end. */
static bool vcpu_park(struct vcpu *vcpu)
{
    struct vcpu_gate *gate = vcpu->gate;
    bool ended;

    mutex_lock(&gate->lock);
    if (gate->state == VCPU_GATE_CLOSED || (gate->state == VCPU_GATE_OPEN && vcpu->held)) {
        vcpu->parked = true;
        gate->parked++;
        condition_broadcast(&gate->all_parked);
        while (vcpu->parked && gate->state != VCPU_GATE_ENDED)
            condition_wait(&gate->changed, &gate->lock);
    }
    ended = gate->state == VCPU_GATE_ENDED;
    mutex_unlock(&gate->lock);
    /* A reset may have happened meanwhile. A hart that was suspended or in wfi goes on, which it
     * may do at any time. */
    vcpu->halted = vcpu->sbi != NULL;
    return !ended;
}

static void vcpu_wait(struct vcpu *vcpu)
{
    vcpu->engine->idle(vcpu->cpu);
    /* Consume, then look: what is raised after the look ends the sleep at once. */
    cpu_signal_consume(&vcpu->hart.signal);
    if (!riscv_hart_has_interrupt(&vcpu->hart) && !atomic_load(&vcpu->gate->shut))
        cpu_signal_wait(&vcpu->hart.signal);
}

static void vcpu_firmware(struct vcpu *vcpu)
{
    vcpu->engine->state_out(vcpu->cpu);
    if (vcpu->hart.mcause != RISCV_EXC_ECALL_S) {
        /* Everything else is delegated, so this is a hart that lost its way. */
        vcpu->firmware_fault(vcpu->ctx, vcpu->index, vcpu->hart.mcause);
        vcpu->halted = true;
        return;
    }
    switch (sbi_call(vcpu->sbi, vcpu->index)) {
    case SBI_NEXT_RUN:
        break;
    case SBI_NEXT_WAIT:
        while (!vcpu->step && !riscv_hart_has_interrupt(&vcpu->hart) &&
               !atomic_load(&vcpu->gate->shut))
            vcpu_wait(vcpu);
        vcpu->halted = true; /* sbi_begin() takes it out of its suspended state */
        break;
    case SBI_NEXT_HALT:
        vcpu->halted = true;
        break;
    }
    vcpu->engine->state_in(vcpu->cpu);
}

/* Executes nothing more until the debugger says so. */
static void vcpu_stop(struct vcpu *vcpu, enum vcpu_stop why)
{
    vcpu->due = false;
    atomic_store(&vcpu->stopped, why);
    vcpu->stop(vcpu->ctx);
}

/* What run() does not look at: a breakpoint at the place where it begins. The guest may have come
 * there by a call to the firmware, after a wait, or just when another thread wanted it to park. */
static bool vcpu_meets_breakpoint(struct vcpu *vcpu)
{
    const struct vcpu_breakpoints *points = vcpu->breakpoints;

    if (likely(!points->count))
        return false;
    vcpu->engine->state_out(vcpu->cpu);
    if (vcpu->step || (vcpu->over && vcpu->over_pc == vcpu->hart.pc))
        return false;
    for (unsigned i = 0; i < points->count; i++)
        if (points->address[i] == vcpu->hart.pc)
            return true;
    return false;
}

static void vcpu_run(struct vcpu *vcpu)
{
    enum cpu_stop stop;

    if (vcpu_meets_breakpoint(vcpu)) {
        vcpu_stop(vcpu, VCPU_STOP_BREAKPOINT);
        return;
    }
    stop = vcpu->engine->run(vcpu->cpu, vcpu->step || vcpu->due);
    /* A kick may have come before the first instruction. */
    if (stop != CPU_STOP_KICK)
        vcpu->over = vcpu->due = false;
    switch (stop) {
    case CPU_STOP_WAIT:
        if (!vcpu->step)
            vcpu_wait(vcpu);
        break;
    case CPU_STOP_FIRMWARE:
        vcpu_firmware(vcpu);
        break;
    case CPU_STOP_BREAKPOINT:
        vcpu_stop(vcpu, VCPU_STOP_BREAKPOINT);
        return;
    case CPU_STOP_KICK:
        return;
    case CPU_STOP_LIMIT:
        break;
    }
    if (vcpu->step)
        vcpu_stop(vcpu, VCPU_STOP_STEPPED);
}

static void vcpu_live(struct vcpu *vcpu)
{
    for (;;) {
        if (atomic_load(&vcpu->gate->shut) && !vcpu->due) {
            /* Another thread may give the CPU another engine meanwhile. */
            vcpu->engine->leave(vcpu->cpu);
            if (!vcpu_park(vcpu))
                return;
            vcpu->engine->state_in(vcpu->cpu);
            continue;
        }
        if (vcpu->halted) {
            cpu_signal_consume(&vcpu->hart.signal);
            if (sbi_begin(vcpu->sbi, vcpu->index) == SBI_NEXT_HALT) {
                vcpu->due = false;
                if (vcpu->step) { /* there is no instruction to make it with */
                    vcpu_stop(vcpu, VCPU_STOP_STEPPED);
                    continue;
                }
                if (!atomic_load(&vcpu->gate->shut))
                    cpu_signal_wait(&vcpu->hart.signal);
                continue;
            }
            vcpu->halted = false;
            vcpu->engine->state_in(vcpu->cpu);
        }
        vcpu_run(vcpu);
    }
}

static void *vcpu_main(void *arg)
{
    struct vcpu *vcpu = arg;

    vcpu_begin_alarm(vcpu);
    vcpu_live(vcpu);
    vcpu_end_alarm(vcpu);
    return NULL;
}

int vcpu_start(struct vcpu *vcpu, const char *machine_name, const struct thread_guard *guard)
{
    char name[16];
    int r;

    snprintf(name, sizeof(name), "cpu%u %.9s", vcpu->index, machine_name ? machine_name : "");
    r = thread_start_guarded(&vcpu->thread, guard, THREAD_CPU, name, vcpu_main, vcpu);
    vcpu->started = !r;
    return r;
}
