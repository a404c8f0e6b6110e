#!/usr/bin/perl
# The comparator of the start bench: what `crun create` and `crun start` cost by themselves, by a script that makes the
# same root, user namespace, link and limits and nothing else: no disk image, no supervision, no control plane.
# bare-start.pl KERNEL.PL BASE LAYER UPPERDIR BUNDLE NAME HOSTADDRESS ADDRESS CRUNROOT
use strict;
my ($kernel, $base, $layer, $upper, $bundle, $name, $host_address, $address, $root) = @ARGV;
require $kernel;
# crun gives its descriptors to the sandbox's root: not the host's /dev/null.
pipe(my $empty, my $end) or die "pipe: $!\n";
open(STDIN, '<&', $empty) or die "stdin: $!\n";
close $end;
private_mounts();
my $ns = user_namespace($base, 65536);
idmapped_bind($layer, "$bundle/layer", $ns);
idmapped_bind($upper, "$bundle/shifted", $ns);
mount_fs('overlay', "$bundle/rootfs", 'overlay', MS_NODEV(), "lowerdir=$bundle/layer,upperdir=$bundle/shifted/upper,workdir=$bundle/shifted/work");
my @crun = ('crun', '--root', $root, '--cgroup-manager', 'cgroupfs');
system(@crun, 'create', '--bundle', $bundle, '--pid-file', "$bundle/pid", $name) == 0 or die "crun create\n";
open(my $in, '<', "$bundle/pid") or die "pid: $!\n";
my ($pid) = <$in> =~ /^(\d+)/;
batch("link add $name type veth peer name eth0 netns $pid\naddr add $host_address/30 dev $name\nlink set $name up\n");
batch("link set lo up\naddr add $address/30 dev eth0\nlink set eth0 up\nroute add default via $host_address\n", $pid);
exec(@crun, 'start', $name) or die "crun start: $!\n";

sub batch { my ($text, $of) = @_;
    pipe(my $r, my $w) or die;
    my $child = fork() // die;
    if ($child == 0) {
        join_namespace("/proc/$of/ns/net", CLONE_NEWNET()) if $of;
        open(STDIN, '<&', $r);
        close $w;
        exec('ip', '-batch', '-');
    }
    close $r; syswrite $w, $text; close $w;
    waitpid($child, 0);
    die "ip\n" if $? != 0;
}
