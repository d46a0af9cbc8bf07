/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ssh.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "host/vsock_client.h"
#include "image/file.h"
#include "image/store.h"

#define AGENT_OPEN_MS 5000u
#define PROBE_MS      5000u
#define PATH_SIZE_MAX 4096

/* ---- quotes ---- */

/* A word for sh, in single quotes; in ssh_config(5) "%" begins a token where `tokens`. The caller
 * frees it. */
static char *quote_word(const char *word, bool tokens)
{
    char *text = malloc(4 * strlen(word) + 3), *to = text;

    if (!text)
        return NULL;
    *to++ = '\'';
    for (; *word; word++) {
        if (*word == '\'') {
            memcpy(to, "'\\'", 3);
            to += 3;
        }
        if (*word == '%' && tokens)
            *to++ = '%';
        *to++ = *word;
    }
    strcpy(to, "'");
    return text;
}

/* A path as ssh_config(5) takes it, for any version: there is no way to quote some characters. */
static int quote_path(const char *path, char **text, struct error *error)
{
    char *to;

    if (strpbrk(path, "\"\\\r\n") || strstr(path, "${"))
        return error_set(error, EINVAL,
                         "ssh cannot be told of the path \"%s\"; set HOSPES_MACHINE_DIR to another",
                         path);
    *text = to = malloc(2 * strlen(path) + 3);
    if (!to)
        return error_set(error, ENOMEM, "out of memory");
    *to++ = '"';
    for (; *path; path++) {
        if (*path == '%')
            *to++ = '%';
        *to++ = *path;
    }
    strcpy(to, "\"");
    return 0;
}

/* ---- options ---- */

/* Takes the text over. */
static int add(struct ssh *ssh, char *option, struct error *error)
{
    BUG_ON(ssh->count == SSH_OPTIONS_MAX);
    if (!option)
        return error_set(error, ENOMEM, "out of memory");
    ssh->options[ssh->count++] = option;
    return 0;
}

static int add_path(struct ssh *ssh, const char *key, const char *path, struct error *error)
{
    CLEANUP(text_free) char *quoted = NULL;
    int r = quote_path(path, &quoted, error);

    return r ? r : add(ssh, text_format("%s %s", key, quoted), error);
}

/* A variable of this environment, for whoever executes the command in another one. */
static char *assignment(const char *variable)
{
    const char *value = getenv(variable);
    CLEANUP(text_free) char *quoted = value ? quote_word(value, true) : NULL;

    if (value && !quoted)
        return NULL;
    return value ? text_format("%s=%s ", variable, quoted) : strdup("");
}

