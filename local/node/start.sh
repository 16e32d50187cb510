#!/bin/sh
# Second program of the node, inside its own file system: network, firewall programs, kernel settings, then runit.
set -eu
export PATH=/opt/modelstack/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
umount -l /old
mount --make-rshared /

echo "modelstack-$MODELSTACK_INSTANCE" >/proc/sys/kernel/hostname
printf '127.0.0.1 localhost\n%s %s\n' "$NODE_ADDRESS" "$NODE_NAME" >/etc/hosts
: >/etc/resolv.conf
: >/etc/machine-id
printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n' >/etc/passwd
printf 'root:x:0:\nnogroup:x:65534:\n' >/etc/group

ip link set lo up
ip address add "$NODE_ADDRESS/32" dev lo scope global
# What the node itself asks of Services: rewritten to a pod's address, once there is a route to send it on.
ip route add "$SERVICE_RANGE" dev lo src "$NODE_ADDRESS"
echo 1 >/proc/sys/net/ipv4/ip_forward

# The package's alternatives are made on installation, which an extracted root never had: take the one this kernel has.
for kind in nft legacy; do
    "iptables-$kind" -t nat -S >/dev/null 2>&1 || continue
    for name in iptables ip6tables; do
        for suffix in '' -save -restore; do
            ln -sf "$name-$kind$suffix" "/usr/sbin/$name$suffix"
        done
    done
    break
done

# The kubelet sets these for the whole machine; a file in their place lets it, and leaves the host alone.
shadow() {
    mkdir -p /run/shadow
    echo "$2" >"/run/shadow/${1##*/}"
    mount --bind "/run/shadow/${1##*/}" "/proc/sys/$1"
}
shadow vm/overcommit_memory 1
shadow vm/panic_on_oom 0
shadow kernel/panic 10
shadow kernel/panic_on_oops 1
shadow kernel/keys/root_maxkeys 1000000
shadow kernel/keys/root_maxbytes 25000000

# shellcheck disable=SC3045 # Debian's sh is dash, which has it
ulimit -n "$(ulimit -Hn)"
cp -r /etc/modelstack/service /run/service
exec env -i PATH="$PATH" HOME=/root runsvdir -P /run/service
