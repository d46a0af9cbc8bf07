/* SPDX-License-Identifier: Apache-2.0 */
/* Making and freeing a machine's and a CPU's part of the translator. */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/size.h"
#include "cpu/riscv/native_parts.h"
#include "cpu/riscv/privileged.h"

enum {
    HEAT = 30,
    UNIT_INSTRUCTIONS = 64,
    WINDOWS_ALL = 16,    /* of a machine, if that gives each CPU one */
    WINDOW_RUNS = 20000, /* of a machine: see window_init() */
};

#define CODE_MEMORY   (UINT64_C(64) << 20)
#define SPARE_SECONDS 30

/* ---- the guest's layout ---- */

#define X(n)          (offsetof(struct riscv_hart, x) + 8 * (n))
#define F(n)          (offsetof(struct riscv_hart, f) + 8 * (n))
#define FOUR(what, n) what(n), what((n) + 1), what((n) + 2), what((n) + 3)
#define ALL_32(what)                                                                               \
    FOUR(what, 0), FOUR(what, 4), FOUR(what, 8), FOUR(what, 12), FOUR(what, 16), FOUR(what, 20),   \
        FOUR(what, 24), FOUR(what, 28)

static const uint16_t offsets[LIFT_GLOBALS] = {ALL_32(X), ALL_32(F)};

/* The registers that compilers use most: the arguments, the stack, the first saved ones, and the
 * return address. */
static const uint8_t pinned_int[] = {10, 11, 12, 13, 14, 15, NATIVE_ANCHOR, 8, 9, 1};
/* fa0 to fa7, ft0 to ft3, fs0, fs1 */
static const uint8_t pinned_float[] = {42, 43, 44, 45, 46, 47, 48, 49, 32, 33, 34, 35, 40, 41};

static bool is_float(unsigned ref)
{
    return ref >= 32;
}

static const struct guest_layout layout = {
    .globals = LIFT_GLOBALS,
    .offsets = offsets,
    .is_float = is_float,
    .anchor = NATIVE_ANCHOR,
    .pinned_int = pinned_int,
    .pinned_int_count = ARRAY_SIZE(pinned_int),
    .pinned_float = pinned_float,
    .pinned_float_count = ARRAY_SIZE(pinned_float),
    .view_mask = SSTATUS_WRITABLE | MSTATUS_UXL,
    .view_bits = MSTATUS_FS,
    .view_writable = SSTATUS_WRITABLE,
    .view_plain = MSTATUS_SPIE | MSTATUS_SPP | MSTATUS_FS,
    .wanted_offset = offsetof(struct riscv_hart, mie),
    .pending_offset = {offsetof(struct riscv_hart, lines), offsetof(struct riscv_hart, soft)},
    .flags_offset = offsetof(struct riscv_hart, fflags),
    .poll_offset = offsetof(struct riscv_hart, signal.limit),
    .reserved_offset = offsetof(struct riscv_hart, reserved),
    .reserved_address_offset = offsetof(struct riscv_hart, reserved_address),
    .reserved_value_offset = offsetof(struct riscv_hart, reserved_value),
    .tlb_offset = offsetof(struct tlb, entries),
    .tlb_entries = TLB_SIZE,
    .tlb_entry_size = sizeof(struct tlb_entry),
    .tlb_read = offsetof(struct tlb_entry, read),
    .tlb_write = offsetof(struct tlb_entry, write),
    .tlb_addend = offsetof(struct tlb_entry, addend),
};

_Static_assert((int)NATIVE_RESERVED_PHYSICAL == (int)RISCV_RESERVED_PHYSICAL &&
                   (int)NATIVE_RESERVED_VIRTUAL == (int)RISCV_RESERVED_VIRTUAL &&
                   offsetof(struct riscv_hart, reserved_width) ==
                       offsetof(struct riscv_hart, reserved) + 2,
               "NATIVE_RESERVED() is two fields of the hart");

/* ---- options, machines, CPUs ---- */

struct options {
    uint64_t heat, unit, code, windows, regions, perf, spare, audit, locks;
};

static int options_read(struct options *options, const char *text, struct error *error)
{
    const struct {
        const char *name;
        uint64_t *value;
    } known[] = {
        {"heat=", &options->heat},       {"unit=", &options->unit},
        {"code=", &options->code},       {"windows=", &options->windows},
        {"regions=", &options->regions}, {"perf=", &options->perf},
        {"spare=", &options->spare},     {"audit=", &options->audit},
        {"locks=", &options->locks},
    };

    while (text && *text) {
        size_t length = strcspn(text, ","), name = 0;
        char number[24];
        unsigned i = 0;

        for (; i < ARRAY_SIZE(known); i++) {
            name = strlen(known[i].name);
            if (length > name && length - name < sizeof(number) &&
                !strncmp(text, known[i].name, name))
                break;
        }
        if (i == ARRAY_SIZE(known))
            return error_usage(error, "the translator does not know \"%.*s\"", (int)length, text);
        memcpy(number, text + name, length - name);
        number[length - name] = 0;
        if (size_parse(number, known[i].value))
            return error_usage(error, "\"%.*s\" wants a number", (int)length, text);
        text += length + (text[length] == ',');
    }
    if (options->heat > INT16_MAX || !options->unit || options->unit > UNIT_INSTRUCTIONS ||
        options->code < (1 << 20) || options->code > (1 << 30) || options->windows > 2 ||
        options->regions > 2 || options->locks < 1 || options->locks > 2 || options->spare > 3600)
        return error_usage(error, "the translator takes heat up to 32767, unit from 1 to 64, code "
                                  "from 1M to 1G, windows and regions up to 2");
    return 0;
}

