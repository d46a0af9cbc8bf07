/* SPDX-License-Identifier: Apache-2.0 */
#include "host/state.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/thread.h"
#include "host/control.h"
#include "host/family.h"
#include "host/group.h"
#include "image/file.h"

enum { STATE_SIZE_MAX = 4096, STATE_ASK_MS = 1000 };
enum { ENDING_SECONDS = 30, ENDING_STEP_US = 5000 };

static const char *const kinds[] = {[STATE_STOPPED] = "stopped",
                                    [STATE_CRASHED] = "crashed",
                                    [STATE_RUNNING] = "running",
                                    [STATE_PAUSED] = "paused",
                                    [STATE_BUSY] = "busy"};
static const char *const ends[] = {[STATE_END_NONE] = "none",
                                   [STATE_END_POWER_OFF] = "power-off",
                                   [STATE_END_FAILED] = "failed",
                                   [STATE_END_KILLED] = "killed"};

const char *state_name(enum state_kind kind)
{
    return kinds[kind];
}

const char *state_end_name(enum state_end end)
{
    return ends[end];
}

void state_time(char text[static STATE_TIME_SIZE])
{
    struct timespec now;
    struct tm utc;
    size_t n;

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    n = strftime(text, STATE_TIME_SIZE, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(text + n, STATE_TIME_SIZE - n, ".%03dZ", (int)(now.tv_nsec / 1000000) % 1000);
}

/* What is not there or broken tells nothing: the machine is as it is without. */
void state_recall(const struct registry *registry, const char *name, struct state *state)
{
    CLEANUP(text_free) char *path = registry_var_path(registry, name, "state.json");
    CLEANUP(text_free) char *text = NULL;

    *state = (struct state){.kind = STATE_STOPPED};
    if (path && !file_read_text(path, STATE_SIZE_MAX, &text, NULL))
        (void)!state_parse(text, state);
}

static bool asked_is_paused(const struct registry *registry, const char *name, bool *paused)
{
    CLEANUP(json_decrefp)
    json_t *info = control_ask(registry, name, "machine.info", NULL, STATE_ASK_MS, NULL);
    const char *said;

    if (!info)
        return false;
    said = json_string_value(json_object_get(info, "state"));
    *paused = said && !strcmp(said, kinds[STATE_PAUSED]);
    return true;
}

void state_look(const struct registry *registry, const char *name, struct state *state)
{
    bool locked = registry_is_locked(registry, name), paused;

    state_recall(registry, name, state);
    /* Started between the two looks: it wrote that down under its lock. */
    if (!locked && state->kind != STATE_STOPPED)
        locked = registry_is_locked(registry, name);
    if (!locked) {
        /* What it could not remove itself. */
        group_sweep(registry, name);
        state->pid = 0;
        if (state->kind != STATE_STOPPED)
            state->kind = STATE_CRASHED;
        return;
    }
    /* Who holds the lock has not written yet: this is of one that was killed before. */
    if (!registry_is_held_by(registry, name, state->pid))
        state->pid = 0;
    if (!asked_is_paused(registry, name, &paused))
        state->kind = STATE_BUSY;
    else
        state->kind = paused ? STATE_PAUSED : STATE_RUNNING;
}

void state_wait_ending(const struct registry *registry, const char *name)
{
    uint64_t deadline = monotonic_ns() + ENDING_SECONDS * UINT64_C(1000000000);
    struct state state;

    /* Nothing tells of the end of a process of somebody else. */
    while (registry_is_locked(registry, name) && monotonic_ns() < deadline) {
        state_recall(registry, name, &state);
        if (!state.pid || !process_is_ending(state.pid))
            return;
        usleep(ENDING_STEP_US);
    }
}

int state_write(const struct registry *registry, const char *name, const struct state *state,
                struct error *error)
{
    CLEANUP(text_free) char *path = registry_var_path(registry, name, "state.json");
    CLEANUP(json_decrefp)
    json_t *json =
        json_pack("{s:i, s:s, s:i, s:s, s:i, s:b, s:s}", "version", STATE_VERSION, "state",
                  kinds[state->kind], "pid", (int)state->pid, "end", ends[state->end], "status",
                  state->status, "merging", (int)state->merging, "since", state->since);
    CLEANUP(text_free) char *text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;

    if (!path || !text)
        return error_set(error, ENOMEM, "out of memory");
    return file_write(path, text, strlen(text), false, error);
}
