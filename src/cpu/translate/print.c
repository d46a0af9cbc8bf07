/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "cpu/translate/ir.h"

static const char *const names[IR_OP_COUNT] = {
    "nop",      "mov",     "add",       "sub",        "and",       "or",       "xor",
    "andn",     "orn",     "xnor",      "shl",        "shr",       "sar",      "rotl",
    "rotr",     "mul",     "mulh",      "mulhu",      "mulhsu",    "div",      "divu",
    "rem",      "remu",    "min",       "minu",       "max",       "maxu",     "shladd",
    "shladdu",  "sext8",   "sext16",    "sext32",     "zext8",     "zext16",   "zext32",
    "clz",      "ctz",     "popcnt",    "bswap",      "orcb",      "bset",     "bclr",
    "binv",     "bext",    "clmul",     "clmulh",     "clmulr",    "set",      "keepnez",
    "keepeqz",  "load",    "store",     "swap",       "fetchadd",  "fetchand", "fetchor",
    "fetchxor", "loadres", "storecond", "cmpswap",    "zeroblock", "fence",    "fguard",
    "fadd",     "fsub",    "fmul",      "fdiv",       "fsqrt",     "fmadd",    "fmsub",
    "fnmsub",   "fnmadd",  "fmin",      "fmax",       "fsgnj",     "fsgnjn",   "fsgnjx",
    "feq",      "flt",     "fle",       "ftoizero",   "ftoiround", "itof",     "ftof",
    "fbits",    "bitsf",   "flagsread", "flagswrite", "stguard",   "stread",   "stwrite",
    "stswap",   "stclear", "stenable",  "stassign",   "sttake",    "stview",   "label",
    "branch",   "jump",    "call",      "jumpto",     "callto",    "returnto", "guest",
    "nextpage", "step",
};

static const char *const conditions[] = {"eq", "ne", "lt", "ge", "ltu", "geu"};

static void print_ref(ir_ref ref, char *text, unsigned size)
{
    if (ref == IR_ZERO)
        snprintf(text, size, "0");
    else if (ref == IR_PAGE)
        snprintf(text, size, "page");
    else if (ref == IR_IMM)
        snprintf(text, size, "imm");
    else
        snprintf(text, size, "g%u", ref);
}

void ir_print(const struct ir_insn *insn, char *text, unsigned size)
{
    char dst[8], a[8], b[8], c[8];

    print_ref(insn->dst, dst, sizeof(dst));
    print_ref(insn->a, a, sizeof(a));
    print_ref(insn->b, b, sizeof(b));
    print_ref(insn->c, c, sizeof(c));
    snprintf(text, size, "%03x %s.%u%s %s = %s, %s, %s imm %lld scale %u%s%s", insn->at,
             insn->op < IR_OP_COUNT ? names[insn->op] : "?", insn->width, insn->sign ? "s" : "",
             dst, a, b, c, (long long)insn->imm, insn->scale,
             insn->op == IR_SET || insn->op == IR_BRANCH ? " if " : "",
             insn->op == IR_SET || insn->op == IR_BRANCH ? conditions[insn->cond] : "");
}
