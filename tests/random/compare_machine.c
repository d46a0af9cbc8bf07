/* SPDX-License-Identifier: Apache-2.0 */
/* The two machines of a comparison. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/thread.h"
#include "compare.h"

enum {
    LIMIT = 4000000, /* instructions of an episode */
    SECONDS = 60,    /* in which the translator must have ended */
};

struct side {
    const struct engine_type *type;
    struct address_space *as;
    struct ram *ram;
    struct engine *engine;
    struct engine_cpu *cpu;
    struct riscv_hart hart;
};

struct pair {
    struct side side[2]; /* the interpreter's, the translator's */
    bool noise;
    _Atomic bool running;
    _Atomic bool late;
};

/* ---- the device ---- */

static uint64_t device_read(void *ctx, uint64_t offset, unsigned width)
{
    return offset * UINT64_C(0x9e3779b97f4a7c15);
}

static void device_write(void *ctx, uint64_t offset, unsigned width, uint64_t value)
{
    struct side *side = ctx;

    if (offset == DEVICE_LOWER && value < 64)
        riscv_hart_set_line(&side->hart, (unsigned)value, false);
    if (offset == DEVICE_RAISE && value < 12 && (0xaaa >> value & 1))
        riscv_hart_set_line(&side->hart, (unsigned)value, true);
}

static const struct io_ops device = {.widths = 8, .read = device_read, .write = device_write};

/* ---- making ---- */

static void side_make(struct side *side, const struct engine_type *type,
                      const struct engine_config *wanted)
{
    struct engine_config config = *wanted;
    uint8_t rom[2 * PAGE_SIZE];

    side->type = type;
    for (unsigned i = 0; i < sizeof(rom); i++)
        rom[i] = (uint8_t)(i * 7);
    BUG_ON(address_space_new(&side->as) ||
           memory_add_ram(side->as, "ram", RAM, RAM_SIZE, true, NULL) ||
           memory_add_ram(side->as, "rom", ROM, sizeof(rom), false, NULL) ||
           memory_add_io(side->as, "device", DEVICE, PAGE_SIZE, &device, side, NULL) ||
           memory_load(side->as, ROM, rom, sizeof(rom)));
    side->ram = memory_main_ram(side->as);
    config.memory = side->as;
    riscv_hart_reset(&side->hart, RAM, 0);
    BUG_ON(type->create(&config, &side->engine, NULL) ||
           type->cpu_create(side->engine, 0, &side->hart, &side->cpu, NULL));
}

struct pair *pair_new(const char *options, bool noise, struct profile *profile,
                      const struct library *library)
{
    struct engine_config plain = {.cpu_count = 1}, wanted = {.cpu_count = 1,
                                                             .options = options,
                                                             .profile = profile,
                                                             .library = library};
    struct pair *pair = calloc(1, sizeof(*pair));
    uint64_t begin;

    BUG_ON(!pair);
    pair->noise = noise;
    side_make(&pair->side[0], &riscv_interpreter, &plain);
    side_make(&pair->side[1], &riscv_translator, &wanted);
    begin = firmware_write(pair);
    for (unsigned i = 0; i < 2; i++) {
        struct riscv_hart *hart = &pair->side[i].hart;

        hart->pc = begin;
        hart->mtvec = RAM + M_CODE;
        hart->mscratch = RAM + M_DATA;
        hart->mcounteren = 7;
    }
    return pair;
}

static void counters_add(struct engine_counters *to, const struct engine_counters *from)
{
    to->units += from->units;
    to->units_shared += from->units_shared;
    to->units_dropped += from->units_dropped;
    to->segments_evicted += from->segments_evicted;
    to->window_fills += from->window_fills;
    to->exits_poll += from->exits_poll;
    to->helped_loads += from->helped_loads;
    to->helped_stores += from->helped_stores;
    to->helped_instructions += from->helped_instructions;
}

bool pair_make_library(struct pair *pair, const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int r = fd < 0 ? -1 : pair->side[1].type->make_library(pair->side[1].cpu, fd);

    BUG_ON(fd < 0 || close(fd) || (r && r != -EINVAL));
    return !r;
}

