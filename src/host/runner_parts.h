/* SPDX-License-Identifier: Apache-2.0 */
/* What runner*.c share. Nobody else includes it. */
#ifndef HOSPES_HOST_RUNNER_PARTS_H
#define HOSPES_HOST_RUNNER_PARTS_H

#include <jansson.h>

#include "base/log.h"
#include "base/loop.h"
#include "base/rotate.h"
#include "base/thread.h"
#include "host/control.h"
#include "host/jail.h"
#include "host/record.h"
#include "host/state.h"
#include "machine/machine.h"
#include "stream/stream.h"

/* Bytes that other threads may say in one turn of the loop. */
#define RUNNER_PENDING 16384

/* All of the loop's thread but what says otherwise. */
struct runner {
    const struct registry *registry;
    const char *name;
    int lock_fd; /* the machine's lock; -1: not taken */
    struct record record;
    uint64_t memory;     /* bytes that the machine was built with */
    uint64_t memory_max; /* and that it can be given */
    bool grouped;        /* in a group of its own, which others set (group.h) */
    int session_fd;      /* weight_open_group(), where it is not */
    int run_fd;          /* registry_enter() */
    struct log log;      /* any thread */
    struct mutex lock;
    char pending[RUNNER_PENDING] GUARDED_BY(lock); /* words that are not in `words` yet */
    size_t pending_size GUARDED_BY(lock);
    bool words_lost GUARDED_BY(lock);
    pthread_t thread; /* the loop's */
    struct deferred flush;
    struct rotate *words;
    struct rotate *events;
    struct loop *loop;
    int signals;
    struct stream *console;
    struct jail *jail;
    struct machine *machine;
    struct control *control;
    struct state state;
    bool paused;
    bool not_merged; /* though it was to be */
};

/* runner_methods.c */
extern const struct control_method runner_methods[];

/* runner_set.c: the method "machine.set". */
int runner_set(void *ctx, const json_t *params, json_t **result, struct error *error);

/* Writes an event down and tells who listens. `more` (NULL: nothing) is taken over. */
void runner_event(struct runner *runner, const char *event, json_t *more);

#endif
