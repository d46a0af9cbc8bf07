/* SPDX-License-Identifier: Apache-2.0 */
/* Registers and flow of the PLIC against its specification 1.0.0. */
#include <stdlib.h>

#include "device/plic.h"
#include "device_fixture.h"

#define CONTEXTS 4

struct fixture {
    struct plic *plic;
    struct probe out[CONTEXTS];
};

static uint32_t get(struct fixture *f, uint64_t offset)
{
    return (uint32_t)plic_type.io.read(f->plic, offset, 4);
}

static void put(struct fixture *f, uint64_t offset, uint32_t value)
{
    plic_type.io.write(f->plic, offset, 4, value);
}

static uint64_t enable_reg(unsigned context, unsigned source)
{
    return 0x2000 + 0x80 * context + source / 32 * 4;
}

static uint64_t threshold_reg(unsigned context)
{
    return 0x200000 + 0x1000 * context;
}

static uint64_t claim_reg(unsigned context)
{
    return threshold_reg(context) + 4;
}

static void enable(struct fixture *f, unsigned context, unsigned source, unsigned priority)
{
    uint64_t reg = enable_reg(context, source);

    put(f, 4 * source, priority);
    put(f, reg, get(f, reg) | 1u << source % 32);
}

static void set(struct fixture *f, unsigned source, bool level)
{
    struct wire wire = plic_input(f->plic, source);

    wire_set(&wire, level);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct wire wires[CONTEXTS];

    for (unsigned i = 0; i < CONTEXTS; i++)
        wires[i] = probe_wire(f->out, i);
    *state = f;
    return plic_new(&f->plic, wires, CONTEXTS, NULL);
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    plic_type.free(f->plic);
    free(f);
    return 0;
}

static void test_registers(void **state)
{
    struct fixture *f = *state;

    /* Section 4: priorities are WARL, source 0 does not exist. */
    put(f, 4, 0xffffffff);
    assert_int_equal(get(f, 4), 7);
    put(f, 0, 7);
    assert_int_equal(get(f, 0), 0);
    put(f, 4 * 95, 3);
    assert_int_equal(get(f, 4 * 95), 3);
    put(f, 4 * 96, 3);
    assert_int_equal(get(f, 4 * 96), 0);

    put(f, enable_reg(1, 0), 0xffffffff);
    assert_int_equal(get(f, enable_reg(1, 0)), 0xfffffffe);
    put(f, enable_reg(1, 64), 0xffffffff);
    assert_int_equal(get(f, enable_reg(1, 64)), 0xffffffff);
    put(f, 0x2000 + 0x80 + 12, 0xffffffff); /* sources 96 to 127: there are none */
    assert_int_equal(get(f, 0x2000 + 0x80 + 12), 0);
    assert_int_equal(get(f, enable_reg(0, 0)), 0);
    assert_int_equal(get(f, enable_reg(2, 0)), 0);

    put(f, threshold_reg(3), 0xfffffffd);
    assert_int_equal(get(f, threshold_reg(3)), 5);
    put(f, threshold_reg(CONTEXTS), 5); /* no such context */
    assert_int_equal(get(f, threshold_reg(CONTEXTS)), 0);
}

static void test_pending_is_read_only(void **state)
{
    struct fixture *f = *state;

    put(f, 0x1000, 0xffffffff);
    assert_int_equal(get(f, 0x1000), 0);
    set(f, 33, true);
    assert_int_equal(get(f, 0x1004), 2);
    put(f, 0x1004, 0);
    assert_int_equal(get(f, 0x1004), 2);
}

static void test_claim_and_complete(void **state)
{
    struct fixture *f = *state;

    enable(f, 1, 10, 1);
    assert_int_equal(get(f, claim_reg(1)), 0);
    set(f, 10, true);
    assert_true(f->out[1].level);
    assert_false(f->out[0].level);
    assert_false(f->out[2].level);

    assert_int_equal(get(f, claim_reg(1)), 10);
    assert_false(f->out[1].level);
    assert_int_equal(get(f, 0x1000), 0);
    assert_int_equal(get(f, claim_reg(1)), 0);

    /* Still high at completion: it is a request again. */
    put(f, claim_reg(1), 10);
    assert_true(f->out[1].level);
    assert_int_equal(f->out[1].rises, 2);
    assert_int_equal(get(f, claim_reg(1)), 10);
    set(f, 10, false);
    put(f, claim_reg(1), 10);
    assert_false(f->out[1].level);
    assert_int_equal(get(f, 0x1000), 0);
}

