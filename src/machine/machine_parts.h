/* SPDX-License-Identifier: Apache-2.0 */
/* What machine.c and resources.c share. Nobody else includes it. */
#ifndef HOSPES_MACHINE_MACHINE_PARTS_H
#define HOSPES_MACHINE_MACHINE_PARTS_H

#include "base/clock.h"
#include "board/virt.h"
#include "cpu/library.h"
#include "cpu/profile.h"
#include "machine/engines.h"
#include "machine/machine.h"
#include "machine/throttle.h"
#include "machine/vcpu.h"

enum machine_state { MACHINE_BUILT, MACHINE_RUNNING, MACHINE_PAUSED, MACHINE_ENDED };

/* What the guest asked of the machine; the first request counts until it is served. */
enum machine_request { REQUEST_NONE, REQUEST_POWER_OFF, REQUEST_REBOOT, REQUEST_FAULT };

struct machine {
    struct machine_description description; /* a copy */
    struct loop *loop;
    const struct log *log;
    struct machine_events events;
    struct thread_guard guard; /* of all threads; enter() NULL: none */
    enum machine_state state;  /* loop's thread */
    bool prepared;             /* machine_prepare() */

    struct address_space *memory;
    struct clock clock;
    struct riscv_platform platform;
    struct machine_engine engine;
    struct engine_counters counted; /* by engines that it had before */
    struct profile *profile;        /* NULL: none; the engine's while a CPU runs */
    struct library *library;        /* NULL: none */
    int new_library;                /* the file to write one to; -1: none */
    struct vcpu *cpus;
    unsigned cpu_count;
    struct vcpu_gate gate;
    struct sbi sbi;
    struct sbi_host sbi_host;
    struct sbi_hart *sbi_harts;
    struct virt *board;
    struct boot_file firmware, kernel, initrd; /* fd -1: none */
    struct block *blocks[MACHINE_DISKS_MAX];   /* the board's, once there is one */
    struct net *nets[MACHINE_NETS_MAX];        /* likewise */
    struct vsock *vsock;                       /* likewise */
    bool handed_over;
    struct stream *agent; /* NULL: none; its socket file is description.agent */

    /* Why it stands still although it was started; loop's thread. It runs when none is set. */
    bool paused;  /* machine_pause() */
    bool stopped; /* by the debugger */

    /* machine_set_memory() */
    uint64_t memory_most, memory_size;
    uint64_t memory_set_ns; /* when they were set; 0: never */

    struct debug debug;
    struct debug_events debug_events; /* .stopped NULL: nobody listens */
    struct deferred debug_serve;      /* from a CPU's thread: it has set its vcpu.stopped */
    unsigned debug_told;              /* the CPU whose stop was told last */

    struct throttle throttle;

    struct timer reload;
    bool reloading; /* paused until the old guest's last request has come back */

    /* From a CPU's thread to the loop's. */
    struct deferred serve;
    struct mutex lock;
    enum machine_request request GUARDED_BY(lock);
    int request_status GUARDED_BY(lock);
};

/* ---- machine_code.c ---- */

void machine_load_profile(struct machine *machine);
void machine_open_library(struct machine *machine);
/* The file of a new one, if it is wanted. */
int machine_open_new_library(struct machine *machine, struct error *error) MUST_CHECK;
/* When the CPUs have ended. */
void machine_save_profile(struct machine *machine);
void machine_save_library(struct machine *machine);

/* machine.c: lets the CPUs run, unless one of them has asked for something that comes first. */
void machine_open_gate(struct machine *machine);

/* resources.c: see struct virtio_mem_options. */
void machine_still(void *ctx, void (*work)(void *arg), void *arg);
void machine_review_memory(void *ctx);

#endif
