/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a machine is to be: one plain value, filled alike by flags, by a file and by the API, and
 * checked whole before anything is opened. It owns its strings; description_release() frees them.
 */
#ifndef HOSPES_MACHINE_DESCRIPTION_H
#define HOSPES_MACHINE_DESCRIPTION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "network/net.h"

#define MACHINE_CPUS_MAX     64
#define MACHINE_DISKS_MAX    5 /* beside net, console, rng and balloon in the board's 16 slots */
#define MACHINE_FORWARDS_MAX 32
#define MACHINE_NETS_MAX     4
#define MACHINE_MEMORY_MIN   (16ull << 20)
#define MACHINE_MEMORY_MAX   (1ull << 40)
#define MACHINE_IOPS_MAX     1000000000u
/* Bytes a second: less would be a guest that hangs, more is no limit. */
#define MACHINE_RATE_MIN 1024u
#define MACHINE_RATE_MAX (1ull << 50)

enum machine_network {
    MACHINE_NET_USER,  /* behind the host's own address; one interface at most */
    MACHINE_NET_TAP,   /* an interface of the host */
    MACHINE_NET_NAMED, /* a network between machines (network/segment.h) */
    MACHINE_NET_NONE,  /* no interface: alone, and the same as none at all */
};

struct machine_interface {
    enum machine_network kind;
    char *name; /* of the named network */
    char *tap;
    char *mac;    /* "52:54:00:xx:xx:xx"; NULL: made from the machine's name and the index */
    bool implied; /* nobody asked for it: the first that somebody asks for takes its place */
};

struct machine_disk {
    char *path;
    char *serial; /* at most 20 bytes of printable ASCII; NULL: none */
    bool read_only;
    bool ephemeral;
};

/* What the machine may do of it in a second; 0: no limit. After a silence, as much at once as in a
 * tenth of a second. */
struct machine_limits {
    uint64_t disk_iops;    /* requests, of each disk, reads and writes together */
    uint64_t disk_bytes;   /* likewise, bytes */
    uint64_t net_rate_in;  /* bytes of frames, into the guest */
    uint64_t net_rate_out; /* out of it */
};

struct machine_description {
    char *name;    /* for messages, threads and the guest's DHCP lease */
    char *engine;  /* "auto" or the name of an engine */
    char *profile; /* the file of the code profile (cpu/profile.h); NULL: none */
    /* Translated code that machines of one image share (cpu/translate/library.h): the file of it,
     * which need not be there, and the one to write at the end, which must not; NULL: none. */
    char *library, *new_library;
    unsigned cpus; /* 1..MACHINE_CPUS_MAX */
    /* As many as it can have while it runs (machine_set_cpus()); 0: cpus. More than cpus only with
     * hospes's own SBI. */
    unsigned cpus_max;
    unsigned paging; /* bits of virtual addresses: 39 (also 0), 48 or 57 */
    uint64_t memory; /* bytes, a multiple of 2 MiB */
    /* As much as it can have while it runs (machine_set_memory()); 0: memory. */
    uint64_t memory_max;
    /* All of that is there from the start, and what lies beyond `memory` in the balloon: for guests
     * without a driver for virtio-mem. */
    bool memory_balloon;
    bool merge; /* pages may be merged with others' (memory_make_mergeable()) */

    /* What runs first. firmware: an image entered in M-mode at the start of RAM (ELF or raw), or
     * NULL: hospes's own SBI, which enters the kernel in S-mode. kernel: a Linux Image, an ELF file
     * or a raw S-mode payload (such as U-Boot). */
    char *firmware;
    char *kernel;
    char *initrd;
    char *append;

    struct machine_disk disks[MACHINE_DISKS_MAX];
    unsigned disk_count;

    struct machine_interface interfaces[MACHINE_NETS_MAX];
    unsigned interface_count;
    char *networks; /* the directory with those of named networks; needed where there are such */
    struct net_forward forwards[MACHINE_FORWARDS_MAX]; /* in the user network */
    unsigned forward_count;
    bool virtio_console; /* the terminal is hvc0, a virtio console, and not the UART (ttyS0) */
    struct machine_limits limits;
    char *agent; /* a socket is made there, for clients of the guest's agent; NULL: no such port */

    char *vsock; /* where the host reaches the guest's sockets (vsock_unix_new()); NULL: none */
    uint32_t vsock_cid; /* the guest's context identifier, 3 to 0xfffffffe */
};

/* What there is from the start, and what can be plugged. */
static inline uint64_t description_memory_built(const struct machine_description *d)
{
    return d->memory_balloon && d->memory_max > d->memory ? d->memory_max : d->memory;
}

static inline uint64_t description_memory_more(const struct machine_description *d)
{
    return !d->memory_balloon && d->memory_max > d->memory ? d->memory_max - d->memory : 0;
}

/* Two CPUs at most as the host has, 1 GiB, user network. */
void description_init(struct machine_description *description);
void description_release(struct machine_description *description);
/* Judges the whole: ranges, combinations, that something is there to boot. Opens nothing. */
int description_check(const struct machine_description *description,
                      struct error *error) MUST_CHECK;
/* A part of it, for who changes no more than the limits. */
int description_check_limits(const struct machine_limits *limits, struct error *error) MUST_CHECK;
/* A copy of `text` (NULL: nothing) in *field, in place of what was there. -ENOMEM. */
int description_set(char **field, const char *text) MUST_CHECK;
/* One more interface, or the first in place of the implied one; `name` is of the named network or
 * of the tap interface, else NULL. -ENOSPC: it has as many as it can; -ENOMEM. */
int description_add_interface(struct machine_description *description, enum machine_network kind,
                              const char *name) MUST_CHECK;
bool description_has_network(const struct machine_description *description,
                             enum machine_network kind);

#endif
