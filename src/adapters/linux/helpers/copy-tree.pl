#!/usr/bin/perl
# Copies the folder that is a disk, where disks are folders. Nobody may write to it meanwhile: whoever can is root in a
# sandbox, and could lead a copying root of the host to files that are not its own, by a link put where a folder was.
#
# copy-tree.pl SOURCE TARGET [GROUP]    TARGET must not exist. GROUP is the freezer's control group of those who write to
# SOURCE; they are held until the copy is made, or standard input ends (then there will be none). Talks in lines:
#
#   copied MS              how long they were held
#   done                   it is on the host's disk
#   failed TEXT
use strict;

BEGIN { my ($dir) = __FILE__ =~ m{^(.*)/}; require(($dir // '.') . '/kernel.pl') }

sub PR_SET_PDEATHSIG () { 1 }
sub SIGKILL () { 9 }
# Whoever is not held by then waits for something that does not come, such as a file system in a program inside.
sub PATIENCE_MS () { 10_000 }

$| = 1;
my ($source, $target, $group) = @ARGV;
my $is_v2 = defined $group && -e "$group/cgroup.freeze";
my ($held_ms, $copier) = (undef, undef);

sub put { my ($file, $text) = @_;
    open(my $out, '>', $file) or die "open $file: $!\n";
    defined syswrite($out, $text) or die "write $file: $!\n" }

sub say_of { my ($file) = @_; open(my $in, '<', $file) or die "open $file: $!\n"; local $/; return <$in> // '' }

sub is_held { $is_v2 ? say_of("$group/cgroup.events") =~ /^frozen 1$/m : say_of("$group/freezer.state") =~ /^FROZEN$/m }

sub hold { put($is_v2 ? ("$group/cgroup.freeze", 1) : ("$group/freezer.state", 'FROZEN'));
    until (is_held()) {
        die "its processes cannot be held\n" if now_ms() - $held_ms > PATIENCE_MS;
        abandon() if went(0.002);
    } }

# A group that is gone holds nobody.
sub let_go { return unless defined $held_ms && -e $group; eval { put($is_v2 ? ("$group/cgroup.freeze", 0) : ("$group/freezer.state", 'THAWED')) } }

# Is nobody there any more who wants the copy? Waits so many seconds to see.
sub went { my ($seconds) = @_;
    my $bits = '';
    vec($bits, 0, 1) = 1;
    return select($bits, undef, undef, $seconds) > 0 && !sysread(STDIN, my $byte, 1) }

# The copier first: who is let go may put links in its way.
sub abandon { if ($copier) { kill 'KILL', $copier; waitpid($copier, 0) } let_go(); leave(1) }

sub copy {
    pipe(my $err_r, my $err_w) or die "pipe: $!\n";
    my $parent = $$;
    $copier = fork() // die "fork: $!\n";
    if ($copier == 0) {
        syscall(syscall_number('prctl'), PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        leave(1) if getppid() != $parent;    # it went before
        open(STDIN, '<', '/dev/null'); open(STDERR, '>&', $err_w);
        # Those who are held wait for it; otherwise it has time.
        my @argv = (qw(cp -a --reflink=auto --one-file-system -T --), $source, $target);
        unshift @argv, qw(nice -n 10 ionice -c 3) unless defined $held_ms;
        exec { $argv[0] } @argv or leave(127);
    }
    close $err_w;
    my ($said, $bits) = ('');
    while (1) {
        ($bits = '', vec($bits, 0, 1) = 1, vec($bits, fileno($err_r), 1) = 1);
        next if select($bits, undef, undef, undef) <= 0;
        abandon() if vec($bits, 0, 1) && !sysread(STDIN, my $byte, 1);
        next unless vec($bits, fileno($err_r), 1);
        sysread($err_r, my $more, 4096) or last;
        $said = substr($said . $more, 0, 1000);
    }
    waitpid($copier, 0);
    my $status = $?;
    $copier = undef;
    $said =~ s/\s+/ /g;
    die "cp: $said\n" if $status != 0 }

eval {
    if (defined $group) { $held_ms = now_ms(); hold() }
    copy();
    my $paused_ms = 0;
    if (defined $held_ms) { let_go(); $paused_ms = now_ms() - $held_ms; $held_ms = undef }
    print "copied\t$paused_ms\n";
    # Whoever hears that it is there may delete what it was made of.
    opendir(my $dir, $target) or die "open $target: $!\n";
    syscall(syscall_number('syncfs'), fileno($dir)) == 0 or die "sync $target: $!\n";
    print "done\n";
    1;
} or do {
    my $why = $@; chomp $why;
    let_go();
    $why =~ s/[\t\n]/ /g;
    print "failed\t$why\n";
    exit 1;
};
