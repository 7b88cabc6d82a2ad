#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Makes headers for modules in Rust for one of Debian's kernels.
#
# Debian's header packages lack what rustc wrote when the kernel was built (the
# metadata of the kernel crate and its macros). This makes it again from Debian's
# source of that kernel with that kernel's configuration and compilers, makes sure that
# it is the same, and lays it over a copy of the headers. Nothing in /usr is changed.
#
#   rust-metadata.sh [--kernel RELEASE] [--root DIR] [--check]
#
# Prints the directory to build with: make KDIR=$(scripts/rust-metadata.sh)
#
#   --kernel RELEASE   as 'uname -r' says it; default: the running kernel
#   --root DIR         the header packages are unpacked there instead of being installed
#   --check            say whether it can be done, and do nothing
#
# Environment: RUSTC, BINDGEN, SIGN, SIGN_KEY, SIGN_CERT, VVP_KERNEL_SERIES as for
# 'make'; VVP_CACHE, where the result is kept.

. "$(dirname "$0")/lib.sh"
. "$TOP/scripts/kernel-checks.sh"

kernel=$(uname -r)
sysroot=
only_check=
while [ $# -gt 0 ]; do
	case $1 in
	--kernel) kernel=${2:?--kernel needs a release}; shift ;;
	--root) sysroot=$(cd "${2:?--root needs a directory}" && pwd); shift ;;
	--check) only_check=y ;;
	*) die "usage: rust-metadata.sh [--kernel RELEASE] [--root DIR] [--check]" ;;
	esac
	shift
done

headers=$sysroot/usr/src/linux-headers-$kernel
# A kernel that was not packaged by Debian, or a package that has all that is needed.
[ -n "$sysroot" ] || [ -e "$headers" ] || headers=/lib/modules/$kernel/build
need_headers "$headers" "$kernel"
need_rust "$headers"
need_tried "$TOP"
need_rustc "$headers"
need_loadable
if [ -e "$headers/rust/libkernel.rmeta" ]; then
	say "$headers has Rust metadata already"
	echo "$headers"
	exit
fi

need_x86 "$headers"

rustc=${RUSTC:-rustc}
bindgen=${BINDGEN:-bindgen}
need_bindgen
want=$(option "$headers" BINDGEN_VERSION_TEXT)
found=$("$bindgen" --version)
[ "$found" = "$want" ] ||
	refuse "kernel $release was built with $want, '$bindgen' is $found: install that one, or name it with BINDGEN="

# The name of the compiler is the first word of what it said of itself.
cc_text=$(option "$headers" CC_VERSION_TEXT)
cc=${cc_text%% *}
"$cc" --version >/dev/null 2>&1 || refuse "no $cc, which built kernel $release: install it (Debian: apt install ${cc##*linux-gnu-})"

missing=
for tool in bc bison flex make perl python3 xz; do
	command -v $tool >/dev/null || missing="$missing $tool"
done
echo '#include <gelf.h>' | "$cc" -E - >/dev/null 2>&1 || missing="$missing libelf-dev"
echo '#include <openssl/opensslv.h>' | "$cc" -E - >/dev/null 2>&1 || missing="$missing libssl-dev"
[ -e "$("$rustc" --print sysroot)/lib/rustlib/src/rust/library/core/src/lib.rs" ] || missing="$missing rust-src"
[ -z "$missing" ] || refuse "missing:$missing (Debian: apt install$(sed 's/ xz/ xz-utils/' <<<"$missing"))"

# The package that the kernel is from says which source made it.
source=/usr/src/linux-source-$series.tar.xz
package=linux-source-$series
built=$(sed -n 's/^#define LINUX_PACKAGE_ID " Debian \(.*\)"$/\1/p' "$headers/include/generated/package.h" 2>/dev/null) || :
[ -n "$built" ] || refuse "kernel $release is not Debian's: build it with Rust from its own source, and use that as KDIR"
[ -e "$source" ] || refuse "no $source: apt install $package=$built"
version=$(dpkg-query -W -f '${Version}' "$package" 2>/dev/null) || refuse "$source is of no package: apt install $package=$built"
[ "$version" = "$built" ] ||
	refuse "$package is $version, kernel $release is of $built: apt install $package=$built, or boot the kernel of the source"

common=$(sed -n 's/^include \(.*\)\/Makefile$/\1/p' "$headers/Makefile")
[ -e "$sysroot$common/Makefile" ] || refuse "no $sysroot$common: apt install linux-headers-$release"

