/* SPDX-License-Identifier: Apache-2.0 */
/* state.json, which a machine's process writes: what is taken of it is bounded and can be shown. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "host/state.h"
#include "input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    struct state state = {.kind = STATE_STOPPED};

    BUG_ON(!text);
    memcpy(text, data, size);
    text[size] = 0;
    if (state_parse(text, &state)) {
        BUG_ON(strnlen(state.since, STATE_TIME_SIZE) == STATE_TIME_SIZE);
        BUG_ON(state.kind > STATE_BUSY || state.end > STATE_END_KILLED);
        for (const char *c = state.since; *c; c++)
            BUG_ON((unsigned char)*c < ' ' || *c == 0x7f);
    }
    free(text);
    return 0;
}
