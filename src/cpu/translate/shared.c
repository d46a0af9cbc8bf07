/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/translate/shared.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

int shared_attach(struct shared *shared, const struct library *library,
                  const struct code_memory *memory, const struct host_runtime *runtime)
{
    const struct library_header *h = library_header(library);
    struct hash128 hash = library_runtime_hash(runtime);
    uint8_t *own = (uint8_t *)(uintptr_t)memory->run + LIBRARY_WORDS_AT;
    size_t size = LIBRARY_SPAN - LIBRARY_WORDS_AT;
    int r;

    if (memcmp(&hash, &h->runtime, sizeof(hash)) != 0)
        return -ESTALE;
    if (memory->size > LIBRARY_AT || memory->span < LIBRARY_SPAN)
        return -EINVAL;
    shared->pages = calloc(h->pages + 1, sizeof(*shared->pages));
    if (!shared->pages)
        return -ENOMEM;
    for (uint32_t i = 0; i < h->pages; i++)
        shared->pages[i].page = UINT32_MAX;
    r = library_map(library, memory->run);
    if (!r && mmap(own, size, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED)
        r = -errno;
    if (r) {
        shared_release(shared);
        return r;
    }
    madvise(own, size, MADV_DONTFORK);
    shared->library = library;
    shared->words = (void *)own;
    shared->records = own + (LIBRARY_RECORDS_AT - LIBRARY_WORDS_AT);
    return 0;
}

void shared_release(struct shared *shared)
{
    free(shared->pages);
    *shared = (struct shared){0};
}

void shared_renew(struct shared *shared, uint32_t unit)
{
    atomic_store_explicit(&shared->words[unit].heat, SHARED_HEAT, memory_order_relaxed);
}

static uint64_t code_size(const struct library_unit *unit)
{
    return unit->size + unit->cold_size;
}

void shared_opened(struct shared *shared, uint32_t number)
{
    const struct library_unit *unit = library_unit(shared->library, number);

    shared_renew(shared, number);
    __atomic_store_n(&shared->words[number].dead, 0, __ATOMIC_RELEASE);
    shared->pages[unit->page].live++;
    shared->code_bytes += code_size(unit);
    shared->units++;
}

void shared_closed(struct shared *shared, uint32_t number)
{
    const struct library_unit *unit = library_unit(shared->library, number);

    __atomic_store_n(&shared->words[number].dead, UINT64_MAX, __ATOMIC_RELEASE);
    shared->code_bytes -= code_size(unit);
    if (!--shared->pages[unit->page].live)
        shared->pages[unit->page].retired = 0;
}
