#!/usr/bin/perl
# The keeper of one environment: holds its mounts in a mount namespace of its own, is the parent of its first process,
# and outlives the runner. When that process ends it writes how, unmounts, and goes; the kernel frees what is left.
#
# keeper.pl CGROUPFILE…                   joins these cgroups (away from the runner's) before anything else
# keeper.pl --serve SOCKET CGROUPFILE…    as well, and makes a keeper for each connection to SOCKET: see wait_for_call
#
# A plan comes on descriptor 3, or that connection, one step a line, fields separated by tabs, ended by `go`. Answers go
# back the same way: `done STEP`, `pid N`, `ready`, `failed MESSAGE`, and for jobs `exit code|signal N`.
#
#   label TEXT                        what `ps` shows
#   devices DIR                       device nodes for the sandbox alone, and its first process's input and output
#   node PATH MODE MAJOR MINOR UID GID   one more device node there
#   cgroup FILE                       join another cgroup (write our pid to FILE)
#   disk IMAGE DIR                    loop-mount an ext4 image
#   tree SOURCE DIR                   show the folder that is a disk, where disks are folders
#   mkdir MODE DIR…                   make directories that are missing
#   userns BASE SIZE                  the id map for the following idmap steps
#   idmap SOURCE TARGET               idmapped bind mount
#   overlay LOWER[:…] UPPER WORK TARGET
#   ballast FILE                      before an overlay: give back what FILE keeps, if the disk is full
#   refill FILE                       after it: keep a little room again, if there is any
#   run PIDFILE LOGFILE ARGV…         run the runtime, which leaves the sandbox's first process to us
#   enter FILE…                       the next runtime joins these cgroups, and what it starts with it
#   hide DIR                          the next runtime finds DIR empty
#   settle FILE…                      move the first process into these cgroups
#   share DIR                         let the groups in DIR have controllers, which version 2 allows only where no process is
#   veth NAME HOSTADDRESS ADDRESS GATEWAY PREFIX   wire the sandbox's network namespace
#   start LOGFILE ARGV…               run the runtime once more, to let a created job go
#   keep SOCKET EXITFILE              stay: whoever connects to SOCKET sees it close when the sandbox has ended, and may
#                                     ask for one thing to be done with the disk, in one line, each answered with one line:
#     freeze MS                         `frozen`: nothing is written until the asker says `thaw` or goes, or MS have passed;
#                                       then `thawed MS`, or `late MS` if it was not for the asker
#     trim                              give back what is free inside: `trimmed BYTES`
#     grow BYTES                        make image and file system so large, if they are smaller: `grown`
#   job                               do not stay: report the end there, and kill the job when it closes
use strict;

