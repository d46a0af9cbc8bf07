# SPDX-License-Identifier: Apache-2.0
"""Expected results of the computational instructions, from a plain model in Python.

The model is exact and shares nothing with hospes: integers are Python's, floating point is rational arithmetic rounded once
by the rules of IEEE 754-2008 and the "F" chapter of the RISC-V specification (tininess after rounding, canonical NaN).
`write_vectors(extension, path)` writes an assembler file with one macro `vectors_<instruction>` for each instruction of the
extension: its operand values and results as data, and the code that tries them (the shapes are in shapes.h).
"""

import math
import random
from fractions import Fraction

XLEN = 64
MASK = (1 << 64) - 1


def signed(value, bits=64):
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def word(value):
    """The sign-extended low word: the result of every *W instruction."""
    return signed(value, 32) & MASK


# ---- integer instructions -------------------------------------------------------------------------------------------------


def divide(a, b, bits, is_signed, want_remainder):
    """Division rounding to zero, with the results of section "M", Table "Semantics for division by zero and overflow"."""
    if is_signed:
        a, b = signed(a, bits), signed(b, bits)
    else:
        a, b = a & ((1 << bits) - 1), b & ((1 << bits) - 1)
    if b == 0:
        quotient, remainder = -1, a
    else:
        quotient = abs(a) // abs(b)
        if (a < 0) != (b < 0):
            quotient = -quotient
        remainder = a - quotient * b
    result = remainder if want_remainder else quotient
    return signed(result, bits) & MASK


def rotate_right(a, n, bits):
    a &= (1 << bits) - 1
    n %= bits
    return ((a >> n) | (a << (bits - n))) & ((1 << bits) - 1)


def carryless(a, b):
    """The 127-bit carry-less product."""
    product = 0
    for i in range(64):
        if b >> i & 1:
            product ^= a << i
    return product


def count_leading(a, bits):
    return bits - (a & ((1 << bits) - 1)).bit_length()


def count_trailing(a, bits):
    a &= (1 << bits) - 1
    return (a & -a).bit_length() - 1 if a else bits


def each_byte(a, f):
    return int.from_bytes(bytes(f(x) for x in a.to_bytes(8, "little")), "little")


low32 = (1 << 32) - 1

RR = {
    "i": {
        "add": lambda a, b: a + b,
        "sub": lambda a, b: a - b,
        "sll": lambda a, b: a << (b & 63),
        "slt": lambda a, b: signed(a) < signed(b),
        "sltu": lambda a, b: a < b,
        "xor": lambda a, b: a ^ b,
        "srl": lambda a, b: a >> (b & 63),
        "sra": lambda a, b: signed(a) >> (b & 63),
        "or": lambda a, b: a | b,
        "and": lambda a, b: a & b,
        "addw": lambda a, b: word(a + b),
        "subw": lambda a, b: word(a - b),
        "sllw": lambda a, b: word(a << (b & 31)),
        "srlw": lambda a, b: word((a & low32) >> (b & 31)),
        "sraw": lambda a, b: word(signed(a, 32) >> (b & 31)),
    },
    "m": {
        "mul": lambda a, b: a * b,
        "mulh": lambda a, b: signed(a) * signed(b) >> 64,
        "mulhsu": lambda a, b: signed(a) * b >> 64,
        "mulhu": lambda a, b: a * b >> 64,
        "mulw": lambda a, b: word(a * b),
        "div": lambda a, b: divide(a, b, 64, True, False),
        "divu": lambda a, b: divide(a, b, 64, False, False),
        "rem": lambda a, b: divide(a, b, 64, True, True),
        "remu": lambda a, b: divide(a, b, 64, False, True),
        "divw": lambda a, b: divide(a, b, 32, True, False),
        "divuw": lambda a, b: divide(a, b, 32, False, False),
        "remw": lambda a, b: divide(a, b, 32, True, True),
        "remuw": lambda a, b: divide(a, b, 32, False, True),
    },
    "zb": {
        "add.uw": lambda a, b: (a & low32) + b,
        "sh1add": lambda a, b: (a << 1) + b,
        "sh2add": lambda a, b: (a << 2) + b,
        "sh3add": lambda a, b: (a << 3) + b,
        "sh1add.uw": lambda a, b: ((a & low32) << 1) + b,
        "sh2add.uw": lambda a, b: ((a & low32) << 2) + b,
        "sh3add.uw": lambda a, b: ((a & low32) << 3) + b,
        "andn": lambda a, b: a & ~b,
        "orn": lambda a, b: a | (~b & MASK),
        "xnor": lambda a, b: ~(a ^ b),
        "max": lambda a, b: max(signed(a), signed(b)),
        "maxu": max,
        "min": lambda a, b: min(signed(a), signed(b)),
        "minu": min,
        "rol": lambda a, b: rotate_right(a, -b % 64, 64),
        "ror": lambda a, b: rotate_right(a, b, 64),
        "rolw": lambda a, b: word(rotate_right(a, -b % 32, 32)),
        "rorw": lambda a, b: word(rotate_right(a, b, 32)),
        "bclr": lambda a, b: a & ~(1 << (b & 63)),
        "bext": lambda a, b: a >> (b & 63) & 1,
        "binv": lambda a, b: a ^ (1 << (b & 63)),
        "bset": lambda a, b: a | (1 << (b & 63)),
        "clmul": carryless,
        "clmulh": lambda a, b: carryless(a, b) >> 64,
        "clmulr": lambda a, b: carryless(a, b) >> 63,
    },
    "zicond": {
        "czero.eqz": lambda a, b: 0 if b == 0 else a,
        "czero.nez": lambda a, b: 0 if b != 0 else a,
    },
}

