/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/limit.h"

#include "base/thread.h"

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Takes what the request costs, if it may go on. */
static bool limit_take(struct limit *limit, const struct block_request *request, uint64_t now)
{
    bool moves = request->operation == BLOCK_READ || request->operation == BLOCK_WRITE ||
                 request->operation == BLOCK_WRITE_ZEROES;

    if (bucket_wait(&limit->requests, now) || bucket_wait(&limit->bytes, now))
        return false;
    bucket_take(&limit->requests, 1, now);
    bucket_take(&limit->bytes, moves ? request->length : 0, now);
    return true;
}

/* Something waits. */
static void limit_arm(struct limit *limit, uint64_t now)
{
    uint64_t nap = later(bucket_nap(&limit->requests, now), bucket_nap(&limit->bytes, now));

    timer_set(&limit->timer, nap < UINT64_MAX - now ? now + nap : UINT64_MAX);
}

/* Starts what may go on, and sets the timer for the first that may not. */
static void limit_run(void *ctx)
{
    struct limit *limit = ctx;
    uint64_t now = monotonic_ns();

    while (limit->head && limit_take(limit, limit->head, now)) {
        struct block_request *request = limit->head;

        limit->head = request->next;
        if (!limit->head)
            limit->tail = &limit->head;
        limit->start(limit->ctx, request);
    }
    if (limit->head)
        limit_arm(limit, now);
    else
        timer_cancel(&limit->timer);
}

bool limit_pass(struct limit *limit, struct block_request *request)
{
    uint64_t now;

    if (!limit->head && !limit->requests.rate && !limit->bytes.rate)
        return true;
    now = monotonic_ns();
    if (!limit->head && limit_take(limit, request, now))
        return true;
    request->next = NULL;
    *limit->tail = request;
    limit->tail = &request->next;
    if (limit->head == request)
        limit_arm(limit, now);
    return false;
}

struct block_request *limit_cancel(struct limit *limit)
{
    struct block_request *first = limit->head;

    limit->head = NULL;
    limit->tail = &limit->head;
    timer_cancel(&limit->timer);
    return first;
}

void limit_set(struct limit *limit, const struct block_limits *limits)
{
    uint64_t now = monotonic_ns();

    bucket_set(&limit->requests, limits->requests, limits->request_burst, now);
    bucket_set(&limit->bytes, limits->bytes, limits->byte_burst, now);
    limit_run(limit);
}

void limit_init(struct limit *limit, struct loop *loop,
                void (*start)(void *ctx, struct block_request *request), void *ctx)
{
    *limit = (struct limit){.start = start, .ctx = ctx};
    limit->tail = &limit->head;
    timer_init(&limit->timer, loop, limit_run, limit);
}

void limit_release(struct limit *limit)
{
    BUG_ON(limit->head);
    timer_cancel(&limit->timer);
}
