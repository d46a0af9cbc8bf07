/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random guests on the interpreter and on the translator at once; see compare.h. A seed makes a
 * program, its page tables and some episodes: the same on any host. Status 0: no difference; 77:
 * this host has no translator.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../unit/riscv_code.h"
#include "base/error.h"
#include "compare.h"
#include "cpu/profile.h"
#include "cpu/riscv/privileged.h"
#include "cpu/translate/library.h"

struct options {
    const char *engine;
    uint64_t seed;
    unsigned count, episodes;
    unsigned limit; /* exceptions of an episode */
    bool noise;     /* kicks, flushes and interrupts at any time */
    bool keep;      /* one pair of machines for all seeds */
    bool counted;   /* instret */
    bool big;
    bool reach;
    bool shared; /* each seed with a library of what it executed the first time */
    bool wrong;  /* the translator's memory is not what it should be, to see that it is found */
};

static uint64_t page(unsigned number)
{
    return RAM + REGION + number * (uint64_t)PAGE_SIZE;
}

static void write_guest(struct pair *pair, const struct guest *guest, uint64_t *rng)
{
    uint64_t pool[POOL_INTEGERS + POOL_FLOATS], scratch[2 * PAGE_SIZE / 8];

    for (unsigned i = 0; i < ARRAY_SIZE(scratch); i++)
        scratch[i] = random_next(rng);
    pair_write(pair, page(SCRATCH_LOW), scratch, sizeof(scratch));
    program_pool(rng, pool);
    pair_write(pair, page(SCRATCH_HIGH) + POOL, pool, sizeof(pool));
    pair_write(pair, RAM + REGION + guest->start, guest->image, guest->size);
    for (unsigned i = 0; i < TARGET_COUNT; i++)
        pair_write(pair, page(TARGETS + i), scratch, PAGE_SIZE);
    for (unsigned i = 0; i < VARIANT_COUNT; i++)
        for (unsigned j = 0; j < 2; j++) {
            const uint32_t code[2] = {ADDI(A0 + i % 4, A0 + i % 4, 100 * j + i), RET};

            pair_write(pair, RAM + VARIANTS + SUPERPAGE * j + PAGE_SIZE * (i / 16) + i % 16 * 8,
                       code, sizeof(code));
        }
}

/* Of U-mode without translation: all but the first 2 MiB, and code not for stores. */
static void write_pmp_reach(struct pair *pair)
{
    const uint8_t config[3] = {0x18, 0x1d, 0x1f};
    const uint64_t address[3] = {RAM >> 2 | 0x3ffff, (RAM + REGION) >> 2 | 0x7fff,
                                 UINT64_MAX >> 10};

    pair_set_pmp(pair, config, address, 3);
}

/* All may be accessed but, sometimes, one of the targets in part or for stores. */
static void write_pmp(struct pair *pair, uint64_t *rng)
{
    static const uint8_t access[] = {0, 1, 3, 4, 5, 7}; /* W without R is reserved */
    uint8_t config[3] = {0, 0, 0x1f};
    uint64_t address[3] = {0, 0, UINT64_MAX >> 10};

    if (random_below(rng, 3) == 0) {
        config[0] = 0x18 | access[random_below(rng, 6)]; /* NAPOT; 2 KiB of a page */
        address[0] = page(TARGETS + 2) >> 2 | 0xff;
        config[1] = 0x18 | access[random_below(rng, 6)]; /* a page */
        address[1] = page(TARGETS + 5) >> 2 | 0x1ff;
    }
    pair_set_pmp(pair, config, address, 3);
}

static void write_handler(struct pair *pair, gpa data, uint64_t log, uint64_t the_device,
                          uint64_t status_mask, unsigned limit, uint64_t *rng)
{
    pair_write64(pair, data + D_HASH, random_next(rng));
    pair_write64(pair, data + D_COUNT, 0);
    pair_write64(pair, data + D_LIMIT, limit);
    pair_write64(pair, data + D_LOG, log);
    pair_write64(pair, data + D_MULTIPLIER, UINT64_C(0x9e3779b97f4a7c15));
    pair_write64(pair, data + D_STATUS_MASK, status_mask);
    pair_write64(pair, data + D_DEVICE, the_device);
    pair_write64(pair, data + D_INTERRUPTS, 0);
    pair_write64(pair, data + D_REMAP, RAM + REMAPS);
}

