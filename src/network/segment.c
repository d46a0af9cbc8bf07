/* SPDX-License-Identifier: Apache-2.0 */
#include "network/segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/descriptor.h"
#include "base/thread.h"
#include "network/frame.h"

/* A socket that is not ready (S1). One at a time, under the lock. */
#define NEW_SOCKET ".socket"
#define FILE_MAX   (sizeof("listen.4294967295.") + LEASE_NAME_MAX)

/* The lock is held for less than a millisecond, unless its holder was stopped. */
#define LOCK_PATIENCE_NS 2000000000u
#define LOCK_RETRY_NS    2000000u
#define SUBNET_ATTEMPTS  16u

/* The first bytes of a datagram: ports of another version are not understood. */
#define HEADER_MAGIC 0x31707368u

bool segment_name_is_valid(const char *name)
{
    size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");

    return length >= 1 && length <= SEGMENT_NAME_MAX && !name[length] && name[0] != '-' &&
           name[length - 1] != '-' && strcmp(name, "user") != 0 && strcmp(name, "none") != 0 &&
           strcmp(name, "tap") != 0;
}

/* ---- names of files ---- */

static const char *const kinds[] = {[SEGMENT_PORT] = "port", [SEGMENT_LISTENER] = "listen"};

static void member_file(const struct segment_member *member, char file[FILE_MAX])
{
    snprintf(file, FILE_MAX, "%s.%u.%s", kinds[member->kind], member->index, member->name);
}

static bool member_parse(const char *file, struct segment_member *member)
{
    char again[FILE_MAX], kind[8];

    *member = (struct segment_member){0};
    if (sscanf(file, "%7[a-z].%9u.%63s", kind, &member->index, member->name) != 3)
        return false;
    member->kind = strcmp(kind, kinds[SEGMENT_PORT]) ? SEGMENT_LISTENER : SEGMENT_PORT;
    member_file(member, again);
    return !strcmp(file, again);
}

static bool member_is(const struct segment_member *a, const struct segment_member *b)
{
    return a->kind == b->kind && a->index == b->index && !strcmp(a->name, b->name);
}

/* A socket's path has 107 bytes (unix(7)); a longer one goes by the directory's descriptor. A
 * process that cannot be dumped may do so too, of its own descriptors. */
static void socket_name(int directory, const char *path, const char *file, struct sockaddr_un *name)
{
    size_t length = strlen(path) + 1 + strlen(file);

    *name = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (length < sizeof(name->sun_path))
        snprintf(name->sun_path, sizeof(name->sun_path), "%s/%s", path, file);
    else
        snprintf(name->sun_path, sizeof(name->sun_path), "/proc/self/fd/%d/%s", directory, file);
}

static int socket_connect(int directory, const char *path, const char *file)
{
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), r;
    struct sockaddr_un name;

    if (fd < 0)
        return -errno;
    socket_name(directory, path, file, &name);
    if (!connect(fd, (const struct sockaddr *)&name, sizeof(name)))
        return fd;
    r = -errno;
    close(fd);
    return r;
}

/* ---- the directory ---- */

static int directory_list(int directory, struct segment_members *members)
{
    int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    members->count = 0;
    if (!stream) {
        int r = -errno;

        descriptor_close(&fd);
        return r;
    }
    while (members->count < SEGMENT_MEMBERS_MAX && (entry = readdir(stream))) {
        struct segment_member *member = &members->members[members->count];
        struct stat status;

        if (!member_parse(entry->d_name, member) ||
            fstatat(directory, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
            !S_ISSOCK(status.st_mode))
            continue;
        member->id = status.st_ino;
        member->since_ns =
            (uint64_t)status.st_ctim.tv_sec * 1000000000u + (uint64_t)status.st_ctim.tv_nsec;
        members->count++;
    }
    closedir(stream);
    return 0;
}

static bool member_is_dead(int directory, const char *path, const struct segment_member *member)
{
    char file[FILE_MAX];
    int fd;

    member_file(member, file);
    fd = socket_connect(directory, path, file);
    if (fd >= 0)
        close(fd);
    return fd == -ECONNREFUSED;
}

static void member_unlink(int directory, const struct segment_member *member)
{
    char file[FILE_MAX];

    member_file(member, file);
    unlinkat(directory, file, 0);
}

/* Keeps the living. Under the lock (S2), or, with `only_look`, without. */
static void members_sweep(int directory, const char *path, struct segment_members *members,
                          bool only_look)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < members->count; i++) {
        if (!member_is_dead(directory, path, &members->members[i]))
            members->members[kept++] = members->members[i];
        else if (!only_look)
            member_unlink(directory, &members->members[i]);
    }
    members->count = kept;
}

