#!/usr/bin/perl
# Connects to 127.0.0.1:PORT, else [::1]:PORT, in the network namespace of PID and copies bytes between the connection
# and descriptor 3. Exits 3 when nobody listens. Only the network namespace is joined: nothing of the sandbox
# runs here and none of its files are seen.
# dial.pl PID PORT
use strict;

BEGIN { my ($dir) = __FILE__ =~ m{^(.*)/}; require(($dir // '.') . '/kernel.pl') }
my ($pid, $port) = @ARGV;
$SIG{PIPE} = 'IGNORE';
join_namespace("/proc/$pid/ns/net", CLONE_NEWNET);
my $peer;
# struct sockaddr_in and sockaddr_in6 of the two loopback addresses; families 2 and 10.
for my $try ([2, pack('S n C4 x8', 2, $port, 127, 0, 0, 1)], [10, pack('S n N x15 C N', 10, $port, 0, 1, 0)]) {
    socket(my $socket, $try->[0], SOCK_STREAM, 0) or next;
    if (connect($socket, $try->[1])) { $peer = $socket; last }
}
exit 3 unless $peer;
setsockopt($peer, 6, 1, 1);    # TCP_NODELAY
syswrite STDERR, "connected\n";
open(my $us, '+<&=', 3) or die "descriptor 3: $!\n";
my ($from_us, $from_peer) = (1, 1);
sub copy_all { my ($to, $bytes) = @_;
    my $offset = 0;
    while ($offset < length $bytes) { my $n = syswrite($to, $bytes, length($bytes) - $offset, $offset) // ($! == EINTR ? 0 : return 0); $offset += $n }
    1 }
while ($from_us || $from_peer) {
    my $bits = '';
    vec($bits, 3, 1) = 1 if $from_us;
    vec($bits, fileno($peer), 1) = 1 if $from_peer;
    next if select($bits, undef, undef, undef) <= 0;
    if ($from_us && vec($bits, 3, 1)) {
        if (!sysread($us, my $bytes, 65536)) { $from_us = 0; shutdown($peer, 1) }
        elsif (!copy_all($peer, $bytes)) { exit 0 }
    }
    if ($from_peer && vec($bits, fileno($peer), 1)) {
        if (!sysread($peer, my $bytes, 65536)) { $from_peer = 0; shutdown($us, 1) }
        elsif (!copy_all($us, $bytes)) { exit 0 }
    }
}
