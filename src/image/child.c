/* SPDX-License-Identifier: Apache-2.0 */
#include "image/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/text.h"
#include "image/file.h"

/* mke2fs and depmod live where a plain user's PATH does not look. */
#define SBIN_PATH "/usr/local/sbin:/usr/sbin:/sbin"

#define STATUS_NO_JAIL    126
#define STATUS_NO_PROGRAM 127

/* How long a child that is to end may take for it. */
#define STOP_MS      2000
#define STOP_STEP_MS 10

extern char **environ;

/* How a person, or the system for one, ends a process. */
static const int stop_signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

/* Lines out of bytes; what it held last is kept for the error. */
struct lines {
    const struct child *child;
    char text[CHILD_LINE_MAX + 1];
    size_t length;
    char last[CHILD_LINE_MAX + 1];
};

static void lines_end(struct lines *lines)
{
    lines->text[lines->length] = '\0';
    if (lines->length) {
        memcpy(lines->last, lines->text, lines->length + 1);
        if (lines->child->line)
            lines->child->line(lines->child->ctx, lines->text);
    }
    lines->length = 0;
}

static void lines_add(struct lines *lines, const char *data, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (data[i] == '\n' || data[i] == '\r')
            lines_end(lines);
        else if (lines->length < CHILD_LINE_MAX)
            lines->text[lines->length++] = text_shown(data[i]);
    }
}

static bool same_name(const char *a, const char *b)
{
    size_t length = strcspn(a, "=");

    return strncmp(a, b, length + 1) == 0;
}

/* The strings stay their owners'; only the array is new. */
static const char **environment_make(const char *const *added, const char *path)
{
    size_t count = 0, extra = 0, n = 0;
    const char **all;

    while (environ && environ[count])
        count++;
    while (added && added[extra])
        extra++;
    all = calloc(count + extra + 2, sizeof(*all));
    if (!all)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        bool replaced = same_name("PATH=", environ[i]);

        for (size_t k = 0; k < extra; k++)
            replaced |= same_name(added[k], environ[i]);
        if (!replaced)
            all[n++] = environ[i];
    }
    for (size_t k = 0; k < extra; k++)
        all[n++] = added[k];
    all[n] = path;
    return all;
}

static void guard_enter(const struct child *child)
{
    int r = child->guard->enter(child->guard->ctx, child->directories, child->network);

    if (!r)
        return;
    dprintf(STDERR_FILENO, "cannot confine it: %s; HOSPES_JAIL=off does without\n",
            error_words(-r));
    _exit(STATUS_NO_JAIL);
}

/* Between fork and exec: only calls that are safe there. */
NORETURN static void child_exec(const struct child *child, const char **environment, int output)
{
    int null = open("/dev/null", O_RDONLY);
    sigset_t none;

    /* A group of its own, so that all that it starts can be ended with it. */
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    /* A job in a script's background ignores it, and child_stop() needs it. */
    signal(SIGINT, SIG_DFL);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0 ||
        dup2(output, STDERR_FILENO) < 0)
        _exit(STATUS_NO_PROGRAM);
    environ = (char **)environment;
    if (child->guard)
        guard_enter(child);
    execvp(child->argv[0], (char *const *)child->argv);
    _exit(STATUS_NO_PROGRAM);
}

/* Reads until the end of output; -ETIMEDOUT when the child stays silent, -EINTR when a blocked
 * signal waits that is to end us (`stop` is a signalfd of them; it is not read, so that the signal
 * still comes once it is unblocked). */
static int output_read(const struct child *child, int fd, int stop, struct lines *lines)
{
    int timeout = child->silence_limit ? (int)child->silence_limit * 1000 : -1;
    char data[4096];

    for (;;) {
        struct pollfd wait[] = {{.fd = fd, .events = POLLIN}, {.fd = stop, .events = POLLIN}};
        int ready = poll(wait, ARRAY_SIZE(wait), timeout);
        ssize_t n;

        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0)
            return ready < 0 ? -errno : -ETIMEDOUT;
        if (wait[1].revents)
            return -EINTR;
        n = read(fd, data, sizeof(data));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        /* A log on a full disk must not stop what is logged. */
        if (child->log >= 0 && write(child->log, data, (size_t)n) < 0)
            errno = 0;
        lines_add(lines, data, (size_t)n);
    }
    lines_end(lines);
    return 0;
}

static int child_judge(const struct child *child, int read_result, int status,
                       const struct lines *lines, struct error *error)
{
    const char *name = child->argv[0];
    const char *colon = lines->last[0] ? ": " : "";

    if (read_result == -ETIMEDOUT)
        return error_set(error, ETIMEDOUT, "\"%s\" said nothing for %u seconds and was stopped%s%s",
                         name, child->silence_limit, colon, lines->last);
    if (read_result == -EINTR)
        return error_set(error, EINTR, "\"%s\" was stopped by a signal", name);
    if (read_result)
        return error_set(error, -read_result, "cannot read the output of \"%s\": %s", name,
                         error_words(-read_result));
    if (WIFSIGNALED(status))
        return error_set(error, EIO, "\"%s\" was killed by signal %d%s%s", name, WTERMSIG(status),
                         colon, lines->last);
    if (WEXITSTATUS(status) == STATUS_NO_PROGRAM && !lines->last[0])
        return error_set(error, ENOENT,
                         "cannot run \"%s\": no such program; install it with: scripts/setup image",
                         name);
    if (WEXITSTATUS(status) != 0)
        return error_set(error, EIO, "\"%s\" failed with status %d%s%s", name, WEXITSTATUS(status),
                         colon, lines->last);
    return 0;
}