const char *riscv_translator_missing(void)
{
    const struct host_type *host = host_native();

    return host ? host->missing() : "a code emitter for its architecture";
}

int native_engine_create(const struct engine_config *config, struct engine **engine,
                         struct error *error)
{
    struct options options = {.heat = HEAT,
                              .unit = UNIT_INSTRUCTIONS,
                              .code = CODE_MEMORY,
                              .windows = 1,
                              .regions = 1,
                              .locks = 1,
                              .spare = SPARE_SECONDS};
    const char *missing = riscv_translator_missing();
    struct native *native;
    int r;

    if (missing)
        return error_set(error, ENOTSUP, "this host cannot translate: it lacks %s", missing);
    r = options_read(&options, config->options, error);
    if (!r)
        r = interpreter_create(config, engine, error);
    if (r)
        return r;
    native = calloc(1, sizeof(*native));
    r = native ? translator_init(&native->translator, host_native(), &layout, &native_helpers,
                                 options.code, config->library)
               : -ENOMEM;
    if (r) {
        free(native);
        riscv_translator.free(*engine);
        *engine = NULL;
        return error_set(error, -r, "no memory for translated code");
    }
    if (options.perf && translator_open_perf_map(&native->translator))
        log_say(config->log, LOG_WARN, "cannot write a map for perf");
    native->ram = memory_main_ram(config->memory);
    if (native_profile_init(native, config->profile))
        log_say(config->log, LOG_WARN, "no memory for the code profile");
    /* Units of a library are as they were made. */
    if (options.audit || options.unit < UNIT_INSTRUCTIONS)
        native->translator.shared.library = NULL;
    if (native_library_init(native))
        log_say(config->log, LOG_WARN, "no memory for the library of translated code");
    native->translator.runtime.audit = options.audit != 0;
    native->translator.runtime.alone = config->cpu_count == 1 && options.locks != 2;
    native->unit_limit = (unsigned)options.unit;
    native->translator.spare_ns = options.spare * UINT64_C(1000000000);
    native->windows_of_cpu = WINDOWS_ALL / config->cpu_count;
    if (native->windows_of_cpu > WINDOWS_OF_CPU)
        native->windows_of_cpu = WINDOWS_OF_CPU;
    if (!native->windows_of_cpu)
        native->windows_of_cpu = 1;
    /* What a window shows has to be mapped a second time. */
    if (!options.windows || native->ram->fd < 0)
        native->windows_of_cpu = 0;
    native->window_at_once = options.windows == 2;
    native->window_runs = WINDOW_RUNS / (config->cpu_count * WINDOWS_OF_CPU);
    (*engine)->heat = (int32_t)options.heat;
    (*engine)->native = native;
    /* One instruction a unit is asked for where nothing else is wanted. */
    if (options.unit < UNIT_INSTRUCTIONS)
        options.regions = 0;
    native->regions_at_once = options.regions == 2;
    if (options.regions == 1 && native_regions_start(native, config->guard))
        log_say(config->log, LOG_WARN, "no thread for regions of hot code");
    return 0;
}

void native_free(struct native *native)
{
    if (!native)
        return;
    native_regions_stop(native);
    translator_release(&native->translator);
    native_profile_release(native);
    native_library_release(native);
    free(native);
}

int native_cpu_create(struct engine_cpu *cpu)
{
    struct translator *t = &cpu->engine->native->translator;

    cpu->native = calloc(1, sizeof(*cpu->native));
    if (!cpu->native)
        return -ENOMEM;
    cpu->native->stack = aligned_alloc(4096, NATIVE_STACK_SIZE);
    cpu->native->fault_stack = malloc(FAULT_STACK);
    if (!cpu->native->stack || !cpu->native->fault_stack) {
        free(cpu->native->stack);
        free(cpu->native->fault_stack);
        free(cpu->native);
        cpu->native = NULL;
        return -ENOMEM;
    }
    cpu->native->window_count = cpu->engine->native->windows_of_cpu;
    cpu->native->hart = cpu->hart;
    memset(cpu->native->places, 0xff, sizeof(cpu->native->places));
    t->host->make_stack(&t->runtime, &t->memory, cpu->native->stack + NATIVE_STACK_SIZE / 8 - 2);
    translator_add_cpu(t, &cpu->native->translator);
    /* It looked at them under another engine, and expects them to go on. */
    if (cpu->hart->counters_read)
        native_count(cpu);
    return 0;
}

void native_cpu_free(struct engine_cpu *cpu)
{
    if (!cpu->native)
        return;
    translator_remove_cpu(&cpu->engine->native->translator, &cpu->native->translator);
    cpu->hart->signal.floor = 0;
    for (unsigned i = 0; i < WINDOWS_OF_CPU; i++)
        window_release(&cpu->native->windows[i]);
    fault_leave(cpu);
    free(cpu->native->stack);
    free(cpu->native->fault_stack);
    free(cpu->native);
}

void native_context_init(struct engine_cpu *cpu, struct native_context *context)
{
    const struct ram *ram = cpu->engine->native->ram;

    context->stack_top = (uintptr_t)(cpu->native->stack + NATIVE_STACK_SIZE / 8 - 2);
    context->cpu = cpu;
    context->window_size = WINDOW_SIZE;
    context->counted = 0;
    context->gpa_offset = ram->base - (uintptr_t)ram->host;
    context->float_ready = context->float_wanted = false;
}
