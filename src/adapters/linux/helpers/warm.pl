#!/usr/bin/perl
# Clears the way for processes that are about to change their cgroup. The kernel makes the first of them in a while wait
# for a grace period (10 to 20 ms), and those that follow within another one not at all. For each byte on standard
# input this process joins, again and again for 80 ms, the cgroup where it is already; it ends when its input does.
# warm.pl CGROUPFILE
use strict;

my ($file) = @ARGV;
while (sysread STDIN, my $bytes, 4096) {
    for (1 .. 16) {
        open(my $procs, '>', $file) or exit 0;    # the runner has cleaned up
        syswrite $procs, $$;
        close $procs;
        select(undef, undef, undef, 0.005);
    }
}
