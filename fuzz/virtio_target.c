/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio_target.h"

#include <string.h>

#include "base/bits.h"
#include "base/error.h"
#include "memory/memory.h"

#define BASE  0x80000000ull
#define SIZE  0x10000u
#define RING  16u
#define STEPS 256u

/* Where the good rings are: one page a queue, the rest is for buffers. */
#define DESCRIPTORS 0x000u
#define AVAILABLE   0x100u
#define USED        0x200u

enum {
    REG_DRIVER_FEATURES = 0x020,
    REG_DRIVER_FEATURES_SEL = 0x024,
    REG_QUEUE_SEL = 0x030,
    REG_QUEUE_NUM = 0x038,
    REG_QUEUE_READY = 0x044,
    REG_QUEUE_NOTIFY = 0x050,
    REG_STATUS = 0x070,
    REG_QUEUE_DESC = 0x080,
    REG_QUEUE_DRIVER = 0x090,
    REG_QUEUE_DEVICE = 0x0a0,
};

struct run {
    const struct target *target;
    struct input input;
    struct address_space *as;
    struct loop *loop;
    struct device device;
    const struct range *range;
    unsigned queues;
    uint16_t available[VIRTIO_QUEUES_MAX]; /* next index of each available ring */
};

/* A queue; what the input says of devices with two stays as it was when there were no others. */
static unsigned queue_chosen(struct run *run, unsigned bit)
{
    return run->queues == 2 ? bit : (unsigned)input_take(&run->input, 1) % run->queues;
}

static void line_ignore(void *ctx, unsigned number, bool level) {}

/* ---- the loop's thread ---- */

/* A register access: on the loop's thread if it may reset something, for there it does not wait. */
struct access {
    struct run *run;
    uint32_t offset;
    unsigned width;
    uint64_t value;
    bool write;
};

static void access_perform(struct access *access)
{
    struct run *run = access->run;
    gpa addr = run->range->base + access->offset;

    if (access->write)
        (void)!memory_io_write(run->range, addr, access->width, access->value);
    else
        (void)!memory_io_read(run->range, addr, access->width, &access->value);
}

static void access_on_loop(void *ctx)
{
    struct access *access = ctx;

    access_perform(access);
    loop_stop(access->run->loop, 0);
}

static void access_run(struct access *access)
{
    struct deferred deferred;

    if (access->offset != REG_STATUS && access->offset != REG_QUEUE_READY) {
        access_perform(access);
        return;
    }
    deferred_init(&deferred, access_on_loop, access);
    loop_post(access->run->loop, &deferred);
    loop_run(access->run->loop);
}

static void reg_write(struct run *run, uint32_t offset, unsigned width, uint64_t value)
{
    struct access access = {run, offset, width, value, true};

    access_run(&access);
}

static uint64_t reg_read(struct run *run, uint32_t offset, unsigned width)
{
    struct access access = {run, offset, width, 0, false};

    access_run(&access);
    return access.value;
}

static void event_perform(void *ctx)
{
    struct run *run = ctx;

    run->target->event(&run->input, run->target->ctx);
    loop_stop(run->loop, 0);
}

static void settle_perform(void *ctx)
{
    struct run *run = ctx;

    run->target->settle(run->target->ctx);
    loop_stop(run->loop, 0);
}

static void on_loop(struct run *run, void (*perform)(void *ctx))
{
    struct deferred deferred;

    deferred_init(&deferred, perform, run);
    loop_post(run->loop, &deferred);
    loop_run(run->loop);
}

static void stop_perform(void *ctx)
{
    loop_stop(((struct run *)ctx)->loop, 0);
}

/* ---- steps ---- */

static void set_up(struct run *run, uint64_t features)
{
    reg_write(run, REG_STATUS, 4, 0);
    reg_write(run, REG_STATUS, 4, 3);
    for (uint32_t i = 0; i < 2; i++) {
        reg_write(run, REG_DRIVER_FEATURES_SEL, 4, i);
        reg_write(run, REG_DRIVER_FEATURES, 4,
                  (uint32_t)((features | VIRTIO_F_VERSION_1) >> (32 * i)));
    }
    reg_write(run, REG_STATUS, 4, 11);
    for (uint32_t i = 0; i < run->queues; i++) {
        gpa page = BASE + i * PAGE_SIZE;

        memset(memory_find(run->as, BASE)->ram->host + (page - BASE), 0, PAGE_SIZE);
        run->available[i] = 0;
        reg_write(run, REG_QUEUE_SEL, 4, i);
        reg_write(run, REG_QUEUE_NUM, 4, RING);
        reg_write(run, REG_QUEUE_DESC, 4, page + DESCRIPTORS);
        reg_write(run, REG_QUEUE_DRIVER, 4, page + AVAILABLE);
        reg_write(run, REG_QUEUE_DEVICE, 4, page + USED);
        reg_write(run, REG_QUEUE_READY, 4, 1);
    }
    reg_write(run, REG_STATUS, 4, 15);
}

