#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Builds the module for dkms, in the directory where that builds.
#
#   dkms.sh RELEASE
#
# Ends with 77 if that is impossible for whatever reason: dkms.conf says why.

set -uo pipefail
export VVP_CACHE=/var/cache/virtio-vfio-pci-rs
# dkms signs.
export SIGN=later
here=$(dirname "$0")

build() {
	local kdir vars=
	kdir=$("$here/rust-metadata.sh" --kernel "$1") || return
	grep -q '^CONFIG_CC_IS_CLANG=y' "$kdir/.config" && vars=LLVM=1
	make -j"$(nproc)" KDIR="$kdir" $vars
}

# What was made for kernels that are gone.
for entry in "$VVP_CACHE"/rust-metadata-*-*; do
	release=${entry#"$VVP_CACHE"/rust-metadata-}
	[ -e "/lib/modules/${release%-*}" ] || rm -rf "$entry"
done

build "$1" && exit
echo "The module is not built for kernel $1. When the reason is gone: dkms autoinstall -k $1"
exit 77
