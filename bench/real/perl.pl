# SPDX-License-Identifier: Apache-2.0
# Text taken apart by regular expressions, counted and sorted: 32 KiB a unit.
use strict;
use warnings;

my ($file, $units) = @ARGV;
open(my $in, '<', $file) or die "cannot open $file: $!";
my %count;
my ($lines, $matches, $swapped) = (0, 0, 0);
my $rest = $units * 32768;
while ($rest > 0 and defined(my $line = <$in>)) {
    $rest -= length $line;
    $lines++;
    chomp $line;
    $count{lc $_}++ for $line =~ /([a-z]{3,})/gi;
    $matches++ if $line =~ /\b(\w+)\W+(?:\w+\W+){1,4}\1\b/;
    (my $copy = $line) =~ s/(\w+) (\w+)/$2 $1/g;
    $swapped = ($swapped * 31 + ord(substr($copy, length($copy) / 2, 1) || ' ')) % 1000003;
}
my @top = sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count;
print join(' ', $lines, $matches, $swapped, scalar(@top)), "\n";
printf "%s %d\n", $_, $count{$_} for @top[0 .. 19];
