/* SPDX-License-Identifier: Apache-2.0 */
#include "host/runner.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "base/loop.h"
#include "base/rotate.h"
#include "base/signals.h"
#include "base/unix_socket.h"
#include "host/control.h"
#include "host/group.h"
#include "host/pool.h"
#include "host/record.h"
#include "host/runner_parts.h"
#include "host/weight.h"
#include "image/file.h"
#include "image/store.h"
#include "machine/machine.h"
#include "stream/stream.h"

#define LOG_BOUND       (1u << 20)
#define CONSOLE_BOUND   (4u << 20)
#define CONSOLE_HISTORY (64u << 10) /* what a console shows that is opened later */

/* ---- words and events ---- */

static const char *const levels[] = {[LOG_ERROR] = "error",
                                     [LOG_WARN] = "warning",
                                     [LOG_GUEST] = "guest",
                                     [LOG_INFO] = "info",
                                     [LOG_DEBUG] = "debug"};

/* Files are the loop's thread's: to begin the log anew takes a name, and no other thread of a
 * jailed process may open one. */
static void words_flush(void *ctx)
{
    static const char lost[] = "some words were lost\n";
    struct runner *runner = ctx;
    char text[RUNNER_PENDING];
    size_t size;
    bool told;

    if (!runner->words)
        return;
    mutex_lock(&runner->lock);
    size = runner->pending_size;
    memcpy(text, runner->pending, size);
    runner->pending_size = 0;
    told = runner->words_lost;
    runner->words_lost = false;
    mutex_unlock(&runner->lock);
    rotate_write(runner->words, text, size);
    if (told)
        rotate_write(runner->words, lost, sizeof(lost) - 1);
}

static void on_word(void *ctx, enum log_level level, const char *text)
{
    struct runner *runner = ctx;
    CLEANUP(text_free) char *line = NULL;
    char now[STATE_TIME_SIZE];
    size_t length;

    state_time(now);
    line = text_format("%s %s: %s\n", now, levels[level], text);
    if (!line)
        return;
    length = strlen(line);
    mutex_lock(&runner->lock);
    if (length <= RUNNER_PENDING - runner->pending_size) {
        memcpy(runner->pending + runner->pending_size, line, length);
        runner->pending_size += length;
    } else {
        runner->words_lost = true;
    }
    mutex_unlock(&runner->lock);
    if (pthread_equal(pthread_self(), runner->thread))
        words_flush(runner);
    else
        loop_post(runner->loop, &runner->flush);
}

void runner_event(struct runner *runner, const char *event, json_t *more)
{
    char now[STATE_TIME_SIZE];
    CLEANUP(text_free) char *text = NULL;
    json_t *json;

    state_time(now);
    json = json_pack("{s:s, s:s, s:s}", "time", now, "machine", runner->name, "event", event);
    if (json && more)
        json_object_update(json, more);
    json_decref(more);
    text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    if (text) {
        rotate_write(runner->events, text, strlen(text));
        rotate_write(runner->events, "\n", 1);
        control_notify(runner->control, "event", json);
    }
    json_decref(json);
}

/* ---- what the machine tells ---- */

static void on_ended(void *ctx, enum machine_end why, int status)
{
    static const enum state_end reasons[] = {[MACHINE_POWER_OFF] = STATE_END_POWER_OFF,
                                             [MACHINE_FAILED] = STATE_END_FAILED,
                                             [MACHINE_STOPPED] = STATE_END_KILLED};
    struct runner *runner = ctx;

    runner->state.kind = STATE_STOPPED;
    runner->state.end = reasons[why];
    runner->state.status = status;
    runner_event(runner, "ended",
                 json_pack("{s:s, s:i}", "end", state_end_name(reasons[why]), "status", status));
    loop_stop(runner->loop, 0);
}

static void on_host_full(void *ctx, const char *path)
{
    struct runner *runner = ctx;

    runner->paused = true;
    runner_event(runner, "disk-full", json_pack("{s:s}", "disk", path));
}

static void on_rebooted(void *ctx)
{
    runner_event(ctx, "rebooted", NULL);
}

