#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The toolroot: a Debian 13 root directory (with backports) that holds every tool
# at one matching version: compilers, bindgen, QEMU, the kernel source.
#
#   toolroot.sh build            make it if it is not there
#   toolroot.sh path             print where it is
#   toolroot.sh run COMMAND...   run a command inside: the project is at /src, the cache at
#                                /cache, and what is built from this tree at /products
#
# Environment:
#   VVP_MIRROR         Debian mirror (default: the one the host's apt uses)
#   VVP_KERNEL_SERIES  kernel series, for example 7.3 (default: newest of scripts/kernel-series
#                      that the suites offer); naming one here also allows an untried one
#   VVP_CACHE          cache directory

. "$(dirname "$0")/lib.sh"

SUITE=trixie
ROOT=$CACHE/toolroot-$SUITE-$( (cat "$TOP/scripts/toolroot.packages"; sed -n '/^# BEGIN recipe/,/^# END recipe/p' "$0"; echo "${VVP_KERNEL_SERIES:-}") | sha256sum | cut -c1-12)

host_mirror() {
	if [ -n "${VVP_MIRROR:-}" ]; then echo "$VVP_MIRROR"; return; fi
	local site
	site=$(apt-get indextargets --format '$(SITE) $(ORIGIN) $(CODENAME)' 2>/dev/null |
		awk '$2 == "Debian" && $3 !~ /security/ { print $1; exit }')
	[ -n "$site" ] || die "no Debian mirror in the host's apt configuration: run 'apt-get update', or set VVP_MIRROR=<mirror URL>"
	echo "$site"
}

# host_network ROOT: inside, the network is reached as the host reaches it: its
# resolver, its certificate authorities, its cargo settings. They may change
# after the root was made, so this runs each time.
host_network() {
	local from
	mkdir -p "$CACHE/cargo"
	for from in /etc/resolv.conf /etc/ssl/certs/ca-certificates.crt; do
		[ -e "$from" ] && cp -L "$from" "$1$from"
	done
	for from in "${CARGO_HOME:-${HOME:-/root}/.cargo}"/config{.toml,}; do
		[ -e "$from" ] && cp -L "$from" "$CACHE/cargo/"
	done
	:
}

# BEGIN recipe
# choose_series: print the kernel series to use, given the root's package lists.
choose_series() {
	local root=$1 offered known s
	offered=$(chroot "$root" apt-cache search --names-only '^linux-source-[0-9]+\.[0-9]+$' | sed -n 's/^linux-source-\([0-9.]*\) .*/\1/p' | sort -rV)
	known=$(grep -v '^#' "$TOP/scripts/kernel-series")
	if [ -n "${VVP_KERNEL_SERIES:-}" ]; then
		grep -qx "$VVP_KERNEL_SERIES" <<<"$offered" || die "the suites offer no linux-source-$VVP_KERNEL_SERIES, only: $(echo $offered)"
		grep -qx "$VVP_KERNEL_SERIES" <<<"$known" || say "note: kernel series $VVP_KERNEL_SERIES is untried; taken because VVP_KERNEL_SERIES names it"
		echo "$VVP_KERNEL_SERIES"
		return
	fi
	for s in $known; do
		if grep -qx "$s" <<<"$offered"; then
			[ "$s" = "$(head -n 1 <<<"$known")" ] || say "note: preferred kernel series is gone from the suites; using $s"
			echo "$s"
			return
		fi
	done
	die "the suites offer kernel series $(echo $offered), none of which has been tried (known: $(echo $known)); set VVP_KERNEL_SERIES to try one"
}

make_root() {
	local tmp=$ROOT.tmp mirror series
	mirror=$(host_mirror)
	rm -rf --one-file-system "$tmp"
	if ! command -v mmdebstrap >/dev/null; then
		apt-get -o Acquire::Retries=3 update
		apt-get -y --no-install-recommends install mmdebstrap debian-archive-keyring
	fi
	printf 'deb %s %s main\ndeb %s %s-backports main\n' "$mirror" $SUITE "$mirror" $SUITE |
		mmdebstrap --mode=root --variant=minbase --aptopt='Acquire::Retries "3"' \
			--include=ca-certificates $SUITE "$tmp" -
	apt-config dump | grep -E '^Acquire::(http|https)::Proxy' >"$tmp/etc/apt/apt.conf.d/80host-proxy" || :
	mkdir -p "$tmp/src" "$tmp/cache" "$tmp/etc/virtio-vfio-pci-rs"
	# Services have no business in a build root.
	printf '#!/bin/sh\nexit 101\n' >"$tmp/usr/sbin/policy-rc.d"
	chmod +x "$tmp/usr/sbin/policy-rc.d"
	host_network "$tmp"
	in_root "$tmp" apt-get -o Acquire::Retries=3 update
	series=$(choose_series "$tmp")
	in_root "$tmp" env DEBIAN_FRONTEND=noninteractive apt-get -y --no-install-recommends install \
		$(grep -v '^#' "$TOP/scripts/toolroot.packages") "linux-source-$series"
	in_root "$tmp" env DEBIAN_FRONTEND=noninteractive apt-get -y --no-install-recommends \
		-t $SUITE-backports install qemu-system-x86
	in_root "$tmp" apt-get clean
	in_root "$tmp" dpkg-query -W -f '${Version}\n' "linux-source-$series" >"$tmp/etc/virtio-vfio-pci-rs/kernel-version"
	echo "$series" >"$tmp/etc/virtio-vfio-pci-rs/kernel-series"
	mv "$tmp" "$ROOT"
}
# END recipe

# in_root ROOT COMMAND...: chroot in a mount namespace of its own, so that no
# mount outlives the command, however it ends.
in_root() {
	local root=$1
	shift
	unshare --mount --propagation private -- bash -c '
		set -e
		root=$1; src=$2; cache=$3 products=$4; shift 4
		mount -t proc proc "$root/proc"
		mount --rbind /sys "$root/sys"
		mount --rbind /dev "$root/dev"
		mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
		mkdir -p "$root/src" "$root/cache" "$root/products"
		mount --bind "$src" "$root/src"
		mount --bind "$cache" "$root/cache"
		mount --bind "$products" "$root/products"
		exec chroot "$root" "$@"' in_root "$root" "$TOP" "$CACHE" "$PRODUCTS" "$@"
}

build_locked() {
	[ -e "$ROOT/etc/virtio-vfio-pci-rs/kernel-version" ] && return
	step toolroot "check the network and the mirror ('apt-get update' must work; VVP_MIRROR chooses another), then run again" make_root
}

case ${1:-} in
build)
	need_root
	[ -e "$ROOT/etc/virtio-vfio-pci-rs/kernel-version" ] || with_lock toolroot build_locked
	;;
path)
	echo "$ROOT"
	;;
run)
	shift
	need_root
	[ -e "$ROOT/etc/virtio-vfio-pci-rs/kernel-version" ] || die "no toolroot yet: run 'scripts/toolroot.sh build' first"
	host_network "$ROOT"
	in_root "$ROOT" env -i HOME=/root TERM="${TERM:-dumb}" LANG=C.UTF-8 CARGO_HOME=/cache/cargo \
		PATH=/usr/lib/llvm-19/bin:/usr/sbin:/usr/bin:/sbin:/bin ${CI:+CI="$CI"} \
		${VVP_KERNEL_SERIES:+VVP_KERNEL_SERIES="$VVP_KERNEL_SERIES"} "$@"
	;;
*)
	die "usage: toolroot.sh build|path|run COMMAND..."
	;;
esac
