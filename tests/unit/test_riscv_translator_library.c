/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Libraries of translated code: what one machine has executed others take as it is, wherever the
 * page lies and whichever page it is, as long as its bytes are the same; what is executed often
 * they make for themselves; and no file that is not one is taken for one.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "cpu/profile.h"
#include "cpu/translate/library_parts.h"
#include "cpu/translate/shared.h"
#include "riscv_code.h"
#include "riscv_spaces.h"

#define RAM_SIZE (UINT64_C(8) << 20)

enum {
    CALLER = 0x1000,
    CALLEE = 0x4000,
    ELSEWHERE = 0x57000,
    OTHER = 0x100,
    OFTEN = 100,
    ONCE = 1
};

static char path[] = "/tmp/hospes-test-library.XXXXXX";

static int setup(void **state)
{
    int fd = mkstemp(path);

    return fd < 0 ? -1 : close(fd);
}

static int teardown(void **state)
{
    return unlink(path);
}

static struct rig *rig_with(struct profile *profile, const struct library *library,
                            const char *options, unsigned cpus)
{
    struct rig *rig = rig_new(&riscv_translator, options, cpus, RAM_SIZE);

    rig_free_engine(rig);
    rig->profile = profile;
    rig->library = library;
    rig_make_engine(rig, &riscv_translator, options);
    PUT(rig, CALLER, JALR(RA, S1, 0), ADDI(A1, A1, -1), BNEZ(A1, -8), WFI);
    return rig;
}

/* Several units: a branch, a call within the page, and data. */
static void put_callee(struct rig *rig, unsigned at, int amount)
{
    PUT(rig, at, BEQZ(A1, 20), ADDI(T0, RA, 0), JAL(RA, 16), ADDI(RA, T0, 0), RET, RET,
        ADDI(A0, A0, amount), RET);
    PUT(rig, at + OTHER, ADDI(A0, A0, amount), RET);
    PUT(rig, at + 0xff8, amount);
}

static void call(struct rig *rig, unsigned rounds, unsigned at, int amount)
{
    struct riscv_hart *hart = &rig->hart[0];

    hart->pc = RAM_BASE + CALLER;
    hart->x[S1] = RAM_BASE + at;
    hart->x[A0] = 0;
    hart->x[A1] = rounds;
    assert_int_equal(rig_run(rig, 0), CPU_STOP_WAIT);
    assert_int_equal(hart->x[A0], rounds * (uint64_t)amount);
    assert_int_equal(hart->x[A1], 0);
}

static struct engine_counters counters_of(const struct rig *rig)
{
    struct engine_counters counters;

    rig->type->counters(rig->cpu[0], &counters);
    return counters;
}

static uint64_t in_use(const struct rig *rig)
{
    struct engine_footprint footprint;

    rig->type->footprint(rig->cpu[0], &footprint);
    return footprint.library;
}

static void make(struct rig *rig)
{
    int fd = open(path, O_RDWR | O_TRUNC);

    assert_true(fd >= 0);
    assert_int_equal(rig->type->make_library(rig->cpu[0], fd), 0);
    close(fd);
}

static struct library *opened(void)
{
    struct library *library;

    assert_int_equal(library_open(&library, path, NULL), 0);
    return library;
}

/* Of a machine that called often, and nothing of it is left but the file. */
static struct library *learned(int amount)
{
    struct profile *profile;
    struct rig *rig;

    assert_int_equal(profile_new(&profile), 0);
    rig = rig_with(profile, NULL, NULL, 1);
    put_callee(rig, CALLEE, amount);
    call(rig, OFTEN, CALLEE, amount);
    call(rig, OFTEN, CALLEE + OTHER, amount);
    make(rig);
    rig_free(rig);
    profile_free(profile);
    return opened();
}

static void test_taken_at_once(void **state)
{
    static const unsigned places[] = {CALLEE, ELSEWHERE};
    struct library *library = learned(5);

    for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
        struct rig *rig = rig_with(NULL, library, NULL, 1);

        put_callee(rig, places[i], 5);
        call(rig, ONCE, places[i], 5);
        call(rig, OFTEN, places[i], 5);
        assert_int_equal(counters_of(rig).units, 0);
        assert_int_equal(counters_of(rig).units_shared, library_header(library)->units);
        assert_true(counters_of(rig).units_shared >= 5);
        assert_true(in_use(rig) > 0);
        rig_free(rig);
    }
    library_close(library);
}

