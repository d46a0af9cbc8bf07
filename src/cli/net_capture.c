/* SPDX-License-Identifier: Apache-2.0 */
/* `hospes net capture`: what goes through a network, as a capture file. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "base/signals.h"
#include "cli/command.h"
#include "cli/option.h"
#include "host/registry.h"
#include "network/net.h"
#include "network/pcap.h"
#include "network/segment.h"

/* Written when so much has come, or nothing more is there. */
#define BUFFER_SIZE (256u << 10)

#define FRAMES_A_TURN 1024

struct capture {
    const char *network, *file; /* file NULL: standard output */
    struct segment segment;
    int output, signals;
    size_t used;
    uint8_t buffer[BUFFER_SIZE];
    uint8_t frame[NET_FRAME_MAX];
};

static int capture_failed(const struct capture *capture, int code, struct error *error)
{
    /* Whoever read it has enough, or whoever asked for it. */
    if (code == EPIPE || code == ECANCELED)
        return 0;
    return error_set(error, code, "cannot write to %s%s%s: %s", capture->file ? "\"" : "",
                     capture->file ? capture->file : "standard output", capture->file ? "\"" : "",
                     error_words(code));
}

/* Waits for room in a pipe and not in write(), so that a reader that has stopped can be left.
 * Returns -ECANCELED when a signal says so. */
static int capture_flush(struct capture *capture)
{
    struct pollfd fds[] = {{.fd = capture->output, .events = POLLOUT},
                           {.fd = capture->signals, .events = POLLIN}};
    size_t done = 0;

    while (done < capture->used) {
        size_t part = capture->used - done < PIPE_BUF ? capture->used - done : PIPE_BUF;
        ssize_t n;

        if (poll(fds, ARRAY_SIZE(fds), -1) < 0 && errno != EINTR)
            return -errno;
        if (!fds[0].revents && fds[1].revents)
            return -ECANCELED;
        n = write(capture->output, capture->buffer + done, part);
        if (n < 0 && errno != EINTR && errno != EAGAIN)
            return -errno;
        done += n > 0 ? (size_t)n : 0;
    }
    capture->used = 0;
    return 0;
}

static uint64_t realtime_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int capture_put(struct capture *capture, uint32_t length)
{
    int r = 0;

    if (capture->used + PCAP_RECORD_HEADER + length > sizeof(capture->buffer))
        r = capture_flush(capture);
    if (r)
        return r;
    pcap_record_header(capture->buffer + capture->used, realtime_ns(), length);
    memcpy(capture->buffer + capture->used + PCAP_RECORD_HEADER, capture->frame, length);
    capture->used += PCAP_RECORD_HEADER + length;
    return 0;
}

/* What is there; then signals get their turn. */
static int capture_drain(struct capture *capture)
{
    uint64_t sender;
    int n = 0, r = 0;

    for (unsigned i = 0; !r && n >= 0 && i < FRAMES_A_TURN; i++) {
        n = segment_receive(&capture->segment, capture->frame, &sender);
        if (n > 0)
            r = capture_put(capture, (uint32_t)n);
    }
    return r ? r : capture_flush(capture);
}

/* Until a signal, or until nobody reads any more. */
static int capture_loop(struct capture *capture, struct error *error)
{
    struct pollfd fds[] = {{.fd = capture->segment.socket, .events = POLLIN},
                           {.fd = capture->signals, .events = POLLIN},
                           {.fd = capture->output}};
    int r;

    pcap_file_header(capture->buffer);
    capture->used = PCAP_FILE_HEADER;
    r = capture_flush(capture);
    while (!r) {
        if (poll(fds, ARRAY_SIZE(fds), -1) < 0 && errno != EINTR)
            return error_set(error, errno, "cannot wait for frames: %s", error_words(errno));
        if (fds[0].revents)
            r = capture_drain(capture);
        if (fds[1].revents || fds[2].revents & (POLLERR | POLLHUP))
            break;
    }
    return r ? capture_failed(capture, -r, error) : 0;
}

