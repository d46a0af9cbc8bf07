/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/spec.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "network/segment.h"

static void free_text(char **text)
{
    free(*text);
}

/* The path up to the first single comma, unescaped in place; returns the rest or NULL. */
static char *split_path(char *text)
{
    char *to = text;

    for (char *from = text; *from; from++) {
        if (*from == ',') {
            if (from[1] != ',') {
                *to = 0;
                return from + 1;
            }
            from++;
        }
        *to++ = *from;
    }
    *to = 0;
    return NULL;
}

static int disk_add(struct machine_description *description, const struct machine_disk *disk,
                    const char *path, const char *serial, struct error *error)
{
    struct machine_disk *to = &description->disks[description->disk_count];

    *to = *disk;
    to->path = NULL;
    to->serial = NULL;
    if (description_set(&to->path, path) || (serial && description_set(&to->serial, serial))) {
        free(to->path);
        return error_set(error, ENOMEM, "cannot describe disk \"%s\": out of memory", path);
    }
    description->disk_count++;
    return 0;
}

int spec_disk(const char *text, struct machine_description *description, struct error *error)
{
    CLEANUP(free_text) char *copy = strdup(text);
    struct machine_disk disk = {0};
    const char *serial = NULL;
    char *rest, *word;

    if (!copy)
        return error_set(error, ENOMEM, "cannot read '--disk %s': out of memory", text);
    if (description->disk_count == MACHINE_DISKS_MAX)
        return error_usage(error, "too many disks at '--disk %s'; a machine takes %d", text,
                           MACHINE_DISKS_MAX);
    rest = split_path(copy);
    if (!*copy)
        return error_usage(error, "'--disk %s' names no file; use --disk FILE[,readonly]", text);
    while ((word = strsep(&rest, ","))) {
        if (strcmp(word, "readonly") == 0)
            disk.read_only = true;
        else if (strcmp(word, "ephemeral") == 0)
            disk.ephemeral = true;
        else if (strncmp(word, "serial=", 7) == 0)
            serial = word + 7;
        else
            return error_usage(error,
                               "unknown word \"%s\" in '--disk %s'; known are readonly, ephemeral "
                               "and serial=TEXT (a comma in a file name is written twice)",
                               word, text);
    }
    return disk_add(description, &disk, copy, serial, error);
}

/* A port number that fills the text up to `end`. */
static bool port_parse(const char *text, const char *end, uint16_t *port)
{
    unsigned value = 0;

    if (text == end)
        return false;
    for (; text < end; text++) {
        if (!isdigit((unsigned char)*text))
            return false;
        value = value * 10 + (unsigned)(*text - '0');
        if (value > 65535)
            return false;
    }
    *port = (uint16_t)value;
    return value > 0;
}

static bool address_parse(const char *text, size_t length, struct net_forward *forward)
{
    unsigned char raw[sizeof(struct in6_addr)];
    int family = AF_INET;

    if (length >= 2 && text[0] == '[' && text[length - 1] == ']') {
        text++;
        length -= 2;
        family = AF_INET6;
    }
    if (length >= sizeof(forward->host_address))
        return false;
    memcpy(forward->host_address, text, length);
    forward->host_address[length] = 0;
    return inet_pton(family, forward->host_address, raw) == 1;
}

int spec_forward(const char *text, struct machine_description *description, struct error *error)
{
    struct net_forward forward = {0};
    const char *end = strchr(text, '/'), *guest, *host;

    if (description->forward_count == MACHINE_FORWARDS_MAX)
        return error_usage(error, "too many forwards at '-p %s'; a machine takes %d", text,
                           MACHINE_FORWARDS_MAX);
    if (!end)
        end = text + strlen(text);
    else if (strcmp(end, "/udp") == 0)
        forward.udp = true;
    else if (strcmp(end, "/tcp") != 0)
        goto malformed;

    guest = memrchr(text, ':', (size_t)(end - text));
    if (!guest || !port_parse(guest + 1, end, &forward.guest_port))
        goto malformed;
    host = memrchr(text, ':', (size_t)(guest - text));
    if (!port_parse(host ? host + 1 : text, guest, &forward.host_port))
        goto malformed;
    if (host && !address_parse(text, (size_t)(host - text), &forward))
        goto malformed;
    description->forwards[description->forward_count++] = forward;
    return 0;

malformed:
    return error_usage(error,
                       "cannot read '-p %s'; use -p [ADDRESS:]HOST:GUEST[/udp] with ports from 1 "
                       "to 65535, as in -p 2222:22",
                       text);
}