void pair_free(struct pair *pair, struct pair_counters *counters)
{
    struct engine_counters engine;

    pair->side[1].type->counters(pair->side[1].cpu, &engine);
    counters_add(&counters->engine, &engine);
    pair->side[0].type->counters(pair->side[0].cpu, &engine);
    counters->instructions += engine.instructions;
    for (unsigned i = 0; i < 2; i++) {
        struct side *side = &pair->side[i];

        side->type->cpu_free(side->cpu);
        side->type->free(side->engine);
        address_space_free(side->as);
    }
    free(pair);
}

void pair_write(struct pair *pair, gpa at, const void *bytes, size_t size)
{
    for (unsigned i = 0; i < 2; i++)
        BUG_ON(memory_write(pair->side[i].as, at, bytes, size));
}

void pair_write64(struct pair *pair, gpa at, uint64_t value)
{
    pair_write(pair, at, &value, 8);
}

uint64_t pair_read64(struct pair *pair, gpa at)
{
    uint64_t value;

    BUG_ON(memory_read(pair->side[0].as, at, &value, 8));
    return value;
}

void pair_spoil(struct pair *pair, gpa at)
{
    uint8_t byte;

    BUG_ON(memory_read(pair->side[1].as, at, &byte, 1));
    byte ^= 1;
    BUG_ON(memory_write(pair->side[1].as, at, &byte, 1));
}

uint64_t pair_forbidden(struct pair *pair)
{
    const uint64_t guard = 1 << 20;
    uint64_t window = 0;
    char line[256];
    FILE *maps = fopen("/proc/self/maps", "r");

    BUG_ON(!maps);
    while (!window && fgets(line, sizeof(line), maps)) {
        unsigned long long start, end;
        char access[5];

        /* The largest there is, but for a piece that is in use: its lower end, then. */
        if (sscanf(line, "%llx-%llx %4s", &start, &end, access) == 3 && !strcmp(access, "---p") &&
            end - start > UINT64_C(1) << 36 && end - start <= UINT64_C(1) << 39)
            window = start + guard;
    }
    fclose(maps);
    return window ? (uintptr_t)pair->side[1].ram->host - window : 0;
}

void pair_set_line(struct pair *pair, unsigned number)
{
    for (unsigned i = 0; i < 2; i++)
        riscv_hart_set_line(&pair->side[i].hart, number, true);
}

void pair_set_pmp(struct pair *pair, const uint8_t *config, const uint64_t *address, unsigned count)
{
    for (unsigned i = 0; i < 2; i++) {
        struct side *side = &pair->side[i];

        side->type->state_out(side->cpu);
        memcpy(side->hart.pmpcfg, config, count);
        memcpy(side->hart.pmpaddr, address, count * sizeof(*address));
        side->type->state_in(side->cpu);
    }
}

/* ---- running ---- */

/* All that may happen to a running machine without changing what its guest computes. */
static void *noise(void *arg)
{
    struct pair *pair = arg;
    struct side *side = &pair->side[1];
    struct timespec moment = {0, 0};
    uint64_t rng = (uintptr_t)pthread_self();

    while (atomic_load(&pair->running)) {
        moment.tv_nsec = 10000 + random_below(&rng, 60000);
        nanosleep(&moment, NULL);
        switch (random_below(&rng, 5)) {
        case 0:
            side->type->kick(side->cpu);
            break;
        case 1:
            side->type->flush_tlb(side->cpu, random_next(&rng), PAGE_SIZE << random_below(&rng, 10),
                                  UINT64_MAX);
            break;
        case 2:
            side->type->flush_code(side->cpu);
            break;
        default:
            riscv_hart_set_line(&side->hart, RISCV_IRQ_M_TIMER, true);
            break;
        }
    }
    return NULL;
}

/* Kicks the translator when it does not end. */
static void *watch(void *arg)
{
    const struct timespec moment = {0, 2000000};
    struct pair *pair = arg;
    uint64_t end = monotonic_ns() + SECONDS * UINT64_C(1000000000);

    while (atomic_load(&pair->running)) {
        if (monotonic_ns() > end) {
            atomic_store(&pair->late, true);
            pair->side[1].type->kick(pair->side[1].cpu);
        }
        nanosleep(&moment, NULL);
    }
    return NULL;
}

