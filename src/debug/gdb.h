/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A debugger's access to a machine, by the GDB Remote Serial Protocol over a socket. One debugger
 * at a time: it stops the machine by connecting, and when it goes, whether it says so or not, its
 * breakpoints go and the machine goes on. A thread of GDB is a CPU, numbered from 1.
 *
 * What a debugger can do, this process can: read and change all of the guest's memory, and end the
 * machine. What it sends is hostile all the same: no packet reaches past its buffer, no count is
 * believed, and one that does not take its answers is not read any more.
 *
 * All functions on the loop's thread.
 */
#ifndef HOSPES_DEBUG_GDB_H
#define HOSPES_DEBUG_GDB_H

#include "base/error.h"
#include "base/loop.h"
#include "machine/machine.h"

struct gdb;

/* Waits for a debugger at `address` (debug/listen.h), which must live as long. */
int gdb_new(struct gdb **gdb, struct machine *machine, struct loop *loop, const char *address,
            struct error *error) MUST_CHECK;
/* The machine has ended: tells the debugger, if it waits for that. By signal number `by`, unless
 * that is 0; then with `status`. NULL is fine, here and below. */
void gdb_ended(struct gdb *gdb, int status, int by);
void gdb_free(struct gdb *gdb);

#endif
