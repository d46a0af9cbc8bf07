/* SPDX-License-Identifier: Apache-2.0 */
#include "host/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/descriptor.h"
#include "base/signals.h"
#include "base/text.h"
#include "base/thread.h"
#include "host/jail.h"

#define WORDS_MAX 1024u
/* Of numbers of errors; Linux has no larger ones. */
#define CODE_MAX 4095u

/* In front of everything that comes from the reader. */
struct header {
    uint32_t code; /* 0: an answer follows; else words */
    uint32_t usage;
    uint64_t size;
};

/* ---- answers ---- */

void reader_put(struct reader_answer *answer, const void *data, size_t size)
{
    size_t room = answer->room ? answer->room : 256;
    unsigned char *grown;

    if (answer->failed || !size)
        return;
    while (room - answer->size < size)
        room *= 2;
    grown = room != answer->room ? realloc(answer->data, room) : answer->data;
    if (!grown) {
        answer->failed = true;
        return;
    }
    answer->data = grown;
    answer->room = room;
    memcpy(answer->data + answer->size, data, size);
    answer->size += size;
}

void reader_put_number(struct reader_answer *answer, uint64_t number)
{
    reader_put(answer, &number, sizeof(number));
}

const void *reader_get(struct reader_answer *answer, size_t size)
{
    const unsigned char *from = answer->data + answer->at;

    if (answer->size - answer->at < size)
        return NULL;
    answer->at += size;
    return size ? from : (const void *)"";
}

bool reader_get_number(struct reader_answer *answer, uint64_t *number)
{
    const void *from = reader_get(answer, sizeof(*number));

    if (from)
        memcpy(number, from, sizeof(*number));
    return from != NULL;
}

void reader_put_bytes(struct reader_answer *answer, const void *data, size_t size)
{
    reader_put_number(answer, size);
    reader_put(answer, data, size);
}

const void *reader_get_bytes(struct reader_answer *answer, size_t most, size_t *size)
{
    uint64_t number;

    if (!reader_get_number(answer, &number) || number > most)
        return NULL;
    *size = (size_t)number;
    return reader_get(answer, *size);
}

void reader_answer_release(struct reader_answer *answer)
{
    free(answer->data);
    *answer = (struct reader_answer){0};
}

/* ---- the reader's process ---- */

static bool is_kept(const int *kept, size_t count, int fd)
{
    for (size_t i = 0; i < count; i++)
        if (kept[i] == fd)
            return true;
    return false;
}

/* Under the numbers that they have. */
static int close_others(const int *kept, size_t count)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC), from = STDERR_FILENO + 1;

    if (null < 0)
        return -errno;
    for (int fd = 0; fd < from; fd++)
        if (fd != null && !is_kept(kept, count, fd) && dup2(null, fd) < 0)
            return -errno;
    for (;;) {
        int next = -1;

        for (size_t i = 0; i < count; i++)
            if (kept[i] >= from && (next < 0 || kept[i] < next))
                next = kept[i];
        if (next != from && close_range((unsigned)from, next < 0 ? ~0u : (unsigned)next - 1, 0) < 0)
            return -errno;
        if (next < 0)
            return 0;
        from = next + 1;
    }
}

/* The command decides what the terminal's keys mean, and takes the reader with it when it ends. No
 * handler of the command's runs here. */
