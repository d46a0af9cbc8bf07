# SPDX-License-Identifier: Apache-2.0
# SHA-512 of a megabyte a unit, in one process.
set -e
case $1 in
prepare)
	head -c 1048576 /bench/inputs/text > text
	i=0
	while [ $i -lt "$2" ]; do
		echo text
		i=$((i + 1))
	done > list
	;;
work) xargs openssl dgst -sha512 < list ;;
esac
