/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The real-time clock of Google's Goldfish platform: nanoseconds since 1970 and one alarm.
 *
 * The guest's time is the host's CLOCK_REALTIME plus an offset, which is what a guest changes when
 * it sets the clock; saved is the offset, so that a machine that slept wakes up on the right day.
 * The alarm waits by the loop's monotonic timers: should somebody set the host's clock meanwhile, a
 * guest's alarm is never early, and late by at most that step.
 *
 * Sources: "GOLDFISH-VIRTUAL-HARDWARE.TXT", section "Goldfish real-time clock" (Android emulator
 * project); QEMU's `virt` machine: 0x101000, PLIC source 11, accesses of 32 bits.
 */
#ifndef HOSPES_DEVICE_GOLDFISH_RTC_H
#define HOSPES_DEVICE_GOLDFISH_RTC_H

#include "base/loop.h"
#include "device/device.h"

struct goldfish_rtc;

/* `irq` is copied. */
int goldfish_rtc_new(struct goldfish_rtc **rtc, struct loop *loop, const struct wire *irq,
                     struct error *error) MUST_CHECK;

extern const struct device_type goldfish_rtc_type;

#endif