/* Ends the child and what it started: in good order first, for a fakeroot has a daemon to end. */
static void child_stop(pid_t pid, int signal_first)
{
    siginfo_t info;

    kill(-pid, signal_first);
    for (unsigned waited = 0; waited < STOP_MS; waited += STOP_STEP_MS) {
        info.si_pid = 0;
        if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid)
            break;
        poll(NULL, 0, STOP_STEP_MS);
    }
    /* The leader is not reaped yet, so the group's number is still its own. */
    kill(-pid, SIGKILL);
}

/* A signalfd of those signals that the caller holds back to tidy up after us; or -errno. */
static int stop_watch(void)
{
    sigset_t blocked, stops;
    int fd;

    sigprocmask(SIG_SETMASK, NULL, &blocked);
    sigemptyset(&stops);
    for (size_t i = 0; i < ARRAY_SIZE(stop_signals); i++)
        if (sigismember(&blocked, stop_signals[i]))
            sigaddset(&stops, stop_signals[i]);
    fd = signalfd(-1, &stops, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

void child_hold_stops(sigset_t *before)
{
    struct sigaction action;
    sigset_t stops;

    sigemptyset(&stops);
    for (size_t i = 0; i < ARRAY_SIZE(stop_signals); i++)
        /* What is ignored (nohup) would stay pending once it is blocked. */
        if (sigaction(stop_signals[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
            sigaddset(&stops, stop_signals[i]);
    sigprocmask(SIG_BLOCK, &stops, before);
}

int child_run(const struct child *child, struct error *error)
{
    CLEANUP(text_free) char *path = NULL;
    CLEANUP(descriptor_close) int read_end = -1;
    CLEANUP(descriptor_close) int stop = -1;
    struct lines lines = {.child = child};
    const char *host_path = getenv("PATH");
    const char **environment;
    int ends[2], status = 0, ret;
    pid_t pid;

    if (asprintf(&path, "PATH=%s:" SBIN_PATH, host_path ? host_path : "/usr/bin:/bin") < 0) {
        path = NULL;
        return error_set(error, ENOMEM, "out of memory");
    }
    stop = stop_watch();
    if (stop < 0)
        return error_set(error, -stop, "cannot watch for signals: %s", error_words(-stop));
    environment = environment_make(child->environment, path);
    if (!environment)
        return error_set(error, ENOMEM, "out of memory");
    if (pipe2(ends, O_CLOEXEC) < 0) {
        ret = errno;
        free(environment);
        return error_set(error, ret, "cannot make a pipe: %s", error_words(ret));
    }
    read_end = ends[0];
    pid = fork();
    if (pid == 0)
        child_exec(child, environment, ends[1]);
    ret = errno;
    if (pid > 0)
        setpgid(pid, pid); /* both do it, so that neither runs on without it */
    close(ends[1]);
    free(environment);
    if (pid < 0)
        return error_set(error, ret, "cannot start \"%s\": %s", child->argv[0], error_words(ret));
    ret = output_read(child, read_end, stop, &lines);
    if (ret)
        child_stop(pid, ret == -EINTR ? SIGINT : SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return child_judge(child, ret, status, &lines, error);
}

struct gather {
    char *text;
    size_t length;
    size_t limit;
    bool failed;
};

static void gather_line(void *ctx, const char *text)
{
    struct gather *gather = ctx;
    size_t length = strlen(text);
    char *grown;

    if (gather->failed || gather->length + length + 2 > gather->limit)
        return;
    grown = realloc(gather->text, gather->length + length + 2);
    if (!grown) {
        gather->failed = true;
        return;
    }
    gather->text = grown;
    memcpy(grown + gather->length, text, length);
    gather->length += length;
    grown[gather->length++] = '\n';
    grown[gather->length] = '\0';
}

int child_output(const char *const *argv, size_t limit, char **text, struct error *error)
{
    static const char *const environment[] = {"LC_ALL=C", NULL};
    struct gather gather = {.limit = limit};
    struct child child = {
        .argv = argv, .environment = environment, .log = -1, .line = gather_line, .ctx = &gather};
    int ret = child_run(&child, error);

    if (!ret && !gather.text)
        gather.text = calloc(1, 1);
    if (!ret && (gather.failed || !gather.text))
        ret = error_set(error, ENOMEM, "out of memory");
    if (ret) {
        free(gather.text);
        return ret;
    }
    *text = gather.text;
    return 0;
}
