# SPDX-License-Identifier: Apache-2.0
# A shell that starts a program that does nothing, once a unit.
set -e
case $1 in
work)
	i=0
	while [ $i -lt "$2" ]; do
		/bin/true
		i=$((i + 1))
	done
	echo $i
	;;
esac
