/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The jail of a machine's process: before the guest's first instruction it gives up every right
 * that it does not need, thread by thread and by what each thread is for. What a guest that has
 * taken over a thread may still do is told in docs/threat-model.md.
 *
 *   jail_new()    first of all, before a thread is made
 *   jail_allow()  what is still needed by path; everything else has to be open by then
 *   jail_enter()  on each thread of the machine before its body (struct thread_guard), in the user
 *                 network's process before its first frame, and at last on the loop's thread,
 *                 before machine_start()
 *
 * Processes that are no machine's and read what is hostile call jail_enter_reader() and nothing
 * else.
 *
 * Threads are started by the loop's thread, one after the other; nothing here is locked. What the
 * host's kernel lacks is left out, and told to the log. There is no way out, and none is needed:
 * the jail ends with the process. A call that is not allowed kills it, and the kernel tells the
 * audit log (or its own) which it was.
 */
#ifndef HOSPES_HOST_JAIL_H
#define HOSPES_HOST_JAIL_H

#include <stdbool.h>

#include "base/error.h"
#include "base/log.h"
#include "base/thread.h"

enum jail_mode {
    JAIL_ON,
    /* For developers: nothing is taken away; calls that would kill are told to the kernel's log. */
    JAIL_LOG,
    JAIL_OFF,
};

/* Whether the host has filters of system calls; without, the jail is what else there is. */
bool jail_host_filters(void);

/* Whether the caller, which has no threads, would get a root directory of its own; and whether it
 * would get a user namespace, without which only root has the former. */
bool jail_host_mounts(void);
bool jail_host_users(void);

/* "on", "log" or "off"; NULL: what this build has by default. -EINVAL, a usage error. */
int jail_mode_find(const char *text, enum jail_mode *mode, struct error *error) MUST_CHECK;

struct jail_options {
    enum jail_mode mode;
    /* It has a user network: a process that makes sockets to the outside while the guest runs, and
     * is jailed by jail_enter() with THREAD_NETWORK. */
    bool network;
    /* Unix sockets are connected while it runs (the guest's own sockets, network/vsock.h). */
    bool sockets;
    /* It has ports in networks between machines (network/segment.h). */
    bool segment;
};

struct jail;

/* What may be done by path, below a directory or to a file; bits. */
enum jail_right {
    JAIL_READ = 1,   /* files are read */
    JAIL_KEEP = 2,   /* files are made, read, written, renamed and removed */
    JAIL_REMOVE = 4, /* files and sockets are removed */
    /* And directories, which are empty. Alone: by a descriptor of `path` that was open before
     * (unlinkat(2)); what else is in it is not to be seen. */
    JAIL_REMOVE_EMPTY = 8,
    JAIL_LIST = 16, /* directories are read */
    /* And executed: files and directories are read, and programs started. */
    JAIL_EXECUTE = 32,
    /* Whole trees are made, read, changed and removed. */
    JAIL_BUILD = 64,
};

/* From here on the process gains no privileges by exec, and is not traced or dumped. */
int jail_new(struct jail **jail, const struct jail_options *options, const struct log *log,
             struct error *error) MUST_CHECK;
/* NULL is fine. The process stays jailed. */
void jail_free(struct jail *jail);

/* Whether users but the process's own have one number for all (SO_PEERCRED, stat()), root among
 * them: it is in a user namespace. */
bool jail_hides_users(const struct jail *jail);

/* One that is not there is left out: what is made there later cannot be reached. */
int jail_allow(struct jail *jail, const char *path, unsigned rights,
               struct error *error) MUST_CHECK;
/* The same for the directory that the file `path` is in. */
int jail_allow_beside(struct jail *jail, const char *path, unsigned rights,
                      struct error *error) MUST_CHECK;
/* For a file that is kept where that can be: no failure where its directory is not there. */
int jail_allow_cache(struct jail *jail, const char *path, struct error *error) MUST_CHECK;

/* Confines the calling thread to its role: 0 or -errno, and then it must not go on. */
int jail_enter(struct jail *jail, enum thread_role role) MUST_CHECK;

/* Of a process without threads, which is no machine's: it goes on as THREAD_READER, with what it
 * has open and without paths. -errno: it must not go on. */
int jail_enter_reader(enum jail_mode mode) MUST_CHECK;

/* Of a process that is about to execute a program of the host's which reads what is hostile: it may
 * keep files below `directories` (ends with NULL), besides reads what the system has of programs
 * and their settings, and connects to the Internet if it is to (`network`). -errno: it must not go
 * on.
 */
int jail_enter_program(enum jail_mode mode, const char *const *directories,
                       bool network) MUST_CHECK;

#endif
