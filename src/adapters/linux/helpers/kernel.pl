# System calls that perl has no names for, and the few operations on mounts and loop devices that are made of them.
# perl-base is Essential on Debian and Ubuntu, so this needs no compiler and no package; a resident perl takes a few MB.
#
# No modules but strict: POSIX, Socket, constant and warnings cost 9, 6, 1 and 1 ms to load (medians of 40, November
# 2026), and every start and every command would pay. What they would give is a number or a pack() away.
use strict;

# Numbers from the kernel's syscall tables (arch/x86/entry/syscalls/syscall_64.tbl, asm-generic/unistd.h).
my %by_machine = (
    x64   => { mount => 165, umount2 => 166, unshare => 272, setns => 308, prctl => 157, recvmsg => 47, exit_group => 231, fsync => 74, syncfs => 306, clock_gettime => 228, mknodat => 259, setsid => 112, sched_setattr => 314 },
    arm64 => { mount => 40,  umount2 => 39,  unshare => 97,  setns => 268, prctl => 167, recvmsg => 212, exit_group => 94, fsync => 82,  syncfs => 267, clock_gettime => 113, mknodat => 33,  setsid => 157, sched_setattr => 274 },
);
my $machine = $ENV{BOTHY_ARCH} // '';
my $number = $by_machine{$machine} or die "BOTHY_ARCH is '$machine', not x64 or arm64\n";
my ($open_tree, $move_mount, $mount_setattr) = (428, 429, 442);    # the same on both

sub CLONE_NEWNS () { 0x00020000 }
sub CLONE_NEWUSER () { 0x10000000 }
sub CLONE_NEWNET () { 0x40000000 }
sub MS_NOSUID () { 2 }
sub MS_NODEV () { 4 }
sub MS_NOEXEC () { 8 }
sub MS_REMOUNT () { 32 }
sub MS_NOATIME () { 1024 }
sub MS_BIND () { 4096 }
sub MS_REC () { 0x4000 }
sub MS_SLAVE () { 0x80000 }
sub MNT_DETACH () { 2 }
sub MOUNT_ATTR_IDMAP () { 0x00100000 }
sub AT_EMPTY_PATH () { 0x1000 }
sub AT_FDCWD () { -100 }
sub OPEN_TREE_CLONE () { 1 }
sub O_CLOEXEC () { 02000000 }
sub MOVE_MOUNT_F_EMPTY_PATH () { 4 }
sub LOOP_CTL_GET_FREE () { 0x4C82 }
sub LOOP_CONFIGURE () { 0x4C0A }
sub LOOP_SET_CAPACITY () { 0x4C07 }
sub EXT4_IOC_RESIZE_FS () { 0x40086610 }
sub FIFREEZE () { 0xC0045877 }
sub FITHAW () { 0xC0045878 }
sub FITRIM () { 0xC0185879 }
sub LO_FLAGS_AUTOCLEAR () { 4 }
sub LO_FLAGS_DIRECT_IO () { 16 }
sub PR_SET_CHILD_SUBREAPER () { 36 }
sub F_GETFL () { 3 }
sub F_SETFL () { 4 }
sub O_NONBLOCK () { 04000 }    # the same on amd64 and arm64
sub EINTR () { 4 }
sub EAGAIN () { 11 }
sub EBUSY () { 16 }
sub PF_UNIX () { 1 }
sub SOCK_STREAM () { 1 }
sub SCHED_OTHER () { 0 }
sub SCHED_FLAG_RESET_ON_FORK () { 1 }
sub SHORT_TURN_NS () { 100_000 }
sub WNOHANG () { 1 }
sub LOCK_EX () { 2 }
sub LOCK_NB () { 4 }

sub sockaddr_un { pack('S a108', PF_UNIX, $_[0]) }

sub set_nonblocking { my ($handle) = @_;
    my $flags = fcntl($handle, F_GETFL, 0) // die "fcntl: $!\n";
    fcntl($handle, F_SETFL, $flags | O_NONBLOCK) or die "fcntl: $!\n" }

# Lets a process that answers people run as soon as it wakes: whoever asks for short turns of the processor gets them at once
# (Linux 6.12 and newer; older kernels take no notice). It gets no more of it than before. What it starts is as everybody.
sub answer_promptly { my ($pid) = @_;
    my $nice = getpriority(0, $pid);
    my $attributes = pack('L L Q l L Q Q Q', 48, SCHED_OTHER, SCHED_FLAG_RESET_ON_FORK, $nice, 0, SHORT_TURN_NS, 0, 0);
    # Ended meanwhile, or a kernel that does not let us.
    syscall($number->{sched_setattr}, $pid + 0, $attributes, 0) }

# Ends this process without running END blocks or flushing what the parent has buffered.
sub leave { syscall($number->{exit_group}, $_[0] + 0) }

