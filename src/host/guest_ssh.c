/* SPDX-License-Identifier: Apache-2.0 */
#include "host/guest_ssh.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image/child.h"
#include "image/file.h"
#include "image/store.h"

#define PUBLIC_KEY_MAX 1024u
#define HOST_KEYS_MAX  16u
/* One of RSA with 16384 bits has less. */
#define HOST_KEY_MAX 4096u

/* What the script that follows says of itself by its status. */
enum { NO_SSHD = 3, NO_USER = 4, NO_LISTENER = 5 };

/*
 * In the guest, as root; $1: the user, $2: the public key. The key is put in by the user, so that a
 * link in the user's directory leads nowhere that the user may not write. An ed25519 key is made
 * in no time where one of RSA takes seconds. Units go where they are there at the next start, too;
 * systemd finds new ones without being told to look.
 */
static const char script[] =
    "PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin\n"
    "sshd=$(command -v sshd) && command -v ssh-keygen > /dev/null || exit 3\n"
    "home=$(getent passwd \"$1\" | cut -d: -f6)\n"
    "[ -n \"$home\" ] || exit 4\n"
    "add='umask 077; mkdir -p \"$1\" && cd \"$1\" || exit\n"
    "    grep -qsxF -e \"$2\" authorized_keys && exit\n"
    "    [ -z \"$(tail -c 1 authorized_keys 2> /dev/null)\" ] || echo >> authorized_keys\n"
    "    printf \"%s\\n\" \"$2\" >> authorized_keys'\n"
    "if [ \"$1\" = root ]; then\n"
    "    sh -c \"$add\" sh \"$home/.ssh\" \"$2\"\n"
    "else\n"
    "    runuser -u \"$1\" -- sh -c \"$add\" sh \"$home/.ssh\" \"$2\"\n"
    "fi || exit\n"
    "ls /etc/ssh/ssh_host_*_key > /dev/null 2>&1 ||\n"
    "    ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key || exit\n"
    "if ! systemctl -q is-active hospes-ssh.socket sshd-vsock.socket 2> /dev/null; then\n"
    "    units=/etc/systemd/system\n"
    "    mkdir -p $units/sockets.target.wants || exit 5\n"
    "    printf '%s\\n' '[Unit]' 'Description=ssh for the user of this machine on its host' \\\n"
    "        '[Socket]' ListenStream=vsock::22 Accept=yes > $units/hospes-ssh.socket\n"
    "    printf '%s\\n' '[Unit]' 'Description=ssh from the host' '[Service]' \\\n"
    "        \"ExecStart=-$sshd -i\" StandardInput=socket KillMode=process \\\n"
    "        RuntimeDirectory=sshd RuntimeDirectoryPreserve=yes > $units/hospes-ssh@.service\n"
    "    ln -sf ../hospes-ssh.socket $units/sockets.target.wants/hospes-ssh.socket\n"
    "    systemctl start hospes-ssh.socket || exit 5\n"
    "fi\n"
    "for key in /etc/ssh/ssh_host_*_key.pub; do\n"
    "    printf 'key %s\\n' \"$(cat \"$key\")\"\n"
    "done\n";

/* ---- the machine's pair ---- */

static int key_make(const char *directory, const char *alias, struct error *error)
{
    CLEANUP(text_free) char *made = text_format("%s.XXXXXX", directory);
    CLEANUP(text_free) char *key = NULL;
    const char *argv[] = {"ssh-keygen", "-q", "-t", "ed25519", "-N", "",
                          "-C",         NULL, "-f", NULL,      NULL};
    int r;

    if (!made)
        return error_set(error, ENOMEM, "out of memory");
    if (!mkdtemp(made))
        return error_set(error, errno, "cannot make \"%s\": %s", made, error_words(errno));
    key = text_format("%s/key", made);
    argv[7] = alias;
    argv[9] = key;
    r = key ? child_run(&(struct child){.argv = argv, .log = -1}, error)
            : error_set(error, ENOMEM, "out of memory");
    if (r == -ENOENT)
        error_wrap(error, "no key can be made without ssh-keygen (package openssh-client)");
    /* Whole or not at all; where another process was faster, its pair is the machine's. */
    if (!r && rename(made, directory) < 0 && errno != ENOTEMPTY && errno != EEXIST)
        r = error_set(error, errno, "cannot make \"%s\": %s", directory, error_words(errno));
    if (directory_remove(made, r ? NULL : error) && !r)
        r = -EIO;
    return r;
}

