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
# One call holds up the writers for at most 4096 extents: 65 ms.
sub PIECE () { 16 << 20 }
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
sub tell { my ($file, $start, $flags) = @_;
    my $length = $size - $start < WINDOW ? $size - $start : WINDOW;
    my $answer = pack('Q2 L4', $start, $length, $flags, 0, ANSWERS, 0) . ("\0" x (ANSWERS * RECORD));
    defined ioctl($file, FS_IOC_FIEMAP, $answer) or failed('find the extents');
    return substr($answer, 32, unpack('L', substr($answer, 20, 4)) * RECORD) }

sub count_extents { my ($file) = @_;
    my $answer = pack('Q2 L4', 0, $size, FIEMAP_SYNC, 0, 0, 0) . ("\0" x RECORD);
    defined ioctl($file, FS_IOC_FIEMAP, $answer) or failed('count the extents');
    return unpack('L', substr($answer, 20, 4)) }

# [from, to, where] of what is written in a window; what is reserved only reads as a hole.
sub pieces { my ($records, $start) = @_;
    my ($end, @pieces) = ($start + WINDOW);
    for (my $at = 0; $at < length $records; $at += RECORD) {
        my ($from, $where, $length, $flags) = unpack('Q3 x16 L', substr($records, $at, RECORD));
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

# [from, to] of what differs between two windows.
sub differences { my ($ours, $theirs, $start) = @_;
    my $end = $start + WINDOW < $size ? $start + WINDOW : $size;
    my ($i, $j, $at, @found) = (0, 0, $start);
    while ($at < $end) {
        my @next;
        for my $side ([$ours, \$i], [$theirs, \$j]) {
            my ($list, $index) = @$side;
            $$index++ while $$index < @$list && $list->[$$index][1] <= $at;
            my $piece = $list->[$$index];
            push @next, !$piece ? [$end, -1] : $piece->[0] > $at ? [$piece->[0], -1] : [$piece->[1], $piece->[2] + $at - $piece->[0]];
        }
        my ($one, $other) = @next;
        my $to = $one->[0] < $other->[0] ? $one->[0] : $other->[0];
        $to = $end if $to > $end;
        if ($one->[1] != $other->[1]) {
            if (@found && $found[-1][1] == $at) { $found[-1][1] = $to } else { push @found, [$at, $to] }
        }
        $at = $to;
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

sub await_go { print "ready\n"; my $word = <STDIN> // ''; if ($word ne "go\n") { unlink $target_path; exit 1 } }

# Blocks that source and target share stay where they are as long as both have them: whatever source writes there lies
# elsewhere. So a window that looks as it did when it was the same as the target's is still the same.
my $passes = 1;
if ($is_cold) { print "cold\n"; share_all() }
elsif (count_extents($source) <= FEW) { await_go(); share_all() }
else {
    truncate($target, $size) or failed("size $target_path");
    my (%same, $dirty);
    my $pass = sub { my ($is_last) = @_;
        ($dirty, my @todo) = (0);
        for (my $start = 0; $start < $size; $start += WINDOW) {
            my $now = tell($source, $start, FIEMAP_SYNC);
            next if defined $same{$start} && $same{$start} eq $now;
            delete $same{$start};
            push @todo, differences(pieces($now, $start), pieces(tell($target, $start, 0), $start), $start);
        }
        share(@$_) for @todo;
        return if $is_last;
        for (my $start = 0; $start < $size; $start += WINDOW) {
            next if defined $same{$start};
            my $now = tell($source, $start, FIEMAP_SYNC);
            my @left = differences(pieces($now, $start), pieces(tell($target, $start, 0), $start), $start);
            if (@left) { $dirty += @left } else { $same{$start} = $now }
        }
    };
    do { $pass->(0); $passes++ } while $dirty > FEW / 4 && $passes < PASSES;
    await_go();
    $pass->(1);
}
print "shared\n";
my $extents = count_extents($target);
close $target or failed("close $target_path");
print "done\t$extents\t$passes\n";