IMM12 = [0, 1, -1, 2, 7, 8, 0x555, -0x556, 2047, -2047, -2048]
SHIFT64 = [0, 1, 7, 15, 31, 32, 33, 62, 63]
SHIFT32 = [0, 1, 7, 15, 16, 30, 31]

RI = {
    "i": {
        "addi": (IMM12, lambda a, i: a + i),
        "slti": (IMM12, lambda a, i: signed(a) < i),
        "sltiu": (IMM12, lambda a, i: a < i & MASK),
        "xori": (IMM12, lambda a, i: a ^ (i & MASK)),
        "ori": (IMM12, lambda a, i: a | (i & MASK)),
        "andi": (IMM12, lambda a, i: a & i & MASK),
        "addiw": (IMM12, lambda a, i: word(a + i)),
        "slli": (SHIFT64, lambda a, i: a << i),
        "srli": (SHIFT64, lambda a, i: a >> i),
        "srai": (SHIFT64, lambda a, i: signed(a) >> i),
        "slliw": (SHIFT32, lambda a, i: word(a << i)),
        "srliw": (SHIFT32, lambda a, i: word((a & low32) >> i)),
        "sraiw": (SHIFT32, lambda a, i: word(signed(a, 32) >> i)),
    },
    "zb": {
        "slli.uw": (SHIFT64, lambda a, i: (a & low32) << i),
        "rori": (SHIFT64, lambda a, i: rotate_right(a, i, 64)),
        "roriw": (SHIFT32, lambda a, i: word(rotate_right(a, i, 32))),
        "bclri": (SHIFT64, lambda a, i: a & ~(1 << i)),
        "bexti": (SHIFT64, lambda a, i: a >> i & 1),
        "binvi": (SHIFT64, lambda a, i: a ^ (1 << i)),
        "bseti": (SHIFT64, lambda a, i: a | (1 << i)),
    },
}

R1 = {
    "zb": {
        "clz": lambda a: count_leading(a, 64),
        "clzw": lambda a: count_leading(a, 32),
        "ctz": lambda a: count_trailing(a, 64),
        "ctzw": lambda a: count_trailing(a, 32),
        "cpop": lambda a: bin(a).count("1"),
        "cpopw": lambda a: bin(a & low32).count("1"),
        "sext.b": lambda a: signed(a, 8),
        "sext.h": lambda a: signed(a, 16),
        "zext.h": lambda a: a & 0xFFFF,
        "orc.b": lambda a: each_byte(a, lambda x: 0xFF if x else 0),
        "rev8": lambda a: int.from_bytes(a.to_bytes(8, "little"), "big"),
    },
}

