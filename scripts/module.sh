#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The module and the sample driver, built in the toolroot for one of the test
# kernels.
#
#   module.sh build [test|debug|arm64]   build it
#   module.sh path [test|debug|arm64]    print the path of the .ko, as seen inside the toolroot

. "$(dirname "$0")/lib.sh"

flavour=${2:-test}
case $flavour in
debug) vars=LLVM=1 ;;
arm64) vars="LLVM=1 ARCH=arm64" ;;
*) vars= ;;
esac
kernel=$("$TOP/scripts/kernel.sh" path "$flavour")
# Another kernel's objects look up to date to kbuild, too.
out=/products/module-$(basename "$kernel")

build() {
	local from
	from=$(revision)
	"$TOP/scripts/toolroot.sh" run bash -c '
		set -e
		mkdir -p "$2"
		make -C "$1" M=/src MO="$2" $3 VVP_SAMPLES=m CLIPPY=1 KRUSTFLAGS=-Dwarnings modules
		' module "$kernel" "$out" "$vars"
	echo "$from" >"$PRODUCTS/${out#/products/}/revision"
}

case ${1:-} in
build)
	need_root
	hold alone step "module-$flavour" "fix what the compiler says" build
	;;
path) echo "$out/virtio_vfio_pci_rs.ko" ;;
*) die "usage: module.sh build|path [test|debug|arm64]" ;;
esac