static int leave_parent(pid_t parent)
{
    signals_leave_to_parent();
    if (prctl(PR_SET_NAME, "hospes-reader") < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        return -errno;
    return getppid() == parent ? 0 : -ECHILD;
}

/* Users keep secrets there. */
static void forget_environment(void)
{
    for (char **variable = environ; variable && *variable; variable++)
        explicit_bzero(*variable, strlen(*variable));
    environ = NULL;
}

static int confine(const struct reader *reader)
{
    enum jail_mode mode;
    int r;

    if (reader->confine)
        return reader->confine(reader->ctx);
    r = jail_mode_find(getenv("HOSPES_JAIL"), &mode, NULL);
    if (r)
        return r;
    forget_environment();
    return jail_enter_reader(mode);
}

static int body(const struct reader *reader, pid_t parent, int out, struct reader_answer *answer,
                struct error *error)
{
    int kept[READER_FILES_MAX + 1], r = leave_parent(parent);

    memcpy(kept, reader->files, sizeof(reader->files));
    kept[READER_FILES_MAX] = out;
    if (!r)
        r = close_others(kept, ARRAY_SIZE(kept));
    if (!r)
        r = confine(reader);
    if (r)
        return error_set(error, -r,
                         "cannot confine what reads the answer: %s; HOSPES_JAIL=off does without",
                         error_words(-r));
    r = reader->body(reader->ctx, answer, error);
    if (!r && answer->failed)
        r = error_set(error, ENOMEM, "out of memory");
    return r;
}

NORETURN static void run(const struct reader *reader, pid_t parent, int out)
{
    struct reader_answer answer = {0};
    struct error error = ERROR_INIT;
    int r = body(reader, parent, out, &answer, &error);
    const char *words = error.message ? error.message : "out of memory";
    struct header header = {.code = r < 0 ? (uint32_t)-r : 0,
                            .usage = error.usage,
                            .size = r ? lesser(strlen(words), WORDS_MAX) : answer.size};

    /* Who does not listen any more has ended. */
    if (!descriptor_write_all(out, &header, sizeof(header)))
        (void)!descriptor_write_all(out, r ? (const void *)words : answer.data,
                                    (size_t)header.size);
    _exit(0);
}

/* ---- the command's end ---- */

/* -ETIMEDOUT; -ECHILD: it ended before. */
static int read_all(int in, void *data, size_t size, uint64_t deadline_ns)
{
    char *to = data;

    while (size) {
        struct pollfd ready = {.fd = in, .events = POLLIN};
        uint64_t now = deadline_ns ? monotonic_ns() : 0;
        uint64_t left_ms = deadline_ns > now ? (deadline_ns - now) / 1000000 + 1 : 0;
        int n;
        ssize_t got;

        if (deadline_ns && !left_ms)
            return -ETIMEDOUT;
        n = poll(&ready, 1, deadline_ns ? (int)lesser(left_ms, 60000) : -1);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n <= 0)
            continue;
        got = read(in, to, size);
        if (got < 0 && errno != EINTR)
            return -errno;
        if (got == 0)
            return -ECHILD;
        if (got > 0) {
            to += got;
            size -= (size_t)got;
        }
    }
    return 0;
}

/* *told: the words are the reader's. */
static int hear_failure(const struct header *header, int in, uint64_t deadline_ns, bool *told,
                        struct error *error)
{
    char words[WORDS_MAX + 1];
    int r = header->code > CODE_MAX || header->size > WORDS_MAX ? -EPROTO : 0;

    if (!r)
        r = read_all(in, words, (size_t)header->size, deadline_ns);
    if (r)
        return r;
    words[header->size] = 0;
    for (char *c = words; *c; c++)
        *c = text_shown(*c);
    if (header->usage)
        error_usage(error, "%s", words);
    else
        error_set(error, (int)header->code, "%s", words);
    *told = true;
    return -(int)header->code;
}

static int hear(const struct reader *reader, int in, uint64_t deadline_ns,
                struct reader_answer *answer, bool *told, struct error *error)
{
    struct header header = {0};
    int r = read_all(in, &header, sizeof(header), deadline_ns);

    if (r)
        return r;
    if (header.code)
        return hear_failure(&header, in, deadline_ns, told, error);
    if (header.size > reader->answer_max)
        return -EPROTO;
    answer->data = malloc((size_t)header.size + 1);
    if (!answer->data)
        return -ENOMEM;
    answer->room = (size_t)header.size + 1;
    answer->size = (size_t)header.size;
    return read_all(in, answer->data, answer->size, deadline_ns);
}

static int judge(int r, int status, struct error *error)
{
    if (r == -ECHILD && WIFSIGNALED(status))
        return error_set(error, ECHILD, "what reads the answer was ended by signal %d (%s)",
                         WTERMSIG(status), sigdescr_np(WTERMSIG(status)));
    if (r == -ECHILD)
        return error_set(error, ECHILD, "what reads the answer ended before it was told");
    if (r == -EPROTO)
        return error_set(error, EPROTO, "the answer is too long");
    if (r == -ETIMEDOUT)
        return error_set(error, ETIMEDOUT, "no answer");
    return error_set(error, -r, "cannot read the answer: %s", error_words(-r));
}

int reader_ask(const struct reader *reader, struct reader_answer *answer, struct error *error)
{
    uint64_t deadline_ns =
        reader->timeout_ms ? monotonic_ns() + reader->timeout_ms * UINT64_C(1000000) : 0;
    CLEANUP(descriptor_close) int in = -1;
    pid_t parent = getpid(), child;
    int ends[2], status = 0, r;
    bool told = false;

    *answer = (struct reader_answer){0};
    if (pipe2(ends, O_CLOEXEC) < 0)
        return error_set(error, errno, "cannot make a pipe: %s", error_words(errno));
    in = ends[0];
    child = fork();
    if (!child)
        run(reader, parent, ends[1]);
    close(ends[1]);
    if (child < 0)
        return error_set(error, errno, "cannot make a process: %s", error_words(errno));
    r = hear(reader, in, deadline_ns, answer, &told, error);
    /* It has nothing left to do, if it is what it was made to be. */
    kill(child, SIGKILL);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (r)
        reader_answer_release(answer);
    return !r || told ? r : judge(r, status, error);
}
