/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the user of a machine gets into its guest by ssh, over the guest's sockets and no network.
 *
 *   MACHINES/NAME/ssh/key, key.pub   the machine's own pair, made when it is first wanted
 *   MACHINES/NAME/ssh/known_hosts    the guest's host keys, as its agent tells them
 *
 * The guest learns the public key, and is made to listen at port 22 of its virtio sockets, by its
 * agent: nothing has to be set up in it but the two packages. What it then does at its starts is in
 * /etc/systemd/system/hospes-ssh.socket of the guest.
 *
 * The key is of use for this one guest only. What the guest answers is hostile: only what is the
 * text of a host key gets into known_hosts.
 */
#ifndef HOSPES_HOST_GUEST_SSH_H
#define HOSPES_HOST_GUEST_SSH_H

#include <stdbool.h>

#include "base/error.h"
#include "host/agent.h"
#include "host/registry.h"

#define GUEST_SSH_PORT 22u

/* Owned. */
struct guest_ssh {
    char *alias;       /* what the guest is called in known_hosts */
    char *key;         /* paths */
    char *known_hosts; /* may not be there yet */
    char *public_key;  /* a line of authorized_keys, without its end */
};

/* Finds the machine's pair, or makes it by ssh-keygen: -ENOENT with the next step when the host has
 * none. Holds nothing after a failure. */
int guest_ssh_open(struct guest_ssh *ssh, const struct registry *registry, const char *name,
                   struct error *error) MUST_CHECK;
void guest_ssh_release(struct guest_ssh *ssh);

/* Lets the key in as `user` of the guest, has the guest listen, and writes known_hosts. -ENOENT
 * with the next step: the guest has no ssh, or no such user. */
int guest_ssh_prepare(const struct guest_ssh *ssh, struct agent *agent, const char *user,
                      struct error *error) MUST_CHECK;

/* Known hosts out of what the guest told, a line "key TYPE BASE64" each, others passed over; the
 * caller frees it. NULL: there is none, or no memory. For guest_ssh_prepare() and tests. */
char *guest_ssh_known_hosts(const char *alias, const char *told, size_t size) MUST_CHECK;

#endif
