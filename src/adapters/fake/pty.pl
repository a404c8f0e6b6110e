# Runs a command on a terminal of its own: perl pty.pl COLUMNS ROWS PROGRAM ARG...
# Standard input is typed into the terminal, what the terminal shows goes to standard output, and each line
# "COLUMNS ROWS" on descriptor 3 resizes it. Ends as the command ended: same code, same signal.
use strict;
use warnings;
use Fcntl qw(O_RDWR O_NOCTTY O_NONBLOCK F_GETFL F_SETFL);
use Errno qw(EAGAIN EINTR EIO);
use POSIX ();

# asm-generic/ioctls.h (all architectures that Node 24 is built for).
use constant { TIOCSPTLCK => 0x40045431, TIOCGPTN => 0x80045430, TIOCSCTTY => 0x540E, TIOCSWINSZ => 0x5414 };
use constant KEEP_BYTES => 65536;

my ($columns, $rows, @argv) = @ARGV;
sub size { return pack('S4', $_[1], $_[0], 0, 0) }

sysopen(my $master, '/dev/ptmx', O_RDWR | O_NOCTTY) or die "open /dev/ptmx: $!\n";
my $unlock = pack('i', 0);
ioctl($master, TIOCSPTLCK, $unlock) or die "unlock the terminal: $!\n";
my $number = pack('i', 0);
ioctl($master, TIOCGPTN, $number) or die "number of the terminal: $!\n";
sysopen(my $slave, '/dev/pts/' . unpack('i', $number), O_RDWR | O_NOCTTY) or die "open the terminal: $!\n";
my $first = size($columns, $rows);
ioctl($master, TIOCSWINSZ, $first) or die "size of the terminal: $!\n";

my $pid = fork() // die "fork: $!\n";
if ($pid == 0) {
    POSIX::setsid();
    my $zero = 0;
    ioctl($slave, TIOCSCTTY, $zero);
    POSIX::dup2(fileno($slave), $_) for 0 .. 2;
    POSIX::close($_) for 3 .. 15;
    { no warnings 'exec'; exec {$argv[0]} @argv; }
    my $missing = $!{ENOENT};
    syswrite(STDOUT, "$argv[0]: $!\n");
    POSIX::_exit($missing ? 127 : 126);
}
close($slave);
open(my $control, '<&=', 3);
fcntl($master, F_SETFL, fcntl($master, F_GETFL, 0) | O_NONBLOCK);

my ($typed, $orders, $stdin_open) = ('', '', 1);
for (;;) {
    my ($reads, $writes) = ('', '');
    vec($reads, fileno($master), 1) = 1;
    vec($reads, 0, 1) = 1 if $stdin_open && length($typed) < KEEP_BYTES;
    vec($reads, 3, 1) = 1 if defined $control;
    vec($writes, fileno($master), 1) = 1 if length $typed;
    if (select($reads, $writes, undef, undef) < 0) {
        next if $! == EINTR;
        last;
    }
    if (defined $control && vec($reads, 3, 1)) {
        my $read = sysread($control, $orders, 4096, length $orders);
        undef $control unless $read;
        while ($orders =~ s/^(\d+) (\d+)\n//) {
            my $next = size($1, $2);
            ioctl($master, TIOCSWINSZ, $next);
        }
    }
    if (vec($reads, 0, 1)) {
        my $read = sysread(STDIN, $typed, 16384, length $typed);
        # The end of typing is the end-of-file character: a terminal has no other way to say it.
        if (!$read) { $stdin_open = 0; $typed .= "\x04" }
    }
    if (length $typed && vec($writes, fileno($master), 1)) {
        my $written = syswrite($master, $typed);
        substr($typed, 0, $written) = '' if defined $written;
        last if !defined $written && $! != EAGAIN && $! != EINTR;
    }
    if (vec($reads, fileno($master), 1)) {
        my $read = sysread($master, my $shown, 65536);
        if (!defined $read) {
            next if $! == EAGAIN || $! == EINTR;
            last;    # EIO: the last holder of the terminal is gone, and everything it wrote has been read.
        }
        last if $read == 0;
        while (length $shown) {
            my $written = syswrite(STDOUT, $shown);
            if (!defined $written) { next if $! == EINTR; last }
            substr($shown, 0, $written) = '';
        }
    }
}
waitpid($pid, 0);
my $status = $?;
if (my $signal = $status & 127) {
    $SIG{$_} = 'DEFAULT' for grep { defined } (split ' ', 'HUP INT QUIT TERM PIPE');
    kill $signal, $$;
    POSIX::pause();
}
POSIX::_exit($status >> 8);
