/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs one static riscv64 Linux program on an engine, for measuring what the translator makes of
 * code without a memory system around it: user mode, no translation, as much of Linux as a static
 * program of one thread that computes and prints needs.
 *
 * usage: run_static PROGRAM [ARGUMENT]...
 * HOSPES_ENGINE: as `hospes run --engine` (translate,windows=2)
 */
#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "cpu/engine.h"
#include "cpu/riscv/hart.h"
#include "memory/memory.h"

enum { SP = 2, A0 = 10, A1 = 11, A2 = 12, A3 = 13, A7 = 17, ECALL_U = 8 };

#define MSTATUS_FS  UINT64_C(0x6000)
#define MEMORY_SIZE (UINT64_C(2) << 30)
#define STACK_TOP   (MEMORY_SIZE - (1 << 20))
#define MAPPINGS    (UINT64_C(1) << 30) /* where mmap() begins */
#define WRITE_MOST  4096

struct process {
    struct address_space *memory;
    struct riscv_hart hart;
    uint64_t entry, headers, header_count;
    uint64_t break_start, break_now, map_next;
    int status;
    bool code_written; /* the program says that it wrote code */
};

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static uint64_t platform_time(void *ctx)
{
    return now_ns() / 100;
}

static void platform_set_stimecmp(void *ctx, unsigned hart, uint64_t deadline) {}

static uint16_t platform_entropy(void *ctx)
{
    return 0;
}

static const struct riscv_platform platform = {
    .time = platform_time,
    .set_stimecmp = platform_set_stimecmp,
    .entropy = platform_entropy,
};

static void *file_read(const char *path, size_t *size)
{
    FILE *file = fopen(path, "r");
    char *bytes = NULL;
    long length;

    if (!file)
        return NULL;
    if (!fseek(file, 0, SEEK_END) && (length = ftell(file)) > 0 && !fseek(file, 0, SEEK_SET)) {
        *size = (size_t)length;
        bytes = malloc(*size);
        if (bytes && fread(bytes, *size, 1, file) != 1) {
            free(bytes);
            bytes = NULL;
        }
    }
    fclose(file);
    return bytes;
}

static int load(struct process *p, const uint8_t *bytes, size_t size)
{
    Elf64_Ehdr ehdr;

    if (size < sizeof(ehdr))
        return -ENOEXEC;
    memcpy(&ehdr, bytes, sizeof(ehdr));
    if (memcmp(ehdr.e_ident, ELFMAG, SELFMAG) || ehdr.e_machine != EM_RISCV ||
        ehdr.e_type != ET_EXEC)
        return -ENOEXEC;
    p->entry = ehdr.e_entry;
    p->header_count = ehdr.e_phnum;
    for (unsigned i = 0; i < ehdr.e_phnum; i++) {
        uint64_t at = ehdr.e_phoff + i * sizeof(Elf64_Phdr);
        Elf64_Phdr phdr;

        if (at > size || size - at < sizeof(phdr))
            return -ENOEXEC;
        memcpy(&phdr, bytes + at, sizeof(phdr));
        if (phdr.p_type != PT_LOAD)
            continue;
        if (phdr.p_offset > size || size - phdr.p_offset < phdr.p_filesz ||
            memory_write(p->memory, phdr.p_vaddr, bytes + phdr.p_offset, phdr.p_filesz))
            return -ENOEXEC;
        if (ehdr.e_phoff >= phdr.p_offset && ehdr.e_phoff < phdr.p_offset + phdr.p_filesz)
            p->headers = phdr.p_vaddr + (ehdr.e_phoff - phdr.p_offset);
        if (phdr.p_vaddr + phdr.p_memsz > p->break_start)
            p->break_start = (phdr.p_vaddr + phdr.p_memsz + 4095) & ~UINT64_C(4095);
    }
    p->break_now = p->break_start;
    p->map_next = MAPPINGS;
    return 0;
}

static int put(struct process *p, uint64_t *sp, const void *bytes, uint64_t size)
{
    *sp -= size;
    return memory_write(p->memory, *sp, bytes, size);
}

/* The initial stack: argc, argv, no environment, auxiliary vector. */
static int make_stack(struct process *p, int argc, char **argv)
{
    static const uint8_t random[16] = {1, 2, 3, 4, 5, 6, 7, 8};
    uint64_t sp = STACK_TOP, vector[64], at = 0, random_at;
    int r;

    if (argc > 32)
        return -E2BIG;
    r = put(p, &sp, random, sizeof(random));
    random_at = sp;
    vector[at++] = (uint64_t)argc;
    for (int i = 0; i < argc && !r; i++) {
        r = put(p, &sp, argv[i], strlen(argv[i]) + 1);
        vector[at++] = sp;
    }
    vector[at++] = 0;
    vector[at++] = 0;
    const uint64_t auxiliary[] = {
        AT_PAGESZ,          4096,     AT_PHDR,         p->headers, AT_PHENT,
        sizeof(Elf64_Phdr), AT_PHNUM, p->header_count, AT_RANDOM,  random_at,
        AT_ENTRY,           p->entry, AT_NULL,         0};
    memcpy(vector + at, auxiliary, sizeof(auxiliary));
    at += sizeof(auxiliary) / 8;
    sp &= ~UINT64_C(15);
    sp -= at % 2 * 8;
    if (!r)
        r = put(p, &sp, vector, at * 8);
    p->hart.x[SP] = sp;
    return r;
}

