/* SPDX-License-Identifier: Apache-2.0 */
#include "image/parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "base/bits.h"
#include "image/file.h"

#define FIRST_LINE "hospes-parts 1\n"

/* Linux Documentation/arch/riscv/boot-image-header.rst: "magic2", little-endian "RSC\x05". */
#define IMAGE_MAGIC_OFFSET 0x38
#define IMAGE_MAGIC        0x05435352u

/* Decimal digits up to `stop`; no sign, no space, no overflow. */
static bool number_take(const char **cursor, const char *end, char stop, uint64_t *value)
{
    const char *p = *cursor;
    uint64_t v = 0;

    if (p == end || *p == stop)
        return false;
    for (; p < end && *p != stop; p++) {
        if (*p < '0' || *p > '9' || v > (UINT64_MAX - 9) / 10)
            return false;
        v = v * 10 + (uint64_t)(*p - '0');
    }
    if (p == end)
        return false;
    *cursor = p + 1;
    *value = v;
    return true;
}

static bool word_take(const char **cursor, const char *end, const char *word)
{
    size_t length = strlen(word);

    if ((size_t)(end - *cursor) < length || memcmp(*cursor, word, length) != 0)
        return false;
    *cursor += length;
    return true;
}

static int part_take(const char **cursor, const char *end, const char *word, uint64_t limit,
                     uint64_t disk_size, struct part *part, struct error *error)
{
    if (!word_take(cursor, end, word) || !number_take(cursor, end, ' ', &part->offset) ||
        !number_take(cursor, end, '\n', &part->length))
        return error_set(error, EINVAL, "the guest's result has no line \"%sOFFSET LENGTH\"", word);
    if (part->length == 0 || part->length > limit)
        return error_set(error, EINVAL, "the guest's result has a bad length in line \"%s\"", word);
    if (part->offset < PARTS_HEADER_SIZE || part->offset > disk_size ||
        part->length > disk_size - part->offset)
        return error_set(error, EINVAL, "the guest's result lies outside its disk in line \"%s\"",
                         word);
    return 0;
}

int parts_parse(const void *header, size_t length, uint64_t disk_size, struct parts *parts,
                struct error *error)
{
    const char *cursor = header;
    const char *end = cursor + strnlen(header, length);
    struct parts found;
    int ret;

    if (!word_take(&cursor, end, FIRST_LINE))
        return error_set(error, EINVAL, "the guest left no result");
    ret = part_take(&cursor, end, "kernel ", PARTS_KERNEL_MAX, disk_size, &found.kernel, error);
    if (ret)
        return ret;
    ret = part_take(&cursor, end, "initrd ", PARTS_INITRD_MAX, disk_size, &found.initrd, error);
    if (ret)
        return ret;
    if (!word_take(&cursor, end, "end\n"))
        return error_set(error, EINVAL, "the guest's result has no line \"end\"");
    *parts = found;
    return 0;
}

static int kernel_check(int fd, const struct part *part, struct error *error)
{
    unsigned char head[64];
    int ret;

    if (part->length < sizeof(head))
        return error_set(error, EINVAL, "the guest's kernel is too short");
    ret = file_read_at(fd, head, sizeof(head), part->offset);
    if (ret)
        return error_set(error, -ret, "cannot read the guest's kernel: %s", error_words(-ret));
    if (load_le32(head + IMAGE_MAGIC_OFFSET) != IMAGE_MAGIC)
        return error_set(error, EINVAL, "the guest's kernel is not a RISC-V Linux image");
    return 0;
}

int parts_extract(const char *path, const char *kernel, const char *initrd, struct error *error)
{
    unsigned char header[PARTS_HEADER_SIZE];
    CLEANUP(descriptor_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct parts parts;
    struct stat status;
    int ret;

    if (fd < 0 || fstat(fd, &status) < 0)
        return error_set(error, errno, "cannot open \"%s\": %s", path, error_words(errno));
    ret = file_read_at(fd, header, sizeof(header), 0);
    if (ret)
        return error_set(error, -ret, "cannot read \"%s\": %s", path, error_words(-ret));
    ret = parts_parse(header, sizeof(header), (uint64_t)status.st_size, &parts, error);
    if (ret)
        return ret;
    ret = kernel_check(fd, &parts.kernel, error);
    if (ret)
        return ret;
    ret = file_copy_range(fd, parts.kernel.offset, parts.kernel.length, kernel, error);
    if (ret)
        return ret;
    return file_copy_range(fd, parts.initrd.offset, parts.initrd.length, initrd, error);
}