static void test_gateway(void **state)
{
    struct fixture *f = *state;

    enable(f, 0, 5, 1);
    /* A request that went through stays when the wire falls. */
    set(f, 5, true);
    set(f, 5, false);
    assert_true(f->out[0].level);
    assert_int_equal(get(f, claim_reg(0)), 5);
    /* In service no other request goes through. */
    set(f, 5, true);
    set(f, 5, false);
    set(f, 5, true);
    assert_false(f->out[0].level);
    assert_int_equal(get(f, 0x1000), 0);
    put(f, claim_reg(0), 5);
    assert_true(f->out[0].level);
}

static void test_completion_needs_enable(void **state)
{
    struct fixture *f = *state;

    enable(f, 0, 5, 1);
    set(f, 5, true);
    assert_int_equal(get(f, claim_reg(0)), 5);
    /* Section 10: of a source that is not enabled for the target it is ignored. */
    put(f, claim_reg(1), 5);
    assert_false(f->out[0].level);
    put(f, claim_reg(0), 96);
    put(f, claim_reg(0), 0xffffffff);
    put(f, claim_reg(0), 0);
    assert_false(f->out[0].level);
    /* By another target that has it enabled it counts. */
    enable(f, 1, 5, 1);
    put(f, claim_reg(1), 5);
    assert_true(f->out[0].level);
    assert_true(f->out[1].level);
    /* Whoever claims first has it. */
    assert_int_equal(get(f, claim_reg(1)), 5);
    assert_false(f->out[0].level);
    assert_int_equal(get(f, claim_reg(0)), 0);
}

static void test_priorities(void **state)
{
    struct fixture *f = *state;

    enable(f, 0, 40, 2);
    enable(f, 0, 8, 2);
    enable(f, 0, 90, 7);
    enable(f, 0, 3, 0); /* priority 0: never */
    set(f, 3, true);
    assert_false(f->out[0].level);
    assert_int_equal(get(f, claim_reg(0)), 0);
    set(f, 40, true);
    set(f, 8, true);
    set(f, 90, true);
    assert_int_equal(get(f, claim_reg(0)), 90);
    assert_int_equal(get(f, claim_reg(0)), 8); /* ties: the lower number */
    assert_int_equal(get(f, claim_reg(0)), 40);
    assert_int_equal(get(f, claim_reg(0)), 0);
    assert_int_equal(get(f, 0x1000), 8);
    put(f, 4 * 3, 1);
    assert_true(f->out[0].level);
}

static void test_threshold(void **state)
{
    struct fixture *f = *state;

    enable(f, 2, 9, 3);
    put(f, threshold_reg(2), 3);
    set(f, 9, true);
    assert_false(f->out[2].level);
    put(f, threshold_reg(2), 2);
    assert_true(f->out[2].level);
    put(f, threshold_reg(2), 7);
    assert_false(f->out[2].level);
    /* Section 9: claiming looks at no threshold. */
    assert_int_equal(get(f, claim_reg(2)), 9);
}

static void test_disable(void **state)
{
    struct fixture *f = *state;

    enable(f, 0, 9, 3);
    set(f, 9, true);
    put(f, enable_reg(0, 9), 0);
    assert_false(f->out[0].level);
    put(f, enable_reg(0, 9), 1u << 9);
    assert_true(f->out[0].level);
    put(f, 4 * 9, 0);
    assert_false(f->out[0].level);
}

static void test_bad_inputs(void **state)
{
    struct fixture *f = *state;

    enable(f, 0, 1, 1);
    set(f, 0, true);
    set(f, 96, true);
    set(f, ~0u, true);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(get(f, 0x1000 + 4 * i), 0);
    assert_false(f->out[0].level);
}

