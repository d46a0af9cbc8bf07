/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk's limits: a stage that requests pass before anything is done for them. First come, first
 * served: who waits is passed by nobody. Flushes and discards count as requests of no bytes.
 *
 * Everything on the loop's thread. What waits is the stage's, linked by its `next`, until `start`
 * has it or it is taken out by limit_cancel(). A timer is set while something waits, and only then.
 */
#ifndef HOSPES_STORAGE_LIMIT_H
#define HOSPES_STORAGE_LIMIT_H

#include "base/bucket.h"
#include "base/compiler.h"
#include "base/loop.h"
#include "storage/block.h"

struct limit {
    struct bucket requests;
    struct bucket bytes;
    struct block_request *head, **tail;
    struct timer timer;
    /* A request that waited may go on; from the timer or limit_set(). */
    void (*start)(void *ctx, struct block_request *request);
    void *ctx;
};

void limit_init(struct limit *limit, struct loop *loop,
                void (*start)(void *ctx, struct block_request *request), void *ctx);
/* Nothing may wait. */
void limit_release(struct limit *limit);
void limit_set(struct limit *limit, const struct block_limits *limits);

/* True: it goes on at once. False: it waits for `start`. */
bool limit_pass(struct limit *limit, struct block_request *request) MUST_CHECK;
/* Takes everything out that waits: a list in order, by `next`. */
struct block_request *limit_cancel(struct limit *limit) MUST_CHECK;

#endif
