# SPDX-License-Identifier: Apache-2.0
"""Makes what the real programs of the suite work on: the same bytes at every place and time."""

import base64
import hashlib
import struct

TEXT_SIZE = 6 * 1024 * 1024
PARTS = 10


class Numbers:
    """A stream of numbers. Not the random module's: its ways of choosing differ between releases."""

    def __init__(self, name):
        self.name = name
        self.block = 0
        self.left = []

    def next(self):
        if not self.left:
            data = hashlib.shake_128(f"{self.name} {self.block}".encode()).digest(8 * 65536)
            self.left = list(struct.unpack("<65536Q", data))
            self.block += 1
        return self.left.pop()

    def below(self, limit):
        return self.next() % limit


def text():
    """Prose of no sense: few words are frequent and many rare, as in a language."""
    numbers = Numbers("text")
    syllables = [c + v for c in "bcdfghklmnprstvz" for v in ("a", "e", "i", "o", "u", "an", "er", "is")]
    words = ["".join(syllables[numbers.below(len(syllables))] for _ in range(1 + numbers.below(4))) for _ in range(4096)]
    out, size, line, sentence = [], 0, "", 0
    while size < TEXT_SIZE:
        # The product of three: small indices come up far more often.
        at = (numbers.below(16) * numbers.below(16) * numbers.below(16) + numbers.below(16)) % len(words)
        word = words[at] if sentence else words[at].capitalize()
        sentence += 1
        if sentence > 4 + numbers.below(12):
            word, sentence = word + ".", 0
        if len(line) + len(word) > 78:
            out.append(line)
            size += len(line) + 1
            line = ""
        line = f"{line} {word}" if line else word
    return ("\n".join(out) + "\n").encode()[:TEXT_SIZE]


def is_prime(n, numbers):
    if any(n % p == 0 for p in (3, 5, 7, 11, 13, 17, 19, 23, 29, 31)):
        return False
    odd, twos = n - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for _ in range(20):
        x = pow(2 + numbers.next(), odd, n)
        if x in (1, n - 1):
            continue
        for _ in range(twos - 1):
            x = x * x % n
            if x == n - 1:
                break
        else:
            return False
    return True


def prime(numbers, exponent):
    n = int.from_bytes(hashlib.shake_128(f"{numbers.name} {numbers.next()}".encode()).digest(128), "big")
    n |= 3 << 1022 | 1
    while (n - 1) % exponent == 0 or not is_prime(n, numbers):
        n += 2
    return n


def der(tag, content):
    size = len(content)
    length = bytes([size]) if size < 128 else bytes([0x82]) + struct.pack(">H", size)
    return bytes([tag]) + length + content


