/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A loop that steps through memory and does the same to each element: what emit_vector.c makes code
 * of, found in the loop's operations.
 */
#ifndef HOSPES_CPU_HOST_X86_64_STREAM_H
#define HOSPES_CPU_HOST_X86_64_STREAM_H

#include "cpu/host_x86_64/emitter.h"

enum {
    VECTOR = 32, /* bytes */
    STREAM_VALUES_MAX = 24,
    STREAM_OPS_MAX = 16,
    STREAM_LOADS_MAX = 5,
    STREAM_STEPS_MAX = 8,
    NO_VALUE = 0xff,
    VECTOR_SCRATCH = XMM15, /* which no value has */
};

/* What a lane holds of a register of the guest. */
enum lane_kind {
    LANE_BITS,   /* all of it */
    LANE_SIGNED, /* its lower half, sign-extended */
    LANE_ZEROED, /* the lowest bytes, zero-extended */
    LANE_FLOAT,
};

struct stream_value {
    enum lane_kind kind;
    bool constant;   /* the same in all rounds: `ref`, or `imm` */
    bool arithmetic; /* a float whose NaN may be another one than the guest's */
    bool seen;       /* other than by arithmetic */
    ir_ref ref;
    int64_t imm;
    unsigned last; /* the operation that uses it last */
    unsigned reg;
};

struct stream_op {
    const struct ir_insn *insn;
    int32_t offset; /* of an access, from its base at the round's start */
    uint8_t a, b, c, dst;
    uint8_t at; /* its place among the operations of the guest's */
};

struct stream_step {
    ir_ref ref;
    int64_t by;
};

struct stream {
    unsigned width; /* of an element */
    bool floats;    /* has arithmetic that raises flags */
    unsigned op_count, load_count, value_count, step_count;
    struct stream_op ops[STREAM_OPS_MAX];
    const struct stream_op *store;
    struct stream_value values[STREAM_VALUES_MAX];
    struct stream_step steps[STREAM_STEPS_MAX];
    uint8_t now[IR_GLOBALS]; /* which value each global has, NO_VALUE: of before the round */
    unsigned writes[IR_GLOBALS];
    /* The loop goes on while `count` is below `limit`, or above it if it falls. */
    ir_ref count, limit;
    bool falls, inclusive;
    unsigned shift; /* a round of vectors takes 1 << shift off what is left */
    uint32_t saved; /* registers of the host's that are put aside, a bit each */
    uint32_t fail;  /* offset */
};

/* Whether the `count` operations, and the branch `back` behind them, are such a loop, of which the
 * first round was emitted; what it is. */
bool stream_find(struct stream *s, const struct emitter *e, const struct ir_insn *insns,
                 unsigned count, const struct ir_insn *back);

#endif
