# SPDX-License-Identifier: Apache-2.0
# Compresses and expands text: 64 KiB a unit.
set -e
case $1 in
prepare) head -c $(($2 * 65536)) /bench/inputs/text > text ;;
work)
	bzip2 -9 -c < text > packed
	bzip2 -dc < packed > expanded
	;;
check)
	cmp text expanded
	cat packed
	;;
esac