def key():
    """An RSA key, RFC 8017 A.1.2. It protects nothing."""
    numbers = Numbers("key")
    e = 65537
    p, q = prime(numbers, e), prime(numbers, e)
    d = pow(e, -1, (p - 1) * (q - 1))
    values = (0, p * q, e, d, p, q, d % (p - 1), d % (q - 1), pow(q, -1, p))
    body = der(0x30, b"".join(der(2, v.to_bytes(v.bit_length() // 8 + 1, "big")) for v in values))
    lines = base64.encodebytes(body).decode().replace("\n", "")
    wrapped = "\n".join(lines[i : i + 64] for i in range(0, len(lines), 64))
    return f"-----BEGIN RSA PRIVATE KEY-----\n{wrapped}\n-----END RSA PRIVATE KEY-----\n".encode()


def function(numbers, part, index):
    """About 20 lines of C: loops, tables, a switch, a record. Its value is defined for all arguments."""
    name = f"part{part}_f{index}"
    shape = numbers.below(4)
    a, b, c = (numbers.below(97) + 3 for _ in range(3))
    lines = [f"static uint32_t {name}(const struct item *items, unsigned count, uint32_t seed)", "{", f"    uint32_t sum = seed + {a}u, table[{8 + b % 8}];", ""]
    size = 8 + b % 8
    lines += [f"    for (unsigned i = 0; i < {size}; i++)", f"        table[i] = (seed >> (i % {c % 13 + 2})) * {b}u + i * {c}u;"]
    if shape == 0:
        lines += ["    for (unsigned i = 0; i < count; i++) {", f"        switch ((items[i].kind ^ sum) % {5 + c % 4}) {{"]
        for case in range(4):
            lines += [f"        case {case}:", f"            sum += items[i].value * {numbers.below(50) + 1}u ^ table[(i + {case}) % {size}];", "            break;"]
        lines += ["        default:", f"            sum = (sum << {a % 7 + 1}) | (sum >> {31 - a % 7});", "        }", "    }"]
    elif shape == 1:
        lines += ["    for (unsigned i = 1; i < count; i++) {", "        unsigned j = i;", "", f"        while (j > 0 && (items[j].value ^ {a}u) < (items[j - 1].value ^ sum)) {{"]
        lines += [f"            table[j % {size}] += items[j].weight * {b}u;", "            sum ^= items[j].value + j;", "            j--;", "        }"]
        lines += [f"        if (j % {c % 5 + 2} == 1)", f"            sum += table[(i * {a}u) % {size}];", "        else if (sum & 1)", f"            sum = sum / {b}u + {c}u;", "    }"]
    elif shape == 2:
        lines += ["    for (unsigned i = 0; i < count; i += 2) {", f"        uint32_t x = items[i].value, y = items[(i + {a}u) % count].weight;", ""]
        lines += [f"        for (unsigned k = 0; k < {b % 6 + 3}; k++) {{", f"            x = x * {2 * c + 1}u + y;", f"            y ^= x >> {a % 11 + 3};", f"            table[k % {size}] ^= x + y;"]
        lines += [f"            if ((x ^ y) % {c}u == {a % 3}u)", "                break;", "        }", "        sum += x - y;", "    }"]
    else:
        lines += ["    const struct item *best = &items[0];", "", "    for (unsigned i = 0; i < count; i++) {", "        const struct item *item = &items[i];", ""]
        lines += [f"        if (item->kind == {a % 8}u || item->weight > best->weight + {b}u)", "            best = item;", f"        if (item->value % {c}u < {c // 2 + 1}u)", f"            sum += best->value ^ table[item->kind % {size}];"]
        lines += ["        else", f"            sum -= (item->weight + {a}u) * (best->kind + 1u);", "    }"]
    lines += [f"    for (unsigned i = 0; i < {size}; i++)", "        sum = sum * 31u + table[i];", "    return sum;", "}", ""]
    return name, lines


def source():
    """A C program in PARTS parts; the macro PARTS tells how many of them are compiled."""
    numbers = Numbers("source")
    lines = ["#include <stdint.h>", "#include <stdio.h>", "", "struct item {", "    uint32_t kind, value, weight;", "};", ""]
    for part in range(PARTS):
        names = []
        lines += [f"#if PARTS > {part}"]
        for index in range(7):
            name, body = function(numbers, part, index)
            names.append(name)
            lines += body
        lines += [f"static uint32_t part{part}(const struct item *items, unsigned count, uint32_t sum)", "{"]
        lines += [f"    sum ^= {name}(items, count - {i}, sum);" for i, name in enumerate(names)]
        lines += ["    return sum;", "}", "#endif", ""]
    lines += ["int main(void)", "{", "    struct item items[64];", "    uint32_t sum = 1;", "", "    for (unsigned i = 0; i < 64; i++)"]
    lines += ["        items[i] = (struct item){i * 37u % 8u, i * 2654435761u, i * 40503u % 1000u};"]
    for part in range(PARTS):
        lines += [f"#if PARTS > {part}", f"    sum = part{part}(items, 64, sum);", "#endif"]
    lines += ['    printf("%08x\\n", (unsigned)sum);', "    return 0;", "}"]
    return ("\n".join(lines) + "\n").encode()


def write(directory):
    directory.mkdir()
    for name, content in (("text", text()), ("key.pem", key()), ("source.c", source())):
        (directory / name).write_bytes(content)
