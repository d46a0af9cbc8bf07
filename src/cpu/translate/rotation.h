/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rotations that a guest without an instruction for them makes of two shifts and an "or".
 */
#ifndef HOSPES_CPU_TRANSLATE_ROTATION_H
#define HOSPES_CPU_TRANSLATE_ROTATION_H

#include "cpu/translate/ir.h"

/* By which operation of the unit each global was written last: its number plus 1. */
struct ir_writers {
    uint16_t writer[IR_GLOBALS];
};

/* Nothing is known of any global: at the start, and where any may have been written. */
void ir_writers_forget(struct ir_writers *writers);
/* Operation `i` of the unit is done: it may end a rotation, and then becomes one, or the shift that
 * has its place does. */
void ir_join_rotation(struct ir_unit *unit, unsigned i, const struct ir_writers *writers);
/* The next one to be seen is i + 1. */
void ir_note_writer(struct ir_writers *writers, const struct ir_insn *insn, unsigned i);

#endif