static int directory_lock(int directory, uint64_t patience_ns)
{
    const struct timespec step = {.tv_nsec = LOCK_RETRY_NS};
    uint64_t deadline = monotonic_ns() + patience_ns;

    while (flock(directory, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return -errno;
        if (monotonic_ns() >= deadline)
            return -EBUSY;
        nanosleep(&step, NULL);
    }
    return 0;
}

/* Nobody is in it. Under the lock (S3). */
static void directory_remove_empty(int directory, const char *path)
{
    char *above = strdup(path), *slash = above ? strrchr(above, '/') : NULL;

    unlinkat(directory, LEASE_FILE, 0);
    unlinkat(directory, LEASE_NEW_FILE, 0);
    unlinkat(directory, NEW_SOCKET, 0);
    rmdir(path);
    /* Stays while there are other networks. */
    if (slash && slash != above) {
        *slash = 0;
        rmdir(above);
    }
    free(above);
}

static bool directory_is_current(int directory, const char *path)
{
    struct stat opened, there;

    return !fstat(directory, &opened) && !lstat(path, &there) && opened.st_ino == there.st_ino &&
           opened.st_dev == there.st_dev;
}

static int directory_make(const char *path)
{
    char *above, *slash;
    int r = mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;

    if (r != -ENOENT)
        return r;
    above = strdup(path);
    if (!above)
        return -ENOMEM;
    slash = strrchr(above, '/');
    if (slash)
        *slash = 0;
    r = mkdir(above, 0700) < 0 && errno != EEXIST ? -errno : 0;
    free(above);
    return r ? r : -EAGAIN;
}

/* A locked directory that is the one of the path. Returns a descriptor. -EAGAIN: it vanished. */
static int directory_enter(const char *path)
{
    struct stat status;
    int fd, r = directory_make(path);

    if (r)
        return r;
    fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? -EAGAIN : -errno;
    if (fstat(fd, &status) < 0 || status.st_uid != geteuid() || status.st_mode & 077)
        r = -EPERM;
    else
        r = directory_lock(fd, LOCK_PATIENCE_NS);
    if (!r && !directory_is_current(fd, path))
        r = -EAGAIN;
    if (!r)
        return fd;
    close(fd);
    return r;
}

/* ---- joining ---- */

static bool subnet_is_used(const struct segment *segment, uint32_t subnet)
{
    int above = openat(segment->directory, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = above < 0 ? NULL : fdopendir(above);
    bool used = false;
    struct dirent *entry;

    if (!stream) {
        descriptor_close(&above);
        return false;
    }
    while (!used && (entry = readdir(stream))) {
        struct lease_table other;
        int fd;

        if (!segment_name_is_valid(entry->d_name) || !strcmp(entry->d_name, segment->network))
            continue;
        fd = openat(above, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        used = fd >= 0 && !lease_read(fd, &other) && other.subnet == subnet;
        descriptor_close(&fd);
    }
    closedir(stream);
    return used;
}

static bool member_joined(void *ctx, const char *name, unsigned index)
{
    const struct segment_members *members = ctx;

    for (unsigned i = 0; i < members->count; i++)
        if (members->members[i].kind == SEGMENT_PORT && members->members[i].index == index &&
            !strcmp(members->members[i].name, name))
            return true;
    return false;
}

/* The network's subnet, and a port's address in it. */
static int join_lease(struct segment *segment, struct segment_members *members)
{
    struct lease_table table;
    int r = lease_read(segment->directory, &table);

    if (r && r != -ENOENT && r != -EINVAL)
        return r;
    if (r) {
        table = (struct lease_table){0};
        for (unsigned i = 0; i < SUBNET_ATTEMPTS; i++) {
            table.subnet = lease_subnet(segment->network, i);
            if (!subnet_is_used(segment, table.subnet))
                break;
        }
    }
    segment->subnet = table.subnet;
    if (segment->self.kind == SEGMENT_PORT) {
        segment->host =
            lease_give(&table, segment->self.name, segment->self.index, member_joined, members);
        if (!segment->host)
            return -ENOSPC;
    }
    return lease_write(segment->directory, &table);
}

/* Binds by another name first (S1). bind() gives the file the mode that the socket has. */
static int join_socket(struct segment *segment)
{
    struct sockaddr_un name;
    struct stat status;
    char file[FILE_MAX];
    const int on = 1;

    unlinkat(segment->directory, NEW_SOCKET, 0);
    segment->socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (segment->socket < 0)
        return -errno;
    socket_name(segment->directory, segment->path, NEW_SOCKET, &name);
    member_file(&segment->self, file);
    if (fchmod(segment->socket, 0600) < 0 ||
        setsockopt(segment->socket, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0 ||
        bind(segment->socket, (const struct sockaddr *)&name, sizeof(name)) < 0 ||
        fstatat(segment->directory, NEW_SOCKET, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
        renameat2(segment->directory, NEW_SOCKET, segment->directory, file, RENAME_NOREPLACE) < 0)
        return -errno;
    segment->self.id = status.st_ino;
    return 0;
}

static int join_locked(struct segment *segment)
{
    struct segment_members members;
    int r = directory_list(segment->directory, &members);

    if (r)
        return r;
    members_sweep(segment->directory, segment->path, &members, false);
    for (unsigned i = 0; i < members.count; i++)
        if (member_is(&members.members[i], &segment->self))
            return -EADDRINUSE;
    if (members.count == SEGMENT_MEMBERS_MAX)
        return -ENOSPC;
    r = join_lease(segment, &members);
    if (!r)
        r = join_socket(segment);
    /* Not a network that nobody is in. */
    if (r && !members.count)
        directory_remove_empty(segment->directory, segment->path);
    return r;
}

static int join_failed(const struct segment *segment, int code, struct error *error)
{
    switch (code) {
    case EADDRINUSE:
        return error_set(error, code,
                         "a machine \"%s\" is in network \"%s\" already; give this one another "
                         "name",
                         segment->self.name, segment->network);
    case ENOSPC:
        return error_set(error, code, "network \"%s\" is full; use another one", segment->network);
    case EPERM:
        return error_set(error, code,
                         "\"%s\" is not a directory of yours alone; remove it, or set "
                         "HOSPES_RUN_DIR",
                         segment->path);
    case EBUSY:
        return error_set(error, code,
                         "cannot join network \"%s\": somebody who joined it was stopped "
                         "meanwhile; see: ls -l %s",
                         segment->network, segment->path);
    default:
        return error_set(error, code, "cannot join network \"%s\" at \"%s\": %s", segment->network,
                         segment->path, error_words(code));
    }
}

int segment_join(struct segment *segment, const char *path, enum segment_kind kind,
                 const char *name, unsigned index, struct error *error)
{
    uint64_t deadline = monotonic_ns() + LOCK_PATIENCE_NS;
    const char *slash = strrchr(path, '/');
    int r = -EAGAIN;

    *segment = (struct segment){.directory = -1, .socket = -1};
    segment->self = (struct segment_member){.kind = kind, .index = index};
    BUG_ON(strlen(name) > LEASE_NAME_MAX);
    strcpy(segment->self.name, name);
    segment->path = strdup(path);
    if (!segment->path)
        return error_set(error, ENOMEM, "cannot join a network: out of memory");
    segment->network = segment->path + (slash ? slash + 1 - path : 0);
    /* Others may come and go so fast that the network vanishes again and again. */
    while (r == -EAGAIN && monotonic_ns() < deadline)
        r = directory_enter(path);
    if (r >= 0) {
        segment->directory = r;
        r = join_locked(segment);
        flock(segment->directory, LOCK_UN);
    }
    if (r) {
        join_failed(segment, -r, error);
        descriptor_close(&segment->socket);
        descriptor_close(&segment->directory);
        free(segment->path);
        *segment = (struct segment){.directory = -1, .socket = -1};
    }
    return r;
}

void segment_leave(struct segment *segment)
{
    struct segment_members members;
    int r;

    if (segment->directory < 0)
        return;
    r = directory_lock(segment->directory, LOCK_PATIENCE_NS);
    /* Closed, it is dead; whoever has the lock sees that. */
    descriptor_close(&segment->socket);
    if (!r && !directory_list(segment->directory, &members)) {
        members_sweep(segment->directory, segment->path, &members, false);
        if (!members.count && directory_is_current(segment->directory, segment->path))
            directory_remove_empty(segment->directory, segment->path);
    }
    descriptor_close(&segment->directory);
    free(segment->path);
    *segment = (struct segment){.directory = -1, .socket = -1};
}

/* ---- members ---- */

int segment_list(const struct segment *segment, struct segment_members *members)
{
    int r = directory_list(segment->directory, members);
    unsigned kept = 0;

    for (unsigned i = 0; i < members->count; i++)
        if (members->members[i].id != segment->self.id)
            members->members[kept++] = members->members[i];
    members->count = kept;
    return r;
}

int segment_connect(const struct segment *segment, const struct segment_member *member)
{
    char file[FILE_MAX];

    member_file(member, file);
    return socket_connect(segment->directory, segment->path, file);
}

void segment_bury(const struct segment *segment, const struct segment_member *member)
{
    if (flock(segment->directory, LOCK_EX | LOCK_NB) < 0)
        return;
    if (member_is_dead(segment->directory, segment->path, member))
        member_unlink(segment->directory, member);
    flock(segment->directory, LOCK_UN);
}

int segment_send(const struct segment *segment, int socket, const uint8_t *frame, uint32_t length)
{
    uint8_t header[SEGMENT_HEADER] = {0};
    struct iovec iov[] = {{header, sizeof(header)}, {(void *)frame, length}};
    struct msghdr message = {.msg_iov = iov, .msg_iovlen = ARRAY_SIZE(iov)};
    ssize_t n;

    store_le32(header, HEADER_MAGIC);
    store_le64(header + 8, segment->self.id);
    do
        n = sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : 0;
}

/* The kernel's word on whose process it was. */
static bool sender_is_user(struct msghdr *message)
{
    const struct cmsghdr *control = CMSG_FIRSTHDR(message);
    struct ucred who;

    if (!control || control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_CREDENTIALS ||
        control->cmsg_len < CMSG_LEN(sizeof(who)))
        return false;
    memcpy(&who, CMSG_DATA(control), sizeof(who));
    return who.uid == geteuid();
}

int segment_receive(const struct segment *segment, uint8_t *frame, uint64_t *sender)
{
    /* Room for the credentials and for nothing else: descriptors that a sender adds are not taken
     * (unix(7), SCM_RIGHTS). */
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(struct ucred))];
    } control;
    uint8_t header[SEGMENT_HEADER];
    struct iovec iov[] = {{header, sizeof(header)}, {frame, NET_FRAME_MAX}};
    struct msghdr message = {.msg_iov = iov,
                             .msg_iovlen = ARRAY_SIZE(iov),
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
    ssize_t n = recvmsg(segment->socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

    if (n < 0)
        return errno == EINTR ? 0 : -errno;
    if (message.msg_flags & MSG_TRUNC || n < (ssize_t)(SEGMENT_HEADER + FRAME_HEADER_SIZE) ||
        load_le32(header) != HEADER_MAGIC || !sender_is_user(&message))
        return 0;
    *sender = load_le64(header + 8);
    return (int)(n - SEGMENT_HEADER);
}

/* ---- from outside ---- */

int segment_look(const char *path, struct segment_view *view)
{
    CLEANUP(descriptor_close)
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    bool locked;
    int r;

    *view = (struct segment_view){0};
    if (directory < 0)
        return -errno;
    locked = flock(directory, LOCK_EX | LOCK_NB) == 0;
    r = directory_list(directory, &view->members);
    if (r)
        return r;
    members_sweep(directory, path, &view->members, !locked);
    r = lease_read(directory, &view->leases);
    if (locked && !view->members.count && directory_is_current(directory, path)) {
        directory_remove_empty(directory, path);
        return -ENOENT;
    }
    return r == -EINVAL ? 0 : r;
}
