#!/usr/bin/perl
# Undoes what holds environments up when the runner is not there any more, however it ended: its end closes our input.
# It says beforehand, one line each, fields separated by tabs, what is to be undone:
#
#   hold FILE ENTRY VALUE    VALUE is to be written to FILE; ENTRY, if not empty: which of several in it that sets
#   drop FILE ENTRY          not any more
#   release                  now; answered with `released`
#
# guardian.pl LOCKFILE [CGROUPFILE…]
#
# Of one runner there is only ever one: the next one's waits here until the last one's has undone everything, or it would
# loosen what a new runner has just tightened. `ready` says that it has.
use strict;

BEGIN { my ($dir) = __FILE__ =~ m{^(.*)/}; require(($dir // '.') . '/kernel.pl') }

my ($lock_file, @cgroups) = @ARGV;
$0 = 'bothy-guardian';
$SIG{$_} = 'IGNORE' for 'PIPE', 'HUP', 'INT', 'TERM';
for my $file (@cgroups) { eval { join_cgroup($file, $$); 1 } or print STDERR $@ }
open(my $lock, '>>', $lock_file) or die "open $lock_file: $!\n";
flock($lock, LOCK_EX) or die "lock $lock_file: $!\n";
syswrite STDOUT, "ready\n";

my (%value, %order);
my $count = 0;

# A group that is gone holds nobody. Anything else is tried again: a parent's limit may stand in the way of a child's.
sub write_value { my ($key) = @_;
    my ($file) = split /\t/, $key;
    open(my $out, '+<', $file) or return $!{ENOENT} || $!{ENODEV};
    my $is_done = defined syswrite($out, $value{$key}) || $!{ENODEV};
    free_below($1) if $file =~ m{^(.*)/memory\.oom_control\z};
    return $is_done }

# Groups that were made below a held-back killer have inherited that, and do not lose it with the one above.
sub free_below { my ($dir) = @_;
    opendir(my $entries, $dir) or return;
    for my $name (grep { !/^\./ && -d "$dir/$_" } readdir $entries) {
        if (open(my $out, '+<', "$dir/$name/memory.oom_control")) { syswrite $out, '0' }
        free_below("$dir/$name");
    } }

# The last thing done is undone first.
sub undo_all {
    for my $try (1 .. 10) {
        for my $key (sort { $order{$b} <=> $order{$a} } keys %value) { delete $value{$key} if write_value($key) }
        last if !%value;
        select(undef, undef, undef, 0.1);
    }
    print STDERR "not undone: $_\n" for sort keys %value;
    %value = %order = () }

while (defined(my $line = <STDIN>)) {
    last if $line !~ /\n\z/;    # the runner went in the middle of a word
    chomp $line;
    my ($word, $file, $entry, $value) = split /\t/, $line, -1;
    my $key = join("\t", $file // '', $entry // '');
    if ($word eq 'hold') { $value{$key} = $value; $order{$key} //= ++$count }
    elsif ($word eq 'drop') { delete $value{$key}; delete $order{$key} }
    elsif ($word eq 'release') { undo_all(); syswrite STDOUT, "released\n" }
}
undo_all();
