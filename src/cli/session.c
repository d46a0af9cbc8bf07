/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/session.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/loop.h"
#include "base/signals.h"
#include "base/size.h"
#include "base/thread.h"
#include "cli/command.h"
#include "cli/dump.h"
#include "cli/say.h"
#include "debug/gdb.h"
#include "debug/listen.h"
#include "host/reader.h"
#include "machine/machine.h"
#include "stream/stream.h"

#define ESCAPE 0x01 /* Ctrl-A */

/* Of a device tree: larger ones are none of ours. */
#define TREE_MAX (4u << 20)

struct session {
    const struct session_options *options;
    const struct machine_description *description;
    struct say say;
    struct loop *loop;
    struct stream *console;
    struct machine *machine;
    struct jail *jail;
    struct gdb *gdb;          /* NULL: nobody debugs */
    const char *engine_first; /* the name of what it began with */
    const char *engine_given; /* and how that was asked for, with its options */
    int signals;              /* of signals_open() */
    int ended_by;             /* the signal, 0: none */
    int status;
    bool full; /* paused because a disk of the host is full */
};

/*
 * The terminal to give back when the process dies of a bug or calls exit(). A signal handler gets
 * no context, so this one pointer has to have file scope; a process has one controlling terminal.
 */
static _Atomic(const struct stream *) raw_terminal;

static void terminal_restore(void)
{
    const struct stream *terminal = atomic_exchange(&raw_terminal, NULL);

    if (terminal)
        stream_terminal_restore(terminal);
}

static void on_crash(int number)
{
    terminal_restore();
    /* SA_RESETHAND put the default action back: a core dump and the true status. */
    raise(number);
}

static void catch_crashes(void)
{
    static const int numbers[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    struct sigaction action = {.sa_handler = on_crash, .sa_flags = SA_RESETHAND | SA_NODEFER};

    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
        sigaction(numbers[i], &action, NULL);
    atexit(terminal_restore);
}

static int on_thread_begins(void *ctx, enum thread_role role)
{
    struct session *session = ctx;

    return jail_enter(session->jail, role);
}

static void session_end(struct session *session, int status)
{
    session->status = status;
    loop_stop(session->loop, 0);
}

static void on_ended(void *ctx, enum machine_end why, int status)
{
    struct session *session = ctx;

    if (session->ended_by)
        status = 128 + session->ended_by;
    else if (why == MACHINE_STOPPED)
        status = EXIT_OK;
    else if (why == MACHINE_FAILED && (status < 1 || status > 255))
        status = EXIT_FAILED;
    if (why == MACHINE_FAILED)
        say_always(&session->say, "the guest reported a failure (status %d)", status);
    gdb_ended(session->gdb, status & 255, session->ended_by);
    session_end(session, status & 255);
}

static void on_host_full(void *ctx, const char *path)
{
    struct session *session = ctx;

    session->full = true;
    say_always(&session->say,
               "the host has no room for disk \"%s\"; the machine is paused and nothing is lost: "
               "free some space, then press Ctrl-A c (or: kill -CONT %d)",
               path, (int)getpid());
}

static void on_rebooted(void *ctx)
{
    struct session *session = ctx;

    say_line(&session->say, "the guest reboots");
}

static void on_proceed(void *ctx)
{
    struct session *session = ctx;

    if (!session->full)
        return;
    session->full = false;
    say_line(&session->say, "the machine goes on");
    machine_resume(session->machine);
}

/* To the other one by its defaults, or back to what was asked for at the start. */
static void on_engine(void *ctx)
{
    struct session *session = ctx;
    struct error error = ERROR_INIT;
    const char *other = "interpret";

    if (strcmp(machine_engine_name(session->machine), session->engine_first) != 0)
        other = session->engine_given;
    else if (!strcmp(session->engine_first, other))
        other = "translate";
    if (machine_switch_engine(session->machine, other, &error))
        say_always(&session->say, "%s; it stays %s",
                   error.message ? error.message : "cannot change the engine: out of memory",
                   machine_engine_name(session->machine));
    else
        say_always(&session->say, "the engine is %s now", machine_engine_name(session->machine));
    error_release(&error);
}

static void on_quit(void *ctx)
{
    struct session *session = ctx;

    machine_stop(session->machine);
}

static void on_help(void *ctx)
{
    struct session *session = ctx;

    say_always(&session->say, "Ctrl-A x  quits, as if the plug was pulled");
    say_always(&session->say, "Ctrl-A c  goes on after the host's disk was full");
    say_always(&session->say, "Ctrl-A e  changes the engine: translate or interpret");
    say_always(&session->say, "Ctrl-A a  sends Ctrl-A to the guest");
    say_always(&session->say, "Ctrl-A h  prints this");
}

static void on_signal(void *ctx, int fd, uint32_t events)
{
    struct session *session = ctx;
    int number = signals_read(fd);

    if (!number)
        return;
    if (number == SIGCONT) {
        if (session->console)
            stream_terminal_continued(session->console);
        on_proceed(session);
        return;
    }
    if (number == SIGWINCH) {
        if (session->console)
            stream_terminal_resized(session->console);
        return;
    }
    if (session->ended_by) {
        /* Asked twice: whatever holds the machine is not waited for any longer. */
        terminal_restore();
        _exit(128 + number);
    }
    session->ended_by = number;
    machine_stop(session->machine);
}

static int open_signals(struct session *session, struct error *error)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGCONT, SIGWINCH, 0};
    int r = signals_open(numbers, &session->signals, error);

    if (r)
        return r;
    r = loop_add_fd(session->loop, session->signals, EPOLLIN, on_signal, session);
    return r ? error_set(error, -r, "cannot watch for signals: %s", error_words(-r)) : 0;
}

