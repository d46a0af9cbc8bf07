/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/description.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/host.h"
#include "base/size.h"
#include "base/unix_socket.h"
#include "device/virtio/vsock.h"
#include "network/segment.h"

#define MEMORY_GRAIN   (2ull << 20)
#define SERIAL_MAX     20 /* virtio 1.2, 5.2.6.1: VIRTIO_BLK_ID_BYTES */
#define NAME_MAX_BYTES 63 /* a DNS label (RFC 1035, 2.3.4), for the DHCP lease */
/* The kernel's command line (COMMAND_LINE_SIZE of Linux on riscv is 1024). */
#define APPEND_MAX 1023

void description_init(struct machine_description *description)
{
    *description = (struct machine_description){
        .cpus = host_cpus() < 2 ? 1 : 2,
        .memory = 1ull << 30,
        .paging = 39,
        .interfaces = {{.kind = MACHINE_NET_USER, .implied = true}},
        .interface_count = 1,
        .vsock_cid = 3,
    };
}

void description_release(struct machine_description *description)
{
    free(description->name);
    free(description->engine);
    free(description->profile);
    free(description->library);
    free(description->new_library);
    free(description->firmware);
    free(description->kernel);
    free(description->initrd);
    free(description->append);
    for (unsigned i = 0; i < description->disk_count; i++) {
        free(description->disks[i].path);
        free(description->disks[i].serial);
    }
    for (unsigned i = 0; i < description->interface_count; i++) {
        free(description->interfaces[i].name);
        free(description->interfaces[i].tap);
        free(description->interfaces[i].mac);
    }
    free(description->networks);
    free(description->agent);
    free(description->vsock);
    *description = (struct machine_description){0};
}

int description_set(char **field, const char *text)
{
    char *copy = text ? strdup(text) : NULL;

    if (text && !copy)
        return -ENOMEM;
    free(*field);
    *field = copy;
    return 0;
}

int description_add_interface(struct machine_description *d, enum machine_network kind,
                              const char *name)
{
    bool replaces = d->interface_count == 1 && d->interfaces[0].implied;
    struct machine_interface *to = &d->interfaces[replaces ? 0 : d->interface_count];
    struct machine_interface made = {.kind = kind};

    if (!replaces && d->interface_count == MACHINE_NETS_MAX)
        return -ENOSPC;
    if (description_set(kind == MACHINE_NET_TAP ? &made.tap : &made.name, name))
        return -ENOMEM;
    if (replaces)
        free(to->mac);
    *to = made;
    d->interface_count += !replaces;
    return 0;
}

bool description_has_network(const struct machine_description *d, enum machine_network kind)
{
    for (unsigned i = 0; i < d->interface_count; i++)
        if (d->interfaces[i].kind == kind)
            return true;
    return false;
}

static int check_boot(const struct machine_description *d, struct error *error)
{
    if (!d->kernel && !d->firmware)
        return error_usage(error, "nothing to boot; give an image, --kernel FILE or --bios FILE");
    if (d->initrd && !d->kernel)
        return error_usage(error, "'--initrd' needs a kernel; add --kernel FILE");
    if (d->append && !d->kernel)
        return error_usage(error, "'--append' needs a kernel; add --kernel FILE");
    if (d->append && strlen(d->append) > APPEND_MAX)
        return error_usage(error, "the kernel's command line is longer than %d bytes; shorten it",
                           APPEND_MAX);
    return 0;
}

static int check_memory_max(const struct machine_description *d, struct error *error)
{
    char asked[SIZE_TEXT_MAX], now[SIZE_TEXT_MAX], bound[SIZE_TEXT_MAX];

    if (d->memory_max < d->memory || d->memory_max > MACHINE_MEMORY_MAX)
        return error_usage(error,
                           "%s of memory at the most (--memory-max) is out of range; with %s now "
                           "use that to %s",
                           size_format(d->memory_max, asked), size_format(d->memory, now),
                           size_format(MACHINE_MEMORY_MAX, bound));
    if (d->memory_max % MEMORY_GRAIN)
        return error_usage(error,
                           "memory of %llu bytes at the most (--memory-max) is no multiple of %s; "
                           "round it up to %lluM",
                           (unsigned long long)d->memory_max, size_format(MEMORY_GRAIN, bound),
                           (unsigned long long)((d->memory_max / MEMORY_GRAIN + 1) * 2));
    return 0;
}