/* An episode: a mode, an address space, and what is handed down. */
struct episode {
    struct space space;
    unsigned mode;
    uint64_t begin[BEGIN_COUNT];
};

static void choose(struct episode *e, const struct spaces *spaces, const struct guest *guest,
                   const struct options *options, bool first, bool bare, uint64_t *rng)
{
    static const unsigned modes[] = {RISCV_U, RISCV_S, RISCV_M},
                          floats[] = {3, 3, 3, 3, 3, 3, 3, 3, 2, 1, 0};
    const uint64_t delegated = 0xb0f7; /* not a call from U-mode: the firmware answers it */
    bool translated;

    if (options->reach ? !bare : random_below(rng, 4)) {
        e->space = spaces->space[random_below(rng, SPACES)];
        e->mode = e->space.user ? RISCV_U : RISCV_S;
    } else {
        e->space = space_bare();
        e->mode = options->reach ? RISCV_U : modes[random_below(rng, 3)];
    }
    translated = e->space.satp;
    e->begin[BEGIN_FLAGS] = first ? BEGIN_FENCE_I | BEGIN_FENCE_VMA : random_below(rng, 4);
    if (options->counted)
        e->begin[BEGIN_FLAGS] |= BEGIN_COUNT_ANEW;
    e->begin[BEGIN_STATUS] = MSTATUS_MPIE | MSTATUS_SPIE | MSTATUS_SIE | (uint64_t)e->mode << 11 |
                             (uint64_t)floats[random_below(rng, ARRAY_SIZE(floats))] << 13 |
                             (uint64_t)random_below(rng, 4) << 18;
    e->begin[BEGIN_PC] = e->space.region + guest->start + guest->entry;
    e->begin[BEGIN_SATP] = e->space.satp;
    /* Without translation S-mode's own would have to be U-mode's, too. */
    e->begin[BEGIN_MEDELEG] = random_below(rng, 2) && !bare ? random_next(rng) & delegated : 0;
    e->begin[BEGIN_MIDELEG] = bare ? 0 : random_next(rng) & RISCV_IRQ_S_ALL;
    e->begin[BEGIN_MIE] = RISCV_IRQ_S_ALL | RISCV_IRQ_M_ALL;
    e->begin[BEGIN_STVEC] = translated ? S_PAGES : RAM + S_CODE;
    e->begin[BEGIN_SSCRATCH] = translated ? S_PAGES + PAGE_SIZE : RAM + S_DATA;
    e->begin[BEGIN_MENVCFG] =
        (spaces->updates ? ENVCFG_ADUE : 0) | (random_below(rng, 8) ? ENVCFG_CBZE : 0);
    e->begin[BEGIN_SENVCFG] = random_below(rng, 8) ? ENVCFG_CBZE : 0;
    e->begin[BEGIN_GP] = e->space.region + SCRATCH_HIGH * PAGE_SIZE;
    e->begin[BEGIN_TP] = e->space.region + STACK_END * PAGE_SIZE;
}

static enum pair_result run_episode(struct pair *pair, struct spaces *spaces,
                                    const struct guest *guest, const struct options *options,
                                    unsigned number, uint64_t seed, bool bare, uint64_t *rng,
                                    struct pair_counters *counters)
{
    static const unsigned lines[] = {RISCV_IRQ_S_SOFT,  RISCV_IRQ_M_SOFT,     RISCV_IRQ_S_TIMER,
                                     RISCV_IRQ_M_TIMER, RISCV_IRQ_S_EXTERNAL, RISCV_IRQ_M_EXTERNAL};
    struct episode e;
    char title[256];
    bool translated;

