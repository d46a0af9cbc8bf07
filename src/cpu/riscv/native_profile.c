/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the translator tells a code profile and asks of it (cpu/profile.h). A page's bytes are
 * hashed when code of it is about to be executed for the first time since it was written. It is
 * marked then, so that the next write makes another writing of it, whose bytes are hashed anew. A
 * write while they are hashed makes a hash of bytes that were never there at one time: nobody will
 * ask for it.
 */
#include <errno.h>
#include <stdlib.h>

#include "cpu/profile.h"
#include "cpu/riscv/native_parts.h"

int native_profile_init(struct native *native, struct profile *profile)
{
    if (!profile)
        return 0;
    native->known = calloc(native->ram->size >> PAGE_SHIFT, sizeof(*native->known));
    if (!native->known)
        return -ENOMEM;
    native->profile = profile;
    return 0;
}

void native_profile_release(struct native *native)
{
    free(native->known);
}

/* (lock) The page's number, or PAGE_UNKNOWN; `adds`: known from now on, if there is room. */
static uint32_t number_of(struct native *native, uint64_t page, uint32_t generation, bool adds)
{
    struct page_known *known = &native->known[page];
    uint8_t bytes[PAGE_SIZE];
    uint32_t number;

    if (generation > WRITINGS_MAX)
        return PAGE_UNKNOWN;
    if (known->asked && known->generation == generation && (known->number != PAGE_UNKNOWN || !adds))
        return known->number;
    guest_copy_in(bytes, native->ram->host + (page << PAGE_SHIFT), PAGE_SIZE);
    number = adds ? profile_add(native->profile, bytes) : profile_find(native->profile, bytes);
    *known = (struct page_known){
        .generation = generation,
        .number = number == PROFILE_NONE ? PAGE_UNKNOWN : number,
        .asked = true,
    };
    native->pages_hashed++;
    return known->number;
}

bool native_profile_has(struct native *native, uint64_t at, uint32_t generation)
{
    uint32_t number;

    if (!native->profile)
        return false;
    number = number_of(native, at >> PAGE_SHIFT, generation, false);
    return number != PAGE_UNKNOWN && profile_has(native->profile, number, at & (PAGE_SIZE - 1));
}

uint32_t native_profile_number(const struct native *native, uint64_t page)
{
    const struct page_known *known = &native->known[page];

    return known->asked && known->number != PAGE_UNKNOWN &&
                   known->generation == native_generation_of(native, page)
               ? known->number
               : PROFILE_NONE;
}

void native_profile_note(struct native *native, uint64_t at, uint32_t generation)
{
    uint32_t number;

    if (!native->profile)
        return;
    number = number_of(native, at >> PAGE_SHIFT, generation, true);
    if (number == PAGE_UNKNOWN)
        return;
    if (profile_has(native->profile, number, at & (PAGE_SIZE - 1)))
        native->units_profiled++;
    else
        profile_note(native->profile, number, at & (PAGE_SIZE - 1));
}
