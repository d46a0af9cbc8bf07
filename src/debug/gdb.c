/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connection. Bytes are read in small pieces and taken one by one while there is room for the
 * longest answer; what is left over waits until the debugger has taken what it was sent. So the
 * output never grows past its array, with one stop reply besides, which comes at any time but only
 * once for each time that the machine goes on.
 */
#include "debug/gdb.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "debug/commands.h"
#include "debug/listen.h"
#include "debug/packet.h"

#define INPUT_SIZE  1024
#define STOP_ROOM   64
#define OUTPUT_SIZE (2 * PACKET_FRAME_MAX + STOP_ROOM)

struct gdb {
    struct loop *loop;
    const char *address;
    int listener;
    int fd;                    /* the debugger's, or -1 */
    struct timer accept_again; /* the listener waits for it: there were no descriptors left */
    struct gdb_target target;
    struct packet_reader reader;
    bool acks;    /* packets are acknowledged */
    bool leaving; /* no more is read; closed when all is written */
    bool broken;  /* to be closed at once */

    uint8_t input[INPUT_SIZE];
    size_t input_at, input_count;
    char output[OUTPUT_SIZE];
    size_t output_count;
    /* The last packet sent, to be sent again until it is acknowledged. */
    char last[PACKET_FRAME_MAX];
    size_t last_length;
    struct gdb_answer answer;
};

/* ---- sending ---- */

static void send_bytes(struct gdb *gdb, const char *bytes, size_t length)
{
    if (length > sizeof(gdb->output) - gdb->output_count) {
        gdb->broken = true;
        return;
    }
    memcpy(gdb->output + gdb->output_count, bytes, length);
    gdb->output_count += length;
}

static void send_answer(struct gdb *gdb)
{
    gdb->last_length = packet_frame(gdb->last, gdb->answer.data, gdb->answer.length);
    send_bytes(gdb, gdb->last, gdb->last_length);
    if (!gdb->acks)
        gdb->last_length = 0;
}

static void send_stop(struct gdb *gdb, unsigned cpu, unsigned signal)
{
    gdb_target_stop(&gdb->target, cpu, signal);
    gdb->answer.length = 0;
    gdb_answer_stop(&gdb->target, &gdb->answer);
    send_answer(gdb);
}

static void output_flush(struct gdb *gdb)
{
    size_t done = 0;

    while (done < gdb->output_count) {
        ssize_t n = send(gdb->fd, gdb->output + done, gdb->output_count - done, MSG_NOSIGNAL);

        if (n >= 0) {
            done += (size_t)n;
        } else if (errno != EINTR) {
            gdb->broken |= errno != EAGAIN;
            break;
        }
    }
    gdb->output_count -= done;
    memmove(gdb->output, gdb->output + done, gdb->output_count);
}

/* ---- the connection's end ---- */

static void connection_close(struct gdb *gdb)
{
    uint8_t rest[256];

    if (gdb->fd < 0)
        return;
    /* What is closed with bytes unread, such as the last acknowledgement, is reset, and its last
     * words may be lost. */
    shutdown(gdb->fd, SHUT_WR);
    for (unsigned i = 0; i < 64 && read(gdb->fd, rest, sizeof(rest)) > 0; i++)
        ;
    loop_remove_fd(gdb->loop, gdb->fd);
    close(gdb->fd);
    gdb->fd = -1;
    if (gdb->listener >= 0)
        loop_set_fd(gdb->loop, gdb->listener, EPOLLIN);
}

static void connection_lost(struct gdb *gdb)
{
    connection_close(gdb);
    gdb_target_detach(&gdb->target);
}

/* ---- receiving ---- */

static void command_take(struct gdb *gdb)
{
    enum gdb_next next =
        gdb_command(&gdb->target, gdb->reader.data, gdb->reader.length, &gdb->answer);

    if (next == GDB_RUNS)
        return;
    if (next != GDB_KILLED || gdb->answer.length)
        send_answer(gdb);
    switch (next) {
    case GDB_NO_ACKS:
        gdb->acks = false;
        break;
    case GDB_DETACHED:
        gdb->leaving = true;
        gdb_target_detach(&gdb->target);
        break;
    case GDB_KILLED:
        output_flush(gdb);
        connection_close(gdb);
        machine_stop(gdb->target.machine);
        break;
    case GDB_ANSWERED:
    case GDB_RUNS:
        break;
    }
}

static void event_take(struct gdb *gdb, enum packet_event event)
{
    switch (event) {
    case PACKET_NONE:
        break;
    case PACKET_DATA:
    case PACKET_LONG:
        if (gdb->acks)
            send_bytes(gdb, "+", 1);
        if (event == PACKET_DATA) {
            command_take(gdb);
            break;
        }
        gdb->answer.length =
            (size_t)snprintf(gdb->answer.data, sizeof(gdb->answer.data), "E%02x", EMSGSIZE);
        send_answer(gdb);
        break;
    case PACKET_BAD:
        if (gdb->acks)
            send_bytes(gdb, "-", 1);
        break;
    case PACKET_ACK:
        gdb->last_length = 0;
        break;
    case PACKET_NAK:
        send_bytes(gdb, gdb->last, gdb->last_length);
        break;
    case PACKET_INTERRUPT:
        if (!gdb->target.debug)
            send_stop(gdb, gdb->target.last, GDB_SIGNAL_INT);
        break;
    }
}

