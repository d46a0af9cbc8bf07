/* SPDX-License-Identifier: Apache-2.0 */
#include "debug/commands.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "base/error.h"

/* Of a thread's id: more than any CPU's. */
#define THREAD_ALL UINT64_MAX
#define THREAD_ANY 0

/* Of target.xml, whose size follows from the table of registers. */
#define DESCRIPTION_MAX 16384

/* ---- reading ---- */

static bool take(const char **at, const char *text)
{
    size_t length = strlen(text);

    if (strncmp(*at, text, length) != 0)
        return false;
    *at += length;
    return true;
}

/* A hexadecimal number of 1 to 16 digits. */
static bool take_number(const char **at, uint64_t *value)
{
    const char *from = *at;
    int digit;

    *value = 0;
    for (; (digit = packet_digit(**at)) >= 0; ++*at) {
        if (*at - from == 16)
            return false;
        *value = *value << 4 | (unsigned)digit;
    }
    return *at != from;
}

static bool take_thread(const char **at, uint64_t *thread)
{
    if (take(at, "-1")) {
        *thread = THREAD_ALL;
        return true;
    }
    return take_number(at, thread) && *thread != THREAD_ALL;
}

/* Two digits a byte; exactly `length` bytes, and nothing behind them. */
static bool take_bytes(const char *at, uint8_t *to, size_t length)
{
    for (size_t i = 0; i < length; i++, at += 2) {
        int high = packet_digit(at[0]), low = high < 0 ? -1 : packet_digit(at[1]);

        if (low < 0)
            return false;
        to[i] = (uint8_t)(high << 4 | low);
    }
    return !*at;
}

static uint64_t value_of(const uint8_t *bytes, size_t length)
{
    uint64_t value = 0;

    for (size_t i = 0; i < length; i++)
        value |= (uint64_t)bytes[i] << (8 * i);
    return value;
}

/* ---- answering ---- */

static void PRINTF(2, 3) answer_add(struct gdb_answer *answer, const char *format, ...)
{
    const size_t room = sizeof(answer->data) - answer->length;
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(answer->data + answer->length, room, format, args);
    va_end(args);
    /* Whoever adds knows how much there can be. */
    BUG_ON(n < 0 || (size_t)n >= room);
    answer->length += (size_t)n;
}

static void answer_bytes(struct gdb_answer *answer, const void *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        answer_add(answer, "%02x", ((const uint8_t *)bytes)[i]);
}

/* Little-endian, as all that a register's number of bits holds. */
static void answer_value(struct gdb_answer *answer, uint64_t value, unsigned bits)
{
    for (unsigned i = 0; i < bits; i += 8)
        answer_add(answer, "%02x", (unsigned)(value >> i & 255));
}

/* A number that the protocol leaves to us: the errno value. */
static enum gdb_next answer_error(struct gdb_answer *answer, int code)
{
    answer->length = 0;
    answer_add(answer, "E%02x", (unsigned)code & 255);
    return GDB_ANSWERED;
}

static enum gdb_next answer_result(struct gdb_answer *answer, int r)
{
    if (r)
        return answer_error(answer, -r);
    answer_add(answer, "OK");
    return GDB_ANSWERED;
}

void gdb_answer_stop(const struct gdb_target *target, struct gdb_answer *answer)
{
    answer_add(answer, "T%02xthread:%x;", target->last_signal, target->last + 1);
}

/* ---- the target ---- */

static void PRINTF(2, 3) describe(struct gdb_target *target, const char *format, ...)
{
    const size_t room = DESCRIPTION_MAX - target->description_size;
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(target->description + target->description_size, room, format, args);
    va_end(args);
    BUG_ON(n < 0 || (size_t)n >= room); /* the table is our own */
    target->description_size += (size_t)n;
}

static void describe_registers(struct gdb_target *target)
{
    const char *feature = NULL;
    struct debug_register reg;

    for (unsigned i = 0; debug_register(i, &reg); i++) {
        if (!feature || strcmp(feature, reg.feature) != 0) {
            describe(target, "%s<feature name=\"%s\">\n", feature ? "</feature>\n" : "",
                     reg.feature);
            feature = reg.feature;
        }
        describe(target, "<reg name=\"%s\" bitsize=\"%u\" regnum=\"%u\"", reg.name, reg.bits,
                 reg.number);
        if (reg.type)
            describe(target, " type=\"%s\"", reg.type);
        describe(target, "/>\n");
    }
    describe(target, "</feature>\n");
}

