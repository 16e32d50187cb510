#!/bin/sh
# First program in the node's namespaces: builds the node's file system, enters it and hands over to start.sh.
# usage: boot.sh LAUNCHER_PID DATA_FOLDER NODE_ROOT FOLDER_OF_BINARIES:... START_SCRIPT
set -eu
launcher=$1 data=$2 lower=$3 binaries=$4 start=$5

# /proc is still the host's: the number and start time by which the host knows this process.
read -r self </proc/self/stat
# shellcheck disable=SC2086 # to be split: the fields are numbers
set -- $self
echo "$1 ${22} $(cat /proc/sys/kernel/random/boot_id)" >"$data/run.part"
mv "$data/run.part" "$data/run"

mkdir -p "$data/root"
mount -t tmpfs -o mode=755 tmpfs "$data/root"
cd "$data/root"
mkdir upper work root
mount -t overlay -o "lowerdir=$lower,upperdir=$PWD/upper,workdir=$PWD/work" overlay root
cd root

mkdir -p dev proc sys run tmp old etc/modelstack opt/modelstack/bin var/log/modelstack \
    var/lib/etcd var/lib/containerd var/lib/kubelet var/lib/registry
rm -rf var/run
ln -s /run var/run
mount -t tmpfs -o mode=755 tmpfs run
mkdir -p run/netns
touch run/netns/host
mount --bind "/proc/$launcher/ns/net" run/netns/host
mount --bind "$data/etc" etc/modelstack
mount --bind "$data/logs" var/log/modelstack
for volume in etcd containerd kubelet registry; do
    mount --bind "$data/volumes/$volume" "var/lib/$volume"
done
mount -t overlay -o "lowerdir=$binaries" overlay opt/modelstack/bin
cp "$start" run/start.sh

mount -t tmpfs -o mode=755 tmpfs dev
for device in null zero full random urandom tty kmsg; do
    [ -e "/dev/$device" ] || continue
    touch "dev/$device"
    mount --bind "/dev/$device" "dev/$device"
done
mkdir dev/pts dev/shm dev/mqueue
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mount -t tmpfs -o mode=1777 tmpfs dev/shm
mount -t mqueue mqueue dev/mqueue
mount -t sysfs sysfs sys
mount --rbind /sys/fs/cgroup sys/fs/cgroup
mount -t proc proc proc

pivot_root . old
exec chroot . /bin/sh /run/start.sh