static void test_other_bytes_are_another_page(void **state)
{
    struct library *library = learned(5);
    struct rig *rig = rig_with(NULL, library, NULL, 1);
    uint64_t shared;

    put_callee(rig, CALLEE, 5);
    PUT(rig, CALLEE + 0xff8, 6);
    call(rig, OFTEN, CALLEE, 5);
    shared = counters_of(rig).units_shared;
    assert_in_range(shared, 1, library_header(library)->units - 1); /* the caller's */
    assert_true(counters_of(rig).units > 0);
    rig_free(rig);
    library_close(library);
}

/* Where another page has the same bytes, or the same page has other ones and then these again, the
 * library's units are taken only when nobody can come to them by the first one. */
static void test_rewritten(void **state)
{
    struct library *library = learned(5);
    struct rig *rig = rig_with(NULL, library, NULL, 1);

    for (unsigned i = 0; i < 10; i++) {
        unsigned at = i % 3 == 2 ? ELSEWHERE : CALLEE;

        put_callee(rig, at, 5);
        rig->type->flush_code(rig->cpu[0]);
        call(rig, OFTEN, at, 5);
        put_callee(rig, at, 7);
        rig->type->flush_code(rig->cpu[0]);
        call(rig, OFTEN, at, 7);
    }
    assert_true(counters_of(rig).units_shared > library_header(library)->units);
    rig_free(rig);
    library_close(library);
}

static void test_two_pages_with_the_same_bytes(void **state)
{
    struct library *library = learned(5);
    struct rig *rig = rig_with(NULL, library, NULL, 1);
    uint64_t all = library_header(library)->units;

    put_callee(rig, CALLEE, 5);
    put_callee(rig, ELSEWHERE, 5);
    for (unsigned i = 0; i < 10; i++) {
        call(rig, OFTEN, CALLEE, 5);
        call(rig, OFTEN, ELSEWHERE, 5);
    }
    assert_int_equal(counters_of(rig).units_shared, all);
    assert_true(counters_of(rig).units > 0);
    /* The first one goes, and the library's units can be another one's. */
    put_callee(rig, CALLEE, 9);
    rig->type->flush_code(rig->cpu[0]);
    call(rig, OFTEN, CALLEE, 9);
    call(rig, OFTEN, ELSEWHERE, 5);
    rig_free(rig);
    library_close(library);
}

/* A jump that is known leads to where the page's units were, and they are another page's meanwhile.
 */
static void test_moved_behind_a_known_jump(void **state)
{
    struct library *library = learned(5);
    struct rig *rig = rig_with(NULL, library, NULL, 1);
    uint64_t shared;

    for (unsigned i = 0; i < 4; i++) {
        unsigned from = i % 2 ? ELSEWHERE : CALLEE, to = i % 2 ? CALLEE : ELSEWHERE;

        put_callee(rig, from, 5);
        rig->type->flush_code(rig->cpu[0]);
        call(rig, OFTEN, from, 5);
        put_callee(rig, from, 7);
        put_callee(rig, to, 5);
        rig->type->flush_code(rig->cpu[0]);
        shared = counters_of(rig).units_shared;
        call(rig, ONCE, to, 5);
        assert_true(counters_of(rig).units_shared > shared);
        call(rig, OFTEN, from, 7);
        call(rig, OFTEN, to, 5);
    }
    rig_free(rig);
    library_close(library);
}

/* Some of the page's units were spent: the others are no other page's. */
static void test_page_that_is_spent_in_part(void **state)
{
    struct library *library = learned(5);
    struct rig *rig = rig_with(NULL, library, NULL, 1);
    uint64_t shared;

    put_callee(rig, CALLEE, 5);
    put_callee(rig, ELSEWHERE, 5);
    call(rig, 2 * SHARED_HEAT, CALLEE, 5);
    assert_true(counters_of(rig).units > 0 && in_use(rig) > 0);
    shared = counters_of(rig).units_shared;
    call(rig, OFTEN, ELSEWHERE, 5);
    call(rig, OFTEN, ELSEWHERE, 5);
    assert_int_equal(counters_of(rig).units_shared, shared);
    rig_free(rig);
    library_close(library);
}

