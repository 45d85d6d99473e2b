#!/bin/bash
# For the benchmark alone, in mount, net, ipc, uts and pid namespaces: libvirtd of a chroot, with a folder of the host as its
# /mnt/pool, and one virsh that obeys standard input and tells the time of each command.
set -eu
root=$1 folder=$2
mount --make-rprivate /
mount -t proc proc "$root/proc"
mount -t tmpfs tmpfs "$root/dev" # without KVM, which this machine has but cannot use
for node in null zero full random urandom; do touch "$root/dev/$node"; mount --bind "/dev/$node" "$root/dev/$node"; done
ln -s /proc/self/fd "$root/dev/fd"
mount -t sysfs sys "$root/sys"
mount -t tmpfs tmpfs "$root/run"
mkdir -p "$root/run/libvirt" "$root/mnt/pool"
mount --bind "$folder" "$root/mnt/pool"
ip link set lo up
printf 'auth_unix_rw = "none"\nunix_sock_rw_perms = "0777"\n' > "$root/run/libvirtd.conf"
chroot "$root" libvirtd --config /run/libvirtd.conf >/dev/null 2>&1 &
until [ -S "$root/run/libvirt/libvirt-sock" ]; do sleep 0.1; done
exec chroot "$root" virsh -t -c qemu:///system
