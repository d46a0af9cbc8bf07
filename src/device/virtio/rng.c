/* SPDX-License-Identifier: Apache-2.0 */
#include "device/virtio/rng.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "device/virtio/mmio.h"

#define QUEUE_REQUEST 0u

/* The device may use less than the whole buffer (5.4.6.2); Linux asks for 64 bytes. What a turn
 * gives keeps the loop's thread well under a millisecond. */
#define REQUEST_BYTES_MAX 4096u
#define TURN_REQUESTS_MAX 16u

struct virtio_rng {
    struct virtio_device core; /* first */
    struct chain chain;        /* of the loop's thread */
};

static uint32_t rng_fill(struct chain *chain)
{
    uint8_t bytes[REQUEST_BYTES_MAX];
    uint64_t want = chain->writable_bytes < sizeof(bytes) ? chain->writable_bytes : sizeof(bytes);
    ssize_t got;

    do {
        got = getrandom(bytes, want, 0);
    } while (got < 0 && errno == EINTR);
    if (got < 0)
        return 0;
    return (uint32_t)chain_write(chain, 0, bytes, (uint64_t)got);
}

static bool rng_run(struct virtio_device *core, unsigned index)
{
    struct virtio_rng *rng = container_of(core, struct virtio_rng, core);
    unsigned budget = TURN_REQUESTS_MAX;

    mutex_lock(&core->mutex);
    do {
        queue_mute(&core->queues[index]);
        while (budget && virtio_pop(core, index, &rng->chain)) {
            budget--;
            if (!rng->chain.writable_bytes) {
                virtio_drop(core, index, &rng->chain);
                virtio_fail(core, "entropy request without a writable buffer");
                break;
            }
            virtio_push(core, index, &rng->chain, rng_fill(&rng->chain));
        }
    } while (budget && virtio_running(core) && queue_unmute(&core->queues[index], 0));
    virtio_notify_guest(core, index);
    mutex_unlock(&core->mutex);
    return !budget;
}

static const struct virtio_device_type rng_type = {
    .name = "virtio-rng",
    .id = 4,
    .queue_count = 1,
    .queue_size = 64,
    .run = rng_run,
};

static void rng_free(void *ctx)
{
    struct virtio_rng *rng = ctx;

    virtio_stop(&rng->core);
    virtio_release(&rng->core);
    free(rng);
}

static const struct state_field rng_fields[] = {
    VIRTIO_STATE(struct virtio_rng),
    VIRTIO_QUEUE_STATE(struct virtio_rng, QUEUE_REQUEST),
};

static const struct device_type rng_mmio_type = {
    .name = "virtio-rng",
    .version = 1,
    .io = VIRTIO_MMIO_IO,
    .fields = rng_fields,
    .field_count = ARRAY_SIZE(rng_fields),
    .reset = virtio_reset,
    .check = virtio_check,
    .resume = virtio_resume,
    .free = rng_free,
};

int virtio_rng_new(struct device *device, const struct virtio_setup *setup)
{
    struct virtio_rng *rng = calloc(1, sizeof(*rng));

    if (!rng)
        return -ENOMEM;
    virtio_init(&rng->core, &rng_type, &virtio_mmio_transport, setup, 0);
    *device = (struct device){.type = &rng_mmio_type, .instance = rng, .size = VIRTIO_MMIO_SIZE};
    return 0;
}