/* A page writes itself while it is executed: what follows the fence is new, although the library's
 * units lead to each other. */
static void test_page_that_writes_itself(void **state)
{
    struct profile *profile;
    struct library *library = NULL;

    assert_int_equal(profile_new(&profile), 0);
    for (unsigned pass = 0; pass < 2; pass++) {
        struct rig *rig = rig_with(profile, library, "heat=0", 1);
        struct riscv_hart *hart = &rig->hart[0];

        /* Rounds until a1 is 0; when it is 3, the page is written. */
        PUT(rig, CALLEE, ADDI(A2, A1, -3), BNEZ(A2, 12), LW(S2, S3, 0), SW(S2, S1, 0), FENCE_I,
            ADDI(A0, A0, 1), ADDI(A1, A1, -1), BNEZ(A1, -28), WFI);
        PUT(rig, ELSEWHERE, ADDI(A0, A0, 100));
        hart->pc = RAM_BASE + CALLEE;
        hart->x[S1] = RAM_BASE + CALLEE + 20;
        hart->x[S3] = RAM_BASE + ELSEWHERE;
        hart->x[A0] = 0;
        hart->x[A1] = pass ? OFTEN : 2; /* in the first pass it is never 3 */
        assert_int_equal(rig_run(rig, 0), CPU_STOP_WAIT);
        assert_int_equal(hart->x[A0], pass ? OFTEN - 3 + 300 : 2);
        if (pass) {
            assert_true(counters_of(rig).units_shared > 0);
        } else {
            make(rig);
            library = opened();
            assert_true(library_header(library)->units > 2);
        }
        rig_free(rig);
    }
    library_close(library);
    profile_free(profile);
}

/* What is executed often is the machine's own in the end, and no more than that. */
static void test_spent(void **state)
{
    struct library *library = learned(5);
    struct rig *rig = rig_with(NULL, library, NULL, 1);
    uint64_t before, units;

    put_callee(rig, CALLEE, 5);
    call(rig, SHARED_HEAT / 2, CALLEE, 5);
    assert_int_equal(counters_of(rig).units, 0);
    before = in_use(rig);
    call(rig, 10 * SHARED_HEAT, CALLEE, 5);
    units = counters_of(rig).units;
    assert_in_range(units, 3, 20);
    assert_true(in_use(rig) < before);
    call(rig, 10 * SHARED_HEAT, CALLEE, 5);
    assert_in_range(counters_of(rig).units, units, units + 3);
    rig_free(rig);
    library_close(library);
}

/* A loop that is a unit by itself leaves its library, too. */
static void test_spent_loop(void **state)
{
    struct profile *profile;
    struct library *library = NULL;

    for (unsigned pass = 0; pass < 2; pass++) {
        struct rig *rig;

        assert_int_equal(profile_new(&profile), 0);
        rig = rig_with(profile, library, NULL, 1);
        PUT(rig, CALLEE, ADDI(A0, A0, 3), ADDI(A1, A1, -1), BNEZ(A1, -8), WFI);
        rig->hart[0].pc = RAM_BASE + CALLEE;
        rig->hart[0].x[A0] = 0;
        rig->hart[0].x[A1] = 100 * SHARED_HEAT;
        assert_int_equal(rig_run(rig, 0), CPU_STOP_WAIT);
        assert_int_equal(rig->hart[0].x[A0], 300 * SHARED_HEAT);
        if (pass) {
            assert_true(counters_of(rig).units_shared > 0);
            assert_in_range(counters_of(rig).units, 1, 3);
            assert_in_range(counters_of(rig).exits_poll, 1, 50);
        } else {
            make(rig);
        }
        rig_free(rig);
        library_close(library);
        library = pass ? NULL : opened();
        profile_free(profile);
    }
}