static void stats_print(struct session *session, uint64_t ns)
{
    const double seconds = (double)ns / 1e9;
    struct engine_counters c = {0};

    machine_counters(session->machine, &c);
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {
        {"instructions", c.instructions},
        {"blocks decoded", c.blocks_decoded},
        {"blocks invalidated", c.blocks_invalidated},
        {"TLB misses", c.tlb_misses},
        {"TLB flushes", c.tlb_flushes},
        {"traps", c.traps},
        {"units", c.units},
        {"unit instructions", c.unit_instructions},
        {"unit bytes", c.unit_bytes},
        {"code bytes", c.code_bytes},
        {"of it out of line", c.cold_bytes},
        {"table bytes", c.table_bytes},
        {"translation us", c.translation_ns / 1000},
        {"regions", c.regions},
        {"region instructions", c.region_instructions},
        {"region code bytes", c.region_code_bytes},
        {"region us", c.region_ns / 1000},
        {"loops by vectors", c.streams},
        {"units dropped", c.units_dropped},
        {"units of profile", c.units_profiled},
        {"units of library", c.units_shared},
        {"pages hashed", c.pages_hashed},
        {"segments evicted", c.segments_evicted},
        {"window fills", c.window_fills},
        {"exits to look up", c.exits_jump},
        {"exits to poll", c.exits_poll},
        {"exits to step", c.exits_step},
        {"exits of helpers", c.exits_helper},
        {"helped loads", c.helped_loads},
        {"helped stores", c.helped_stores},
        {"helped instructions", c.helped_instructions},
        {"helped lookups", c.helped_lookups},
        {"helped edges", c.helped_edges},
        {"helped links", c.helped_links},
    };
    /* An interpreter translates nothing. */
    const size_t count = c.units ? ARRAY_SIZE(rows) : 6;

    for (size_t i = 0; i < count; i++)
        say_always(&session->say, "%-20s %16" PRIu64, rows[i].name, rows[i].value);
    say_always(&session->say, "%-20s %16.3f", "seconds", seconds);
    say_always(&session->say, "%-20s %16.1f", "million a second",
               (double)c.instructions / 1e6 / seconds);
}

static void banner_print(struct session *session, const struct machine_description *d)
{
    char memory[SIZE_TEXT_MAX];

    say_line(&session->say, "%s: %u CPU%s, %s of memory%s", d->name ? d->name : "machine", d->cpus,
             d->cpus == 1 ? "" : "s", size_format(d->memory, memory),
             isatty(STDIN_FILENO) ? "; Ctrl-A x quits, Ctrl-A h helps" : "");
    if (session->gdb)
        say_line(&session->say, "%s GDB at %s",
                 session->options->gdb_wait ? "stopped, waits for" : "can be debugged by",
                 session->options->gdb);
}

/* Before the start, so that an address in use is a request that fails. */
static int session_debug(struct session *session, struct error *error)
{
    const char *address = session->options->gdb;
    int r;

    if (!address || session->options->dump_dtb)
        return 0;
    r = gdb_new(&session->gdb, session->machine, session->loop, address, error);
    if (!r && session->options->gdb_wait)
        machine_debug_stop(session->machine);
    return r;
}

/* What is left to do by path: the code profile is written and sockets are removed at the end. */
static int session_confine(struct session *session, const struct machine_description *d,
                           struct error *error)
{
    const char *socket = session->options->gdb ? listen_path(session->options->gdb) : NULL;
    int r = 0;

    if (d->profile)
        r = jail_allow_cache(session->jail, d->profile, error);
    if (!r && d->agent)
        r = jail_allow_beside(session->jail, d->agent, JAIL_REMOVE, error);
    if (!r && d->vsock)
        r = jail_allow_beside(session->jail, d->vsock, JAIL_REMOVE, error);
    if (!r && d->networks)
        r = jail_allow(session->jail, d->networks,
                       JAIL_KEEP | JAIL_LIST | JAIL_REMOVE | JAIL_REMOVE_EMPTY, error);
    /* The directory of networks itself, once it is empty. */
    if (!r && d->networks)
        r = jail_allow_beside(session->jail, d->networks, JAIL_REMOVE_EMPTY, error);
    if (!r && socket)
        r = jail_allow_beside(session->jail, socket, JAIL_REMOVE, error);
    if (r)
        return r;
    r = jail_enter(session->jail, THREAD_LOOP);
    return r ? error_set(error, -r, "cannot confine the machine: %s", error_words(-r)) : 0;
}

