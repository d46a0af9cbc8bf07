/* SPDX-License-Identifier: Apache-2.0 */
/* The judge of kernel and firmware files: whatever it accepts lies inside the file. */
#include "base/error.h"
#include "board/boot.h"
#include "input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error error = ERROR_INIT;
    struct boot_layout layout;
    size_t header = size < BOOT_HEADER_SIZE ? size : BOOT_HEADER_SIZE;

    if (boot_identify(data, header, size, &layout, &error)) {
        BUG_ON(!error.message);
        error_release(&error);
        return 0;
    }
    BUG_ON(error.message || !layout.segment_count || layout.segment_count > BOOT_SEGMENTS_MAX);
    for (unsigned i = 0; i < layout.segment_count; i++) {
        const struct boot_segment *segment = &layout.segments[i];

        BUG_ON(segment->file_offset > size || segment->file_size > size - segment->file_offset);
        BUG_ON(segment->file_size > segment->memory_size);
        BUG_ON(segment->address + segment->memory_size < segment->address);
    }
    return 0;
}