static int check_memory(const struct machine_description *d, struct error *error)
{
    char asked[SIZE_TEXT_MAX], bound[SIZE_TEXT_MAX];

    if (d->memory < MACHINE_MEMORY_MIN)
        return error_usage(error, "%s of memory are too little; a machine takes %s or more",
                           size_format(d->memory, asked), size_format(MACHINE_MEMORY_MIN, bound));
    if (d->memory > MACHINE_MEMORY_MAX)
        return error_usage(error, "%s of memory are too much; a machine takes %s or less",
                           size_format(d->memory, asked), size_format(MACHINE_MEMORY_MAX, bound));
    if (d->memory % MEMORY_GRAIN)
        return error_usage(error, "memory of %llu bytes is no multiple of %s; round it up to %lluM",
                           (unsigned long long)d->memory, size_format(MEMORY_GRAIN, bound),
                           (unsigned long long)((d->memory / MEMORY_GRAIN + 1) * 2));
    return d->memory_max ? check_memory_max(d, error) : 0;
}

/* Letters, digits, "-", "_" and ".": the name goes into DHCP packets and thread names. */
static int check_name(const char *name, struct error *error)
{
    size_t length = strlen(name);

    if (length == 0 || length > NAME_MAX_BYTES)
        return error_usage(error, "the name \"%s\" has %zu letters; use 1 to %d", name, length,
                           NAME_MAX_BYTES);
    for (const char *p = name; *p; p++) {
        if (!isascii(*p) || !(isalnum(*p) || strchr("-_.", *p)))
            return error_usage(error,
                               "the name \"%s\" has other letters than a-z A-Z 0-9 - _ .; "
                               "choose another",
                               name);
    }
    return 0;
}

static int check_disk(const struct machine_description *d, unsigned index, struct error *error)
{
    const struct machine_disk *disk = &d->disks[index];

    if (!disk->path || !*disk->path)
        return error_usage(error, "disk %u names no file", index);
    if (disk->serial) {
        if (strlen(disk->serial) > SERIAL_MAX)
            return error_usage(error,
                               "the serial number \"%s\" is longer than %d bytes; shorten "
                               "it",
                               disk->serial, SERIAL_MAX);
        for (const char *p = disk->serial; *p; p++) {
            if (!isascii(*p) || !isprint(*p))
                return error_usage(error,
                                   "the serial number of disk \"%s\" is not printable "
                                   "ASCII; choose another",
                                   disk->path);
        }
    }
    /* Two writers of one image would destroy it; the lock would find out too, but later. */
    for (unsigned i = 0; i < index; i++) {
        if (strcmp(d->disks[i].path, disk->path) == 0 &&
            !(d->disks[i].read_only && disk->read_only))
            return error_usage(error,
                               "disk \"%s\" is given twice; give it once, or both times "
                               "with ,readonly",
                               disk->path);
    }
    return 0;
}

static bool mac_is_valid(const char *mac)
{
    for (unsigned i = 0; i < 17; i++) {
        if (i % 3 == 2 ? mac[i] != ':' : !isxdigit((unsigned char)mac[i]))
            return false;
    }
    /* The lowest bit of the first byte marks groups, which no interface is (IEEE 802, 8.2). */
    return mac[17] == 0 && !strchr("13579bdfBDF", mac[1]);
}

static int check_forwards(const struct machine_description *d, struct error *error)
{
    if (d->forward_count && !description_has_network(d, MACHINE_NET_USER))
        return error_usage(error, "port forwards work in the user network only; leave out '-p' or "
                                  "use --net user");
    for (unsigned i = 0; i < d->forward_count; i++) {
        for (unsigned j = 0; j < i; j++) {
            const struct net_forward *a = &d->forwards[i], *b = &d->forwards[j];

            if (a->udp == b->udp && a->host_port == b->host_port &&
                strcmp(a->host_address, b->host_address) == 0)
                return error_usage(error,
                                   "host port %u is forwarded twice; give each host port "
                                   "once",
                                   a->host_port);
        }
    }
    return 0;
}

static int check_interface(const struct machine_description *d, unsigned index, struct error *error)
{
    const struct machine_interface *interface = &d->interfaces[index];

    if (interface->kind == MACHINE_NET_NONE && d->interface_count > 1)
        return error_usage(error, "'--net none' goes with no other network; leave out one");
    if (interface->kind == MACHINE_NET_TAP && !interface->tap)
        return error_usage(error, "the tap network names no interface; use --net tap=NAME");
    if (interface->kind == MACHINE_NET_NAMED &&
        (!interface->name || !segment_name_is_valid(interface->name)))
        return error_usage(error,
                           "\"%s\" cannot be the name of a network; use 1 to %d of a-z 0-9 -, as "
                           "in lab",
                           interface->name ? interface->name : "", (int)SEGMENT_NAME_MAX);
    if (interface->mac && !mac_is_valid(interface->mac))
        return error_usage(error,
                           "\"%s\" is no address of a network interface; use the form "
                           "52:54:00:12:34:56",
                           interface->mac);
    /* Both would be 10.0.2.15, with the forwards at one of them. */
    for (unsigned i = 0; i < index; i++)
        if (interface->kind == MACHINE_NET_USER && d->interfaces[i].kind == MACHINE_NET_USER)
            return error_usage(error, "the user network is given twice; give it once");
    return 0;
}