static void test_reset(void **state)
{
    struct fixture *f = *state;

    enable(f, 0, 7, 1);
    enable(f, 0, 8, 1);
    set(f, 7, true);
    assert_int_equal(get(f, claim_reg(0)), 7);
    set(f, 8, true);
    set(f, 8, false);
    assert_true(f->out[0].level);
    plic_type.reset(f->plic);
    assert_false(f->out[0].level);
    assert_int_equal(get(f, 4 * 7), 0);
    assert_int_equal(get(f, enable_reg(0, 7)), 0);
    assert_int_equal(get(f, 0x1000), 0);
    /* Nothing of before is left, also when the device is reset after the PLIC. */
    set(f, 7, false);
    enable(f, 0, 7, 1);
    enable(f, 0, 8, 1);
    assert_false(f->out[0].level);
    set(f, 7, true); /* and it is not in service any more */
    assert_true(f->out[0].level);
}

static void test_state(void **state)
{
    struct fixture *f = *state;
    uint8_t saved[8192], bad[8192];

    enable(f, 3, 7, 1);
    set(f, 7, true);
    assert_true(device_save(&plic_type, f->plic, saved) < sizeof(saved));
    plic_type.reset(f->plic);
    assert_false(f->out[3].level);
    assert_true(device_load(&plic_type, f->plic, saved));
    assert_true(f->out[3].level);
    assert_int_equal(get(f, claim_reg(3)), 7);

    memcpy(bad, saved, sizeof(bad));
    bad[device_field(&plic_type, "priority") + 5] = 8;
    assert_false(device_load(&plic_type, f->plic, bad));
    memcpy(bad, saved, sizeof(bad));
    bad[device_field(&plic_type, "threshold")] = 8;
    assert_false(device_load(&plic_type, f->plic, bad));
    memcpy(bad, saved, sizeof(bad));
    bad[device_field(&plic_type, "enable")] |= 1;
    assert_false(device_load(&plic_type, f->plic, bad));
    memcpy(bad, saved, sizeof(bad));
    bad[device_field(&plic_type, "in_service.word")] = 0x80; /* pending and in service */
    assert_false(device_load(&plic_type, f->plic, bad));
    assert_true(device_load(&plic_type, f->plic, saved));
}

static void test_hostile(void **state)
{
    struct fixture *f = *state;

    /* The map hands on 32-bit accesses only. */
    assert_int_equal(plic_type.io.widths, 4);
    for (unsigned i = 1; i < PLIC_SOURCES; i++)
        set(f, i, true);
    device_hammer(&plic_type, f->plic, 0x3000);
    for (uint64_t offset = 0x1ff000; offset < PLIC_SIZE(CONTEXTS) + 0x2000; offset += 4) {
        put(f, offset, 0xffffffff);
        get(f, offset);
    }
    get(f, 0x3fffffc);
    put(f, 0x3fffffc, 1);
    assert_true(plic_type.check(f->plic));
}

static void test_limits(void **state)
{
    struct wire wires[PLIC_CONTEXTS_MAX] = {0};
    struct error error = ERROR_INIT;
    struct plic *plic;

    assert_true(plic_new(&plic, wires, 0, &error) < 0);
    assert_non_null(error.message);
    assert_true(plic_new(&plic, wires, PLIC_CONTEXTS_MAX + 1, &error) < 0);
    error_release(&error);
    assert_int_equal(plic_new(&plic, wires, PLIC_CONTEXTS_MAX, NULL), 0);
    plic_type.io.write(plic, claim_reg(127), 4, 5);
    assert_int_equal(plic_type.io.read(plic, claim_reg(127), 4), 0);
    plic_type.free(plic);
    plic_type.free(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_registers),
        TEST(test_pending_is_read_only),
        TEST(test_claim_and_complete),
        TEST(test_gateway),
        TEST(test_completion_needs_enable),
        TEST(test_priorities),
        TEST(test_threshold),
        TEST(test_disable),
        TEST(test_bad_inputs),
        TEST(test_reset),
        TEST(test_state),
        TEST(test_hostile),
        cmocka_unit_test(test_limits),
    };

    return cmocka_run_group_tests_name("plic", tests, NULL, NULL);
}