INTEGERS = [
    0,
    1,
    2,
    3,
    31,
    32,
    63,
    64,
    0x7F,
    0x80,
    0xFF00,
    0x7FFFFFFF,
    0x80000000,
    0x80000001,
    0xFFFFFFFF,
    0x100000000,
    0x00FF0000_00FF00FF,
    0x01234567_89ABCDEF,
    0xFEDCBA98_76543210,
    0x7FFFFFFF_FFFFFFFF,
    0x80000000_00000000,
    0x80000000_00000001,
    0xFFFFFFFF_7FFFFFFF,
    0xFFFFFFFF_80000000,
    0xFFFFFFFF_FFFFFFFE,
    0xFFFFFFFF_FFFFFFFF,
]

# ---- floating point -------------------------------------------------------------------------------------------------------

RNE, RTZ, RDN, RUP, RMM = range(5)
ROUNDING = ["rne", "rtz", "rdn", "rup", "rmm"]
NX, UF, OF, DZ, NV = 1, 2, 4, 8, 16


class Format:
    """A binary interchange format: `fraction` bits of trailing significand, `exponent` bits of exponent."""

    def __init__(self, letter, exponent, fraction):
        self.letter = letter
        self.width = 1 + exponent + fraction
        self.exponent = exponent
        self.fraction = fraction
        self.bias = (1 << (exponent - 1)) - 1
        self.emin = 1 - self.bias
        self.exponent_ones = (1 << exponent) - 1
        self.sign_bit = 1 << (self.width - 1)
        self.infinity = self.exponent_ones << fraction
        self.quiet_bit = 1 << (fraction - 1)
        self.nan = self.infinity | self.quiet_bit
        self.largest = self.infinity - 1

    def is_nan(self, bits):
        return (bits & ~self.sign_bit) > self.infinity

    def is_signalling(self, bits):
        return self.is_nan(bits) and not bits & self.quiet_bit

    def is_infinite(self, bits):
        return (bits & ~self.sign_bit) == self.infinity

    def is_zero(self, bits):
        return (bits & ~self.sign_bit) == 0

    def sign(self, bits):
        return bits >> (self.width - 1)

    def value(self, bits):
        """The finite number as a rational."""
        e = bits >> self.fraction & self.exponent_ones
        f = bits & ((1 << self.fraction) - 1)
        if e:
            f |= 1 << self.fraction
        else:
            e = 1
        exponent = e - self.bias - self.fraction
        number = Fraction(f * 2**exponent) if exponent >= 0 else Fraction(f, 2**-exponent)
        return -number if self.sign(bits) else number

    def box(self, bits):
        """The bits in a 64-bit f register (section "NaN Boxing of Narrower Values")."""
        return bits | (MASK << self.width & MASK)

    def unbox(self, register):
        bits = register & ((1 << self.width) - 1)
        return bits if self.box(bits) == register else self.nan


HALF = Format("h", 5, 10)
SINGLE = Format("s", 8, 23)
DOUBLE = Format("d", 11, 52)


def exponent_of(number):
    """floor(log2(number)), number > 0."""
    e = number.numerator.bit_length() - number.denominator.bit_length()
    return e if number >= Fraction(2) ** e else e - 1


def round_to_integer(number, mode):
    """The magnitude `number` >= 0 of a value with `mode` already turned for its sign: (integer, whether inexact)."""
    low = number.numerator // number.denominator
    rest = number - low
    if rest == 0:
        return low, False
    half = Fraction(1, 2)
    up = {
        RNE: rest > half or (rest == half and low & 1),
        RTZ: False,
        RDN: False,
        RUP: True,
        RMM: rest >= half,
    }[mode]
    return low + (1 if up else 0), True


def turn(mode, sign):
    """Rounding down a negative value rounds its magnitude up."""
    if sign and mode in (RDN, RUP):
        return RUP if mode == RDN else RDN
    return mode


