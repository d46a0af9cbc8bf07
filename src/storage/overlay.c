/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bits.h"

static int file_open_unnamed(const char *directory)
{
    char path[512];
    int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);

    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR))
        return fd;
    /* A file system without O_TMPFILE: make a name and take it away. */
    if (snprintf(path, sizeof(path), "%s/hospes-XXXXXX", directory) >= (int)sizeof(path))
        return -1;
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        unlink(path);
    return fd;
}

static int overlay_open_file(struct overlay *overlay, const struct log *log)
{
    const char *const directories[] = {secure_getenv("TMPDIR"), "/var/tmp", "/tmp"};
    unsigned i;

    for (i = 0; i < ARRAY_SIZE(directories); i++) {
        int fd = directories[i] ? file_open_unnamed(directories[i]) : -1;

        if (fd >= 0) {
            snprintf(overlay->directory, sizeof(overlay->directory), "%s", directories[i]);
            return fd;
        }
    }
    log_say(log, LOG_WARN,
            "no directory for temporary files takes one: the changes of an ephemeral disk are "
            "kept in memory; set TMPDIR to a directory with room");
    snprintf(overlay->directory, sizeof(overlay->directory), "memory");
    return memfd_create("hospes-overlay", MFD_CLOEXEC);
}

int overlay_init(struct overlay *overlay, uint64_t size, const struct log *log, struct error *error)
{
    uint64_t sectors = size / SECTOR_SIZE;

    overlay->words = round_up(sectors, 64) / 64;
    overlay->fd = overlay_open_file(overlay, log);
    /* Full size from the start, so that reading never meets the end of the file. */
    if (overlay->fd < 0 || ftruncate(overlay->fd, (off_t)size) < 0) {
        int r = errno;

        if (overlay->fd >= 0)
            close(overlay->fd);
        return error_set(error, r,
                         "cannot make a temporary file of %llu bytes in \"%s\" for the changes: "
                         "%s; set TMPDIR to another directory",
                         (unsigned long long)size, overlay->directory, error_words(r));
    }
    overlay->present = mmap(NULL, overlay->words * 8, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (overlay->present == MAP_FAILED) {
        int r = errno;

        close(overlay->fd);
        return error_set(error, r, "cannot map the changes of an ephemeral disk: %s",
                         error_words(r));
    }
    return 0;
}

void overlay_release(struct overlay *overlay)
{
    munmap(overlay->present, overlay->words * 8);
    close(overlay->fd);
}

/* The first sector in [at, end) whose bit is not `value`, or end. */
static uint64_t present_find_other(const uint64_t *present, uint64_t at, uint64_t end, bool value)
{
    uint64_t flip = value ? ~0ull : 0;

    while (at < end) {
        uint64_t word = (present[at / 64] ^ flip) >> (at % 64);

        if (word) {
            at += (uint64_t)__builtin_ctzll(word);
            return at < end ? at : end;
        }
        at = round_down(at, 64) + 64;
    }
    return end;
}

uint64_t overlay_run(const struct overlay *overlay, uint64_t offset, uint64_t length, bool *present)
{
    uint64_t at = offset / SECTOR_SIZE;
    uint64_t end = (offset + length + SECTOR_SIZE - 1) / SECTOR_SIZE;
    uint64_t run;

    *present = overlay->present[at / 64] >> (at % 64) & 1;
    run = present_find_other(overlay->present, at, end, *present) * SECTOR_SIZE - offset;
    return run < length ? run : length;
}

void overlay_mark(struct overlay *overlay, uint64_t offset, uint64_t length)
{
    uint64_t at = offset / SECTOR_SIZE;
    uint64_t end = at + length / SECTOR_SIZE;

    while (at < end) {
        uint64_t next = round_down(at, 64) + 64;
        uint64_t count = (next < end ? next : end) - at;

        overlay->present[at / 64] |= (~0ull >> (64 - count)) << (at % 64);
        at += count;
    }
}
