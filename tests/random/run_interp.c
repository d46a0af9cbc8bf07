/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a program of tests/random on an engine of hospes: the hart is in U-mode, addresses are
 * physical, and of Linux there is write to standard output and exit. Status: the program's, or 1
 * with a line on standard error.
 */
#include <elf.h>
#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "cpu/engine.h"
#include "cpu/riscv/hart.h"
#include "memory/memory.h"

enum { A0 = 10, A1 = 11, A2 = 12, A7 = 17, SYS_WRITE = 64, SYS_EXIT = 93, ECALL_U = 8 };

#define MSTATUS_FS UINT64_C(0x6000)

static uint64_t platform_time(void *ctx)
{
    return 0;
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

/* One RAM holds all segments: engines have shortcuts for the main one. */
static int load(struct address_space *memory, const uint8_t *bytes, size_t size, uint64_t *entry)
{
    uint64_t low = UINT64_MAX, high = 0;
    Elf64_Ehdr ehdr;

    if (size < sizeof(ehdr))
        return -EINVAL;
    memcpy(&ehdr, bytes, sizeof(ehdr));
    *entry = le64toh(ehdr.e_entry);
    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; i < le16toh(ehdr.e_phnum); i++) {
            uint64_t at = le64toh(ehdr.e_phoff) + i * sizeof(Elf64_Phdr), offset, length, address;
            Elf64_Phdr phdr;

            if (at > size || size - at < sizeof(phdr))
                return -EINVAL;
            memcpy(&phdr, bytes + at, sizeof(phdr));
            offset = le64toh(phdr.p_offset);
            length = le64toh(phdr.p_filesz);
            address = le64toh(phdr.p_vaddr);
            if (offset > size || size - offset < length)
                return -EINVAL;
            if (address < low)
                low = address;
            if (address + le64toh(phdr.p_memsz) > high)
                high = address + le64toh(phdr.p_memsz);
            if (pass && memory_write(memory, address, bytes + offset, length))
                return -EINVAL;
        }
        low &= ~(uint64_t)(PAGE_SIZE - 1);
        high = (high + PAGE_SIZE - 1) & ~(uint64_t)(PAGE_SIZE - 1);
        if (!pass &&
            (low >= high || memory_add_ram(memory, "program", low, high - low, true, NULL)))
            return -ENOMEM;
    }
    return 0;
}

/* False: the program is done, or did what it must not; *status says how it ends. */
static bool handle_trap(struct riscv_hart *hart, struct address_space *memory, int *status)
{
    static char buffer[1 << 16];
    uint64_t length = hart->x[A2];

    if (hart->mcause != ECALL_U) {
        fprintf(stderr, "trap at %#llx: cause %llu, tval %#llx\n", (unsigned long long)hart->pc,
                (unsigned long long)hart->mcause, (unsigned long long)hart->mtval);
        return false;
    }
    if (hart->x[A7] == SYS_EXIT) {
        *status = (int)(hart->x[A0] & 0xff);
        return false;
    }
    if (hart->x[A7] != SYS_WRITE || hart->x[A0] != 1 || length > sizeof(buffer) ||
        memory_read(memory, hart->x[A1], buffer, length) ||
        fwrite(buffer, 1, length, stdout) != length) {
        fprintf(stderr, "system call %llu failed\n", (unsigned long long)hart->x[A7]);
        return false;
    }
    hart->x[A0] = length;
    hart->pc += 4;
    return true;
}

static int run(const struct engine_type *type, struct address_space *memory, uint64_t entry)
{
    const char *name = getenv("HOSPES_ENGINE");
    const char *options = name ? strchr(name, ',') : NULL;
    const struct engine_config config = {.memory = memory,
                                         .cpu_count = 1,
                                         .options = options ? options + 1 : NULL};
    struct riscv_hart hart = {.platform = &platform, .hosted_firmware = true};
    struct engine *engine = NULL;
    struct engine_cpu *cpu = NULL;
    int status = 1;

    if (type->create(&config, &engine, NULL))
        return 1;
    if (!type->cpu_create(engine, 0, &hart, &cpu, NULL)) {
        riscv_hart_reset(&hart, entry, 0);
        hart.privilege = RISCV_U;
        hart.medeleg = 0; /* every trap comes here */
        hart.mstatus |= MSTATUS_FS;
        hart.senvcfg = hart.menvcfg;
        do {
            type->state_in(cpu);
            if (type->run(cpu, 0) != CPU_STOP_FIRMWARE) {
                fputs("the engine stopped for another reason than a trap\n", stderr);
                break;
            }
            type->state_out(cpu);
        } while (handle_trap(&hart, memory, &status));
        type->cpu_free(cpu);
    }
    type->free(engine);
    return status;
}

/* As `hospes run --engine`: by HOSPES_ENGINE, the translator where it can run. */
static const struct engine_type *engine_type(void)
{
    const char *name = getenv("HOSPES_ENGINE");

    if (name && !strncmp(name, "interpret", 9))
        return &riscv_interpreter;
    return riscv_translator_missing() ? &riscv_interpreter : &riscv_translator;
}

int main(int argc, char **argv)
{
    struct address_space *memory;
    uint64_t entry = 0;
    size_t size = 0;
    uint8_t *bytes;
    int status = 1;

    if (argc != 2) {
        fputs("usage: random_run PROGRAM\n", stderr);
        return 2;
    }
    bytes = file_read(argv[1], &size);
    if (bytes && !address_space_new(&memory)) {
        if (!load(memory, bytes, size, &entry))
            status = run(engine_type(), memory, entry);
        else
            fprintf(stderr, "cannot load \"%s\"\n", argv[1]);
        address_space_free(memory);
    }
    free(bytes);
    return fflush(stdout) ? 1 : status;
}
