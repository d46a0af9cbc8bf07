# SPDX-License-Identifier: Apache-2.0
# Compiles a tenth of a generated file of 2000 lines a unit; the program it makes is the check.
set -e
case $1 in
work) gcc -O2 -DPARTS="$2" -c -o program.o /bench/inputs/source.c ;;
check)
	gcc -o program program.o
	./program
	;;
esac