    choose(&e, spaces, guest, options, number == 0, bare, rng);
    translated = e.space.satp;
    if (options->reach)
        space_reach(spaces, &e.space);
    else
        space_addresses(spaces, &e.space, guest);
    space_remaps(spaces, &e.space);
    write_handler(pair, RAM + M_DATA, RAM + M_LOG, DEVICE, MSTATUS_MPP | MSTATUS_FS, options->limit,
                  rng);
    write_handler(pair, RAM + S_DATA, translated ? S_PAGES + (S_LOG - S_CODE) : RAM + S_LOG,
                  translated ? S_PAGES + S_OWN * PAGE_SIZE : DEVICE, MSTATUS_SPP | MSTATUS_FS,
                  options->limit, rng);
    pair_write64(pair, RAM + M_DATA + D_MODES, !translated && !options->reach);
    pair_write(pair, RAM + M_DATA + D_BEGIN, e.begin, sizeof(e.begin));
    for (unsigned i = random_below(rng, 3); i; i--)
        pair_set_line(pair, lines[random_below(rng, 6)]);
    if (options->wrong && number == 1)
        pair_spoil(pair, page(TARGETS + TARGET_COUNT - 1));
    snprintf(title, sizeof(title), "--seed %llu, episode %u, mode %u, satp %#llx, region %#llx%s",
             (unsigned long long)seed, number, e.mode, (unsigned long long)e.space.satp,
             (unsigned long long)e.space.region, e.space.super ? " (one mapping)" : "");
    return pair_run(pair, title, options->counted, counters);
}

/* False: there is a difference. */
static bool run_seed(struct pair *pair, const struct options *options, uint64_t seed,
                     struct pair_counters *counters)
{
    uint64_t rng = seed;
    struct spaces spaces = {.pair = pair, .rng = &rng};
    struct guest_options guest_options = {
        .rng = &rng,
        .shares = random_below(&rng, 2),
        .calm = random_below(&rng, 4) != 0,
        .big = options->big,
        .interrupts = !options->counted,
    };
    struct guest guest;
    bool same = true, bare = options->reach && random_below(&rng, 3) == 0;

    spaces.shares = guest_options.shares;
    spaces.calm = guest_options.calm;
    spaces.updates = random_below(&rng, 2);
    spaces.reach = options->reach;
    if (options->reach)
        spaces.shares = guest_options.shares = false;
    BUG_ON(!(options->reach ? reach_make : guest_make)(&guest, &guest_options));
    write_guest(pair, &guest, &rng);
    if (bare)
        write_pmp_reach(pair);
    else
        write_pmp(pair, &rng);
    spaces_make(&spaces);
    for (unsigned i = 0; i < options->episodes && same; i++)
        switch (run_episode(pair, &spaces, &guest, options, i, seed, bare, &rng, counters)) {
        case PAIR_SAME:
            break;
        case PAIR_DIFFERENT:
            same = false;
            break;
        case PAIR_TOO_LONG: /* the two are no longer in the same place */
            counters->too_long++;
            i = options->episodes;
            break;
        }
    guest_free(&guest);
    return same;
}

/* Twice: the second one has the code of the first one as a library. */
static bool run_shared(const struct options *options, uint64_t seed, struct pair_counters *counters)
{
    struct pair_counters first = {0};
    struct profile *profile = NULL;
    struct library *library = NULL;
    char path[] = "/tmp/hospes-library.XXXXXX";
    int fd = mkstemp(path);
    struct pair *pair;
    bool same, made;

    BUG_ON(fd < 0 || profile_new(&profile));
    close(fd);
    pair = pair_new(options->engine, options->noise, profile, NULL);
    same = run_seed(pair, options, seed, &first);
    made = pair_make_library(pair, path);
    pair_free(pair, &first);
    BUG_ON(made && library_open(&library, path, NULL));
    unlink(path);
    if (made) {
        pair = pair_new(options->engine, options->noise, NULL, library);
        same = run_seed(pair, options, seed, counters) && same;
        pair_free(pair, counters);
    }
    library_close(library);
    profile_free(profile);
    return same;
}

