#!/usr/bin/perl
# Tries what every start does with a disk image, where nobody sees it. The loop device goes with the mount namespace.
#
# probe-loop.pl IMAGE DIR    exit code 0: it was mounted; else why it was not, on standard error
use strict;

BEGIN { my ($dir) = __FILE__ =~ m{^(.*)/}; require(($dir // '.') . '/kernel.pl') }

my ($image, $dir) = @ARGV;
eval {
    private_mounts();
    my ($device, $handle) = loop_attach($image);
    mount_fs($device, $dir, 'ext4', MS_NODEV | MS_NOATIME, '');
    umount_path($dir, MNT_DETACH);
    1;
} or do { print STDERR $@; exit 1 };
