/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process that reads what is hostile in the place of a command, which has all rights of its user:
 * it is made for one question, keeps nothing open but what that needs, confines itself
 * (jail_enter_reader()), and hands plain bytes back, which are bounded. Who takes the process over
 * can make these say anything, and nothing else.
 *
 *     command                               reader (a fork)
 *     reader_ask()  ---- fork ------------> confined, then body()
 *                   <--- a code and words, or bytes: reader_put()
 *     reader_get()
 *
 * Called where a process has no threads that hold a lock of what `body` uses; signals that end the
 * command end the reader too. What `body` changes in memory is the reader's own.
 */
#ifndef HOSPES_HOST_READER_H
#define HOSPES_HOST_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Bytes of an answer: written at the end, taken from the front. */
struct reader_answer {
    unsigned char *data; /* owned */
    size_t size, room;
    size_t at;   /* how much was taken */
    bool failed; /* memory ran out, which reader_ask() finds */
};

void reader_put(struct reader_answer *answer, const void *data, size_t size);
/* The next `size` bytes, which stay the answer's; NULL: there are not so many. */
const void *reader_get(struct reader_answer *answer, size_t size) MUST_CHECK;
bool reader_get_number(struct reader_answer *answer, uint64_t *number) MUST_CHECK;
void reader_put_number(struct reader_answer *answer, uint64_t number);
/* With their number in front. reader_get_bytes(): NULL also if they are more than `most`. */
void reader_put_bytes(struct reader_answer *answer, const void *data, size_t size);
const void *reader_get_bytes(struct reader_answer *answer, size_t most, size_t *size) MUST_CHECK;
void reader_answer_release(struct reader_answer *answer);

enum { READER_FILES_MAX = 2 };

/* What it may take beyond the time that it gives others: it is begun, and confined. */
#define READER_MARGIN_MS 2000u

struct reader {
    /* In the reader. 0, or -errno with the error set; what there is to say is put into `answer`. */
    int (*body)(void *ctx, struct reader_answer *answer, struct error *error);
    /* Confines it: 0 or -errno. NULL: as jail_enter_reader() does. */
    int (*confine)(void *ctx);
    void *ctx;
    int files[READER_FILES_MAX]; /* stay open; -1: none */
    size_t answer_max;           /* bytes */
    unsigned timeout_ms;         /* after which it is killed; 0: it may take what it takes */
};

/* *answer is the caller's to release, and empty on failure. What the body failed with is what this
 * fails with, its words bounded and without control characters; -ECHILD: the reader was killed;
 * -ETIMEDOUT. */
int reader_ask(const struct reader *reader, struct reader_answer *answer,
               struct error *error) MUST_CHECK;

#endif
