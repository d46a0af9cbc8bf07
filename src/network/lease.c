/* SPDX-License-Identifier: Apache-2.0 */
#include "network/lease.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "base/hash.h"

#define FIRST_LINE "hospes-leases 1 10.%u.%u\n"
#define HOST_FIRST 2u
#define HOST_LAST  254u

uint32_t lease_subnet(const char *network, unsigned attempt)
{
    uint64_t hash = hash128(network, strlen(network), attempt).word[0];

    /* 10.0.x.0 are left out: libslirp's 10.0.2.0 is among them. */
    return 10u << 24 | (uint32_t)(1 + hash % 255) << 16 | (uint32_t)(hash >> 32 & 0xff) << 8;
}

/* ---- the file ---- */

static bool name_is_valid(const char *name)
{
    return *name && !name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                       "0123456789-_.")];
}

static bool host_is_given(const struct lease_table *table, unsigned host)
{
    for (unsigned i = 0; i < table->count; i++)
        if (table->leases[i].host == host)
            return true;
    return false;
}

static void lease_parse_line(const char *line, struct lease_table *table)
{
    struct lease lease = {0};
    unsigned host;
    int end = 0;

    if (sscanf(line, "%63s %2u %3u%n", lease.name, &lease.index, &host, &end) != 3 || line[end] ||
        lease.index > LEASE_INDEX_MAX || host < HOST_FIRST || host > HOST_LAST ||
        table->count == LEASE_MAX || !name_is_valid(lease.name) || host_is_given(table, host) ||
        lease_find(table, lease.name, lease.index))
        return;
    lease.host = (uint8_t)host;
    table->leases[table->count++] = lease;
}

bool lease_parse(const char *text, size_t length, struct lease_table *table)
{
    const char *end = text + length, *next;
    char line[LEASE_NAME_MAX + 17];
    unsigned high, low;
    bool first = true;

    *table = (struct lease_table){0};
    for (; text < end; text = next + 1) {
        size_t size;

        next = memchr(text, '\n', (size_t)(end - text));
        if (!next)
            break;
        size = (size_t)(next - text);
        if (size < sizeof(line)) {
            memcpy(line, text, size);
            line[size] = 0;
        } else {
            line[0] = 0;
        }
        if (!first) {
            lease_parse_line(line, table);
            continue;
        }
        if (sscanf(line, "hospes-leases 1 10.%3u.%3u", &high, &low) != 2 || high < 1 ||
            high > 255 || low > 255)
            return false;
        table->subnet = 10u << 24 | high << 16 | low << 8;
        first = false;
    }
    return !first;
}

size_t lease_format(const struct lease_table *table, char text[LEASE_TEXT_MAX])
{
    size_t used = (size_t)snprintf(text, LEASE_TEXT_MAX, FIRST_LINE, table->subnet >> 16 & 0xff,
                                   table->subnet >> 8 & 0xff);

    for (unsigned i = 0; i < table->count; i++)
        used +=
            (size_t)snprintf(text + used, LEASE_TEXT_MAX - used, "%s %u %u\n",
                             table->leases[i].name, table->leases[i].index, table->leases[i].host);
    return used;
}

int lease_read(int directory, struct lease_table *table)
{
    CLEANUP(descriptor_close)
    int fd = openat(directory, LEASE_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    char text[LEASE_TEXT_MAX];
    size_t length = 0;
    ssize_t n = 1;

    if (fd < 0)
        return -errno;
    while (n && length < sizeof(text)) {
        n = read(fd, text + length, sizeof(text) - length);
        if (n < 0 && errno != EINTR)
            return -errno;
        length += n > 0 ? (size_t)n : 0;
    }
    return lease_parse(text, length, table) ? 0 : -EINVAL;
}

int lease_write(int directory, const struct lease_table *table)
{
    char text[LEASE_TEXT_MAX];
    size_t length = lease_format(table, text);
    int fd = openat(directory, LEASE_NEW_FILE,
                    O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    int r = fd < 0 ? -errno : descriptor_write_all(fd, text, length);

    if (!r && fsync(fd) < 0)
        r = -errno;
    descriptor_close(&fd);
    if (!r && renameat(directory, LEASE_NEW_FILE, directory, LEASE_FILE) < 0)
        r = -errno;
    if (r)
        unlinkat(directory, LEASE_NEW_FILE, 0);
    return r;
}

/* ---- giving ---- */

static unsigned lease_index(const struct lease_table *table, const char *name, unsigned index)
{
    unsigned i = 0;

    while (i < table->count &&
           (table->leases[i].index != index || strcmp(table->leases[i].name, name) != 0))
        i++;
    return i;
}

static void lease_drop(struct lease_table *table, unsigned i)
{
    table->count--;
    memmove(&table->leases[i], &table->leases[i + 1],
            (table->count - i) * sizeof(table->leases[0]));
}

uint8_t lease_find(const struct lease_table *table, const char *name, unsigned index)
{
    unsigned i = lease_index(table, name, index);

    return i < table->count ? table->leases[i].host : 0;
}

/* The free one that follows the hash of the name. */
static unsigned host_choose(const struct lease_table *table, const char *name, unsigned index)
{
    unsigned at = (unsigned)(hash128(name, strlen(name), index).word[0] % LEASE_MAX);

    while (host_is_given(table, HOST_FIRST + at))
        at = (at + 1) % LEASE_MAX;
    return HOST_FIRST + at;
}

uint8_t lease_give(struct lease_table *table, const char *name, unsigned index,
                   bool (*joined)(void *ctx, const char *name, unsigned index), void *ctx)
{
    unsigned i = lease_index(table, name, index), host = 0;

    if (i < table->count) {
        host = table->leases[i].host;
        lease_drop(table, i);
    } else if (table->count == LEASE_MAX) {
        for (i = 0; i < LEASE_MAX; i++)
            if (!joined(ctx, table->leases[i].name, table->leases[i].index))
                break;
        if (i == LEASE_MAX)
            return 0;
        lease_drop(table, i);
    }
    if (!host)
        host = host_choose(table, name, index);
    table->leases[table->count] = (struct lease){.index = index, .host = (uint8_t)host};
    strcpy(table->leases[table->count++].name, name);
    return (uint8_t)host;
}
