/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the packets of a debugger mean: a command in, an answer out, and what comes next. No socket
 * and no guest architecture: registers are a table of machine/debug.h. Inside debug/ only.
 *
 * Source: GDB manual, "Packets", "General Query Packets", "Stop Reply Packets".
 */
#ifndef HOSPES_DEBUG_COMMANDS_H
#define HOSPES_DEBUG_COMMANDS_H

#include "debug/packet.h"
#include "machine/machine.h"

/* GDB's numbers of signals. */
enum { GDB_SIGNAL_INT = 2, GDB_SIGNAL_TRAP = 5 };

/* One debugger's view of the machine. */
struct gdb_target {
    struct machine *machine;
    struct debug *debug; /* NULL while the machine runs */
    unsigned cpu_count;
    unsigned current; /* the CPU of register and memory accesses */
    unsigned resumed; /* the CPU of c and s, or cpu_count: all */
    unsigned last;    /* the CPU of the last stop, and its signal */
    unsigned last_signal;
    char *description; /* target.xml */
    size_t description_size;
    struct {
        uint64_t address;
        unsigned kinds; /* a set of 1 << kind: a place may be asked for in both ways */
    } points[DEBUG_BREAKPOINTS];
    unsigned point_count;
};

struct gdb_answer {
    char data[PACKET_MAX + 1];
    size_t length;
};

enum gdb_next {
    GDB_ANSWERED,
    GDB_RUNS,     /* no answer now: the machine goes on, and a stop will be told */
    GDB_NO_ACKS,  /* answered; from now on nothing is acknowledged */
    GDB_DETACHED, /* answered; the debugger goes */
    GDB_KILLED,   /* answered if the answer is not empty; the machine is to end */
};

/* -ENOMEM. */
int gdb_target_init(struct gdb_target *target, struct machine *machine) MUST_CHECK;
void gdb_target_release(struct gdb_target *target);
/* A debugger has come: stops the machine. False: it has ended. */
bool gdb_target_attach(struct gdb_target *target);
/* It has gone: no breakpoints, and the machine goes on. */
void gdb_target_detach(struct gdb_target *target);
/* The machine was stopped by a CPU, or is to be, with `signal`. */
void gdb_target_stop(struct gdb_target *target, unsigned cpu, unsigned signal);
/* The stop reply for the last stop. */
void gdb_answer_stop(const struct gdb_target *target, struct gdb_answer *answer);

/* packet[length] is 0. */
enum gdb_next gdb_command(struct gdb_target *target, const char *packet, size_t length,
                          struct gdb_answer *answer) MUST_CHECK;

#endif