int gdb_target_init(struct gdb_target *target, struct machine *machine)
{
    *target = (struct gdb_target){.machine = machine, .cpu_count = machine_cpu_count(machine)};
    target->description = malloc(DESCRIPTION_MAX);
    if (!target->description)
        return -ENOMEM;
    describe(target, "<?xml version=\"1.0\"?>\n<!DOCTYPE target SYSTEM \"gdb-target.dtd\">\n"
                     "<target version=\"1.0\">\n<architecture>riscv:rv64</architecture>\n");
    describe_registers(target);
    describe(target, "</target>\n");
    return 0;
}

void gdb_target_release(struct gdb_target *target)
{
    free(target->description);
    target->description = NULL;
}

bool gdb_target_attach(struct gdb_target *target)
{
    target->resumed = target->cpu_count;
    gdb_target_stop(target, 0, GDB_SIGNAL_TRAP);
    return target->debug != NULL;
}

static void target_resume(struct gdb_target *target, const enum debug_action *actions)
{
    target->debug = NULL;
    machine_debug_resume(target->machine, actions);
}

void gdb_target_detach(struct gdb_target *target)
{
    struct debug *debug = machine_debug_stop(target->machine);
    enum debug_action actions[MACHINE_CPUS_MAX];

    target->point_count = 0;
    if (!debug)
        return; /* it has ended */
    debug_clear_breakpoints(debug);
    for (unsigned i = 0; i < target->cpu_count; i++)
        actions[i] = DEBUG_GO;
    target_resume(target, actions);
}

void gdb_target_stop(struct gdb_target *target, unsigned cpu, unsigned signal)
{
    target->debug = machine_debug_stop(target->machine);
    target->current = target->last = cpu;
    target->last_signal = signal;
}

/* ---- registers ---- */

static bool register_find(uint64_t number, struct debug_register *reg)
{
    for (unsigned i = 0; debug_register(i, reg); i++)
        if (reg->number == number)
            return true;
    return false;
}

static enum gdb_next read_registers(struct gdb_target *target, const char *at,
                                    struct gdb_answer *answer)
{
    for (unsigned i = 0; i < DEBUG_DUMP_REGISTERS; i++) {
        uint64_t value;
        int r = debug_read_register(target->debug, target->current, i, &value);

        if (r)
            return answer_error(answer, -r);
        answer_value(answer, value, 64);
    }
    return GDB_ANSWERED;
}

static enum gdb_next write_registers(struct gdb_target *target, const char *at,
                                     struct gdb_answer *answer)
{
    uint8_t bytes[DEBUG_DUMP_REGISTERS * 8];
    size_t count = strlen(at) / 16;
    int r = 0;

    if (!count || count > DEBUG_DUMP_REGISTERS || !take_bytes(at, bytes, 8 * count))
        return answer_error(answer, EINVAL);
    for (unsigned i = 0; !r && i < count; i++)
        r = debug_write_register(target->debug, target->current, i, value_of(bytes + 8 * i, 8));
    return answer_result(answer, r);
}

static enum gdb_next read_register(struct gdb_target *target, const char *at,
                                   struct gdb_answer *answer)
{
    struct debug_register reg;
    uint64_t number, value;
    int r;

    if (!take_number(&at, &number) || *at || !register_find(number, &reg))
        return answer_error(answer, ENOENT);
    r = debug_read_register(target->debug, target->current, reg.number, &value);
    if (r)
        return answer_error(answer, -r);
    answer_value(answer, value, reg.bits);
    return GDB_ANSWERED;
}

static enum gdb_next write_register(struct gdb_target *target, const char *at,
                                    struct gdb_answer *answer)
{
    struct debug_register reg;
    uint8_t bytes[8];
    uint64_t number;

    if (!take_number(&at, &number) || !take(&at, "=") || !register_find(number, &reg) ||
        !take_bytes(at, bytes, reg.bits / 8))
        return answer_error(answer, EINVAL);
    return answer_result(answer, debug_write_register(target->debug, target->current, reg.number,
                                                      value_of(bytes, reg.bits / 8)));
}