static int capture_output(struct capture *capture, struct error *error)
{
    if (!capture->file) {
        if (isatty(STDOUT_FILENO))
            return error_usage(error,
                               "a capture is not for a terminal; give a FILE, or a pipe as "
                               "in: hospes net capture %s | tcpdump -nr -",
                               capture->network);
        capture->output = STDOUT_FILENO;
        return 0;
    }
    capture->output = open(capture->file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (capture->output < 0)
        return error_set(error, errno, "cannot make \"%s\": %s", capture->file, error_words(errno));
    return 0;
}

static int capture_join(struct capture *capture, const struct registry *registry,
                        struct error *error)
{
    char *directory = NULL, *path = NULL;
    int r = registry_make_networks(registry, &directory, error);

    if (!r && asprintf(&path, "%s/%s", directory, capture->network) < 0)
        r = error_set(error, ENOMEM, "out of memory");
    /* Two captures of one network are of two processes. */
    if (!r)
        r = segment_join(&capture->segment, path, SEGMENT_LISTENER, "capture", (unsigned)getpid(),
                         error);
    free(path);
    free(directory);
    return r;
}

static int capture_parse(struct capture *capture, const struct command *command, int argc,
                         char **argv, struct error *error)
{
    struct option_walk walk = option_walk_begin(command, argc, argv);
    int kind;

    while ((kind = option_next(&walk, error)) > 0) {
        if (capture->file)
            return error_usage(error, "unexpected argument \"%s\"; see: hospes net capture --help",
                               walk.value);
        if (capture->network)
            capture->file = walk.value;
        else
            capture->network = walk.value;
    }
    if (kind < 0)
        return kind;
    if (!capture->network)
        return error_usage(error, "no network named; see: hospes net ls");
    if (!segment_name_is_valid(capture->network))
        return error_usage(error, "\"%s\" cannot be the name of a network; see: hospes net ls",
                           capture->network);
    return 0;
}

static int capture_run(const struct command *command, int argc, char **argv, struct error *error)
{
    static const int ends[] = {SIGTERM, SIGINT, SIGHUP, 0};
    struct capture *capture = calloc(1, sizeof(*capture));
    struct registry registry = {0};
    int r;

    if (!capture)
        return error_set(error, ENOMEM, "out of memory");
    capture->segment.directory = capture->segment.socket = -1;
    capture->output = capture->signals = -1;
    r = capture_parse(capture, command, argc, argv, error);
    if (!r)
        r = registry_open(&registry, error);
    if (!r)
        r = capture_output(capture, error);
    if (!r)
        r = signals_open(ends, &capture->signals, error);
    if (!r)
        r = capture_join(capture, &registry, error);
    if (!r)
        r = capture_loop(capture, error);
    segment_leave(&capture->segment);
    if (registry.run)
        registry_sweep_networks(&registry);
    if (capture->file)
        descriptor_close(&capture->output);
    descriptor_close(&capture->signals);
    registry_release(&registry);
    free(capture);
    return r;
}

static const struct option capture_options[] = {{0}};

static const struct example capture_examples[] = {
    {"hospes net capture lab lab.pcap", "writes what the machines of \"lab\" say, until Ctrl-C"},
    {"hospes net capture lab | tcpdump -nr -", "shows it"},
    {0},
};

const struct command command_net_capture = {
    .name = "net capture",
    .summary = "record what goes through a network",
    .usage = "net capture NAME [FILE]",
    .about =
        "Writes every frame of the network to FILE or standard output, in the format of pcap,\n"
        "until it is interrupted. The network need not exist yet. Machines do not wait for it:\n"
        "when FILE is too slow for what comes, frames are missing from it.",
    .options = capture_options,
    .examples = capture_examples,
    .run = capture_run,
};
