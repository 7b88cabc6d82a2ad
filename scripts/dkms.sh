#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# What dkms.conf has dkms do, in the directory where it builds.
#
#   dkms.sh possible RELEASE   can the module be built for that kernel?
#   dkms.sh prepare RELEASE    make 'kdir' lead to what it is built with

set -euo pipefail
export VVP_CACHE=/var/cache/virtio-vfio-pci-rs
# dkms signs.
export SIGN=later
here=$(dirname "$0")

case ${1:-} in
possible) exec "$here/rust-metadata.sh" --check --kernel "$2" ;;
prepare)
	kdir=$("$here/rust-metadata.sh" --kernel "$2")
	ln -sfn "$kdir" kdir
	;;
*)
	echo "usage: dkms.sh possible|prepare RELEASE" >&2
	exit 1
	;;
esac