/* ---- memory ---- */

static bool take_range(const char **at, uint64_t *address, uint64_t *length)
{
    return take_number(at, address) && take(at, ",") && take_number(at, length);
}

static enum gdb_next read_memory(struct gdb_target *target, const char *at,
                                 struct gdb_answer *answer)
{
    uint8_t bytes[PACKET_MAX / 2];
    uint64_t address, length, in_page;
    int r;

    if (!take_range(&at, &address, &length) || *at)
        return answer_error(answer, EINVAL);
    if (length > sizeof(bytes))
        length = sizeof(bytes);
    r = debug_read_memory(target->debug, target->current, address, bytes, length);
    in_page = PAGE_SIZE - (address & (PAGE_SIZE - 1));
    /* Less than was asked for is an answer, where the next page is not there. */
    if (r && length > in_page) {
        length = in_page;
        r = debug_read_memory(target->debug, target->current, address, bytes, length);
    }
    if (r)
        return answer_error(answer, -r);
    answer_bytes(answer, bytes, length);
    return GDB_ANSWERED;
}

static enum gdb_next write_memory(struct gdb_target *target, const char *at,
                                  struct gdb_answer *answer)
{
    uint8_t bytes[PACKET_MAX / 2];
    uint64_t address, length;

    if (!take_range(&at, &address, &length) || !take(&at, ":") || length > sizeof(bytes) ||
        !take_bytes(at, bytes, length))
        return answer_error(answer, EINVAL);
    return answer_result(answer, debug_write_memory(target->debug, target->current, address, bytes,
                                                    length));
}

/* `end` is that of the packet, whose bytes may be any here. */
static enum gdb_next write_binary(struct gdb_target *target, const char *at, const char *end,
                                  struct gdb_answer *answer)
{
    uint64_t address, length;

    if (!take_range(&at, &address, &length) || !take(&at, ":") || length != (uint64_t)(end - at))
        return answer_error(answer, EINVAL);
    return answer_result(answer,
                         debug_write_memory(target->debug, target->current, address, at, length));
}

/* ---- breakpoints ---- */

enum { POINT_SOFTWARE = 0, POINT_HARDWARE = 1 };

static int point_set(struct gdb_target *target, uint64_t address, unsigned kind)
{
    unsigned i = 0;
    int r;

    while (i < target->point_count && target->points[i].address != address)
        i++;
    if (i == target->point_count) {
        r = i == DEBUG_BREAKPOINTS ? -ENOSPC : debug_set_breakpoint(target->debug, address);
        if (r)
            return r;
        target->points[i].address = address;
        target->points[i].kinds = 0;
        target->point_count++;
    }
    target->points[i].kinds |= 1u << kind;
    return 0;
}

static int point_clear(struct gdb_target *target, uint64_t address, unsigned kind)
{
    for (unsigned i = 0; i < target->point_count; i++) {
        if (target->points[i].address != address)
            continue;
        target->points[i].kinds &= ~(1u << kind);
        if (!target->points[i].kinds) {
            debug_clear_breakpoint(target->debug, address);
            target->points[i] = target->points[--target->point_count];
        }
        break;
    }
    return 0;
}

/* Z and z; no answer is that of a kind which is not there. */
static enum gdb_next change_point(struct gdb_target *target, const char *at, bool set,
                                  struct gdb_answer *answer)
{
    uint64_t kind, address, size;

    if (!take_number(&at, &kind) || !take(&at, ",") || !take_range(&at, &address, &size))
        return answer_error(answer, EINVAL);
    if (kind != POINT_SOFTWARE && kind != POINT_HARDWARE)
        return GDB_ANSWERED;
    if (*at) /* conditions, which were not offered */
        return answer_error(answer, EINVAL);
    return answer_result(answer, set ? point_set(target, address, (unsigned)kind)
                                     : point_clear(target, address, (unsigned)kind));
}

/* ---- going on ---- */

/* c, s, C and S, with the address to go on at. The signal of the latter two is nothing to a
 * machine. */