static bool may_take(const struct gdb *gdb)
{
    return gdb->fd >= 0 && !gdb->leaving && !gdb->broken && gdb->input_at < gdb->input_count &&
           sizeof(gdb->output) - gdb->output_count >= PACKET_FRAME_MAX + 1 + STOP_ROOM;
}

static void pump(struct gdb *gdb)
{
    do {
        while (may_take(gdb))
            event_take(gdb, packet_take(&gdb->reader, gdb->input[gdb->input_at++]));
        if (gdb->fd < 0)
            return;
        output_flush(gdb);
    } while (may_take(gdb));
    if (gdb->broken || (gdb->leaving && !gdb->output_count)) {
        connection_lost(gdb);
        return;
    }
    loop_set_fd(gdb->loop, gdb->fd,
                (gdb->input_at == gdb->input_count && !gdb->leaving ? EPOLLIN : 0) |
                    (gdb->output_count ? EPOLLOUT : 0));
}

static void on_ready(void *ctx, int fd, uint32_t events)
{
    struct gdb *gdb = ctx;

    if (gdb->input_at == gdb->input_count && events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        ssize_t n = read(fd, gdb->input, sizeof(gdb->input));

        gdb->input_at = 0;
        gdb->input_count = n > 0 ? (size_t)n : 0;
        gdb->broken |= n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
    }
    /* Muted, and nobody is there to take what would unmute it. */
    gdb->broken |= events & (EPOLLHUP | EPOLLERR) && !(events & EPOLLIN);
    pump(gdb);
}

static void on_accept_again(void *ctx)
{
    struct gdb *gdb = ctx;

    loop_set_fd(gdb->loop, gdb->listener, EPOLLIN);
}

static void on_connection(void *ctx, int listener, uint32_t events)
{
    struct gdb *gdb = ctx;
    int fd = loop_accept(gdb->loop, listener, &gdb->accept_again);
    int one = 1;

    if (fd < 0)
        return;
    /* Neither is there for a local socket, which needs none of them. */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
    if (loop_add_fd(gdb->loop, fd, EPOLLIN, on_ready, gdb)) {
        close(fd);
        return;
    }
    gdb->fd = fd;
    gdb->reader = (struct packet_reader){0};
    gdb->acks = true;
    gdb->leaving = gdb->broken = false;
    gdb->input_at = gdb->input_count = gdb->output_count = gdb->last_length = 0;
    loop_set_fd(gdb->loop, listener, 0);
    if (!gdb_target_attach(&gdb->target))
        connection_close(gdb);
}

/* ---- the machine's side ---- */

static void on_stopped(void *ctx, unsigned cpu, enum debug_reason reason)
{
    struct gdb *gdb = ctx;

    /* A step and a breakpoint are the same to GDB. */
    if (gdb->fd < 0 || gdb->leaving) {
        gdb_target_detach(&gdb->target);
        return;
    }
    send_stop(gdb, cpu, GDB_SIGNAL_TRAP);
    pump(gdb);
}

int gdb_new(struct gdb **out, struct machine *machine, struct loop *loop, const char *address,
            struct error *error)
{
    struct gdb *gdb = calloc(1, sizeof(*gdb));
    const struct debug_events events = {.stopped = on_stopped, .ctx = gdb};
    int r;

    if (!gdb || gdb_target_init(&gdb->target, machine)) {
        free(gdb);
        return error_set(error, ENOMEM, "cannot wait for a debugger: out of memory");
    }
    gdb->loop = loop;
    gdb->address = address;
    timer_init(&gdb->accept_again, loop, on_accept_again, gdb);
    gdb->fd = gdb->listener = -1;
    r = listen_open(address, &gdb->listener, error);
    if (!r) {
        r = loop_add_fd(loop, gdb->listener, EPOLLIN, on_connection, gdb);
        if (r) {
            listen_close(address, gdb->listener);
            error_set(error, -r, "cannot wait for a debugger: %s", error_words(-r));
        }
    }
    if (r) {
        gdb_target_release(&gdb->target);
        free(gdb);
        return r;
    }
    machine_debug_listen(machine, &events);
    *out = gdb;
    return 0;
}

void gdb_ended(struct gdb *gdb, int status, int by)
{
    if (!gdb || gdb->fd < 0)
        return;
    if (!gdb->target.debug && !gdb->leaving) {
        gdb->answer.length = (size_t)snprintf(gdb->answer.data, sizeof(gdb->answer.data), "%c%02x",
                                              by ? 'X' : 'W', (unsigned)(by ? by : status) & 255);
        send_answer(gdb);
    }
    output_flush(gdb);
    connection_close(gdb);
}

void gdb_free(struct gdb *gdb)
{
    if (!gdb)
        return;
    machine_debug_listen(gdb->target.machine, NULL);
    if (gdb->fd >= 0)
        connection_lost(gdb);
    timer_cancel(&gdb->accept_again);
    loop_remove_fd(gdb->loop, gdb->listener);
    listen_close(gdb->address, gdb->listener);
    gdb_target_release(&gdb->target);
    free(gdb);
}