static int key_read(struct guest_ssh *ssh, struct error *error)
{
    CLEANUP(text_free) char *path = text_format("%s.pub", ssh->key);
    int r = path ? file_read_text(path, PUBLIC_KEY_MAX, &ssh->public_key, error)
                 : error_set(error, ENOMEM, "out of memory");

    if (r)
        return r;
    ssh->public_key[strcspn(ssh->public_key, "\r\n")] = 0;
    return *ssh->public_key ? 0 : error_set(error, EINVAL, "\"%s\" is no public key", path);
}

int guest_ssh_open(struct guest_ssh *ssh, const struct registry *registry, const char *name,
                   struct error *error)
{
    CLEANUP(text_free) char *directory = registry_path(registry, name, "ssh");
    int r = 0;

    *ssh = (struct guest_ssh){
        .alias = text_format("hospes-%s", name),
        .key = registry_path(registry, name, "ssh/key"),
        .known_hosts = registry_path(registry, name, "ssh/known_hosts"),
    };
    if (!directory || !ssh->alias || !ssh->key || !ssh->known_hosts)
        r = error_set(error, ENOMEM, "out of memory");
    if (!r && access(directory, F_OK) < 0)
        r = key_make(directory, ssh->alias, error);
    if (!r)
        r = key_read(ssh, error);
    if (r)
        guest_ssh_release(ssh);
    return r;
}

void guest_ssh_release(struct guest_ssh *ssh)
{
    free(ssh->alias);
    free(ssh->key);
    free(ssh->known_hosts);
    free(ssh->public_key);
    *ssh = (struct guest_ssh){0};
}

/* ---- the guest's keys ---- */

static bool is_of(char c, const char *more)
{
    return isalnum((unsigned char)c) || (c && strchr(more, c));
}

/* Of "TYPE BASE64 COMMENT" the first two words; 0: it is none. */
static size_t host_key_length(const char *text, size_t size)
{
    size_t type = 0, data = 0;

    while (type < size && is_of(text[type], "-.@"))
        type++;
    if (!type || type == size || text[type] != ' ')
        return 0;
    text += type + 1;
    size -= type + 1;
    while (data < size && is_of(text[data], "+/="))
        data++;
    if (!data || type + 1 + data > HOST_KEY_MAX || (data < size && text[data] != ' '))
        return 0;
    return type + 1 + data;
}

char *guest_ssh_known_hosts(const char *alias, const char *told, size_t size)
{
    static const char mark[] = "key ";
    char *all = NULL;

    for (unsigned count = 0; size && count < HOST_KEYS_MAX;) {
        const char *end = memchr(told, '\n', size);
        size_t line = end ? (size_t)(end - told) : size, length = 0;

        if (line > sizeof(mark) - 1 && !memcmp(told, mark, sizeof(mark) - 1))
            length = host_key_length(told + sizeof(mark) - 1, line - (sizeof(mark) - 1));
        if (length) {
            char *more = text_format("%s%s %.*s\n", all ? all : "", alias, (int)length,
                                     told + sizeof(mark) - 1);

            free(all);
            all = more;
            if (!all)
                return NULL;
            count++;
        }
        told += line;
        size -= line;
        if (size) {
            told++;
            size--;
        }
    }
    return all;
}

static int take_keys(const struct guest_ssh *ssh, const struct agent_output *output,
                     struct error *error)
{
    CLEANUP(text_free)
    char *hosts = guest_ssh_known_hosts(ssh->alias, (const char *)output->out,
                                        output->out ? output->out_size : 0);

    if (!hosts)
        return error_set(error, EPROTO, "the guest tells no host key");
    return file_write(ssh->known_hosts, hosts, strlen(hosts), false, error);
}

static int judge(const struct agent_output *output, const char *user, struct error *error)
{
    switch (output->status) {
    case 0:
        return 0;
    case NO_SSHD:
        return error_set(error, ENOENT,
                         "the guest has no ssh; install it there (apt install openssh-server)");
    case NO_USER:
        return error_set(error, ENOENT, "the guest has no user \"%s\"", user);
    case NO_LISTENER:
        return error_set(error, EIO, "the guest's systemd does not listen for ssh");
    default:
        return error_set(error, EIO, "the guest could not be set up for ssh (status %d)",
                         output->status);
    }
}

int guest_ssh_prepare(const struct guest_ssh *ssh, struct agent *agent, const char *user,
                      struct error *error)
{
    const char *const argv[] = {"sh", "-c", script, "sh", user, ssh->public_key, NULL};
    struct agent_output output;
    int r = agent_run(agent, argv, NULL, 0, &output, error);

    if (r)
        return r;
    r = judge(&output, user, error);
    if (!r)
        r = take_keys(ssh, &output, error);
    agent_output_release(&output);
    return r;
}
