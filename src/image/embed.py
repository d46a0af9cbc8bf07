#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes files into a C table, so that the program needs no directory of its own to find them in.

usage: embed.py OUTPUT TABLE FILE...   (the table's type is struct recipe_file, image/recipe.h)
"""
import os
import sys

BYTES_A_LINE = 16


def main():
    output, table, paths = sys.argv[1], sys.argv[2], sys.argv[3:]
    with open(output, 'w', encoding='ascii') as out:
        out.write('#include "image/recipe.h"\n\n')
        for number, path in enumerate(paths):
            with open(path, 'rb') as file:
                data = file.read()
            out.write(f'static const unsigned char file_{number}[] = {{\n')
            for at in range(0, len(data), BYTES_A_LINE):
                row = ', '.join(str(byte) for byte in data[at:at + BYTES_A_LINE])
                out.write(f'    {row},\n')
            out.write('};\n\n')
        out.write(f'const struct recipe_file {table}[] = {{\n')
        for number, path in enumerate(paths):
            name = os.path.basename(path)
            out.write(f'    {{"{name}", file_{number}, sizeof(file_{number})}},\n')
        out.write('    {0},\n};\n')


main()