[ -z "$only_check" ] || exit 0

# The result is as good as the headers, the source, the compilers and the recipe.
key=$({
	cat "$headers/.config" "$headers/Module.symvers" "$headers/include/generated/package.h"
	echo "$headers" "$version" "$("$rustc" --version)" "$found" "$("$cc" --version)"
	recipe_of "$TOP/scripts/rust-metadata.sh"
} | sha256sum | cut -c1-12)
entry=rust-metadata-$release-$key

# BEGIN recipe
# What reads the configuration, and what the headers and the kernel crate are made of:
# the rest is most of the source.
unpack() {
	local top=linux-source-$series
	tar -C "$1" --strip-components=1 -xf "$source" \
		--exclude="$top"/{Documentation/'*/*',tools/testing,drivers/gpu/drm/amd/include,{drivers,fs,net,sound}/'*.c','*.dts','*.dtsi'} \
		"$top"
}

# The parts of a configuration that tell what was configured, not by which compiler's build.
configured() { grep -E '^CONFIG_|^# CONFIG_' "$1" | grep -v '^CONFIG_CC_VERSION_TEXT=' | sort; }

# The Rust symbols that were exported by the kernel crate, or are to be.
exported() { sed -n 's/^EXPORT_SYMBOL_RUST_GPL(\(.*\));$/\1/p' "$1"/rust/exports_*_generated.h | sort; }
stock() { awk '$3 == "vmlinux" && $2 ~ /^(_R|rust_)/ { print $2 }' "$1/Module.symvers" | sort; }

build() {
	local tmp=$CACHE/$entry.tmp tree=$CACHE/$entry.tmp/source kdir=$CACHE/$entry.tmp/headers differ
	set -e
	rm -rf --one-file-system "$tmp"
	mkdir -p "$tree" "$kdir"
	unpack "$tree"
	cp "$headers/.config" "$tree/.config"
	# pahole would be asked for its version and for nothing else.
	set -- make -C "$tree" ARCH=x86 CC="$cc" RUSTC="$rustc" HOSTRUSTC="$rustc" BINDGEN="$bindgen" KERNELRELEASE="$release" \
		PAHOLE_VERSION="$(option "$headers" PAHOLE_VERSION)"
	"$@" olddefconfig
	differ=$(diff <(configured "$headers/.config") <(configured "$tree/.config") | grep '^[<>]' | head -n 5) || :
	[ -z "$differ" ] || { echo "the kernel's configuration does not hold here: $(echo $differ)"; exit 1; }
	"$@" -j"$(nproc)" prepare

	differ=$(diff <(stock "$headers") <(exported "$tree") | grep -c '^[<>]') || :
	echo "Rust symbols: $(stock "$headers" | wc -l) in the kernel, $differ differ"
	[ "$differ" = 0 ] || { echo "this is not what kernel $release was built of: $differ Rust symbols differ"; exit 1; }
	cmp "$headers/include/generated/rustc_cfg" "$tree/include/generated/rustc_cfg"

	cp -a "$headers/." "$kdir"
	# What Debian has as links to other packages becomes part of the copy.
	for linked in scripts tools; do
		rm -rf "${kdir:?}/$linked"
		cp -aL "$headers/$linked" "$kdir/$linked"
	done
	# With it the module would get type information (BTF) that takes pahole to make.
	rm -f "$kdir/vmlinux"
	mkdir -p "$kdir/rust"
	cp "$tree"/rust/*.rmeta "$tree"/rust/*.so "$kdir/rust"
	cp "$tree/scripts/target.json" "$kdir/scripts"
	printf 'KBUILD_OUTPUT=%s\ninclude %s/Makefile\n' "$CACHE/$entry" "$sysroot$common" >"$kdir/Makefile"
	printf '%s\n' "kernel  $release, Debian $version" "source  $source" "$("$rustc" --version)" "$found" \
		"$("$cc" --version | head -n 1)" "Rust symbols of Module.symvers: $(stock "$headers" | wc -l), 0 differ" >"$kdir/rust/made-of"
	mv "$kdir" "$CACHE/$entry"
	rm -rf --one-file-system "$tmp"
}
# END recipe

build_locked() {
	[ -e "$CACHE/$entry/rust/made-of" ] && return
	step rust-metadata "read the log; the message before the last lines of make says what is wrong" build
}

[ -e "$CACHE/$entry/rust/made-of" ] || with_lock rust-metadata build_locked
cat "$CACHE/$entry/rust/made-of" >&2
echo "$CACHE/$entry"