static void on_network_lost(void *ctx)
{
    runner_event(ctx, "network-lost", NULL);
}

static int on_thread_begins(void *ctx, enum thread_role role)
{
    struct runner *runner = ctx;

    return jail_enter(runner->jail, role);
}

static void on_signal(void *ctx, int fd, uint32_t events)
{
    struct runner *runner = ctx;

    if (signals_read(fd))
        machine_stop(runner->machine);
}

/* ---- from the lock to the first instruction ---- */

static int open_log(struct runner *runner, const char *file, uint64_t bound, const struct log *log,
                    struct rotate **rotate, struct error *error)
{
    CLEANUP(text_free) char *path = registry_var_path(runner->registry, runner->name, file);

    if (!path)
        return error_set(error, ENOMEM, "out of memory");
    return rotate_open(rotate, path, bound, log, error);
}

static int open_console(struct runner *runner, struct error *error)
{
    struct stream_socket_options options = {.shared = true, .history = CONSOLE_HISTORY};
    CLEANUP(text_free)
    char *path = registry_run_path(runner->registry, runner->name, "console");
    int listener, r;

    if (!path)
        return error_set(error, ENOMEM, "out of memory");
    r = control_listen(path, &listener, error);
    if (r)
        return r;
    r = open_log(runner, "console.log", CONSOLE_BOUND, &runner->log, &options.log, error);
    if (r) {
        close(listener);
        return r;
    }
    return stream_socket_new(&runner->console, runner->loop, listener, &options, error);
}

static int open_control(struct runner *runner, struct error *error)
{
    CLEANUP(text_free)
    char *path = registry_run_path(runner->registry, runner->name, "control");
    int listener, r;

    if (!path)
        return error_set(error, ENOMEM, "out of memory");
    r = control_listen(path, &listener, error);
    if (r)
        return r;
    r = control_new(&runner->control, runner->loop, listener, runner_methods, runner);
    if (!r && jail_hides_users(runner->jail))
        control_hide_users(runner->control);
    return r ? error_set(error, -r, "cannot serve \"%s\": %s", path, error_words(-r)) : 0;
}

static int open_signals(struct runner *runner, struct error *error)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, 0};
    int r = signals_open(numbers, &runner->signals, error);

    if (r)
        return r;
    r = loop_add_fd(runner->loop, runner->signals, EPOLLIN, on_signal, runner);
    return r ? error_set(error, -r, "cannot watch for signals: %s", error_words(-r)) : 0;
}

/* What every named machine has, whatever its record says. */
static int complete_description(struct runner *runner, struct error *error)
{
    struct machine_description *d = &runner->record.description;

    int r = 0;

    d->agent = registry_run_path(runner->registry, runner->name, "agent");
    d->vsock = registry_run_path(runner->registry, runner->name, "vsock");
    if (!d->agent || !d->vsock)
        return error_set(error, ENOMEM, "out of memory");
    if (description_has_network(d, MACHINE_NET_NAMED))
        r = registry_make_networks(runner->registry, &d->networks, error);
    return r ? r : description_check(d, error);
}

static int open_machine(struct runner *runner, struct error *error)
{
    const struct machine_events events = {.ended = on_ended,
                                          .host_full = on_host_full,
                                          .rebooted = on_rebooted,
                                          .network_lost = on_network_lost,
                                          .thread_begins = on_thread_begins,
                                          .ctx = runner};

    return machine_new(&runner->machine, &runner->record.description, runner->loop, runner->console,
                       &events, &runner->log, error);
}

static int open_jail(struct runner *runner, enum jail_mode mode, struct error *error)
{
    const struct machine_description *d = &runner->record.description;
    /* Every named machine has sockets of its guest's. */
    const struct jail_options options = {
        .mode = mode,
        .network = description_has_network(d, MACHINE_NET_USER),
        .sockets = true,
        .segment = description_has_network(d, MACHINE_NET_NAMED),
    };

    return jail_new(&runner->jail, &options, &runner->log, error);
}