static enum gdb_next resume(struct gdb_target *target, const char *at, bool step, bool signal,
                            struct gdb_answer *answer)
{
    enum debug_action actions[MACHINE_CPUS_MAX];
    unsigned chosen = target->resumed;
    uint64_t address;

    if (signal && (!take_number(&at, &address) || (*at && !take(&at, ";"))))
        return answer_error(answer, EINVAL);
    if (*at) {
        int r = take_number(&at, &address) && !*at
                    ? debug_write_register(target->debug, target->current, DEBUG_PC, address)
                    : -EINVAL;

        if (r)
            return answer_error(answer, -r);
    }
    /* A step is one CPU's, and the others stay where they are. */
    if (step && chosen == target->cpu_count)
        chosen = target->current;
    for (unsigned i = 0; i < target->cpu_count; i++) {
        bool goes = chosen == target->cpu_count || chosen == i;

        actions[i] = !goes ? DEBUG_HOLD : step ? DEBUG_STEP : DEBUG_GO;
    }
    target_resume(target, actions);
    return GDB_RUNS;
}

/* vCont;ACTION[:THREAD]...: for each CPU the first that names it. */
static enum gdb_next resume_each(struct gdb_target *target, const char *at,
                                 struct gdb_answer *answer)
{
    enum debug_action actions[MACHINE_CPUS_MAX] = {0};
    bool decided[MACHINE_CPUS_MAX] = {0}, any = false;

    while (take(&at, ";")) {
        const char letter = *at;
        uint64_t thread = THREAD_ALL, signal;

        if (!letter || !strchr("cCsS", letter))
            return answer_error(answer, EINVAL);
        at++;
        if ((letter == 'C' || letter == 'S') && !take_number(&at, &signal))
            return answer_error(answer, EINVAL);
        if (take(&at, ":") && !take_thread(&at, &thread))
            return answer_error(answer, EINVAL);
        if (thread == THREAD_ANY)
            thread = target->current + 1;
        if (thread != THREAD_ALL && thread > target->cpu_count)
            return answer_error(answer, ESRCH);
        for (unsigned i = 0; i < target->cpu_count; i++) {
            if (decided[i] || (thread != THREAD_ALL && thread != i + 1))
                continue;
            actions[i] = letter == 's' || letter == 'S' ? DEBUG_STEP : DEBUG_GO;
            decided[i] = any = true;
        }
    }
    if (*at || !any)
        return answer_error(answer, EINVAL);
    target_resume(target, actions);
    return GDB_RUNS;
}

/* ---- threads ---- */

static enum gdb_next choose_thread(struct gdb_target *target, const char *at,
                                   struct gdb_answer *answer)
{
    const char what = *at;
    uint64_t thread;

    if (what != 'g' && what != 'c')
        return answer_error(answer, EINVAL);
    at++;
    if (!take_thread(&at, &thread) || *at)
        return answer_error(answer, EINVAL);
    if (thread != THREAD_ALL && thread > target->cpu_count)
        return answer_error(answer, ESRCH);
    if (what == 'c')
        target->resumed =
            thread == THREAD_ALL || thread == THREAD_ANY ? target->cpu_count : (unsigned)thread - 1;
    else if (thread != THREAD_ALL && thread != THREAD_ANY)
        target->current = (unsigned)thread - 1;
    return answer_result(answer, 0);
}

static bool take_cpu(const struct gdb_target *target, const char *at, unsigned *cpu)
{
    uint64_t thread;

    if (!take_number(&at, &thread) || *at || !thread || thread > target->cpu_count)
        return false;
    *cpu = (unsigned)thread - 1;
    return true;
}

static enum gdb_next tell_thread(struct gdb_target *target, const char *at,
                                 struct gdb_answer *answer)
{
    char text[32];
    unsigned cpu;

    if (!take_cpu(target, at, &cpu))
        return answer_error(answer, ESRCH);
    snprintf(text, sizeof(text), "CPU %u%s", cpu,
             debug_cpu_started(target->debug, cpu) ? "" : " (not started)");
    answer_bytes(answer, text, strlen(text));
    return GDB_ANSWERED;
}

/* ---- queries ---- */

static enum gdb_next read_description(struct gdb_target *target, const char *at,
                                      struct gdb_answer *answer)
{
    uint64_t offset, length, left;

