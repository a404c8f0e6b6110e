#!/usr/bin/perl
# Becomes a program in other control groups than ours: background.pl CGROUPFILE... -- PROGRAM ARG...
# It joins them before there is a program, so that nothing which that starts is outside them.
use strict;

while (@ARGV && $ARGV[0] ne '--') {
    my $file = shift @ARGV;
    # Where it cannot be put behind everybody else, it is done all the same.
    open(my $procs, '>', $file);
    defined syswrite($procs, $$) or print STDERR "join $file: $!\n";
}
shift @ARGV;
{ no warnings 'exec'; exec { $ARGV[0] } @ARGV; }
print STDERR "$ARGV[0]: $!\n";
exit($!{ENOENT} ? 127 : 126);
