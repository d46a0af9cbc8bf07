/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which named machines there are, and whether they run: directories and locks, and no daemon.
 *
 *   MACHINES/NAME/machine.json  what it is (record.h); a directory without is no machine
 *   MACHINES/NAME/disk.raw, kernel, initrd   its own, where it was made from an image
 *   MACHINES/NAME/ssh           its key, and the keys of its guest (guest_ssh.h)
 *   MACHINES/NAME/lock          locked by its process for as long as it runs
 *   MACHINES/NAME/record.lock   locked while machine.json is changed
 *   MACHINES/NAME/group         its control group, if it has had one (group.h)
 *   MACHINES/NAME/var/state.json   how it was started or ended last (state.h)
 *   MACHINES/NAME/var/log, console.log, events   see runner.h
 *   RUN/NAME/control, console, agent, vsock   sockets, of a machine that runs
 *   RUN/.net/NETWORK            a network between machines (network/segment.h); no machine is
 *                               called so
 *
 * MACHINES is $HOSPES_MACHINE_DIR, or $XDG_DATA_HOME/hospes/machines, or ~/.local/share/...; RUN is
 * $HOSPES_RUN_DIR, or $XDG_RUNTIME_DIR/hospes, or /tmp/hospes-UID: short, since a socket's path
 * has 107 bytes. The lock is the truth: the kernel gives it up however the process ended. What a
 * killed one left in RUN is swept by whoever sees it next.
 *
 * Below var is what the machine's process writes while the guest runs, and all that it can write by
 * path (jail.h): a guest that has taken it over does not change what the machine is at the next
 * start. Who reads files of var reads what such a guest may have written.
 *
 * Invariant R1: machine.json is changed under record.lock only, of a machine that runs by who told
 * it of the change; files of RUN are made under the machine's lock.
 * Invariant R2: record.lock is taken before the pool's (pool.h) and that before the machine's; a
 * machine's process takes its lock and reads machine.json under all three.
 */
#ifndef HOSPES_HOST_REGISTRY_H
#define HOSPES_HOST_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"

#define REGISTRY_NAME_MAX 63

struct registry {
    char *machines; /* owned; absolute */
    char *run;
};

/* Finds the directories' names; makes nothing. */
int registry_open(struct registry *registry, struct error *error) MUST_CHECK;
void registry_release(struct registry *registry);

/* A name is a label of DNS (RFC 1035, 2.3.4) in lower case: 1 to 63 of a-z 0-9 -, neither first nor
 * last a "-". Its machine is known by it in named networks. */
bool registry_name_is_valid(const char *name);
/* -EINVAL, a usage error. */
int registry_name_check(const char *name, struct error *error) MUST_CHECK;

/* MACHINES/NAME/FILE (FILE NULL: the directory), which the caller frees; NULL: no memory. */
char *registry_path(const struct registry *registry, const char *name, const char *file) MUST_CHECK;
/* The same below MACHINES/NAME/var. */
char *registry_var_path(const struct registry *registry, const char *name,
                        const char *file) MUST_CHECK;
/* The same below RUN. */
char *registry_run_path(const struct registry *registry, const char *name,
                        const char *file) MUST_CHECK;

/* -ENOENT with the next step when there is none of that name. */
int registry_check(const struct registry *registry, const char *name,
                   struct error *error) MUST_CHECK;

/* The names, sorted; the caller frees them by registry_names_release(). */
struct registry_names {
    char **names;
    size_t count;
};

int registry_list(const struct registry *registry, struct registry_names *names,
                  struct error *error) MUST_CHECK;
void registry_names_release(struct registry_names *names);

/* Takes the machine's lock; *fd holds it until it is closed. -EBUSY when it runs, or somebody
 * changes it. */
int registry_lock(const struct registry *registry, const char *name, int *fd,
                  struct error *error) MUST_CHECK;
/* Takes record.lock, which *fd holds until it is closed; waits for others. */
int registry_lock_record(const struct registry *registry, const char *name, int *fd,
                         struct error *error) MUST_CHECK;
/* Whether somebody holds the machine's lock now. */
bool registry_is_locked(const struct registry *registry, const char *name);
/* Makes the lock at `fd` this process's own, for registry_is_held_by(), until the process closes
 * any descriptor of that file. */
int registry_sign_lock(int fd) MUST_CHECK;
/* Whether process `pid` signed the machine's lock, so that a number that was written down long ago,
 * and may be another process's by now, is not taken for the machine's. Never of the caller itself.
 */
bool registry_is_held_by(const struct registry *registry, const char *name, pid_t pid);

/* Makes RUN and RUN/NAME, of mode 0700 and the user's own: -EPERM if another user's. */
int registry_make_run(const struct registry *registry, const char *name,
                      struct error *error) MUST_CHECK;
/* RUN is there and nobody else's: before anything in it is connected to. -ENOENT, -EPERM. */
int registry_check_run(const struct registry *registry, struct error *error) MUST_CHECK;
/* Makes RUN and RUN/.net likewise; *path is that, and the caller's to free. */
int registry_make_networks(const struct registry *registry, char **path,
                           struct error *error) MUST_CHECK;
/* Its name alone; NULL: no memory. */
char *registry_networks_path(const struct registry *registry) MUST_CHECK;
/* Removes RUN/.net and RUN where nobody uses them any more. */
void registry_sweep_networks(const struct registry *registry);

/* Makes MACHINES/NAME/var, of mode 0700. */
int registry_make_var(const struct registry *registry, const char *name,
                      struct error *error) MUST_CHECK;
/* RUN, for registry_leave() and registry_leave_networks() of a process that is jailed in between:
 * its descriptor, or -errno. */
int registry_enter(const struct registry *registry) MUST_CHECK;
/* At the end of the machine's process, which is jailed: removes its sockets, and by the descriptor
 * of RUN (-1 is fine) RUN/NAME if nothing else is there, and RUN/.net likewise. */
void registry_leave(const struct registry *registry, const char *name, int run);
/* RUN/.net alone. */
void registry_leave_networks(int run);
/* Removes the machine's group, and RUN/NAME and what is in it, if RUN is the user's own. Under the
 * lock. */
void registry_sweep(const struct registry *registry, const char *name);
/* Removes the machine and everything of it. Takes the lock: -EBUSY. */
int registry_delete(const struct registry *registry, const char *name,
                    struct error *error) MUST_CHECK;

#endif