static int network_add(const char *text, struct machine_description *description,
                       enum machine_network kind, const char *name, struct error *error)
{
    int r = description_add_interface(description, kind, name);

    if (r == -ENOSPC)
        return error_usage(error, "too many networks at '--net %s'; a machine takes %d", text,
                           MACHINE_NETS_MAX);
    return r ? error_set(error, ENOMEM, "cannot read '--net %s': out of memory", text) : 0;
}

int spec_network(const char *text, struct machine_description *description, struct error *error)
{
    if (strcmp(text, "user") == 0)
        return network_add(text, description, MACHINE_NET_USER, NULL, error);
    if (strcmp(text, "none") == 0)
        return network_add(text, description, MACHINE_NET_NONE, NULL, error);
    if (strncmp(text, "tap=", 4) == 0) {
        const char *name = text + 4;

        if (!*name || strlen(name) >= IFNAMSIZ || strpbrk(name, "/ :%"))
            return error_usage(error,
                               "\"%s\" is no name of a network interface; use --net tap=NAME with "
                               "at most %d letters",
                               name, IFNAMSIZ - 1);
        return network_add(text, description, MACHINE_NET_TAP, name, error);
    }
    if (!segment_name_is_valid(text))
        return error_usage(error,
                           "\"%s\" cannot be the name of a network; use --net user, none, "
                           "tap=NAME or a name of a-z 0-9 -",
                           text);
    return network_add(text, description, MACHINE_NET_NAMED, text, error);
}

int spec_console(const char *text, struct machine_description *description, struct error *error)
{
    if (strcmp(text, "serial") == 0)
        description->virtio_console = false;
    else if (strcmp(text, "virtio") == 0)
        description->virtio_console = true;
    else
        return error_usage(error, "unknown console \"%s\"; use --console serial or virtio", text);
    return 0;
}

int spec_paging(const char *text, struct machine_description *description, struct error *error)
{
    static const unsigned modes[] = {39, 48, 57};

    for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
        char name[8];

        snprintf(name, sizeof(name), "sv%u", modes[i]);
        if (strcmp(text, name) == 0) {
            description->paging = modes[i];
            return 0;
        }
    }
    return error_usage(error, "unknown paging mode \"%s\"; use --mmu sv39, sv48 or sv57", text);
}

int spec_vsock(const char *text, struct machine_description *description, struct error *error)
{
    CLEANUP(free_text) char *copy = strdup(text);
    uint32_t cid = description->vsock_cid;
    char *rest, *word;

    if (!copy)
        return error_set(error, ENOMEM, "cannot read '--vsock %s': out of memory", text);
    rest = split_path(copy);
    if (!*copy)
        return error_usage(error, "'--vsock %s' names no file; use --vsock PATH[,cid=N]", text);
    while ((word = strsep(&rest, ","))) {
        char *end;
        unsigned long value;

        if (strncmp(word, "cid=", 4) != 0)
            return error_usage(error,
                               "unknown word \"%s\" in '--vsock %s'; known is cid=N (a comma in a "
                               "file name is written twice)",
                               word, text);
        value = strtoul(word + 4, &end, 10);
        if (!isdigit((unsigned char)word[4]) || *end || value > UINT32_MAX)
            return error_usage(error, "cannot read '--vsock %s'; use a number for cid, as in cid=3",
                               text);
        cid = (uint32_t)value;
    }
    if (description_set(&description->vsock, copy))
        return error_set(error, ENOMEM, "cannot read '--vsock %s': out of memory", text);
    description->vsock_cid = cid;
    return 0;
}

