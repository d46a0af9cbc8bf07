# SPDX-License-Identifier: Apache-2.0
"""What Python programs do all day: dictionaries, strings, lists, objects, calls. UNITS rounds."""

import sys


class Account:
    def __init__(self, name):
        self.name = name
        self.balance = 0
        self.entries = []

    def book(self, amount, text):
        self.balance += amount
        self.entries.append((amount, text))

    def largest(self):
        return max(self.entries, key=lambda entry: (entry[0], entry[1]))


def numbers(seed):
    while True:
        seed = (seed * 1103515245 + 12345) % 2147483648
        yield seed >> 8


def primes(limit):
    found = []
    for n in range(2, limit):
        if all(n % p for p in found if p * p <= n):
            found.append(n)
    return found


def work(seed):
    source = numbers(seed)
    accounts = {}
    for _ in range(1200):
        name = "account-%d" % (next(source) % 40)
        account = accounts.setdefault(name, Account(name))
        account.book(next(source) % 10000 - 5000, "entry " + str(next(source) % 1000))
    lines = [f"{a.name:>12} {a.balance:8d} {len(a.entries):4d} {a.largest()[1]}" for a in sorted(accounts.values(), key=lambda a: a.name)]
    text = "\n".join(lines)
    counts = {}
    for word in text.replace("-", " ").split():
        counts[word.strip().lower()] = counts.get(word.strip().lower(), 0) + 1
    common = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:10]
    total = sum(primes(600))
    return f"{len(text)} {common[0]} {total} {sum(i * v for i, (_, v) in enumerate(common))}"


if __name__ == "__main__":
    for unit in range(int(sys.argv[1])):
        print(work(unit + 1))