static int check_sockets(const struct machine_description *d, struct error *error)
{
    if (!d->vsock)
        return 0;
    if (!*d->vsock)
        return error_usage(error, "'--vsock' names no file; use --vsock PATH");
    if (strlen(d->vsock) > VSOCK_PATH_MAX)
        return error_usage(error,
                           "the path \"%s\" is too long for sockets; use one of %d letters or less",
                           d->vsock, VSOCK_PATH_MAX);
    /* virtio 1.2, 5.10.4 */
    if (d->vsock_cid < VSOCK_CID_MIN || d->vsock_cid > VSOCK_CID_MAX)
        return error_usage(error,
                           "%u cannot be the context identifier of a guest; use one from %u to %u",
                           d->vsock_cid, VSOCK_CID_MIN, VSOCK_CID_MAX);
    return 0;
}

static int check_rate(const char *what, uint64_t rate, struct error *error)
{
    char asked[SIZE_TEXT_MAX], bound[SIZE_TEXT_MAX];

    if (rate && rate < MACHINE_RATE_MIN)
        return error_usage(error, "%s of %s a second is too little; a limit is %s or more", what,
                           size_format(rate, asked), size_format(MACHINE_RATE_MIN, bound));
    if (rate > MACHINE_RATE_MAX)
        return error_usage(error, "%s of %s a second is too much; a limit is %s or less", what,
                           size_format(rate, asked), size_format(MACHINE_RATE_MAX, bound));
    return 0;
}

int description_check_limits(const struct machine_limits *limits, struct error *error)
{
    int r = 0;

    if (limits->disk_iops > MACHINE_IOPS_MAX)
        r = error_usage(error,
                        "a limit of %llu disk requests a second is too much; a limit is %u or less",
                        (unsigned long long)limits->disk_iops, MACHINE_IOPS_MAX);
    if (!r)
        r = check_rate("a disk limit", limits->disk_bytes, error);
    if (!r)
        r = check_rate("a network limit", limits->net_rate_in, error);
    if (!r)
        r = check_rate("a network limit", limits->net_rate_out, error);
    return r;
}

static int check_network(const struct machine_description *d, struct error *error)
{
    int r = 0;

    for (unsigned i = 0; !r && i < d->interface_count; i++)
        r = check_interface(d, i, error);
    if (!r && description_has_network(d, MACHINE_NET_NAMED) && !d->name)
        r = error_usage(error, "a machine needs a name in a network; use --name NAME");
    return r ? r : check_forwards(d, error);
}

int description_check(const struct machine_description *description, struct error *error)
{
    int r = check_boot(description, error);

    if (!r && description->paging && description->paging != 39 && description->paging != 48 &&
        description->paging != 57)
        r = error_usage(error, "no paging with %u bits; use 39, 48 or 57", description->paging);
    if (!r && (description->cpus < 1 || description->cpus > MACHINE_CPUS_MAX))
        r = error_usage(error, "%u CPUs are out of range; a machine takes 1 to %d",
                        description->cpus, MACHINE_CPUS_MAX);
    if (!r && description->cpus_max &&
        (description->cpus_max < description->cpus || description->cpus_max > MACHINE_CPUS_MAX))
        r = error_usage(error, "%u CPUs at the most are out of range; with %u now use %u to %d",
                        description->cpus_max, description->cpus, description->cpus,
                        MACHINE_CPUS_MAX);
    if (!r && description->cpus_max > description->cpus && description->firmware)
        r = error_usage(error, "'--cpus-max' does not go with '--bios': who starts CPUs there is "
                               "the firmware");
    if (!r)
        r = check_memory(description, error);
    if (!r && description->name)
        r = check_name(description->name, error);
    for (unsigned i = 0; !r && i < description->disk_count; i++)
        r = check_disk(description, i, error);
    if (!r)
        r = check_network(description, error);
    if (!r)
        r = description_check_limits(&description->limits, error);
    if (!r && description->agent &&
        (!*description->agent || strlen(description->agent) > UNIX_SOCKET_PATH_MAX))
        r = error_usage(error,
                        "the path \"%s\" of the agent's socket is %s; use a path of at most "
                        "107 bytes",
                        description->agent, *description->agent ? "too long" : "empty");
    if (!r)
        r = check_sockets(description, error);
    return r;
}