static enum cpu_stop run_translator(struct pair *pair)
{
    struct side *side = &pair->side[1];
    pthread_t watcher, noiser;
    enum cpu_stop stop;

    atomic_store(&pair->running, true);
    BUG_ON(thread_start(&watcher, "watch", watch, pair));
    BUG_ON(pair->noise && thread_start(&noiser, "noise", noise, pair));
    do
        stop = side->type->run(side->cpu, 0);
    while (stop == CPU_STOP_KICK && !atomic_load(&pair->late));
    atomic_store(&pair->running, false);
    pthread_join(watcher, NULL);
    if (pair->noise)
        pthread_join(noiser, NULL);
    return stop;
}

/* ---- comparing ---- */

static unsigned long long ull(uint64_t value)
{
    return value;
}

static const char *const mode_names[] = {"U", "S", "?", "M"};

static bool compare_word(const char *name, unsigned number, uint64_t a, uint64_t b)
{
    if (a != b)
        fprintf(stderr, "  %s%.0u: interpreter %#llx, translator %#llx\n", name, number, ull(a),
                ull(b));
    return a == b;
}

static bool compare_harts(const struct pair *pair, bool counted)
{
    const struct riscv_hart *a = &pair->side[0].hart, *b = &pair->side[1].hart;
    bool same = true;

    for (unsigned i = 0; i < 32; i++)
        same &= compare_word("x", i, a->x[i], b->x[i]);
    for (unsigned i = 0; i < 32; i++)
        same &= compare_word("f", i, a->f[i], b->f[i]);
    same &= compare_word("pc", 0, a->pc, b->pc);
    same &= compare_word("fflags", 0, a->fflags, b->fflags);
    same &= compare_word("frm", 0, a->frm, b->frm);
    same &= compare_word("mstatus", 0, a->mstatus, b->mstatus);
    same &= compare_word("mepc", 0, a->mepc, b->mepc);
    same &= compare_word("mcause", 0, a->mcause, b->mcause);
    same &= compare_word("mtval", 0, a->mtval, b->mtval);
    same &= compare_word("satp", 0, a->satp, b->satp);
    if (counted)
        same &= compare_word("minstret", 0, a->minstret, b->minstret);
    return same;
}

static bool compare_memory(const struct pair *pair, uint64_t start, uint64_t end)
{
    const uint8_t *a = pair->side[0].ram->host, *b = pair->side[1].ram->host;
    unsigned told = 0;

    if (!memcmp(a + start, b + start, end - start))
        return true;
    for (uint64_t at = start; at < end && told < 8; at += 8)
        if (memcmp(a + at, b + at, 8)) {
            uint64_t one, other;

            memcpy(&one, a + at, 8);
            memcpy(&other, b + at, 8);
            fprintf(stderr, "  memory at %#llx: interpreter %#llx, translator %#llx\n",
                    ull(RAM + at), ull(one), ull(other));
            told++;
        }
    return false;
}

/* What a handler saved last may be of an interrupt, which may have come anywhere. */
static bool compare_data(const struct pair *pair, uint64_t at)
{
    bool same = compare_memory(pair, at + D_HASH, at + D_INTERRUPTS);

    return compare_memory(pair, at + D_REMAP, at + PAGE_SIZE) && same;
}

/* All of them, whatever the first ones say: each tells what differs. */
static bool compare_all_memory(const struct pair *pair)
{
    const struct {
        uint64_t start, end;
    } parts[] = {{0, S_DATA},
                 {S_LOG, M_DATA},
                 {TABLES, TABLES_END},
                 {REGION, REGION + SUPERPAGE},
                 {VARIANTS, VARIANTS + 2 * PAGE_SIZE},
                 {VARIANTS + SUPERPAGE, VARIANTS + SUPERPAGE + 2 * PAGE_SIZE},
                 {RAM_SIZE - PAGE_SIZE, RAM_SIZE}};
    bool same = compare_data(pair, S_DATA);

    same = compare_data(pair, M_DATA) && same;
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
        same = compare_memory(pair, parts[i].start, parts[i].end) && same;
    return same;
}

