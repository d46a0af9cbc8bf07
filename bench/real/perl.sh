# SPDX-License-Identifier: Apache-2.0
set -e
case $1 in
work) PERL_HASH_SEED=0 exec perl /bench/real/perl.pl /bench/inputs/text "$2" ;;
esac