int spec_memory(const char *text, struct machine_description *description, struct error *error)
{
    uint64_t bytes;
    int r = size_parse(text, &bytes);

    if (r == -ERANGE)
        return error_usage(error, "'--memory %s' is more than any machine has; use less", text);
    if (r)
        return error_usage(error,
                           "cannot read '--memory %s'; use a number and a unit, as in 512M "
                           "or 1G",
                           text);
    if (bytes > 0 && bytes < 65536)
        return error_usage(error, "'--memory %s' is in bytes; did you mean '--memory %sM'?", text,
                           text);
    description->memory = bytes;
    return 0;
}

int spec_bytes(const struct option_walk *walk, uint64_t *bytes, struct error *error)
{
    if (size_parse(walk->value, bytes))
        return error_usage(error, "cannot read '%s %s'; use a number and a unit, as in 512M or 1G",
                           walk->option->name, walk->value);
    if (*bytes > 0 && *bytes < 65536)
        return error_usage(error, "'%s %s' is in bytes; did you mean '%s %sM'?", walk->option->name,
                           walk->value, walk->option->name, walk->value);
    return 0;
}

int spec_memory_max(const struct option_walk *walk, struct machine_description *description,
                    struct error *error)
{
    static const char word[] = ",balloon";
    struct option_walk size = *walk;
    char text[SIZE_TEXT_MAX];
    size_t length = strlen(walk->value), rest = strlen(word);
    bool balloon = length >= rest && !strcmp(walk->value + length - rest, word);

    if (balloon && length - rest < sizeof(text)) {
        memcpy(text, walk->value, length - rest);
        text[length - rest] = 0;
        size.value = text;
    }
    description->memory_balloon = balloon;
    return spec_bytes(&size, &description->memory_max, error);
}

int spec_per_cent(const struct option_walk *walk, unsigned most, unsigned *number,
                  struct error *error)
{
    unsigned long value;
    char *end;

    if (!strcmp(walk->value, "none")) {
        *number = 0;
        return 0;
    }
    value = strtoul(walk->value, &end, 10);
    if (end == walk->value || walk->value[0] < '0' || walk->value[0] > '9' ||
        (*end && strcmp(end, "%") != 0) || value > most)
        return error_usage(error, "cannot read '%s %s'; use 1%% to %u%%, or none",
                           walk->option->name, walk->value, most);
    *number = (unsigned)value;
    return 0;
}

int spec_iops(const char *option, const char *text, uint64_t *iops, struct error *error)
{
    char *end;

    errno = 0;
    *iops = 0;
    if (strcmp(text, "none") == 0)
        return 0;
    *iops = strtoull(text, &end, 10);
    if (!isdigit((unsigned char)*text) || *end || errno || *iops > MACHINE_IOPS_MAX)
        return error_usage(error,
                           "'%s' takes a number of requests a second up to %u, or none, not "
                           "\"%s\"",
                           option, MACHINE_IOPS_MAX, text);
    return 0;
}

int spec_rate(const char *option, const char *text, uint64_t *rate, struct error *error)
{
    char most[SIZE_TEXT_MAX];
    int r;

    *rate = 0;
    if (strcmp(text, "none") == 0)
        return 0;
    r = size_parse(text, rate);
    if (r == -ERANGE || (!r && *rate > MACHINE_RATE_MAX))
        return error_usage(error, "'%s %s' is more than a limit can be; use %s or less, or none",
                           option, text, size_format(MACHINE_RATE_MAX, most));
    if (r)
        return error_usage(error,
                           "cannot read '%s %s'; use bytes a second with a unit, as in 20M, or "
                           "none",
                           option, text);
    if (*rate && *rate < MACHINE_RATE_MIN)
        return error_usage(error, "'%s %s' is in bytes a second; did you mean '%s %sM'?", option,
                           text, option, text);
    return 0;
}
