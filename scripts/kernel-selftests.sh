#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The kernel's own VFIO selftests, tools/testing/selftests/vfio, as they are in the
# toolroot's kernel source.
#
#   kernel-selftests.sh build   make them if they are not there
#   kernel-selftests.sh path    print where they are installed, as seen inside the toolroot

. "$(dirname "$0")/lib.sh"

need_toolroot
# The programs are as good as the source, the compiler and the libraries that made them.
key=$({ cat "$stamp"; versions_of gcc-14 libc6-dev uuid-dev; recipe_of "$TOP/scripts/kernel-selftests.sh"; } | sha256sum | cut -c1-12)
entry=kernel-selftests-$key

# BEGIN recipe
build() {
	local tmp=$entry.tmp
	rm -rf --one-file-system "$CACHE/$tmp"
	mkdir -p "$CACHE/$tmp/source"
	"$TOP/scripts/toolroot.sh" run bash -c '
		set -e
		cd "$1/source"
		# What the headers and these tests are made of: the rest is most of the source.
		tar --strip-components=1 -xf "/usr/src/linux-source-$2.tar.xz" "linux-source-$2"/{Makefile,arch/x86,drivers/dma,drivers/net/ethernet/intel/igb,include,scripts,tools/arch,tools/include,tools/scripts,tools/testing/selftests,usr}
		make headers_install
		# FORCE_TARGETS: a program that does not build fails the step.
		make -C tools/testing/selftests TARGETS=vfio FORCE_TARGETS=1 INSTALL_PATH="$1/installed" install
		' kernel-selftests "/cache/$tmp" "$series"
	mv "$CACHE/$tmp/installed" "$CACHE/$entry"
	rm -r "$CACHE/$tmp"
}
# END recipe

# What the kernel's makefiles write last.
list=$CACHE/$entry/kselftest-list.txt

build_locked() {
	[ -e "$list" ] && return
	step kernel-selftests "read the log; since the kernel's point release the tests may need more of the source, or another library" build
}

case ${1:-} in
build)
	need_root
	# vfio_pci_device.c of 7.2.12 calls calloc_assert(), which that series has nowhere.
	[ "$series" != 7.2 ] || { say "note: the VFIO selftests of 7.2 do not compile; stage kernel-selftests has none to run"; exit; }
	[ -e "$list" ] || with_lock kernel-selftests build_locked
	;;
path) echo "/cache/$entry" ;;
*) die "usage: kernel-selftests.sh build|path" ;;
esac