/* The registers at the last exception: with --limit, of the first that was not the same. */
static void tell_registers(const struct pair *pair, uint64_t data)
{
    const uint64_t *a = (const uint64_t *)(pair->side[0].ram->host + data);
    const uint64_t *b = (const uint64_t *)(pair->side[1].ram->host + data);

    for (unsigned i = 0; i < 64; i++)
        compare_word(i < 32 ? "    x" : "    f", i & 31, a[i], b[i]);
}

/* The first exception that was not the same. */
static void tell_log(const struct pair *pair, const char *name, uint64_t log, uint64_t data)
{
    const uint64_t *a = (const uint64_t *)(pair->side[0].ram->host + log);
    const uint64_t *b = (const uint64_t *)(pair->side[1].ram->host + log);
    uint64_t count, others;

    memcpy(&count, pair->side[0].ram->host + data + D_COUNT, 8);
    memcpy(&others, pair->side[1].ram->host + data + D_COUNT, 8);
    fprintf(stderr, "  %s: interpreter %llu exceptions, translator %llu\n", name, ull(count),
            ull(others));
    for (uint64_t i = 0; i < LOG_ENTRIES; i++, a += 4, b += 4) {
        if (!memcmp(a, b, 32))
            continue;
        fprintf(stderr, "  %s, exception %llu:\n", name, ull(i));
        for (unsigned j = 0; j < 4; j++) {
            static const char *const names[] = {"cause", "pc", "tval", "checksum"};

            compare_word(names[j], 0, a[j], b[j]);
        }
        fprintf(stderr, "    cause %#llx at %#llx, tval %#llx\n", ull(a[0]), ull(a[1]), ull(a[2]));
        if (i)
            fprintf(stderr, "    before: cause %#llx at %#llx, tval %#llx\n", ull(a[-4]),
                    ull(a[-3]), ull(a[-2]));
        fprintf(stderr, "    at the last exception (--limit %llu: at this one):\n", ull(i + 1));
        tell_registers(pair, data);
        return;
    }
}

static void count_traps(const struct pair *pair, uint64_t log, uint64_t data,
                        struct pair_counters *counters)
{
    const uint64_t *entry = (const uint64_t *)(pair->side[0].ram->host + log);
    uint64_t count, interrupts;

    memcpy(&count, pair->side[0].ram->host + data + D_COUNT, 8);
    memcpy(&interrupts, pair->side[0].ram->host + data + D_INTERRUPTS, 8);
    counters->interrupts += interrupts;
    for (uint64_t i = 0; i < count && i < LOG_ENTRIES; i++, entry += 4)
        counters->traps[*entry & 31]++;
}

enum pair_result pair_run(struct pair *pair, const char *title, bool counted,
                          struct pair_counters *counters)
{
    struct side *one = &pair->side[0], *other = &pair->side[1];
    enum cpu_stop stop = one->type->run(one->cpu, LIMIT);
    bool same;

    if (stop == CPU_STOP_LIMIT)
        return PAIR_TOO_LONG;
    BUG_ON(stop != CPU_STOP_WAIT);
    stop = run_translator(pair);
    if (stop != CPU_STOP_WAIT)
        fprintf(stderr, "%s: the translator does not come to its end: it is in %s at %#llx\n",
                title, mode_names[other->hart.privilege], ull(other->hart.pc));
    /* Those that nobody took. */
    for (unsigned i = 0; i < 2; i++)
        for (unsigned j = 0; j < 12; j++)
            riscv_hart_set_line(&pair->side[i].hart, j, false);
    count_traps(pair, M_LOG, M_DATA, counters);
    count_traps(pair, S_LOG, S_DATA, counters);
    counters->episodes++;
    same = compare_harts(pair, counted);
    same &= compare_all_memory(pair);
    if (same && stop == CPU_STOP_WAIT)
        return PAIR_SAME;
    fprintf(stderr, "%s: interpreter and translator differ\n", title);
    tell_log(pair, "M-mode", M_LOG, M_DATA);
    tell_log(pair, "S-mode", S_LOG, S_DATA);
    return PAIR_DIFFERENT;
}
