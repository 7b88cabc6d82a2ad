#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The toolroot: a Debian 13 root directory (with backports) that holds every tool
# at one matching version: compilers, bindgen, QEMU, the kernel source.
#
#   toolroot.sh build            make it if it is not there
#   toolroot.sh path             print where it is
#   toolroot.sh mirror           print the mirror of the host that it is made from, if any
#   toolroot.sh run COMMAND...   run a command inside: the project is at /src, the cache at
#                                /cache, and what is built from this tree at /products
#
# Environment:
#   VVP_MIRROR         Debian mirror, http or https (default: the one the host's apt uses, or
#                      Debian's own)
#   VVP_KERNEL_SERIES  kernel series, for example 7.3 (default: newest of scripts/kernel-series
#                      that the suites offer); naming one here also allows an untried one
#   VVP_CACHE          cache directory

. "$(dirname "$0")/lib.sh"

SUITE=trixie
ROOT=$CACHE/toolroot-$SUITE-$( (cat "$TOP/scripts/toolroot.packages"; recipe_of "$0"; echo "${VVP_KERNEL_SERIES:-}") | sha256sum | cut -c1-12)

# host_mirror: print the mirror that the host's apt uses, if it can be used inside, too:
# mirror lists, CD-ROMs and transports that need a helper cannot. Nothing: Debian's own.
host_mirror() {
	case ${VVP_MIRROR:-} in
	http://* | https://*) echo "$VVP_MIRROR"; return ;;
	?*) die "VVP_MIRROR=$VVP_MIRROR: only http:// and https:// mirrors can be used" ;;
	esac
	apt-get indextargets --format '$(SITE) $(ORIGIN) $(CODENAME)' 2>/dev/null |
		awk '$1 ~ /^https?:/ && $2 == "Debian" && $3 !~ /security/ { print $1; exit }'
}

# host_proxy: the proxies that the host's apt uses, as its configuration says them.
host_proxy() { apt-config dump 2>/dev/null | grep -E '^Acquire::(http|https)::Proxy' || :; }

# need_mmdebstrap: sets mmdebstrap to a command. Where it is not installed, it is fetched
# into the cache: nothing is installed on the host.
need_mmdebstrap() {
	mmdebstrap=(mmdebstrap)
	command -v mmdebstrap >/dev/null &&
		ls /usr/share/keyrings/debian-archive-keyring.* >/dev/null 2>&1 && return
	local package place=$CACHE/mmdebstrap
	local apt=(apt-get -o Dir::State::lists="$place/lists" -o Dir::Cache="$place/cache"
		-o APT::Sandbox::User=root -o Acquire::Retries=3)
	if [ ! -e "$place/root/usr/bin/mmdebstrap" ]; then
		perl -MPod::Usage -e1 2>/dev/null ||
			die "perl is missing: run 'apt-get install mmdebstrap debian-archive-keyring', then run again"
		mkdir -p "$place/lists/partial" "$place/cache/archives/partial" "$place/root"
		"${apt[@]}" update
		(cd "$place" && "${apt[@]}" download mmdebstrap debian-archive-keyring) ||
			die "the host's suites have no mmdebstrap: install it and debian-archive-keyring, then run again"
		for package in "$place"/*.deb; do
			dpkg-deb -x "$package" "$place/root"
		done
		rm -rf "$place"/*.deb "$place/lists" "$place/cache"
	fi
	# It starts its companion, mmtarfilter, by name.
	mmdebstrap=(env "PATH=$place/root/usr/bin:$PATH" perl "$place/root/usr/bin/mmdebstrap"
		--keyring="$place/root/usr/share/keyrings")
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
# offered ROOT: print the kernel series that the root's package lists have, newest first.
offered() {
	in_root "$1" apt-cache search --names-only '^linux-source-[0-9]+\.[0-9]+$' |
		sed -n 's/^linux-source-\([0-9.]*\) .*/\1/p' | sort -rV
}

# choose_series ROOT: print the kernel series to use, or nothing if there is none.
choose_series() {
	local found known s
	found=$(offered "$1")
	known=$(grep -v '^#' "$TOP/scripts/kernel-series")
	for s in ${VVP_KERNEL_SERIES:-$known}; do
		if grep -qx "$s" <<<"$found"; then
			grep -qx "$s" <<<"$known" || say "note: kernel series $s is untried; taken because VVP_KERNEL_SERIES names it"
			[ -n "${VVP_KERNEL_SERIES:-}" ] || [ "$s" = "$(head -n 1 <<<"$known")" ] ||
				say "note: preferred kernel series is gone from the suites; using $s"
			echo "$s"
			return
		fi
	done
}

# has_qemu ROOT: whether the suites have a QEMU that knows vfio-user.
has_qemu() {
	local version
	version=$(in_root "$1" apt-cache madison qemu-system-x86 | awk -F'|' '{ print $2; exit }' | tr -d ' ')
	[ -n "$version" ] && dpkg --compare-versions "$version" ge 1:10.1
}

# use_suites ROOT [OPTION]: have apt in the root use the suites, each with OPTION.
use_suites() {
	local root=$1 option=${2:-} mirror
	mirror=$(awk '$1 == "deb" { print $(NF - 2); exit }' "$root/etc/apt/sources.list")
	printf "deb $option %s %s main\n" "$mirror" $SUITE "$mirror" "$SUITE-backports" >"$root/etc/apt/sources.list"
	in_root "$root" apt-get -o Acquire::Retries=3 -o APT::Update::Error-Mode=any update
}