# Of a wait status: how it ended, in words.
sub ending { my ($status) = @_; ($status & 127) ? ('signal', $status & 127) : ('code', $status >> 8) }

# Of the monotonic clock, which nobody sets.
sub now_ms {
    my $time = "\0" x 16;
    syscall($number->{clock_gettime}, 1, $time);
    my ($seconds, $nanoseconds) = unpack('q2', $time);
    return $seconds * 1000 + int($nanoseconds / 1e6) }

sub syscall_number { $number->{$_[0]} }

# syscall() wants modifiable strings.
sub mount_fs { my ($source, $target, $type, $flags, $data) = @_;
    syscall($number->{mount}, $source, $target, $type, $flags, $data) == 0 or die "mount $type on $target: $!\n" }

sub umount_path { my ($target, $flags) = @_; syscall($number->{umount2}, $target, $flags // 0) == 0 }

sub become_subreaper { syscall($number->{prctl}, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0 or die "prctl subreaper: $!\n" }

sub join_namespace { my ($path, $type) = @_;
    open(my $ns, '<', $path) or die "open $path: $!\n";
    syscall($number->{setns}, fileno($ns), $type) == 0 or die "setns $path: $!\n" }

# A mount namespace of our own that still receives the host's unmounts. crun 1.8 to 1.21 refuses to work when the v2
# hierarchy beside v1 ones has a controller, so that hierarchy is hidden from this namespace; we keep a handle on it.
my ($unified, $unified_handle) = ('/sys/fs/cgroup/unified');
sub unshare_mounts {
    syscall($number->{unshare}, CLONE_NEWNS) == 0 or die "unshare mount namespace: $!\n";
    mount_fs('none', '/', 'none', MS_REC | MS_SLAVE, '') }

sub private_mounts {
    unshare_mounts();
    open(my $controllers, '<', "$unified/cgroup.controllers") or return;
    my $some = <$controllers> // '';
    close $controllers;
    return unless $some =~ /\S/;
    opendir($unified_handle, $unified) or die "open $unified: $!\n";
    umount_path($unified, MNT_DETACH);
}

# A node of a character device. A device number is packed as 12 bits of minor, 12 of major, 8 of minor (new_encode_dev).
sub make_device { my ($path, $mode, $major, $minor) = @_;
    syscall($number->{mknodat}, AT_FDCWD, $path, 0020000 | $mode, ($minor & 0xff) | $major << 8 | ($minor & ~0xff) << 12) == 0 or die "mknod $path: $!\n";
    chmod $mode, $path }    # whatever our umask is

# Joins `pid` to the cgroup whose cgroup.procs is `file`, hidden or not.
sub join_cgroup { my ($file, $pid) = @_;
    my $path = $file;
    if ($unified_handle) { my $fd = fileno($unified_handle); $path =~ s{^\Q$unified\E/}{/proc/self/fd/$fd/} }
    open(my $procs, '>', $path) or die "open $file: $!\n";
    defined syswrite($procs, $pid) or die "join $file: $!\n";
}

# A user namespace that maps on-disk ids 0..size-1 to base.., and id `size` to the host's root: overlayfs makes its work
# directory as the mounter, which must have an id in the mount. Returns an open handle; the maker process is gone.
sub user_namespace { my ($base, $size) = @_;
    pipe(my $ready_r, my $ready_w) && pipe(my $done_r, my $done_w) or die "pipe: $!\n";
    my $pid = fork() // die "fork: $!\n";
    if ($pid == 0) {
        close $ready_r; close $done_w;
        leave(1) if syscall($number->{unshare}, CLONE_NEWUSER) != 0;
        syswrite $ready_w, 'x'; sysread $done_r, my $byte, 1; leave(0);
    }
    close $ready_w; close $done_r;
    (sysread($ready_r, my $byte, 1) // 0) == 1 or die "user namespace: refused by the kernel\n";
    for my $file ('uid_map', 'gid_map') {
        open(my $map, '>', "/proc/$pid/$file") or die "open $file: $!\n";
        defined syswrite($map, "0 $base $size\n$size 0 1\n") or die "write $file: $!\n";
    }
    open(my $ns, '<', "/proc/$pid/ns/user") or die "open user namespace: $!\n";
    close $done_w; waitpid($pid, 0);
    return $ns;
}

# Mounts `source` at `target` with ids shifted by the map of `ns` (an idmapped bind mount; Linux 5.12 and newer).
sub idmapped_bind { my ($source, $target, $ns) = @_;
    my $tree = syscall($open_tree, AT_FDCWD, $source, OPEN_TREE_CLONE | O_CLOEXEC);
    die "open_tree $source: $!\n" if $tree < 0;
    my $empty = "\0";
    my $attributes = pack('QQQQ', MOUNT_ATTR_IDMAP, 0, 0, fileno($ns));
    syscall($mount_setattr, $tree, $empty, AT_EMPTY_PATH, $attributes, 32) == 0 or die "idmap $source: $!\n";
    syscall($move_mount, $tree, $empty, AT_FDCWD, $target, MOVE_MOUNT_F_EMPTY_PATH) == 0 or die "move_mount $target: $!\n";
    open(my $handle, '<&=', $tree);    # closes it when it goes
}

# Attaches `image` to a free loop device with direct IO (no second page cache) that goes by itself with its last user.
# Returns device path and open handle: keep the handle until the device is mounted.
#
# A file system mounted twice is a file system lost, and after a kill the kernel takes an old mount apart by itself, a
# little later than its processes die. So the image is locked first: the lock lives as long as the open file, the loop
# device holds that very one, and lets go of it after its last write.
sub loop_attach { my ($image) = @_;
    open(my $file, '+<', $image) or die "open $image: $!\n";
    my $tries = 0;
    until (flock($file, LOCK_EX | LOCK_NB)) {
        die "$image is still mounted somewhere\n" if ++$tries > 1000;
        select(undef, undef, undef, 0.01);
    }
    open(my $control, '+<', '/dev/loop-control') or die "open /dev/loop-control: $!\n";
    for (1 .. 200) {
        my $index = ioctl($control, LOOP_CTL_GET_FREE, 0);
        defined $index or die "no free loop device: $!\n";
        my $path = '/dev/loop' . ($index + 0);
        # Without udev nobody makes the node of a fresh device: block major 7.
        system('mknod', '-m', '600', $path, 'b', 7, $index + 0) if !-e $path;
        open(my $loop, '+<', $path) or die "open $path: $!\n";
        # struct loop_config { u32 fd, block_size; struct loop_info64 { u64 x5; u32 number, x2, flags; char name[64], … } }
        for my $flags (LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO, LO_FLAGS_AUTOCLEAR) {
            my $info = pack('Q5 L4 a64 a64 a32 Q2', 0, 0, 0, 0, 0, 0, 0, 0, $flags, substr($image, -63), '', '', 0, 0);
            my $config = pack('L2', fileno($file), 0) . $info . ("\0" x 64);
            return ($path, $loop) if defined ioctl($loop, LOOP_CONFIGURE, $config);
            last if $! == EBUSY;    # somebody else took it between our two calls
        }
        die "configure $path for $image: $!\n" if $! != EBUSY;
    }
    die "no free loop device after 200 attempts\n";
}

# For a helper that forks itself for each call, with everything loaded and compiled: a start of perl costs 4 ms, and a fork
# of the runner as much again. Listens on `path`, and returns in each child, which is in a session of its own, with the
# connections of its call and its text. Ends with standard input, which is the runner's.
#
# A call is made of COUNT connections. Each begins with a line of 64 bytes, `CALL INDEX COUNT LENGTH` and spaces; LENGTH
# bytes of text follow on the last.
sub CALL_LINE () { 64 }
sub wait_for_call { my ($path) = @_;
    my $mask = umask 0177;
    socket(my $listener, PF_UNIX, SOCK_STREAM, 0) or die "socket: $!\n";
    bind($listener, sockaddr_un($path)) && listen($listener, 4096) or die "bind $path: $!\n";
    umask $mask;
    local $SIG{CHLD} = 'IGNORE';    # who is nobody's child any more is reaped by the kernel
    my (%coming, %calls);
    while (1) {
        my $bits = '';
        vec($bits, $_, 1) = 1 for 0, fileno($listener), keys %coming;
        next if select($bits, undef, undef, undef) <= 0;
        if (vec($bits, 0, 1) && !sysread(STDIN, my $unheard, 64)) { unlink $path; leave(0) }
        for my $descriptor (grep { vec($bits, $_, 1) } keys %coming) {
            my $coming = $coming{$descriptor};
            my $read = sysread($coming->{handle}, $coming->{line}, CALL_LINE - length $coming->{line}, length $coming->{line});
            next if $read && length $coming->{line} < CALL_LINE;
            delete $coming{$descriptor};
            my ($call, $index, $count, $length) = $coming->{line} =~ /^([0-9a-f]+) (\d) (\d) (\d+) *\n\z/ or next;
            $calls{$call}[$index] = $coming->{handle};
            next if grep { !$calls{$call}[$_] } 0 .. $count - 1;
            my $connections = delete $calls{$call};
            my $pid = fork();
            next if !defined $pid || $pid;    # without a child the connections close, which is an answer, too
            syscall($number->{setsid});
            open(STDIN, '<', '/dev/null');
            my $text = '';
            while (length $text < $length) { sysread($connections->[-1], $text, $length - length $text, length $text) or leave(1) }
            return ($text, @$connections);
        }
        if (vec($bits, fileno($listener), 1) && accept(my $handle, $listener)) { $coming{fileno $handle} = {handle => $handle, line => ''} }
    } }

1;
