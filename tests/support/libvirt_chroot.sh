#!/bin/bash
# For the benchmark alone, in mount, net, ipc, uts and pid namespaces: libvirtd and libvirt-dbus of a chroot, on a bus whose socket is
# in a folder of the host. Prints "ready", and ends when its standard input does.
set -eu
root=$1 folder=$2
mount --make-rprivate /
mount -t proc proc "$root/proc"
mount -t tmpfs tmpfs "$root/dev" # without KVM, which this machine has but cannot use: libvirtd would try it again at every turn
for node in null zero full random urandom tty; do touch "$root/dev/$node"; mount --bind "/dev/$node" "$root/dev/$node"; done
mkdir "$root/dev/shm" "$root/dev/pts"
ln -s /proc/self/fd "$root/dev/fd"
mount -t sysfs sys "$root/sys"
rm -f "$root"/etc/libvirt/qemu/*.xml
mount -t tmpfs tmpfs "$root/run"
mkdir -p "$root/run/dbus" "$root/run/libvirt" "$root/mnt/bus"
mount --bind "$folder" "$root/mnt/bus"
ip link set lo up
cat > "$root/run/bus.conf" <<X
<busconfig><type>system</type><listen>unix:path=/mnt/bus/bus</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/></policy></busconfig>
X
printf 'auth_unix_rw = "none"\nunix_sock_rw_perms = "0777"\n' > "$root/run/libvirtd.conf"
export DBUS_SYSTEM_BUS_ADDRESS=unix:path=/mnt/bus/bus
chroot "$root" dbus-daemon --config-file=/run/bus.conf --nofork --nopidfile >/dev/null 2>&1 &
until [ -S "$folder/bus" ]; do sleep 0.1; done
chmod 777 "$folder" "$folder/bus"
chroot "$root" libvirtd --config /run/libvirtd.conf >/dev/null 2>&1 &
until [ -S "$root/run/libvirt/libvirt-sock" ]; do sleep 0.1; done
chroot "$root" libvirt-dbus --system >/dev/null 2>&1 &
until chroot "$root" virsh -c qemu:///system list >/dev/null 2>&1; do sleep 0.2; done
sleep 1
echo ready
cat >/dev/null
