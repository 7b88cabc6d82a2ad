#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Debian's own kernel, as it is, and the module built for it the way an operator does.
#
#   stock-kernel.sh build    fetch the kernel, make Rust metadata, build the module
#   stock-kernel.sh path     print the kernel's directory, as seen inside the toolroot:
#                            vmlinuz, initrd.gz and modules/VERSION
#   stock-kernel.sh module   print the path of the .ko, as seen inside the toolroot

. "$(dirname "$0")/lib.sh"

need_toolroot
# The packages of the toolroot's kernel source; its busybox is in the initrd.
key=$({ cat "$stamp" "$TOP/runner/l1/initrd"; versions_of busybox-static kmod; recipe_of "$TOP/scripts/stock-kernel.sh"; } | sha256sum | cut -c1-12)
entry=stock-kernel-$key
out=/products/module-stock-$key

# BEGIN recipe
fetch() {
	local tmp=$entry.tmp
	rm -rf --one-file-system "$CACHE/$tmp"
	mkdir -p "$CACHE/$tmp"
	"$TOP/scripts/toolroot.sh" run bash -c '
		set -e
		version=$2 series=$3
		cd "$1"
		apt-get -o Acquire::Retries=3 update
		# Of all kernels of the series, the one that the source is of.
		release=
		for name in $(apt-cache search --names-only "^linux-headers-${series//./\\.}\\.[0-9]+\\+deb[0-9]+-amd64\$" | cut -d" " -f1); do
			apt-cache madison "$name" | cut -d"|" -f2 | grep -qxF " $version " && release=${name#linux-headers-}
		done
		[ -n "$release" ] || { echo "the suites have no kernel $version any more"; exit 1; }
		abi=${release%-amd64}
		apt-get -o Acquire::Retries=3 -o APT::Sandbox::User=root download \
			$(printf "%s=$version " "linux-"{base,headers,binary,modules}"-$release" "linux-headers-$abi-common" "linux-kbuild-$abi")
		mkdir root
		for package in *.deb; do
			dpkg-deb -x "$package" root
			rm "$package"
		done
		ln -s usr/lib root/lib
		depmod -b root "$release"
		cp "root/usr/lib/modules/$release/vmlinuz" vmlinuz
		ln -s root/usr/lib/modules modules
		echo "$release" >release

		# The initrd: busybox, and the modules that it takes to get to a root over 9p, and
		# over that what may be written.
		mkdir -p initrd/{bin,modules,root}
		cp /bin/busybox initrd/bin
		cp /src/runner/l1/initrd initrd/init
		number=10
		modprobe -d root -S "$release" -a --show-depends 9p 9pnet_virtio overlay | while read -r _ module _; do
			name=$(basename "$module" .xz)
			ls initrd/modules | grep -q -- "-$name\$" && continue
			xz -dc "$module" >"initrd/modules/$number-$name"
			number=$((number + 1))
		done
		(cd initrd && find . | cpio --quiet -o -H newc | gzip -1) >initrd.gz
		rm -r initrd
		' stock-kernel "/cache/$tmp" "$(cat "$stamp")" "$series"
	mv "$CACHE/$tmp" "$CACHE/$entry"
}
# END recipe

fetch_locked() {
	[ -e "$CACHE/$entry/initrd.gz" ] && return
	step stock-kernel "check the network; if the suites no longer have this kernel, remove $root, and a newer toolroot is made" fetch
}

# In a copy of the tree: an operator builds where the sources are.
module() {
	local from
	from=$(revision)
	"$TOP/scripts/toolroot.sh" run bash -c '
		set -e
		kdir=$(VVP_CACHE=/cache /src/scripts/rust-metadata.sh --kernel "$(cat "$1/release")" --root "$1/root")
		rsync -a /src/{Kbuild,Makefile,include,rust,samples,scripts} "$2"
		make -C "$2" KDIR="$kdir"
		' stock-kernel "/cache/$entry" "$out"
	echo "$from" >"$PRODUCTS/${out#/products/}/revision"
}

case ${1:-} in
build)
	need_root
	[ -e "$CACHE/$entry/initrd.gz" ] || with_lock stock-kernel fetch_locked
	hold alone step module-stock "read the log; Rust metadata has one of its own beside it" module
	;;
path) echo "/cache/$entry" ;;
module) echo "$out/virtio_vfio_pci_rs.ko" ;;
*) die "usage: stock-kernel.sh build|path|module" ;;
esac
