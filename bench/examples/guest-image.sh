#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Makes the initial RAM disk of a guest that counts, and asks its host for an echo each time:
#
#   guest-image.sh FILE
#
# Needs busybox, linked statically (Debian: busybox-static), and cpio.

set -euo pipefail

file=$(realpath "${1:?usage: guest-image.sh FILE}")
root=$(mktemp -d)
trap 'rm -r "$root"' EXIT
mkdir "$root"/{bin,proc,sys,dev}
cp "$(command -v busybox)" "$root/bin/busybox"
cat >"$root/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox --install /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev 2>/dev/null
until [ -e /sys/class/net/eth0 ]; do usleep 100000; done
ip address add 192.168.77.2/24 dev eth0
ip link set eth0 up
count=0
while :; do
	count=$((count + 1))
	if ping -c 1 -W 1 192.168.77.1 >/dev/null 2>&1; then
		echo "count $count: echo"
	else
		echo "count $count: silence"
	fi
	usleep 200000
done
INIT
chmod +x "$root/init"
(cd "$root" && find . | cpio --quiet -o -H newc | gzip -1) >"$file"
