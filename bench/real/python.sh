# SPDX-License-Identifier: Apache-2.0
set -e
case $1 in
work) PYTHONHASHSEED=0 PYTHONDONTWRITEBYTECODE=1 exec python3 -I /bench/real/python.py "$2" ;;
esac
