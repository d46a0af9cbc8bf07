/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The policy that takes virtual CPUs from guests which do not use them while the host's are short,
 * and gives them back; the other half is balance.h. balance_cpus_plan() only thinks.
 *
 * What a machine wants of CPUs between two looks is the time that its virtual CPUs ran, and the
 * time that they waited for a CPU of the host's: without that who is starved would look idle.
 * 1000 is one CPU, all the time.
 *
 *   C1  The number stays between the machine's minimum and its CPUs. One that does not is put there
 *       before all else.
 *   C2  Somebody who wants more than 70 per cent of the CPUs that he has gets one more, however
 *       short the host is: what it is short of is shared by weights (weight.h), not by this.
 *   C3  While tasks of the host waited for a CPU in more than 20 per cent of the last 10 s, one is
 *       taken from each machine that wants less than half of what one fewer could do.
 *   C4  When they waited in less than 5 per cent of the last 10 s and of the last minute, each
 *       machine gets one back. The minute, and what lies between 5 and 20, between a half and 70
 *       per cent, are there so that nothing goes to and fro.
 *   C5  A machine is moved by one CPU a turn. One of which nobody knows what it wants is not
 *       moved, but for C1, nor one whose guest itself runs fewer than it may: that is the guest's.
 */
#ifndef HOSPES_HOST_BALANCE_CPUS_H
#define HOSPES_HOST_BALANCE_CPUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "host/pressure.h"

struct balance_cpus {
    const char *name;
    unsigned min, max; /* CPUs: what it was promised; what it has */
    unsigned online;   /* that its guest may run now, 1 at the least */
    unsigned running;  /* that it does */
    bool told;         /* it is known: */
    uint64_t wanted;   /* thousandths of a CPU */

    unsigned new_online;
    const char *reason; /* static; NULL: it stays as it is */
};

/* Fills new_online and reason of each. Returns how many are to be moved. */
size_t balance_cpus_plan(const struct pressure *pressure, struct balance_cpus *machines,
                         size_t count);

#endif