    if (!take(&at, "target.xml:") || !take_range(&at, &offset, &length) || *at ||
        offset > target->description_size)
        return answer_error(answer, EINVAL);
    left = target->description_size - offset;
    if (length > PACKET_MAX - 1)
        length = PACKET_MAX - 1;
    answer->data[answer->length++] = length < left ? 'm' : 'l';
    if (length > left)
        length = left;
    memcpy(answer->data + answer->length, target->description + offset, length);
    answer->length += length;
    return GDB_ANSWERED;
}

/* An empty answer says that the query is not known. */
static enum gdb_next query(struct gdb_target *target, const char *at, struct gdb_answer *answer)
{
    if (take(&at, "Supported")) {
        answer_add(answer,
                   "PacketSize=%x;qXfer:features:read+;QStartNoAckMode+;vContSupported+;"
                   "multiprocess-",
                   PACKET_MAX);
    } else if (take(&at, "Xfer:features:read:")) {
        return read_description(target, at, answer);
    } else if (take(&at, "ThreadExtraInfo,")) {
        return tell_thread(target, at, answer);
    } else if (!strcmp(at, "fThreadInfo")) {
        for (unsigned i = 0; i < target->cpu_count; i++)
            answer_add(answer, "%c%x", i ? ',' : 'm', i + 1);
    } else if (!strcmp(at, "sThreadInfo")) {
        answer_add(answer, "l");
    } else if (!strcmp(at, "C")) {
        answer_add(answer, "QC%x", target->current + 1);
    } else if (!strcmp(at, "Attached")) {
        answer_add(answer, "1"); /* a debugger that goes lets the machine go on */
    }
    return GDB_ANSWERED;
}

static enum gdb_next command_v(struct gdb_target *target, const char *at, struct gdb_answer *answer)
{
    if (!strcmp(at, "Cont?"))
        answer_add(answer, "vCont;c;C;s;S");
    else if (take(&at, "Cont"))
        return resume_each(target, at, answer);
    return GDB_ANSWERED;
}

/* What is answered also while the machine runs. True: it was that. */
static bool command_any_time(const char *packet, struct gdb_answer *answer, enum gdb_next *next)
{
    if (packet[0] == 'k') {
        *next = GDB_KILLED;
        return true;
    }
    if (!strncmp(packet, "vKill", 5)) {
        *next = GDB_KILLED;
    } else if (packet[0] == 'D') {
        *next = GDB_DETACHED;
    } else if (!strcmp(packet, "QStartNoAckMode")) {
        *next = GDB_NO_ACKS;
    } else {
        return false;
    }
    answer_add(answer, "OK");
    return true;
}

enum gdb_next gdb_command(struct gdb_target *target, const char *packet, size_t length,
                          struct gdb_answer *answer)
{
    const char *at = packet + (length > 0);
    enum gdb_next next;
    unsigned cpu;

    answer->length = 0;
    if (command_any_time(packet, answer, &next))
        return next;
    if (!target->debug)
        return answer_error(answer, EBUSY);
    switch (packet[0]) {
    case '?':
        gdb_answer_stop(target, answer);
        return GDB_ANSWERED;
    case 'g':
        return read_registers(target, at, answer);
    case 'G':
        return write_registers(target, at, answer);
    case 'p':
        return read_register(target, at, answer);
    case 'P':
        return write_register(target, at, answer);
    case 'm':
        return read_memory(target, at, answer);
    case 'M':
        return write_memory(target, at, answer);
    case 'X':
        return write_binary(target, at, packet + length, answer);
    case 'Z':
    case 'z':
        return change_point(target, at, packet[0] == 'Z', answer);
    case 'c':
    case 'C':
        return resume(target, at, false, packet[0] == 'C', answer);
    case 's':
    case 'S':
        return resume(target, at, true, packet[0] == 'S', answer);
    case 'H':
        return choose_thread(target, at, answer);
    case 'T':
        return answer_result(answer, take_cpu(target, at, &cpu) ? 0 : -ESRCH);
    case 'q':
        return query(target, at, answer);
    case 'v':
        return command_v(target, at, answer);
    default:
        return GDB_ANSWERED; /* empty: not known */
    }
}
