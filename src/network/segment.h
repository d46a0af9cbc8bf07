/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A network between machines of one user: a directory in which each member has a unix datagram
 * socket. Who has a frame for a member sends it there; nothing stands in between, and no process is
 * there for the network itself. The caller names the directory; its last part is the network's
 * name.
 *
 *   port.INDEX.NAME     a port: interface INDEX of machine NAME
 *   listen.INDEX.NAME   a listener, which gets a copy of every frame and sends none
 *   leases              lease.h
 *
 * A datagram is a header of SEGMENT_HEADER bytes and an Ethernet frame. The header has the sender's
 * id, the number of its socket's inode, which everybody sees in the directory: senders use a socket
 * a receiver, which has no name. (So the buffer that a stuck receiver fills is its own; of one
 * socket for all it would take everything.) The host kernel tells with each datagram whose process
 * sent it, and another user's is dropped; beyond that a datagram is hostile.
 *
 * Members come and go under the directory's lock (flock(2)). Invariants:
 *   S1: a socket has its final name only once it takes datagrams, so whoever sees the name can
 *       connect, and who is refused knows that the member is dead.
 *   S2: the file of a dead member is removed under the lock, after another look.
 *   S3: the last one to leave removes the directory, under the lock; who waited for the lock looks
 *       whether the directory that it opened is still the one of that path.
 *
 * Any thread; one at a time for a struct segment.
 */
#ifndef HOSPES_NETWORK_SEGMENT_H
#define HOSPES_NETWORK_SEGMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "network/lease.h"

#define SEGMENT_NAME_MAX    63u
#define SEGMENT_MEMBERS_MAX 128u
#define SEGMENT_HEADER      16u

enum segment_kind { SEGMENT_PORT, SEGMENT_LISTENER };

struct segment_member {
    enum segment_kind kind;
    unsigned index;
    char name[LEASE_NAME_MAX + 1];
    uint64_t id;
    uint64_t since_ns; /* an inode's number is used again: this and the id are one member's */
};

/* A network that was joined. */
struct segment {
    char *path;
    const char *network; /* the end of the path */
    int directory;
    int socket; /* bound; non-blocking */
    struct segment_member self;
    uint32_t subnet;
    uint8_t host; /* of a port; 0: a listener */
};

struct segment_members {
    unsigned count;
    struct segment_member members[SEGMENT_MEMBERS_MAX];
};

/* A label of DNS in lower case, as a machine's name; and none of "user", "none" and "tap", which
 * mean something else where a network is named. */
bool segment_name_is_valid(const char *name);

/* Joins; makes the directory (and the one above it) if it is not there. -EADDRINUSE: there is a
 * living member of that name, kind and index. -ENOSPC: it is full. -EPERM: the directory is not the
 * user's alone. -EBUSY: somebody holds its lock for too long. */
int segment_join(struct segment *segment, const char *path, enum segment_kind kind,
                 const char *name, unsigned index, struct error *error) MUST_CHECK;
/* Closes everything. */
void segment_leave(struct segment *segment);

/* Whose sockets are there, dead ones included and the own one left out. */
int segment_list(const struct segment *segment, struct segment_members *members) MUST_CHECK;
/* A socket to send to the member; non-blocking. -ECONNREFUSED: it is dead. */
int segment_connect(const struct segment *segment, const struct segment_member *member) MUST_CHECK;
/* The member was found dead: removes its file, unless somebody has the lock just now (who sees for
 * itself). */
void segment_bury(const struct segment *segment, const struct segment_member *member);

/* Sends a frame. -EAGAIN: the receiver's queue is full, and EPOLLOUT tells when it is not.
 * -ECONNREFUSED and what else is no -EAGAIN, -ENOBUFS or -ENOMEM: the member is dead. */
int segment_send(const struct segment *segment, int socket, const uint8_t *frame,
                 uint32_t length) MUST_CHECK;
/* Takes one datagram. Returns the frame's length, 14 to NET_FRAME_MAX; 0: it was none and was
 * dropped; -EAGAIN: there is no more. `frame` has room for NET_FRAME_MAX bytes. */
int segment_receive(const struct segment *segment, uint8_t *frame, uint64_t *sender) MUST_CHECK;

/* For who does not join: the living members and the leases of a network. Removes what is dead, and
 * a network in which nobody is. -ENOENT: there is none. */
struct segment_view {
    struct segment_members members;
    struct lease_table leases;
};

int segment_look(const char *path, struct segment_view *view) MUST_CHECK;

#endif