static int session_open(struct session *session, const struct machine_description *description,
                        struct error *error)
{
    const struct terminal_commands commands = {.quit = on_quit,
                                               .help = on_help,
                                               .proceed = on_proceed,
                                               .engine = on_engine,
                                               .ctx = session};
    const struct machine_events events = {.ended = on_ended,
                                          .host_full = on_host_full,
                                          .rebooted = on_rebooted,
                                          .thread_begins = on_thread_begins,
                                          .ctx = session};
    const struct jail_options jail = {
        .mode = session->options->jail,
        .network = description_has_network(description, MACHINE_NET_USER),
        .sockets = description->vsock != NULL,
        .segment = description_has_network(description, MACHINE_NET_NAMED),
    };
    int r = jail_new(&session->jail, &jail, &session->say.log, error);

    if (r)
        return r;
    r = loop_new(&session->loop);
    if (r)
        return error_set(error, -r, "cannot make an event loop: %s", error_words(-r));
    r = open_signals(session, error);
    if (r)
        return r;
    /* Last before the start, because from here on the terminal is raw; but the machine wants its
     * console when it is built, so both are undone together on a failure. */
    if (!session->options->dump_dtb) {
        r = stream_terminal_new(&session->console, session->loop, STDIN_FILENO, STDOUT_FILENO,
                                isatty(STDIN_FILENO) ? ESCAPE : 0, &commands, error);
        if (r)
            return r;
        atomic_store(&raw_terminal, session->console);
        catch_crashes();
    }
    r = machine_new(&session->machine, description, session->loop, session->console, &events,
                    &session->say.log, error);
    if (r)
        return r;
    session->engine_first = machine_engine_name(session->machine);
    session->engine_given = description->engine;
    return session_debug(session, error);
}

static void session_close(struct session *session)
{
    gdb_free(session->gdb);
    if (session->machine)
        machine_free(session->machine);
    atomic_store(&raw_terminal, NULL);
    stream_free(session->console);
    if (session->signals >= 0) {
        loop_remove_fd(session->loop, session->signals);
        close(session->signals);
    }
    if (session->loop)
        loop_free(session->loop);
    jail_free(session->jail);
    say_release(&session->say);
}

/* All that a start would do before the first instruction: files are parsed in the jail. In a
 * process of its own, since this one goes on by path. */
static int session_put_tree(void *ctx, struct reader_answer *answer, struct error *error)
{
    struct session *session = ctx;
    const void *tree;
    uint32_t size;
    int r = session_open(session, session->description, error);

    if (!r)
        r = session_confine(session, session->description, error);
    if (!r)
        r = machine_prepare(session->machine, error);
    if (!r) {
        tree = machine_device_tree(session->machine, &size);
        reader_put(answer, tree, size);
    }
    session_close(session);
    return r;
}

/* The session does it, once all is open. */
static int confine_later(void *ctx)
{
    return 0;
}

static int session_dump(struct session *session, struct error *error)
{
    /* Warnings go to standard error. */
    const struct reader reader = {.body = session_put_tree,
                                  .confine = confine_later,
                                  .ctx = session,
                                  .files = {STDERR_FILENO, -1},
                                  .answer_max = TREE_MAX};
    CLEANUP(reader_answer_release) struct reader_answer answer = {0};
    int r = reader_ask(&reader, &answer, error);

    if (r == -ECHILD)
        error_wrap(error, "cannot make the device tree");
    return r ? r : dump_device_tree(session->options->dump_dtb, answer.data, answer.size, error);
}

int session_run(const struct machine_description *description,
                const struct session_options *options, struct error *error)
{
    struct session session = {.options = options, .description = description, .signals = -1};
    uint64_t began;
    int r;

    say_init(&session.say, options->quiet);
    if (options->dump_dtb) {
        r = session_dump(&session, error);
        say_release(&session.say);
        return r;
    }
    r = session_open(&session, description, error);
    if (!r) {
        began = monotonic_ns();
        r = session_confine(&session, description, error);
        if (!r)
            r = machine_prepare(session.machine, error);
        if (!r) {
            /* Not before: a request that fails is answered by one line. */
            banner_print(&session, description);
            r = machine_start(session.machine, error);
        }
        if (!r) {
            loop_run(session.loop);
            if (options->stats)
                stats_print(&session, monotonic_ns() - began);
            r = session.status;
        }
    }
    session_close(&session);
    return r;
}
