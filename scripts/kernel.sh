#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The test kernels, built in the toolroot from Debian's linux-source package.
#
#   kernel.sh build [test|debug|arm64]   make it if it is not there
#   kernel.sh path [test|debug|arm64]    print its build directory, as seen inside the toolroot
#
# "test" is the plain kernel; "debug" has KASAN, lockdep and kmemleak; "arm64" is there to
# build the module against, not to be run.

. "$(dirname "$0")/lib.sh"

flavour=${2:-test}
image=arch/x86/boot/bzImage
case $flavour in
test) configs="test-kernel.config"; vars= ;;
debug) configs="test-kernel.config debug-kernel.config"; vars=LLVM=1 ;;
arm64) configs="arm64-kernel.config"; vars="LLVM=1 ARCH=arm64" image=arch/arm64/boot/Image.gz ;;
*) die "no kernel flavour '$flavour': test, debug or arm64" ;;
esac

need_toolroot
# The kernel is as good as the source, the configuration and the compilers that made it.
key=$(cd "$TOP/scripts/config" && { cat "$stamp" $configs; versions_of gcc-14 clang-19 lld-19 rustc bindgen; recipe_of "$TOP/scripts/kernel.sh"; } | sha256sum | cut -c1-12)
entry=kernel-$flavour-$key

# BEGIN recipe
build() {
	local tmp=$entry.tmp
	rm -rf --one-file-system "$CACHE/$tmp"
	mkdir -p "$CACHE/$tmp"
	(cd "$TOP/scripts/config" && cat $configs) >"$CACHE/$tmp/fragment"
	"$TOP/scripts/toolroot.sh" run bash -c '
		set -e
		src=$1 series=$2 final=$3 vars=$4
		tar -C "$src" --strip-components=1 -xf "/usr/src/linux-source-$series.tar.xz"
		# The build directory moves once, when it is whole; nothing records its name.
		cd "$src"
		make $vars rustavailable
		make $vars tinyconfig
		scripts/kconfig/merge_config.sh -m .config fragment
		make $vars olddefconfig
		missing=
		while IFS= read -r want; do
			grep -qxF "$want" .config && continue
			case $want in
			*=n) grep -q "^${want%=n}=" .config && missing="$missing $want" ;;
			*) missing="$missing $want" ;;
			esac
		done < <(grep ^CONFIG_ fragment | tac | awk -F= "!seen[\$1]++")
		[ -z "$missing" ] || { echo "options that did not take:$missing"; exit 1; }
		make $vars -j"$(nproc)"
		# Objects are of no further use and are most of the size.
		find . -name "*.o" -not -path "./scripts/*" -not -path "./tools/*" -delete
		' kernel "/cache/$tmp" "$series" "/cache/$entry" "$vars"
	mv "$CACHE/$tmp" "$CACHE/$entry"
}
# END recipe

build_locked() {
	[ -e "$CACHE/$entry/$image" ] && return
	step "kernel-$flavour" "read the log; a config symbol or the toolchain may have changed with the kernel's point release" build
}

case ${1:-} in
build)
	need_root
	[ -e "$CACHE/$entry/$image" ] || with_lock "kernel-$flavour" build_locked
	;;
path) echo "/cache/$entry" ;;
*) die "usage: kernel.sh build|path [test|debug|arm64]" ;;
esac
