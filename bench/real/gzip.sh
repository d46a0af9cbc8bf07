# SPDX-License-Identifier: Apache-2.0
# Compresses and expands text: 64 KiB a unit.
set -e
case $1 in
prepare) head -c $(($2 * 65536)) /bench/inputs/text > text ;;
work)
	gzip -9 -n -c < text > packed
	gzip -dc < packed > expanded
	;;
check)
	cmp text expanded
	cat packed
	;;
esac