/* What is left to do by path; all else is open. */
static int runner_confine(struct runner *runner, struct error *error)
{
    const struct machine_description *d = &runner->record.description;
    CLEANUP(text_free) char *var = registry_var_path(runner->registry, runner->name, NULL);
    CLEANUP(text_free) char *run = registry_run_path(runner->registry, runner->name, NULL);
    int r = var ? jail_allow(runner->jail, var, JAIL_KEEP, error) : -ENOMEM;

    if (!r)
        r = run ? jail_allow(runner->jail, run, JAIL_REMOVE, error) : -ENOMEM;
    /* RUN/NAME itself, and RUN/.net. */
    if (!r)
        r = jail_allow(runner->jail, runner->registry->run, JAIL_REMOVE_EMPTY, error);
    if (!r && d->profile)
        r = jail_allow_cache(runner->jail, d->profile, error);
    if (!r && d->networks)
        r = jail_allow(runner->jail, d->networks,
                       JAIL_KEEP | JAIL_LIST | JAIL_REMOVE | JAIL_REMOVE_EMPTY, error);
    if (!r)
        r = jail_enter(runner->jail, THREAD_LOOP);
    if (r && error && !error->message)
        error_set(error, -r, "cannot confine the machine: %s", error_words(-r));
    return r;
}

/* The machine's lock, if the pool has room for it. */
static int runner_enter(struct runner *runner, struct error *error)
{
    CLEANUP(descriptor_close) int record_fd = -1;
    CLEANUP(descriptor_close) int pool_fd = -1;
    struct pool pool = {0};
    const char *other;
    int r = registry_lock(runner->registry, runner->name, &runner->lock_fd, error);

    /* A look only, so as not to wait while somebody changes a machine that runs. */
    if (r)
        return r;
    close(runner->lock_fd);
    runner->lock_fd = -1;
    r = registry_lock_record(runner->registry, runner->name, &record_fd, error);
    if (!r)
        r = pool_lock(runner->registry, &pool_fd, error);
    if (!r)
        r = registry_lock(runner->registry, runner->name, &runner->lock_fd, error);
    /* Not before, or a change between would be missed: see R2. */
    if (!r)
        r = record_read(runner->registry, runner->name, &runner->record, error);
    if (r)
        return r;
    runner->memory = runner->record.description.memory;
    runner->memory_max = record_memory_max(&runner->record);
    r = pool_measure(&pool, runner->registry, error);
    if (!r)
        r = pool_admit_change(&pool, &runner->record, error);
    if (!r && runner->record.description.merge && !pool_may_merge(&pool, &runner->record, &other)) {
        runner->record.description.merge = false;
        runner->not_merged = true;
    }
    if (r)
        error_wrap(error, "cannot start \"%s\"", runner->name);
    pool_release(&pool);
    return r;
}

static int runner_open(struct runner *runner, enum jail_mode mode, struct error *error)
{
    int r = runner_enter(runner, error);

    if (r)
        return r;
    registry_sweep(runner->registry, runner->name);
    r = registry_make_run(runner->registry, runner->name, error);
    if (!r)
        runner->run_fd = registry_enter(runner->registry);
    if (!r)
        r = registry_make_var(runner->registry, runner->name, error);
    if (!r)
        r = open_log(runner, "log", LOG_BOUND, NULL, &runner->words, error);
    if (!r)
        r = open_log(runner, "events", LOG_BOUND, &runner->log, &runner->events, error);
    if (r)
        return r;
    r = open_jail(runner, mode, error);
    if (r)
        return r;
    r = loop_new(&runner->loop);
    if (r)
        return error_set(error, -r, "cannot make an event loop: %s", error_words(-r));
    r = open_signals(runner, error);
    if (!r)
        r = open_console(runner, error);
    if (!r)
        r = complete_description(runner, error);
    if (!r)
        r = open_machine(runner, error);
    if (!r)
        r = open_control(runner, error);
    return r;
}