def round_number(number, mode, form, zero_sign=0):
    """The nearest bits and flags; an exact zero gets zero_sign."""
    if number == 0:
        return (form.sign_bit if zero_sign else 0), 0
    sign = 1 if number < 0 else 0
    number = abs(number)
    mode = turn(mode, sign)
    e = exponent_of(number)
    quantum = max(e, form.emin) - form.fraction
    significand, inexact = round_to_integer(number / Fraction(2) ** quantum, mode)
    flags = NX if inexact else 0
    if inexact and e < form.emin:
        # Tininess is judged after rounding as if the exponent had no bound.
        unbounded, _ = round_to_integer(number / Fraction(2) ** (e - form.fraction), mode)
        if Fraction(unbounded) * Fraction(2) ** (e - form.fraction) < Fraction(2) ** form.emin:
            flags |= UF
    if significand >> form.fraction:
        bits = (quantum + form.fraction + form.bias - 1 << form.fraction) + significand
    else:
        bits = significand
    if bits >= form.infinity:
        flags |= OF | NX
        bits = form.largest if mode in (RTZ, RDN) else form.infinity
    return bits | (form.sign_bit if sign else 0), flags


def invalid_if_signalling(form, *operands):
    return NV if any(form.is_signalling(x) for x in operands) else 0


def fp_fused(form, a, b, c, mode):
    """a * b + c, rounded once."""
    flags = invalid_if_signalling(form, a, b, c)
    if (form.is_infinite(a) and form.is_zero(b)) or (form.is_zero(a) and form.is_infinite(b)):
        return form.nan, NV  # also when c is a quiet NaN
    if form.is_nan(a) or form.is_nan(b) or form.is_nan(c):
        return form.nan, flags
    product_sign = form.sign(a) ^ form.sign(b)
    if form.is_infinite(a) or form.is_infinite(b):
        if form.is_infinite(c) and form.sign(c) != product_sign:
            return form.nan, NV
        return form.infinity | (form.sign_bit if product_sign else 0), 0
    if form.is_infinite(c):
        return c, 0
    product = form.value(a) * form.value(b)
    total = product + form.value(c)
    zero_sign = 1 if mode == RDN else 0
    if product == 0 and form.is_zero(c) and product_sign == form.sign(c):
        zero_sign = product_sign
    return round_number(total, mode, form, zero_sign)


def fp_add(form, a, b, mode):
    flags = invalid_if_signalling(form, a, b)
    if form.is_nan(a) or form.is_nan(b):
        return form.nan, flags
    if form.is_infinite(a):
        if form.is_infinite(b) and a != b:
            return form.nan, NV
        return a, 0
    if form.is_infinite(b):
        return b, 0
    zero_sign = 1 if mode == RDN else 0
    if form.is_zero(a) and form.is_zero(b) and form.sign(a) == form.sign(b):
        zero_sign = form.sign(a)
    return round_number(form.value(a) + form.value(b), mode, form, zero_sign)


def fp_sub(form, a, b, mode):
    return fp_add(form, a, b if form.is_nan(b) else b ^ form.sign_bit, mode)


def fp_mul(form, a, b, mode):
    flags = invalid_if_signalling(form, a, b)
    if form.is_nan(a) or form.is_nan(b):
        return form.nan, flags
    sign = form.sign(a) ^ form.sign(b)
    if form.is_infinite(a) or form.is_infinite(b):
        if form.is_zero(a) or form.is_zero(b):
            return form.nan, NV
        return form.infinity | (form.sign_bit if sign else 0), 0
    return round_number(form.value(a) * form.value(b), mode, form, sign)


def fp_div(form, a, b, mode):
    flags = invalid_if_signalling(form, a, b)
    if form.is_nan(a) or form.is_nan(b):
        return form.nan, flags
    sign = form.sign_bit if form.sign(a) ^ form.sign(b) else 0
    if form.is_infinite(a):
        return (form.nan, NV) if form.is_infinite(b) else (form.infinity | sign, 0)
    if form.is_infinite(b):
        return sign, 0
    if form.is_zero(b):
        return (form.nan, NV) if form.is_zero(a) else (form.infinity | sign, DZ)
    return round_number(form.value(a) / form.value(b), mode, form, 1 if sign else 0)


