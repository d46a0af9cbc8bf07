/* SPDX-License-Identifier: Apache-2.0 */
/* The reader of code profiles: what it takes for one is inside its bounds, and is written as it
 * was. The last hash is made right, so that what lies behind it is reached. */
#include <stdlib.h>

#include "base/bits.h"
#include "cpu/profile.h"
#include "input.h"

static void parse(const uint8_t *data, size_t size)
{
    struct profile *profile;
    uint8_t *again;
    size_t size_again;

    BUG_ON(profile_new(&profile));
    if (profile_parse(profile, data, size)) {
        BUG_ON(profile_page_count(profile) || profile_place_count(profile));
    } else {
        again = profile_format(profile, &size_again);
        BUG_ON(!again || size_again != size || memcmp(again, data, size) != 0);
        free(again);
    }
    profile_free(profile);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy;
    struct hash128 hash;

    parse(data, size);
    if (size < PROFILE_HEADER_SIZE + PROFILE_END_SIZE)
        return 0;
    copy = malloc(size);
    BUG_ON(!copy);
    memcpy(copy, data, size);
    hash = hash128(copy, size - PROFILE_END_SIZE, 0);
    store_le64(copy + size - 16, hash.word[0]);
    store_le64(copy + size - 8, hash.word[1]);
    parse(copy, size);
    free(copy);
    return 0;
}