static void tell(const struct pair_counters *counters)
{
    printf("episodes=%llu instructions=%llu too_long=%llu interrupts=%llu units=%llu shared=%llu "
           "dropped=%llu "
           "evicted=%llu "
           "window_fills=%llu polls=%llu helped=%llu traps=",
           (unsigned long long)counters->episodes, (unsigned long long)counters->instructions,
           (unsigned long long)counters->too_long, (unsigned long long)counters->interrupts,
           (unsigned long long)counters->engine.units,
           (unsigned long long)counters->engine.units_shared,
           (unsigned long long)counters->engine.units_dropped,
           (unsigned long long)counters->engine.segments_evicted,
           (unsigned long long)counters->engine.window_fills,
           (unsigned long long)counters->engine.exits_poll,
           (unsigned long long)counters->engine.helped_instructions);
    for (unsigned i = 0; i < ARRAY_SIZE(counters->traps); i++)
        if (counters->traps[i])
            printf("%u:%llu,", i, (unsigned long long)counters->traps[i]);
    printf("\n");
}

static int usage(void)
{
    fputs("usage: random_compare [--engine OPTIONS] [--seed N] [--count N] [--episodes N]\n"
          "                      [--limit N] [--noise] [--keep] [--counted] [--big] [--reach] "
          "[--shared] [--wrong]\n",
          stderr);
    return 2;
}

int main(int argc, char **argv)
{
    static const struct option known[] = {
        {"engine", required_argument, NULL, 'e'},
        {"seed", required_argument, NULL, 's'},
        {"count", required_argument, NULL, 'c'},
        {"episodes", required_argument, NULL, 'p'},
        {"limit", required_argument, NULL, 'l'},
        {"noise", no_argument, NULL, 'n'},
        {"keep", no_argument, NULL, 'k'},
        {"counted", no_argument, NULL, 'i'},
        {"big", no_argument, NULL, 'b'},
        {"reach", no_argument, NULL, 'r'},
        {"wrong", no_argument, NULL, 'w'},
        {"shared", no_argument, NULL, 'h'},
        {0},
    };
    struct options options = {.seed = 1, .count = 1, .episodes = 5};
    struct pair_counters counters = {0};
    struct pair *pair = NULL;
    int option, failures = 0;

    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (option) {
        case 'e':
            options.engine = optarg;
            break;
        case 's':
            options.seed = strtoull(optarg, NULL, 0);
            break;
        case 'c':
            options.count = (unsigned)strtoul(optarg, NULL, 0);
            break;
        case 'p':
            options.episodes = (unsigned)strtoul(optarg, NULL, 0);
            break;
        case 'l':
            options.limit = (unsigned)strtoul(optarg, NULL, 0);
            break;
        case 'n':
            options.noise = true;
            break;
        case 'k':
            options.keep = true;
            break;
        case 'i':
            options.counted = true;
            break;
        case 'b':
            options.big = true;
            break;
        case 'r':
            options.reach = true;
            break;
        case 'h':
            options.shared = true;
            break;
        case 'w':
            options.wrong = true;
            break;
        default:
            return usage();
        }
    }
    /* Nearly every access of the one kind is an exception. */
    if (!options.limit)
        options.limit = options.reach ? 1500 : 300;
    if (optind != argc || (options.counted && options.noise))
        return usage();
    if (riscv_translator_missing()) {
        printf("this host lacks %s\n", riscv_translator_missing());
        return 77;
    }
    for (unsigned i = 0; i < options.count && failures < 5; i++) {
        uint64_t too_long = counters.too_long;

        if (options.shared) {
            failures += !run_shared(&options, options.seed + i, &counters);
            continue;
        }
        if (!pair)
            pair = pair_new(options.engine, options.noise, NULL, NULL);
        failures += !run_seed(pair, &options, options.seed + i, &counters);
        if (options.keep && !failures && counters.too_long == too_long)
            continue;
        pair_free(pair, &counters);
        pair = NULL;
    }
    if (pair)
        pair_free(pair, &counters);
    tell(&counters);
    return failures ? 1 : 0;
}