def fp_sqrt(form, a, mode):
    if form.is_nan(a):
        return form.nan, invalid_if_signalling(form, a)
    if form.is_zero(a):
        return a, 0
    if form.sign(a):
        return form.nan, NV
    if form.is_infinite(a):
        return a, 0
    number = form.value(a)
    # Enough bits that what is cut off can be told by a sticky bit below the rounding position.
    shift = 2 * (form.fraction + 8 - exponent_of(number) // 2)
    scaled = number * Fraction(2) ** shift
    root = math.isqrt(int(scaled))
    sticky = Fraction(root * root) != scaled
    return round_number((Fraction(root) + Fraction(1 if sticky else 0, 4)) / Fraction(2) ** (shift // 2), mode, form)


def order(form, bits):
    """A key that orders numbers, with -0 below +0."""
    return -(bits & ~form.sign_bit) - 1 if form.sign(bits) else bits


def fp_min_max(form, a, b, want_max, propagate):
    """minimumNumber/maximumNumber, or with `propagate` minimum/maximum (Zfa)."""
    flags = invalid_if_signalling(form, a, b)
    if form.is_nan(a) or form.is_nan(b):
        if propagate or (form.is_nan(a) and form.is_nan(b)):
            return form.nan, flags
        return (b if form.is_nan(a) else a), flags
    return (max if want_max else min)(a, b, key=lambda x: order(form, x)), 0


def fp_compare(form, a, b, test, quiet):
    if form.is_nan(a) or form.is_nan(b):
        return 0, invalid_if_signalling(form, a, b) if quiet else NV
    infinity = Fraction(2) ** 5000

    def key(x):
        if form.is_infinite(x):
            return -infinity if form.sign(x) else infinity
        return form.value(x)

    return int(test(key(a), key(b))), 0


def fp_class(form, a):
    if form.is_nan(a):
        return 1 << 8 if form.is_signalling(a) else 1 << 9
    negative = form.sign(a)
    if form.is_infinite(a):
        return 1 << 0 if negative else 1 << 7
    if form.is_zero(a):
        return 1 << 3 if negative else 1 << 4
    if a & ~form.sign_bit & form.infinity:
        return 1 << 1 if negative else 1 << 6
    return 1 << 2 if negative else 1 << 5


def fp_to_integer(form, a, bits, is_signed, mode):
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if is_signed else (0, (1 << bits) - 1)
    if form.is_nan(a):
        return signed(high, bits) & MASK, NV
    if form.is_infinite(a):
        return signed(low if form.sign(a) else high, bits) & MASK, NV
    number = form.value(a)
    magnitude, inexact = round_to_integer(abs(number), turn(mode, form.sign(a)))
    result = -magnitude if form.sign(a) else magnitude
    if result < low or result > high:
        return signed(low if result < low else high, bits) & MASK, NV
    return signed(result, bits) & MASK, NX if inexact else 0


def fp_from_integer(form, a, bits, is_signed, mode):
    number = signed(a, bits) if is_signed else a & ((1 << bits) - 1)
    return round_number(Fraction(number), mode, form)


def fp_convert(source, target, a, mode):
    if source.is_nan(a):
        return target.nan, invalid_if_signalling(source, a)
    sign = target.sign_bit if source.sign(a) else 0
    if source.is_infinite(a):
        return target.infinity | sign, 0
    return round_number(source.value(a), mode, target, 1 if sign else 0)


def fp_round(form, a, mode, inexact_flag):
    """fround and froundnx (Zfa)."""
    if form.is_nan(a):
        return form.nan, invalid_if_signalling(form, a)
    if form.is_infinite(a) or form.is_zero(a):
        return a, 0
    magnitude, inexact = round_to_integer(abs(form.value(a)), turn(mode, form.sign(a)))
    bits, _ = round_number(Fraction(magnitude), RNE, form)
    return bits | (a & form.sign_bit), NX if inexact and inexact_flag else 0


def fp_to_word_modular(a):
    """fcvtmod.w.d (Zfa): the low 32 bits of the truncated value."""
    if DOUBLE.is_nan(a) or DOUBLE.is_infinite(a):
        return 0, NV
    magnitude, inexact = round_to_integer(abs(DOUBLE.value(a)), RTZ)
    number = -magnitude if DOUBLE.sign(a) else magnitude
    if not -(1 << 31) <= number < 1 << 31:
        return word(number), NV
    return word(number), NX if inexact else 0


def sign_inject(form, a, b, how):
    sign = {"fsgnj": b, "fsgnjn": ~b, "fsgnjx": a ^ b}[how] & form.sign_bit
    return (a & ~form.sign_bit) | sign, 0


def numbers(form):
    """Where the rounding, the exponent and the special cases change."""
    one = form.bias << form.fraction
    positive = [
        0,
        1,  # the smallest subnormal
        (1 << form.fraction) - 1,  # the largest subnormal
        1 << form.fraction,  # the smallest normal
        one - 1,
        one,
        one + 1,
        one | form.quiet_bit,  # 1.5
        one + (1 << form.fraction) | form.quiet_bit | form.quiet_bit >> 1,  # 3.5
        one + (form.fraction + 1 << form.fraction) - 1,  # halves end here
        form.largest,
        form.infinity,
    ]
    both = positive + [x | form.sign_bit for x in positive]
    nans = [form.nan, form.infinity | 1, form.nan | form.sign_bit | 5, form.infinity | form.sign_bit | form.quiet_bit - 1]
    return both + nans


def random_numbers(form, seed, count):
    rng = random.Random(seed)
    values = []
    for _ in range(count):
        bits = rng.getrandbits(form.width)
        if rng.random() < 0.5:  # close exponents, so that additions and fused operations meet
            e = form.bias + rng.randint(-3, 3)
            bits = bits & ~form.infinity | e << form.fraction
        values.append(bits)
    return values


def operands(form, count, seed):
    """Tuples of `count` register values: all pairs of the special numbers for two, a sample for three."""
    special = numbers(form)
    extra = random_numbers(form, seed, 60)
    if count == 1:
        rows = [(x,) for x in special + extra]
    elif count == 2:
        rows = [(a, b) for a in special for b in special if (a ^ b) % 3 or a == b]
        rows += list(zip(extra, extra[1:]))
    else:
        rng = random.Random(seed)
        rows = [tuple(rng.choice(special) for _ in range(count)) for _ in range(150)]
        for a, b in zip(extra, extra[1:]):
            product, _ = round_number(form.value(a) * form.value(b), RNE, form) if not (
                form.is_nan(a) or form.is_infinite(a) or form.is_nan(b) or form.is_infinite(b)) else (a, 0)
            rows.append((a, b, product ^ form.sign_bit))  # cancellation: only the fused rounding gets it right
            rows.append((a, b, product ^ 1))
    boxed = [tuple(form.box(x) for x in row) for row in rows]
    if form.width < 64:  # a register that is not NaN-boxed reads as the canonical NaN
        loose = form.bias << form.fraction
        boxed += [(loose,) + boxed[0][1:], boxed[3][:-1] + (loose | 0xFFFF << 48,)]
    return boxed


def floating(form):
    """name -> (shape, rounds, operand tuples, function(registers, mode) -> (bits, flags))."""
    s = form.letter
    table = {}

    def add(name, shape, rounds, count, f):
        def on_registers(row, mode):
            result, flags = f(*[form.unbox(x) for x in row], mode)
            return (form.box(result) if shape.endswith("f") else result), flags

        table[name] = (shape, rounds, operands(form, count, name), on_registers)

    add("fadd." + s, "ff_f", True, 2, lambda a, b, m: fp_add(form, a, b, m))
    add("fsub." + s, "ff_f", True, 2, lambda a, b, m: fp_sub(form, a, b, m))
    add("fmul." + s, "ff_f", True, 2, lambda a, b, m: fp_mul(form, a, b, m))
    add("fdiv." + s, "ff_f", True, 2, lambda a, b, m: fp_div(form, a, b, m))
    add("fsqrt." + s, "f_f", True, 1, lambda a, m: fp_sqrt(form, a, m))

    def negate(x):
        return x ^ form.sign_bit

    add("fmadd." + s, "fff_f", True, 3, lambda a, b, c, m: fp_fused(form, a, b, c, m))
    add("fmsub." + s, "fff_f", True, 3, lambda a, b, c, m: fp_fused(form, a, b, negate(c), m))
    add("fnmsub." + s, "fff_f", True, 3, lambda a, b, c, m: fp_fused(form, negate(a), b, c, m))
    add("fnmadd." + s, "fff_f", True, 3, lambda a, b, c, m: fp_fused(form, negate(a), b, negate(c), m))
    add("fmin." + s, "ff_f", False, 2, lambda a, b, m: fp_min_max(form, a, b, False, False))
    add("fmax." + s, "ff_f", False, 2, lambda a, b, m: fp_min_max(form, a, b, True, False))
    add("feq." + s, "ff_x", False, 2, lambda a, b, m: fp_compare(form, a, b, lambda x, y: x == y, True))
    add("flt." + s, "ff_x", False, 2, lambda a, b, m: fp_compare(form, a, b, lambda x, y: x < y, False))
    add("fle." + s, "ff_x", False, 2, lambda a, b, m: fp_compare(form, a, b, lambda x, y: x <= y, False))
    add("fclass." + s, "f_x", False, 1, lambda a, m: (fp_class(form, a), 0))
    for how in ("fsgnj", "fsgnjn", "fsgnjx"):
        add(how + "." + s, "ff_f", False, 2, lambda a, b, m, how=how: sign_inject(form, a, b, how))

    # Around every limit of the integer types, in steps that the format can show.
    limits = []
    for power in (31, 32, 63, 64):
        for nudge in (-1, Fraction(-1, 2), 0, Fraction(1, 2), 1):
            for sign in (1, -1):
                for mode in (RDN, RUP):
                    limits.append(round_number(sign * (Fraction(2) ** power + nudge), mode, form)[0])
    for quarter in range(-12, 13):
        limits.append(round_number(Fraction(quarter, 4), RNE, form)[0])
    to_rows = sorted({(form.box(x),) for x in limits + numbers(form)})
    from_rows = [(x,) for x in INTEGERS] + [(random.Random(i).getrandbits(64) >> i,) for i in range(64)]
    for name, bits, is_signed in (("w", 32, True), ("wu", 32, False), ("l", 64, True), ("lu", 64, False)):
        table[f"fcvt.{name}.{s}"] = ("f_x", True, to_rows, lambda row, m, b=bits, g=is_signed: fp_to_integer(
            form, form.unbox(row[0]), b, g, m))
        exact = form is DOUBLE and bits == 32  # takes no rounding mode in assembly
        table[f"fcvt.{s}.{name}"] = ("x_f", not exact, from_rows, lambda row, m, b=bits, g=is_signed: box_result(
            form, fp_from_integer(form, row[0], b, g, m)))
    return table


def box_result(form, result):
    return form.box(result[0]), result[1]


def conversion(source, target):
    """One row set for fcvt.<target>.<source>; narrowing is tried around what the target can hold."""
    rows = operands(source, 1, f"{source.letter}{target.letter}")
    if source.width > target.width:
        for bits in numbers(target):
            wide, _ = fp_convert(target, source, bits, RNE)
            rows += [(source.box(wide + delta),) for delta in (-1, 0, 1) if not source.is_nan(wide) and wide + delta >= 0]
    return ("f_f", source.width > target.width, rows, lambda row, m: box_result(target, fp_convert(source, target, source.unbox(row[0]), m)))


def floating_zfa(form):
    s = form.letter
    one = [(form.box(form.unbox(row[0])),) for row in floating(form)[f"fcvt.l.{s}"][2]]
    two = operands(form, 2, "zfa" + s)

    def on(f):
        return lambda row, m: box_result(form, f(*[form.unbox(x) for x in row], m))

    def compare(test):
        return lambda row, m: fp_compare(form, *[form.unbox(x) for x in row], test, True)

    return {
        "fminm." + s: ("ff_f", False, two, on(lambda a, b, m: fp_min_max(form, a, b, False, True))),
        "fmaxm." + s: ("ff_f", False, two, on(lambda a, b, m: fp_min_max(form, a, b, True, True))),
        "fround." + s: ("f_f", True, one, on(lambda a, m: fp_round(form, a, m, False))),
        "froundnx." + s: ("f_f", True, one, on(lambda a, m: fp_round(form, a, m, True))),
        "fleq." + s: ("ff_x", False, two, compare(lambda a, b: a <= b)),
        "fltq." + s: ("ff_x", False, two, compare(lambda a, b: a < b)),
    }


def fli_value(form, index):
    """The 32 constants of section "Zfa", Table "Immediate values loaded by the fli instructions"."""
    table = [-1, None, Fraction(1, 2**16), Fraction(1, 2**15), Fraction(1, 2**8), Fraction(1, 2**7), Fraction(1, 16), Fraction(1, 8)]
    table += [Fraction(n, 16) for n in (4, 5, 6, 7)] + [Fraction(n, 8) for n in (4, 5, 6, 7)]
    table += [Fraction(n, 4) for n in (4, 5, 6, 7)] + [Fraction(n, 2) for n in (4, 5, 6)]
    table += [4, 8, 16, 128, 256, 2**15, 2**16]
    if index == 1:
        return 1 << form.fraction
    if index == 30:
        return form.infinity
    if index == 31:
        return form.nan
    return round_number(Fraction(table[index]), RNE, form)[0]


FLOATING = {
    "f": lambda: floating(SINGLE),
    "d": lambda: {**floating(DOUBLE), "fcvt.s.d": conversion(DOUBLE, SINGLE), "fcvt.d.s": conversion(SINGLE, DOUBLE)},
    "zfhmin": lambda: {
        "fcvt.h.s": conversion(SINGLE, HALF),
        "fcvt.s.h": conversion(HALF, SINGLE),
        "fcvt.h.d": conversion(DOUBLE, HALF),
        "fcvt.d.h": conversion(HALF, DOUBLE),
    },
    "zfa": lambda: {
        **floating_zfa(SINGLE),
        **floating_zfa(DOUBLE),
        "fcvtmod.w.d": ("f_x", False, floating(DOUBLE)["fcvt.w.d"][2] + operands(DOUBLE, 1, "mod"), lambda row, m: fp_to_word_modular(row[0])),
    },
}

# ---- writing --------------------------------------------------------------------------------------------------------------


class Writer:
    """Collects the macros (code) and the tables (data) of one file."""

    def __init__(self):
        self.code = []
        self.data = []
        self.tables = 0

    def table(self, rows):
        label = f"vec{self.tables}"
        self.tables += 1
        self.data.append(f"{label}: .dword {len(rows)}")
        self.data += [".dword " + ",".join(hex(int(x) & MASK) for x in row) for row in rows]
        return label

    def macro(self, name, lines):
        self.code.append(f"\t.macro vectors_{name.replace('.', '_')} line")
        self.code += ["\t" + line for line in lines]
        self.code.append("\t.endm")


def write_vectors(extension, path):
    out = Writer()
    for name, f in RR.get(extension, {}).items():
        rows = [(a, b, f(a, b)) for a in INTEGERS for b in INTEGERS]
        out.macro(name, [f"shape_rr \\line, {name}, {out.table(rows)}"])
    for name, (immediates, f) in RI.get(extension, {}).items():
        lines = []
        for i in immediates:
            lines.append(f"shape_ri \\line, {name}, {i}, {out.table([(a, f(a, i)) for a in INTEGERS])}")
        out.macro(name, lines)
    for name, f in R1.get(extension, {}).items():
        values = INTEGERS + [1 << n for n in range(64)]
        out.macro(name, [f"shape_r1 \\line, {name}, {out.table([(a, f(a)) for a in values])}"])
    for name, (shape, rounds, rows, f) in FLOATING.get(extension, dict)().items():
        lines = []
        for mode in range(5) if rounds else (RNE,):
            table = []
            for row in rows:
                result, flags = f(row, mode)
                table.append(row + (result, flags))
            how = "rounding" if rounds else "plain"
            lines.append(f"shape_{shape} \\line, {name}, {how}, {ROUNDING[mode]}, {mode}, {out.table(table)}")
        out.macro(name, lines)
    for form in (SINGLE, DOUBLE) if extension == "zfa" else ():
        lines = [f"shape_fli \\line, fli.{form.letter}, {i}, {hex(form.box(fli_value(form, i)))}" for i in range(32)]
        out.macro("fli." + form.letter, lines)
    with open(path, "w", encoding="ascii") as file:
        file.write("\n".join(out.code))
        file.write("\n\t.section .rodata\n\t.balign 8\n")
        file.write("\n".join(out.data))
        file.write("\n\t.text\n")


EXTENSIONS = ("i", "m", "zb", "zicond", "f", "d", "zfhmin", "zfa")
