/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtual CPU: a host thread, a hart, and the engine's part of it. Inside machine/ only.
 *
 * The thread runs the guest while the machine is running and parks otherwise; parking is how the
 * machine is paused, reset, given another engine and ended. vcpu_gate is shared by all CPUs of a
 * machine:
 *
 *   open    -> CPUs run
 *   closed  -> each CPU leaves the guest, counts itself as parked and sleeps
 *   ended   -> each CPU's thread returns
 *
 * A debugger holds single CPUs back: they stay parked while the gate is open. A CPU that meets a
 * breakpoint, or has made its step, says so in `stopped` and then shuts the gate for all by calling
 * stop(); whoever would open the gate looks at `stopped` first.
 */
#ifndef HOSPES_MACHINE_VCPU_H
#define HOSPES_MACHINE_VCPU_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/alarm.h"
#include "base/thread.h"
#include "cpu/engine.h"
#include "cpu/riscv/hart.h"
#include "firmware/sbi.h"

/* Why a CPU stopped by itself, for the debugger. */
enum vcpu_stop { VCPU_STOP_NONE, VCPU_STOP_BREAKPOINT, VCPU_STOP_STEPPED };

#define VCPU_BREAKPOINTS 64

/* Of a machine; changed while all its CPUs are parked. */
struct vcpu_breakpoints {
    uint64_t address[VCPU_BREAKPOINTS]; /* guest-virtual */
    unsigned count;
};

enum vcpu_gate_state { VCPU_GATE_OPEN, VCPU_GATE_CLOSED, VCPU_GATE_ENDED };

struct vcpu_gate {
    struct mutex lock;
    struct condition changed; /* the state did */
    struct condition all_parked;
    enum vcpu_gate_state state GUARDED_BY(lock);
    unsigned parked GUARDED_BY(lock);
    /* A copy of state != OPEN for the CPU's loop; set before the kick. */
    _Atomic bool shut;
};

struct vcpu {
    unsigned index;
    struct riscv_hart hart;
    const struct engine_type *engine; /* changed while all are parked, as `cpu` is */
    struct engine_cpu *cpu;
    struct vcpu_gate *gate;
    struct sbi *sbi; /* NULL: the guest brought its own firmware */
    void (*firmware_fault)(void *ctx, unsigned index, uint64_t cause);
    void (*stop)(void *ctx); /* `stopped` was set; shuts the gate */
    void *ctx;
    pthread_t thread;
    bool started;
    /* The hart's timer interrupt, by the thread's own timer. Its thread only, handlers included. */
    struct aclint *timers; /* NULL: by the loop's timers, as when has_alarm is not set */
    struct alarm alarm;
    _Atomic bool has_alarm;        /* and `self` is set */
    _Atomic uint64_t alarm_set_ns; /* for when; UINT64_MAX: it is not */
    pthread_t self;
    bool halted; /* its thread only: asks sbi_begin() first */
    bool parked; /* under the gate's lock: until the gate opens, not until the thread wakes up */

    /* The debugger's; written while the CPU is parked, `held` also under the gate's lock. */
    const struct vcpu_breakpoints *breakpoints;
    bool held; /* stays parked while the gate is open */
    bool step; /* executes one instruction and stops */
    /* Executes one instruction before it parks again: of CPUs that go on together none may stop
     * the others before they have moved, or one that waits for another would never see it come. */
    bool due;
    bool over; /* goes on from over_pc, whose breakpoint was told already */
    uint64_t over_pc;
    _Atomic enum vcpu_stop stopped; /* set by the CPU's thread */
};

/* The hart's deadline is now `deadline`: to be told in this way on the CPU's own thread, while
 * it has a timer. False: neither. */
bool vcpu_set_deadline(struct vcpu *vcpu, uint64_t deadline) MUST_CHECK;

void vcpu_gate_init(struct vcpu_gate *gate); /* closed */
void vcpu_gate_release(struct vcpu_gate *gate);
/* Lets the CPUs run. */
void vcpu_gate_open(struct vcpu_gate *gate, struct vcpu *cpus, unsigned count);
/* Closes and returns when all `count` CPUs are parked. Never on a CPU's thread, and not while
 * another thread is in vcpu_gate_end(): CPUs that ended are parked no more. */
void vcpu_gate_close(struct vcpu_gate *gate, struct vcpu *cpus, unsigned count);
/* From a CPU's thread, or any: closes without waiting. */
void vcpu_gate_shut(struct vcpu_gate *gate, struct vcpu *cpus, unsigned count);
/* Whether the CPU, which is parked, stays so when the gate opens. */
void vcpu_gate_hold(struct vcpu_gate *gate, struct vcpu *vcpu, bool held);
/* Ends and joins the threads. */
void vcpu_gate_end(struct vcpu_gate *gate, struct vcpu *cpus, unsigned count);

/* Starts the thread, which parks at once. Returns 0 or -errno. */
int vcpu_start(struct vcpu *vcpu, const char *machine_name,
               const struct thread_guard *guard) MUST_CHECK;

#endif
