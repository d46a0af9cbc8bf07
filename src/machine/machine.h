/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine as a value: description -> built -> running -> stopped. Two can live in one process.
 *
 *            machine_new()        machine_start()            guest powers off, machine_stop()
 *   (none) ---------------> built ---------------> running -----------------------------> stopped
 *                             ^                    |     ^                                   |
 *                             |    machine_pause() v     | machine_resume()                  |
 *                             |                    paused                                    |
 *                             +--------------------------------- machine_reset() ------------+
 *
 * A debugger stops a machine too: that is a pause of its own, which machine_resume() does not end.
 *
 * Files are opened by machine_new() alone, but for the code profile, which is read at the start and
 * written at the end; and none is parsed there: a process gives up its right to open others before
 * it calls machine_start(), which looks at what they hold.
 *
 * All functions on the loop's thread. vCPUs are threads of their own; devices are served by the
 * loop. A reset by the guest (reboot) is done by the machine itself and seen by nobody outside.
 */
#ifndef HOSPES_MACHINE_MACHINE_H
#define HOSPES_MACHINE_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/thread.h"
#include "cpu/engine.h"
#include "device/virtio/balloon.h"
#include "device/virtio/mem.h"
#include "machine/debug.h"
#include "machine/description.h"
#include "network/limit.h"
#include "storage/block.h"
#include "stream/stream.h"

struct machine;

enum machine_end {
    MACHINE_POWER_OFF, /* the guest asked for it; status is the guest's (0 unless it says so) */
    MACHINE_FAILED,    /* the guest or its firmware reported a failure */
    MACHINE_STOPPED,   /* machine_stop() */
};

struct machine_events {
    /* The machine is stopped: its vCPU threads have ended. Loop's thread. */
    void (*ended)(void *ctx, enum machine_end why, int status);
    /* The machine was paused because the host has no room for a disk; NULL: ignored. */
    void (*host_full)(void *ctx, const char *path);
    /* The guest asked for a reset and is booting again; may be NULL. */
    void (*rebooted)(void *ctx);
    /* The user network's process has ended, and the guest's link is down; may be NULL. */
    void (*network_lost)(void *ctx);
    /* A thread of the machine's begins, and calls this first, to be confined to what its role
     * needs: see thread_guard. From machine_new() on, whenever a thread is needed, and in the
     * process of the user network. May be NULL. */
    int (*thread_begins)(void *ctx, enum thread_role role);
    void *ctx;
};

/* Builds: opens every file, reserves memory. The console stream stays the
 * caller's. Whatever fails leaves nothing behind. */
int machine_new(struct machine **machine, const struct machine_description *description,
                struct loop *loop, struct stream *console, const struct machine_events *events,
                const struct log *log, struct error *error) MUST_CHECK;
/* Stops first if it runs. */
void machine_free(struct machine *machine);

/* Puts firmware, kernel and initial RAM disk into memory, makes the device tree and reads the code
 * profile: what of the files is parsed. machine_start() does it if nobody did. */
int machine_prepare(struct machine *machine, struct error *error) MUST_CHECK;
int machine_start(struct machine *machine, struct error *error) MUST_CHECK;
/* Ends the machine at once, as by pulling the plug; `ended` follows. */
void machine_stop(struct machine *machine);
/* Returns when no CPU executes any more. */
void machine_pause(struct machine *machine);
void machine_resume(struct machine *machine);

/*
 * Stops for a debugger, and tells what can be done to a machine that is stopped so: see
 * machine/debug.h. In any state but ended (a machine that was not started yet starts stopped); a
 * machine that is stopped stays so. Returns when no CPU executes any more.
 */
struct debug *machine_debug_stop(struct machine *machine);
/* Goes on from there, by one action a CPU. Whoever called machine_debug_listen() is told when a CPU
 * stops the machine again. */
void machine_debug_resume(struct machine *machine, const enum debug_action *actions);
/* Who is told; NULL: nobody. */
void machine_debug_listen(struct machine *machine, const struct debug_events *events);
unsigned machine_cpu_count(const struct machine *machine);

