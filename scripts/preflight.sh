#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Says in one line what would stop 'make setup' and what runs after it, before any of it
# begins.
#
#   preflight.sh [demo]   with demo: only what that needs
#
# Environment:
#   VVP_SKIP_PREFLIGHT  set: nothing is looked at

. "$(dirname "$0")/lib.sh"

[ -z "${VVP_SKIP_PREFLIGHT:-}" ] || exit 0

# GiB, with a little to spare: the toolroot has 2.4, a kernel 1.5, the programs 2.
disk=9 memory=5
if [ "${1:-}" = demo ]; then
	disk=6 memory=4
fi

[ "$(uname -m)" = x86_64 ] ||
	die "this is a machine of kind $(uname -m): the virtual machines of the tests are for x86_64 alone (the module itself can be built, see Documentation/support.rst)"
for program in apt-get dpkg-deb unshare flock perl; do
	command -v "$program" >/dev/null || die "$program is missing: this is for Debian and its derivatives, with util-linux and perl"
done
need_root

available=$(awk '/^MemAvailable:/ { print int($2 / 1048576) }' /proc/meminfo)
[ "$available" -ge $memory ] ||
	die "$available GiB of memory are available, $memory are needed: the virtual machine has 3 to 4 of them"
# A limit of a container, where cgroups tell.
limit=$(cat /sys/fs/cgroup/memory.max 2>/dev/null || echo max)
[ "$limit" = max ] || [ $((limit >> 30)) -ge $memory ] ||
	die "this container is limited to $((limit >> 20)) MiB of memory, $memory GiB are needed: start it with more"

# The rest is for what has to be made.
root=$("$TOP/scripts/toolroot.sh" path)
[ ! -e "$root/etc/virtio-vfio-pci-rs/kernel-version" ] || exit 0

free=$(df --output=avail -BG "$CACHE" | tail -n 1 | tr -dc 0-9)
[ "$free" -ge $disk ] ||
	die "$free GB are free on $(df --output=target "$CACHE" | tail -n 1), $disk are needed: free some, or name another place with VVP_CACHE"

mirror=$("$TOP/scripts/toolroot.sh" mirror)
answer=$(mktemp)
trap 'rm -f "$answer"' EXIT
if [ -n "$mirror" ] && ! said=$(/usr/lib/apt/apt-helper -o Acquire::Retries=1 -o Acquire::http::Timeout=20 \
	download-file "$mirror/dists/trixie/InRelease" "$answer" 2>&1); then
	die "no answer from the Debian mirror $mirror: check the network and http_proxy, or name another one with VVP_MIRROR ($(tail -n 1 <<<"$said"))"
fi
