/* SPDX-License-Identifier: Apache-2.0 */
#include "device/syscon.h"

#include <errno.h>
#include <stdlib.h>

/* It has no state: nothing to lock, to reset or to save. */
struct syscon {
    struct syscon_calls calls;
};

static uint64_t syscon_read(void *ctx, uint64_t offset, unsigned width)
{
    return 0;
}

static void syscon_write(void *ctx, uint64_t offset, unsigned width, uint64_t value)
{
    const struct syscon *syscon = ctx;
    int code = (int)(value >> 16 & 0xff);

    if (offset)
        return;
    switch (value & 0xffff) {
    case SYSCON_POWER_OFF:
        syscon->calls.power_off(syscon->calls.ctx, 0);
        break;
    case SYSCON_FAIL:
        /* A failure must not look like success to whoever reads hospes's exit status. */
        syscon->calls.power_off(syscon->calls.ctx, code ? code : 1);
        break;
    case SYSCON_RESET:
        syscon->calls.reset(syscon->calls.ctx);
        break;
    default:
        break;
    }
}

static void syscon_reset(void *device) {}

static void syscon_free(void *device)
{
    free(device);
}

int syscon_new(struct syscon **out, const struct syscon_calls *calls, struct error *error)
{
    struct syscon *syscon = calloc(1, sizeof(*syscon));

    if (!syscon)
        return error_set(error, ENOMEM, "cannot make the power register: out of memory");
    syscon->calls = *calls;
    *out = syscon;
    return 0;
}

const struct device_type syscon_type = {
    .name = "syscon",
    .version = 1,
    .io = {.widths = 2 | 4, .read = syscon_read, .write = syscon_write},
    .reset = syscon_reset,
    .free = syscon_free,
};
