# SPDX-License-Identifier: Apache-2.0
# Tables filled, indexed, joined and changed in a database file, once a unit.
set -e
case $1 in
prepare)
	i=0
	while [ $i -lt "$2" ]; do
		cat /bench/real/sqlite.sql
		i=$((i + 1))
	done > script.sql
	;;
work) exec sqlite3 work.db < script.sql ;;
esac