static void runner_close(struct runner *runner)
{
    if (runner->machine)
        machine_free(runner->machine);
    words_flush(runner);
    control_free(runner->control);
    stream_free(runner->console);
    if (runner->signals >= 0) {
        loop_remove_fd(runner->loop, runner->signals);
        close(runner->signals);
    }
    if (runner->loop) {
        loop_unpost(runner->loop, &runner->flush);
        loop_free(runner->loop);
    }
    words_flush(runner);
    rotate_close(runner->events);
    rotate_close(runner->words);
    record_release(&runner->record);
    jail_free(runner->jail);
    mutex_release(&runner->lock);
    if (runner->session_fd >= 0)
        close(runner->session_fd);
    if (runner->lock_fd >= 0)
        registry_leave(runner->registry, runner->name, runner->run_fd);
    descriptor_close(&runner->run_fd);
    descriptor_close(&runner->lock_fd);
}

static int write_state(struct runner *runner, struct error *error)
{
    state_time(runner->state.since);
    return state_write(runner->registry, runner->name, &runner->state, error);
}

static void say_warning(struct runner *runner, struct error *error)
{
    log_say(&runner->log, LOG_WARN, "%s", error->message ? error->message : "out of memory");
    error_release(error);
}

/* Its share of the host's CPUs: by a group of its own, or else as good as it gets. */
static void runner_share(struct runner *runner, bool group)
{
    const struct record *record = &runner->record;
    const struct group_shares shares = {record->cpu_weight, record->cpu_cap};
    struct error failed = ERROR_INIT;
    int r =
        group ? group_enter("", runner->registry, runner->name, runner->memory, &failed) : -ENOENT;

    runner->grouped = !r;
    if (failed.message)
        say_warning(runner, &failed);
    if (runner->grouped) {
        if (group_set(runner->registry, runner->name, &shares, &failed))
            say_warning(runner, &failed);
        return;
    }
    runner->session_fd = weight_open_group(getpid());
    if (record->cpu_weight && weight_set(record->cpu_weight, &failed))
        say_warning(runner, &failed);
    machine_set_cpu_cap(runner->machine, record->cpu_cap);
}

static int runner_start(struct runner *runner, bool group, struct error *error)
{
    int r;

    runner->state = (struct state){.kind = STATE_RUNNING,
                                   .pid = getpid(),
                                   .merging = runner->record.description.merge};
    if (runner->not_merged)
        log_say(&runner->log, LOG_WARN,
                "its memory is not merged: a machine of another merge domain runs");
    r = registry_sign_lock(runner->lock_fd);
    if (r)
        return error_set(error, -r, "cannot sign the machine's lock: %s", error_words(-r));
    r = write_state(runner, error);
    if (r)
        return r;
    runner_share(runner, group);
    r = runner_confine(runner, error);
    if (!r)
        r = machine_start(runner->machine, error);
    if (r) {
        runner->state = (struct state){.kind = STATE_STOPPED, .end = STATE_END_FAILED};
        if (write_state(runner, NULL))
            log_say(&runner->log, LOG_WARN, "cannot write down that the machine did not start");
        return r;
    }
    runner_event(runner, "started", json_pack("{s:i}", "pid", (int)getpid()));
    return 0;
}

int runner_run(const struct registry *registry, const char *name,
               const struct runner_options *options, struct state *end, struct error *error)
{
    struct runner runner = {.registry = registry,
                            .name = name,
                            .signals = -1,
                            .lock_fd = -1,
                            .session_fd = -1,
                            .run_fd = -1};
    int r;

    runner.log = (struct log){.sink = on_word, .ctx = &runner};
    runner.thread = pthread_self();
    deferred_init(&runner.flush, words_flush, &runner);
    mutex_init(&runner.lock);
    record_init(&runner.record);
    r = runner_open(&runner, options->jail, error);
    if (!r)
        r = runner_start(&runner, options->group, error);
    if (!r) {
        if (options->started)
            options->started(options->ctx);
        loop_run(runner.loop);
        runner.state.pid = 0;
        /* A machine whose end could not be written down is taken for crashed, which is the safe
         * side. */
        if (write_state(&runner, NULL))
            log_say(&runner.log, LOG_WARN, "cannot write down that the machine ended");
        *end = runner.state;
    }
    runner_close(&runner);
    return r;
}