static int add_proxy(struct ssh *ssh, const char *name, struct error *error)
{
    CLEANUP(text_free) char *machines = assignment("HOSPES_MACHINE_DIR");
    CLEANUP(text_free) char *run = assignment("HOSPES_RUN_DIR");
    CLEANUP(text_free) char *program = NULL;
    char self[PATH_SIZE_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

    if (n < 0)
        return error_set(error, errno, "cannot find hospes itself: %s", error_words(errno));
    self[n] = 0;
    program = quote_word(self, true);
    if (!machines || !run || !program)
        return error_set(error, ENOMEM, "out of memory");
    if (strpbrk(machines, "\r\n") || strpbrk(run, "\r\n") || strpbrk(program, "\r\n"))
        return error_set(error, EINVAL, "ssh cannot be told of a path with a line end in it");
    return add(ssh,
               text_format("ProxyCommand %s%s%s%s vsock %s %u", *machines || *run ? "env " : "",
                           machines, run, program, name, GUEST_SSH_PORT),
               error);
}

/* What the user's own configuration says of other hosts does not hold for this one, and what is
 * kept of it is kept with the machine. */
static int add_all(struct ssh *ssh, const char *name, struct error *error)
{
    static const char *const fixed[] = {
        "GlobalKnownHostsFile /dev/null",
        "StrictHostKeyChecking yes",
        "UpdateHostKeys no",
        "IdentitiesOnly yes",
        "IdentityAgent none",
        "PreferredAuthentications publickey",
        "BatchMode yes",
        "ForwardAgent no",
        "ForwardX11 no",
        "ControlPath none",
        "LogLevel ERROR",
    };
    int r = add_proxy(ssh, name, error);

    if (!r)
        r = add(ssh, text_format("User %s", ssh->user), error);
    if (!r)
        r = add(ssh, text_format("HostKeyAlias %s", ssh->guest.alias), error);
    if (!r)
        r = add_path(ssh, "UserKnownHostsFile", ssh->guest.known_hosts, error);
    if (!r)
        r = add_path(ssh, "IdentityFile", ssh->guest.key, error);
    for (size_t i = 0; !r && i < ARRAY_SIZE(fixed); i++)
        r = add(ssh, strdup(fixed[i]), error);
    return r;
}

/* ---- the guest ---- */

/* Whether somebody listens there, and the keys are known from another time. */
static bool is_reachable(const struct ssh *ssh, const struct named *named)
{
    CLEANUP(descriptor_close) int fd = -1;
    char *path = NULL;
    int r =
        access(ssh->guest.known_hosts, R_OK) ? -ENOENT : named_socket(named, "vsock", &path, NULL);

    if (!r)
        r = vsock_client_connect(path, GUEST_SSH_PORT, PROBE_MS, &fd, NULL);
    free(path);
    return r == 0;
}

static int prepare_guest(const struct ssh *ssh, const struct named *named, struct error *error)
{
    struct agent agent;
    int r = named_agent(named, AGENT_OPEN_MS, &agent, error);

    if (r == -ETIMEDOUT && is_reachable(ssh, named)) {
        error_release(error);
        return 0;
    }
    if (r)
        return r;
    r = guest_ssh_prepare(&ssh->guest, &agent, ssh->user, error);
    agent_close(&agent);
    return r;
}

/* As useradd(8) takes them; one that begins with "-" would be an option of ssh's. */
static bool user_is_valid(const char *user)
{
    size_t length =
        strspn(user, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-");

    return length && !user[length] && user[0] != '-';
}

int ssh_prepare(struct ssh *ssh, const struct named *named, const char *user, struct error *error)
{
    int r;

    *ssh = (struct ssh){0};
    if (user && !user_is_valid(user))
        return error_usage(error, "\"%s\" cannot be the name of a user", user);
    ssh->user = strdup(user ? user : "root");
    if (!ssh->user)
        return error_set(error, ENOMEM, "out of memory");
    r = guest_ssh_open(&ssh->guest, &named->registry, named->name, error);
    if (!r)
        r = add_all(ssh, named->name, error);
    if (!r)
        r = prepare_guest(ssh, named, error);
    if (r)
        ssh_release(ssh);
    return r;
}

void ssh_release(struct ssh *ssh)
{
    for (unsigned i = 0; i < ssh->count; i++)
        free(ssh->options[i]);
    free(ssh->user);
    guest_ssh_release(&ssh->guest);
    *ssh = (struct ssh){0};
}

/* The guest's shell takes one line apart again: each word is to come out as it went in. Of a
 * program that a signal ended ssh tells nothing; a shell that outlives it does. */
static char *program_line(char *const *program)
{
    char *line = strdup("exec sh -c 'trap : INT QUIT; \"$@\"; exit $?' sh");

    for (; line && *program; program++) {
        CLEANUP(text_free) char *word = quote_word(*program, false);
        char *more = word ? text_format("%s %s", line, word) : NULL;

        free(line);
        line = more;
    }
    return line;
}

int ssh_execute(const struct ssh *ssh, char *const *program, bool terminal, struct error *error)
{
    CLEANUP(text_free) char *line = program ? program_line(program) : NULL;
    /* Twice: also where standard input is none. */
    const char *argv[2 * SSH_OPTIONS_MAX + 8] = {"ssh", "-F", "none", terminal ? "-tt" : "-T"};
    size_t n = 4;

    if (program && !line)
        return error_set(error, ENOMEM, "out of memory");
    for (unsigned i = 0; i < ssh->count; i++) {
        argv[n++] = "-o";
        argv[n++] = ssh->options[i];
    }
    argv[n++] = ssh->guest.alias;
    if (line)
        argv[n++] = line;
    argv[n] = NULL;
    execvp("ssh", (char *const *)argv);
    return error_set(error, errno, "cannot execute ssh (package openssh-client): %s",
                     error_words(errno));
}
