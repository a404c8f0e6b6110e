#!/usr/bin/perl
# Pushes memory of a control group out. The kernel does that in the write itself, for seconds, and stops when we are
# killed: so this is a process of its own, of the lowest priority.
#
#   reclaim.pl v2 DIR BYTES      version 2 says how much
#   reclaim.pl all DIR           version 1: everything that can be
#   reclaim.pl down DIR BYTES    version 1: the ceiling is lowered by so much and put back as it was
#
# That nothing more can be pushed out is no failure. Says how many bytes fewer it has.
use strict;

my ($how, $dir, $bytes) = @ARGV;
$0 = "bothy-reclaim $dir";
setpriority(0, 0, 19);
# The runner hangs up when it is not wanted any more, or gone.
my $CHUNK = 32 * 2 ** 20;

sub number { my ($name) = @_; open(my $in, '<', "$dir/$name") or exit 0; my $text = <$in> // 0; $text =~ /^(\d+)/ ? $1 : 2 ** 62 }
sub put { my ($name, $value) = @_;
    open(my $out, '+<', "$dir/$name") or exit 0;
    return defined syswrite($out, $value) }

my $usage = $how eq 'v2' ? 'memory.current' : 'memory.usage_in_bytes';
my $before = number($usage);
if ($how eq 'v2') {
    # In pieces, so that one who is wanted again is not kept from it.
    while ($bytes > 0) {
        my $piece = $bytes < $CHUNK ? $bytes : $CHUNK;
        last if !put('memory.reclaim', sprintf('%d', $piece));
        $bytes -= $piece;
    }
}
elsif ($how eq 'all') { put('memory.force_empty', '0') }
else {
    my $limit = 'memory.limit_in_bytes';
    my $ceiling = number($limit);
    while ($bytes > 0) {
        my $now = number($usage);
        my $piece = $bytes < $CHUNK ? $bytes : $CHUNK;
        last if $now <= $piece || !put($limit, sprintf('%d', $now - $piece));
        # Whoever needs memory at this moment must not find a ceiling of ours.
        put($limit, sprintf('%d', $ceiling));
        last if number($usage) > $now - $piece / 2;
        $bytes -= $piece;
    }
    put($limit, sprintf('%d', $ceiling));
}
my $won = $before - number($usage);
syswrite STDOUT, ($won > 0 ? $won : 0) . "\n";
