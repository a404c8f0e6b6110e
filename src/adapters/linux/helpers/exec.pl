#!/usr/bin/perl
# Runs one command in a sandbox and is its parent: exit status, signals and the last byte of a terminal's output are
# exact, which a runtime's own client does not give. Descriptors 0, 1, 2 are the command's; descriptor 3 is the
# runner's: it says `resize COLUMNS ROWS` and `kill`, hears `pid N`, `failed MESSAGE` and `exit code|signal N`, and
# when it closes the command is killed.
#
# exec.pl --serve SOCKET    makes one for each call of four connections, which are those descriptors; its text are the
#                           arguments, separated by zeros: see wait_for_call
#
# A runtime whose commands are no processes of the host leaves one that ends with the command, and as it did. Signals to
# that one do not reach the command: with --inside, which names the file with the command's number inside, it is killed
# by the programs that --killer gives (arguments separated by tabs, % for that number), one after the other.
#
# exec.pl [--cgroup FILE]… [--settle FILE]… [--oom-score N] [--console SOCKETPATH] [--inside FILE --killer ARGV…]
#         --pid-file FILE --log FILE -- RUNTIME ARGV…
use strict;

BEGIN { my ($dir) = __FILE__ =~ m{^(.*)/}; require(($dir // '.') . '/kernel.pl') }
sub TIOCSWINSZ () { 0x5414 }
sub CHUNK () { 65536 }
sub KILL_INSIDE_MS () { 3000 }

$SIG{PIPE} = 'IGNORE';
my $control;
if (@ARGV && $ARGV[0] eq '--serve') {
    (my ($text, $in, $out, $err), $control) = wait_for_call($ARGV[1]);
    open(STDIN, '<&', $in) && open(STDOUT, '>&', $out) && open(STDERR, '>&', $err) or die "descriptors: $!\n";
    @ARGV = split /\0/, $text, -1;
}
else { open($control, '+<&=', 3) or die "descriptor 3: $!\n" }
my (@cgroups, @settle, @killers, $oom_score, $console, $pid_file, $inside_file, $log_file);
while (@ARGV) {
    my $option = shift @ARGV;
    last if $option eq '--';
    if ($option eq '--cgroup') { push @cgroups, shift @ARGV }
    elsif ($option eq '--settle') { push @settle, shift @ARGV }
    elsif ($option eq '--oom-score') { $oom_score = shift @ARGV }
    elsif ($option eq '--console') { $console = shift @ARGV }
    elsif ($option eq '--inside') { $inside_file = shift @ARGV }
    elsif ($option eq '--killer') { push @killers, [split /\t/, shift @ARGV] }
    elsif ($option eq '--pid-file') { $pid_file = shift @ARGV }
    elsif ($option eq '--log') { $log_file = shift @ARGV }
    else { die "unknown option $option\n" }
}
sub tell_runner { syswrite $control, join("\t", @_) . "\n" }

# The last word. Whoever writes to somebody who is gone loses what that one had said: so stay until the runner has heard
# it and hangs up, or for two seconds.
sub tell_last {
    tell_runner(@_);
    shutdown($control, 1);
    my $bits = ''; vec($bits, fileno($control), 1) = 1;
    for (1 .. 20) {
        next if select(my $r = $bits, undef, undef, 0.1) <= 0;
        last if !sysread($control, my $unheard, 4096);
    }
}

# One descriptor out of a unix socket (SCM_RIGHTS): perl's recv has no ancillary data.
sub receive_descriptor { my ($from) = @_;
    my $data = "\0" x 4096;
    my $ancillary = "\0" x 256;
    vec($_, 0, 8) = 0 for $data, $ancillary;    # buffers of their own: perl shares the memory of constants
    my $vector = pack('P Q', $data, 4096);
    my $message = pack('Q L x4 P Q P Q l x4', 0, 0, $vector, 1, $ancillary, 256, 0);
    # The end of the runtime interrupts.
    until (syscall(syscall_number('recvmsg'), fileno($from), $message, 0) >= 0) { die "recvmsg: $!\n" if $! != EINTR }
    my ($length, $level, $type, $fd) = unpack('Q l l l', $ancillary);
    die "no descriptor came with the console\n" if $length < 20 || $level != 1 || $type != 1;
    return $fd;
}

my ($command, $inside, $master);

# The command and what it has started by now. The runtime has put it into the group above, and let it run.
sub settle { my ($file) = @_;
    my ($above) = $file =~ m{^(.*)/[^/]+/cgroup\.procs$} or die "settle $file\n";
    # Gone already, or the group is: then it stays where it is.
    eval { join_cgroup($file, $command) };
    my (undef, $session) = kin_of($command) or return;
    my %ours = ($command => 1);
    for (1 .. 3) {
        open(my $list, '<', "$above/cgroup.procs") or return;
        my %kin = map { my @kin = kin_of($_); @kin ? ($_ => \@kin) : () } map { /(\d+)/ } <$list>;
        my $found = 0;
        # Children of children come to light one after the other.
        while (my @young = grep { !$ours{$_} && ($kin{$_}[1] == $session || $ours{$kin{$_}[0]}) } keys %kin) {
            for my $pid (@young) { $ours{$pid} = 1; $found = 1; eval { join_cgroup($file, $pid) } }
        }
        return if !$found;
    } }

# Parent and session, fields 4 and 6 of proc_pid_stat(5). The name before them, in parentheses, may hold anything.
sub kin_of { my ($pid) = @_;
    open(my $in, '<', "/proc/$pid/stat") or return;
    my $text = do { local $/; <$in> } // '';
    return $text =~ /^.*\) \S+ (\d+) \d+ (\d+) /s }

eval {
    become_subreaper();
    private_mounts();
    my $listener;
    if (defined $console) {
        socket($listener, PF_UNIX, SOCK_STREAM, 0) or die "socket: $!\n";
        unlink $console;
        bind($listener, sockaddr_un($console)) && listen($listener, 1) or die "bind $console: $!\n";
    }
    my $runtime = fork() // die "fork: $!\n";
    if ($runtime == 0) {
        close $control;
        # The command's cgroup, not ours: it could not be removed for as long as we have output to hand over.
        eval { join_cgroup($_, $$) for @cgroups; 1 } or do {
            open(my $log, '>', $log_file); syswrite $log, "container is not running: $@" if $log;
            leave(126);
        };
        # The runtime and what it starts inherit it. Raising it is always permitted.
        if (defined $oom_score && open(my $out, '>', '/proc/self/oom_score_adj')) { syswrite $out, $oom_score; close $out }
        exec { $ARGV[0] } @ARGV or leave(127);
    }
    my $status;
    if ($listener) {
        # The runtime connects before it ends; should it fail first, its end wakes us through SIGCHLD.
        my $died = 0;
        local $SIG{CHLD} = sub { $died = 1 };
        my $bits = ''; vec($bits, fileno($listener), 1) = 1;
        for (1 .. 600) {
            last if select(my $r = $bits, undef, undef, 0.05) > 0;
            if ($died && waitpid($runtime, WNOHANG) > 0) { $status = $?; last }
        }
        if (select(my $r = $bits, undef, undef, 0) > 0) {
            my $from;
            until (accept($from, $listener)) { die "accept console: $!\n" if $! != EINTR }
            open($master, '+<&=', receive_descriptor($from)) or die "open the console: $!\n";
        }
        unlink $console;
    }
    if (!defined $status) { waitpid($runtime, 0); $status = $? }
    if ($status != 0) {
        open(my $log, '<', $log_file); my $text = $log ? do { local $/; <$log> } // '' : '';
        die "$text\n";
    }
    open(my $in, '<', $pid_file) or die "open $pid_file: $!\n";
    ($command) = <$in> =~ /^(\d+)/ or die "no pid in $pid_file\n";
    close $in;
    if (defined $inside_file && open(my $number, '<', $inside_file)) { ($inside) = (<$number> // '') =~ /^(\d+)/ }
    settle($_) for @settle;
    # Somebody sits at it.
    if (defined $master) { answer_promptly($_) for 0, $command }
    1;
} or do {
    my $why = $@; chomp $why; $why =~ s/\s+/ /g;
    unlink grep { defined } $pid_file, $inside_file, $log_file;
    # A runtime that could not start the program leaves its child in the sandbox's namespace to us; a zombie there that
    # nobody reaps would keep the sandbox from ending.
    local $SIG{ALRM} = sub { die };
    eval { alarm 5; 1 while waitpid(-1, 0) > 0; alarm 0 };
    tell_last('failed', $why);
    exit 1;
};
unlink grep { defined } $pid_file, $inside_file, $log_file;
tell_runner('pid', $command);

# The runtime gave the command a session, but not always as its leader: ask the kernel for the group.
my $command_group = getpgrp($command);
my ($ended, $unwanted);
sub reap { while ((my $pid = waitpid(-1, WNOHANG)) > 0) { $ended = $? if $pid == $command } }
# Never once it is reaped: its number may be somebody else's by then.
my ($killer, $killed_ms);
sub kill_inside {
    return if $killer;
    $killed_ms = now_ms();
    $killer = fork() // return;
    return if $killer;
    close $control;
    # Not /dev/null: a runtime may give away what it gets.
    pipe(my $from, my $to) or leave(1);
    open(STDIN, '<&', $from); open(STDOUT, '>&', $to); open(STDERR, '>&', $to);
    for my $argv (@killers) {
        my $pid = fork() // next;
        if ($pid == 0) { my @argv = map { $_ eq '%' ? $inside : $_ } @$argv; exec { $argv[0] } @argv or leave(127) }
        waitpid($pid, 0);
    }
    leave(0);
}
sub kill_all {
    reap();
    return if defined $ended;
    return kill_inside() if defined $inside;
    kill 'KILL', -$command_group if $command_group > 1 && $command_group != getpgrp(0);
    kill 'KILL', $command;
}

$SIG{CHLD} = sub { };

sub hear_runner {
    my $read = sysread($control, my $text, 4096);
    if (!$read) { $unwanted = 1; kill_all(); return 0 }
    for (split /\n/, $text) {
        if (/^resize\t(\d+)\t(\d+)$/ && defined $master) { my $size = pack('S4', $2, $1, 0, 0); ioctl($master, TIOCSWINSZ, $size) }
        elsif ($_ eq 'kill') { $unwanted = 1; kill_all() }
    }
    return 1;
}

# Without a terminal the command has our descriptors; they must not keep its pipes open after its end.
if (!defined $master) { close STDIN; close STDOUT; close STDERR }
# With one, nothing here may wait but select: a reader that is slow, or stopped, must keep us neither from hearing the
# runner nor from reaping, for a sandbox with a zombie in it does not end.
else { set_nonblocking(\*STDOUT); set_nonblocking($master) }
my ($input_open, $control_open) = (defined $master, 1);
my $drained = !defined $master;
my $queue = '';     # typed but not yet taken by the terminal
my $output = '';    # said by the terminal but not yet taken by the reader
while (1) {
    reap();
    last if defined $ended && ($unwanted || $drained && !length $output);
    # A sandbox that does not answer is not waited for.
    kill 'KILL', $command if $killed_ms && !defined $ended && now_ms() - $killed_ms > KILL_INSIDE_MS;
    my $bits = '';
    vec($bits, fileno($control), 1) = 1 if $control_open;
    vec($bits, 0, 1) = 1 if $input_open && length($queue) < CHUNK;
    vec($bits, fileno($master), 1) = 1 if defined $master && !$drained && !length $output;
    my $write = '';
    vec($write, fileno($master), 1) = 1 if length $queue;
    vec($write, 1, 1) = 1 if length $output;
    my $count = select(my $r = $bits, my $w = $write, undef, defined $ended ? 0.2 : 1);
    next if $count < 0;    # a child ended
    if ($count == 0) {
        # Ended, and silent for a while: a background process may hold the terminal for ever, which is not our command.
        $drained = 1 if defined $ended && !length $output;
        next;
    }
    if ($control_open && vec($r, fileno($control), 1)) { $control_open = hear_runner() }
    if (length $output && vec($w, 1, 1)) {
        my $written = syswrite(STDOUT, $output);
        if (defined $written) { substr($output, 0, $written) = '' }
        elsif ($! != EINTR && $! != EAGAIN) { kill_all(); $output = ''; $drained = 1 }    # the reader is gone
    }
    if (defined $master && !$drained && vec($r, fileno($master), 1)) {
        my $read = sysread($master, $output, CHUNK);
        # EIO: the last process that had the terminal open is gone, and everything it wrote has been read.
        if (!defined $read) { $output = ''; $drained = 1 unless $! == EINTR || $! == EAGAIN }
        elsif ($read == 0) { $drained = 1 }
    }
    if ($input_open && vec($r, 0, 1)) {
        my $read = sysread(STDIN, my $bytes, CHUNK);
        if ($read) { $queue .= $bytes } else { $input_open = 0; $queue .= "\x04" }
    }
    if (length $queue && vec($w, fileno($master), 1)) {
        # Small pieces: a terminal's input buffer takes about 4 KB.
        my $written = syswrite($master, $queue, length($queue) > 1024 ? 1024 : length($queue));
        substr($queue, 0, $written) = '' if defined $written;
    }
}
close STDOUT;
1 while waitpid(-1, WNOHANG) > 0;
tell_last('exit', ending($ended));
