/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "cpu/translate/tables.h"

enum { REGION = 8192 };

static const struct code_memory memory = {.segment_size = REGION};

/* Takes `size` bytes, of which the unit is what is behind the first `before`. */
static uint8_t *take(struct tables *tables, unsigned region, unsigned before, unsigned size)
{
    uint8_t *top = tables_top(tables, region);

    if (!tables_have_room(tables, region, top + size))
        return NULL;
    memset(top, 0x40 + (int)region, size);
    tables_take(tables, region, top + before, top + size);
    return top + before;
}

/* Until a region is full nothing of it or of another one is written over. */
static void test_regions_are_filled(void **state)
{
    struct tables tables;
    uint8_t *first[CODE_SEGMENTS];

    assert_int_equal(tables_init(&tables, &memory, 0), 0);
    for (unsigned region = 0; region < CODE_SEGMENTS; region++) {
        unsigned n = 0;

        first[region] = take(&tables, region, 16, 61);
        for (uint8_t *unit; (unit = take(&tables, region, 8, 100)); n++) {
            assert_int_equal((uintptr_t)unit % 8, 0);
            assert_ptr_equal(tables_unit(&tables, region, n + 1), unit);
            assert_ptr_equal(tables_at(&tables, tables_reference(&tables, unit)), unit);
        }
        assert_int_equal(tables_units(&tables, region), n + 1);
        /* 100 bytes, rounded up, and 4 each. */
        assert_in_range(n, REGION / 108 - 2, REGION / 108);
    }
    for (unsigned region = 0; region < CODE_SEGMENTS; region++) {
        unsigned count = tables_units(&tables, region);

        assert_ptr_equal(tables_unit(&tables, region, 0), first[region]);
        for (unsigned n = 1; n < count; n++) {
            const uint8_t *unit = tables_unit(&tables, region, n);

            assert_int_equal(unit[-8], 0x40 + region);
            assert_int_equal(unit[91], 0x40 + region);
        }
    }
    tables_release(&tables);
}

static void test_a_region_is_emptied(void **state)
{
    struct tables tables;
    uint8_t *kept;

    assert_int_equal(tables_init(&tables, &memory, 0), 0);
    kept = take(&tables, 3, 0, 40);
    while (take(&tables, 2, 0, 1000))
        ;
    tables_empty(&tables, 2);
    assert_int_equal(tables_units(&tables, 2), 0);
    assert_non_null(take(&tables, 2, 0, REGION - 100));
    assert_ptr_equal(tables_unit(&tables, 3, 0), kept);
    assert_int_equal(kept[39], 0x43);
    tables_release(&tables);
}

static void test_nothing_has_reference_0(void **state)
{
    struct tables tables;

    assert_int_equal(tables_init(&tables, &memory, 0), 0);
    assert_null(tables_at(&tables, 0));
    assert_int_equal(tables_reference(&tables, NULL), 0);
    assert_int_not_equal(tables_reference(&tables, tables_top(&tables, 0)), 0);
    tables_release(&tables);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_regions_are_filled),
        cmocka_unit_test(test_a_region_is_emptied),
        cmocka_unit_test(test_nothing_has_reference_0),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