static int64_t sys_write(struct process *p, uint64_t address, uint64_t length)
{
    char buffer[WRITE_MOST];

    if (length > sizeof(buffer))
        length = sizeof(buffer);
    if (memory_read(p->memory, address, buffer, length))
        return -EFAULT;
    return write(1, buffer, length);
}

static int64_t sys_clock_gettime(struct process *p, int clock, uint64_t to)
{
    struct timespec ts;
    int64_t words[2];

    if (clock_gettime(clock, &ts))
        return -errno;
    words[0] = ts.tv_sec;
    words[1] = ts.tv_nsec;
    return memory_write(p->memory, to, words, sizeof(words));
}

static int64_t sys_brk(struct process *p, uint64_t to)
{
    if (to >= p->break_start && to < MAPPINGS)
        p->break_now = to;
    return (int64_t)p->break_now;
}

/* Anonymous memory is never given back, so it is zero. */
static int64_t sys_mmap(struct process *p, uint64_t length)
{
    uint64_t at = p->map_next;

    length = (length + 4095) & ~UINT64_C(4095);
    if (length > STACK_TOP - (8 << 20) - at)
        return -ENOMEM;
    p->map_next += length;
    return (int64_t)at;
}

/* False: the process ended. */
static bool system_call(struct process *p)
{
    uint64_t *x = p->hart.x;
    int64_t result = 0;

    switch (x[A7]) {
    case 64: /* write */
        result = sys_write(p, x[A1], x[A2]);
        break;
    case 93: /* exit, exit_group */
    case 94:
        p->status = (int)(x[A0] & 0xff);
        return false;
    case 113:
        result = sys_clock_gettime(p, (int)x[A0], x[A1]);
        break;
    case 214:
        result = sys_brk(p, x[A0]);
        break;
    case 222:
        result = sys_mmap(p, x[A1]);
        break;
    case 96:  /* set_tid_address */
    case 178: /* gettid */
        result = 1;
        break;
    case 99:  /* set_robust_list */
    case 134: /* rt_sigaction */
    case 135: /* rt_sigprocmask */
    case 215: /* munmap */
    case 226: /* mprotect */
        break;
    case 259: /* riscv_flush_icache */
        p->code_written = true;
        break;
    case 220: /* clone */
        fputs("threads are not run here\n", stderr);
        p->status = 77; /* skipped */
        return false;
    default:
        result = -ENOSYS;
        break;
    }
    x[A0] = (uint64_t)result;
    p->hart.pc += 4;
    return true;
}

static const struct engine_type *engine_type(const char *name)
{
    return strncmp(name, "interpret", 9) ? &riscv_translator : &riscv_interpreter;
}

static int run(struct process *p)
{
    const char *name = getenv("HOSPES_ENGINE");
    const char *options = strchr(name ? name : "translate,windows=2", ',');
    const struct engine_type *type = engine_type(name ? name : "translate");
    const struct engine_config config = {.memory = p->memory,
                                         .cpu_count = 1,
                                         .options = options ? options + 1 : NULL};
    struct engine *engine = NULL;
    struct engine_cpu *cpu = NULL;

    p->status = 1;
    if (type->create(&config, &engine, NULL))
        return 1;
    if (!type->cpu_create(engine, 0, &p->hart, &cpu, NULL)) {
        do {
            if (p->code_written)
                type->flush_code(cpu);
            p->code_written = false;
            type->state_in(cpu);
            if (type->run(cpu, 0) != CPU_STOP_FIRMWARE)
                break;
            type->state_out(cpu);
            if (p->hart.mcause != ECALL_U) {
                fprintf(stderr, "trap at %#llx: cause %llu, value %#llx\n",
                        (unsigned long long)p->hart.pc, (unsigned long long)p->hart.mcause,
                        (unsigned long long)p->hart.mtval);
                p->status = 1;
                break;
            }
        } while (system_call(p));
        type->cpu_free(cpu);
    }
    type->free(engine);
    return p->status;
}

int main(int argc, char **argv)
{
    static struct process p;
    size_t size = 0;
    uint8_t *bytes = argc > 1 ? file_read(argv[1], &size) : NULL;
    uint64_t sp;
    int status = 1;

    if (!bytes) {
        fputs("usage: run_static PROGRAM [ARGUMENT]...\n", stderr);
        return 2;
    }
    if (!address_space_new(&p.memory)) {
        if (!memory_add_ram(p.memory, "process", 0, MEMORY_SIZE, true, NULL) &&
            !load(&p, bytes, size) && !make_stack(&p, argc - 1, argv + 1)) {
            p.hart.platform = &platform;
            p.hart.hosted_firmware = true;
            sp = p.hart.x[SP];
            riscv_hart_reset(&p.hart, p.entry, 0);
            memset(p.hart.x, 0, sizeof(p.hart.x));
            p.hart.x[SP] = sp;
            p.hart.privilege = 0;
            p.hart.medeleg = 0; /* every trap comes here */
            p.hart.mstatus |= MSTATUS_FS;
            p.hart.senvcfg = p.hart.menvcfg;
            status = run(&p);
        } else {
            fprintf(stderr, "cannot load \"%s\"\n", argv[1]);
        }
        address_space_free(p.memory);
    }
    free(bytes);
    return status;
}