make_root() {
	local tmp=$ROOT.tmp mirror series date
	as_root rm -rf --one-file-system "$tmp"
	need_mmdebstrap
	mirror=$(host_mirror)
	as_root "${mmdebstrap[@]}" --mode=root --variant=minbase --aptopt='Acquire::Retries "3"' \
		--dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/doc/*' \
		--dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
		--skip=check/empty --include=ca-certificates $SUITE "$tmp" ${mirror:+"deb $mirror $SUITE main"}
	host_proxy >"$tmp/etc/apt/apt.conf.d/80host-proxy"
	mkdir -p "$tmp/src" "$tmp/cache" "$tmp/products" "$tmp/etc/virtio-vfio-pci-rs"
	# Services have no business in a build root.
	printf '#!/bin/sh\nexit 101\n' >"$tmp/usr/sbin/policy-rc.d"
	chmod +x "$tmp/usr/sbin/policy-rc.d"
	# In a user namespace apt cannot become another user.
	echo 'APT::Sandbox::User "root";' >"$tmp/etc/apt/apt.conf.d/81root"
	host_network "$tmp"
	use_suites "$tmp"
	series=$(choose_series "$tmp")
	if [ -z "$series" ] || ! has_qemu "$tmp"; then
		# What the project was made with is still in the archive's archive, of which
		# apt knows the place.
		date=$(grep -v '^#' "$TOP/scripts/archive-date")
		echo "the suites have kernel series $(offered "$tmp" | xargs) and $(has_qemu "$tmp" || echo no) fitting QEMU; taking the suites of $date"
		use_suites "$tmp" "[snapshot=$date check-valid-until=no]" ||
			die "the suites have no kernel series that was tried ($(grep -v '^#' "$TOP/scripts/kernel-series" | xargs)) with a fitting QEMU any more, and those of $date cannot be reached: VVP_KERNEL_SERIES tries another series"
		series=$(choose_series "$tmp")
		[ -n "$series" ] || die "no suite has a kernel series that was tried ($(grep -v '^#' "$TOP/scripts/kernel-series" | xargs)): VVP_KERNEL_SERIES tries one of $(offered "$tmp" | xargs)"
	fi
	# QEMU is the only package of which the newer one is wanted.
	printf 'Package: qemu-* seabios ipxe-qemu\nPin: release n=%s\nPin-Priority: 990\n' $SUITE-backports \
		>"$tmp/etc/apt/preferences.d/qemu"
	in_root "$tmp" env DEBIAN_FRONTEND=noninteractive apt-get -y --no-install-recommends install \
		$(grep -v '^#' "$TOP/scripts/toolroot.packages") qemu-system-x86 "linux-source-$series"
	in_root "$tmp" apt-get clean
	in_root "$tmp" dpkg-query -W -f '${Version}\n' "linux-source-$series" >"$tmp/etc/virtio-vfio-pci-rs/kernel-version"
	echo "$series" >"$tmp/etc/virtio-vfio-pci-rs/kernel-series"
	mv "$tmp" "$ROOT"
}
# END recipe

# in_root ROOT COMMAND...: chroot in a mount namespace of its own, so that no mount
# outlives the command, however it ends. Of the host it has the processes, the network,
# and the devices that any program may use.
in_root() {
	local root=$1
	shift
	as_root bash -c '
		set -e
		root=$1; src=$2; cache=$3 products=$4; shift 4
		mount --rbind /proc "$root/proc"
		mount -t tmpfs -o mode=755 tmpfs "$root/dev"
		for device in null zero full random urandom tty kvm fuse; do
			[ -e "/dev/$device" ] || continue
			touch "$root/dev/$device"
			mount --bind "/dev/$device" "$root/dev/$device"
		done
		mkdir "$root/dev/pts" "$root/dev/shm"
		mount --bind /dev/pts "$root/dev/pts"
		ln -s pts/ptmx "$root/dev/ptmx"
		ln -s /proc/self/fd "$root/dev/fd"
		for number in 0 1 2; do
			ln -s "fd/$number" "$root/dev/$(echo stdin stdout stderr | cut -d" " -f$((number + 1)))"
		done
		mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
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
mirror)
	host_mirror
	;;
run)
	shift
	need_root
	[ -e "$ROOT/etc/virtio-vfio-pci-rs/kernel-version" ] || die "no toolroot yet: run 'scripts/toolroot.sh build' first"
	host_network "$ROOT"
	passed_on=()
	for name in {http,https,ftp,all,no}_proxy {HTTP,HTTPS,ALL,NO}_PROXY CI RUST_LOG RUST_BACKTRACE \
		PROPTEST_CASES VVP_KERNEL_SERIES VVP_L2_INITRD; do
		[ -z "${!name:-}" ] || passed_on+=("$name=${!name}")
	done
	in_root "$ROOT" env -i HOME=/root TERM="${TERM:-dumb}" LANG=C.UTF-8 CARGO_HOME=/cache/cargo \
		PATH=/usr/lib/llvm-19/bin:/usr/sbin:/usr/bin:/sbin:/bin "${passed_on[@]}" "$@"
	;;
*)
	die "usage: toolroot.sh build|path|mirror|run COMMAND..."
	;;
esac
