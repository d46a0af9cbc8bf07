/* SPDX-License-Identifier: Apache-2.0 */
/* Values that a reader hands over, which may have been taken over: what is taken of them goes there
 * and back once more, and comes out the same. */
#include "base/error.h"
#include "host/values.h"
#include "input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(reader_answer_release) struct reader_answer answer = {0};
    CLEANUP(reader_answer_release) struct reader_answer again = {0};
    json_t *json, *back;

    reader_put(&answer, data, size);
    while ((json = values_get(&answer))) {
        BUG_ON(values_put(&again, json));
        back = values_get(&again);
        BUG_ON(!json_equal(json, back));
        json_decref(json);
        json_decref(back);
    }
    return 0;
}