BEGIN { my ($dir) = __FILE__ =~ m{^(.*)/}; require(($dir // '.') . '/kernel.pl') }

# A directory, with the blocks that describe it, is less than the one; it is kept four times.
sub PROBE_BYTES () { 16384 }
sub BALLAST_BYTES () { 65536 }

$SIG{PIPE} = 'IGNORE';
my $control;
if (@ARGV && $ARGV[0] eq '--serve') {
    my (undef, $path, @cgroups) = splice @ARGV;
    join_cgroup($_, $$) for @cgroups;
    (undef, $control) = wait_for_call($path);
}
else { open($control, '+<&=', 3) or die "descriptor 3: $!\n" }
my ($init, $userns, $socket, $exit_file, $is_job, %disk, %worker, @mounted, @enter, @hide);

sub tell_runner { syswrite $control, join("\t", @_) . "\n" }

# A start without its runner would go on beside what the next runner does. Perl has read ahead what was said, so what the
# socket tells (MSG_PEEK | MSG_DONTWAIT) is whether somebody is still there.
sub runner_went { my $byte = ''; return defined recv($control, $byte, 1, 0x42) && $byte eq '' }

sub write_to { my ($file, $text) = @_;
    open(my $out, '>', $file) or die "open $file: $!\n";
    defined syswrite($out, $text) or die "write $file: $!\n" }

# As many as there is room for; true when that was all of them.
sub write_zeros { my ($file, $bytes) = @_;
    open(my $out, '>', $file) or return 0;
    my $written = 0;
    while ($written < $bytes) { $written += syswrite($out, "\0" x 4096) // return 0 }
    return 1;
}

sub run_to_end { my ($input, $setup, @argv) = @_;
    pipe(my $in_r, my $in_w) or die "pipe: $!\n";
    pipe(my $err_r, my $err_w) or die "pipe: $!\n";
    my $pid = fork() // die "fork: $!\n";
    if ($pid == 0) {
        eval { $setup->() if $setup; 1 } or do { syswrite $err_w, $@; leave(126) };
        open(STDIN, '<&', $in_r); open(STDOUT, '>&', $err_w); open(STDERR, '>&', $err_w);
        exec { $argv[0] } @argv or leave(127);
    }
    close $in_r; close $err_w;
    syswrite $in_w, $input; close $in_w;
    my $said = do { local $/; <$err_r> } // '';
    waitpid($pid, 0);
    $said =~ s/\s+/ /g;
    die "$argv[0]: $said\n" if $? != 0;
}

sub run_runtime { my ($log_file, @argv) = @_;
    my $pid = fork() // die "fork: $!\n";
    if ($pid == 0) {
        close $control;
        eval {
            join_cgroup($_, $$) for @enter;
            if (@hide) { unshare_mounts(); mount_fs('tmpfs', $_, 'tmpfs', 0, 'mode=0755') for @hide }
            1 } or do { open(my $log, '>', $log_file); syswrite $log, $@ if $log; leave(126) };
        exec { $argv[0] } @argv or leave(127);
    }
    (@enter, @hide) = ();
    waitpid($pid, 0);
    return if $? == 0;
    open(my $log, '<', $log_file); my $text = $log ? do { local $/; <$log> } // '' : '';
    $text =~ s/\s+/ /g;
    die "$argv[0] ended with " . ($? >> 8) . ": $text\n";
}

my %step = (
    label   => sub { $0 = $_[0] },
    # The runtime gives the first process's descriptors to the sandbox's root, to chmod or to write to without end; so
    # they may be nothing that the host or another sandbox has a use for, not even /dev/null. The nodes are on a mount of
    # our own because /run is often mounted without devices, and the host's nodes are often closed to a shifted root.
    devices => sub { my ($dir) = @_;
        mount_fs('tmpfs', $dir, 'tmpfs', MS_NOSUID | MS_NOEXEC, 'mode=0711,size=64k');
        unshift @mounted, $dir;
        make_device("$dir/$_->[0]", 0666, $_->[1], $_->[2]) for ['null', 1, 3], ['fuse', 10, 229], ['tun', 10, 200];
        open(STDIN, '<', "$dir/null") && open(STDOUT, '>', "$dir/null") && open(STDERR, '>', "$dir/null") or die "open $dir/null: $!\n" },
    node    => sub { my ($path, $mode, $major, $minor, $uid, $gid) = @_;
        make_device($path, oct $mode, $major, $minor);
        chown($uid, $gid, $path) or die "chown $path: $!\n" },
    cgroup  => sub { join_cgroup($_[0], $$) },
    disk    => sub { my ($image, $dir) = @_;
        my $grows = -s $image > file_system_bytes($image);
        grow_unmounted($image) if $grows && !may_resize();
        my ($device, $handle) = loop_attach($image);
        mount_fs($device, $dir, 'ext4', MS_NODEV | MS_NOATIME, 'errors=remount-ro');
        unshift @mounted, $dir;
        %disk = (dir => $dir, device => $device, image => $image);
        grow_disk() if $grows && may_resize() },
    # The host may have its file system mounted without programs that run as their owner; inside there are some.
    tree    => sub { my ($source, $dir) = @_;
        mount_fs($source, $dir, 'none', MS_BIND, '');
        unshift @mounted, $dir;
        mount_fs('none', $dir, 'none', MS_REMOUNT | MS_BIND | MS_NODEV | MS_NOATIME, '') },
    mkdir   => sub { my ($mode, @dirs) = @_;
        for my $dir (@dirs) { mkdir($dir, oct $mode) && chmod(oct $mode, $dir) or -d $dir or die "mkdir $dir: $!\n" } },
    userns  => sub { $userns = user_namespace(@_) },
    idmap   => sub { my ($source, $target) = @_; idmapped_bind($source, $target, $userns); unshift @mounted, $target },
    # Mounting an overlay makes a directory on its disk; where there is no room for it the kernel mounts it read-only, and
    # nobody inside could ever make room. So a little is kept aside, out of sight, for this moment.
    ballast => sub { my ($file) = @_;
        my $has_room = write_zeros("$file.probe", PROBE_BYTES);
        unlink "$file.probe";
        return if $has_room;
        unlink $file;
        # Blocks are free again when the journal has it.
        opendir(my $folder, $file =~ m{^(.*)/}) or die "open the folder of $file: $!\n";
        syscall(syscall_number('fsync'), fileno($folder)) },
    refill  => sub { my ($file) = @_; write_zeros($file, BALLAST_BYTES) if (-s $file // 0) < BALLAST_BYTES },
    overlay => sub { my ($lower, $upper, $work, $target) = @_;
        mount_fs('overlay', $target, 'overlay', MS_NODEV, "lowerdir=$lower,upperdir=$upper,workdir=$work");
        unshift @mounted, $target },
    run     => sub { my ($pid_file, $log_file, @argv) = @_;
        run_runtime($log_file, @argv);
        open(my $in, '<', $pid_file) or die "open $pid_file: $!\n";
        ($init) = <$in> =~ /^(\d+)/ or die "no pid in $pid_file\n";
        tell_runner('pid', $init) },
    enter   => sub { @enter = @_ },
    hide    => sub { push @hide, @_ },
    settle  => sub { join_cgroup($_, $init) for @_ },
    share   => sub { my ($dir) = @_;
        open(my $list, '<', "$dir/cgroup.controllers") or die "open $dir/cgroup.controllers: $!\n";
        my $controllers = <$list> // '';
        write_to("$dir/cgroup.subtree_control", join ' ', map { "+$_" } split ' ', $controllers) if $controllers =~ /\S/ },
    start   => sub { my ($log_file, @argv) = @_; run_runtime($log_file, @argv) },
    veth    => sub { my ($name, $host_address, $address, $gateway, $prefix) = @_;
        # The host has no address on the link but this one: none of IPv6, and it does not tell which others it has elsewhere.
        run_to_end("link add $name type veth peer name eth0 netns $init\nlink set $name addrgenmode none\naddr add $host_address/$prefix dev $name\nlink set $name up\n",
            undef, 'ip', '-batch', '-');
        for (["ipv6/conf/$name/disable_ipv6", 1], ["ipv4/conf/$name/arp_ignore", 1]) {
            my ($file, $value) = ("/proc/sys/net/$_->[0]", $_->[1]);
            write_to($file, $value) if -e $file }    # a kernel without IPv6 has no such file
        run_to_end("link set lo up\naddr add $address/$prefix dev eth0\nlink set eth0 up\nroute add default via $gateway\n",
            sub { join_namespace("/proc/$init/ns/net", CLONE_NEWNET) }, 'ip', '-batch', '-') },
    keep    => sub { (my $path, $exit_file) = @_;
        socket($socket, PF_UNIX, SOCK_STREAM, 0) or die "socket: $!\n";
        unlink $path;
        bind($socket, sockaddr_un($path)) or die "bind $path: $!\n";
        chmod 0600, $path;
        listen($socket, 16) or die "listen $path: $!\n" },
    job     => sub { $is_job = 1 },
);

# The image may have become larger while nothing ran. A superblock of ext4 begins at 1024: block count at 4, their size at 24.
sub file_system_bytes { my ($image) = @_;
    open(my $file, '<', $image) or die "open $image: $!\n";
    sysseek($file, 1024, 0) && (sysread($file, my $block, 1024) // 0) == 1024 or die "read $image: $!\n";
    my ($low, $size) = (unpack('L', substr($block, 4, 4)), unpack('L', substr($block, 24, 4)));
    return ($low + (unpack('L', substr($block, 0x150, 4)) << 32)) * (1024 << $size) }

# Mounted file systems are resized by those with CAP_SYS_RESOURCE (24), which root lacks in some containers.
sub may_resize {
    open(my $status, '<', '/proc/self/status') or return 0;
    my ($set) = map { /^CapEff:\s*([0-9a-f]+)/ ? hex $1 : () } <$status>;
    return ($set // 0) >> 24 & 1 }

# resize2fs wants to see it checked; on a few files that is quick, on a full disk it takes a while. Nobody else has it
# mounted: that would be locked, and whoever resized it would be the last to know.
sub grow_unmounted { my ($image) = @_;
    open(my $file, '+<', $image) or die "open $image: $!\n";
    flock($file, LOCK_EX | LOCK_NB) or return;    # the mount that follows waits, and grows the next time
    die "e2fsck $image: it has errors\n" if run_silently('e2fsck', '-f', '-p', $image) >> 8 > 1;
    run_silently('resize2fs', $image) == 0 or die "resize2fs $image failed\n" }

# What it says would mix with what a job says.
sub run_silently { my (@argv) = @_;
    my $pid = fork() // die "fork: $!\n";
    if ($pid == 0) {
        close $control;
        open(STDIN, '<', '/dev/null'); open(STDOUT, '>', '/dev/null'); open(STDERR, '>', '/dev/null');
        exec { $argv[0] } @argv or leave(127);
    }
    waitpid($pid, 0);
    return $? }

sub grow_disk {
    open(my $device, '+<', $disk{device}) or die "open $disk{device}: $!\n";
    defined ioctl($device, LOOP_SET_CAPACITY, 0) or die "grow $disk{device}: $!\n";
    # Not in one: what follows -s, a division too, would be part of the file's name.
    my $bytes = -s $disk{image};
    my $blocks = pack('Q', int($bytes / 4096));
    defined ioctl(open_disk(), EXT4_IOC_RESIZE_FS, $blocks) or die "grow the file system: $!\n" }

sub enlarge_image { my ($bytes) = @_;
    return if -s $disk{image} >= $bytes;
    truncate($disk{image}, $bytes) or die "enlarge $disk{image}: $!\n" }

sub open_disk { open(my $dir, '<', $disk{dir}) or die "open $disk{dir}: $!\n"; return $dir }

sub thaw_disk { my $none = 0; return defined ioctl(open_disk(), FITHAW, $none) }

# Somebody asks for something; a process of its own does it and answers, for it may take long. Ends with us.
sub serve { my ($guest) = @_;
    my $said = '';
    return unless sysread($guest, $said, 4096);
    my ($word, $argument) = $said =~ /^(freeze|trim|grow)(?: ([0-9]{1,15}))?\n\z/ or return;
    pipe(my $lifeline, my $held) or return;
    my $pid = fork() // return;
    if ($pid) { $worker{$pid} = {word => $word, lifeline => $held}; return }
    close $held;
    close $socket;
    close $_->{lifeline} for values %worker;
    $SIG{CHLD} = 'DEFAULT';
    $0 = "bothy-$word";
    my $answer = eval {
        $word eq 'freeze' ? hold_frozen($guest, $lifeline, $argument // 0) : $word eq 'trim' ? trim_disk() : do { enlarge_image($argument // 0); grow_disk(); 'grown' } };
    my $why = $@; chomp $why;
    syswrite $guest, ($answer // "failed $why") . "\n";
    leave(0) }

sub trim_disk {
    my $range = pack('Q3', 0, ~0, 0);
    defined ioctl(open_disk(), FITRIM, $range) or die "trim: $!\n";
    return 'trimmed ' . unpack('x8 Q', $range) }

# Dirty pages go to the disk first, while others still write: the freeze then has little left to do.
sub hold_frozen { my ($guest, $lifeline, $max_ms) = @_;
    my ($dir, $none) = (open_disk(), 0);
    syscall(syscall_number('syncfs'), fileno($dir));
    # Two may ask at the same time: one after the other.
    my $tries = 0;
    until (defined ioctl($dir, FIFREEZE, $none)) {
        die "freeze: $!\n" if $! != EBUSY || ++$tries > 1000;
        select(undef, undef, undef, 0.01);
    }
    my $begun = now_ms();
    my ($bits, $asked) = ('', '');
    vec($bits, fileno($_), 1) = 1 for $guest, $lifeline;
    syswrite $guest, "frozen\n";
    my $left = $max_ms - (now_ms() - $begun);
    select($bits, undef, undef, $left / 1000) if $left > 0;
    my $is_asked = vec($bits, fileno($guest), 1) && sysread($guest, $asked, 16) && $asked eq "thaw\n";
    $none = 0;
    # Somebody may have been faster: then it is thawed.
    my $is_held = defined ioctl($dir, FITHAW, $none);
    my $held_ms = now_ms() - $begun;
    return "thawed $held_ms" if $is_asked && $is_held;
    syswrite $guest, "late $held_ms\n";
    # A line that is on its way to us would break the connection, and take our answer with it: it is waited for, or the end.
    $bits = '';
    vec($bits, fileno($_), 1) = 1 for $guest, $lifeline;
    select($bits, undef, undef, 60) unless $is_asked;
    leave(0) }

# A worker ended. One that was killed may have left the disk frozen; it must not stay so.
sub worker_ended { my ($pid) = @_;
    my $gone = delete $worker{$pid} // return;
    thaw_disk() if $gone->{word} eq 'freeze' && $? != 0 }

sub end_workers {
    close $_->{lifeline} for values %worker;
    for my $pid (keys %worker) {
        my $tries = 0;
        while (waitpid($pid, WNOHANG) == 0) { kill('KILL', $pid) if ++$tries == 200; select(undef, undef, undef, 0.01) }
        worker_ended($pid);
    } }

sub unmount_all {
    for my $target (@mounted) {
        # A process that was just killed may hold a mount for a moment longer.
        my $tries = 0;
        until (umount_path($target)) {
            if (++$tries > 200 || $! != EBUSY) { umount_path($target, MNT_DETACH); last }
            select(undef, undef, undef, 0.01);
        }
    }
}

sub finish { my ($status) = @_;
    my @how = ending($status);
    end_workers();
    unmount_all();
    write_to("$exit_file.new", "@how\n") && rename("$exit_file.new", $exit_file) if $exit_file;
    tell_runner('exit', @how);
    leave(0);
}

eval {
    become_subreaper();
    private_mounts();
    join_cgroup($_, $$) for @ARGV;
    while (1) {
        my $line = <$control>;
        leave(0) if !defined $line && !$init && !@mounted;    # the runner went before it needed us
        die "the runner went\n" if !defined $line || runner_went();
        chomp $line;
        last if $line eq 'go';
        my ($name, @fields) = split /\t/, $line, -1;
        ($step{$name} // die "unknown step '$name'\n")->(@fields);
        tell_runner('done', $name);
    }
    1;
} or do {
    my $why = $@; chomp $why; $why =~ s/[\t\n]/ /g;
    if ($init) { kill 'KILL', $init; waitpid($init, 0) }
    unmount_all();
    tell_runner('failed', $why);
    exit 1;
};

tell_runner('ready');
if (!$is_job) {    # nobody's terminal, nobody's pipe: the runner may come and go
    open(STDIN, '<', '/dev/null'); open(STDOUT, '>', '/dev/null'); open(STDERR, '>', '/dev/null');
}
# A signal handler that does nothing: it makes the end of a child interrupt select. The second of select's time-out
# covers the end that falls between waitpid and select.
$SIG{CHLD} = sub { };
my ($hears_control, %guests) = ($is_job);
while (1) {
    while ((my $pid = waitpid(-1, WNOHANG)) > 0) { if ($pid == $init) { finish($?) } else { worker_ended($pid) } }
    my $bits = '';
    vec($bits, fileno($_), 1) = 1 for ($socket ? $socket : ()), values %guests;
    vec($bits, fileno($control), 1) = 1 if $hears_control;
    next if select($bits, undef, undef, 1) <= 0;
    for my $guest (values %guests) {
        next unless vec($bits, fileno($guest), 1);
        serve($guest);    # from here on it is the worker's, or it went
        delete $guests{fileno($guest)};
    }
    if ($socket && vec($bits, fileno($socket), 1)) { my $guest; $guests{fileno($guest)} = $guest if accept($guest, $socket) }
    if ($hears_control && vec($bits, fileno($control), 1) && !sysread($control, my $said, 4096)) { kill 'KILL', $init; $hears_control = 0 }
}
