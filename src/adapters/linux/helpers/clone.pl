#!/usr/bin/perl
# Copies a disk image by sharing its blocks, also while a sandbox writes to it.
#
# clone.pl SOURCE TARGET    TARGET must not exist. Talks in lines on standard output, and waits on standard input:
#
#   cold                    nobody has SOURCE mounted, and nobody can while we copy
#   ready                   it is mounted: the next step is short, and wants it frozen; waits for `go`
#   shared                  TARGET has all that SOURCE had; SOURCE may go on
#   done EXTENTS PASSES     how many extents it has, and in how many passes it was made
#   failed ERRNO MESSAGE
#
# Sharing costs about 16 us for each extent (of the file system below), and writers of SOURCE wait as long. So an image
# of many extents is shared in passes, piece by piece, while its sandbox goes on writing; what was written meanwhile is
# found by comparing where the blocks of both lie, and the last pass, alone under the freeze, has little left to do.
use strict;

sub FICLONE () { 0x40049409 }
sub FICLONERANGE () { 0x4020940D }
sub FS_IOC_FIEMAP () { 0xC020660B }
sub FIEMAP_SYNC () { 1 }
sub EXTENT_UNWRITTEN () { 0x800 }
sub RECORD () { 56 }              # sizeof(struct fiemap_extent)
sub LOCK_EX () { 2 }
sub LOCK_NB () { 4 }
sub EAGAIN () { 11 }
sub O_RDWR_CREAT_EXCL () { 0302 }    # O_RDWR | O_CREAT | O_EXCL, the same on amd64 and arm64

# At 4096 bytes a block no window has more extents than fit into one answer.
sub WINDOW () { 64 << 20 }
sub ANSWERS () { 16384 }
# What has changed under the freeze is looked for in so large parts.
sub CELL () { 256 << 10 }
# One call holds up the writers for at most 1024 extents: 16 ms.
sub PIECE () { 4 << 20 }
# So many extents are shared in one go under the freeze: 32 ms.
sub FEW () { 2000 }
# A sandbox that writes faster than blocks can be shared is not caught up with: the last pass then takes what it takes.
sub PASSES () { 8 }

$| = 1;
my ($source_path, $target_path) = @ARGV;
sub failed { my ($what) = @_; my $number = $! + 0; my $text = "$!"; unlink $target_path; print "failed\t$number\t$what: $text\n"; exit 1 }

open(my $source, '+<', $source_path) or do { my $n = $! + 0; print "failed\t$n\topen $source_path: $!\n"; exit 1 };
my $size = -s $source;
my $is_cold = flock($source, LOCK_EX | LOCK_NB);
$is_cold || $! == EAGAIN or failed("lock $source_path");
unlink $target_path;
sysopen(my $target, $target_path, O_RDWR_CREAT_EXCL, 0600) or failed("create $target_path");

# Where the blocks of one window lie, as the kernel tells.
sub window_of { my ($file, $start, $flags) = @_;
    my $length = $size - $start < WINDOW ? $size - $start : WINDOW;
    my $answer = pack('Q2 L4', $start, $length, $flags, 0, ANSWERS, 0) . ("\0" x (ANSWERS * RECORD));
    defined ioctl($file, FS_IOC_FIEMAP, $answer) or failed('find the extents');
    return substr($answer, 32, unpack('L', substr($answer, 20, 4)) * RECORD) }

sub count_extents { my ($file) = @_;
    my $answer = pack('Q2 L4', 0, $size, FIEMAP_SYNC, 0, 0, 0) . ("\0" x RECORD);
    defined ioctl($file, FS_IOC_FIEMAP, $answer) or failed('count the extents');
    return unpack('L', substr($answer, 20, 4)) }

# [from, to, where] of what is written between `start` and `end`; what is reserved only reads as a hole.
sub pieces { my ($records, $start, $end) = @_;
    my @pieces;
    my @fields = unpack('(Q3 x16 L x12)*', $records);
    while (my ($from, $where, $length, $flags) = splice(@fields, 0, 4)) {
        next if $flags & EXTENT_UNWRITTEN;
        my $to = $from + $length;
        if ($from < $start) { $where += $start - $from; $from = $start }
        $to = $end if $to > $end;
        next if $from >= $to;
        my $last = $pieces[-1];
        if ($last && $last->[1] == $from && $last->[2] + $last->[1] - $last->[0] == $where) { $last->[1] = $to }
        else { push @pieces, [$from, $to, $where] }
    }
    return \@pieces }

