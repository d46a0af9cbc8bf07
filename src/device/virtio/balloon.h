/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Traditional virtio memory balloon, virtio 1.2 section 5.5: memory that the guest gives away
 * (inflate), takes again (deflate) or has no use for at the moment (free page reporting, 5.5.6.7),
 * and the guest's own statistics (5.5.6.3). What it gives away or reports goes back to the host at
 * once (memory_discard()); what it takes again is made of zeroes as it is touched, so nothing has
 * to be done for it, and the driver need not tell before (no VIRTIO_BALLOON_F_MUST_TELL_HOST).
 *
 * The guest is asked, not forced: the target is a wish, and what the driver says is its word. Who
 * must know what a guest really takes asks memory_resident().
 *
 * Queues that are served: inflate 0, deflate 1, statistics 2, reporting 4. Linux up to now counts
 * only the queues that it uses, so that its reporting queue is 3 where there is no hinting of free
 * pages (whose queue 3 would be, 5.5.2); it is served there, too.
 */
#ifndef HOSPES_DEVICE_VIRTIO_BALLOON_H
#define HOSPES_DEVICE_VIRTIO_BALLOON_H

#include <stdint.h>

#include "base/compiler.h"
#include "device/device.h"
#include "device/virtio/virtio.h"

/* 5.5.6.4: the tags. Sizes are in bytes. */
enum virtio_balloon_statistic {
    BALLOON_SWAPPED_IN = 0,
    BALLOON_SWAPPED_OUT = 1,
    BALLOON_MAJOR_FAULTS = 2,
    BALLOON_MINOR_FAULTS = 3,
    BALLOON_FREE = 4,
    BALLOON_TOTAL = 5,
    BALLOON_AVAILABLE = 6,
    BALLOON_CACHES = 7,
    BALLOON_HUGE_PAGES = 8, /* allocations of them that succeeded */
    BALLOON_HUGE_PAGE_FAILURES = 9,
    BALLOON_STATISTICS
};

/* The guest's words: any value, each from a driver that may lie. */
struct virtio_balloon_statistics {
    uint64_t time_ns; /* when they came, as monotonic_ns(); 0: there are none */
    uint64_t given;   /* bytes that were in the balloon then */
    uint32_t present; /* bit n: the driver told values[n] */
    uint64_t values[BALLOON_STATISTICS];
};

/* In bytes. All but the target begin anew with each reset of the device. */
struct virtio_balloon_facts {
    uint64_t target;
    uint64_t said;    /* in the balloon, as the driver says */
    uint64_t counted; /* inflated less deflated, as the device saw it; at most all of memory */
    /* The lesser of both: a driver that lies can make it seem to have given less than it did, or
     * give one page several times, up to all of its memory. It gains nothing by either. */
    uint64_t given;
    uint64_t reported;                           /* sum over all reports */
    struct virtio_balloon_statistics statistics; /* the last ones */
};

struct virtio_balloon;

/* Fills *device (over MMIO; the board sets its base), whose instance is the struct virtio_balloon.
 * Returns 0 or -ENOMEM. */
int virtio_balloon_new(struct device *device, const struct virtio_setup *setup) MUST_CHECK;

/* The rest on the loop's thread. */

/* How much memory the guest shall give away: whole pages, at most all of it. Stays across resets.
 */
void virtio_balloon_set_target(struct virtio_balloon *balloon, uint64_t bytes);
/* Asks the driver for statistics now and every so many milliseconds; 0, as at first: not at all,
 * and nothing wakes an idle guest. The driver sends its first ones unasked. */
void virtio_balloon_set_interval(struct virtio_balloon *balloon, uint32_t milliseconds);
void virtio_balloon_get(struct virtio_balloon *balloon, struct virtio_balloon_facts *facts);

#endif