static void test_cpus(void **state)
{
    struct library *library = learned(5);

    for (unsigned i = 0; i < 20; i++) {
        struct rig *rig = rig_with(NULL, library, NULL, RIG_CPUS);

        put_callee(rig, CALLEE, 5);
        put_callee(rig, ELSEWHERE, 5);
        for (unsigned j = 0; j < RIG_CPUS; j++) {
            rig->hart[j].pc = RAM_BASE + CALLER;
            rig->hart[j].x[S1] = RAM_BASE + (j == 3 ? ELSEWHERE : CALLEE);
            rig->hart[j].x[A0] = 0;
            rig->hart[j].x[A1] = i % 2 ? OFTEN : SHARED_HEAT;
        }
        rig_run_all(rig, CPU_STOP_WAIT);
        for (unsigned j = 0; j < RIG_CPUS; j++)
            assert_int_equal(rig->hart[j].x[A0], 5 * (uint64_t)(i % 2 ? OFTEN : SHARED_HEAT));
        assert_true(counters_of(rig).units_shared > 0);
        rig_free(rig);
    }
    library_close(library);
}

/* ---- windowed code ---- */

/* A user's loop over memory, which faults at first; returns how many units were of the library. */
static uint64_t visit(struct profile *profile, const struct library *library, const char *options)
{
    struct spaces *s = spaces_new(&riscv_translator, options, true, PTE_G);
    const struct visit visit = {.asid = 1, .entry = HERE, .user = true, .fence = FENCE_ALL};
    uint64_t shared;

    rig_free_engine(s->rig);
    s->rig->profile = profile;
    s->rig->library = library;
    rig_make_engine(s->rig, &riscv_translator, options);
    PUT(s->rig, frame(0), LD(T0, S1, 0), ADDI(T0, T0, 3), SD(T0, S1, 0), ADDI(A1, A1, -1),
        BNEZ(A1, -16), LD(A0, S1, 0), ECALL);
    map(s, 0, HERE, 0, PTE_U);
    map(s, 0, DATA_AT, 1, PTE_U);
    rig_put64(s->rig, frame(1), 0);
    s->hart->x[S1] = DATA_AT;
    s->hart->x[A1] = OFTEN;
    spaces_visit(s, &visit);
    expect_end(s, options, true);
    assert_int_equal(s->hart->x[A0], 3 * OFTEN);
    shared = counters_of(s->rig).units_shared;
    if (!library)
        make(s->rig);
    spaces_free(s);
    return shared;
}

static void test_windowed_code_is_a_kind_of_its_own(void **state)
{
    static const char *const options[] = {"windows=0", "windows=2"};

    for (unsigned i = 0; i < ARRAY_SIZE(options); i++) {
        struct profile *profile;
        struct library *library;

        assert_int_equal(profile_new(&profile), 0);
        visit(profile, NULL, options[i]);
        library = opened();
        assert_true(visit(NULL, library, options[i]) > 0);
        library_close(library);
        profile_free(profile);
    }
}

/* ---- what cannot be made, and what is no library ---- */

static void test_nothing_to_make_it_of(void **state)
{
    struct profile *profile;
    struct rig *rig = rig_with(NULL, NULL, NULL, 1);

    assert_int_equal(rig->type->make_library(rig->cpu[0], -1), -EINVAL);
    rig_free(rig);
    assert_int_equal(profile_new(&profile), 0);
    rig = rig_with(profile, NULL, "audit=1", 1);
    assert_int_equal(rig->type->make_library(rig->cpu[0], -1), -EINVAL);
    rig_free_engine(rig);
    rig_make_engine(rig, &riscv_interpreter, NULL);
    assert_int_equal(rig->type->make_library(rig->cpu[0], -1), -ENOTSUP);
    rig_free(rig);
    profile_free(profile);
}

static uint8_t *contents(size_t *size)
{
    struct stat status;
    uint8_t *data;
    int fd = open(path, O_RDONLY);

    assert_int_equal(fstat(fd, &status), 0);
    *size = (size_t)status.st_size;
    data = malloc(*size);
    assert_int_equal(read(fd, data, *size), *size);
    close(fd);
    return data;
}

static void put(const uint8_t *data, size_t size)
{
    int fd = open(path, O_WRONLY | O_TRUNC);

    assert_int_equal(write(fd, data, size), size);
    close(fd);
}

static int try_to_open(void)
{
    struct library *library = NULL;
    int r = library_open(&library, path, NULL);

    library_close(library);
    return r;
}

