#!/usr/bin/perl
# Prints a file as a sandbox's root sees it, at most MAX bytes. The sandbox is hostile: `openat2` with RESOLVE_IN_ROOT
# keeps links inside it, only regular files are read, and opening never blocks.
# read-file.pl PID PATH MAX
use strict;

BEGIN { my ($dir) = __FILE__ =~ m{^(.*)/}; require(($dir // '.') . '/kernel.pl') }

my ($pid, $path, $max) = @ARGV;
sub RESOLVE_IN_ROOT () { 0x10 }
sub RESOLVE_NO_MAGICLINKS () { 0x02 }
opendir(my $root, "/proc/$pid/root") or die "open the root of $pid: $!\n";
$path =~ s{^/+}{};
my $how = pack('QQQ', O_CLOEXEC | O_NONBLOCK, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
my $fd = syscall(437, fileno($root), $path, $how, length $how);    # openat2: Linux 5.6, the same number on amd64 and arm64
exit 2 if $fd < 0;
open(my $file, '<&=', $fd) or exit 2;
exit 2 unless -f $file;
my $left = $max;
while ($left > 0 && (my $read = sysread($file, my $bytes, $left > 65536 ? 65536 : $left))) { syswrite STDOUT, $bytes; $left -= $read }