/* Runs the CPUs by another engine from here on: "NAME" or "NAME,OPTIONS", as in the description. In
 * any state but ended; a machine that runs stands still meanwhile, its clock too, and goes on. On a
 * failure (no such engine, an option, no memory) it goes on with the engine that it has. Both
 * engines are there at once for a moment, with their memory. */
int machine_switch_engine(struct machine *machine, const char *name,
                          struct error *error) MUST_CHECK;
/* Of the engine that the machine has now, as in the description. */
const char *machine_engine_name(const struct machine *machine);

/* Sum over the CPUs, and over the engines that the machine has had. While paused or stopped exact,
 * else a recent value. */
void machine_counters(const struct machine *machine, struct engine_counters *counters);

/* How many CPUs the guest may have running from now on, 1 to machine_cpu_count(). Those that run go
 * on: a guest starts and stops them itself. -EINVAL. Loop's thread. */
int machine_set_cpus(struct machine *machine, unsigned cpus, struct error *error) MUST_CHECK;
/* What that was set to last, at first the description's. Loop's thread. */
unsigned machine_cpus_limit(const struct machine *machine);
/* How many run at the moment; machine_cpu_count() where the guest's firmware knows and not we. */
unsigned machine_cpus_running(const struct machine *machine);

/* Whether a program of the guest listens where its agent does (description.agent). */
bool machine_has_agent(struct machine *machine);

/* A hard cap on the host's CPU time that all CPUs of the machine take together, in per cent of one
 * host CPU; 0: none. From now on, in any state. */
void machine_set_cpu_cap(struct machine *machine, unsigned percent);

/* The guest's memory as its balloon tells it, and as the host has it. */
struct machine_balloon {
    struct virtio_balloon_facts facts;
    struct virtio_mem_facts mem; /* all 0 where description.memory_max is not more than memory */
    uint64_t age_ns;             /* of facts.statistics, if there are any (time_ns) */
    uint64_t resident; /* bytes that the host holds for the guest, whatever the guest says */
    uint64_t wanted;   /* machine_set_memory()'s size */
    /* What it has of that: built with or plugged, and not asked of the balloon. */
    uint64_t size;
    uint64_t size_age_ns; /* since when that is wanted */
};

/*
 * `most`: how much memory the machine has from now on, in bytes, at most description.memory_max;
 * `size`: how much of that the guest shall use for now. What lies beyond what it was built with is
 * asked to be plugged (virtio-mem); what there is beyond `size`, to be given back (balloon). The
 * guest does both as it can, or not at all, but gets no more than `most`. Kept across its reboots.
 */
void machine_set_memory(struct machine *machine, uint64_t most, uint64_t size);
/* Has a guest that did not plug or unplug all of that try again. */
void machine_ask_memory(struct machine *machine);
/* What translated code takes. */
void machine_footprint(const struct machine *machine, struct engine_footprint *footprint);
/* Gives back to the host what was translated longest ago; it is translated again when it is wanted.
 * Returns how many bytes: 0 while a CPU may be in it. The loop's thread. */
uint64_t machine_trim(struct machine *machine);
/* Asks the guest for statistics now and every so many milliseconds; 0, as at first: not at all. */
void machine_balloon_poll(struct machine *machine, uint32_t milliseconds);
void machine_balloon(struct machine *machine, struct machine_balloon *balloon);

/* In place of those that it had, also for what waits; in any state. -EINVAL for what
 * description_check() refuses, and then nothing changes. */
int machine_set_limits(struct machine *machine, const struct machine_limits *limits,
                       struct error *error) MUST_CHECK;

/* Of the disk, or the interface, of that number in the description. False: there is none, as
 * with an interface of kind MACHINE_NET_NONE. Loop's thread. */
bool machine_disk_count(const struct machine *machine, unsigned index,
                        struct block_counters *counters);
bool machine_net_count(const struct machine *machine, unsigned index,
                       struct net_counters *counters);

/* The bytes of the device tree as the guest gets them, once machine_prepare() was called. */
const void *machine_device_tree(const struct machine *machine, uint32_t *size);

#endif