static void descriptor_put(struct run *run)
{
    struct input *input = &run->input;
    uint8_t where = (uint8_t)input_take(input, 1), how = (uint8_t)input_take(input, 1), raw[16];
    uint8_t next = (uint8_t)input_take(input, 1);
    uint16_t addr = (uint16_t)input_take(input, 2);
    uint32_t len = (uint32_t)input_take(input, 2);

    /* Mostly good values; a length of sectors, of bytes, or far too long. */
    len = how & 0x20 ? len % 9 * 512 + (len >> 15) : how & 0x40 ? len << 8 : len % 64;
    store_le64(raw, how & 0x80 ? (uint64_t)addr << 20 : BASE + addr);
    store_le32(raw + 8, len);
    store_le16(raw + 12, how & 7);
    store_le16(raw + 14, next % (RING + 1));
    (void)!memory_write(run->as,
                        BASE + where % run->queues * PAGE_SIZE + where / run->queues % 32 * 16, raw,
                        sizeof(raw));
}

static void ring_put16(struct run *run, unsigned queue, uint64_t offset, uint16_t value)
{
    uint8_t raw[2];

    store_le16(raw, value);
    (void)!memory_write(run->as, BASE + queue * PAGE_SIZE + AVAILABLE + offset, raw, sizeof(raw));
}

static void offer(struct run *run)
{
    uint8_t what = (uint8_t)input_take(&run->input, 1);
    unsigned queue = what % run->queues, slot = run->available[queue] % RING;

    ring_put16(run, queue, 4 + 2 * slot, what / run->queues % (RING + 1));
    run->available[queue]++;
    ring_put16(run, queue, 2, run->available[queue]);
}

static uint64_t memory_sum(const struct run *run)
{
    const uint8_t *bytes = memory_find(run->as, BASE)->ram->host;
    uint64_t sum = 14695981039346656037u;

    for (unsigned i = 0; i < SIZE; i += 8)
        sum = (sum ^ load_le64(bytes + i)) * 1099511628211u;
    return sum;
}

/* 2.4.1: once the status reads 0 the device leaves memory alone. */
static void reset_checked(struct run *run)
{
    uint64_t sum;

    reg_write(run, REG_STATUS, 4, 0);
    on_loop(run, settle_perform);
    BUG_ON(reg_read(run, REG_STATUS, 4));
    BUG_ON(!virtio_is_idle(run->device.instance));
    sum = memory_sum(run);
    for (unsigned i = 0; i < run->queues; i++)
        reg_write(run, REG_QUEUE_NOTIFY, 4, i);
    on_loop(run, event_perform);
    on_loop(run, stop_perform);
    on_loop(run, settle_perform);
    BUG_ON(memory_sum(run) != sum);
    BUG_ON(reg_read(run, REG_STATUS, 4));
}

static void step(struct run *run)
{
    struct input *input = &run->input;
    uint8_t op = (uint8_t)input_take(input, 1), bytes[64] = {0};
    uint64_t where, length;

    switch (op % 12) {
    case 0:
        set_up(run, input_take(input, 5));
        break;
    case 1:
    case 2:
    case 3:
        descriptor_put(run);
        break;
    case 4:
    case 5:
        offer(run);
        break;
    case 6:
        reg_write(run, REG_QUEUE_NOTIFY, 4, queue_chosen(run, op >> 7));
        on_loop(run, stop_perform);
        break;
    case 7: /* any register, any width */
        where = input_take(input, 1);
        reg_write(run, (uint32_t)where * 4 % 0x180, 1u << (op >> 6), input_take(input, 4));
        break;
    case 8:
        where = input_take(input, 2) % 0xffc;
        (void)!memory_io_read(run->range, run->range->base + where, 1u << (op >> 6),
                              &(uint64_t){0});
        break;
    case 9: /* anything anywhere in memory */
        where = input_take(input, 2);
        length = input_bytes(input, bytes, op >> 2);
        (void)!memory_write(run->as, BASE + where, bytes, length);
        break;
    case 10:
        on_loop(run, event_perform);
        break;
    case 11:
        if (op & 0x80)
            reset_checked(run);
        else
            ring_put16(run, queue_chosen(run, op >> 6 & 1), 2, (uint16_t)input_take(input, 2));
        break;
    }
}

void target_run(const struct target *target, const uint8_t *data, size_t size)
{
    struct run run = {.target = target,
                      .input = {data, size},
                      .queues = target->queues ? target->queues : 2};
    struct virtio_setup setup = {.interrupt = {.set = line_ignore}, .name = "fuzz"};

    BUG_ON(address_space_new(&run.as));
    BUG_ON(memory_add_ram(run.as, "ram", BASE, SIZE, true, NULL));
    BUG_ON(loop_new(&run.loop));
    setup.as = run.as;
    setup.loop = run.loop;
    target->make(&run.device, &setup, (uint8_t)input_take(&run.input, 1), target->ctx);
    BUG_ON(memory_add_io(run.as, "device", 0x10001000, run.device.size, &run.device.type->io,
                         run.device.instance, NULL));
    run.range = memory_find(run.as, 0x10001000);
    set_up(&run, input_take(&run.input, 5) | target->features);
    for (unsigned i = 0; i < STEPS && run.input.left; i++)
        step(&run);
    run.device.type->free(run.device.instance);
    loop_free(run.loop);
    address_space_free(run.as);
}