static void test_damaged(void **state)
{
    struct library_layout layout;
    struct library_header *h;
    uint8_t *data;
    size_t size;

    library_close(learned(5));
    data = contents(&size);
    h = (void *)data;
    layout = library_layout(h);
    for (size_t shorter = 0; shorter < size; shorter += shorter < 200 ? 1 : 97) {
        put(data, shorter);
        assert_int_equal(try_to_open(), -EINVAL);
    }
    /* A page's and a unit's numbers lead out of the file, or to another unit's code. */
    for (size_t at = layout.pages; at < layout.accesses; at += 4) {
        uint32_t was;

        memcpy(&was, data + at, 4);
        memset(data + at, 0xff, 4);
        put(data, size);
        if (at < layout.units ? (at - layout.pages) % sizeof(struct library_page) >= 16 &&
                                    (at - layout.pages) % sizeof(struct library_page) < 28
                              : (at - layout.units) % sizeof(struct library_unit) < 32)
            assert_int_equal(try_to_open(), -EINVAL);
        else
            (void)try_to_open();
        memcpy(data + at, &was, 4);
    }
    h->build[3] ^= 1;
    put(data, size);
    assert_int_equal(try_to_open(), -ESTALE);
    h->build[3] ^= 1;
    h->units = UINT32_MAX;
    put(data, size);
    assert_int_equal(try_to_open(), -EINVAL);
    free(data);
}

/* All of a page's bytes are compared, and not its hash alone. */
static void test_bytes_are_compared(void **state)
{
    struct library *library;
    struct library_layout layout;
    uint8_t *data;
    struct rig *rig;
    size_t size;

    library_close(learned(5));
    data = contents(&size);
    layout = library_layout((const struct library_header *)(void *)data);
    for (size_t at = layout.bytes + 0x800; at < layout.in_line; at += LIBRARY_PAGE_SIZE)
        data[at] ^= 1;
    put(data, size);
    free(data);
    library = opened();
    rig = rig_with(NULL, library, NULL, 1);
    put_callee(rig, CALLEE, 5);
    call(rig, OFTEN, CALLEE, 5);
    assert_int_equal(counters_of(rig).units_shared, 0);
    rig_free(rig);
    library_close(library);
}

static void test_who_may_write(void **state)
{
    library_close(learned(5));
    assert_int_equal(try_to_open(), 0);
    assert_int_equal(chmod(path, 0620), 0);
    assert_int_equal(try_to_open(), -EPERM);
    assert_int_equal(chmod(path, 0602), 0);
    assert_int_equal(try_to_open(), -EPERM);
    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(try_to_open(), 0);
    if (!geteuid()) {
        assert_int_equal(chown(path, 12345, 12345), 0);
        assert_int_equal(try_to_open(), -EPERM);
        assert_int_equal(chown(path, 0, 0), 0);
    }
    assert_int_equal(chmod(path, 0600), 0);
}

/* Whose shared code is elsewhere than where its units lead. */
static void test_for_another_runtime(void **state)
{
    struct library *library;
    struct library_header *h;
    uint8_t *data;
    struct rig *rig;
    size_t size;

    library_close(learned(5));
    data = contents(&size);
    h = (void *)data;
    h->runtime.word[0]++;
    put(data, size);
    free(data);
    library = opened();
    rig = rig_with(NULL, library, NULL, 1);
    put_callee(rig, CALLEE, 5);
    call(rig, OFTEN, CALLEE, 5);
    assert_int_equal(counters_of(rig).units_shared, 0);
    rig_free(rig);
    library_close(library);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_taken_at_once),
        cmocka_unit_test(test_other_bytes_are_another_page),
        cmocka_unit_test(test_rewritten),
        cmocka_unit_test(test_two_pages_with_the_same_bytes),
        cmocka_unit_test(test_moved_behind_a_known_jump),
        cmocka_unit_test(test_page_that_is_spent_in_part),
        cmocka_unit_test(test_page_that_writes_itself),
        cmocka_unit_test(test_spent),
        cmocka_unit_test(test_spent_loop),
        cmocka_unit_test(test_cpus),
        cmocka_unit_test(test_windowed_code_is_a_kind_of_its_own),
        cmocka_unit_test(test_nothing_to_make_it_of),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_bytes_are_compared),
        cmocka_unit_test(test_who_may_write),
        cmocka_unit_test(test_for_another_runtime),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
