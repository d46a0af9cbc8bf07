/* SPDX-License-Identifier: Apache-2.0 */
/* The reader of machine.json: what it takes for a machine is one, and is read as the same when it
 * is written again. */
#include <stdlib.h>

#include "host/record.h"
#include "input.h"

static char *text_of(const struct record *record)
{
    json_t *json = record_to_json(record, "/machines/web");
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;

    json_decref(json);
    return text;
}

static void read_record(const json_t *json)
{
    struct record record, again;
    json_t *second;
    char *first, *last;

    if (record_from_json(json, "/machines/web", &record, NULL)) {
        BUG_ON(record.description.name || record.description.disk_count);
        record_release(&record);
        return;
    }
    BUG_ON(record_check(&record, "/machines/web", NULL));
    first = text_of(&record);
    BUG_ON(!first);
    second = json_loads(first, JSON_REJECT_DUPLICATES, NULL);
    BUG_ON(record_from_json(second, "/machines/web", &again, NULL));
    last = text_of(&again);
    BUG_ON(strcmp(first, last) != 0);
    free(first);
    free(last);
    json_decref(second);
    record_release(&again);
    record_release(&record);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *json = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);

    if (json)
        read_record(json);
    json_decref(json);
    return 0;
}