# [from, to] of what differs between two lists of pieces from `start` to `end`.
sub differences { my ($ours, $theirs, $start, $end) = @_;
    my ($i, $j, $at, @found) = (0, 0, $start);
    while ($at < $end) {
        $i++ while $i < @$ours && $ours->[$i][1] <= $at;
        $j++ while $j < @$theirs && $theirs->[$j][1] <= $at;
        my ($one, $other) = ($ours->[$i], $theirs->[$j]);
        my ($one_to, $one_at) = !$one ? ($end, -1) : $one->[0] > $at ? ($one->[0], -1) : ($one->[1], $one->[2] + $at - $one->[0]);
        my ($other_to, $other_at) = !$other ? ($end, -1) : $other->[0] > $at ? ($other->[0], -1) : ($other->[1], $other->[2] + $at - $other->[0]);
        my $to = $one_to < $other_to ? $one_to : $other_to;
        if ($one_at != $other_at) {
            if (@found && $found[-1][1] == $at) { $found[-1][1] = $to } else { push @found, [$at, $to] }
        }
        $at = $to;
    }
    return @found }

sub end_of { my ($start) = @_; return $start + WINDOW < $size ? $start + WINDOW : $size }

# What differs between source and target in a whole window. Takes some microseconds for each extent.
sub compare { my ($records, $start) = @_;
    my $end = end_of($start);
    return differences(pieces($records, $start, $end), pieces(window_of($target, $start, 0), $start, $end), $start, $end) }

# The records that say where the blocks of each cell of a window lie: those that begin in it, and the one before them,
# which may reach into it.
sub cells { my ($records, $start) = @_;
    my @from = unpack('(Q x48)*', $records);
    my ($next, @cells) = (0);
    for (my $end = $start + CELL; $end <= $start + WINDOW; $end += CELL) {
        my $first = $next > 0 ? $next - 1 : 0;
        $next++ while $next < @from && $from[$next] < $end;
        push @cells, substr($records, $first * RECORD, ($next - $first) * RECORD);
    }
    return \@cells }

# What differs between two looks at a window, most of which is the same.
sub changes { my ($now, $before, $start) = @_;
    my @found;
    for my $i (0 .. $#$now) {
        next if $now->[$i] eq $before->[$i];
        my ($from, $to) = ($start + $i * CELL, $start + ($i + 1) * CELL);
        $to = $size if $to > $size;
        push @found, differences(pieces($now->[$i], $from, $to), pieces($before->[$i], $from, $to), $from, $to) if $from < $to;
    }
    return @found }

sub share { my ($from, $to) = @_;
    while ($from < $to) {
        my $length = $to - $from < PIECE ? $to - $from : PIECE;
        my $range = pack('q Q3', fileno($source), $from, $length, $from);
        defined ioctl($target, FICLONERANGE, $range) or failed('share blocks');
        $from += $length;
    } }

sub share_all { defined ioctl($target, FICLONE, fileno($source) + 0) or failed('share blocks') }

# From here on writers wait for us: before everybody else, also where sessions share the processor (autogroup). What may not
# be set stays as it is.
sub hurry {
    setpriority(0, 0, -20);
    open(my $group, '>', '/proc/self/autogroup') or return;
    syswrite $group, '-20' }

sub await_go { hurry(); print "ready\n"; my $word = <STDIN> // ''; if ($word ne "go\n") { unlink $target_path; exit 1 } }

my $passes = 1;
if ($is_cold) { print "cold\n"; share_all() }
elsif (count_extents($source) <= FEW) { await_go(); share_all() }
else {
    truncate($target, $size) or failed("size $target_path");
    my @starts = map { $_ * WINDOW } 0 .. int(($size - 1) / WINDOW);
    my (%same, @dirty);
    do {
        for my $start (@starts) {
            my $now = window_of($source, $start, FIEMAP_SYNC);
            share(@$_) for compare($now, $start);
        }
        # Blocks that source and target share stay where they are as long as both have them: whatever source writes there
        # lies elsewhere. So what looks as it did when it was the same as the target's is still the same.
        @dirty = ();
        for my $start (@starts) {
            my $now = window_of($source, $start, FIEMAP_SYNC);
            push @dirty, compare($now, $start);
            $same{$start} = $now;
        }
    } while @dirty > FEW && $passes++ < PASSES;
    my %cells = map { $_ => cells($same{$_}, $_) } @starts;
    await_go();
    share(@$_) for @dirty;
    for my $start (@starts) {
        my $now = window_of($source, $start, 0);
        next if $now eq $same{$start};
        share(@$_) for changes(cells($now, $start), $cells{$start}, $start);
    }
    $passes++;
}
print "shared\n";
my $extents = count_extents($target);
close $target or failed("close $target_path");
print "done\t$extents\t$passes\n";
